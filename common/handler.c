// SPDX-License-Identifier: LGPL-2.1-or-later
#include "handler.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "handlernote.h"
#include "hookcheck.h"
#include "program.h"
#include "replace.h"
#include "str.h"

// ---- where we are --------------------------------------------------------------------------

static bool is_real(const struct handler_options *options)
{
	return !*options->root;
}

static struct snap_error *check_root(const struct handler_options *options)
{
	if (is_real(options) && geteuid() != 0)
		return snap_error_new(SNAP_NOT_PERMITTED,
				      "only root may say who handles crashes; try it with sudo");
	return NULL;
}

static struct snap_error *check_namespaces(const struct handler_options *options)
{
	if (!is_real(options) || sysctl_in_initial_namespaces())
		return NULL;
	return snap_error_new(
		SNAP_NOT_PERMITTED,
		"this is a container, or another namespace than that of the machine: "
		"kernel.core_pattern is the same for all of the machine, and the kernel "
		"would not find our program; run this on the host");
}

static const char *store_of(const struct handler_options *options)
{
	return options->store ? options->store : HANDLER_STORE;
}

/// The kernel's hook writes there as root, so nobody else may.
static struct snap_error *check_store(const struct handler_options *options)
{
	const char *store = store_of(options);
	struct stat st;
	if (!options->store)
		return NULL; // handlermemory_lock() looks at it, and makes it
	if (lstat(store, &st) < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot use '%s' as the store", store);
	if (S_ISDIR(st.st_mode) && st.st_uid == 0 && !(st.st_mode & (S_IWGRP | S_IWOTH)))
		return NULL;
	return snap_error_new(
		SNAP_FAILED,
		"cannot use '%s' as the store: it must be a folder that belongs to root "
		"and is writable for nobody else",
		store);
}

static struct snap_error *check_socket(const struct handler_options *options)
{
	if (!sysctl_has_coredump_socket(options->root))
		return snap_error_new(
			SNAP_FAILED,
			"this kernel has no coredump socket with requests, which Linux "
			"has since 6.17; the pipe does the same: leave out --socket");
	if (!sysctl_is_listening(options->root, COREPATTERN_SOCKET_PATH))
		return snap_error_new(SNAP_FAILED,
				      "nobody listens on '" COREPATTERN_SOCKET_PATH "'; start "
				      "procsnap-coredump.socket first");
	return NULL;
}

/// The hook; it is there and can be run.
static struct snap_error *find_hook(char **ret)
{
	_cleanup_free_ char *found = NULL, *hook = NULL;
	struct snap_error *err = program_find(COREPATTERN_HOOK, &found);
	if (!err)
		err = hookcheck_file(found);
	if (err)
		return err;
	// Links may be changed later, and may be relative to what the kernel does not know.
	hook = realpath(found, NULL);
	if (!hook)
		return snap_error_errno(SNAP_FAILED, errno, "cannot find '%s'", found);
	err = hookcheck_run(hook);
	if (!err)
		*ret = TAKE_PTR(hook);
	return err;
}

// ---- memory --------------------------------------------------------------------------------

static char *boot_id(void)
{
	char *id;
	if (snap_read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &id) < 0)
		return NULL;
	id[strcspn(id, "\n")] = '\0';
	return id;
}

/// Of a handler that was installed until the next boot, and that was since.
static bool is_outdated(const struct handlermemory *memory)
{
	_cleanup_free_ char *now = boot_id();
	return memory->runtime && now && memory->boot_id && strcmp(now, memory->boot_id) != 0;
}

