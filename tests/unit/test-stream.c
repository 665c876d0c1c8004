// SPDX-License-Identifier: LGPL-2.1-or-later
#include "corehead.h"
#include "test.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/fd.h"
#include "dumper/core.h"
#include "dumper/stream.h"

/*
 * What the kernel sends of a crash: made by hand, cut, and full of lies; and a real one.
 */

enum {
	PROGRAM = 0x400000,
	HEAP = 0x600000,
	FILE_PAGE = 3, ///< offset of the program's mapping into its file
};
#define VDSO	 0xf7fd0000UL
#define STACK	 0xffa00000UL
#define VSYSCALL 0xffffffffff600000UL

// ---- making --------------------------------------------------------------------------------

/// A crash of three threads; 64 or 32 bits.
static void make_notes(struct corehead *head)
{
	static const struct corehead_file files[] = {
		{ PROGRAM, PROGRAM + 0x2000, FILE_PAGE, "/usr/bin/program" },
		{ HEAP, HEAP + 0x3000, 0, "/tmp/a b (deleted)" },
	};
	char psinfo[136] = { 0 };
	size_t at = head->wide ? 40 : 28;
	memcpy(psinfo + at, "sixteen letters!", 17);
	memcpy(psinfo + at + 16, "sixteen letters! and more", 26);
	corehead_thread(head, 71, SIGSEGV, PROGRAM + 0x123, STACK + 0x456);
	corehead_note(head, "CORE", NT_PRPSINFO, psinfo, head->wide ? 136 : 124);
	corehead_siginfo(head, SIGSEGV, SEGV_MAPERR, 0xdead0);
	corehead_auxv(head, AT_SYSINFO_EHDR, VDSO);
	corehead_files(head, files, ARRAY_SIZE(files), ARRAY_SIZE(files));
	corehead_note(head, "CORE", NT_FPREGSET, psinfo, 108);
	corehead_thread(head, 72, 0, 1, 2);
	corehead_note(head, "LINUX", 0x202, psinfo, 5); // its padding counts
	corehead_thread(head, 73, 0, 3, 4);
}

static struct corehead make_crash(bool wide)
{
	struct corehead head = { .wide = wide };
	make_notes(&head);
	corehead_load(&head, PROGRAM, 2, 1, PF_R | PF_X);
	corehead_load(&head, HEAP, 3, 3, PF_R | PF_W);
	corehead_load(&head, HEAP + 0x8000, 300, 300, PF_R | PF_W);
	corehead_load(&head, HEAP + 0x10000000, 5, 0, PF_R);
	corehead_load(&head, VDSO, 2, 2, PF_R | PF_X);
	corehead_load(&head, STACK, 4, 4, PF_R | PF_W);
	if (wide)
		corehead_load(&head, VSYSCALL, 1, 1, PF_X);
	return head;
}

struct parsed {
	struct strbuf bytes;
	struct snapshot snap;
	struct plan *plan;
	struct stream_facts facts;
};

/// Parses bytes that end where their memory ends.
static struct snap_error *parse(const struct strbuf *bytes, size_t len, struct parsed *ret)
{
	*ret = (struct parsed){ .bytes = { .data = malloc(len + !len), .len = len } };
	memcpy(ret->bytes.data, bytes->data, len);
	return stream_parse(&ret->bytes, 4711, &ret->snap, &ret->plan, &ret->facts);
}

static void parsed_done(struct parsed *p)
{
	plan_destroy(p->plan);
	snapshot_deinit(&p->snap);
	strbuf_deinit(&p->bytes);
}

static uint64_t make_and_parse(struct corehead *head, struct parsed *ret)
{
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	uint64_t body = corehead_make(head, &bytes);
	assert_ok(parse(&bytes, bytes.len, ret));
	return body;
}

/// Takes @head.
static void assert_senseless(struct corehead *head)
{
	struct parsed p;
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	corehead_make(head, &bytes);
	assert_code(parse(&bytes, bytes.len, &p), SNAP_FAILED);
	assert_null(p.plan);
	parsed_done(&p);
	strbuf_deinit(&head->notes);
}

// ---- what it says --------------------------------------------------------------------------

static void check_threads(const struct parsed *p, bool wide)
{
	const struct snapshot *snap = &p->snap;
	assert_int_equal(snap->n_threads, 3);
	for (int i = 0; i < 3; i++) {
		const struct snap_thread *t = &snap->threads[i];
		// NOLINTNEXTLINE(clang-analyzer-core.NullDereference): there are three
		assert_int_equal(t->tid, 71 + i);
		assert_int_equal(t->n_regsets, 1);
		assert_int_equal(t->regsets[0].type, NT_PRSTATUS);
		assert_int_equal(t->regsets[0].size, wide ? 224 : 72);
		assert_int_equal(t->regsets[0].stored, t->regsets[0].size);
	}
	assert_int_equal(p->facts.signal, SIGSEGV);
	assert_int_equal(p->facts.si_code, SEGV_MAPERR);
	assert_int_equal(p->facts.fault_address, 0xdead0);
	assert_int_equal(p->facts.pc, PROGRAM + 0x123);
	assert_int_equal(p->facts.sp, STACK + 0x456);
}

