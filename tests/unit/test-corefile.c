// SPDX-License-Identifier: LGPL-2.1-or-later
#include "goopen.h"

/*
 * Cores as various programs write them, and as nobody should. tests/unit/test-core.c is about what
 * we write.
 */

enum { SEGMENTS_MAX = 16, NOTES_MAX = 3 };

struct made {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdrs[SEGMENTS_MAX];
	size_t n;
	struct strbuf notes[NOTES_MAX], bytes;
	// opened
	int fd;
	struct source *src;
	struct core *core;
};

static void make(struct made *m)
{
	*m = (struct made){ .fd = -EBADF };
	m->ehdr = (Elf64_Ehdr){
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
	};
}

static void add_load(struct made *m, uint64_t vaddr, const void *data, size_t len)
{
	assert_true(m->n < SEGMENTS_MAX);
	m->phdrs[m->n++] = (Elf64_Phdr){ .p_type = PT_LOAD,
					 .p_flags = PF_R,
					 .p_vaddr = vaddr,
					 .p_offset = m->bytes.len,
					 .p_filesz = len,
					 .p_memsz = len };
	gocore_add(&m->bytes, data, len);
}

static void add_notes(struct made *m, size_t which)
{
	m->phdrs[m->n++] = (Elf64_Phdr){ .p_type = PT_NOTE,
					 .p_offset = m->bytes.len,
					 .p_filesz = m->notes[which].len };
	gocore_add(&m->bytes, m->notes[which].data, m->notes[which].len);
}

/// Offsets so far count from behind the program headers. @cut bytes at the end are missing.
static struct snap_error *open_made(struct made *m, size_t cut)
{
	_cleanup_strbuf_ struct strbuf file = { 0 };
	for (size_t i = 0; i < m->n; i++)
		m->phdrs[i].p_offset += sizeof(m->ehdr) + sizeof(m->phdrs);
	m->ehdr.e_phnum = (uint16_t)m->n;
	gocore_add(&file, &m->ehdr, sizeof(m->ehdr));
	gocore_add(&file, m->phdrs, sizeof(m->phdrs));
	gocore_add(&file, m->bytes.data, m->bytes.len);
	m->fd = gocore_memfd(file.data, file.len - cut);
	assert_ok(source_create(m->fd, SOURCE_FILE, &m->src));
	return core_open(m->src, NULL, &m->core);
}

static void done(struct made *m)
{
	core_close(m->core);
	source_destroy(m->src);
	(void)close(m->fd);
	strbuf_deinit(&m->bytes);
	for (int i = 0; i < NOTES_MAX; i++)
		strbuf_deinit(&m->notes[i]);
}

static void add_prstatus(struct strbuf *notes, int32_t tid, uint16_t signal)
{
	uint8_t desc[336] = { 0 };
	memcpy(desc + 12, &signal, 2);
	memcpy(desc + 32, &tid, 4);
	memcpy(desc + 112 + 16 * 8, &tid, 4); // its pc is the same number
	gocore_note(notes, "CORE", NT_PRSTATUS, desc, sizeof(desc));
}

static void add_siginfo(struct strbuf *notes, int32_t signal)
{
	uint8_t desc[128] = { 0 };
	memcpy(desc, &signal, 4);
	gocore_note(notes, "CORE", NT_SIGINFO, desc, sizeof(desc));
}

static bool has(struct made *m, uint64_t addr, const char *want)
{
	char buf[64] = { 0 };
	size_t len = strlen(want);
	return memory_read(&m->core->memory, addr, buf, len) && !memcmp(buf, want, len);
}

// ---- notes ---------------------------------------------------------------------------------