static int copy_value(char **to, const char *from)
{
	char *copy = strdup(from);
	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

/// What is found now is to be gone back to; but not what we have written ourselves, of which @old,
/// if not NULL, knows what was there before.
static struct snap_error *remember(const struct handlermemory *old, const struct sysctl_values *now,
				   struct handlermemory *memory)
{
	for (enum sysctl_key key = 0; key < SYSCTL_KEY_MAX; key++) {
		const char *found = now->of[key];
		bool ours = old && !strcmp(found, old->set.of[key]);
		ours |= old && key == SYSCTL_CORE_PATTERN && corepattern_is_ours(found);
		if (copy_value(&memory->found.of[key], ours ? old->found.of[key] : found) < 0)
			return snap_error_oom();
	}
	memory->boot_id = boot_id();
	return NULL;
}

static const char *const defaults[SYSCTL_KEY_MAX] = {
	[SYSCTL_CORE_PATTERN] = "core",
	[SYSCTL_CORE_PIPE_LIMIT] = "0",
	[SYSCTL_SUID_DUMPABLE] = "0",
};

/// What the machine would have at boot without us: sysctl.d says it, or the kernel.
static struct snap_error *value_without_us(const char *root, enum sysctl_key key, char **ret)
{
	_cleanup_sysctld_ struct sysctld boot = { 0 };
	struct snap_error *err = sysctld_find(root, sysctl_name(key), &boot);
	if (err)
		return err;
	const struct sysctld_line *winner = sysctld_winner(&boot, HANDLER_SYSCTLD_PATH);
	bool use = winner && !(key == SYSCTL_CORE_PATTERN && corepattern_is_ours(winner->value));
	return copy_value(ret, use ? winner->value : defaults[key]) < 0 ? snap_error_oom() : NULL;
}

/// We are the handler, and nothing is remembered.
static struct snap_error *imagine(const char *root, const struct sysctl_values *now,
				  struct handlermemory *memory)
{
	struct snap_error *err = NULL;
	for (enum sysctl_key key = 0; !err && key < SYSCTL_KEY_MAX; key++) {
		err = value_without_us(root, key, &memory->found.of[key]);
		if (!err && copy_value(&memory->set.of[key], now->of[key]) < 0)
			err = snap_error_oom();
	}
	return err;
}

// ---- steps ---------------------------------------------------------------------------------

/// Writes the values of @wanted that are not @now already, in @order; those of before go back after
/// an error.
static struct snap_error *apply(const char *root, const struct sysctl_values *now,
				const struct sysctl_values *wanted, const enum sysctl_key *order)
{
	struct snap_error *err = NULL;
	size_t i;
	for (i = 0; !err && i < SYSCTL_KEY_MAX; i++)
		if (strcmp(now->of[order[i]], wanted->of[order[i]]) != 0)
			err = sysctl_write(root, order[i], wanted->of[order[i]]);
	while (err && i-- > 0) {
		struct snap_error *again = sysctl_write(root, order[i], now->of[order[i]]);
		// The first one may be read-only just as well, and then nothing was changed.
		if (again && again->code != SNAP_NOT_PERMITTED)
			err = snap_error_wrap(err, "%s, and before that", again->message);
		snap_error_destroy(again);
	}
	return err;
}

static struct snap_error *write_sysctld(const char *root, const char *pipe)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	if (asprintf(&path, "%s" HANDLER_SYSCTLD_PATH, root) < 0) {
		path = NULL;
		return snap_error_oom();
	}
	if (asprintf(&text,
		     "# Written by 'snapctl handler install', and 'snapctl handler uninstall' "
		     "removes it.\n"
		     "# Read after 50-coredump.conf of systemd-coredump, so this is what counts.\n"
		     "%s=%s\n%s=%s\n%s=%s\n",
		     sysctl_name(SYSCTL_CORE_PATTERN), pipe, sysctl_name(SYSCTL_CORE_PIPE_LIMIT),
		     HANDLER_PIPE_LIMIT, sysctl_name(SYSCTL_SUID_DUMPABLE),
		     HANDLER_SUID_DUMPABLE) < 0) {
		text = NULL;
		return snap_error_oom();
	}
	return replace_file(path, text, 0644);
}

static struct snap_error *remove_sysctld(const char *root)
{
	_cleanup_free_ char *path = NULL;
	if (asprintf(&path, "%s" HANDLER_SYSCTLD_PATH, root) < 0) {
		path = NULL;
		return snap_error_oom();
	}
	return replace_remove(path);
}