static void check_process(const struct snapshot *snap, bool wide)
{
	const struct snap_process *proc = &snap->process;
	assert_int_equal(proc->pid, 4711);
	assert_int_equal(proc->machine.elf_class, wide ? ELFCLASS64 : ELFCLASS32);
	assert_int_equal(proc->machine.elf_machine, wide ? EM_X86_64 : EM_386);
	assert_string_equal(proc->comm, "sixteen letters!");
	assert_string_equal(proc->psargs, "sixteen letters! and more");
	assert_int_equal(proc->auxv_size, wide ? 48 : 24);
}

static void check_mappings(const struct snapshot *snap, bool wide)
{
	const struct snap_mapping *maps = snap->mappings;
	assert_int_equal(snap->n_mappings, wide ? 7 : 6);
	assert_string_equal(snap_mapping_name(snap, &maps[0]), "/usr/bin/program");
	assert_int_equal(maps[0].start, PROGRAM);
	assert_int_equal(maps[0].end, PROGRAM + 0x2000);
	assert_int_equal(maps[0].offset, FILE_PAGE * TEST_PAGE);
	assert_int_equal(maps[0].flags, SNAP_MAP_READ | SNAP_MAP_EXEC);
	assert_true(maps[0].inode);
	assert_string_equal(snap_mapping_name(snap, &maps[1]), "/tmp/a b (deleted)");
	assert_int_equal(maps[1].flags, SNAP_MAP_READ | SNAP_MAP_WRITE | SNAP_MAP_UNLINKED);
	for (size_t i = 2; i < snap->n_mappings; i++) {
		assert_int_equal(maps[i].inode, 0);
		assert_string_equal(snap_mapping_name(snap, &maps[i]), "");
		assert_int_equal(!!(maps[i].flags & SNAP_MAP_SPECIAL), maps[i].start == VDSO);
	}
}

static void check_crash(bool wide)
{
	static const uint64_t sent[] = { 1, 3, 300, 0, 2, 4, 1 };
	struct corehead head = make_crash(wide);
	struct parsed p;
	uint64_t body = make_and_parse(&head, &p), sum = 0;
	check_threads(&p, wide);
	check_process(&p.snap, wide);
	check_mappings(&p.snap, wide);
	assert_int_equal(p.facts.body_offset, body);
	assert_int_equal(p.plan->n, p.snap.n_mappings);
	for (size_t i = 0; i < p.plan->n; i++) {
		const struct plan_segment *seg = &p.plan->segments[i];
		bool gate = seg->start == VSYSCALL;
		assert_ptr_equal(seg->map, &p.snap.mappings[i]);
		assert_int_equal(seg->start, seg->map->start);
		assert_int_equal(seg->end, seg->map->end);
		assert_int_equal(seg->stream_bytes, sent[i] * TEST_PAGE);
		assert_int_equal(seg->dump_bytes, gate ? 0 : seg->stream_bytes);
		assert_int_equal(plan_class_dumped(seg->class), seg->dump_bytes > 0);
		sum += seg->dump_bytes;
	}
	assert_int_equal(p.plan->dump_bytes, sum);
	assert_int_equal(p.snap.notes_size, head.notes.len);
	assert_memory_equal(p.snap.notes, head.notes.data, head.notes.len);
	parsed_done(&p);
	strbuf_deinit(&head.notes);
}

static void test_wide(void **state _unused_)
{
	check_crash(true);
}

static void test_narrow(void **state _unused_)
{
	check_crash(false);
}

/// Registers of a machine that is not ours are kept, and not understood.
static void test_other_machine(void **state _unused_)
{
	struct corehead head = make_crash(true);
	struct parsed p;
	head.machine = EM_RISCV;
	make_and_parse(&head, &p);
	assert_int_equal(p.snap.n_threads, 3);
	assert_int_equal(p.facts.signal, SIGSEGV);
	assert_int_equal(p.facts.pc | p.facts.sp, 0);
	parsed_done(&p);
	strbuf_deinit(&head.notes);
}

/// kill() says who, not where; and only what the kernel says of the first thread counts.
static void test_siginfo(void **state _unused_)
{
	static const struct {
		int signal, code;
		uint64_t addr;
	} rows[] = {
		{ SIGSEGV, SEGV_ACCERR, 0x1234 }, { SIGBUS, BUS_ADRERR, 0x1234 },
		{ SIGFPE, FPE_INTDIV, 0x1234 },	  { SIGABRT, 1, 0 },
		{ SIGSEGV, SI_USER, 0 },	  { SIGSEGV, SI_TKILL, 0 },
		{ SIGSEGV, SI_QUEUE, 0 },
	};
	for (size_t i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
		struct corehead head = { .wide = i % 2 };
		struct parsed p;
		corehead_thread(&head, 1, rows[i / 2].signal, 0, 0);
		corehead_siginfo(&head, rows[i / 2].signal, rows[i / 2].code, 0x1234);
		corehead_thread(&head, 2, 0, 0, 0);
		corehead_siginfo(&head, SIGSEGV, SEGV_MAPERR, 0x6666);
		make_and_parse(&head, &p);
		assert_int_equal(p.facts.signal, rows[i / 2].signal);
		assert_int_equal(p.facts.si_code, rows[i / 2].code);
		assert_int_equal(p.facts.fault_address, rows[i / 2].addr);
		parsed_done(&p);
		strbuf_deinit(&head.notes);
	}
}

