/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <elf.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "common/memsource.h"
#include "common/snapshot.h"
#include "test.h"

/**
 * DOC: A process that does not exist
 *
 * fake_init() and fake_map() make a snapshot by hand. The memory of each mapping is told by one
 * letter a page; the last letter counts for all pages that follow:
 *
 *   D data   d data, all zeros   F not resident, from a file   Z never touched
 *   G guard  E past the end of the file   N not resident   U cannot be read, though it exists
 */

enum { FAKE_MAPPINGS_MAX = 64 };

struct fake {
	struct memsource source;
	struct snapshot snap;
	const char *pages[FAKE_MAPPINGS_MAX]; ///< the letters; NULL: what others says
	const char *others; ///< letters of the mappings without their own; NULL: D
	// Ways to fail, and to be difficult.
	uint64_t fail_addr; ///< reads from here on...
	int fail_errno; ///< ...fail with this, if it is not 0
	bool dirty; ///< a read that fails has written into the buffer
	int scan_errno;
	size_t scan_max; ///< ranges a scan gives at once; 0: as many as asked for
	size_t read_max; ///< bytes a read gives at once; 0: as many as asked for
	void (*on_read)(struct fake *fake, uint64_t addr);
	void *userdata;
	atomic_size_t reads, scans;
};

/// The letters of a mapping.
static inline const char *fake_pages(const struct fake *fake, const struct snap_mapping *map)
{
	size_t index = (size_t)(map - fake->snap.mappings);
	const char *pages = index < FAKE_MAPPINGS_MAX ? fake->pages[index] : NULL;
	return pages ? pages : fake->others ? fake->others : "D";
}

static inline char fake_letter(const struct fake *fake, const struct snap_mapping *map,
			       uint64_t addr)
{
	const char *pages = fake_pages(fake, map);
	uint64_t page = (addr - map->start) / TEST_PAGE;
	size_t last = strlen(pages) - 1;
	return pages[page < last ? page : last];
}

static inline enum mem_kind fake_kind(char letter)
{
	switch (letter) {
	case 'F':
		return MEM_FILE;
	case 'Z':
		return MEM_ZERO;
	case 'G':
		return MEM_GUARD;
	case 'E':
		return MEM_PAST_EOF;
	case 'N':
		return MEM_NOT_RESIDENT;
	default:
		return MEM_DATA;
	}
}

/// What the word at @addr is, in memory that has contents; never 0.
static inline uint64_t fake_word(uint64_t addr)
{
	return (addr * 0x9e3779b97f4a7c15u) | 1;
}

static _unused_ int fake_scan(struct memsource *source, const struct snap_mapping *map,
			      uint64_t start, uint64_t end, struct mem_range *ret, size_t max)
{
	struct fake *fake = (struct fake *)source;
	fake->scans++;
	if (fake->scan_errno)
		return -fake->scan_errno;
	if (fake->scan_max && fake->scan_max < max)
		max = fake->scan_max;
	size_t n = 0;
	if (!fake_pages(fake, map)[1]) { // all the same: large ones are fast to look at
		ret[0] = (struct mem_range){ start, end, fake_kind(fake_letter(fake, map, start)) };
		return 1;
	}
	for (uint64_t addr = start; addr < end; addr += TEST_PAGE) {
		enum mem_kind kind = fake_kind(fake_letter(fake, map, addr));
		if (n && ret[n - 1].kind == kind)
			ret[n - 1].end = addr + TEST_PAGE;
		else if (n == max)
			break;
		else
			ret[n++] = (struct mem_range){ addr, addr + TEST_PAGE, kind };
	}
	return (int)n;
}

/// Copies as the kernel does for a real source: memory that cannot be written to is -EFAULT.
static inline bool fake_copy(void *to, const void *from, size_t len)
{
	struct iovec remote = { (void *)(uintptr_t)from, len }, local = { to, len };
	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)len;
}

static _unused_ ssize_t fake_read(struct memsource *source, const struct snap_mapping *map,
			 enum mem_kind kind, uint64_t addr, void *buf, size_t len)
{
	struct fake *fake = (struct fake *)source;
	fake->reads++;
	if (fake->on_read)
		fake->on_read(fake, addr);
	if (fake->read_max && len > fake->read_max)
		len = fake->read_max;
	if (kind != MEM_DATA && kind != MEM_FILE)
		return -EINVAL; // nobody may ask that
	size_t done = 0;
	while (done < len) {
		char letter = fake_letter(fake, map, addr + done);
		bool fails = fake->fail_errno && addr + done >= fake->fail_addr;
		if (letter == 'U' || fails) {
			if (done)
				break;
			static const uint64_t junk[TEST_PAGE / 8] = { 0x66, 0x66, 0x66 };
			for (size_t pos = 0; fake->dirty && pos < len; pos += sizeof(junk))
				(void)fake_copy((char *)buf + pos, junk,
						MIN(len - pos, sizeof(junk)));
			return fails ? -fake->fail_errno : -EFAULT;
		}
		uint64_t page[TEST_PAGE / 8];
		for (size_t i = 0; i < ARRAY_SIZE(page); i++)
			page[i] = letter == 'd' ? 0 : fake_word(addr + done + i * 8);
		size_t n = MIN(len - done, sizeof(page));
		if (!fake_copy((char *)buf + done, page, n))
			return done ? (ssize_t)done : -EFAULT;
		done += n;
	}
	return (ssize_t)done;
}