static void test_threads(void **state _unused_)
{
	struct made m;
	struct go_regs regs;
	uint64_t v;
	uint64_t auxv[] = { AT_PAGESZ, 4096, AT_PHDR, 0x400040, AT_PHDR, 5, AT_NULL, 0 };
	uint8_t info[136] = { 0 };
	int32_t pid = 99;
	memcpy(info + 24, &pid, 4);
	make(&m);
	add_prstatus(&m.notes[0], 101, 11);
	add_siginfo(&m.notes[0], 11);
	gocore_note(&m.notes[0], "CORE", NT_PRPSINFO, info, sizeof(info));
	gocore_note(&m.notes[0], "CORE", NT_AUXV, auxv, sizeof(auxv));
	gocore_note(&m.notes[0], "CORE", NT_FPREGSET, info, sizeof(info));
	add_prstatus(&m.notes[0], 102, 0);
	gocore_note(&m.notes[0], "LINUX", 0x202, info, sizeof(info));
	add_notes(&m, 0);
	assert_ok(open_made(&m, 0));
	assert_int_equal(m.core->n_threads, 2);
	assert_int_equal(m.core->threads[0].tid, 101);
	assert_int_equal(m.core->threads[0].ns_tid, 101);
	assert_int_equal(m.core->threads[0].cursig, 11);
	assert_int_equal(m.core->threads[0].siginfo.size, 128);
	assert_int_equal(m.core->threads[1].tid, 102);
	assert_int_equal(m.core->threads[1].siginfo.size, 0);
	assert_true(go_arch_of(EM_X86_64)->thread_regs(&m.core->threads[1], &regs));
	assert_int_equal(regs.pc, 102);
	assert_int_equal(core_pid(m.core), 99);
	assert_true(core_auxv(m.core, AT_PHDR, &v));
	assert_int_equal(v, 0x400040);
	assert_false(core_auxv(m.core, AT_ENTRY, &v));
	assert_false(m.core->truncated);
	assert_int_equal(m.core->note.version, 0);
	done(&m);
}

/// Notes before the thread that they belong to, threads in several segments, some twice.
static void test_odd_orders(void **state _unused_)
{
	struct made m;
	make(&m);
	add_siginfo(&m.notes[0], 6); // of nobody
	gocore_note(&m.notes[0], "LINUX", 0x401, "12345678", 8);
	add_prstatus(&m.notes[0], 1, 6);
	add_siginfo(&m.notes[0], 6);
	add_siginfo(&m.notes[0], 7); // the first one counts
	add_prstatus(&m.notes[1], 2, 0);
	gocore_note(&m.notes[1], "LINUX", 0x401, "abcdefgh", 8);
	add_notes(&m, 0);
	add_load(&m, 0x1000, "memory", 6);
	add_notes(&m, 1);
	add_notes(&m, 2); // an empty one
	assert_ok(open_made(&m, 0));
	assert_int_equal(m.core->n_threads, 2);
	assert_int_equal(m.core->threads[0].siginfo.data[0], 6);
	assert_int_equal(m.core->threads[0].tls.size, 0);
	assert_int_equal(m.core->threads[1].tls.size, 8);
	assert_memory_equal(m.core->threads[1].tls.data, "abcdefgh", 8);
	assert_true(has(&m, 0x1000, "memory"));
	done(&m);
}

static void test_no_notes(void **state _unused_)
{
	struct made m;
	uint64_t v;
	make(&m);
	add_load(&m, 0x1000, "memory", 6);
	assert_ok(open_made(&m, 0));
	assert_int_equal(m.core->n_threads, 0);
	assert_int_equal(m.core->n_mapped, 0);
	assert_int_equal(core_pid(m.core), 0);
	assert_false(core_auxv(m.core, AT_PHDR, &v));
	assert_true(has(&m, 0x1000, "memory"));
	done(&m);
}

static void test_pid_of_thread(void **state _unused_)
{
	struct made m;
	make(&m);
	add_prstatus(&m.notes[0], 7, 0);
	gocore_note(&m.notes[0], "CORE", NT_PRPSINFO, "short", 5);
	add_notes(&m, 0);
	assert_ok(open_made(&m, 0));
	assert_int_equal(core_pid(m.core), 7);
	done(&m);
}

