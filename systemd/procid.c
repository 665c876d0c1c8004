// SPDX-License-Identifier: LGPL-2.1-or-later
#include "procid.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <systemd/sd-id128.h>

#include "cgpath.h"
#include "common/fd.h"
#include "common/leader.h"
#include "common/openfds.h"
#include "common/procfolder.h"
#include "common/str.h"
#include "common/strbuf.h"

/// Files of /proc/PID that are taken as they are; procfolder.c has their limits.
static const struct {
	const char *name;
	enum procid_field field;
	bool lines; ///< is cut at the end of a line
} files[] = {
	{ "comm", PROCID_COMM, false },
	{ "status", PROCID_PROC_STATUS, true },
	{ "maps", PROCID_PROC_MAPS, true },
	{ "limits", PROCID_PROC_LIMITS, true },
	{ "cgroup", PROCID_PROC_CGROUP, true },
	{ "mountinfo", PROCID_PROC_MOUNTINFO, true },
	{ "auxv", PROCID_PROC_AUXV, false },
};

/// Where one reads: /proc/PID, or a copy of it.
struct place {
	int dirfd;
	bool live;
};

static void set_text(struct procid *id, enum procid_field field, struct strbuf *text)
{
	id->fields[field] = (struct procid_text){ .data = text->data, .len = text->len };
	*text = (struct strbuf){ 0 };
}

static void shorten(struct strbuf *buf, size_t len)
{
	buf->len = len;
	buf->data[len] = '\0';
}

static int read_file(struct procid *id, const struct place *at, size_t i)
{
	_cleanup_strbuf_ struct strbuf buf = { 0 };
	int r = procfolder_read(at->dirfd, files[i].name, procfolder_max(files[i].name), &buf);
	if (r < 0 || !buf.len)
		return r == -ENOMEM ? r : 0;
	if (r > 0) {
		id->cut |= 1U << files[i].field;
		const char *end = files[i].lines ? memrchr(buf.data, '\n', buf.len) : NULL;
		if (end)
			shorten(&buf, (size_t)(end + 1 - buf.data));
	} else if (files[i].field == PROCID_COMM && buf.data[buf.len - 1] == '\n') {
		shorten(&buf, buf.len - 1); // the kernel's; those before it are of the name
	}
	set_text(id, files[i].field, &buf);
	return 0;
}

static int read_link(struct procid *id, const struct place *at, enum procid_field field,
		     const char *name)
{
	enum { TARGET_MAX = 64 << 10 }; // as snap_readlink_at() has it
	_cleanup_strbuf_ struct strbuf buf = { 0 };
	char *target = NULL;
	int r;
	if (!at->live) {
		r = procfolder_read(at->dirfd, name, TARGET_MAX, &buf);
		if (r == 0 && buf.len)
			set_text(id, field, &buf);
		return r == -ENOMEM ? r : 0;
	}
	r = snap_readlink_at(at->dirfd, name, &target);
	if (r < 0)
		return r == -ENOMEM ? r : 0; // kernel threads have no exe
	id->fields[field] = (struct procid_text){ .data = target, .len = strlen(target) };
	return 0;
}

/// Adds @len bytes of an argument so that a shell reads it as one word, and a person as one line.
static int add_quoted(struct strbuf *buf, const char *arg, size_t len)
{
	static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				   "%+,-./:=@_^";
	if (len && strspn(arg, safe) >= len)
		return strbuf_add(buf, arg, len);

	// $'...' knows \xNN, which snap_escape() makes of all that is not printable, and of \.
	_cleanup_free_ char *escaped = snap_escape(arg, len);
	if (!escaped)
		return -ENOMEM;
	bool dollar = strchr(escaped, '\\') != NULL;
	int r = strbuf_addf(buf, "%s", dollar ? "$'" : "'");
	for (const char *p = escaped; r == 0 && *p; p++)
		r = *p != '\'' ? strbuf_add(buf, p, 1) :
				 strbuf_addf(buf, "%s", dollar ? "\\'" : "'\\''");
	return r < 0 ? r : strbuf_add(buf, "'", 1);
}

