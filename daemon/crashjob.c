// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crashjob.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "common/binaries.h"
#include "common/clock.h"
#include "common/coreaccess.h"
#include "common/crashverdict.h"
#include "common/fd.h"
#include "common/stacks.h"
#include "common/strbuf.h"
#include "common/summary.h"
#include "daemon/crashask.h"
#include "daemon/crashes.h"
#include "daemon/crashfolder.h"
#include "daemon/crashkept.h"
#include "daemon/dumpname.h"
#include "daemon/manager.h"

enum {
	JSON_MAX = 64 << 10, ///< of facts and result
	AUXV_MAX = 64 << 10,
	STACKS_MAX = 16 << 20,
	ATTEMPTS = 2,
};

struct crashjob {
	struct manager *manager;
	struct crashes *crashes;
	int crashes_fd; ///< borrowed
	int folder;
	char name[CRASHFOLDER_NAME_SIZE]; ///< "": there is none in STORE/crash
	struct json *facts, *result; ///< of the hook
	struct crashjob_whole whole; ///< what the dump is made of, if there is one
	struct json *part_result; ///< of the core in the folder, then
	struct procid *id;
	struct store_draft *draft;
	int stacks; ///< where the worker writes them
	struct json *binaries; ///< that are kept with the draft, NULL: none were wanted
	unsigned int attempt;
	bool recorded; ///< by an attempt before, also of another daemon
};

void crashjob_whole_deinit(struct crashjob_whole *whole)
{
	snap_closep(&whole->fd);
	json_destroy(whole->result);
	*whole = CRASHJOB_WHOLE_NULL;
}

void crashjob_destroy(struct crashjob *job)
{
	if (!job)
		return;
	snap_closep(&job->folder);
	snap_closep(&job->stacks);
	json_destroy(job->facts);
	json_destroy(job->result);
	json_destroy(job->part_result);
	crashjob_whole_deinit(&job->whole);
	json_destroy(job->binaries);
	procid_destroy(job->id);
	if (job->draft)
		store_drop(job->draft);
	free(job);
}
DEFINE_CLEANUP(struct crashjob *, crashjob_destroy);

// ---- what is known -------------------------------------------------------------------------

static struct snap_error *identify(struct crashjob *job)
{
	const struct config *config = job->manager->config;
	uint32_t flags = (config->command_line ? PROCID_WITH_CMDLINE : 0U) |
			 (config->environment ? PROCID_WITH_ENVIRON : 0U);
	pid_t pid = (pid_t)json_get_u64(job->facts, "pid", 0);
	_cleanup_close_ int proc =
		openat(job->folder, "proc", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct snap_error *err =
		procid_create_at(proc >= 0 ? proc : job->folder, pid, flags, &job->id);
	if (err)
		return err;
	// Who it was is what the kernel says of the crash, not what its files said.
	job->id->uid = (uid_t)json_get_u64(job->facts, "uid", job->id->uid);
	job->id->gid = (gid_t)json_get_u64(job->facts, "gid", job->id->gid);
	job->id->ids_known |= json_get_u64(job->facts, "uid", UINT64_MAX) <= UINT32_MAX &&
			      json_get_u64(job->facts, "gid", UINT64_MAX) <= UINT32_MAX;
	return NULL;
}

static bool is_text(const struct json *json, const char *key, const char *value)
{
	const char *text = json_get_text(json, key);
	return text && !strcmp(text, value);
}

static uint64_t usec_of(const struct crashjob *job)
{
	return json_get_u64(job->facts, "usec", snap_clock_ns(CLOCK_REALTIME) / 1000);
}

static int dumpable_of(const struct crashjob *job)
{
	return (int)json_get_u64(job->facts, "dumpable", (uint64_t)-1);
}

/// The kernel may have told it in the core only.
static int signal_of(const struct crashjob *job)
{
	int signal = (int)json_get_u64(job->facts, "signal", 0);
	return signal ? signal : (int)json_get_u64(job->result, "signal", 0);
}

static bool owner_reads(const struct crashjob *job)
{
	size_t len = 0;
	_cleanup_free_ char *auxv = crashfolder_read(job->folder, "auxv", AUXV_MAX, &len);
	bool is_64 = json_get_u64(job->result, "bits", 64) == 64;
	return auxv && coreaccess_owner_reads(dumpable_of(job), job->id->uid, span_of(auxv, len),
					      is_64, NULL);
}

/// What the worker has written, or NULL.
static struct json *read_stacks(const struct crashjob *job)
{
	struct stat st;
	if (job->stacks < 0 || fstat(job->stacks, &st) < 0 || st.st_size <= 0 ||
	    st.st_size > STACKS_MAX)
		return NULL;
	_cleanup_free_ char *text = malloc((size_t)st.st_size);
	if (!text || snap_pread_full(job->stacks, text, (size_t)st.st_size, 0) != st.st_size)
		return NULL;
	return json_parse(text, (size_t)st.st_size);
}

// ---- the record ----------------------------------------------------------------------------

/// What has become of the core.
struct outcome {
	const struct json *made; ///< what the worker says of the dump; NULL when there is none
	const struct store_entry *entry; ///< the dump
	const char *path; ///< of the dump, also of one that will be made later
	const char *why_not; ///< then, or when there is none
};

/// Words for what was not done as it should have been, separated by blanks.
static const char *degraded(const struct crashjob *job, const struct outcome *outcome,
			    struct strbuf *words)
{
	const struct {
		const char *word;
		bool is_so;
	} all[] = {
		{ "partial", json_get_u64(job->result, "lost_bytes", 0) },
		{ "stacks", json_get_bool(job->result, "stacks_only", false) },
		{ "stream", is_text(job->result, "mode", "stream") },
		{ "memory", json_get_bool(job->result, "in_memory", false) },
	};
	if (!outcome->entry)
		return outcome->path ? "later" : "record";
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i].is_so)
			(void)strbuf_addf(words, "%s%s", words->len ? " " : "", all[i].word);
	return words->len ? words->data : NULL;
}

