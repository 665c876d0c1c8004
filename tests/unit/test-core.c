// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fake.h"
#include "tmpfs.h"

#include <sys/stat.h>

#include "common/fd.h"
#include "common/snapnote.h"
#include "dumper/core.h"

/*
 * Cores of processes that do not exist, read back by a parser of our own.
 */

enum {
	R = SNAP_MAP_READ,
	W = SNAP_MAP_WRITE,
	X = SNAP_MAP_EXEC,
	S = SNAP_MAP_SHARED,
	MIB = 1 << 20,
	MIB_PAGES = MIB / TEST_PAGE,
};

// -- reading ------------------------------------------------------------------------------------

struct segment {
	uint32_t type, flags;
	uint64_t offset, vaddr, filesz, memsz, align;
};

struct elf {
	int fd;
	bool wide;
	uint64_t size, phnum;
	struct segment note, *loads;
	struct snapnote snapnote;
	struct snapnote_gap *gaps;
	struct snapnote_thread *threads;
};

static uint64_t field(const char *p, size_t offset, size_t size)
{
	uint64_t v = 0;
	memcpy(&v, p + offset, size);
	return v;
}

/// A program header. Offsets from the gABI.
static struct segment segment_at(const char *p, bool wide)
{
	if (wide)
		return (struct segment){ (uint32_t)field(p, 0, 4), (uint32_t)field(p, 4, 4),
					 field(p, 8, 8),	   field(p, 16, 8),
					 field(p, 32, 8),	   field(p, 40, 8),
					 field(p, 48, 8) };
	return (struct segment){ (uint32_t)field(p, 0, 4), (uint32_t)field(p, 24, 4),
				 field(p, 4, 4),	   field(p, 8, 4),
				 field(p, 16, 4),	   field(p, 20, 4),
				 field(p, 28, 4) };
}

static void read_at(int fd, void *buf, size_t len, uint64_t offset)
{
	assert_int_equal(snap_pread_full(fd, buf, len, offset), len);
}

/// The number of program headers, which may be told by a section header.
static uint64_t read_phnum(const struct elf *elf, const char *ehdr)
{
	const bool wide = elf->wide;
	uint64_t phnum = field(ehdr, wide ? 56 : 44, 2);
	uint64_t shoff = field(ehdr, wide ? 40 : 32, wide ? 8 : 4);
	uint64_t shentsize = field(ehdr, wide ? 58 : 46, 2), shnum = field(ehdr, wide ? 60 : 48, 2);
	if (phnum != PN_XNUM) {
		assert_int_equal(shoff | shnum, 0);
		return phnum;
	}
	char shdr[64];
	assert_int_equal(shnum, 1);
	assert_int_equal(shentsize, wide ? 64 : 40);
	read_at(elf->fd, shdr, (size_t)shentsize, shoff);
	assert_int_equal(field(shdr, 4, 4), SHT_NULL);
	phnum = field(shdr, wide ? 44 : 28, 4); // sh_info
	assert_true(phnum >= PN_XNUM);
	assert_true(shoff >= (wide ? 64 : 52) + phnum * (wide ? 56 : 32));
	assert_true(shoff + shentsize <= elf->note.offset || !elf->note.offset);
	return phnum;
}

static void read_snapnote(struct elf *elf)
{
	char *notes = malloc(elf->note.filesz);
	read_at(elf->fd, notes, elf->note.filesz, elf->note.offset);
	bool found = false;
	for (uint64_t pos = 0; pos < elf->note.filesz;) {
		uint64_t namesz = field(notes, pos, 4), descsz = field(notes, pos + 4, 4);
		uint64_t type = field(notes, pos + 8, 4), desc = pos + 12 + (namesz + 3) / 4 * 4;
		const char *p = notes + desc;
		pos = desc + (descsz + 3) / 4 * 4;
		assert_true(pos <= elf->note.filesz);
		if (type != NT_PROCSNAP_SNAPSHOT)
			continue;
		assert_false(found);
		found = true;
		assert_int_equal(pos, elf->note.filesz); // the last one
		assert_string_equal(notes + desc - 12, "procsnap");
		memcpy(&elf->snapnote, p, sizeof(elf->snapnote));
		const struct snapnote *head = &elf->snapnote;
		assert_int_equal(head->version, 1);
		assert_int_equal(head->header_size, 88);
		assert_int_equal(head->gap_size, 24);
		assert_int_equal(head->thread_size, 16);
		assert_int_equal(descsz, 88 + head->n_gaps * 24 + head->n_threads * 16);
		elf->gaps = calloc(head->n_gaps + 1, 24);
		elf->threads = calloc(head->n_threads + 1, 16);
		memcpy(elf->gaps, p + 88, head->n_gaps * 24UL);
		memcpy(elf->threads, p + 88 + head->n_gaps * 24UL, head->n_threads * 16UL);
	}
	assert_true(found);
	free(notes);
}

