// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fake.h"

#include <cpuid.h>
#include <sys/procfs.h>

#include "common/compat.h"
#include "common/fd.h"
#include "dumper/arch.h"
#include "dumper/notes.h"

/*
 * The notes are read back by a parser of our own, with the offsets that <sys/procfs.h> has for this
 * machine; those for 32 bits were taken from the same header compiled with -m32.
 */

struct note {
	char owner[16];
	uint32_t type, size;
	const char *desc; ///< aligned to 4 in the file, not in memory
};

struct notes {
	char *data;
	size_t len, n;
	struct note list[512];
};

static uint64_t get(const char *p, size_t offset, size_t size)
{
	uint64_t v = 0;
	memcpy(&v, p + offset, size); // little-endian
	return v;
}

static void parse(struct notes *notes)
{
	notes->n = 0;
	for (size_t pos = 0; pos < notes->len;) {
		assert_true(notes->len - pos >= 12);
		uint32_t namesz = (uint32_t)get(notes->data, pos, 4);
		struct note *note = &notes->list[notes->n++];
		assert_true(notes->n <= ARRAY_SIZE(notes->list));
		note->size = (uint32_t)get(notes->data, pos + 4, 4);
		note->type = (uint32_t)get(notes->data, pos + 8, 4);
		pos += 12;
		assert_true(namesz >= 1 && namesz <= sizeof(note->owner));
		memcpy(note->owner, notes->data + pos, namesz);
		assert_int_equal(strlen(note->owner), namesz - 1);
		for (size_t i = namesz; i % 4; i++)
			assert_int_equal(notes->data[pos + i], 0);
		pos += (namesz + 3) / 4 * 4;
		note->desc = notes->data + pos;
		for (size_t i = note->size; i % 4; i++)
			assert_int_equal(notes->data[pos + i], 0);
		pos += (note->size + 3) / 4 * 4;
		assert_true(pos <= notes->len);
	}
}

/// Counts first and writes then, which must agree, at an offset that is not aligned to anything.
static void write_notes(const struct snapshot *snap, struct notes *notes)
{
	static struct note_writer writer;
	enum { OFFSET = 1234 };
	note_writer_init(&writer, -EBADF, OFFSET);
	notes_write(snap, &writer);
	assert_int_equal(note_writer_flush(&writer), 0);
	notes->len = writer.offset - OFFSET;
	_cleanup_close_ int fd = test_memfd();
	note_writer_init(&writer, fd, OFFSET);
	notes_write(snap, &writer);
	assert_int_equal(note_writer_flush(&writer), 0);
	assert_int_equal(writer.offset, OFFSET + notes->len);
	notes->data = malloc(notes->len + 1);
	assert_int_equal(snap_pread_full(fd, notes->data, notes->len + 1, OFFSET), notes->len);
	parse(notes);
}

static const struct note *find(const struct notes *notes, uint32_t type)
{
	for (size_t i = 0; i < notes->n; i++)
		if (notes->list[i].type == type)
			return &notes->list[i];
	fail_msg("no note of type %x", type);
	return notes->list;
}

/// Where the members lie.
struct layout {
	size_t status, cursig, sigpend, sighold, pid, ppid, pgrp, sid;
	size_t utime, stime, cutime, cstime, word, reg, fpvalid;
	size_t info, flag, uid, uid_size, info_pid, fname, psargs;
};

static const struct layout native = {
	sizeof(struct elf_prstatus),
	offsetof(struct elf_prstatus, pr_cursig),
	offsetof(struct elf_prstatus, pr_sigpend),
	offsetof(struct elf_prstatus, pr_sighold),
	offsetof(struct elf_prstatus, pr_pid),
	offsetof(struct elf_prstatus, pr_ppid),
	offsetof(struct elf_prstatus, pr_pgrp),
	offsetof(struct elf_prstatus, pr_sid),
	offsetof(struct elf_prstatus, pr_utime),
	offsetof(struct elf_prstatus, pr_stime),
	offsetof(struct elf_prstatus, pr_cutime),
	offsetof(struct elf_prstatus, pr_cstime),
	8,
	offsetof(struct elf_prstatus, pr_reg),
	offsetof(struct elf_prstatus, pr_fpvalid),
	sizeof(struct elf_prpsinfo),
	offsetof(struct elf_prpsinfo, pr_flag),
	offsetof(struct elf_prpsinfo, pr_uid),
	4,
	offsetof(struct elf_prpsinfo, pr_pid),
	offsetof(struct elf_prpsinfo, pr_fname),
	offsetof(struct elf_prpsinfo, pr_psargs),
};