/// Too short to have registers, or with fewer than a reader wants.
static void test_short_prstatus(void **state _unused_)
{
	struct made m;
	struct go_regs regs;
	uint8_t desc[200] = { 0 };
	make(&m);
	gocore_note(&m.notes[0], "CORE", NT_PRSTATUS, desc, 111);
	gocore_note(&m.notes[0], "CORE", NT_PRSTATUS, desc, 112);
	gocore_note(&m.notes[0], "CORE", NT_PRSTATUS, desc, sizeof(desc));
	add_notes(&m, 0);
	assert_ok(open_made(&m, 0));
	assert_int_equal(m.core->n_threads, 2);
	for (size_t i = 0; i < 2; i++)
		assert_false(go_arch_of(EM_X86_64)->thread_regs(&m.core->threads[i], &regs));
	done(&m);
}

static void test_many_threads(void **state _unused_)
{
	struct made m;
	make(&m);
	for (int32_t i = 0; i < 5000; i++)
		add_prstatus(&m.notes[0], i + 1, 0);
	add_notes(&m, 0);
	assert_ok(open_made(&m, 0));
	assert_int_equal(m.core->n_threads, 5000);
	for (int32_t i = 0; i < 5000; i++)
		assert_int_equal(m.core->threads[i].tid, i + 1);
	done(&m);
}

// ---- NT_FILE -------------------------------------------------------------------------------

static void add_files(struct strbuf *notes, const uint64_t *words, size_t n, const char *names,
		      size_t names_len)
{
	_cleanup_strbuf_ struct strbuf desc = { 0 };
	gocore_add(&desc, words, n * 8);
	gocore_add(&desc, names, names_len);
	gocore_note(notes, "CORE", NT_FILE, desc.data, desc.len);
}

static void test_files(void **state _unused_)
{
	static const uint64_t words[] = { 3, 4096, 0x1000, 0x2000, 0, 0x5000, 0x5000, 1,
					  0x3000, 0x4000, 2 };
	static const char names[] = "/a\0/empty\0/b c";
	struct made m;
	make(&m);
	add_files(&m.notes[0], words, ARRAY_SIZE(words), names, sizeof(names));
	add_files(&m.notes[0], words, ARRAY_SIZE(words), names, sizeof(names)); // not again
	add_notes(&m, 0);
	assert_ok(open_made(&m, 0));
	assert_int_equal(m.core->n_mapped, 2); // without the one that is empty
	assert_string_equal(m.core->mapped[0].name, "/a");
	assert_string_equal(m.core->mapped[1].name, "/b c");
	assert_int_equal(m.core->mapped[1].start, 0x3000);
	assert_int_equal(m.core->mapped[1].offset, 8192);
	done(&m);
}

static void test_files_lies(void **state _unused_)
{
	static const uint64_t counts[] = { 4, 1 << 20, UINT32_MAX, UINT64_MAX, UINT64_MAX / 24 + 1,
					   1ULL << 61 };
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		const uint64_t words[] = { counts[i], 4096, 0x1000, 0x2000, 0,
					   0x3000,    0x4000, 1,      5,    9, 9 };
		struct made m;
		make(&m);
		add_files(&m.notes[0], words, ARRAY_SIZE(words), "/a\0/b\0/c", 9);
		add_notes(&m, 0);
		assert_ok(open_made(&m, 0));
		assert_true(m.core->n_mapped <= 4);
		done(&m);
	}
	// More lines than names.
	const uint64_t words[] = { 2, 4096, 0x1000, 0x2000, 0, 0x3000, 0x4000, 1 };
	struct made m;
	make(&m);
	add_files(&m.notes[0], words, ARRAY_SIZE(words), "/a\0unended", 10);
	add_notes(&m, 0);
	assert_ok(open_made(&m, 0));
	assert_int_equal(m.core->n_mapped, 1);
	done(&m);
}

// ---- segments ------------------------------------------------------------------------------