/// Reads @fd, which must be a core without contradictions.
static void elf_read(struct elf *elf, int fd)
{
	char ehdr[64];
	*elf = (struct elf){ .fd = fd, .size = (uint64_t)lseek(fd, 0, SEEK_END) };
	read_at(fd, ehdr, sizeof(ehdr), 0);
	assert_memory_equal(ehdr, "\177ELF", 4);
	elf->wide = ehdr[4] == ELFCLASS64;
	assert_int_equal(ehdr[5], ELFDATA2LSB);
	assert_int_equal(ehdr[6], EV_CURRENT);
	assert_int_equal(field(ehdr, 16, 2), ET_CORE);
	assert_int_equal(field(ehdr, 18, 2), elf->wide ? EM_X86_64 : EM_386);
	assert_int_equal(field(ehdr, 20, 4), EV_CURRENT);
	assert_int_equal(field(ehdr, elf->wide ? 32 : 28, elf->wide ? 8 : 4), elf->wide ? 64 : 52);
	assert_int_equal(field(ehdr, elf->wide ? 52 : 40, 2), elf->wide ? 64 : 52);
	size_t entry = elf->wide ? 56 : 32, first = elf->wide ? 64 : 52;
	assert_int_equal(field(ehdr, elf->wide ? 54 : 42, 2), entry);
	elf->phnum = read_phnum(elf, ehdr);
	char *table = malloc(elf->phnum * entry);
	read_at(fd, table, elf->phnum * entry, first);
	elf->note = segment_at(table, elf->wide);
	assert_int_equal(elf->note.type, PT_NOTE);
	assert_int_equal(elf->note.align, 4);
	assert_true(elf->note.offset >= first + elf->phnum * entry);
	assert_int_equal(read_phnum(elf, ehdr), elf->phnum);
	elf->loads = calloc(elf->phnum, sizeof(*elf->loads));
	uint64_t end = elf->note.offset + elf->note.filesz, addr = 0;
	for (size_t i = 0; i + 1 < elf->phnum; i++) {
		struct segment seg = segment_at(table + (i + 1) * entry, elf->wide);
		assert_int_equal(seg.type, PT_LOAD);
		assert_true(seg.vaddr >= addr);
		assert_true(seg.filesz <= seg.memsz);
		assert_int_equal(seg.offset % TEST_PAGE, 0);
		assert_int_equal(seg.align, TEST_PAGE);
		assert_true(seg.offset >= end); // nothing overlaps
		assert_true(seg.offset + seg.filesz <= elf->size);
		addr = seg.vaddr + seg.memsz;
		end = seg.offset + seg.filesz;
		elf->loads[i] = seg;
	}
	free(table);
	read_snapnote(elf);
}

static void elf_done(struct elf *elf)
{
	free(elf->loads);
	free(elf->gaps);
	free(elf->threads);
}

static bool in_gap(const struct elf *elf, uint64_t addr, uint32_t *reason)
{
	for (size_t i = 0; i < elf->snapnote.n_gaps; i++) {
		if (addr < elf->gaps[i].start || addr >= elf->gaps[i].end)
			continue;
		*reason = elf->gaps[i].reason;
		return true;
	}
	return false;
}

static uint32_t reason_of(char letter)
{
	switch (letter) {
	case 'G':
		return GAP_GUARD;
	case 'E':
		return GAP_PAST_EOF;
	case 'N':
		return GAP_NOT_RESIDENT;
	case 'U':
		return GAP_UNREADABLE;
	default:
		return 0;
	}
}

/// Is this page of the file a hole?
static bool is_hole(int fd, uint64_t offset)
{
	off_t data = lseek(fd, (off_t)offset, SEEK_DATA);
	return data < 0 || (uint64_t)data >= offset + TEST_PAGE;
}

static void check_page(const struct elf *elf, const struct fake *fake,
		       const struct snap_mapping *map, uint64_t addr, uint64_t offset)
{
	uint64_t page[TEST_PAGE / 8];
	uint32_t reason = 0;
	char letter = fake_letter(fake, map, addr);
	bool gap = in_gap(elf, addr, &reason), data = (letter == 'D' || letter == 'F') && !gap;
	if (reason != GAP_ABORTED)
		assert_int_equal(reason, reason_of(letter));
	read_at(elf->fd, page, sizeof(page), offset);
	assert_int_equal(is_hole(elf->fd, offset), !data);
	for (size_t i = 0; i < ARRAY_SIZE(page); i++)
		if (page[i] != (data ? fake_word(addr + i * 8) : 0))
			fail_msg("word %zu at %llx (%c)", i, (unsigned long long)addr, letter);
}

/// Everything in the core is what the fake has, apart from the gaps that it lists.
static void check_memory(const struct elf *elf, const struct fake *fake)
{
	assert_int_equal(elf->phnum, fake->snap.n_mappings + 1);
	for (size_t i = 0; i + 1 < elf->phnum; i++) {
		const struct snap_mapping *map = &fake->snap.mappings[i];
		const struct segment *seg = &elf->loads[i];
		assert_int_equal(seg->vaddr, map->start);
		assert_int_equal(seg->memsz, map->end - map->start);
		assert_int_equal(seg->flags, (map->flags & R ? PF_R : 0U) |
						     (map->flags & W ? PF_W : 0U) |
						     (map->flags & X ? PF_X : 0U));
		for (uint64_t pos = 0; pos < seg->filesz; pos += TEST_PAGE)
			check_page(elf, fake, map, map->start + pos, seg->offset + pos);
	}
}

// -- writing ------------------------------------------------------------------------------------

