// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backing.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"

enum { PAGE = 4096 };

int backing_open(int piddir, const struct snap_mapping *map)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "map_files/%" PRIx64 "-%" PRIx64, map->start, map->end);
	// Never a device: opening one can do anything. Regular files are found by looking first.
	struct stat st;
	if (fstatat(piddir, path, &st, 0) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOTSUP;
	// Without changing its access time, where we may: the owner and CAP_FOWNER can ask that.
	const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	int fd = openat(piddir, path, flags | O_NOATIME);
	if (fd < 0 && errno == EPERM)
		fd = openat(piddir, path, flags);
	return fd < 0 ? -errno : fd;
}

uint64_t backing_eof(const struct snap_mapping *map, uint64_t size, uint64_t end)
{
	if (size <= map->offset)
		return map->start;
	uint64_t bytes = ALIGN_UP(size - map->offset, (uint64_t)PAGE);
	return bytes < end - map->start ? map->start + bytes : end;
}

int backing_scan(int fd, const struct snap_mapping *map, uint64_t start, uint64_t end,
			struct mem_range *ret, size_t max)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	uint64_t eof = backing_eof(map, (uint64_t)st.st_size, end);
	size_t n = 0;
	for (uint64_t addr = start; addr < MIN(end, eof);) {
		off_t off = (off_t)(addr - map->start + map->offset);
		off_t data = lseek(fd, off, SEEK_DATA);
		if (data < 0 && errno != ENXIO)
			return -errno;
		off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
		uint64_t data_addr = data < 0 ? UINT64_MAX :
						(uint64_t)(data - off) + addr;
		uint64_t stop = MIN(end, eof);
		data_addr = MIN(ALIGN_DOWN(data_addr, (uint64_t)PAGE), stop);
		uint64_t hole_addr = hole < 0 ? stop : (uint64_t)(hole - off) + addr;
		hole_addr = MIN(ALIGN_UP(hole_addr, (uint64_t)PAGE), stop);
		if (!mem_range_add(ret, max, &n, addr, data_addr, MEM_ZERO) ||
		    !mem_range_add(ret, max, &n, data_addr, hole_addr, MEM_FILE))
			return (int)n;
		addr = MAX(hole_addr, data_addr);
	}
	(void)mem_range_add(ret, max, &n, MAX(start, eof), end, MEM_PAST_EOF);
	return (int)n;
}

ssize_t backing_read(int fd, const struct snap_mapping *map, uint64_t addr, void *buf, size_t len)
{
	ssize_t n = snap_pread_full(fd, buf, len, addr - map->start + map->offset);
	// The last page of a file is mapped whole, zeros behind its end.
	if (n > 0 && n % PAGE) {
		size_t whole = MIN(ALIGN_UP((size_t)n, (size_t)PAGE), len);
		memset((char *)buf + n, 0, whole - (size_t)n);
		n = (ssize_t)whole;
	}
	return n;
}

/// The file behind @map, or a negative errno.
static int find(const struct backings *b, const struct snap_mapping *map)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->list[i].start == map->start && b->list[i].end == map->end)
			return b->list[i].fd;
	return -ENOENT;
}

static int backings_scan(struct memsource *src, const struct snap_mapping *map, uint64_t start,
			 uint64_t end, struct mem_range *ret, size_t max)
{
	int fd = find((const struct backings *)src, map);
	return fd < 0 ? fd : backing_scan(fd, map, start, end, ret, max);
}

static ssize_t backings_read(struct memsource *src, const struct snap_mapping *map,
			     enum mem_kind kind _unused_, uint64_t addr, void *buf, size_t len)
{
	int fd = find((const struct backings *)src, map);
	ssize_t n = fd < 0 ? fd : backing_read(fd, map, addr, buf, len);
	return n ? n : -EIO; // it has become shorter
}

void backings_init(struct backings *b)
{
	static const struct memsource_ops ops = { .scan = backings_scan, .read = backings_read };
	*b = (struct backings){ .source = { .ops = &ops } };
}

void backings_deinit(struct backings *b)
{
	while (b->n)
		snap_closep(&b->list[--b->n].fd);
}

bool backings_add(struct backings *b, int piddir, const struct snap_mapping *map)
{
	struct mem_range range;
	if (find(b, map) >= 0)
		return true;
	_cleanup_close_ int fd = b->n < BACKINGS_MAX ? backing_open(piddir, map) : -EMFILE;
	if (fd < 0 || backing_scan(fd, map, map->start, map->end, &range, 1) <= 0)
		return false;
	b->list[b->n++] = (struct backing){ map->start, map->end, TAKE_FD(fd) };
	return true;
}