/// As systemd escapes environments (cescape()): all but printable ASCII, quotes and backslashes.
static int add_c_escaped(struct strbuf *buf, const char *text, size_t len)
{
	static const char special[] = "\a\b\f\n\r\t\v\\\"'", letters[] = "abfnrtv\\\"'";
	int r = 0;
	for (size_t i = 0; r == 0 && i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		const char *found = c ? strchr(special, c) : NULL;
		if (found)
			r = strbuf_addf(buf, "\\%c", letters[found - special]);
		else if (c < ' ' || c >= 0x7f)
			r = strbuf_addf(buf, "\\%03o", c);
		else
			r = strbuf_add(buf, &text[i], 1);
	}
	return r;
}

/// Strings that end with NULs as one text, @separator between them and each made fit by @add.
static int join_strings(struct procid *id, enum procid_field field, struct strbuf *raw,
			char separator,
			int (*add)(struct strbuf *buf, const char *text, size_t len))
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	// Programs that write their status there (setproctitle()) leave NULs behind it.
	while (raw->len && !raw->data[raw->len - 1])
		raw->len--;
	int r = 0;
	for (size_t pos = 0; r == 0 && pos < raw->len;) {
		size_t len = strnlen(raw->data + pos, raw->len - pos);
		if (pos)
			r = strbuf_add(&text, &separator, 1);
		if (r == 0)
			r = add(&text, raw->data + pos, len);
		pos += len + 1;
	}
	if (r == 0 && text.len)
		set_text(id, field, &text);
	return r;
}

static int read_cmdline(struct procid *id, const struct place *at)
{
	_cleanup_strbuf_ struct strbuf raw = { 0 };
	int r = procfolder_read(at->dirfd, "cmdline", procfolder_max("cmdline"), &raw);
	if (r > 0)
		id->cut |= 1U << PROCID_CMDLINE;
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	return join_strings(id, PROCID_CMDLINE, &raw, ' ', add_quoted);
}

/// Whoever may not see the environment still hears in which container it was.
static int read_environ(struct procid *id, const struct place *at, bool show)
{
	_cleanup_strbuf_ struct strbuf raw = { 0 };
	int r = procfolder_read(at->dirfd, "environ", procfolder_max("environ"), &raw);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	container_add_environ(&id->container, raw.data, raw.len);
	if (!show)
		return 0;
	if (r > 0)
		id->cut |= 1U << PROCID_ENVIRON;
	r = join_strings(id, PROCID_ENVIRON, &raw, '\n', add_c_escaped);
	struct procid_text *text = &id->fields[PROCID_ENVIRON];
	if (r < 0 || !text->data)
		return r;
	// The last line ends like the others.
	char *longer = realloc(text->data, text->len + 2);
	if (!longer)
		return -ENOMEM;
	text->data = longer;
	longer[text->len++] = '\n';
	longer[text->len] = '\0';
	return 0;
}

static int read_leader(struct procid *id, const struct place *at)
{
	_cleanup_strbuf_ struct strbuf raw = { 0 };
	size_t max = procfolder_max("cmdline");
	int r = at->live ? leader_read_cmdline(at->dirfd, max, &raw) :
			   procfolder_read(at->dirfd, "container_cmdline", max, &raw);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	return join_strings(id, PROCID_CONTAINER_CMDLINE, &raw, ' ', add_quoted);
}

static int read_fds(struct procid *id, const struct place *at)
{
	enum { FDS_MAX = 256 << 10 }; // more than openfds_read() writes
	static const char more[] = "\n\n"; // how procfolder_copy() says so
	_cleanup_strbuf_ struct strbuf fds = { 0 };
	int r = at->live ? openfds_read(at->dirfd, &fds) :
			   procfolder_read(at->dirfd, "fds", FDS_MAX, &fds);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	size_t n = sizeof(more) - 1;
	if (!at->live && fds.len >= n && !memcmp(fds.data + fds.len - n, more, n)) {
		shorten(&fds, fds.len - 1);
		r = 1;
	}
	if (r > 0)
		id->cut |= 1U << PROCID_OPEN_FDS;
	if (fds.len)
		set_text(id, PROCID_OPEN_FDS, &fds);
	return 0;
}