struct run {
	unsigned int threads;
	uint32_t flags;
	bool reserve; ///< look first, and reserve what that finds
	uint64_t budget; ///< for that; 0: enough. The rest is written past the page cache.
	const struct core_progress *progress;
	uint32_t filter; ///< 0: everything
	uint64_t max_bytes; ///< 0: no limit
	uint64_t size; ///< what core_size() said
	uint64_t gap_bytes, lost_bytes;
};

static const struct core_facts facts = { .pause_ns = 4711,
					 .predicted_pause_ns = 815,
					 .coredump_filter = 0x1ff };

static struct snap_error *dump_steps(struct fake *fake, int fd, struct run *run,
				     const struct plan *plan, struct reserve *reserve)
{
	_cleanup_(core_destroyp) struct core *core = NULL;
	uint64_t first = run->reserve ? core_first_offset(&fake->snap, fake->snap.n_threads) : 0;
	struct snap_error *err = core_create(&fake->snap, plan, first, &core);
	if (err)
		return err;
	if (run->reserve) {
		if (ftruncate(fd, (off_t)core_size(core)) < 0)
			return snap_error_errno(SNAP_FAILED, errno, "ftruncate");
		reserve_init(reserve, fd, core_size(core));
		reserve->budget = run->budget ? run->budget : 1ULL << 40;
		err = core_reserve(core, &fake->source, run->threads, false, reserve);
		core_destroy(TAKE_PTR(core));
		if (!err)
			err = core_create(&fake->snap, plan, first, &core);
		if (err)
			return err;
	}
	fake->userdata = core;
	run->size = core_size(core);
	err = run->max_bytes ? core_set_limit(core, run->max_bytes) : NULL;
	if (err)
		return err;
	err = core_copy(core, &fake->source, fd, run->reserve ? reserve : NULL,
			run->threads ? run->threads : 1, run->flags, run->progress);
	char magic[4] = { 0 };
	if (!err && (snap_pread_full(fd, magic, 4, 0) < 0 || magic[0]))
		return snap_error_new(SNAP_FAILED, "it looks like a core before it is one");
	if (!err)
		err = core_finish(core, fd, &facts);
	run->gap_bytes = core_gaps(core)->bytes;
	run->lost_bytes = core_gaps(core)->lost_bytes;
	return err;
}

static struct snap_error *dump(struct fake *fake, int fd, struct run *run)
{
	_cleanup_(plan_destroyp) struct plan *plan = NULL;
	struct reserve reserve = { .fd = -EBADF };
	uint32_t filter = run->filter ? run->filter : FILTER_MASK;
	struct snap_error *err = plan_create(&fake->snap, &fake->source, filter,
					     run->filter ? 0 : PLAN_ALL, &plan);
	if (!err)
		err = dump_steps(fake, fd, run, plan, &reserve);
	reserve_deinit(&reserve);
	return err;
}

/// Dumps, reads back and compares; the caller looks at the rest and calls elf_done().
static int dump_and_check(struct fake *fake, struct run *run, struct elf *elf)
{
	int fd = test_memfd();
	assert_ok(dump(fake, fd, run));
	elf_read(elf, fd);
	assert_int_equal(elf->size, run->size);
	assert_int_equal(elf->snapnote.gap_bytes, run->gap_bytes);
	assert_int_equal(!!(elf->snapnote.flags & SNAPNOTE_PARTIAL), run->lost_bytes > 0);
	for (size_t i = 0; i < elf->snapnote.n_gaps; i++) {
		assert_true(elf->gaps[i].start < elf->gaps[i].end);
		assert_true(!i || elf->gaps[i - 1].end <= elf->gaps[i].start);
		assert_true(elf->gaps[i].reason > 0 && elf->gaps[i].reason < GAP_REASON_MAX);
	}
	check_memory(elf, fake);
	return fd;
}

/// The ways to copy that must not make a difference.
static const struct run runs[] = {
	{ .threads = 1 },
	{ .threads = 3 },
	{ .threads = 1, .reserve = true },
	{ .threads = 3, .reserve = true },
	{ .threads = 1, .reserve = true, .budget = MIB },
	{ .threads = 3, .reserve = true, .budget = 1 },
};

static void fill(struct fake *fake, unsigned char class)
{
	fake_init(fake, class, 3);
	fake_map(fake, 0x10000, 4, R | X, "/bin/x", "FFDF");
	fake_map(fake, 0x14000, 6, R | W, NULL, "DZdDDZ");
	fake_map(fake, 0x30000, 5, R | W | S, "/f", "FFZFE");
	fake_map(fake, 0x40000, 8, R | W, NULL, "DGGDUUDN");
	fake_map(fake, 0x50000, 2, 0, NULL, "U");
	fake_map(fake, 0x60000, 40, W, NULL, "Z");
	// Runs that are long enough to be reserved, with all that may be in the middle of them.
	fake_map(fake, 0x100000, 3 * MIB_PAGES, R | W, NULL, "D");
	fake_map(fake, 0x80000000, 64, R | W, NULL,
		 "DDDDDDDDDDDDDDDDDDdDDDDDDDDDDDDDDDDDUDDDDDDDDDDDDDDDDDDdddddddUUZ");
}

