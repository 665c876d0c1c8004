// SPDX-License-Identifier: LGPL-2.1-or-later
#include "goopen.h"

#include "analyzer/elf.h"

struct file {
	struct strbuf bytes;
	int fd;
	struct source *src;
	struct elf_file elf;
};

static void put(struct file *f, size_t offset, const void *data, size_t len)
{
	while (f->bytes.len < offset + len)
		gocore_add(&f->bytes, "", 1);
	if (len)
		memcpy(f->bytes.data + offset, data, len);
}

static struct snap_error *open_file(struct file *f)
{
	f->fd = gocore_memfd(f->bytes.data, f->bytes.len);
	assert_ok(source_create(f->fd, SOURCE_FILE, &f->src));
	return elf_init(&f->elf, f->src);
}

static void close_file(struct file *f)
{
	elf_deinit(&f->elf);
	source_destroy(f->src);
	(void)close(f->fd);
	strbuf_deinit(&f->bytes);
}

static Elf64_Ehdr header(void)
{
	return (Elf64_Ehdr){
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_shentsize = sizeof(Elf64_Shdr),
	};
}

static void test_executable(void **state _unused_)
{
	struct gocore gc;
	struct file f = { 0 };
	struct elf_build_id id;
	gocore_init(&gc, 22, EM_X86_64);
	gocore_header(&gc, "abcdefghijklmnopqrst");
	gocore_executable(&gc, true, &f.bytes);
	assert_ok(open_file(&f));
	assert_int_equal(f.elf.n_phdrs, GOCORE_IMAGE_PARTS + 1);
	assert_int_equal(f.elf.n_shdrs, 7);
	const Elf64_Shdr *s = elf_section(&f.elf, ".gopclntab");
	assert_non_null(s);
	assert_int_equal(s->sh_addr, gocore_rodata(0));
	assert_non_null(elf_section(&f.elf, ".text"));
	assert_null(elf_section(&f.elf, ".tex"));
	assert_null(elf_section(&f.elf, ".text.x"));
	assert_non_null(elf_section(&f.elf, "")); // the first one has no name
	elf_build_id(&f.elf, &id);
	assert_int_equal(id.size, 20);
	assert_memory_equal(id.bytes, "abcdefghijklmnopqrst", 20);
	close_file(&f);
	gocore_deinit(&gc);
}

static void test_no_elf(void **state _unused_)
{
	struct file f = { 0 };
	Elf64_Ehdr h = header();
	for (size_t len = 0; len < sizeof(h); len += 7) {
		f = (struct file){ 0 };
		put(&f, 0, &h, len);
		assert_code(open_file(&f), SNAP_FAILED);
		close_file(&f);
	}
	for (int i = 0; i < 6; i++) {
		h = header();
		h.e_ident[i]++;
		f = (struct file){ 0 };
		put(&f, 0, &h, sizeof(h));
		assert_code(open_file(&f), SNAP_FAILED);
		close_file(&f);
	}
}