static const struct layout narrow = {
	144, 12, 16, 20, 24, 28, 32, 36, 40, 48, 56, 64, 4, 72, 140, 124, 4, 8, 2, 12, 28, 44,
};

static void check_prstatus(const struct notes *notes, const struct layout *at,
			   const struct snapshot *snap)
{
	size_t n = 0;
	for (size_t i = 0; i < notes->n; i++) {
		const struct note *note = &notes->list[i];
		if (note->type != NT_PRSTATUS)
			continue;
		const struct snap_thread *t = &snap->threads[n++];
		const char *p = note->desc;
		uint64_t mask = at->word == 8 ? UINT64_MAX : UINT32_MAX;
		assert_string_equal(note->owner, "CORE");
		assert_int_equal(note->size, at->status);
		assert_int_equal(get(p, 0, 8), 0); // si_signo, si_code
		assert_int_equal(get(p, at->cursig, 2), 0);
		assert_int_equal(get(p, at->sigpend, at->word), t->sigpend & mask);
		assert_int_equal(get(p, at->sighold, at->word), t->sighold & mask);
		assert_int_equal(get(p, at->pid, 4), t->ns_tid);
		assert_int_equal(get(p, at->ppid, 4), 1);
		assert_int_equal(get(p, at->pgrp, 4), 4);
		assert_int_equal(get(p, at->sid, 4), 3);
		assert_int_equal(get(p, at->utime, at->word), 1);
		assert_int_equal(get(p, at->utime + at->word, at->word), 3);
		assert_int_equal(get(p, at->stime, at->word), 5);
		assert_int_equal(get(p, at->stime + at->word, at->word), 4);
		assert_int_equal(get(p, at->cutime, at->word), 2);
		assert_int_equal(get(p, at->cutime + at->word, at->word), 1);
		assert_int_equal(get(p, at->cstime, at->word), 3);
		assert_int_equal(get(p, at->cstime + at->word, at->word), 2);
		assert_memory_equal(p + at->reg, t->regsets[0].data, t->regsets[0].size);
		assert_int_equal(at->reg + t->regsets[0].size, at->fpvalid);
		assert_int_equal(get(p, at->fpvalid, 4), 1);
	}
	assert_int_equal(n, snap->n_threads);
}

static void check_prpsinfo(const struct notes *notes, const struct layout *at)
{
	const struct note *note = find(notes, NT_PRPSINFO);
	const char *p = note->desc;
	assert_string_equal(note->owner, "CORE");
	assert_int_equal(note->size, at->info);
	assert_int_equal(p[0], 1);
	assert_int_equal(p[1], 'S');
	assert_int_equal(p[2], 0);
	assert_int_equal(p[3], -7);
	assert_int_equal(get(p, at->flag, at->word), 0x400040);
	assert_int_equal(get(p, at->uid, at->uid_size), 1001);
	assert_int_equal(get(p, at->uid + at->uid_size, at->uid_size), 1002);
	assert_int_equal(get(p, at->info_pid, 4), 5);
	assert_int_equal(get(p, at->info_pid + 4, 4), 1);
	assert_int_equal(get(p, at->info_pid + 8, 4), 4);
	assert_int_equal(get(p, at->info_pid + 12, 4), 3);
	assert_string_equal(p + at->fname, "fake process 16");
	assert_string_equal(p + at->psargs, "fake --really");
}

static void check_width(unsigned char class, const struct layout *layout)
{
	_cleanup_fake_ struct fake fake;
	struct notes notes;
	fake_init(&fake, class, 3);
	fake_map(&fake, 0x1000, 1, SNAP_MAP_READ, "/bin/x", NULL);
	write_notes(&fake.snap, &notes);
	check_prstatus(&notes, layout, &fake.snap);
	check_prpsinfo(&notes, layout);
	free(notes.data);
}

static void test_64(void **state _unused_)
{
	check_width(ELFCLASS64, &native);
}

static void test_32(void **state _unused_)
{
	check_width(ELFCLASS32, &narrow);
}