static _unused_ const struct memsource_ops fake_ops = { .scan = fake_scan, .read = fake_read };

/// Begins with @n_threads threads, each with general registers and two more register sets.
static inline void fake_init(struct fake *fake, unsigned char class, size_t n_threads)
{
	*fake = (struct fake){ .source.ops = &fake_ops };
	struct snapshot *snap = &fake->snap;
	const bool wide = class == ELFCLASS64;
	snap->process = (struct snap_process){
		.pid = 1000, .ns_pid = 5, .ns_ppid = 1, .ns_pgrp = 4, .ns_sid = 3,
		.uid = 1001, .gid = 1002, .state = 'S', .nice = -7, .task_flags = 0x400040,
		.cutime_usec = 2000001, .cstime_usec = 3000002, .coredump_filter = 0x33,
		.comm = "fake process 16", .psargs = "fake --really",
		.auxv = calloc(4, 8), .auxv_size = 32,
		.machine = { .elf_machine = wide ? EM_X86_64 : EM_386, .elf_class = class },
	};
	snap->mode = strdup("copy");
	snap->realtime_ns = 1700000000000000000;
	snap->monotonic_ns = 123456789;
	snap->threads = calloc(n_threads ? n_threads : 1, sizeof(*snap->threads));
	snap->n_threads = n_threads;
	assert_true(snap->threads && snap->mode && snap->process.auxv);
	const uint32_t sizes[] = { wide ? 27 * 8 : 17 * 4, wide ? 512 : 108, 2440 };
	static const uint32_t types[] = { NT_PRSTATUS, NT_FPREGSET, NT_X86_XSTATE };
	static const uint32_t stored[] = { UINT32_MAX, UINT32_MAX, 800 };
	for (size_t i = 0; i < n_threads; i++) {
		struct snap_thread *t = &snap->threads[i];
		*t = (struct snap_thread){
			.tid = (pid_t)(1000 + i), .ns_tid = (pid_t)(5 + i), .state = i ? 'S' : 'R',
			.sigpend = 1ULL << 33 | i, .sighold = 1ULL << 63 | 2, .n_regsets = 3,
			.utime_usec = 1000003, .stime_usec = 5000004,
		};
		char *block = malloc(4096), *p = block;
		assert_non_null(block);
		for (unsigned int j = 0; j < 3; j++) {
			t->regsets[j] = (struct snap_regset){ types[j], sizes[j],
							      MIN(sizes[j], stored[j]), p };
			memset(p, (int)(0x10 * (j + 1) + i % 16), t->regsets[j].stored);
			p += t->regsets[j].stored;
		}
	}
	assert_int_equal(strbuf_add(&snap->names, "", 1), 0);
}

/// Adds a mapping of @n pages. @name is NULL or a file, which has an inode then.
static inline struct snap_mapping *fake_map(struct fake *fake, uint64_t start, uint64_t n,
					    uint32_t flags, const char *name, const char *pages)
{
	struct snapshot *snap = &fake->snap;
	if (!(snap->n_mappings & (snap->n_mappings - 1))) // a power of two, or none yet
		snap->mappings = reallocarray(snap->mappings, MAX(snap->n_mappings * 2, (size_t)1),
					      sizeof(*snap->mappings));
	assert_non_null(snap->mappings);
	struct snap_mapping *map = &snap->mappings[snap->n_mappings];
	*map = (struct snap_mapping){ .start = start,
				      .end = start + n * TEST_PAGE,
				      .flags = flags,
				      .rss_bytes = n * TEST_PAGE };
	if (name) {
		map->name = (uint32_t)snap->names.len;
		map->inode = 77;
		map->dev_major = 8;
		assert_int_equal(strbuf_add(&snap->names, name, strlen(name) + 1), 0);
	} else {
		map->anon_bytes = map->rss_bytes;
	}
	if (snap->n_mappings < FAKE_MAPPINGS_MAX)
		fake->pages[snap->n_mappings] = pages;
	snap->n_mappings++;
	return map;
}

static inline void fake_deinit(struct fake *fake)
{
	snapshot_deinit(&fake->snap);
}
#define _cleanup_fake_ _cleanup_(fake_deinit)