/// Says so when another file of sysctl.d will win.
static void note_boot(const char *root, struct handler_notes *notes)
{
	_cleanup_sysctld_ struct sysctld boot = { 0 };
	snap_error_destroy(sysctld_find(root, sysctl_name(SYSCTL_CORE_PATTERN), &boot));
	const struct sysctld_line *winner = sysctld_winner(&boot, NULL);
	if (winner && strcmp(winner->file, HANDLER_SYSCTLD_PATH) != 0)
		handler_note(notes,
			     "at the next boot '%s', line %zu, sets kernel.core_pattern after "
			     "procsnap's file in sysctl.d; remove that line, or procsnap does not "
			     "stay",
			     winner->file, winner->number);
	handler_note_rival(root, notes);
}

// ---- install -------------------------------------------------------------------------------

struct install {
	const struct handler_options *options;
	char *hook, *pipe; ///< the program, and the pattern of the pipe
	struct sysctl_values now;
	struct handlermemory old, memory;
	bool had_old;
};

static void install_deinit(struct install *in)
{
	free(in->hook);
	free(in->pipe);
	sysctl_values_deinit(&in->now);
	handlermemory_deinit(&in->old);
	handlermemory_deinit(&in->memory);
}

/// Whose limit counts has been decided by whoever wrote the pattern from before.
static struct snap_error *make_pipe(struct install *in)
{
	_cleanup_free_ char *limit =
		corepattern_limit(in->memory.found.of[SYSCTL_CORE_PATTERN]);
	return corepattern_make_pipe(in->hook, store_of(in->options), limit, &in->pipe);
}

static struct snap_error *look(struct install *in)
{
	const char *root = in->options->root;
	bool socket = in->options->flags & HANDLER_SOCKET;
	struct snap_error *err = handlermemory_load(root, &in->old, &in->had_old);
	if (!err)
		err = sysctl_read_all(root, &in->now);
	if (err)
		return err;
	bool ours = corepattern_is_ours(in->now.of[SYSCTL_CORE_PATTERN]);
	if (ours && !in->had_old) {
		// Set by hand, or what was remembered got lost.
		err = imagine(root, &in->now, &in->old);
		in->had_old = !err;
	} else if (in->had_old && !ours && is_outdated(&in->old)) {
		handlermemory_deinit(&in->old);
		in->had_old = false;
	}
	if (!err)
		err = remember(in->had_old ? &in->old : NULL, &in->now, &in->memory);
	if (!err)
		err = make_pipe(in);
	in->memory.runtime = in->options->flags & HANDLER_RUNTIME;
	struct sysctl_values *set = &in->memory.set;
	if (!err && (copy_value(&set->of[SYSCTL_CORE_PATTERN],
				socket ? COREPATTERN_SOCKET : in->pipe) < 0 ||
		     copy_value(&set->of[SYSCTL_CORE_PIPE_LIMIT], HANDLER_PIPE_LIMIT) < 0 ||
		     copy_value(&set->of[SYSCTL_SUID_DUMPABLE], HANDLER_SUID_DUMPABLE) < 0))
		err = snap_error_oom();
	return err;
}

/// From the first change on: all or nothing.
static struct snap_error *take_over(const struct install *in)
{
	// The kernel waits before the first crash comes to us. Not dumping what changed its user is
	// given up when it is us who gets it: a file would be written with these cores else.
	static const enum sysctl_key order[] = { SYSCTL_CORE_PIPE_LIMIT, SYSCTL_CORE_PATTERN,
						 SYSCTL_SUID_DUMPABLE };
	static const enum sysctl_key back[] = { SYSCTL_SUID_DUMPABLE, SYSCTL_CORE_PATTERN,
						SYSCTL_CORE_PIPE_LIMIT };
	const char *root = in->options->root;
	struct snap_error *err = handlermemory_save(root, &in->memory);
	if (err)
		return err;
	err = apply(root, &in->now, &in->memory.set, order);
	if (!err) {
		// At boot nobody listens on the socket yet, so the file has the pipe.
		err = in->memory.runtime ? remove_sysctld(root) : write_sysctld(root, in->pipe);
		if (!err)
			return NULL;
		struct snap_error *again = apply(root, &in->memory.set, &in->now, back);
		if (again)
			err = snap_error_wrap(err, "%s, and before that", again->message);
		snap_error_destroy(again);
	}
	// What was remembered before stays true; nothing is changed, so nothing new is.
	struct snap_error *again = in->had_old ? handlermemory_save(root, &in->old) :
						 handlermemory_remove(root);
	snap_error_destroy(again); // one too many does no harm: values found later count then
	return err;
}