/// The order that the header promises, which debuggers depend on.
static void test_order(void **state _unused_)
{
	static const struct {
		uint32_t type;
		const char *owner;
	} want[] = {
		{ NT_PRSTATUS, "CORE" },
		{ NT_PRPSINFO, "CORE" },
		{ NT_SIGINFO, "CORE" },
		{ NT_AUXV, "CORE" },
		{ NT_FILE, "CORE" },
		{ NT_GDB_TDESC, "GDB" },
		{ NT_FPREGSET, "CORE" },
		{ NT_X86_XSTATE, "LINUX" },
		{ NT_PRSTATUS, "CORE" },
		{ NT_SIGINFO, "CORE" },
		{ NT_FPREGSET, "CORE" },
		{ NT_X86_XSTATE, "LINUX" },
	};
	_cleanup_fake_ struct fake fake;
	struct notes notes;
	fake_init(&fake, ELFCLASS64, 2);
	fake_map(&fake, 0x1000, 1, SNAP_MAP_READ, "/bin/x", NULL);
	write_notes(&fake.snap, &notes);
	assert_int_equal(notes.n, ARRAY_SIZE(want));
	for (size_t i = 0; i < notes.n; i++) {
		assert_int_equal(notes.list[i].type, want[i].type);
		assert_string_equal(notes.list[i].owner, want[i].owner);
	}
	const struct note *siginfo = find(&notes, NT_SIGINFO);
	assert_int_equal(siginfo->size, 128);
	for (size_t i = 0; i < 128; i++)
		assert_int_equal(siginfo->desc[i], 0);
	free(notes.data);
}

/// The zeros at the end of a register set that were not stored are there in the note.
static void test_regsets(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	struct notes notes;
	fake_init(&fake, ELFCLASS64, 1);
	write_notes(&fake.snap, &notes);
	const struct snap_thread *t = &fake.snap.threads[0];
	assert_int_equal(find(&notes, NT_FPREGSET)->size, 512);
	assert_memory_equal(find(&notes, NT_FPREGSET)->desc, t->regsets[1].data, 512);
	const struct note *xstate = find(&notes, NT_X86_XSTATE);
	assert_int_equal(xstate->size, 2440);
	assert_memory_equal(xstate->desc, t->regsets[2].data, 800);
	for (size_t i = 800; i < 2440; i++)
		assert_int_equal(xstate->desc[i], 0);
	free(notes.data);
}

static void __attribute__((noinline)) dirty_stack(void)
{
	volatile char junk[4096];
	for (size_t i = 0; i < sizeof(junk); i++)
		junk[i] = 0x5a;
}

/// The same for the general registers: nothing of our own stack gets into a core.
static void test_short_registers(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	struct notes notes;
	fake_init(&fake, ELFCLASS64, 1);
	fake.snap.threads[0].regsets[0].stored = 16;
	dirty_stack();
	write_notes(&fake.snap, &notes);
	const struct note *status = find(&notes, NT_PRSTATUS);
	assert_int_equal(status->size, native.status);
	for (size_t i = native.reg + 16; i < native.fpvalid; i++)
		assert_int_equal(status->desc[i], 0);
	free(notes.data);
}

/// Registers that are not known in full: no others, so none of the FPU are valid.
static void test_partial_thread(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	struct notes notes;
	fake_init(&fake, ELFCLASS64, 2);
	fake.snap.threads[1].n_regsets = 1;
	fake.snap.threads[1].flags = SNAP_THREAD_PARTIAL;
	write_notes(&fake.snap, &notes);
	const struct note *last = &notes.list[notes.n - 2]; // before its NT_SIGINFO
	assert_int_equal(last->type, NT_PRSTATUS);
	assert_int_equal(get(last->desc, native.pid, 4), 6);
	assert_int_equal(get(last->desc, native.fpvalid, 4), 0);
	free(notes.data);
}