/// More segments than e_phnum can say; the section header that tells them comes at the very end.
static void test_many_segments(void **state _unused_)
{
	enum { N = 70000 };
	struct corehead one = { .wide = true, .phnum = PN_XNUM };
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	struct parsed p;
	corehead_thread(&one, 1, SIGABRT, 0, 0);
	Elf64_Phdr note = { .p_type = PT_NOTE,
			    .p_offset = sizeof(Elf64_Ehdr) + (N + 1) * sizeof(Elf64_Phdr),
			    .p_filesz = one.notes.len };
	corehead_add_ehdr(&one, &bytes);
	corehead_add_phdr(&one, &bytes, &note);
	for (uint64_t i = 0; i < N; i++) {
		const Elf64_Phdr load = { .p_type = PT_LOAD,
					  .p_vaddr = PROGRAM + i * TEST_PAGE,
					  .p_memsz = TEST_PAGE };
		corehead_add_phdr(&one, &bytes, &load);
	}
	corehead_add(&bytes, one.notes.data, one.notes.len);
	assert_ok(parse(&bytes, bytes.len, &p));
	assert_int_equal(p.snap.n_mappings, N);
	assert_int_equal(p.plan->n, N);
	assert_int_equal(p.snap.mappings[N - 1].start, PROGRAM + (N - 1ULL) * TEST_PAGE);
	parsed_done(&p);
	strbuf_deinit(&one.notes);
}

// ---- reading it ----------------------------------------------------------------------------

/// A pipe with @len bytes in it; without a writer if @closed.
static int pipe_with(const void *data, size_t len, int *ret_writer)
{
	int fds[2];
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_true(fcntl(fds[1], F_SETPIPE_SZ, 1 << 20) > 0);
	assert_int_equal(write(fds[1], data, len), len);
	if (ret_writer)
		*ret_writer = fds[1];
	else
		(void)close(fds[1]);
	return fds[0];
}

static int read_head(const void *data, size_t len, struct strbuf *ret)
{
	_cleanup_close_ int fd = pipe_with(data, len, NULL);
	return stream_read_head(fd, UINT64_MAX, ret);
}

static void check_cuts(bool wide)
{
	struct corehead head = make_crash(wide);
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	corehead_make(&head, &bytes);
	for (size_t len = 0; len <= bytes.len; len++) {
		_cleanup_strbuf_ struct strbuf got = { 0 };
		struct parsed p;
		assert_int_equal(read_head(bytes.data, len, &got),
				 len < bytes.len ? -ENODATA : 0);
		assert_int_equal(got.len, len);
		if (len)
			assert_memory_equal(got.data, bytes.data, len);
		struct snap_error *err = parse(&bytes, len, &p);
		assert_int_equal(!err, len == bytes.len);
		assert_int_equal(!p.plan, len < bytes.len);
		snap_error_destroy(err);
		parsed_done(&p);
	}
	strbuf_deinit(&head.notes);
}

static void test_cut_wide(void **state _unused_)
{
	check_cuts(true);
}

static void test_cut_narrow(void **state _unused_)
{
	check_cuts(false);
}

/// What is behind the head belongs to whoever reads the memory.
static void test_takes_no_more(void **state _unused_)
{
	for (int wide = 0; wide < 2; wide++) {
		struct corehead head = make_crash(wide);
		_cleanup_strbuf_ struct strbuf bytes = { 0 }, got = { 0 };
		char rest[16];
		corehead_make(&head, &bytes);
		size_t len = bytes.len;
		corehead_add(&bytes, "behind", 6);
		_cleanup_close_ int fd = pipe_with(bytes.data, bytes.len, NULL);
		assert_int_equal(stream_read_head(fd, UINT64_MAX, &got), 0);
		assert_int_equal(got.len, len);
		assert_int_equal(read(fd, rest, sizeof(rest)), 6);
		assert_memory_equal(rest, "behind", 6);
		strbuf_deinit(&head.notes);
	}
}