static void check_basic(unsigned char class)
{
	for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
		_cleanup_fake_ struct fake fake;
		struct run run = runs[i];
		struct elf elf;
		fill(&fake, class);
		_cleanup_close_ _unused_ int fd = dump_and_check(&fake, &run, &elf);
		assert_int_equal(elf.wide, class == ELFCLASS64);
		assert_int_equal(run.gap_bytes, (1 + 2 + 2 + 1 + 2 + 1 + 2) * TEST_PAGE);
		assert_int_equal(run.lost_bytes, (2 + 1 + 2 + 1 + 2) * TEST_PAGE);
		assert_false(elf.snapnote.flags & SNAPNOTE_GAPS_CUT);
		elf_done(&elf);
	}
}

static void test_64(void **state _unused_)
{
	check_basic(ELFCLASS64);
}

static void test_32(void **state _unused_)
{
	check_basic(ELFCLASS32);
}

static void test_snapnote(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	struct run run = { 0 };
	struct elf elf;
	fill(&fake, ELFCLASS64);
	fake.snap.threads[1].flags = SNAP_THREAD_PARTIAL | SNAP_THREAD_SYSCALL;
	fake.snap.threads[2].flags = SNAP_THREAD_SYSCALL;
	_cleanup_close_ _unused_ int fd = dump_and_check(&fake, &run, &elf);
	assert_int_equal(elf.snapnote.pause_ns, 4711);
	assert_int_equal(elf.snapnote.predicted_pause_ns, 815);
	assert_int_equal(elf.snapnote.coredump_filter, 0x1ff);
	assert_int_equal(elf.snapnote.realtime_ns, fake.snap.realtime_ns);
	assert_int_equal(elf.snapnote.monotonic_ns, fake.snap.monotonic_ns);
	assert_string_equal(elf.snapnote.mode, "copy");
	assert_int_equal(elf.snapnote.n_threads, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(elf.threads[i].tid, 1000 + i);
		assert_int_equal(elf.threads[i].ns_tid, 5 + i);
		assert_int_equal(elf.threads[i].flags, i == 1 ? SNAPNOTE_THREAD_PARTIAL : 0);
		assert_int_equal(elf.threads[i].state, i ? 'S' : 'R');
		assert_memory_equal(elf.threads[i].reserved, "\0\0\0", 3);
	}
	elf_done(&elf);
}

/// A mode that does not fit is cut, and still ends with a zero byte.
static void test_long_mode(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	struct run run = { 0 };
	struct elf elf;
	fill(&fake, ELFCLASS64);
	free(fake.snap.mode);
	fake.snap.mode = strdup("a mode of the future");
	_cleanup_close_ _unused_ int fd = dump_and_check(&fake, &run, &elf);
	assert_memory_equal(elf.snapnote.mode, "a mode of the f", 16);
	elf_done(&elf);
}

/// What the plan leaves out has a segment without contents.
static void test_not_dumped(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	struct run run = { .filter = FILTER_ANON_PRIVATE };
	struct elf elf;
	fill(&fake, ELFCLASS64);
	fake.snap.mappings[1].flags |= SNAP_MAP_DONTDUMP;
	_cleanup_close_ _unused_ int fd = dump_and_check(&fake, &run, &elf);
	assert_int_equal(elf.loads[0].filesz, 0);
	assert_int_equal(elf.loads[1].filesz, 0);
	assert_int_equal(elf.loads[2].filesz, 0);
	assert_int_equal(elf.loads[3].filesz, 8 * TEST_PAGE);
	assert_int_equal(elf.size - elf.loads[3].offset,
			 (8 + 2 + 40 + 3 * MIB_PAGES + 64) * TEST_PAGE);
	elf_done(&elf);
}

/// The ways once more, on a disk, where writing past the page cache has rules of its own.
static void test_disk(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
		_cleanup_fake_ struct fake fake;
		struct run run = runs[i];
		struct elf elf;
		_cleanup_close_ int fd = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (fd < 0)
			skip_test("no unnamed files in /var/tmp");
		fill(&fake, ELFCLASS64);
		assert_ok(dump(&fake, fd, &run));
		elf_read(&elf, fd);
		assert_int_equal(elf.size, run.size);
		check_memory(&elf, &fake);
		elf_done(&elf);
	}
}

/// A process without threads and mappings, as a test of the arithmetic.
static void test_empty(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	struct run run = { .flags = CORE_KEEP_PARTIAL };
	struct elf elf;
	fake_init(&fake, ELFCLASS64, 0);
	_cleanup_close_ _unused_ int fd = dump_and_check(&fake, &run, &elf);
	assert_int_equal(elf.phnum, 1);
	elf_done(&elf);
}

/// Sources that give little at a time, and such that cannot be asked.
static void test_difficult_sources(void **state _unused_)
{
	for (int i = 0; i < 3; i++) {
		for (size_t j = 0; j < ARRAY_SIZE(runs); j++) {
			_cleanup_fake_ struct fake fake;
			struct run run = runs[j];
			struct elf elf;
			fill(&fake, ELFCLASS64);
			fake.scan_max = i == 0;
			fake.read_max = i == 1 ? TEST_PAGE : i == 2 ? TEST_PAGE + 100 : 0;
			_cleanup_close_ _unused_ int fd = dump_and_check(&fake, &run, &elf);
			elf_done(&elf);
		}
	}
}