/// Lines about a core that is not what it could be. @lines keeps them.
static size_t add_reasons(const struct crashjob *job, const char **warnings, struct strbuf *lines)
{
	const char *why_short = json_get_text(job->result, "why_short");
	const char *reason = json_get_text(job->result, "reason");
	size_t n = 0;
	if (reason && json_get_bool(job->result, "stacks_only", false))
		warnings[n++] = reason;
	if (json_get_bool(job->result, "in_memory", false))
		warnings[n++] = "the disk had no room for the raw core, which was kept in memory "
				"until it was compressed";
	if (why_short && strbuf_addf(lines, "the core has not all of the memory: %s",
				       why_short) >= 0)
		warnings[n++] = lines->data;
	return n;
}

static size_t list_warnings(const struct json *list, const char **warnings, size_t n, size_t max)
{
	for (size_t i = 0; i < json_length(list) && n < max; i++)
		if (json_text_value(json_at(list, i)))
			warnings[n++] = json_text_value(json_at(list, i));
	return n;
}

/// Returns whether the record is on the disk, or with journald.
static bool add_record(struct crashjob *job, const struct outcome *outcome)
{
	_cleanup_(json_destroyp) struct json *stacks = read_stacks(job);
	_cleanup_(json_destroyp) struct json *packages = stacks ? stacks_packages(stacks) : NULL;
	_cleanup_(json_destroyp) struct json *summary =
		summary_of_go(json_get(outcome->made, "go"));
	_cleanup_free_ char *text = stacks ? stacks_text(stacks) : NULL;
	const char *exe = procid_text(job->id, PROCID_EXE);
	const char *warnings[RECORD_WARNINGS_MAX];
	char id[STOREID_SIZE];
	_cleanup_strbuf_ struct strbuf words = { 0 }, lines = { 0 };
	size_t n = 0;
	if (outcome->why_not)
		warnings[n++] = outcome->why_not;
	if (outcome->why_not && outcome->path)
		warnings[n++] = "the core is kept, and its dump is made as soon as that works";
	if (!outcome->why_not)
		n = add_reasons(job, warnings, &lines);
	n = list_warnings(json_get(outcome->made, "warnings"), warnings, n, ARRAY_SIZE(warnings));
	const struct record_crash crash = {
		.signal = signal_of(job),
		.dumpable = dumpable_of(job),
		.by_pidfd = json_get_bool(job->facts, "by_pidfd", false),
		.binaries = outcome->entry ? job->binaries : NULL,
		.rlimit_core = json_get_u64(job->facts, "rlimit", UINT64_MAX),
		.hostname = json_get_text(job->facts, "hostname"),
		.stacks = text,
		.packages = packages,
		.package_name = stacks && exe ? stacks_package_of(stacks, exe, "name") : NULL,
		.package_version = stacks && exe ? stacks_package_of(stacks, exe, "version") : NULL,
		.suppressed = json_get_u64(job->result, "suppressed", 0),
		.degraded = degraded(job, outcome, &words),
		.owner_reads = owner_reads(job),
	};
	const struct record_dump dump = {
		.kind = RECORD_CRASH,
		.id = outcome->entry ? storeid_format(outcome->entry->id, id) : NULL,
		.mode = json_get_text(job->result, "mode"),
		.pause_ns = json_get_u64(job->result, "copy_ns", 0),
		.realtime_ns = usec_of(job) * 1000,
		.filename = outcome->path,
		.size_bytes = json_get_u64(outcome->made, "bytes_on_disk", 0),
		.partial = json_get_u64(job->result, "lost_bytes", 0),
		.crash = &crash,
		.summary = summary,
		.summary_bytes = job->manager->config->summary_bytes,
		.warnings = warnings,
		.n_warnings = n,
	};
	struct record *record = NULL;
	struct snap_error *err = record_create(job->id, &dump, &record);
	if (!err)
		err = recorder_add(job->manager->recorder, record);
	bool safe = !err;
	if (err)
		manager_log(LOG_WARNING, "crash of process %d: %s", job->id->pid, err->message);
	snap_error_destroy(err);
	return safe;
}