static void test_truncated(void **state _unused_)
{
	struct made m;
	make(&m);
	add_load(&m, 0x1000, "first", 5);
	add_load(&m, 0x2000, "second", 6);
	add_load(&m, 0x3000, "third", 5);
	assert_ok(open_made(&m, 8)); // ends within the second one
	assert_true(m.core->truncated);
	assert_true(has(&m, 0x1000, "first"));
	assert_true(has(&m, 0x2000, "sec"));
	assert_false(memory_has(&m.core->memory, 0x2003));
	assert_false(memory_has(&m.core->memory, 0x3000));
	done(&m);
}

static void test_segments_lies(void **state _unused_)
{
	struct made m;
	make(&m);
	add_load(&m, 0x1000, "good", 4);
	m.phdrs[m.n++] =
		(Elf64_Phdr){ .p_type = PT_LOAD, .p_vaddr = UINT64_MAX - 2, .p_filesz = 4 };
	m.phdrs[m.n++] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_vaddr = 0x5000,
				       .p_filesz = UINT64_MAX };
	m.phdrs[m.n++] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_vaddr = 0x6000,
				       .p_offset = 1ULL << 62, .p_filesz = 10 };
	m.phdrs[m.n++] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = 1ULL << 62,
				       .p_filesz = UINT64_MAX };
	assert_ok(open_made(&m, 0));
	assert_true(m.core->truncated);
	assert_true(has(&m, 0x1000, "good"));
	assert_false(memory_has(&m.core->memory, UINT64_MAX - 2));
	assert_true(memory_has(&m.core->memory, 0x5000)); // as far as the file goes
	assert_false(memory_has(&m.core->memory, 0x6000));
	done(&m);
}

static void test_no_core(void **state _unused_)
{
	static const uint16_t machines[] = { EM_386, EM_ARM, EM_PPC64, 0 };
	struct made m;
	make(&m);
	m.ehdr.e_type = ET_EXEC;
	assert_code(open_made(&m, 0), SNAP_FAILED);
	done(&m);
	for (size_t i = 0; i < ARRAY_SIZE(machines); i++) {
		make(&m);
		m.ehdr.e_machine = machines[i];
		assert_code(open_made(&m, 0), SNAP_FAILED);
		done(&m);
	}
}

/// PN_XNUM, with the notes behind 70 000 segments.
static void test_xnum(void **state _unused_)
{
	enum { N = 70000 };
	_cleanup_strbuf_ struct strbuf file = { 0 }, notes = { 0 };
	struct made m;
	make(&m);
	add_prstatus(&notes, 5, 0);
	Elf64_Shdr first = { .sh_info = N + 1 };
	uint64_t at = sizeof(m.ehdr) + sizeof(first) + (N + 1) * sizeof(Elf64_Phdr);
	m.ehdr.e_phnum = PN_XNUM;
	m.ehdr.e_shoff = sizeof(m.ehdr);
	m.ehdr.e_shnum = 1;
	m.ehdr.e_phoff = sizeof(m.ehdr) + sizeof(first);
	gocore_add(&file, &m.ehdr, sizeof(m.ehdr));
	gocore_add(&file, &first, sizeof(first));
	for (uint64_t i = 0; i < N; i++) {
		Elf64_Phdr p = { .p_type = PT_LOAD, .p_vaddr = 0x10000 + i * 0x1000,
				 .p_offset = at + i % 8, .p_filesz = 1 };
		gocore_add(&file, &p, sizeof(p));
	}
	Elf64_Phdr p = { .p_type = PT_NOTE, .p_offset = at, .p_filesz = notes.len };
	gocore_add(&file, &p, sizeof(p));
	gocore_add(&file, notes.data, notes.len);
	m.fd = gocore_memfd(file.data, file.len);
	assert_ok(source_create(m.fd, SOURCE_FILE, &m.src));
	assert_ok(core_open(m.src, NULL, &m.core));
	assert_int_equal(m.core->n_threads, 1);
	assert_true(memory_has(&m.core->memory, 0x10000));
	assert_true(memory_has(&m.core->memory, 0x10000 + (N - 1) * 0x1000));
	assert_false(memory_has(&m.core->memory, 0x10001));
	done(&m);
}

// ---- our own note --------------------------------------------------------------------------