/// A scan that fails is no reason to fail: everything is read then.
static void test_no_scan(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	struct run run = { .threads = 2 };
	struct elf elf;
	fake_init(&fake, ELFCLASS64, 1);
	fake_map(&fake, 0x10000, 600, R | W, NULL, "D");
	fake_map(&fake, 0x10000000, 6, R | W, NULL, "DdUUDU");
	fake.scan_errno = EINVAL;
	_cleanup_close_ _unused_ int fd = dump_and_check(&fake, &run, &elf);
	assert_int_equal(run.gap_bytes, 3 * TEST_PAGE);
	elf_done(&elf);
}

/// Less than a page at a time cannot be used; the page is a gap then, and the copy comes to an end.
static void test_tiny_reads(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	struct run run = { 0 };
	fake_init(&fake, ELFCLASS64, 1);
	fake_map(&fake, 0x10000, 4, R | W, NULL, "D");
	fake.read_max = 100;
	_cleanup_close_ int fd = test_memfd();
	struct elf elf;
	assert_ok(dump(&fake, fd, &run));
	elf_read(&elf, fd);
	assert_int_equal(run.lost_bytes, 4 * TEST_PAGE);
	elf_done(&elf);
}

static uint64_t progress_last, progress_calls;

static void on_progress(void *userdata, uint64_t done)
{
	progress_last = MAX(progress_last, done);
	progress_calls++;
	assert_ptr_equal(userdata, &progress_last);
}

static void test_progress(void **state _unused_)
{
	static const struct core_progress progress = { on_progress, &progress_last };
	_cleanup_fake_ struct fake fake;
	struct run run = { .progress = &progress };
	struct elf elf;
	fill(&fake, ELFCLASS64);
	progress_last = 0;
	_cleanup_close_ _unused_ int fd = dump_and_check(&fake, &run, &elf);
	uint64_t whole = 0;
	for (size_t i = 0; i + 1 < elf.phnum; i++)
		whole += elf.loads[i].filesz;
	assert_int_equal(progress_last, whole); // all of the address space, also what is empty
	assert_true(progress_calls > 10);
	elf_done(&elf);
}

// -- ending early -------------------------------------------------------------------------------

static void fill_long(struct fake *fake)
{
	fake_init(fake, ELFCLASS64, 1);
	fake_map(fake, 0x1000000, 4 * MIB_PAGES, R | W, NULL, "D");
	fake_map(fake, 0x2000000, 8, R | W, NULL, "DDZZDDGD");
	fake_map(fake, 0x3000000, 4 * MIB_PAGES, R | W, NULL, "D");
}

/// The codes of an end in the middle, when no partial core is wanted.
static void test_fails(void **state _unused_)
{
	static const struct {
		int errnum;
		enum snap_code code;
	} cases[] = {
		{ ESRCH, SNAP_NO_PROCESS },
		{ ECANCELED, SNAP_CANCELLED },
		{ ENOMEM, SNAP_FAILED },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t j = 0; j < 2 * ARRAY_SIZE(runs); j++) {
			_cleanup_fake_ struct fake fake;
			struct run run = runs[j / 2];
			fill_long(&fake);
			fake.fail_errno = cases[i].errnum;
			fake.fail_addr = j % 2 ? 0x2001000 : 0;
			_cleanup_close_ int fd = test_memfd();
			assert_code(dump(&fake, fd, &run), cases[i].code);
			char magic = 0;
			assert_true(snap_pread_full(fd, &magic, 1, 0) >= 0);
			assert_int_equal(magic, 0); // nobody takes it for a core
		}
	}
}

static void test_scan_fails(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	struct run run = { .threads = 2 };
	fill_long(&fake);
	fake.scan_errno = ESRCH;
	_cleanup_close_ int fd = test_memfd();
	assert_code(dump(&fake, fd, &run), SNAP_NO_PROCESS);
	run.flags = CORE_KEEP_PARTIAL;
	struct elf elf;
	_cleanup_close_ _unused_ int partial = dump_and_check(&fake, &run, &elf);
	assert_int_equal(run.lost_bytes, 8 * MIB + 8 * TEST_PAGE);
	assert_int_equal(elf.snapnote.n_gaps, 3);
	elf_done(&elf);
}

/// No more is written than is allowed; what is missing is listed.
static void test_limit(void **state _unused_)
{
	static const uint64_t limits[] = { 64 << 10, MIB, 3 * MIB, 16 * MIB };
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		_cleanup_fake_ struct fake fake;
		struct run run = { .threads = 2,
				   .flags = CORE_KEEP_PARTIAL | CORE_SHORT_OF_SPACE,
				   .max_bytes = limits[i] };
		struct elf elf;
		struct stat st;
		fill_long(&fake);
		_cleanup_close_ int fd = dump_and_check(&fake, &run, &elf);
		assert_int_equal(fstat(fd, &st), 0);
		assert_true((uint64_t)st.st_blocks * 512 <= limits[i]);
		if (limits[i] == 16 * MIB) {
			assert_int_equal(run.lost_bytes, 0);
		} else {
			// Two threads may each have had a piece too many.
			assert_true(8 * MIB + 8 * TEST_PAGE - run.lost_bytes <= limits[i]);
			assert_true(8 * MIB + 8 * TEST_PAGE - run.lost_bytes + (256 << 10) >=
				    limits[i]);
			assert_true(elf.snapnote.flags & SNAPNOTE_PARTIAL);
		}
		elf_done(&elf);
	}
	_cleanup_fake_ struct fake fake;
	struct run run = { .threads = 1, .flags = CORE_KEEP_PARTIAL, .max_bytes = 4096 };
	fill_long(&fake);
	_cleanup_close_ int fd = test_memfd();
	assert_code(dump(&fake, fd, &run), SNAP_NO_SPACE);
}