// ---- the end -------------------------------------------------------------------------------

/// The folder has done its work.
static void forget(struct crashjob *job)
{
	if (!*job->name) // it was never ours
		return;
	int r = crashfolder_remove(job->crashes_fd, job->name);
	if (r < 0 && r != -ENOENT)
		manager_log(LOG_WARNING, "cannot remove the folder crash/%s: %s", job->name,
			    strerror(-r));
	crashes_forget(job->crashes, job->name);
}

/// An Entry of the interface for what is not in the store.
static void announce(const struct crashjob *job)
{
	const struct procid *id = job->id;
	bool readable = owner_reads(job);
	struct json *entry = json_new_object();
	json_set_text(entry, "kind", store_kind_name(STORE_CRASH));
	json_set_u64(entry, "pid", (uint64_t)id->pid);
	json_set_u64(entry, "uid", id->uid);
	json_set_u64(entry, "gid", id->gid);
	json_set_text(entry, "comm",
		      procid_text(id, PROCID_COMM) ? procid_text(id, PROCID_COMM) : "");
	if (procid_text(id, PROCID_EXE))
		json_set_text(entry, "exe", procid_text(id, PROCID_EXE));
	if (procid_text(id, PROCID_UNIT))
		json_set_text(entry, "unit", procid_text(id, PROCID_UNIT));
	json_set_u64(entry, "timestamp_usec", usec_of(job));
	json_set_u64(entry, "signal", (uint64_t)MAX(signal_of(job), 0));
	json_set_bool(entry, "partial", true);
	json_set_bool(entry, "owner_reads", readable);
	json_set_bool(entry, "compressed", false);
	json_set_u64(entry, "core_bytes", 0);
	json_set_u64(entry, "disk_bytes", 0);
	manager_announce(job->manager, id->uid, readable, entry);
}

/// A crash of which there is no core, or none any more.
static void record_only(struct crashjob *job, const char *why)
{
	const struct outcome outcome = { .why_not = why };
	manager_log(LOG_NOTICE, "process %d of user %u crashed by signal %d; there is no core: %s",
		    job->id->pid, job->id->uid, signal_of(job), why);
	// It may be what fills the disk, on which the record has to find room.
	if (*job->name && unlinkat(job->folder, "core", 0) < 0 && errno != ENOENT)
		manager_log(LOG_WARNING, "cannot remove the core of crash %s: %s", job->name,
			    strerror(errno));
	if (!job->recorded) {
		(void)add_record(job, &outcome);
		announce(job);
	}
	forget(job);
}