/// A kernel that does not go on.
static void test_deadline(void **state _unused_)
{
	struct corehead head = make_crash(true);
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	corehead_make(&head, &bytes);
	static const size_t lens[] = { 0, 1, 64, 200 };
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		_cleanup_strbuf_ struct strbuf got = { 0 };
		_cleanup_close_ int writer = -EBADF;
		_cleanup_close_ int fd = pipe_with(bytes.data, lens[i], &writer);
		assert_int_equal(stream_read_head(fd, snap_now_ns(), &got), -ETIMEDOUT);
		assert_int_equal(got.len, lens[i]);
	}
	// What is there already has come in time.
	_cleanup_strbuf_ struct strbuf got = { 0 };
	_cleanup_close_ int writer = -EBADF;
	_cleanup_close_ int fd = pipe_with(bytes.data, bytes.len, &writer);
	assert_int_equal(stream_read_head(fd, 0, &got), 0);
	strbuf_deinit(&head.notes);
}

/// Changes one member of the ELF header, or of the first program header.
static int read_changed(bool wide, size_t at, uint64_t value, size_t size)
{
	struct corehead head = make_crash(wide);
	_cleanup_strbuf_ struct strbuf bytes = { 0 }, got = { 0 };
	corehead_make(&head, &bytes);
	corehead_put(bytes.data + at, value, size);
	int r = read_head(bytes.data, bytes.len, &got);
	strbuf_deinit(&head.notes);
	return r;
}

static void test_no_core(void **state _unused_)
{
	static const struct {
		size_t wide, narrow, size;
		uint64_t value;
		int result;
	} rows[] = {
		{ 0, 0, 1, 'x', -EBADMSG }, // magic
		{ EI_CLASS, EI_CLASS, 1, 0, -EBADMSG },
		{ EI_CLASS, EI_CLASS, 1, 3, -EBADMSG },
		{ EI_DATA, EI_DATA, 1, ELFDATA2MSB, -EBADMSG },
		{ 16, 16, 2, ET_EXEC, -EBADMSG },
		{ 64, 52, 4, PT_LOAD, -EBADMSG },
		// p_offset: before the end of the headers, and farther than a head may be
		{ 64 + 8, 52 + 4, 4, 0, -EFBIG },
		{ 64 + 8, 52 + 4, 4, 83, -EFBIG },
		{ 64 + 8, 52 + 4, 4, STREAM_HEAD_MAX + 1, -EFBIG },
		{ 64 + 8, 52 + 4, 4, UINT32_MAX, -EFBIG },
		// p_filesz
		{ 64 + 32, 52 + 16, 4, STREAM_HEAD_MAX, -EFBIG },
		{ 64 + 32, 52 + 16, 4, UINT32_MAX, -EFBIG },
		{ 64 + 32, 52 + 16, 4, STREAM_HEAD_MAX / 2, -ENODATA },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(read_changed(true, rows[i].wide, rows[i].value, rows[i].size),
				 rows[i].result);
		assert_int_equal(read_changed(false, rows[i].narrow, rows[i].value, rows[i].size),
				 rows[i].result);
	}
	// Sums that begin again at 0.
	assert_int_equal(read_changed(true, 64 + 8, UINT64_MAX - 100, 8), -EFBIG);
	assert_int_equal(read_changed(true, 64 + 32, UINT64_MAX - 100, 8), -EFBIG);
	_cleanup_strbuf_ struct strbuf got = { 0 };
	static const char text[200] = "It was a dark and stormy night";
	assert_int_equal(read_head(text, sizeof(text), &got), -EBADMSG);
}

// ---- lies ----------------------------------------------------------------------------------

static void test_segments_that_cannot_be(void **state _unused_)
{
	static const Elf64_Phdr lies[] = {
		// The heap begins at 6 MiB and the next mapping 8 pages later.
		{ .p_type = PT_NOTE },
		{ .p_vaddr = HEAP + 1 },
		{ .p_vaddr = PROGRAM },
		{ .p_vaddr = PROGRAM + 0x1000 },
		{ .p_vaddr = HEAP + 0x8000 },
		{ .p_memsz = 0x9000 },
		{ .p_memsz = 0x3001 },
		{ .p_memsz = UINT64_MAX - HEAP - 0xfff },
		{ .p_memsz = UINT64_MAX & ~0xfffULL },
		{ .p_memsz = 0x2000 },
		{ .p_filesz = 0x4000 },
		{ .p_filesz = 0x1fff },
		{ .p_filesz = UINT64_MAX & ~0xfffULL },
	};
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		struct corehead head = make_crash(true);
		Elf64_Phdr *phdr = &head.loads[1];
		phdr->p_type = lies[i].p_type ? lies[i].p_type : PT_LOAD;
		phdr->p_vaddr = lies[i].p_vaddr ? lies[i].p_vaddr : phdr->p_vaddr;
		phdr->p_memsz = lies[i].p_memsz ? lies[i].p_memsz : phdr->p_memsz;
		phdr->p_filesz = lies[i].p_filesz ? lies[i].p_filesz : phdr->p_filesz;
		assert_senseless(&head);
	}
	struct corehead last = make_crash(true);
	last.loads[last.n_loads - 1].p_vaddr = UINT64_MAX & ~0xfffULL; // ends at 2^64
	assert_senseless(&last);
}