struct snap_error *handler_install(const struct handler_options *options,
				   struct handler_notes *notes)
{
	_cleanup_(install_deinit) struct install in = { .options = options };
	_cleanup_close_ int lock = -EBADF;
	struct snap_error *err = check_root(options);
	if (!err)
		err = check_namespaces(options);
	if (!err)
		err = check_store(options);
	if (!err)
		err = find_hook(&in.hook);
	if (!err && options->flags & HANDLER_SOCKET)
		err = check_socket(options);
	if (!err)
		err = handlermemory_lock(options->root, &lock);
	if (!err)
		err = look(&in);
	if (!err)
		err = take_over(&in);
	if (err)
		return err;
	handler_note(
		notes, "crashes are handled by %s now; before: '%s'",
		corepattern_owner_text(corepattern_owner(in.memory.set.of[SYSCTL_CORE_PATTERN])),
		in.memory.found.of[SYSCTL_CORE_PATTERN]);
	if (!(options->flags & HANDLER_RUNTIME))
		note_boot(options->root, notes);
	return NULL;
}

// ---- uninstall -----------------------------------------------------------------------------

/// Instead of a pattern that would point to nothing by now: that of sysctl.d, or the kernel's own.
static struct snap_error *avoid_nothing(const char *root, char **pattern,
					struct handler_notes *notes)
{
	_cleanup_free_ char *other = NULL;
	if (!handler_points_to_nothing(root, *pattern))
		return NULL;
	struct snap_error *err = value_without_us(root, SYSCTL_CORE_PATTERN, &other);
	if (!err && handler_points_to_nothing(root, other) &&
	    copy_value(&other, defaults[SYSCTL_CORE_PATTERN]) < 0)
		err = snap_error_oom();
	if (err)
		return err;
	handler_note(notes,
		     "before procsnap it was '%s', which is not there any more; it is '%s' now",
		     *pattern, other);
	free(*pattern);
	*pattern = TAKE_PTR(other);
	return NULL;
}

/// What is to be written: of each value that is still ours the one from before, else what there is.
static struct snap_error *wanted_values(const struct handler_options *options,
					const struct sysctl_values *now,
					const struct handlermemory *memory,
					struct sysctl_values *ret, struct handler_notes *notes)
{
	bool force = options->flags & HANDLER_FORCE;
	for (enum sysctl_key key = 0; key < SYSCTL_KEY_MAX; key++) {
		const char *value = now->of[key], *found = memory->found.of[key];
		bool ours = !strcmp(value, memory->set.of[key]);
		ours |= key == SYSCTL_CORE_PATTERN && corepattern_is_ours(value);
		if (copy_value(&ret->of[key], ours || force ? found : value) < 0)
			return snap_error_oom();
		if (!ours && !force && strcmp(value, found) != 0)
			handler_note(notes,
				     "%s has been changed to '%s' since, and is left so; before "
				     "procsnap it was '%s'",
				     sysctl_name(key), value, found);
	}
	return force ? NULL : avoid_nothing(options->root, &ret->of[SYSCTL_CORE_PATTERN], notes);
}

static struct snap_error *is_anothers(const struct sysctl_values *now,
				      const struct handlermemory *memory)
{
	const char *value = now->of[SYSCTL_CORE_PATTERN];
	const char *found = memory->found.of[SYSCTL_CORE_PATTERN];
	_cleanup_free_ char *shown = snap_escape(value, strlen(value));
	_cleanup_free_ char *before = snap_escape(found, strlen(found));
	return snap_error_new(
		SNAP_FAILED,
		"somebody else has set kernel.core_pattern since, to '%s', which is "
		"left so; before procsnap it was '%s', and 'snapctl handler uninstall "
		"--force' makes it that again",
		shown ? shown : "?", before ? before : "?");
}