static void test_states(void **state _unused_)
{
	static const struct {
		char letter, number, sname, zomb;
	} cases[] = {
		{ 'R', 0, 'R', 0 }, { 'S', 1, 'S', 0 }, { 'D', 2, 'D', 0 }, { 'T', 3, 'T', 0 },
		{ 'Z', 4, 'Z', 1 }, { 't', 0, '.', 0 }, { 'I', 0, '.', 0 }, { '\0', 0, '.', 0 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_fake_ struct fake fake;
		struct notes notes;
		fake_init(&fake, ELFCLASS64, 1);
		fake.snap.process.state = cases[i].letter;
		write_notes(&fake.snap, &notes);
		const char *p = find(&notes, NT_PRPSINFO)->desc;
		assert_int_equal(p[0], cases[i].number);
		assert_int_equal(p[1], cases[i].sname);
		assert_int_equal(p[2], cases[i].zomb);
		free(notes.data);
	}
}

/// Names longer than their members are cut and still end with a zero byte.
static void test_long_names(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	struct notes notes;
	fake_init(&fake, ELFCLASS64, 1);
	memset(fake.snap.process.comm, 'c', sizeof(fake.snap.process.comm) - 1);
	memset(fake.snap.process.psargs, 'a', sizeof(fake.snap.process.psargs) - 1);
	write_notes(&fake.snap, &notes);
	const char *p = find(&notes, NT_PRPSINFO)->desc;
	assert_int_equal(strlen(p + native.fname), 15);
	assert_int_equal(strlen(p + native.psargs), 79);
	free(notes.data);
}

/// 16 bits of uid are not enough for all; the kernel then says "overflow", never another user.
static void test_large_uid(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	struct notes notes;
	fake_init(&fake, ELFCLASS32, 1);
	fake.snap.process.uid = 65536; // would be root
	fake.snap.process.gid = 70000;
	write_notes(&fake.snap, &notes);
	const char *p = find(&notes, NT_PRPSINFO)->desc;
	assert_int_equal(get(p, narrow.uid, 2), 65534);
	assert_int_equal(get(p, narrow.uid + 2, 2), 65534);
	free(notes.data);
}

static void check_files(unsigned char class, size_t word)
{
	_cleanup_fake_ struct fake fake;
	struct notes notes;
	fake_init(&fake, class, 1);
	fake_map(&fake, 0x1000, 2, SNAP_MAP_READ, "/bin/a", NULL)->offset = 0;
	fake_map(&fake, 0x4000, 1, SNAP_MAP_READ, NULL, NULL); // anonymous: not listed
	fake_map(&fake, 0x5000, 1, SNAP_MAP_READ, "/x\ny (deleted)", NULL)->offset = 7 * TEST_PAGE;
	fake_map(&fake, 0x8000, 1, SNAP_MAP_READ, "[vdso]", NULL)->inode = 0;
	fake_map(&fake, 0x9000, 1, SNAP_MAP_READ, "", NULL); // an inode without a name
	fake_map(&fake, 0xfffff000, 1, SNAP_MAP_READ, "/z", NULL)->offset = 0xfffff000;
	write_notes(&fake.snap, &notes);
	const struct note *file = find(&notes, NT_FILE);
	static const char names[] = "/bin/a\0/x\ny (deleted)\0/z";
	const uint64_t want[] = { 3,	  TEST_PAGE, 0x1000,	 0x3000,      0,	0x5000,
				  0x6000, 7,	     0xfffff000, 0x100000000, 0xfffff };
	assert_int_equal(file->size, ARRAY_SIZE(want) * word + sizeof(names));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_int_equal(get(file->desc, i * word, word),
				 word == 8 ? want[i] : (uint32_t)want[i]);
	assert_memory_equal(file->desc + ARRAY_SIZE(want) * word, names, sizeof(names));
	free(notes.data);
}

static void test_files(void **state _unused_)
{
	check_files(ELFCLASS64, 8);
	check_files(ELFCLASS32, 4);
	_cleanup_fake_ struct fake fake; // and no note at all without files
	struct notes notes;
	fake_init(&fake, ELFCLASS64, 1);
	fake_map(&fake, 0x4000, 1, SNAP_MAP_READ, NULL, NULL);
	write_notes(&fake.snap, &notes);
	for (size_t i = 0; i < notes.n; i++)
		assert_int_not_equal(notes.list[i].type, NT_FILE);
	free(notes.data);
}

static void test_auxv(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	struct notes notes;
	fake_init(&fake, ELFCLASS64, 1);
	memcpy(fake.snap.process.auxv, "0123456789abcdef0123456789abcdef", 32);
	write_notes(&fake.snap, &notes);
	assert_int_equal(find(&notes, NT_AUXV)->size, 32);
	assert_memory_equal(find(&notes, NT_AUXV)->desc, fake.snap.process.auxv, 32);
	free(notes.data);
	free(fake.snap.process.auxv);
	fake.snap.process.auxv = NULL;
	fake.snap.process.auxv_size = 0;
	write_notes(&fake.snap, &notes);
	assert_int_equal(find(&notes, NT_AUXV)->size, 0);
	free(notes.data);
}

/// Notes of any length pass through the buffer, also when they end exactly with it.
static void test_buffering(void **state _unused_)
{
	static struct note_writer writer;
	static char desc[200000];
	for (size_t i = 0; i < sizeof(desc); i++)
		desc[i] = (char)(i * 31);
	static const size_t sizes[] = { 0, 1, 65516, 65517, 65520, 65536, 131052, 131056, 199999 };
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_close_ int fd = test_memfd();
		note_writer_init(&writer, fd, 0);
		note_write(&writer, "CORE", 7, desc, sizes[i], sizes[i]);
		note_write(&writer, "X", 8, "abc", 3, 300); // with zeros behind
		assert_int_equal(note_writer_flush(&writer), 0);
		struct notes notes = { .len = writer.offset };
		notes.data = malloc(notes.len + 1);
		assert_int_equal(snap_pread_full(fd, notes.data, notes.len + 1, 0), notes.len);
		parse(&notes);
		assert_int_equal(notes.n, 2);
		assert_int_equal(notes.list[0].size, sizes[i]);
		assert_memory_equal(notes.list[0].desc, desc, sizes[i]);
		assert_int_equal(notes.list[1].size, 300);
		assert_memory_equal(notes.list[1].desc, "abc\0\0", 5);
		free(notes.data);
	}
}