static void test_notes_that_cannot_be(void **state _unused_)
{
	static const Elf64_Nhdr lies[] = {
		{ 5, UINT32_MAX, NT_PRSTATUS }, { UINT32_MAX, 4, NT_PRSTATUS },
		{ UINT32_MAX, UINT32_MAX, 0 },	{ 5, 1, NT_PRSTATUS },
		{ 0, 1, 1 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		struct corehead head = make_crash(true);
		corehead_add(&head.notes, &lies[i], sizeof(lies[i]));
		assert_senseless(&head);
	}
	struct corehead nobody = { .wide = true };
	corehead_siginfo(&nobody, SIGSEGV, SEGV_MAPERR, 1);
	assert_senseless(&nobody);
	struct corehead nothing = { .wide = true };
	assert_senseless(&nothing);
	static const Elf64_Phdr places[] = {
		{ .p_type = PT_LOAD },	      { .p_offset = 1 },
		{ .p_offset = 64 },	      { .p_offset = 1 << 20 },
		{ .p_offset = UINT64_MAX },   { .p_filesz = 1 << 20 },
		{ .p_filesz = UINT64_MAX },
	};
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct corehead head = make_crash(true);
		head.note = places[i];
		assert_senseless(&head);
	}
}

/// Notes that are shorter than what belongs in them are read as far as they go.
static void test_short_notes(void **state _unused_)
{
	static const uint32_t types[] = { NT_PRSTATUS, NT_PRPSINFO, NT_SIGINFO, NT_AUXV, NT_FILE };
	char junk[400];
	memset(junk, 0xff, sizeof(junk));
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		for (size_t len = 0; len < 400; len++) {
			struct corehead head = { .wide = len % 2 };
			struct parsed p;
			corehead_thread(&head, 1, SIGILL, 2, 3);
			corehead_note(&head, "CORE", types[i], junk, len);
			corehead_load(&head, PROGRAM, 1, 1, PF_R);
			make_and_parse(&head, &p);
			assert_int_equal(p.snap.n_threads, types[i] == NT_PRSTATUS ? 2 : 1);
			assert_int_equal(p.facts.signal, SIGILL);
			assert_string_equal(snap_mapping_name(&p.snap, &p.snap.mappings[0]), "");
			for (size_t t = 0; t < p.snap.n_threads; t++)
				assert_true(p.snap.threads[t].regsets[0].size <= 400);
			parsed_done(&p);
			strbuf_deinit(&head.notes);
		}
	}
}

/// Names that do not belong to any mapping, or to one that has a name.
static void test_names_that_lie(void **state _unused_)
{
	static const struct corehead_file files[] = {
		{ PROGRAM + 1, 0, 0, "/not its start" },
		{ PROGRAM + 0x1000, 0, 0, "/within" },
		{ UINT64_MAX, UINT64_MAX, 0, "/nowhere" },
		{ PROGRAM, 0, UINT64_MAX, "/first" },
		{ PROGRAM, 0, 0, "/second" },
		{ HEAP, 0, 0, "/anon_hugepage (deleted)" },
	};
	static const uint64_t counts[] = { 6, 4, 0, 7, 1000, UINT64_MAX, UINT64_MAX / 3,
					   UINT64_MAX / 24 + 1 };
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		struct corehead head = { .wide = true };
		struct parsed p;
		corehead_thread(&head, 1, SIGILL, 2, 3);
		corehead_files(&head, files, ARRAY_SIZE(files), counts[i]);
		corehead_load(&head, PROGRAM, 2, 1, PF_R);
		corehead_load(&head, HEAP, 1, 1, PF_R);
		make_and_parse(&head, &p);
		const char *name = snap_mapping_name(&p.snap, &p.snap.mappings[0]);
		if (counts[i] == 6) {
			assert_string_equal(name, "/first");
			// NOLINTNEXTLINE(clang-analyzer-core.NullDereference)
			assert_int_equal(p.snap.mappings[1].flags & SNAP_MAP_ANON_HUGETLB,
					 SNAP_MAP_ANON_HUGETLB);
		} else if (counts[i] == 0 || counts[i] > 7) {
			assert_string_equal(name, "");
		}
		parsed_done(&p);
		strbuf_deinit(&head.notes);
	}
}

// ---- memory from the stream ----------------------------------------------------------------

/// The byte at @addr; every fifth page is zero.
static uint8_t byte_at(uint64_t addr)
{
	return addr / TEST_PAGE % 5 == 4 ? 0 : (uint8_t)(addr / TEST_PAGE + addr % 251 + 1) | 1;
}