/// With what is remembered.
static struct snap_error *go_back(const struct handler_options *options,
				  const struct sysctl_values *now,
				  const struct handlermemory *memory, struct handler_notes *notes)
{
	// As long as processes that changed their user are dumped, it is not into files; and as
	// long as crashes come to us, the kernel waits.
	static const enum sysctl_key order[] = { SYSCTL_SUID_DUMPABLE, SYSCTL_CORE_PATTERN,
						 SYSCTL_CORE_PIPE_LIMIT };
	_cleanup_sysctl_values_ struct sysctl_values wanted = { 0 };
	const char *pattern = now->of[SYSCTL_CORE_PATTERN];
	// First, or it would come back at the next boot.
	struct snap_error *err = remove_sysctld(options->root);
	if (err)
		return err;
	if (!(options->flags & HANDLER_FORCE) && !corepattern_is_ours(pattern) &&
	    strcmp(pattern, memory->set.of[SYSCTL_CORE_PATTERN]) != 0 &&
	    strcmp(pattern, memory->found.of[SYSCTL_CORE_PATTERN]) != 0)
		return is_anothers(now, memory);
	err = wanted_values(options, now, memory, &wanted, notes);
	if (!err)
		err = apply(options->root, now, &wanted, order);
	if (!err)
		err = handlermemory_remove(options->root);
	if (!err)
		handler_note(notes,
			     "crashes are not handled by procsnap any more; "
			     "kernel.core_pattern is '%s'",
			     wanted.of[SYSCTL_CORE_PATTERN]);
	return err;
}

static struct snap_error *go_back_unremembered(const struct handler_options *options,
					       const struct sysctl_values *now,
					       struct handler_notes *notes)
{
	_cleanup_handlermemory_ struct handlermemory memory = { 0 };
	bool ours = corepattern_is_ours(now->of[SYSCTL_CORE_PATTERN]);
	if (ours && is_real(options) && !sysctl_in_initial_namespaces()) {
		handler_note(notes, "it is the host that procsnap handles crashes of; nothing is "
				    "changed here");
		return NULL;
	}
	if (!ours) {
		handler_note(notes, "procsnap is not the handler of crashes; nothing is changed");
		return remove_sysctld(options->root);
	}
	struct snap_error *err = imagine(options->root, now, &memory);
	if (!err)
		handler_note(notes, "what was there before procsnap is not known; taken is what "
				    "sysctl.d says without it, or the kernel's default");
	return err ? err : go_back(options, now, &memory, notes);
}

/// A folder that is not there has no memory, and is not made for that.
static bool has_folder(const char *root)
{
	_cleanup_free_ char *path = NULL;
	if (asprintf(&path, "%s" HANDLER_STORE, root) < 0) {
		path = NULL;
		return true;
	}
	return access(path, F_OK) == 0;
}

struct snap_error *handler_uninstall(const struct handler_options *options,
				     struct handler_notes *notes)
{
	_cleanup_handlermemory_ struct handlermemory memory = { 0 };
	_cleanup_sysctl_values_ struct sysctl_values now = { 0 };
	_cleanup_close_ int lock = -EBADF;
	bool there = false;
	struct snap_error *err = check_root(options);
	if (!err && has_folder(options->root))
		err = handlermemory_lock(options->root, &lock);
	if (!err)
		err = handlermemory_load(options->root, &memory, &there);
	if (!err)
		err = sysctl_read_all(options->root, &now);
	if (!err && there && is_outdated(&memory) &&
	    !corepattern_is_ours(now.of[SYSCTL_CORE_PATTERN])) {
		err = handlermemory_remove(options->root);
		there = false;
	}
	if (err)
		return err;
	return there ? go_back(options, &now, &memory, notes) :
		       go_back_unremembered(options, &now, notes);
}