static void test_errors(void **state _unused_)
{
	static struct note_writer writer;
	static char desc[200000];
	_cleanup_close_ int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		skip_test("no /dev/full");
	note_writer_init(&writer, fd, 0);
	note_write(&writer, "CORE", 7, desc, sizeof(desc), sizeof(desc));
	assert_int_equal(note_writer_flush(&writer), -ENOSPC);
	writer.fd = -EBADF; // nothing is written any more: the first error counts
	note_write(&writer, "CORE", 7, desc, sizeof(desc), sizeof(desc));
	assert_int_equal(note_writer_flush(&writer), -ENOSPC);

	note_writer_init(&writer, -EBADF, 0); // too large for the format
	note_write(&writer, "CORE", 7, NULL, 0, (size_t)UINT32_MAX + 1);
	assert_int_equal(note_writer_flush(&writer), -EFBIG);
	assert_int_equal(writer.offset, 0);
}

/// Thousands of threads; every one has its notes.
static void test_many_threads(void **state _unused_)
{
	static struct note_writer writer;
	_cleanup_fake_ struct fake fake;
	fake_init(&fake, ELFCLASS64, 1);
	note_writer_init(&writer, -EBADF, 0);
	notes_write(&fake.snap, &writer);
	uint64_t one = writer.offset;
	fake_deinit(&fake);
	fake_init(&fake, ELFCLASS64, 2);
	note_writer_init(&writer, -EBADF, 0);
	notes_write(&fake.snap, &writer);
	uint64_t each = writer.offset - one;
	fake_deinit(&fake);
	fake_init(&fake, ELFCLASS64, 5000);
	_cleanup_close_ int fd = test_memfd();
	note_writer_init(&writer, fd, 0);
	notes_write(&fake.snap, &writer);
	assert_int_equal(note_writer_flush(&writer), 0);
	assert_int_equal(writer.offset, one + 4999 * each);
	assert_int_equal(lseek(fd, 0, SEEK_END), writer.offset);
	char last[12]; // an NT_X86_XSTATE ends it
	uint64_t at = writer.offset - 2440 - 8 - 12;
	assert_int_equal(snap_pread_full(fd, last, sizeof(last), at), sizeof(last));
	assert_int_equal(get(last, 4, 4), 2440);
	assert_int_equal(get(last, 8, 4), NT_X86_XSTATE);
}

// -- arch ---------------------------------------------------------------------------------------