struct ours {
	struct snapnote head;
	struct snapnote_gap gaps[4];
	struct snapnote_thread threads[2];
};

static struct ours ours(void)
{
	return (struct ours){
		.head = { .version = 1,
			  .header_size = sizeof(struct snapnote),
			  .gap_size = sizeof(struct snapnote_gap),
			  .n_gaps = 4,
			  .thread_size = sizeof(struct snapnote_thread),
			  .n_threads = 2,
			  .monotonic_ns = 5,
			  .mode = "copy",
			  .predicted_pause_ns = 7 },
		.gaps = { { .start = 0x1002, .end = 0x1004, .reason = 1 },
			  { .start = 0x1008, .end = 0x2001, .reason = 1 },
			  { .start = 0x2004, .end = 0x2005, .reason = 2 },
			  { .start = 0x9000, .end = 0xa000, .reason = 1 } },
		.threads = { { .tid = 901, .ns_tid = 501, .state = 'S' },
			     { .tid = 902, .ns_tid = 502, .flags = SNAPNOTE_THREAD_PARTIAL } },
	};
}

static void open_ours(struct made *m, const void *desc, size_t len)
{
	make(m);
	add_prstatus(&m->notes[0], 501, 0);
	add_prstatus(&m->notes[0], 502, 0);
	gocore_note(&m->notes[0], SNAPNOTE_OWNER, NT_PROCSNAP_SNAPSHOT, desc, len);
	add_notes(m, 0);
	add_load(m, 0x1000, "abcdefghijkl", 12);
	add_load(m, 0x2000, "mnopqrst", 8);
	assert_ok(open_made(m, 0));
}

/// What was read later is in the core.
static void test_later(void **state _unused_)
{
	struct ours o = ours();
	struct made m;
	o.gaps[0].reason = GAP_LATER;
	o.gaps[3] = (struct snapnote_gap){ .start = 0x2006, .end = 0x2002, .reason = GAP_LATER };
	open_ours(&m, &o, sizeof(o));
	assert_int_equal(m.core->n_gaps, 2);
	assert_int_equal(m.core->later_bytes, 2); // and none of what ends before it begins
	assert_true(has(&m, 0x1000, "abcdefgh"));
	assert_false(memory_has(&m.core->memory, 0x1008));
	assert_true(has(&m, 0x2005, "rst"));
	done(&m);
}

/// What is a gap is not in the core, though its segment has bytes there.
static void test_gaps(void **state _unused_)
{
	struct ours o = ours();
	struct made m;
	open_ours(&m, &o, sizeof(o));
	assert_int_equal(m.core->n_gaps, 4);
	assert_int_equal(m.core->note.monotonic_ns, 5);
	assert_int_equal(m.core->note.predicted_pause_ns, 7);
	assert_string_equal(m.core->note.mode, "copy");
	assert_true(has(&m, 0x1000, "ab"));
	assert_false(memory_has(&m.core->memory, 0x1002));
	assert_false(memory_has(&m.core->memory, 0x1003));
	assert_true(has(&m, 0x1004, "efgh"));
	assert_false(memory_has(&m.core->memory, 0x1008));
	assert_false(memory_has(&m.core->memory, 0x2000));
	assert_true(has(&m, 0x2001, "nop"));
	assert_false(memory_has(&m.core->memory, 0x2004));
	assert_true(has(&m, 0x2005, "rst"));
	assert_int_equal(m.core->threads[0].tid, 901);
	assert_int_equal(m.core->threads[0].ns_tid, 501);
	assert_int_equal(m.core->threads[1].tid, 902);
	assert_int_equal(core_pid(m.core), 901);
	assert_false(m.core->threads[0].partial);
	assert_true(m.core->threads[1].partial);
	done(&m);
}