/// Reads "Uid:" or "Gid:" of status: real, effective, saved and of the file system.
static bool parse_ids(const char *status, const char *key, uint32_t *ret_real, bool *ret_same)
{
	const char *line = snap_line_value(status, key);
	uint64_t v[4];
	if (!line)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(v); i++)
		if (snap_take_u64(&line, &v[i]) < 0 || v[i] > UINT32_MAX)
			return false;
	*ret_real = (uint32_t)v[0];
	*ret_same = v[0] == v[1] && v[0] == v[2] && v[0] == v[3];
	return true;
}

/// Files of a process that may not be dumped belong to root; the directory itself is an exception
/// (task_dump_owner() in the kernel's fs/proc/base.c).
static bool belongs_to(const struct place *at, uid_t uid, gid_t gid)
{
	enum { OWNER_MAX = 64 };
	_cleanup_strbuf_ struct strbuf text = { 0 };
	struct stat st;
	if (at->live)
		return fstatat(at->dirfd, "environ", &st, 0) == 0 && st.st_uid == uid &&
		       st.st_gid == gid;
	uint64_t user, group;
	if (procfolder_read(at->dirfd, "owner", OWNER_MAX, &text) != 0 || !text.len)
		return false;
	const char *p = text.data;
	return snap_take_u64(&p, &user) == 0 && snap_take_u64(&p, &group) == 0 && user == uid &&
	       group == gid;
}

/// Finds out whose process it is, and whether it may be shown to him.
static void find_ids(struct procid *id, const struct place *at)
{
	const char *status = procid_text(id, PROCID_PROC_STATUS);
	bool same_uids, same_gids;
	uint32_t uid, gid;
	if (!status || !parse_ids(status, "Uid:", &uid, &same_uids) ||
	    !parse_ids(status, "Gid:", &gid, &same_gids))
		return;
	id->uid = uid;
	id->gid = gid;
	id->ids_known = true;

	id->plain = same_uids && same_gids && belongs_to(at, uid, gid);

	// "NSpid: 4711 12 1": what it is called in its own namespace comes last.
	const char *line = snap_line_value(status, "NSpid:");
	uint64_t pid;
	while (line && snap_take_u64(&line, &pid) == 0)
		id->ns_pid = (pid_t)pid;
}

static void find_rlimit_core(struct procid *id)
{
	const char *limits = procid_text(id, PROCID_PROC_LIMITS);
	uint64_t bytes;
	id->rlimit_core = UINT64_MAX; // also what "unlimited" means
	if (limits && snap_line_u64(limits, "Max core file size", &bytes) == 0)
		id->rlimit_core = bytes;
}

static int find_start(struct procid *id, const struct place *at)
{
	_cleanup_strbuf_ struct strbuf stat = { 0 };
	int r = procfolder_read(at->dirfd, "stat", procfolder_max("stat"), &stat);
	if (r < 0 || !stat.len)
		return r == -ENOMEM ? r : 0;
	// The name, in parentheses, may hold anything, parentheses too.
	const char *p = strrchr(stat.data, ')');
	for (int field = 3; p && field <= 22; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	uint64_t ticks;
	if (p && snap_take_u64(&p, &ticks) == 0)
		id->start_ticks = ticks;
	return 0;
}

static void find_host(struct procid *id)
{
	if (gethostname(id->hostname, sizeof(id->hostname) - 1) < 0)
		id->hostname[0] = '\0';
	sd_id128_t boot;
	if (sd_id128_get_boot(&boot) >= 0)
		(void)sd_id128_to_string(boot, id->boot_id); // has no error
}

/// Takes @name when there was no error; only -ENOMEM counts as one.
static int take_name(struct procid *id, enum procid_field field, int r, char *name)
{
	if (r < 0 || !name)
		return r == -ENOMEM ? r : 0;
	id->fields[field] = (struct procid_text){ .data = name, .len = strlen(name) };
	return 0;
}

/// What systemd calls it, and which container that is. All is in the path of the control group,
/// which no process chooses without the right to write there.
static int find_units(struct procid *id)
{
	static const struct {
		enum procid_field field;
		int (*get)(const char *path, char **ret);
	} names[] = {
		{ PROCID_UNIT, cgpath_unit },
		{ PROCID_USER_UNIT, cgpath_user_unit },
		{ PROCID_SLICE, cgpath_slice },
		{ PROCID_SESSION, cgpath_session },
	};
	const struct procid_text *text = &id->fields[PROCID_PROC_CGROUP];
	_cleanup_free_ char *root = NULL;
	char *path = NULL;
	if (!text->data)
		return 0;
	int r = cgpath_from_text(text->data, text->len, &path);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	(void)take_name(id, PROCID_CGROUP, 0, path); // cannot fail
	container_from_cgroup(path, &id->container);

	ssize_t n = snap_read_file_at(AT_FDCWD, "/proc/1/cgroup", procfolder_max("cgroup"), &root);
	if (n > 0)
		path = (char *)(uintptr_t)cgpath_below_root(path, root, (size_t)n);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char *name = NULL;
		r = names[i].get(path, &name);
		r = take_name(id, names[i].field, r, name);
		if (r < 0)
			return r;
	}
	uid_t owner;
	if (cgpath_owner_uid(path, &owner) == 0)
		id->owner_uid = owner;
	return 0;
}

