// SPDX-License-Identifier: LGPL-2.1-or-later
#include "twincheck.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch.h"
#include "common/fd.h"
#include "common/str.h"
#include "devices.h"
#include "feature.h"
#include "headroom.h"
#include "inject.h"
#include "livemem.h"
#include "procfs.h"

enum {
	TEXT_MAX = 64 << 10,
	CAP_SYS_ADMIN_BIT = 21,
	// Of a limit above this, users are taken to be far away.
	PROCESSES_COUNTED = 32768,
	PROCESSES_SPARE = 8,
	// What page tables take of the memory they map, and what is written meanwhile: a guess.
	TABLE_SHARE = 256,
	WRITTEN_SHARE = 8,
	// In so much time the process would have to be given up (capture.h, stall_ns).
	FORK_MAX_BYTES_SHIFT = 37,
};

struct forked_bytes twincheck_bytes(const struct snapshot *snap)
{
	struct forked_bytes bytes = { 0 };
	for (size_t i = 0; i < snap->n_mappings; i++) {
		const struct snap_mapping *map = &snap->mappings[i];
		uint64_t huge = MIN(map->huge_bytes, map->anon_bytes);
		// Those of files are copied as well, if not from the child.
		if (!livemem_forked(map) && !map->inode)
			continue;
		bytes.small += map->anon_bytes - huge + map->swap_bytes;
		bytes.huge += huge;
		if (livemem_forked(map))
			bytes.kept += map->anon_bytes + map->swap_bytes;
	}
	return bytes;
}

static bool kernel_lacks(void)
{
	// Of no descriptor: is the call there?
	return feature_masked("fork") ||
	       (syscall((long)arch_nr_close_range, UINT32_MAX, UINT32_MAX, 0) < 0 &&
		errno == ENOSYS);
}

static bool has_other_namespace(int procfd, const char *own, const char *of_children)
{
	_cleanup_free_ char *a = NULL, *b = NULL;
	int r = snap_readlink_at(procfd, of_children, &b);
	if (snap_readlink_at(procfd, own, &a) < 0)
		return r == 0; // a kernel without it has neither
	return r < 0 || strcmp(a, b) != 0;
}

bool twincheck_has_namespace(int taskfd)
{
	return has_other_namespace(taskfd, "ns/pid", "ns/pid_for_children") ||
	       has_other_namespace(taskfd, "ns/time", "ns/time_for_children");
}