/// The same with a partial core: what was copied is there, the rest is listed as missing.
static void test_partial(void **state _unused_)
{
	static const int errnums[] = { ESRCH, ECANCELED, ENOMEM };
	for (size_t i = 0; i < ARRAY_SIZE(errnums); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(runs); j++) {
			_cleanup_fake_ struct fake fake;
			struct run run = runs[j];
			struct elf elf;
			fill_long(&fake);
			run.flags = CORE_KEEP_PARTIAL;
			fake.fail_errno = errnums[i];
			fake.fail_addr = 0x1000000 + 5 * MIB / 2;
			_cleanup_close_ _unused_ int fd = dump_and_check(&fake, &run, &elf);
			uint32_t reason = 0;
			assert_true(in_gap(&elf, 0x1000000 + 5 * MIB / 2, &reason));
			assert_int_equal(reason, GAP_ABORTED);
			if (run.threads == 1 && !run.budget) { // in order
				assert_false(in_gap(&elf, 0x1000000 + 5 * MIB / 2 - 1, &reason));
				assert_int_equal(run.lost_bytes, 11 * MIB / 2 + 8 * TEST_PAGE);
				assert_int_equal(elf.snapnote.n_gaps, 3);
			}
			assert_true(run.lost_bytes >= 11 * MIB / 2);
			elf_done(&elf);
		}
	}
}

/**
 * A source that finds out only after reading that the process runs again: what it has read then is
 * not of one instant, and must not be in the core.
 */
static void test_stale_reads(void **state _unused_)
{
	for (size_t j = 0; j < ARRAY_SIZE(runs); j++) {
		_cleanup_fake_ struct fake fake;
		struct run run = runs[j];
		struct elf elf;
		fill_long(&fake);
		run.flags = CORE_KEEP_PARTIAL;
		fake.dirty = true;
		fake.fail_errno = ECANCELED;
		fake.fail_addr = 0x1000000 + 2 * MIB;
		_cleanup_close_ _unused_ int fd = dump_and_check(&fake, &run, &elf);
		elf_done(&elf);
	}
}

/// And one that fails for a page only.
static void test_dirty_gaps(void **state _unused_)
{
	for (size_t j = 0; j < ARRAY_SIZE(runs); j++) {
		_cleanup_fake_ struct fake fake;
		struct run run = runs[j];
		struct elf elf;
		fill(&fake, ELFCLASS64);
		fake.dirty = true;
		_cleanup_close_ _unused_ int fd = dump_and_check(&fake, &run, &elf);
		elf_done(&elf);
	}
}

static void abort_at(struct fake *fake, uint64_t addr)
{
	if (addr >= 0x1000000 + 2 * MIB && fake->userdata)
		core_abort(fake->userdata);
}

static void test_abort(void **state _unused_)
{
	for (size_t j = 0; j < 2 * ARRAY_SIZE(runs); j++) {
		_cleanup_fake_ struct fake fake;
		struct run run = runs[j / 2];
		fill_long(&fake);
		fake.on_read = abort_at;
		if (j % 2) {
			struct elf elf;
			run.flags = CORE_KEEP_PARTIAL;
			_cleanup_close_ _unused_ int fd = dump_and_check(&fake, &run, &elf);
			assert_true(run.lost_bytes > 4 * MIB);
			elf_done(&elf);
			continue;
		}
		_cleanup_close_ int fd = test_memfd();
		assert_code(dump(&fake, fd, &run), SNAP_CANCELLED);
	}
}

// -- many things --------------------------------------------------------------------------------

/// More gaps than the note has room for: the list is cut, the sum is not.
static void test_more_gaps_than_room(void **state _unused_)
{
	enum { PAGES = 5000 };
	_cleanup_fake_ struct fake fake;
	_cleanup_free_ char *pages = malloc(PAGES + 1);
	struct run run = { .threads = 2 };
	for (size_t i = 0; i < PAGES; i++)
		pages[i] = i % 2 ? 'D' : 'U';
	pages[PAGES] = '\0';
	fake_init(&fake, ELFCLASS64, 2);
	fake_map(&fake, 0x1000000, PAGES, R | W, NULL, pages);
	_cleanup_close_ int fd = test_memfd();
	struct elf elf;
	assert_ok(dump(&fake, fd, &run));
	elf_read(&elf, fd);
	assert_int_equal(elf.snapnote.flags, SNAPNOTE_PARTIAL | SNAPNOTE_GAPS_CUT);
	assert_int_equal(elf.snapnote.n_gaps, 1024 + 1 + 2);
	assert_int_equal(elf.snapnote.gap_bytes, PAGES / 2 * TEST_PAGE);
	assert_int_equal(elf.snapnote.n_threads, 2); // still behind the gaps
	assert_int_equal(elf.threads[1].tid, 1001);
	for (size_t i = 0; i < elf.snapnote.n_gaps; i++)
		assert_int_equal(elf.gaps[i].start, 0x1000000 + 2 * i * TEST_PAGE);
	elf_done(&elf);
}

