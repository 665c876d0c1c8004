// SPDX-License-Identifier: LGPL-2.1-or-later
#include "sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "fd.h"
#include "str.h"

enum {
	VALUE_MAX_BYTES = 4096, // the longest there is has 128
	UNIX_MAX_BYTES = 64 << 20, // a line of 100 bytes for each socket of the machine
};

// Numbers of the first namespaces, the same in all kernels since 3.8 (include/linux/proc_ns.h).
static const ino_t FIRST_USER_NS = 0xEFFFFFFD, FIRST_PID_NS = 0xEFFFFFFC;
// The mount namespace since 6.17; before, the first of the numbers that are given one by one.
static const ino_t FIRST_MNT_NS = 0xEFFFFFF8, DYNAMIC_NS = 0xF0000000;

static const struct {
	const char *name, *path;
} keys[SYSCTL_KEY_MAX] = {
	[SYSCTL_CORE_PATTERN] = { "kernel.core_pattern", "/proc/sys/kernel/core_pattern" },
	[SYSCTL_CORE_PIPE_LIMIT] = { "kernel.core_pipe_limit", "/proc/sys/kernel/core_pipe_limit" },
	[SYSCTL_SUID_DUMPABLE] = { "fs.suid_dumpable", "/proc/sys/fs/suid_dumpable" },
};

const char *sysctl_name(enum sysctl_key key)
{
	return keys[key].name;
}

static char *below(const char *root, const char *path)
{
	char *all;
	return asprintf(&all, "%s%s", root, path) < 0 ? NULL : all;
}

struct snap_error *sysctl_read(const char *root, enum sysctl_key key, char **ret)
{
	_cleanup_free_ char *path = below(root, keys[key].path), *text = NULL;
	if (!path)
		return snap_error_oom();
	ssize_t n = snap_read_file_at(AT_FDCWD, path, VALUE_MAX_BYTES, &text);
	if (n == -ENOMEM)
		return snap_error_oom();
	if (n < 0)
		return snap_error_errno(SNAP_FAILED, (int)-n, "cannot read '%s'", path);
	text[strcspn(text, "\n")] = '\0';
	*ret = TAKE_PTR(text);
	return NULL;
}

static struct snap_error *write_error(int errnum, const char *path)
{
	if (errnum == EROFS)
		return snap_error_new(SNAP_NOT_PERMITTED,
				      "cannot write '%s', which is read-only here, as in a "
				      "container; run this on the host",
				      path);
	if (errnum == EACCES || errnum == EPERM)
		return snap_error_errno(SNAP_NOT_PERMITTED, errnum,
					"cannot write '%s'; only root of the host may", path);
	return snap_error_errno(SNAP_FAILED, errnum, "cannot write '%s'", path);
}

struct snap_error *sysctl_write(const char *root, enum sysctl_key key, const char *value)
{
	_cleanup_free_ char *path = below(root, keys[key].path), *line = NULL, *now = NULL;
	// With a newline, since to write nothing would change nothing.
	int n = path ? asprintf(&line, "%s\n", value) : -1;
	if (n < 0) {
		line = NULL;
		return snap_error_oom();
	}
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return write_error(errno, path);
	// In one piece: the kernel takes each call for a whole value.
	ssize_t written = write(fd, line, (size_t)n);
	if (written < 0)
		return write_error(errno, path);
	// The kernel has no rest of a longer value, but files of tests have.
	struct stat st;
	if (fstat(fd, &st) == 0 && st.st_size > n && ftruncate(fd, n) < 0)
		return write_error(errno, path);
	struct snap_error *err = sysctl_read(root, key, &now);
	if (err)
		return err;
	if (!strcmp(now, value))
		return NULL;
	_cleanup_free_ char *is = snap_escape(now, strlen(now));
	_cleanup_free_ char *wanted = snap_escape(value, strlen(value));
	return snap_error_new(SNAP_FAILED, "the kernel does not take '%s' for %s: it has '%s' then",
			      wanted ? wanted : "?", keys[key].name, is ? is : "?");
}