/// With SCHED_FIFO and the like it counts on not waiting for memory.
static bool is_realtime(int procfd)
{
	int fd = openat(procfd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	bool found = false;
	for (struct dirent *d; dir && !found && (d = readdir(dir));) {
		int64_t tid;
		if (snap_parse_i64(d->d_name, &tid) < 0 || tid <= 0 || tid > INT32_MAX)
			continue;
		int policy = sched_getscheduler((pid_t)tid) & ~SCHED_RESET_ON_FORK;
		found = policy == SCHED_FIFO || policy == SCHED_RR || policy == SCHED_DEADLINE;
	}
	if (dir)
		(void)closedir(dir);
	else
		snap_closep(&fd);
	return found;
}

/// How many threads the user has; for those who have few.
static uint64_t count_threads_of(uid_t uid)
{
	DIR *dir = opendir("/proc");
	uint64_t n = 0;
	for (struct dirent *d; dir && (d = readdir(dir));) {
		struct procfs_status status;
		struct stat st;
		int64_t pid;
		char path[300];
		if (snap_parse_i64(d->d_name, &pid) < 0 ||
		    fstatat(dirfd(dir), d->d_name, &st, 0) < 0)
			continue;
		(void)snprintf(path, sizeof(path), "%s/status", d->d_name);
		if (procfs_read_status(dirfd(dir), path, &status) == 0 && status.uid == uid)
			n += status.threads;
	}
	if (dir)
		(void)closedir(dir);
	return n;
}

static bool has_too_many_processes(int procfd, const struct procfs_status *status)
{
	_cleanup_free_ char *text = NULL;
	// The kernel does not count those of root.
	if (!status->uid || snap_read_file_at(procfd, "limits", TEXT_MAX, &text) <= 0)
		return false;
	uint64_t limit = headroom_number(text, "Max processes", 1);
	return limit < PROCESSES_COUNTED &&
	       count_threads_of(status->uid) + PROCESSES_SPARE > limit;
}

/**
 * The kernel has to promise as much memory again as the process has private memory to write to,
 * whether it is there or not.
 *
 * Where it keeps all it promises (2) there must be room for the sum. Where it guesses (0, the
 * default) it refuses a mapping that alone is larger than the machine: nobody can make one at once,
 * but neighbours become one.
 */
static bool is_beyond_promise(const struct snapshot *snap)
{
	_cleanup_free_ char *mode = NULL, *text = NULL;
	uint64_t sum = 0, largest = 0;
	if (snap_read_file_at(AT_FDCWD, "/proc/sys/vm/overcommit_memory", 16, &mode) <= 0 ||
	    snap_read_file_at(AT_FDCWD, "/proc/meminfo", TEXT_MAX, &text) <= 0)
		return false;
	for (size_t i = 0; i < snap->n_mappings; i++) {
		const struct snap_mapping *map = &snap->mappings[i];
		if (!(map->flags & SNAP_MAP_COUNTED) || map->flags & SNAP_MAP_DONTFORK)
			continue;
		sum += map->end - map->start;
		largest = MAX(largest, map->end - map->start);
	}
	if (mode[0] == '0')
		return largest > headroom_number(text, "MemTotal:", 1024) +
					 headroom_number(text, "SwapTotal:", 1024);
	uint64_t limit = headroom_number(text, "CommitLimit:", 1024);
	uint64_t promised = headroom_number(text, "Committed_AS:", 1024);
	return mode[0] == '2' && (promised > limit || limit - promised < sum);
}

/// PostgreSQL does not start again while anybody is attached to the memory of its last run.
static bool has_sysv(const struct snapshot *snap)
{
	for (size_t i = 0; i < snap->n_mappings; i++)
		if (snap->mappings[i].flags & SNAP_MAP_SHARED &&
		    !strncmp(snap_mapping_name(snap, &snap->mappings[i]), "/SYSV", 5))
			return true;
	return false;
}

bool twincheck_has_huge_files(const struct snapshot *snap)
{
	for (size_t i = 0; i < snap->n_mappings; i++)
		if (snap->mappings[i].flags & (SNAP_MAP_HUGETLB | SNAP_MAP_ANON_HUGETLB) &&
		    !(snap->mappings[i].flags & SNAP_MAP_SHARED))
			return true;
	return false;
}

/// Its filters can be held off by those who may do anything, and have no filters themselves.
static bool is_filtered(const struct procfs_status *status)
{
	_cleanup_free_ char *text = NULL;
	if (!status->seccomp)
		return false;
	if (snap_read_file_at(AT_FDCWD, "/proc/self/status", TEXT_MAX, &text) <= 0)
		return true;
	const char *caps = snap_line_value(text, "CapEff:");
	_cleanup_free_ char *hex = NULL;
	uint64_t bits = 0, own = headroom_number(text, "Seccomp:", 1);
	if (!caps || asprintf(&hex, "0x%.16s", caps) < 0 || snap_parse_u64(hex, &bits) < 0)
		return true;
	return !(bits >> CAP_SYS_ADMIN_BIT & 1) || (own && own != UINT64_MAX);
}

static const char *obstacle(int procfd, const struct snapshot *snap,
			    const struct procfs_status *status, const struct forked_bytes *bytes)
{
	const char *why = inject_obstacle(procfd, snap);
	if (kernel_lacks())
		return "the kernel cannot take descriptors from a child (Linux 5.9)";
	if (why)
		return why;
	if (snap->process.machine.elf_class == ELFCLASS32)
		return "it runs 32-bit code";
	if (is_filtered(status))
		return "its seccomp filter cannot be held off";
	if (twincheck_has_namespace(procfd))
		return "its children get namespaces of their own";
	if (bytes->small + bytes->huge / TABLE_SHARE >= 1ULL << FORK_MAX_BYTES_SHIFT)
		return "it has too much memory";
	if (is_realtime(procfd))
		return "it has threads with real-time scheduling";
	if (has_sysv(snap))
		return "it has System V shared memory, of which users are counted";
	if (twincheck_has_huge_files(snap))
		return "it has huge pages of hugetlbfs of its own, of which there may be no more";
	why = devices_obstacle(procfd, DEVICES_FORK);
	if (!why)
		why = headroom_process(procfd);
	if (why)
		return why;
	if (has_too_many_processes(procfd, status))
		return "its user may not have more processes";
	if (is_beyond_promise(snap))
		return "the kernel promises no more memory (vm.overcommit_memory)";
	return NULL;
}

struct snap_error *twincheck(int procfd, const struct snapshot *snap)
{
	struct procfs_status status;
	struct forked_bytes bytes = twincheck_bytes(snap);
	uint64_t whole = bytes.small + bytes.huge;
	if (procfs_read_status(procfd, "status", &status) < 0)
		return snap_error_new(SNAP_FAILED, "it cannot be looked at");
	const char *why = obstacle(procfd, snap, &status, &bytes);
	if (why)
		return snap_error_new(SNAP_FAILED, "%s", why);
	return headroom_check(procfd, whole / TABLE_SHARE + whole / WRITTEN_SHARE,
			      whole / TABLE_SHARE + whole);
}