/// Head and memory in one file, as which the kernel writes it; stands behind the head.
static int make_stream(struct corehead *head, struct parsed *ret)
{
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	uint64_t body = corehead_make(head, &bytes);
	size_t len = bytes.len;
	assert_ok(parse(&bytes, len, ret));
	assert_int_equal(strbuf_align(&bytes, TEST_PAGE), 0);
	assert_int_equal(bytes.len, body);
	for (size_t i = 0; i < head->n_loads; i++)
		for (uint64_t pos = 0; pos < head->loads[i].p_filesz; pos++) {
			uint8_t byte = byte_at(head->loads[i].p_vaddr + pos);
			corehead_add(&bytes, &byte, 1);
		}
	int fd = test_memfd();
	assert_int_equal(snap_write_all(fd, bytes.data, bytes.len), 0);
	assert_int_equal(lseek(fd, (off_t)len, SEEK_SET), len);
	return fd;
}

struct copied {
	struct core *core;
	int fd;
};

static bool stalled; ///< the last one of these

static struct copied copy_stream(struct parsed *p, int stream, uint64_t position,
				 uint64_t max_bytes)
{
	struct copied c = { .fd = test_memfd() };
	if (!p->snap.mode)
		p->snap.mode = strdup("stream");
	assert_ok(core_create(&p->snap, p->plan, 0, &c.core));
	if (max_bytes)
		assert_ok(core_set_limit(c.core, max_bytes));
	const struct stream_body body = { .fd = stream, .position = position, .patience_ms = 100 };
	assert_ok(stream_copy(&body, &p->facts, c.core, c.fd, CORE_KEEP_PARTIAL, &stalled));
	assert_ok(core_finish(c.core, c.fd, &(struct core_facts){ .pause_ns = 1 }));
	return c;
}

static void copied_done(struct copied *c)
{
	core_destroy(c->core);
	(void)close(c->fd);
}

static bool in_gap(const struct gaps *gaps, uint64_t addr)
{
	for (size_t i = 0; i < gaps->n; i++)
		if (addr >= gaps->list[i].start && addr < gaps->list[i].end)
			return true;
	return false;
}

/// All that is not in a gap is in the core, and the gaps are @lost bytes.
static void check_copy(const struct parsed *p, const struct copied *c, uint64_t lost)
{
	const struct gaps *gaps = core_gaps(c->core);
	uint64_t sum = 0;
	for (size_t i = 0; i < gaps->n; i++) {
		assert_true(!i || gaps->list[i].start >= gaps->list[i - 1].end);
		assert_int_equal(gaps->list[i].reason, GAP_ABORTED);
		sum += gaps->list[i].end - gaps->list[i].start;
	}
	assert_int_equal(sum, lost);
	assert_int_equal(gaps->bytes, lost);
	assert_int_equal(gaps->lost_bytes, lost);
	size_t entry = p->snap.process.machine.elf_class == ELFCLASS64 ? 56 : 32;
	for (size_t i = 0; entry == 56 && i < p->plan->n; i++) {
		const struct plan_segment *seg = &p->plan->segments[i];
		Elf64_Phdr phdr;
		assert_int_equal(snap_pread_full(c->fd, &phdr, sizeof(phdr), 64 + (i + 1) * entry),
				 sizeof(phdr));
		assert_int_equal(phdr.p_vaddr, seg->start);
		assert_int_equal(phdr.p_filesz, seg->dump_bytes);
		for (uint64_t pos = 0; pos < seg->dump_bytes; pos += TEST_PAGE) {
			uint8_t page[TEST_PAGE];
			if (in_gap(gaps, seg->start + pos))
				continue;
			assert_int_equal(snap_pread_full(c->fd, page, TEST_PAGE,
							 phdr.p_offset + pos),
					 TEST_PAGE);
			for (uint64_t at = 0; at < TEST_PAGE; at++)
				if (page[at] != byte_at(seg->start + pos + at))
					fail_msg("byte at %llx", (unsigned long long)(seg->start +
										      pos + at));
		}
	}
}

static void test_copy(void **state _unused_)
{
	for (int wide = 0; wide < 2; wide++) {
		struct corehead head = make_crash(wide);
		struct parsed p;
		_cleanup_close_ int stream = make_stream(&head, &p);
		struct copied c = copy_stream(&p, stream, p.bytes.len, 0);
		check_copy(&p, &c, 0);
		copied_done(&c);
		parsed_done(&p);
		strbuf_deinit(&head.notes);
	}
}

/// The process is killed while the kernel writes: whole pages are kept, the rest is told.
static void test_copy_cut(void **state _unused_)
{
	struct corehead head = make_crash(true);
	struct parsed p;
	_cleanup_close_ int whole = make_stream(&head, &p);
	off_t end = lseek(whole, 0, SEEK_END);
	const off_t sizes[] = { (off_t)p.bytes.len,
				(off_t)p.facts.body_offset,
				(off_t)p.facts.body_offset + 1,
				(off_t)p.facts.body_offset + TEST_PAGE,
				(off_t)p.facts.body_offset + 100 * TEST_PAGE - 1,
				(off_t)p.facts.body_offset + 100 * TEST_PAGE,
				(off_t)p.facts.body_offset + 270 * TEST_PAGE + 77,
				end - 1,
				end };
	for (size_t i = ARRAY_SIZE(sizes); i-- > 0;) {
		assert_int_equal(ftruncate(whole, sizes[i]), 0);
		assert_int_equal(lseek(whole, (off_t)p.bytes.len, SEEK_SET), p.bytes.len);
		uint64_t there = sizes[i] <= (off_t)p.facts.body_offset ?
					 0 :
					 (uint64_t)sizes[i] - p.facts.body_offset;
		struct copied c = copy_stream(&p, whole, p.bytes.len, 0);
		there = MIN(there / TEST_PAGE * TEST_PAGE, p.plan->dump_bytes); // but [vsyscall]
		check_copy(&p, &c, p.plan->dump_bytes - there);
		copied_done(&c);
	}
	parsed_done(&p);
	strbuf_deinit(&head.notes);
}

