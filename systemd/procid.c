// SPDX-License-Identifier: LGPL-2.1-or-later
#include "procid.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-login.h>

#include "common/fd.h"
#include "common/str.h"
#include "common/strbuf.h"
#include "openfds.h"

/// Files of /proc/PID that are taken as they are.
static const struct {
	const char *name;
	size_t max_bytes;
	enum procid_field field;
	bool lines; ///< is cut at the end of a line
} files[] = {
	// 15 bytes; 63 for kernel threads.
	{ "comm", 256, PROCID_COMM, false },
	// 1.5 KiB, but for a list of supplementary groups that may be long.
	{ "status", 16 << 10, PROCID_PROC_STATUS, true },
	// 2500 mappings, several times of what usual programs have; the core lists all.
	{ "maps", 256 << 10, PROCID_PROC_MAPS, true },
	// A fixed table of 1.3 KiB.
	{ "limits", 4 << 10, PROCID_PROC_LIMITS, true },
	// A path for each of at most 13 hierarchies.
	{ "cgroup", 16 << 10, PROCID_PROC_CGROUP, true },
	// 400 mounts, as on a host with many containers.
	{ "mountinfo", 64 << 10, PROCID_PROC_MOUNTINFO, true },
	// Some 25 pairs of numbers; glibc does not take more than 400 bytes either.
	{ "auxv", 4 << 10, PROCID_PROC_AUXV, false },
};

enum {
	CMDLINE_MAX = 16 << 10, // a page of what people read; compilers have longer ones
	ENVIRON_MAX = 64 << 10, // half of what execve() takes as one string
};

static void set_text(struct procid *id, enum procid_field field, struct strbuf *text)
{
	id->fields[field] = (struct procid_text){ .data = text->data, .len = text->len };
	*text = (struct strbuf){ 0 };
}

/// Makes the text shorter, and what was allocated for the longest possible one, too.
static void cut_to(struct strbuf *buf, size_t len)
{
	char *smaller = realloc(buf->data, len + 1);
	if (smaller)
		buf->data = smaller;
	buf->len = len;
	if (buf->data)
		buf->data[len] = '\0';
}