/// Tables that lie elsewhere than the file is long, or claim more than fits.
static void test_tables(void **state _unused_)
{
	static const struct {
		uint64_t phoff, shoff;
		uint16_t phnum, shnum, phent, shent;
		size_t n_phdrs, n_shdrs;
	} cases[] = {
		{ 64, 0, 2, 0, 56, 64, 2, 0 },
		{ 64, 64, 65534, 65535, 56, 64, 10, 9 }, // as many as there are
		{ 64, 64, 2, 2, 55, 63, 0, 0 }, // not as large as ours
		{ 64, 64, 2, 2, 57, 65, 0, 0 },
		{ 640, 640, 2, 2, 56, 64, 0, 0 },
		{ 639, 639, 2, 2, 56, 64, 0, 0 },
		{ 641, 641, 2, 2, 56, 64, 0, 0 },
		{ UINT64_MAX, UINT64_MAX, 2, 2, 56, 64, 0, 0 },
		{ UINT64_MAX - 55, UINT64_MAX - 63, 2, 2, 56, 64, 0, 0 },
		{ 1ULL << 63, 1ULL << 63, 2, 2, 56, 64, 0, 0 },
		{ 0, 0, 0, 0, 56, 64, 0, 0 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct file f = { 0 };
		Elf64_Ehdr h = header();
		h.e_phoff = cases[i].phoff;
		h.e_shoff = cases[i].shoff;
		h.e_phnum = cases[i].phnum;
		h.e_shnum = cases[i].shnum;
		h.e_phentsize = cases[i].phent;
		h.e_shentsize = cases[i].shent;
		put(&f, 0, &h, sizeof(h));
		put(&f, 639, "", 1);
		assert_ok(open_file(&f));
		assert_int_equal(f.elf.n_phdrs, cases[i].n_phdrs);
		assert_int_equal(f.elf.n_shdrs, cases[i].n_shdrs);
		assert_null(elf_section(&f.elf, ".text"));
		close_file(&f);
	}
}

/// More segments than e_phnum can say: PN_XNUM, and the first section header.
static void test_xnum(void **state _unused_)
{
	enum { N = 70000, PHOFF = 128 };
	struct file f = { 0 };
	Elf64_Ehdr h = header();
	Elf64_Shdr first = { .sh_info = N };
	Elf64_Phdr p = { .p_type = PT_LOAD };
	h.e_type = ET_CORE;
	h.e_phnum = PN_XNUM;
	h.e_shoff = sizeof(h);
	h.e_shnum = 1;
	h.e_phoff = PHOFF;
	put(&f, 0, &h, sizeof(h));
	put(&f, sizeof(h), &first, sizeof(first));
	for (uint64_t i = 0; i < N; i++) {
		p.p_vaddr = i;
		gocore_add(&f.bytes, &p, sizeof(p));
	}
	assert_ok(open_file(&f));
	assert_int_equal(f.elf.n_phdrs, N);
	assert_int_equal(f.elf.phdrs[N - 1].p_vaddr, N - 1);
	close_file(&f);
	// It claims more than there are.
	f = (struct file){ 0 };
	first.sh_info = UINT32_MAX;
	put(&f, 0, &h, sizeof(h));
	put(&f, sizeof(h), &first, sizeof(first));
	gocore_add(&f.bytes, &p, sizeof(p));
	gocore_add(&f.bytes, &p, sizeof(p) - 1);
	assert_ok(open_file(&f));
	assert_int_equal(f.elf.n_phdrs, 1);
	close_file(&f);
}

static void test_copy(void **state _unused_)
{
	struct file f = { 0 };
	Elf64_Ehdr h = header();
	put(&f, 0, &h, sizeof(h));
	put(&f, 64, "0123456789", 10);
	assert_ok(open_file(&f));
	size_t size = 4;
	uint8_t *copy = elf_copy(&f.elf, 64, &size);
	assert_non_null(copy);
	assert_int_equal(size, 4);
	assert_string_equal((char *)copy, "0123"); // a NUL behind it
	free(copy);
	size = SIZE_MAX;
	copy = elf_copy(&f.elf, 70, &size);
	assert_int_equal(size, 4);
	assert_string_equal((char *)copy, "6789");
	free(copy);
	size = 1;
	assert_null(elf_copy(&f.elf, 74, &size));
	assert_null(elf_copy(&f.elf, UINT64_MAX, &size));
	size = 0;
	assert_null(elf_copy(&f.elf, 0, &size));
	close_file(&f);
}

// ---- notes ---------------------------------------------------------------------------------

static void test_notes(void **state _unused_)
{
	_cleanup_strbuf_ struct strbuf buf = { 0 };
	struct elf_note note;
	gocore_note(&buf, "CORE", 1, "12345", 5);
	gocore_note(&buf, "LINUX", 0x202, "", 0);
	gocore_note(&buf, "x", 3, "abcd", 4);
	struct span notes = span_of(buf.data, buf.len);
	assert_true(elf_next_note(&notes, &note));
	assert_string_equal(note.owner, "CORE");
	assert_int_equal(note.type, 1);
	assert_int_equal(note.desc.size, 5);
	assert_memory_equal(note.desc.data, "12345", 5);
	assert_true(elf_next_note(&notes, &note));
	assert_string_equal(note.owner, "LINUX");
	assert_int_equal(note.desc.size, 0);
	assert_true(elf_next_note(&notes, &note));
	assert_string_equal(note.owner, "x");
	assert_false(elf_next_note(&notes, &note));
	assert_false(elf_next_note(&notes, &note));
}

/// The last one without its padding, or cut anywhere.
static void test_notes_cut(void **state _unused_)
{
	_cleanup_strbuf_ struct strbuf buf = { 0 };
	struct elf_note note;
	gocore_note(&buf, "CORE", 1, "12345", 5);
	size_t first = buf.len;
	gocore_note(&buf, "CORE", 2, "1234567", 7);
	for (size_t len = 0; len <= buf.len; len++) {
		size_t n = 0;
		struct span notes = span_of(buf.data, len);
		while (elf_next_note(&notes, &note))
			n++;
		size_t want = len >= buf.len - 1 ? 2 : len >= first - 3 ? 1 : 0;
		assert_int_equal(n, want);
	}
}

static void test_notes_lies(void **state _unused_)
{
	static const uint32_t cases[][4] = {
		// sizes of name and contents, type, and what the name begins with
		{ UINT32_MAX, 0, 1, 0 },     { UINT32_MAX, UINT32_MAX, 1, 0 },
		{ 4, UINT32_MAX, 1, 0 },     { 4, UINT32_MAX - 3, 1, 0 },
		{ 5, 0, 1, 0x41414141 },     { 4, 5, 1, 0 },
		{ UINT32_MAX - 2, 0, 1, 0 },
	};
	struct elf_note note;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct span notes = span_of(cases[i], sizeof(cases[i]));
		assert_false(elf_next_note(&notes, &note));
	}
	// A name that does not end is no name, one of no size neither.
	static const uint32_t open[] = { 4, 4, 7, 0x41414141, 5, 0, 8, 8, 6 };
	struct span notes = span_of(open, sizeof(open));
	assert_true(elf_next_note(&notes, &note));
	assert_string_equal(note.owner, "");
	assert_int_equal(note.type, 7);
	assert_int_equal(note.desc.size, 4);
	assert_false(elf_next_note(&notes, &note)); // contents that are not there
}