/// The name that the dump will have, unless another has it by then; owned by the caller.
static char *foretell_path(const struct crashjob *job)
{
	const struct procid *id = job->id;
	struct dumpname parts = { .uid = id->uid,
				  .pid = id->pid,
				  .usec = usec_of(job),
				  .compressed = job->manager->config->compress != 0 };
	char name[DUMPNAME_MAX + 1], *path;
	dumpname_set_comm(&parts, procid_text(id, PROCID_COMM));
	(void)snprintf(parts.boot_id, sizeof(parts.boot_id), "%s", id->boot_id);
	if (dumpname_make(&parts, name) < 0 ||
	    asprintf(&path, "%s/%s", store_path(job->manager->store), name) < 0)
		return NULL;
	return path;
}

/// The bytes that the dump is expected to take. Compressed it is smaller, mostly by far; a guess
/// that is too large would push out dumps that could stay.
static uint64_t expected_bytes(const struct crashjob *job, const struct stat *core)
{
	return (uint64_t)core->st_blocks * 512 / (job->manager->config->compress ? 4 : 1);
}

/// Leaves the folder for another attempt. False when it has been there for too long, or when there
/// are too many of them.
static bool keep_core(struct crashjob *job)
{
	struct store_usage usage;
	struct stat st;
	if (fstatat(job->folder, "core", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	struct snap_error *err = store_usage(job->manager->store, &usage);
	if (err) {
		snap_error_destroy(err);
		usage = (struct store_usage){ 0 };
	}
	uint64_t now = snap_clock_ns(CLOCK_REALTIME) / 1000, then = usec_of(job);
	uint64_t max_age = usage.limits.max_age_usec;
	if (max_age && now > then && now - then > max_age)
		return false;
	uint64_t binaries = crashfolder_binaries_bytes(job->folder);
	const struct crashkept_core core = { .name = job->name,
					     .uid = job->id->uid,
					     .disk_bytes = (uint64_t)st.st_blocks * 512 + binaries,
					     .dump_bytes = expected_bytes(job, &st) + binaries };
	return crashes_keep(job->crashes, &core, usage.limits.max_use);
}

/**
 * There is a core, and no dump of it can be made now: the disk is full, the worker was killed, a
 * read failed. That may pass, so nothing is lost; but whoever waits for the record has it now.
 */
static void make_later(struct crashjob *job, const char *why)
{
	if (!keep_core(job)) {
		record_only(job, why);
		return;
	}
	if (job->recorded) {
		manager_log(LOG_NOTICE, "crash %s still has no dump: %s", job->name, why);
		return;
	}
	_cleanup_free_ char *path = foretell_path(job);
	const struct outcome outcome = { .path = path, .why_not = why };
	manager_log(LOG_NOTICE,
		    "process %d of user %u crashed by signal %d; its dump is made later: %s",
		    job->id->pid, job->id->uid, signal_of(job), why);
	if (add_record(job, &outcome))
		(void)crashfolder_set_recorded(job->folder);
	announce(job);
}

static struct json *metadata_of(const struct crashjob *job, const struct json *made)
{
	_cleanup_(json_destroyp) struct json *stacks = read_stacks(job);
	struct json *metadata = json_new_object();
	json_set_shared(metadata, "result", made);
	json_set_shared(metadata, "crash", job->facts);
	json_set_shared(metadata, "capture", job->result);
	if (job->binaries)
		json_set_shared(metadata, "binaries", job->binaries);
	if (stacks)
		json_set(metadata, "stacks", TAKE_PTR(stacks));
	return metadata;
}

/// Larger than all dumps together may be, whoever removes what.
static bool never_fits(const struct crashjob *job)
{
	struct store_usage usage;
	struct stat st;
	struct snap_error *err = store_usage(job->manager->store, &usage);
	bool known = !err && fstat(job->draft->core, &st) == 0;
	snap_error_destroy(err);
	return known && usage.limits.max_use &&
	       (uint64_t)st.st_blocks * 512 > usage.limits.max_use;
}

static struct snap_error *publish(struct crashjob *job, const struct json *made,
				  bool *ret_hopeless)
{
	_cleanup_store_removals_ struct store_removals removals = { 0 };
	_cleanup_(json_destroyp) struct json *metadata = metadata_of(job, made);
	_cleanup_free_ char *path = NULL;
	const struct store_entry *entry;
	const struct procid *id = job->id;
	const struct store_facts facts = {
		.kind = STORE_CRASH,
		.flags = (owner_reads(job) ? STORE_OWNER_READS : 0U) |
			 (json_get_u64(job->result, "lost_bytes", 0) ? STORE_PARTIAL : 0U),
		.pid = id->pid,
		.uid = id->uid,
		.gid = id->gid,
		.signal = signal_of(job),
		.rlimit = json_get_u64(job->facts, "rlimit", UINT64_MAX),
		.usec = usec_of(job),
		.comm = procid_text(id, PROCID_COMM) ? procid_text(id, PROCID_COMM) : "",
		.boot_id = id->boot_id,
		.exe = procid_text(id, PROCID_EXE),
		.unit = procid_text(id, PROCID_UNIT),
		.hostname = id->hostname,
		.mode = json_get_text(job->result, "mode"),
	};
	*ret_hopeless = never_fits(job);
	struct snap_error *err =
		store_publish(TAKE_PTR(job->draft), &facts, metadata, &removals, &entry);
	manager_log_removals(&removals);
	if (err)
		return err;
	if (asprintf(&path, "%s/%s", store_path(job->manager->store), entry->name) < 0)
		path = NULL;
	manager_log(LOG_INFO, "process %d of user %u crashed by signal %d: %s", id->pid, id->uid,
		    signal_of(job), entry->name);
	const struct outcome outcome = { .made = made, .entry = entry, .path = path };
	if (!job->recorded) {
		(void)add_record(job, &outcome);
		manager_announce_dump(job->manager, entry);
	}
	forget(job);
	return NULL;
}

static struct snap_error *start(struct crashjob *job, bool *ret_hopeless);

/// The dump is made of what the hook has in memory.
static void use_whole(struct crashjob *job)
{
	if (job->whole.fd < 0)
		return;
	job->part_result = TAKE_PTR(job->result);
	job->result = TAKE_PTR(job->whole.result);
	crashverdict_copy(job->part_result, job->result);
	if (json_get(job->part_result, "place"))
		json_set_shared(job->result, "place", json_get(job->part_result, "place"));
}

/// And now of what the folder has. False when it is that already.
static bool drop_whole(struct crashjob *job)
{
	if (job->whole.fd < 0)
		return false;
	crashjob_whole_deinit(&job->whole);
	json_destroy(job->result);
	job->result = TAKE_PTR(job->part_result);
	job->attempt = 0;
	return true;
}

static void on_progress(void *userdata _unused_, size_t position _unused_,
			const char *phase _unused_, uint64_t done _unused_, uint64_t total _unused_)
{
}

static void end(struct crashjob *job)
{
	struct crashes *crashes = job->crashes;
	char name[sizeof(job->name)];
	memcpy(name, job->name, sizeof(name));
	crashjob_destroy(job);
	crashes_ended(crashes, name);
}

static void give_up(struct crashjob *job, const char *why, bool hopeless)
{
	if (hopeless)
		record_only(job, why);
	else
		make_later(job, why);
}

static void on_end(void *userdata, const struct snap_error *err, struct json *made)
{
	struct crashjob *job = userdata;
	bool hopeless = false;
	struct snap_error *late = err ? NULL : publish(job, made, &hopeless);
	if (job->draft) {
		// The worker may have it open for a moment longer, and what comes next needs room.
		if (ftruncate(job->draft->core, 0) < 0)
			manager_log(LOG_WARNING, "cannot empty a file: %s", strerror(errno));
		store_drop(TAKE_PTR(job->draft));
	}
	if (err && (err->code == SNAP_CANCELLED || job->manager->stopping)) {
		end(job); // the next daemon makes it
		return;
	}
	const struct snap_error *why = err ? err : late;
	if (why) {
		manager_log(LOG_WARNING, "the dump of crash %s: %s", job->name, why->message);
		struct snap_error *again = NULL;
		bool more = err && why->code != SNAP_NO_SPACE && ++job->attempt < ATTEMPTS;
		if (more || drop_whole(job)) {
			again = start(job, &hopeless);
			if (!again)
				return;
		}
		give_up(job, again ? again->message : why->message, hopeless);
		snap_error_destroy(again);
		snap_error_destroy(late);
	}
	end(job);
}

// ---- the beginning -------------------------------------------------------------------------

static struct snap_error *begin_draft(struct crashjob *job, int core)
{
	_cleanup_store_removals_ struct store_removals removals = { 0 };
	struct stat st, part;
	if (fstat(core, &st) < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot look at the core");
	uint64_t expected = expected_bytes(job, &st);
	// It takes the place of the part that the folder has.
	if (job->whole.fd >= 0 && fstatat(job->folder, "core", &part, AT_SYMLINK_NOFOLLOW) == 0)
		expected = MIN(expected, (uint64_t)part.st_blocks * 512);
	struct store_request request = {
		.uid = job->id->uid,
		.compressed = job->manager->config->compress != 0,
		.core_bytes = expected,
	};
	struct snap_error *err = store_begin(job->manager->store, &request, &removals, &job->draft);
	// It is now or never: what is only a guess must not refuse it.
	if (err && err->code == SNAP_NO_SPACE && job->whole.fd >= 0) {
		snap_error_destroy(err);
		request.core_bytes = 0;
		err = store_begin(job->manager->store, &request, &removals, &job->draft);
	}
	manager_log_removals(&removals);
	return err;
}

/// Keeps the programs and libraries that the hook has left, for the worker, too. Returns what the
/// job points into, NULL for nothing.
static struct json *keep_binaries(struct crashjob *job)
{
	_cleanup_(json_destroyp) struct json *list = crashfolder_read_json(
		job->folder, BINARIES_FOLDER "/" BINARIES_LIST, BINARIES_LIST_MAX);
	_cleanup_free_ char *path = NULL;
	json_destroy(job->binaries);
	job->binaries = NULL;
	if (!list)
		return NULL;
	job->binaries = store_add_binaries(job->draft, job->folder, json_get(list, "files"),
					   owner_reads(job), &path);
	if (!path)
		return NULL;
	struct json *owner = json_new_object();
	json_set_message(owner, "binaries", path);
	return owner;
}

/// A power failure, or a file system without unnamed files, leaves one that never became a core.
/// -EBADMSG then; another error may pass.
static int check_core(int fd)
{
	char magic[SELFMAG];
	ssize_t n = snap_pread_full(fd, magic, sizeof(magic), 0);
	if (n < 0)
		return (int)n;
	return n == (ssize_t)sizeof(magic) && !memcmp(magic, ELFMAG, SELFMAG) ? 0 : -EBADMSG;
}

/// @ret_hopeless: there will never be a dump of this.
static struct snap_error *start(struct crashjob *job, bool *ret_hopeless)
{
	const struct config *config = job->manager->config;
	struct job_run *run;
	_cleanup_close_ int core = job->whole.fd >= 0 ? fcntl(job->whole.fd, F_DUPFD_CLOEXEC, 3) :
							crashfolder_open_core(job->folder);
	int r = core < 0 ? core : check_core(core);
	*ret_hopeless = r == -EBADMSG || r == -ELOOP;
	if (core < 0)
		return snap_error_errno(SNAP_FAILED, -r, "the core cannot be opened");
	if (r == -EBADMSG)
		return snap_error_new(SNAP_FAILED, "the core was not written to its end");
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, -r, "the core cannot be read");
	struct snap_error *err = begin_draft(job, core);
	if (err)
		return err;
	snap_closep(&job->stacks);
	job->stacks = memfd_create("stacks", MFD_CLOEXEC);
	struct json *owner = keep_binaries(job);
	struct job_request request = {
		.owner = owner,
		.job = { .binaries = json_get_text(owner, "binaries"),
			 .flags = JOB_FINISH | JOB_SYNC |
				  (config->compress ? JOB_COMPRESS : JOB_STREAM) |
				  (job->attempt ? JOB_NO_SUMMARY : 0U),
			 .level = (int)config->compress,
			 .pid = job->id->pid },
		.ref = { .pid = job->id->pid, .pidfd = fcntl(job->stacks, F_DUPFD_CLOEXEC, 3) },
		.spool = TAKE_FD(core),
		.output = fcntl(job->draft->core, F_DUPFD_CLOEXEC, 3),
		.uid = job->id->uid,
		.callbacks = { .progress = on_progress, .end = on_end },
		.userdata = job,
	};
	err = jobs_add(job->manager->jobs, &request, &run);
	if (err)
		store_drop(TAKE_PTR(job->draft));
	return err;
}

/// Of crashes that came while there was no daemon. What is too much of a core stays.
static void decide(struct crashjob *job)
{
	if (json_get_bool(job->result, "decided", false))
		return;
	_cleanup_(json_destroyp) struct json *answer = crashes_decide(
		job->crashes, job->folder, job->facts, json_get(job->result, "place"));
	crashverdict_copy(answer, job->result);
}

/// Its hook was killed before it could say who has crashed.
static bool tells_nothing(const struct crashjob *job)
{
	struct stat st;
	return !job->facts && fstatat(job->folder, "facts", &st, AT_SYMLINK_NOFOLLOW) < 0 &&
	       errno == ENOENT;
}

/// A dump of this crash whose daemon was killed before it had recorded it: it is made again.
static void remove_unfinished(const struct crashjob *job)
{
	struct store *store = job->manager->store;
	const struct store_entry *entry;
	for (size_t i = 0; (entry = store_at(store, i)); i++) {
		if (entry->kind != STORE_CRASH || entry->pid != job->id->pid ||
		    entry->usec != usec_of(job))
			continue;
		struct snap_error *err = store_remove(store, entry);
		if (err)
			manager_log(LOG_WARNING, "%s", err->message);
		snap_error_destroy(err);
		return;
	}
}

static bool begin(struct crashjob *job)
{
	job->facts = crashfolder_read_json(job->folder, "facts", JSON_MAX);
	if (tells_nothing(job)) {
		manager_log(LOG_WARNING, "nothing is known of crash %s", job->name);
		forget(job);
		return false;
	}
	job->result = crashfolder_read_json(job->folder, "result", JSON_MAX);
	job->recorded = crashfolder_is_recorded(job->folder) ||
			crashes_keeps(job->crashes, job->name);
	struct snap_error *err = identify(job);
	if (err) {
		manager_log(LOG_WARNING, "crash %s: %s", job->name, err->message);
		snap_error_destroy(err);
		return false;
	}
	const char *why = job->result ? json_get_text(job->result, "error") :
					"its hook was killed, or the disk is full";
	if (!job->result)
		job->result = json_new_object();
	decide(job);
	bool unwanted = is_text(job->result, "action", "drop");
	struct stat st;
	if (unwanted || fstatat(job->folder, "core", &st, AT_SYMLINK_NOFOLLOW) < 0) {
		const char *reason = json_get_text(job->result, "reason");
		record_only(job, unwanted && reason ? reason : why ? why : "there is none");
		return false;
	}
	remove_unfinished(job);
	use_whole(job);
	bool hopeless;
	err = start(job, &hopeless);
	if (err && drop_whole(job)) {
		manager_log(LOG_WARNING, "the dump of crash %s: %s", job->name, err->message);
		snap_error_destroy(err);
		err = start(job, &hopeless);
	}
	if (err)
		give_up(job, err->message, hopeless);
	bool begun = !err;
	snap_error_destroy(err);
	return begun;
}

struct crashjob *crashjob_begin(struct manager *manager, struct crashes *crashes, int crashes_fd,
				const char *name, struct crashjob_whole *whole)
{
	_cleanup_(crashjob_destroyp) struct crashjob *job = calloc(1, sizeof(*job));
	if (!job)
		return NULL;
	job->manager = manager;
	job->crashes = crashes;
	job->crashes_fd = crashes_fd;
	job->stacks = -EBADF;
	job->whole = *whole;
	*whole = CRASHJOB_WHOLE_NULL;
	(void)snprintf(job->name, sizeof(job->name), "%s", name);
	job->folder = crashfolder_open(crashes_fd, name);
	if (job->folder < 0 || !begin(job))
		return NULL;
	return TAKE_PTR(job);
}

void crashjob_record(struct manager *manager, struct crashes *crashes, int folder,
		     const struct json *facts, const char *why)
{
	struct crashjob job = { .manager = manager,
				.crashes = crashes,
				.folder = folder,
				.stacks = -EBADF,
				.whole = CRASHJOB_WHOLE_NULL,
				.facts = json_share(facts),
				.result = json_new_object() };
	struct snap_error *err = identify(&job);
	if (!err)
		record_only(&job, why);
	else
		manager_log(LOG_WARNING, "crash: %s", err->message);
	snap_error_destroy(err);
	json_destroy(job.facts);
	json_destroy(job.result);
	procid_destroy(job.id);
}