/// The first version of procsnap did not foretell the pause.
static void test_shorter_header(void **state _unused_)
{
	_cleanup_strbuf_ struct strbuf desc = { 0 };
	struct ours o = ours();
	struct made m;
	o.head.header_size = SNAPNOTE_HEADER_MIN;
	gocore_add(&desc, &o.head, SNAPNOTE_HEADER_MIN);
	gocore_add(&desc, o.gaps, sizeof(o.gaps));
	gocore_add(&desc, o.threads, sizeof(o.threads));
	open_ours(&m, desc.data, desc.len);
	assert_int_equal(m.core->n_gaps, 4);
	assert_int_equal(m.core->gaps[3].start, 0x9000);
	assert_int_equal(m.core->note.predicted_pause_ns, 0);
	assert_int_equal(m.core->threads[1].tid, 902);
	done(&m);
}

/// A newer version with longer entries.
static void test_longer_entries(void **state _unused_)
{
	_cleanup_strbuf_ struct strbuf desc = { 0 };
	struct ours o = ours();
	struct made m;
	o.head.version = 2;
	o.head.header_size += 8;
	o.head.gap_size += 16;
	o.head.thread_size += 4;
	gocore_add(&desc, &o.head, sizeof(o.head));
	gocore_add(&desc, "newer...", 8);
	for (size_t i = 0; i < ARRAY_SIZE(o.gaps); i++) {
		gocore_add(&desc, &o.gaps[i], sizeof(o.gaps[i]));
		gocore_add(&desc, "newer...newer...", 16);
	}
	for (size_t i = 0; i < ARRAY_SIZE(o.threads); i++) {
		gocore_add(&desc, &o.threads[i], sizeof(o.threads[i]));
		gocore_add(&desc, "new.", 4);
	}
	open_ours(&m, desc.data, desc.len);
	assert_int_equal(m.core->n_gaps, 4);
	assert_int_equal(m.core->gaps[3].start, 0x9000);
	assert_int_equal(m.core->threads[1].tid, 902);
	done(&m);
}

/// Cut, or with sizes that cannot be: left out, and the core is read as any other.
static void test_damaged_note(void **state _unused_)
{
	struct ours o = ours();
	struct made m;
	for (size_t len = 0; len < sizeof(o); len += 8) {
		open_ours(&m, &o, len);
		assert_true(m.core->n_gaps == 0 || m.core->n_gaps == 4);
		assert_int_equal(m.core->n_threads, 2);
		assert_true(memory_has(&m.core->memory, 0x1000));
		done(&m);
	}
	for (int i = 0; i < 6; i++) {
		o = ours();
		switch (i) {
		case 0:
			o.head.version = 0;
			break;
		case 1:
			o.head.header_size = 79;
			break;
		case 2:
			o.head.header_size = UINT32_MAX;
			break;
		case 3:
			o.head.gap_size = 23;
			break;
		case 4:
			o.head.gap_size = UINT32_MAX;
			break;
		default:
			o.head.n_gaps = UINT32_MAX;
		}
		open_ours(&m, &o, sizeof(o));
		assert_int_equal(m.core->n_gaps, 0);
		assert_int_equal(m.core->note.version, 0);
		assert_true(has(&m, 0x1000, "abcdefghijkl"));
		done(&m);
	}
	o = ours();
	memset(o.head.mode, 'x', sizeof(o.head.mode));
	o.head.n_threads = UINT32_MAX;
	open_ours(&m, &o, sizeof(o));
	assert_int_equal(strlen(m.core->note.mode), 15);
	assert_int_equal(m.core->threads[0].tid, 501);
	done(&m);
}

/// Gaps in disorder, backwards, over all addresses: whatever is left, nothing is read twice.
static void test_disordered_gaps(void **state _unused_)
{
	struct ours o = ours();
	struct made m;
	o.gaps[0] = (struct snapnote_gap){ .start = 0x2000, .end = 0x2004 };
	o.gaps[1] = (struct snapnote_gap){ .start = 0x1004, .end = 0x1001 };
	o.gaps[2] = (struct snapnote_gap){ .start = UINT64_MAX, .end = 0 };
	o.gaps[3] = (struct snapnote_gap){ .start = 0, .end = UINT64_MAX };
	open_ours(&m, &o, sizeof(o));
	assert_int_equal(m.core->n_gaps, 4);
	char buf[12];
	size_t n = memory_read_some(&m.core->memory, 0x1000, buf, sizeof(buf));
	assert_memory_equal(buf, "abcdefghijkl", n);
	done(&m);
}