static int read_all(struct procid *id, const struct place *at, uint32_t flags)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(files); i++)
		r = read_file(id, at, i);
	if (r == 0)
		r = read_link(id, at, PROCID_EXE, "exe");
	if (r == 0)
		r = read_link(id, at, PROCID_CWD, "cwd");
	if (r == 0)
		r = read_link(id, at, PROCID_ROOT, "root");
	if (r == 0)
		r = find_units(id);
	if (r == 0 && procid_text(id, PROCID_PROC_MOUNTINFO))
		container_add_mounts(&id->container, procid_text(id, PROCID_PROC_MOUNTINFO));
	if (r == 0 && flags & PROCID_WITH_CMDLINE)
		r = read_cmdline(id, at);
	if (r == 0)
		r = read_environ(id, at, flags & PROCID_WITH_ENVIRON);
	if (r == 0 && flags & PROCID_WITH_CMDLINE)
		r = read_leader(id, at);
	if (r == 0)
		r = read_fds(id, at);
	return r < 0 ? r : find_start(id, at);
}

struct snap_error *procid_create_at(int dirfd, pid_t pid, uint32_t flags, struct procid **ret)
{
	struct statfs fs;
	struct place at = { .dirfd = dirfd };
	at.live = fstatfs(dirfd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
	_cleanup_(procid_destroyp) struct procid *id = calloc(1, sizeof(*id));
	if (!id)
		return snap_error_oom();
	id->pid = pid;
	id->uid = (uid_t)-1;
	id->gid = (gid_t)-1;
	id->owner_uid = (uid_t)-1;
	int r = read_all(id, &at, flags);
	if (r < 0)
		return snap_error_oom();
	find_ids(id, &at);
	find_rlimit_core(id);
	find_host(id);
	*ret = TAKE_PTR(id);
	return NULL;
}

struct snap_error *procid_create(const struct pidref *ref, uint32_t flags, struct procid **ret)
{
	_cleanup_(procid_destroyp) struct procid *id = NULL;
	_cleanup_close_ int procfd = pidref_open_proc(ref);
	if (procfd == -ESRCH)
		return snap_error_new(SNAP_NO_PROCESS, "process %d is gone", ref->pid);
	if (procfd < 0)
		return snap_error_errno(SNAP_FAILED, -procfd, "cannot open /proc/%d", ref->pid);
	struct snap_error *err = procid_create_at(procfd, ref->pid, flags, &id);
	if (err || !id)
		return err;
	if (!id->ids_known && pidref_verify(ref) < 0)
		return snap_error_new(SNAP_NO_PROCESS, "process %d is gone", ref->pid);
	*ret = TAKE_PTR(id);
	return NULL;
}

void procid_destroy(struct procid *id)
{
	if (!id)
		return;
	for (size_t i = 0; i < PROCID_FIELD_MAX; i++)
		free(id->fields[i].data);
	free(id);
}

const char *procid_text(const struct procid *id, enum procid_field field)
{
	return id->fields[field].data;
}