/// Reads up to @max bytes of a file; 1 when there were more, or a negative errno.
static int read_some(int procfd, const char *name, size_t max, struct strbuf *ret)
{
	_cleanup_close_ int fd = openat(procfd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	int r = strbuf_reserve(ret, max + 1);
	if (r < 0)
		return r;
	while (ret->len <= max) {
		ssize_t n = read(fd, ret->data + ret->len, max + 1 - ret->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		ret->len += (size_t)n;
	}
	bool cut = ret->len > max;
	cut_to(ret, MIN(ret->len, max));
	return cut;
}

static int read_file(struct procid *id, int procfd, size_t i)
{
	_cleanup_strbuf_ struct strbuf buf = { 0 };
	int r = read_some(procfd, files[i].name, files[i].max_bytes, &buf);
	if (r < 0 || !buf.len)
		return r == -ENOMEM ? r : 0;
	if (r > 0) {
		id->cut |= 1U << files[i].field;
		const char *end = files[i].lines ? memrchr(buf.data, '\n', buf.len) : NULL;
		if (end)
			cut_to(&buf, (size_t)(end + 1 - buf.data));
	} else if (files[i].field == PROCID_COMM && buf.data[buf.len - 1] == '\n') {
		cut_to(&buf, buf.len - 1); // the kernel's; those before it are of the name
	}
	set_text(id, files[i].field, &buf);
	return 0;
}

static int read_link(struct procid *id, int procfd, enum procid_field field, const char *name)
{
	char *target = NULL;
	int r = snap_readlink_at(procfd, name, &target);
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

static int add_escaped(struct strbuf *buf, const char *text, size_t len)
{
	_cleanup_free_ char *escaped = snap_escape(text, len);
	return escaped ? strbuf_add(buf, escaped, strlen(escaped)) : -ENOMEM;
}

/// Strings that end with NULs as one text, @separator between them and each made fit by @add.
static int read_strings(struct procid *id, int procfd, enum procid_field field, const char *name,
			size_t max, char separator,
			int (*add)(struct strbuf *buf, const char *text, size_t len))
{
	_cleanup_strbuf_ struct strbuf raw = { 0 }, text = { 0 };
	int r = read_some(procfd, name, max, &raw);
	if (r < 0 || !raw.len)
		return r == -ENOMEM ? r : 0;
	if (r > 0)
		id->cut |= 1U << field;
	// Programs that write their status there (setproctitle()) leave NULs behind it.
	while (raw.len && !raw.data[raw.len - 1])
		raw.len--;
	raw.data[raw.len] = '\0';
	r = 0;
	for (size_t pos = 0; r == 0 && pos < raw.len;) {
		size_t len = strnlen(raw.data + pos, raw.len - pos);
		if (pos)
			r = strbuf_add(&text, &separator, 1);
		if (r == 0)
			r = add(&text, raw.data + pos, len);
		pos += len + 1;
	}
	if (r < 0)
		return r;
	if (text.len)
		set_text(id, field, &text);
	return 0;
}

/// The next number of a line of /proc; false when there is none.
static bool take_number(const char **p, uint64_t *ret)
{
	char digits[24];
	*p += strspn(*p, " \t");
	size_t len = strspn(*p, "0123456789");
	if (!len || len >= sizeof(digits))
		return false;
	memcpy(digits, *p, len);
	digits[len] = '\0';
	*p += len;
	return snap_parse_u64(digits, ret) == 0;
}

/// Reads "Uid:" or "Gid:" of status: real, effective, saved and of the file system.
static bool parse_ids(const char *status, const char *key, uint32_t *ret_real, bool *ret_same)
{
	const char *line = snap_line_value(status, key);
	uint64_t v[4];
	if (!line)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(v); i++)
		if (!take_number(&line, &v[i]) || v[i] > UINT32_MAX)
			return false;
	*ret_real = (uint32_t)v[0];
	*ret_same = v[0] == v[1] && v[0] == v[2] && v[0] == v[3];
	return true;
}

/// Finds out whose process it is, and whether it may be shown to him.
static void find_ids(struct procid *id, int procfd)
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

	// Files of a process that may not be dumped belong to root; the directory itself is an
	// exception (task_dump_owner() in the kernel's fs/proc/base.c).
	struct stat st;
	id->plain = same_uids && same_gids && fstatat(procfd, "environ", &st, 0) == 0 &&
		    st.st_uid == uid && st.st_gid == gid;
}

static void find_rlimit_core(struct procid *id)
{
	const char *limits = procid_text(id, PROCID_PROC_LIMITS);
	const char *line = limits ? snap_line_value(limits, "Max core file size") : NULL;
	uint64_t bytes;
	id->rlimit_core = UINT64_MAX; // also what "unlimited" means
	if (line && take_number(&line, &bytes))
		id->rlimit_core = bytes;
}

static int find_start(struct procid *id, int procfd)
{
	_cleanup_strbuf_ struct strbuf stat = { 0 };
	int r = read_some(procfd, "stat", 4096, &stat);
	if (r < 0 || !stat.len)
		return r == -ENOMEM ? r : 0;
	// The name, in parentheses, may hold anything, parentheses too.
	const char *p = strrchr(stat.data, ')');
	for (int field = 3; p && field <= 22; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	uint64_t ticks;
	if (p && take_number(&p, &ticks))
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

/// The path of cgroup v2, where libsystemd does not know the layout of the hierarchies.
static int find_cgroup(struct procid *id)
{
	const char *text = procid_text(id, PROCID_PROC_CGROUP);
	const char *line = text ? snap_line_value(text, "0::") : NULL;
	if (!line || id->fields[PROCID_CGROUP].data)
		return 0;
	size_t len = strcspn(line, "\n");
	char *path = strndup(line, len);
	if (!path)
		return -ENOMEM;
	id->fields[PROCID_CGROUP] = (struct procid_text){ .data = path, .len = strlen(path) };
	return 0;
}

/// What systemd calls it. All is in the path of the control group, which no process chooses
/// without the right to write there.
static int find_units(struct procid *id, const struct pidref *ref)
{
	static const struct {
		enum procid_field field;
		int (*get)(pid_t pid, char **ret);
	} names[] = {
		{ PROCID_CGROUP, sd_pid_get_cgroup },	    { PROCID_UNIT, sd_pid_get_unit },
		{ PROCID_USER_UNIT, sd_pid_get_user_unit }, { PROCID_SLICE, sd_pid_get_slice },
		{ PROCID_SESSION, sd_pid_get_session },
	};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char *name = NULL;
		int r = names[i].get(ref->pid, &name);
		if (r == -ENOMEM)
			return r;
		if (r >= 0 && name)
			id->fields[names[i].field] =
				(struct procid_text){ .data = name, .len = strlen(name) };
	}
	uid_t owner;
	id->owner_uid = sd_pid_get_owner_uid(ref->pid, &owner) >= 0 ? owner : (uid_t)-1;

	// By number, all of it.
	if (pidref_verify(ref) == 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		free(id->fields[names[i].field].data);
		id->fields[names[i].field] = (struct procid_text){ 0 };
	}
	id->owner_uid = (uid_t)-1;
	return 0;
}

static bool is_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// Docker, Podman, containerd and CRI-O name control groups "docker-ID.scope" or just "ID", with
/// 64 hexadecimal digits. The innermost container counts.
static int find_container(struct procid *id)
{
	enum { DIGITS = 64 };
	const char *path = procid_text(id, PROCID_CGROUP), *found = NULL;
	for (const char *p = path; p && *p;) {
		size_t len = strspn(p, "0123456789abcdef");
		if (len == DIGITS && (p == path || !is_word(p[-1])) && !is_word(p[len]))
			found = p;
		p += len ? len : 1;
	}
	if (!found)
		return 0;
	char *text = strndup(found, DIGITS);
	if (!text)
		return -ENOMEM;
	id->fields[PROCID_CONTAINER] = (struct procid_text){ .data = text, .len = DIGITS };
	return 0;
}

static int read_all(struct procid *id, int procfd, uint32_t flags)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(files); i++)
		r = read_file(id, procfd, i);
	if (r == 0)
		r = read_link(id, procfd, PROCID_EXE, "exe");
	if (r == 0)
		r = read_link(id, procfd, PROCID_CWD, "cwd");
	if (r == 0)
		r = read_link(id, procfd, PROCID_ROOT, "root");
	if (r == 0 && flags & PROCID_WITH_CMDLINE)
		r = read_strings(id, procfd, PROCID_CMDLINE, "cmdline", CMDLINE_MAX, ' ',
				 add_quoted);
	if (r == 0 && flags & PROCID_WITH_ENVIRON)
		r = read_strings(id, procfd, PROCID_ENVIRON, "environ", ENVIRON_MAX, '\n',
				 add_escaped);
	if (r == 0) {
		_cleanup_strbuf_ struct strbuf fds = { 0 };
		r = openfds_read(procfd, &fds);
		if (r > 0)
			id->cut |= 1U << PROCID_OPEN_FDS;
		r = MIN(r, 0);
		if (fds.len)
			set_text(id, PROCID_OPEN_FDS, &fds);
	}
	return r < 0 ? r : find_start(id, procfd);
}

struct snap_error *procid_create(const struct pidref *ref, uint32_t flags, struct procid **ret)
{
	_cleanup_close_ int procfd = pidref_open_proc(ref);
	if (procfd == -ESRCH)
		return snap_error_new(SNAP_NO_PROCESS, "process %d is gone", ref->pid);
	if (procfd < 0)
		return snap_error_errno(SNAP_FAILED, -procfd, "cannot open /proc/%d", ref->pid);
	_cleanup_(procid_destroyp) struct procid *id = calloc(1, sizeof(*id));
	if (!id)
		return snap_error_oom();
	id->pid = ref->pid;
	id->uid = (uid_t)-1;
	id->gid = (gid_t)-1;
	id->owner_uid = (uid_t)-1;

	int r = read_all(id, procfd, flags);
	if (r == 0) {
		find_ids(id, procfd);
		find_rlimit_core(id);
		find_host(id);
		r = find_units(id, ref);
	}
	if (r == 0)
		r = find_cgroup(id);
	if (r == 0)
		r = find_container(id);
	if (r < 0)
		return snap_error_oom();
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
