// SPDX-License-Identifier: LGPL-2.1-or-later
#include "process.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arch.h"
#include "common/fd.h"
#include "common/str.h"
#include "denial.h"
#include "livemem.h"
#include "procfs.h"

enum {
	AUXV_MAX = 65536, // the kernel's saved_auxv has some 60 words
	// Read at once; a mapping has some 800 bytes of text and at most a page of name.
	SMAPS_CHUNK = 256 * 1024,
};

static void read_psargs(int piddir, struct snap_process *proc)
{
	_cleanup_close_ int fd = openat(piddir, "cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : snap_pread_full(fd, proc->psargs, sizeof(proc->psargs) - 1, 0);
	if (n < 0)
		n = 0;
	while (n && !proc->psargs[n - 1])
		n--;
	for (ssize_t i = 0; i < n; i++)
		if (!proc->psargs[i])
			proc->psargs[i] = ' ';
	proc->psargs[n] = '\0';
}

/**
 * The parent @ppid as a process @levels pid namespaces deep sees it: 0 when it lives outside.
 *
 * A parent is in the namespace of its child or in one around it, so as deep is the same. It is not
 * stopped, but a number that is still the parent's afterwards was so all the time. One that we may
 * not look at (hidepid) is 0 too, rather than a number that means another process inside.
 */
static pid_t read_ns_ppid(int procfd, pid_t ppid, unsigned int levels)
{
	enum { TRIES = 4 }; // parents that end while we look
	for (int i = 0; i < TRIES && ppid; i++) {
		char path[32];
		struct procfs_status parent;
		struct procfs_stat stat;
		(void)snprintf(path, sizeof(path), "/proc/%d/status", ppid);
		int r = procfs_read_status(AT_FDCWD, path, &parent);
		if (procfs_read_stat(procfd, "stat", &stat) < 0)
			return 0;
		if (stat.ppid == ppid)
			return r == 0 && parent.ns_levels == levels ? parent.ns_pid : 0;
		ppid = stat.ppid;
	}
	return 0;
}

static void read_ids(int procfd, const struct procfs_stat *stat, const struct procfs_status *status,
		     struct snap_process *proc)
{
	if (status->ns_levels > 1) {
		proc->ns_pid = status->ns_pid;
		proc->ns_ppid = read_ns_ppid(procfd, stat->ppid, status->ns_levels);
		proc->ns_pgrp = status->ns_pgrp;
		proc->ns_sid = status->ns_sid;
		return;
	}
	proc->ns_pid = proc->pid;
	proc->ns_ppid = stat->ppid;
	proc->ns_pgrp = stat->pgrp;
	proc->ns_sid = stat->sid;
}

static struct snap_error *read_identity(pid_t pid, int procfd, int piddir, struct snapshot *snap)
{
	struct snap_process *proc = &snap->process;
	struct procfs_stat stat;
	struct procfs_status status = { 0 };
	int r = procfs_read_stat(procfd, "stat", &stat);
	if (r == 0)
		r = procfs_read_status(procfd, "status", &status);
	if (r < 0)
		return denial_from_errno(pid, procfd, -r, "read the state of");
	proc->pid = pid;
	read_ids(procfd, &stat, &status, proc);
	proc->uid = status.uid;
	proc->gid = status.gid;
	proc->nice = stat.nice;
	proc->task_flags = stat.flags;
	proc->cutime_usec = procfs_ticks_to_usec(stat.cutime);
	proc->cstime_usec = procfs_ticks_to_usec(stat.cstime);
	if (!proc->state)
		proc->state = stat.state;
	memcpy(proc->comm, stat.comm, sizeof(proc->comm));

	proc->coredump_filter = 0x33; // the kernel's default
	_cleanup_free_ char *text = NULL;
	if (snap_read_file_at(piddir, "coredump_filter", 64, &text) > 0) {
		char hex[32];
		uint64_t filter;
		(void)snprintf(hex, sizeof(hex), "0x%.16s", text);
		if (snap_parse_u64(hex, &filter) == 0)
			proc->coredump_filter = (uint32_t)filter;
	}
	free(proc->exe);
	proc->exe = NULL;
	(void)snap_readlink_at(piddir, "exe", &proc->exe); // stays NULL for a hidden one
	read_psargs(piddir, proc);
	return NULL;
}

static struct snap_error *read_auxv(pid_t pid, int procfd, int piddir, struct snap_process *proc)
{
	char *auxv;
	ssize_t n = snap_read_file_at(piddir, "auxv", AUXV_MAX, &auxv);
	if (n < 0)
		return denial_from_errno(pid, procfd, (int)-n, "read the auxiliary vector of");
	free(proc->auxv);
	proc->auxv = auxv;
	proc->auxv_size = (size_t)n;
	return NULL;
}

/**
 * Marks mappings of files without a name, which the kernel knows by i_nlink.
 *
 * The parser has guessed from " (deleted)" in the name, which a file may be called as well; where
 * we may look at the file itself, that is better.
 */
static void find_unlinked(int piddir, struct snap_mapping *map)
{
	char path[64];
	struct stat st;
	(void)snprintf(path, sizeof(path), "map_files/%" PRIx64 "-%" PRIx64, map->start, map->end);
	if (fstatat(piddir, path, &st, 0) < 0)
		return;
	map->flags &= ~(uint32_t)SNAP_MAP_UNLINKED;
	if (!st.st_nlink)
		map->flags |= SNAP_MAP_UNLINKED;
	if (st.st_blocks > 0)
		map->file_bytes = (uint64_t)st.st_blocks * 512;
}

/// The offset of the last line of @text that begins a mapping.
static size_t maps_last_start(const char *text, size_t len)
{
	for (size_t i = len; i > 0; i--) {
		char c = text[i - 1];
		bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
		if (hex && (i == 1 || text[i - 2] == '\n'))
			return i - 1;
	}
	return 0;
}

/**
 * Cuts off what the list has already. A process that runs may change its mappings while they are
 * read, piece by piece: then one that has become larger is told of once more. False: it is all
 * there.
 */
static bool cut_overlap(const struct snapshot *snap, struct snap_mapping *map)
{
	uint64_t end = snap->n_mappings ? snap->mappings[snap->n_mappings - 1].end : 0;
	if (map->start >= end)
		return true;
	if (map->end <= end)
		return false;
	if (map->inode)
		map->offset += end - map->start;
	map->start = end;
	return true;
}

static int add_mapping(struct snapshot *snap, size_t *size, const struct snap_mapping *map)
{
	if (snap->n_mappings == *size) {
		size_t more = MAX(*size * 2, (size_t)256);
		struct snap_mapping *bigger = reallocarray(snap->mappings, more, sizeof(*map));
		if (!bigger)
			return -ENOMEM;
		snap->mappings = bigger;
		*size = more;
	}
	snap->mappings[snap->n_mappings++] = *map;
	return 0;
}

/// How mappings are read: from smaps, or from maps with what was known before.
struct reading {
	int piddir;
	bool detailed; ///< the text is that of smaps
	const struct snapshot *known; ///< or NULL
	size_t next_known;
	struct livemem *mem; ///< with known
};

/// What was known of the mapping that is now, in part or in whole, @map; NULL: it is new.
static const struct snap_mapping *find_known(struct reading *r, const struct snap_mapping *map)
{
	while (r->next_known < r->known->n_mappings &&
	       r->known->mappings[r->next_known].end <= map->start)
		r->next_known++;
	if (r->next_known == r->known->n_mappings)
		return NULL;
	const struct snap_mapping *k = &r->known->mappings[r->next_known];
	bool same = k->start <= map->start && k->inode == map->inode &&
		    k->dev_major == map->dev_major && k->dev_minor == map->dev_minor &&
		    !((k->flags ^ map->flags) & (SNAP_MAP_SHARED | SNAP_MAP_SPECIAL));
	if (same && map->inode)
		same = map->offset - k->offset == map->start - k->start;
	return same ? k : NULL;
}

/// Completes @map, of which only maps was read.
static void inherit(struct reading *r, struct snap_mapping *map)
{
	const uint32_t access = SNAP_MAP_READ | SNAP_MAP_WRITE | SNAP_MAP_EXEC;
	const struct snap_mapping *k = find_known(r, map);
	uint64_t size = map->end - map->start;
	if (k) {
		map->flags = (k->flags & ~access) | (map->flags & access);
		map->rss_bytes = MIN(k->rss_bytes, size);
		map->anon_bytes = MIN(k->anon_bytes, size);
		map->swap_bytes = MIN(k->swap_bytes, size);
		map->file_bytes = k->file_bytes;
	} else {
		map->flags |= SNAP_MAP_YOUNG;
	}
	if (!k && map->inode && map->flags & (SNAP_MAP_SHARED | SNAP_MAP_UNLINKED))
		find_unlinked(r->piddir, map);
	// One that cannot be written to now may have been for a while.
	if (!map->anon_bytes && !map->swap_bytes && !(map->flags & SNAP_MAP_SHARED) &&
	    livemem_written(r->mem, map))
		map->anon_bytes = size;
}

/// Parses all mappings of @text, which ends with a whole one.
static int add_mappings(struct snapshot *snap, size_t *size, const char *text,
			struct reading *reading)
{
	struct procfs_maps walk = { .next = text };
	for (;;) {
		struct snap_mapping map;
		int r = procfs_maps_next(&walk, &snap->names, &map);
		if (r <= 0)
			return r;
		if (!cut_overlap(snap, &map))
			continue;
		if (reading->known) {
			inherit(reading, &map);
			r = add_mapping(snap, size, &map);
			if (r < 0)
				return r;
			continue;
		}
		if (!reading->detailed && !(map.flags & SNAP_MAP_SHARED) &&
		    map.flags & SNAP_MAP_WRITE)
			map.anon_bytes = map.end - map.start; // unknown: rather too much
		if (map.inode && map.flags & (SNAP_MAP_SHARED | SNAP_MAP_UNLINKED))
			find_unlinked(reading->piddir, &map);
		r = add_mapping(snap, size, &map);
		if (r < 0)
			return r;
	}
}

/**
 * Reads smaps piece by piece: with 70 000 mappings it has 50 MB of text.
 *
 * Only whole mappings are parsed: up to the last line that begins one, which is the only kind of
 * line that begins with a hexadecimal digit in lower case.
 */
static int read_smaps(int fd, struct snapshot *snap, struct strbuf *buf, struct reading *reading)
{
	size_t size = snap->n_mappings;
	snap->n_mappings = 0;
	snap->names.len = 0;
	buf->len = 0;
	for (;;) {
		int r = strbuf_reserve(buf, SMAPS_CHUNK);
		if (r < 0)
			return r;
		ssize_t n = read(fd, buf->data + buf->len, SMAPS_CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		buf->len += (size_t)n;
		buf->data[buf->len] = '\0';
		size_t cut = n ? maps_last_start(buf->data, buf->len) : buf->len;
		char saved = buf->data[cut];
		buf->data[cut] = '\0';
		r = add_mappings(snap, &size, buf->data, reading);
		buf->data[cut] = saved;
		if (r < 0 || !n)
			return r;
		memmove(buf->data, buf->data + cut, buf->len - cut + 1);
		buf->len -= cut;
	}
}

static struct snap_error *read_mappings(pid_t pid, int procfd, struct strbuf *scratch,
					struct reading *reading, struct snapshot *snap)
{
	_cleanup_close_ int fd = -EBADF;
	if (!reading->known)
		fd = openat(reading->piddir, "smaps", O_RDONLY | O_CLOEXEC);
	reading->detailed = fd >= 0;
	// ENOENT: a kernel without CONFIG_PROC_PAGE_MONITOR
	if (fd < 0 && (reading->known || errno == ENOENT))
		fd = openat(reading->piddir, "maps", O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : read_smaps(fd, snap, scratch, reading);
	if (r == -ENOMEM)
		return snap_error_oom();
	if (r == -EBADMSG)
		return snap_error_new(SNAP_FAILED,
				      "cannot understand the mappings of process %d as the kernel "
				      "lists them",
				      pid);
	if (r < 0)
		return denial_from_errno(pid, procfd, -r, "read the mappings of");
	if (!snap->n_mappings)
		return snap_error_new(SNAP_NO_PROCESS,
				      "process %d has no memory: it is a kernel thread or a zombie",
				      pid);
	return NULL;
}

/// 32-bit when every thread is, and nothing lies above 4 GiB.
static bool process_is_compat(const struct snapshot *snap)
{
	for (size_t i = 0; i < snap->n_mappings; i++)
		if (snap->mappings[i].end > 1ULL << 32 &&
		    !(snap->mappings[i].flags & SNAP_MAP_SPECIAL))
			return false;
	for (size_t i = 0; i < snap->n_threads; i++) {
		struct arch_regs regs = { .size = snap->threads[i].regsets[0].size };
		if (!arch_regs_compat(&regs))
			return false;
	}
	return true;
}

static struct snap_error *find_machine(struct snapshot *snap)
{
	bool compat = process_is_compat(snap);
	struct snap_thread none = { 0 };
	snap->process.machine = arch_machine(compat, snap->n_threads ? &snap->threads[0] : &none);
	for (size_t i = 0; !compat && i < snap->n_threads; i++)
		if (arch_widen_regset(&snap->threads[i]) < 0)
			return snap_error_oom();
	return NULL;
}

static struct snap_error *read_all(pid_t pid, int procfd, struct strbuf *scratch,
				   struct reading *reading, struct snapshot *snap)
{
	struct snap_error *err = read_identity(pid, procfd, reading->piddir, snap);
	if (!err)
		err = read_mappings(pid, procfd, scratch, reading, snap);
	if (!err)
		err = read_auxv(pid, procfd, reading->piddir, &snap->process);
	return err ? err : find_machine(snap);
}

struct snap_error *process_read(pid_t pid, int procfd, int piddir, struct strbuf *scratch,
				struct snapshot *snap)
{
	struct reading reading = { .piddir = piddir };
	return read_all(pid, procfd, scratch, &reading, snap);
}

struct snap_error *process_read_again(pid_t pid, int procfd, int piddir, struct strbuf *scratch,
				      const struct snapshot *known, struct livemem *mem,
				      struct snapshot *snap)
{
	struct reading reading = { .piddir = piddir, .known = known, .mem = mem };
	return read_all(pid, procfd, scratch, &reading, snap);
}