static void check_count(size_t n, unsigned char class)
{
	_cleanup_fake_ struct fake fake;
	struct run run = { .threads = 2, .reserve = true };
	struct elf elf;
	fake_init(&fake, class, 1);
	fake.others = "Z";
	for (size_t i = 0; i < n; i++)
		fake_map(&fake, 0x10000 + i * 2 * TEST_PAGE, 1, R | (i % 2 ? W : 0U), NULL,
			 i < 5 ? "D" : NULL);
	_cleanup_close_ _unused_ int fd = dump_and_check(&fake, &run, &elf);
	assert_int_equal(elf.phnum, n + 1);
	char ehdr[64];
	read_at(fd, ehdr, sizeof(ehdr), 0);
	assert_int_equal(field(ehdr, class == ELFCLASS64 ? 56 : 44, 2),
			 n + 1 < PN_XNUM ? n + 1 : PN_XNUM);
	elf_done(&elf);
}

static void test_many_mappings(void **state _unused_)
{
	if (test_under_valgrind()) {
		check_count(65534, ELFCLASS64);
		return;
	}
	check_count(65533, ELFCLASS64); // the last number that fits
	check_count(65534, ELFCLASS64); // PN_XNUM itself
	check_count(70000, ELFCLASS64);
	check_count(65533, ELFCLASS32);
	check_count(65534, ELFCLASS32);
}

/// A large sparse process costs neither time nor room.
static void test_sparse(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	struct run run = { .threads = 2, .reserve = true };
	fake_init(&fake, ELFCLASS64, 1);
	fake_map(&fake, 0x10000, 2, R, NULL, "D");
	fake_map(&fake, 1ULL << 40, 1ULL << 27, R | W, NULL, "Z"); // half a terabyte
	fake_map(&fake, 1ULL << 46, 2, R, NULL, "D");
	_cleanup_close_ int fd = test_memfd();
	struct elf elf;
	struct stat st;
	assert_ok(dump(&fake, fd, &run));
	elf_read(&elf, fd);
	assert_int_equal(elf.loads[1].filesz, 1ULL << 39);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_blocks * 512 < MIB);
	check_page(&elf, &fake, &fake.snap.mappings[2], 1ULL << 46, elf.loads[2].offset);
	elf_done(&elf);
}

/// ELFCLASS32 has 32 bits for offsets: a core that needs more must not be written with others.
static void test_too_large_for_32(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	fake_init(&fake, ELFCLASS32, 1000);
	fake.others = "Z";
	fake_map(&fake, 0x10000, 0xfff00, R | W, NULL, "Z");
	fake_map(&fake, 0xfff10000, 0x40, R | W, NULL, "D");
	_cleanup_(plan_destroyp) struct plan *plan = NULL;
	_cleanup_(core_destroyp) struct core *core = NULL;
	assert_ok(plan_create(&fake.snap, &fake.source, FILTER_MASK, 0, &plan));
	struct snap_error *err = core_create(&fake.snap, plan, 0, &core);
	bool refused = err != NULL;
	snap_error_destroy(err);
	assert_true(refused || core_size(core) <= UINT32_MAX);
}

// -- the look before ----------------------------------------------------------------------------

struct change {
	uint64_t pages_before, pages_after;
	size_t threads_before, threads_after;
};

/// Reserves for one snapshot and copies another one. Runs in a child of its own.
static int dump_changed(void *userdata)
{
	const struct change *change = userdata;
	struct reserve reserve = { .fd = -EBADF };
	int fd = memfd_create("test", MFD_CLOEXEC);
	uint64_t first = 0;
	for (int pass = 0; pass < 2; pass++) {
		struct fake fake;
		struct plan *plan;
		struct core *core;
		fake_init(&fake, ELFCLASS64, pass ? change->threads_after : change->threads_before);
		fake_map(&fake, 0x1000000, pass ? change->pages_after : change->pages_before, R | W,
			 NULL, "D");
		fake_map(&fake, 0x9000000, 3, R | W, NULL, "DdD");
		if (!pass)
			first = core_first_offset(&fake.snap, change->threads_before);
		if (plan_create(&fake.snap, &fake.source, FILTER_MASK, 0, &plan) ||
		    core_create(&fake.snap, plan, first, &core))
			return 10;
		if (!pass) {
			if (ftruncate(fd, (off_t)core_size(core)) < 0)
				return 11;
			reserve_init(&reserve, fd, core_size(core));
			reserve.budget = 1ULL << 40;
			if (core_reserve(core, &fake.source, 2, false, &reserve))
				return 12;
		} else {
			if (core_copy(core, &fake.source, fd, &reserve, 2, 0, NULL))
				return 13;
			if (core_finish(core, fd, &facts))
				return 14;
			reserve_deinit(&reserve);
			if ((uint64_t)lseek(fd, 0, SEEK_END) != core_size(core))
				return 15;
			struct elf elf;
			elf_read(&elf, fd); // an assertion that fails here aborts
			check_memory(&elf, &fake);
			elf_done(&elf);
		}
		core_destroy(core);
		plan_destroy(plan);
		fake_deinit(&fake);
	}
	(void)close(fd);
	return 0;
}