void sysctl_values_deinit(struct sysctl_values *values)
{
	for (size_t i = 0; i < SYSCTL_KEY_MAX; i++)
		free(values->of[i]);
	*values = (struct sysctl_values){ 0 };
}

struct snap_error *sysctl_read_all(const char *root, struct sysctl_values *ret)
{
	_cleanup_sysctl_values_ struct sysctl_values values = { 0 };
	for (enum sysctl_key key = 0; key < SYSCTL_KEY_MAX; key++) {
		struct snap_error *err = sysctl_read(root, key, &values.of[key]);
		if (err)
			return err;
	}
	*ret = values;
	memset(&values, 0, sizeof(values));
	return NULL;
}

// ---- what the kernel can do, and where we are ----------------------------------------------

/// "6.17.3-generic" is at least 6.17.
static bool is_at_least(const char *release, uint64_t major, uint64_t minor)
{
	uint64_t a, b;
	return snap_take_u64(&release, &a) == 0 && *release++ == '.' &&
	       snap_take_u64(&release, &b) == 0 && (a > major || (a == major && b >= minor));
}

bool sysctl_has_coredump_socket(const char *root)
{
	_cleanup_free_ char *modes_path = below(root, "/proc/sys/kernel/core_modes");
	_cleanup_free_ char *release_path = below(root, "/proc/sys/kernel/osrelease");
	_cleanup_free_ char *modes = NULL, *release = NULL;
	if (!modes_path || !release_path ||
	    snap_read_file_at(AT_FDCWD, modes_path, VALUE_MAX_BYTES, &modes) < 0 ||
	    snap_read_file_at(AT_FDCWD, release_path, VALUE_MAX_BYTES, &release) < 0)
		return false;
	char *state = NULL;
	bool named = false;
	for (const char *word = strtok_r(modes, " \t\n", &state); word;
	     word = strtok_r(NULL, " \t\n", &state))
		named |= !strcmp(word, "socket");
	// 6.16 has sockets, and would take the second @ for a part of the path.
	return named && is_at_least(release, 6, 17);
}

/// A line of /proc/net/unix: "Num RefCount Protocol Flags Type St Inode Path". Who listens has the
/// flag __SO_ACCEPTCON.
static bool is_listening_line(char *line, const char *path)
{
	char *state = NULL;
	const char *flags = NULL, *word = strtok_r(line, " ", &state);
	for (int i = 0; word && i < 7; i++) {
		if (i == 3)
			flags = word;
		if (i < 6)
			word = strtok_r(NULL, " ", &state);
	}
	// The path is all of the rest.
	return word && flags && state && !strcmp(state, path) && !strcmp(flags, "00010000");
}

bool sysctl_is_listening(const char *root, const char *path)
{
	_cleanup_free_ char *name = below(root, "/proc/net/unix"), *text = NULL;
	if (!name || snap_read_file_at(AT_FDCWD, name, UNIX_MAX_BYTES, &text) < 0)
		return false;
	char *state = NULL;
	for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state))
		if (is_listening_line(line, path))
			return true;
	return false;
}

static bool is_first(const char *path, ino_t number)
{
	struct stat st;
	return stat(path, &st) < 0 || st.st_ino == number;
}

bool sysctl_in_initial_namespaces(void)
{
	struct stat ours, first;
	if (!is_first("/proc/self/ns/user", FIRST_USER_NS) ||
	    !is_first("/proc/self/ns/pid", FIRST_PID_NS))
		return false;
	// The first mount namespace has a number of its own only since 6.17; process 1 is in it. If
	// we may not look at that, before 6.17 the first one had the first number that was free.
	if (stat("/proc/self/ns/mnt", &ours) < 0)
		return true;
	if (stat("/proc/1/ns/mnt", &first) == 0)
		return ours.st_ino == first.st_ino;
	return ours.st_ino == FIRST_MNT_NS ||
	       (ours.st_ino >= DYNAMIC_NS && ours.st_ino <= DYNAMIC_NS + 1);
}