/// A kernel that waits for a page that nobody gives it: what came until then is kept.
static void test_copy_stalled(void **state _unused_)
{
	enum { CAME = 100 * TEST_PAGE };
	struct corehead head = make_crash(true);
	struct parsed p;
	int ends[2];
	_cleanup_close_ int whole = make_stream(&head, &p);
	size_t len = (size_t)p.facts.body_offset - p.bytes.len + CAME;
	_cleanup_free_ char *bytes = malloc(len);
	assert_non_null(bytes);
	assert_int_equal(snap_pread_full(whole, bytes, len, p.bytes.len), len);
	assert_int_equal(pipe(ends), 0);
	assert_true(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) >= (int)len);
	assert_int_equal(snap_write_all(ends[1], bytes, len), 0);
	struct copied c = copy_stream(&p, ends[0], p.bytes.len, 0);
	assert_true(stalled);
	check_copy(&p, &c, p.plan->dump_bytes - CAME);
	copied_done(&c);
	// What has ended is not what does not answer.
	(void)close(ends[1]);
	c = copy_stream(&p, ends[0], p.bytes.len, 0);
	assert_false(stalled);
	copied_done(&c);
	(void)close(ends[0]);
	parsed_done(&p);
	strbuf_deinit(&head.notes);
}

/// Somebody else has read from the stream: nothing of it can be believed.
static void test_copy_elsewhere(void **state _unused_)
{
	struct corehead head = make_crash(true);
	struct parsed p;
	_cleanup_close_ int stream = make_stream(&head, &p);
	off_t before = lseek(stream, 12345, SEEK_CUR);
	struct copied c = copy_stream(&p, stream, UINT64_MAX, 0);
	check_copy(&p, &c, p.plan->dump_bytes);
	assert_int_equal(lseek(stream, 0, SEEK_CUR), before);
	copied_done(&c);
	parsed_done(&p);
	strbuf_deinit(&head.notes);
}

/// Without room for all, each byte is missing once, and nobody waits for the rest of the stream.
static void test_copy_full(void **state _unused_)
{
	struct corehead head = make_crash(true);
	struct parsed p;
	head.n_loads--; // [vsyscall]
	corehead_load(&head, 1ULL << 32, 2000, 2000, PF_R);
	_cleanup_close_ int stream = make_stream(&head, &p);
	struct copied c = copy_stream(&p, stream, p.bytes.len, 256 << 10);
	const struct gaps *gaps = core_gaps(c.core);
	assert_true(gaps->lost_bytes >= p.plan->dump_bytes - (256 << 10));
	check_copy(&p, &c, gaps->lost_bytes);
	assert_true(gaps->lost_bytes <= p.plan->dump_bytes);
	assert_true(lseek(stream, 0, SEEK_CUR) < 3 << 20);
	copied_done(&c);
	parsed_done(&p);
	strbuf_deinit(&head.notes);
}

// ---- the kernel itself ---------------------------------------------------------------------

static bool core_goes_to_file(void)
{
	_cleanup_free_ char *pattern = NULL;
	return snap_read_file_at(AT_FDCWD, "/proc/sys/kernel/core_pattern", 4096, &pattern) >= 0 &&
	       !strcmp(pattern, "core\n");
}

static void *wait_for_ever(void *userdata)
{
	(void)pthread_barrier_wait(userdata);
	(void)pause();
	return NULL;
}

static void crash_with_threads(const char *dir)
{
	static pthread_barrier_t barrier;
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	pthread_t thread;
	(void)signal(SIGSEGV, SIG_DFL); // sanitizers have handlers
	if (chdir(dir) < 0 || setrlimit(RLIMIT_CORE, &unlimited) < 0 ||
	    pthread_barrier_init(&barrier, NULL, 4) != 0)
		_exit(1);
	for (int i = 0; i < 3; i++)
		if (pthread_create(&thread, NULL, wait_for_ever, &barrier) != 0)
			_exit(1);
	(void)pthread_barrier_wait(&barrier);
	*(volatile int *)(uintptr_t)0x1230 = 1; // NOLINT: that is what it is for
	_exit(1);
}