static void test_changed_meanwhile(void **state _unused_)
{
	static const struct change changes[] = {
		{ 1000, 1000, 0, 3 }, // as it is in a dump: threads are only known later
		{ 1000, 1100, 0, 3 },
		{ 1000, 900, 0, 3 },
		{ 1000, 900, 0, 200 },
		{ 4000, 10, 0, 1 },
		{ 10, 4000, 0, 100 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		struct change change = changes[i];
		int r = test_wait(test_fork(dump_changed, &change));
		if (r)
			fail_msg("change %zu: %d", i, r);
	}
}

// -- disks --------------------------------------------------------------------------------------

struct disk {
	uint64_t room; ///< bytes the file system has, or 0
	uint64_t limit; ///< RLIMIT_FSIZE, or 0
	struct run run;
	enum snap_code want;
};

static int dump_to_disk(void *userdata)
{
	const struct disk *disk = userdata;
	struct run run = disk->run;
	struct fake fake;
	(void)signal(SIGXFSZ, SIG_IGN);
	int fd = disk->room ? tmpfs_file(disk->room) : open("/tmp", O_TMPFILE | O_RDWR, 0600);
	struct rlimit limit = { disk->limit, disk->limit };
	if (fd < 0 || (disk->limit && setrlimit(RLIMIT_FSIZE, &limit) < 0))
		return EXIT_SKIP;
	fill_long(&fake);
	struct snap_error *err = dump(&fake, fd, &run);
	enum snap_code code = err ? err->code : SNAP_OK;
	if (err && code != disk->want)
		print_error("%s\n", err->message);
	snap_error_destroy(err);
	if (code != disk->want)
		return 1;
	if (!code) {
		struct elf elf;
		elf_read(&elf, fd);
		if (!(elf.snapnote.flags & SNAPNOTE_PARTIAL) != !run.lost_bytes)
			return 2;
		if (disk->room && disk->room < 8 * MIB &&
		    (run.lost_bytes < 4 * MIB || run.lost_bytes > 8 * MIB))
			return 3;
		check_memory(&elf, &fake);
		elf_done(&elf);
	}
	fake_deinit(&fake);
	return 0;
}

static void check_disk(struct disk disk)
{
	for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
		disk.run.threads = runs[i].threads;
		disk.run.reserve = runs[i].reserve;
		disk.run.budget = runs[i].budget;
		// Only what is reserved before makes sure of room for the headers.
		if (disk.run.flags & CORE_KEEP_PARTIAL && !disk.run.reserve)
			continue;
		int r = test_wait(test_fork(dump_to_disk, &disk));
		if (r == EXIT_SKIP)
			skip_test("a small file system needs root");
		if (r)
			fail_msg("%u threads, %sreserve: %d", disk.run.threads,
				 disk.run.reserve ? "" : "no ", r);
	}
}

static void test_size_limit(void **state _unused_)
{
	check_disk((struct disk){ .limit = MIB, .want = SNAP_FAILED });
	check_disk((struct disk){ .limit = 20 * MIB, .want = SNAP_OK });
}

static void test_disk_full(void **state _unused_)
{
	check_disk((struct disk){ .room = 3 * MIB, .want = SNAP_NO_SPACE });
}

/// Headers, notes and what fits of the memory: still a core.
static void test_disk_full_partial(void **state _unused_)
{
	check_disk((struct disk){
		.room = 3 * MIB, .run.flags = CORE_KEEP_PARTIAL, .want = SNAP_OK });
}

static void test_disk_with_room(void **state _unused_)
{
	check_disk((struct disk){ .room = 10 * MIB, .want = SNAP_OK });
}

static void test_bad_fd(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	struct run run = { .threads = 1 };
	fill_long(&fake);
	_cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_code(dump(&fake, fd, &run), SNAP_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_64),
		cmocka_unit_test(test_32),
		cmocka_unit_test(test_snapnote),
		cmocka_unit_test(test_long_mode),
		cmocka_unit_test(test_not_dumped),
		cmocka_unit_test(test_disk),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_difficult_sources),
		cmocka_unit_test(test_no_scan),
		cmocka_unit_test(test_tiny_reads),
		cmocka_unit_test(test_progress),
		cmocka_unit_test(test_fails),
		cmocka_unit_test(test_scan_fails),
		cmocka_unit_test(test_partial),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_stale_reads),
		cmocka_unit_test(test_dirty_gaps),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_more_gaps_than_room),
		cmocka_unit_test(test_many_mappings),
		cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_too_large_for_32),
		cmocka_unit_test(test_changed_meanwhile),
		cmocka_unit_test(test_size_limit),
		cmocka_unit_test(test_disk_full),
		cmocka_unit_test(test_disk_full_partial),
		cmocka_unit_test(test_disk_with_room),
		cmocka_unit_test(test_bad_fd),
	};
	return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}