/// The threads of the note are others than those of the core.
static void test_other_threads(void **state _unused_)
{
	struct ours o = ours();
	struct made m;
	o.threads[0].ns_tid = 9;
	open_ours(&m, &o, sizeof(o));
	assert_int_equal(m.core->threads[0].tid, 501);
	assert_int_equal(m.core->threads[1].tid, 502);
	done(&m);
	o = ours();
	o.threads[1].ns_tid = 9; // the first one is right
	open_ours(&m, &o, sizeof(o));
	assert_int_equal(m.core->threads[0].tid, 901);
	assert_int_equal(m.core->threads[1].tid, 502);
	done(&m);
}

/// Of two notes, one counts. (The second one's gaps were once written behind the first one's.)
static void test_two_notes(void **state _unused_)
{
	struct ours o = ours(), other = ours();
	struct made m;
	other.head.n_gaps = 1;
	make(&m);
	gocore_note(&m.notes[0], SNAPNOTE_OWNER, NT_PROCSNAP_SNAPSHOT, &other, sizeof(other));
	for (int i = 0; i < 100; i++)
		gocore_note(&m.notes[0], SNAPNOTE_OWNER, NT_PROCSNAP_SNAPSHOT, &o, sizeof(o));
	gocore_note(&m.notes[0], SNAPNOTE_OWNER, NT_PROCSNAP_SUMMARY, "{}", 2);
	add_notes(&m, 0);
	assert_ok(open_made(&m, 0));
	assert_int_equal(m.core->n_gaps, 1);
	assert_int_equal(m.core->attached.size, 2);
	done(&m);
}

// ---- the memory of a process ---------------------------------------------------------------

static void test_process_memory(void **state _unused_)
{
	static char text[] = "in our own memory";
	struct made m;
	struct source *memory;
	char buf[sizeof(text)];
	int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		skip_test("no /proc/self/mem");
	uint64_t addr = (uint64_t)(uintptr_t)text & ~4095ULL;
	make(&m);
	m.phdrs[m.n++] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = PF_R | PF_W,
				       .p_vaddr = addr, .p_memsz = 8192 };
	m.phdrs[m.n++] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_vaddr = UINT64_MAX - 5,
				       .p_memsz = 7 };
	assert_ok(open_made(&m, 0));
	core_close(m.core);
	assert_ok(source_create(fd, SOURCE_MEMORY, &memory));
	assert_ok(core_open(m.src, memory, &m.core));
	assert_true(memory_read(&m.core->memory, (uint64_t)(uintptr_t)text, buf, sizeof(buf)));
	assert_string_equal(buf, text);
	assert_false(memory_has(&m.core->memory, addr + 8192));
	assert_false(memory_has(&m.core->memory, UINT64_MAX - 5));
	assert_false(m.core->truncated);
	done(&m);
	source_destroy(memory);
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_odd_orders),
		cmocka_unit_test(test_no_notes),
		cmocka_unit_test(test_pid_of_thread),
		cmocka_unit_test(test_short_prstatus),
		cmocka_unit_test(test_many_threads),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_files_lies),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_segments_lies),
		cmocka_unit_test(test_no_core),
		cmocka_unit_test(test_xnum),
		cmocka_unit_test(test_gaps), cmocka_unit_test(test_later),
		cmocka_unit_test(test_shorter_header),
		cmocka_unit_test(test_longer_entries),
		cmocka_unit_test(test_damaged_note),
		cmocka_unit_test(test_disordered_gaps),
		cmocka_unit_test(test_other_threads),
		cmocka_unit_test(test_two_notes),
		cmocka_unit_test(test_process_memory),
	};
	return cmocka_run_group_tests_name("corefile", tests, NULL, NULL);
}