static void test_build_id(void **state _unused_)
{
	_cleanup_strbuf_ struct strbuf buf = { 0 };
	struct elf_build_id id = { 0 }, other = { 0 };
	uint8_t big[100];
	memset(big, 7, sizeof(big));
	elf_find_build_id(span_of(NULL, 0), &id);
	assert_int_equal(id.size, 0);
	assert_false(elf_build_id_equal(&id, &id)); // none is like none
	gocore_note(&buf, "CORE", 3, "no", 2);
	gocore_note(&buf, "GNU", 1, "no", 2);
	gocore_note(&buf, "Go", 4, "go-id", 5);
	gocore_note(&buf, "Go", 4, "another", 7);
	elf_find_build_id(span_of(buf.data, buf.len), &id);
	assert_int_equal(id.size, 5);
	assert_memory_equal(id.bytes, "go-id", 5);
	gocore_note(&buf, "GNU", 3, "gnu", 3); // which is better
	elf_find_build_id(span_of(buf.data, buf.len), &id);
	assert_int_equal(id.size, 3);
	assert_memory_equal(id.bytes, "gnu", 3);
	assert_true(elf_build_id_equal(&id, &id));
	assert_false(elf_build_id_equal(&id, &other));
	other = id;
	other.bytes[2]++;
	assert_false(elf_build_id_equal(&id, &other));
	other = id;
	other.size--;
	assert_false(elf_build_id_equal(&id, &other));
	strbuf_deinit(&buf);
	id.size = 0;
	gocore_note(&buf, "GNU", 3, big, sizeof(big));
	elf_find_build_id(span_of(buf.data, buf.len), &id);
	assert_int_equal(id.size, ELF_BUILD_ID_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_executable), cmocka_unit_test(test_no_elf),
		cmocka_unit_test(test_tables),	   cmocka_unit_test(test_xnum),
		cmocka_unit_test(test_copy),	   cmocka_unit_test(test_notes),
		cmocka_unit_test(test_notes_cut),  cmocka_unit_test(test_notes_lies),
		cmocka_unit_test(test_build_id),
	};
	return cmocka_run_group_tests_name("elf", tests, NULL, NULL);
}