/// A core that the kernel has written into a folder that is gone then; -1: there is none.
static int real_core(pid_t *ret_pid)
{
	char dir[] = "/tmp/procsnap-stream-XXXXXX";
	assert_non_null(mkdtemp(dir));
	*ret_pid = fork();
	if (*ret_pid == 0)
		crash_with_threads(dir);
	int status, found = -1;
	assert_int_equal(waitpid(*ret_pid, &status, 0), *ret_pid);
	_cleanup_close_ int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fdopendir(dup(dirfd));
	for (const struct dirent *d; list && (d = readdir(list));) {
		if (strncmp(d->d_name, "core", 4) != 0)
			continue;
		found = openat(dirfd, d->d_name, O_RDONLY | O_CLOEXEC);
		(void)unlinkat(dirfd, d->d_name, 0);
	}
	(void)closedir(list);
	(void)rmdir(dir);
	return found;
}

/// Does segment @i of @core say what segment @j of the kernel's does?
static void compare_segment(int kernel, int core, size_t i, uint64_t dump_bytes)
{
	Elf64_Phdr theirs, ours;
	uint8_t a[TEST_PAGE], b[TEST_PAGE];
	uint64_t at = 64 + (i + 1) * sizeof(theirs);
	assert_int_equal(snap_pread_full(kernel, &theirs, sizeof(theirs), at), sizeof(theirs));
	assert_int_equal(snap_pread_full(core, &ours, sizeof(ours), at), sizeof(ours));
	assert_int_equal(ours.p_vaddr, theirs.p_vaddr);
	assert_int_equal(ours.p_memsz, theirs.p_memsz);
	assert_int_equal(ours.p_flags, theirs.p_flags);
	assert_int_equal(ours.p_filesz, theirs.p_vaddr >> 63 ? 0 : theirs.p_filesz);
	assert_int_equal(ours.p_filesz, dump_bytes);
	for (uint64_t pos = 0; pos < ours.p_filesz; pos += TEST_PAGE) {
		assert_int_equal(snap_pread_full(kernel, a, TEST_PAGE, theirs.p_offset + pos),
				 TEST_PAGE);
		assert_int_equal(snap_pread_full(core, b, TEST_PAGE, ours.p_offset + pos),
				 TEST_PAGE);
		assert_memory_equal(a, b, TEST_PAGE);
	}
}

static bool has_exe(const struct snapshot *snap)
{
	_cleanup_free_ char *exe = NULL;
	assert_true(snap_readlink_at(AT_FDCWD, "/proc/self/exe", &exe) >= 0);
	for (size_t i = 0; i < snap->n_mappings; i++)
		if (!strcmp(snap_mapping_name(snap, &snap->mappings[i]), exe))
			return true;
	return false;
}

static void test_real(void **state _unused_)
{
	pid_t pid;
	struct parsed p = { .bytes = { 0 } };
	if (!core_goes_to_file())
		skip_test("cores do not go into a file: kernel.core_pattern");
	_cleanup_close_ int core = real_core(&pid);
	if (core < 0 && !core_goes_to_file())
		skip_test("kernel.core_pattern was changed meanwhile");
	assert_true(core >= 0);
	assert_int_equal(stream_read_head(core, UINT64_MAX, &p.bytes), 0);
	assert_ok(stream_parse(&p.bytes, pid, &p.snap, &p.plan, &p.facts));
	assert_int_equal(p.snap.n_threads, 4);
	assert_int_equal(p.snap.threads[0].tid, pid);
	assert_int_equal(p.facts.signal, SIGSEGV);
	assert_int_equal(p.facts.si_code, SEGV_MAPERR);
	assert_int_equal(p.facts.fault_address, 0x1230);
	assert_true(p.facts.pc && p.facts.sp);
	assert_true(has_exe(&p.snap));
	size_t special = 0;
	for (size_t i = 0; i < p.snap.n_mappings; i++)
		special += p.snap.mappings[i].flags & SNAP_MAP_SPECIAL ? 1 : 0;
	assert_int_equal(special, 1);
	struct copied c = copy_stream(&p, core, p.bytes.len, 0);
	assert_int_equal(core_gaps(c.core)->bytes, 0);
	for (size_t i = 0; i < p.plan->n; i++)
		compare_segment(core, c.fd, i, p.plan->segments[i].dump_bytes);
	copied_done(&c);
	parsed_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wide),
		cmocka_unit_test(test_narrow),
		cmocka_unit_test(test_other_machine),
		cmocka_unit_test(test_siginfo),
		cmocka_unit_test(test_many_segments),
		cmocka_unit_test(test_cut_wide),
		cmocka_unit_test(test_cut_narrow),
		cmocka_unit_test(test_takes_no_more),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_no_core),
		cmocka_unit_test(test_segments_that_cannot_be),
		cmocka_unit_test(test_notes_that_cannot_be),
		cmocka_unit_test(test_short_notes),
		cmocka_unit_test(test_names_that_lie),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_copy_cut),
		cmocka_unit_test(test_copy_stalled),
		cmocka_unit_test(test_copy_elsewhere),
		cmocka_unit_test(test_copy_full),
		cmocka_unit_test(test_real),
	};
	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