/// Tags that open are closed, in order. Enough to see that it is well-formed.
static void check_xml(const char *text)
{
	char stack[16][64];
	int depth = 0;
	for (const char *p = text; (p = strchr(p, '<')); p++) {
		const char *end = strchr(p, '>');
		assert_non_null(end);
		if (p[1] == '?' || p[1] == '!' || end[-1] == '/')
			continue;
		size_t len = strcspn(p + 1 + (p[1] == '/'), " >");
		if (p[1] == '/') {
			assert_true(depth > 0);
			depth--;
			assert_int_equal(strlen(stack[depth]), len);
			assert_memory_equal(stack[depth], p + 2, len);
			continue;
		}
		assert_true(depth < 16);
		(void)snprintf(stack[depth++], sizeof(stack[0]), "%.*s", (int)len, p + 1);
	}
	assert_int_equal(depth, 0);
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;
	for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
		n++;
	return n;
}

static void test_target_description(void **state _unused_)
{
	static const struct {
		unsigned char class;
		uint64_t xfeatures;
		size_t features, registers;
	} cases[] = {
		{ ELFCLASS64, 0, 4, 40 + 17 + 1 + 2 },
		{ ELFCLASS64, 7, 5, 40 + 17 + 1 + 2 + 16 },
		{ ELFCLASS64, 0xe7, 6, 40 + 17 + 1 + 2 + 16 + 16 + 16 + 8 + 32 },
		{ ELFCLASS64, 0x67, 5, 40 + 17 + 1 + 2 + 16 }, // not all of AVX-512
		{ ELFCLASS64, 0x2e7, 7, 40 + 17 + 1 + 2 + 16 + 16 + 16 + 8 + 32 + 1 },
		{ ELFCLASS32, 0, 3, 32 + 9 + 1 },
		{ ELFCLASS32, 7, 4, 32 + 9 + 1 + 8 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_strbuf_ struct strbuf buf = { 0 };
		struct snap_machine machine = { .elf_class = cases[i].class,
						.xfeatures = cases[i].xfeatures };
		assert_int_equal(arch_target_description(&machine, &buf), 0);
		check_xml(buf.data);
		assert_int_equal(count(buf.data, "<feature "), cases[i].features);
		assert_int_equal(count(buf.data, "<reg "), cases[i].registers);
		assert_int_equal(strlen(buf.data), buf.len);
	}
}

static void test_xsave_layout(void **state _unused_)
{
	_cleanup_strbuf_ struct strbuf buf = { 0 };
	struct snap_machine machine = { .elf_class = ELFCLASS64 };
	assert_int_equal(arch_xsave_layout(&machine, &buf), 0);
	assert_int_equal(buf.len, 0);
	machine.xfeatures = 3; // the legacy area has no entry
	assert_int_equal(arch_xsave_layout(&machine, &buf), 0);
	assert_int_equal(buf.len, 0);
	unsigned int a = 0, b = 0, c, d;
	if (!__get_cpuid_count(0xd, 2, &a, &b, &c, &d) || !a)
		skip_test("no AVX in this CPU");
	machine.xfeatures = 7 | 1ULL << 62; // and one that no CPU has
	assert_int_equal(arch_xsave_layout(&machine, &buf), 0);
	const uint32_t want[] = { 2, a, b, 0 };
	assert_int_equal(buf.len, sizeof(want));
	assert_memory_equal(buf.data, want, sizeof(want));

	_cleanup_fake_ struct fake fake;
	struct notes notes;
	fake_init(&fake, ELFCLASS64, 1);
	fake.snap.process.machine.xfeatures = 7;
	write_notes(&fake.snap, &notes);
	assert_memory_equal(find(&notes, NT_X86_XSAVE_LAYOUT)->desc, want, sizeof(want));
	free(notes.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_64),	      cmocka_unit_test(test_32),
		cmocka_unit_test(test_order),	      cmocka_unit_test(test_regsets),
		cmocka_unit_test(test_short_registers), cmocka_unit_test(test_partial_thread),
		cmocka_unit_test(test_states),	      cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_large_uid),     cmocka_unit_test(test_files),
		cmocka_unit_test(test_auxv),	      cmocka_unit_test(test_buffering),
		cmocka_unit_test(test_errors),	      cmocka_unit_test(test_many_threads),
		cmocka_unit_test(test_target_description), cmocka_unit_test(test_xsave_layout),
	};
	return cmocka_run_group_tests_name("notes", tests, NULL, NULL);
}
