// SPDX-License-Identifier: LGPL-2.1-or-later
#include "goopen.h"

/*
 * Which file stands behind which addresses, and whether it may.
 */

struct asked {
	const struct strbuf *file;
	int error; ///< of the opener, 0: the file
	size_t n;
	char name[64];
	size_t id_size;
	bool is_program;
};

static int ask(void *userdata, const char *name, const struct elf_build_id *id, bool is_program)
{
	struct asked *a = userdata;
	a->n++;
	(void)snprintf(a->name, sizeof(a->name), "%s", name);
	a->id_size = id ? id->size : 0;
	a->is_program = is_program;
	return a->error ? -a->error : gocore_memfd(a->file->data, a->file->len);
}

struct world {
	struct gocore gc;
	struct strbuf file;
	struct goopen o;
	struct asked asked;
};

/// A core without text and read-only data, which the file has.
static void setup(struct world *w, const char *id_of_core, const char *id_of_file)
{
	*w = (struct world){ 0 };
	gocore_init(&w->gc, 22, EM_X86_64);
	gocore_header(&w->gc, id_of_file);
	gocore_put(&w->gc, gocore_ranges[GOCORE_TEXT].start, "code", 4);
	gocore_put(&w->gc, gocore_ranges[GOCORE_DATA].start, "initial", 7);
	gocore_executable(&w->gc, true, &w->file);
	gocore_header(&w->gc, id_of_core);
	gocore_put(&w->gc, gocore_ranges[GOCORE_DATA].start, "changed", 7);
	w->gc.omit = 1U << GOCORE_TEXT | 1U << GOCORE_RODATA;
	w->asked.file = &w->file;
}

static struct image *open_image(struct world *w)
{
	const struct image_opener opener = { ask, &w->asked };
	goopen_core(&w->o, &w->gc);
	assert_ok(images_init(&w->o.images, w->o.core));
	assert_int_equal(w->o.images.n, 1);
	struct image *image = &w->o.images.list[0];
	assert_int_equal(image_open(image, w->o.core, &opener), 0);
	assert_int_equal(image_open(image, w->o.core, &opener), 0); // asks once
	assert_int_equal(w->asked.n, 1);
	return image;
}

static bool has(struct world *w, enum gocore_part part, const char *text)
{
	char buf[16];
	size_t len = strlen(text);
	return memory_read(&w->o.core->memory, gocore_ranges[part].start, buf, len) &&
	       !memcmp(buf, text, len);
}

static void teardown(struct world *w)
{
	goopen_close(&w->o);
	gocore_deinit(&w->gc);
	strbuf_deinit(&w->file);
}

static const char id1[] = "0123456789abcdefghij", id2[] = "0123456789abcdefghiX";

static void test_matches(void **state _unused_)
{
	struct world w;
	setup(&w, id1, id1);
	struct image *image = open_image(&w);
	assert_int_equal(image->state, IMAGE_MATCHES);
	assert_string_equal(image_state_name(image->state), "matches");
	assert_string_equal(w.asked.name, "/bin/prog");
	assert_int_equal(w.asked.id_size, 20);
	assert_true(w.asked.is_program);
	assert_int_equal(image->bias, 0);
	assert_int_equal(image->start, GOCORE_BASE);
	assert_true(has(&w, GOCORE_TEXT, "code"));
	assert_true(has(&w, GOCORE_DATA, "changed")); // the core's comes first
	assert_non_null(elf_section(&image->elf, ".gopclntab"));
	teardown(&w);
}

/// Not one byte of a file of another build.
static void test_differs(void **state _unused_)
{
	struct world w;
	setup(&w, id1, id2);
	struct image *image = open_image(&w);
	assert_int_equal(image->state, IMAGE_DIFFERS);
	assert_string_equal(image_state_name(image->state), "differs");
	assert_false(memory_has(&w.o.core->memory, gocore_ranges[GOCORE_TEXT].start));
	assert_true(has(&w, GOCORE_DATA, "changed"));
	teardown(&w);
}

static void test_other_machine(void **state _unused_)
{
	struct world w;
	setup(&w, id1, id1);
	Elf64_Ehdr ehdr;
	memcpy(&ehdr, w.file.data, sizeof(ehdr));
	ehdr.e_machine = EM_AARCH64;
	memcpy(w.file.data, &ehdr, sizeof(ehdr));
	assert_int_equal(open_image(&w)->state, IMAGE_DIFFERS);
	assert_false(memory_has(&w.o.core->memory, gocore_ranges[GOCORE_TEXT].start));
	teardown(&w);
}

static void test_unverified(void **state _unused_)
{
	static const struct {
		const char *core, *file;
	} ids[] = { { NULL, id1 }, { id1, NULL }, { NULL, NULL } };
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		struct world w;
		setup(&w, ids[i].core, ids[i].file);
		struct image *image = open_image(&w);
		assert_int_equal(image->state, IMAGE_UNVERIFIED);
		assert_string_equal(image_state_name(image->state), "unverified");
		assert_int_equal(w.asked.id_size, ids[i].core ? 20 : 0);
		assert_true(has(&w, GOCORE_TEXT, "code"));
		teardown(&w);
	}
}

/// The core lacks the page with the build ID, too.
static void test_no_header(void **state _unused_)
{
	struct world w;
	setup(&w, id1, id2);
	w.gc.omit |= 1U << GOCORE_HEADER;
	assert_int_equal(open_image(&w)->state, IMAGE_UNVERIFIED);
	teardown(&w);
}

static void test_missing(void **state _unused_)
{
	struct world w;
	setup(&w, id1, id1);
	w.asked.error = ENOENT;
	struct image *image = open_image(&w);
	assert_int_equal(image->state, IMAGE_MISSING);
	assert_string_equal(image_state_name(image->state), "missing");
	assert_false(memory_has(&w.o.core->memory, gocore_ranges[GOCORE_TEXT].start));
	teardown(&w);
}

static void test_no_elf(void **state _unused_)
{
	struct world w;
	setup(&w, id1, id1);
	w.file.data[1]++;
	assert_int_equal(open_image(&w)->state, IMAGE_MISSING);
	w.file.len = 0;
	teardown(&w);
	setup(&w, id1, id1);
	w.file.len = 100; // cut within the program headers
	assert_int_equal(open_image(&w)->state, IMAGE_UNVERIFIED);
	teardown(&w);
}

/// No NT_FILE: the program is where its program headers are.
static void test_no_files(void **state _unused_)
{
	struct world w;
	setup(&w, id1, id1);
	w.gc.no_files = true;
	struct image *image = open_image(&w);
	assert_int_equal(image->state, IMAGE_MATCHES);
	assert_string_equal(w.asked.name, "");
	assert_true(w.asked.is_program);
	assert_int_equal(image->start, GOCORE_BASE);
	assert_int_equal(image->end,
			 gocore_ranges[GOCORE_DATA].start + gocore_ranges[GOCORE_DATA].size);
	assert_true(has(&w, GOCORE_TEXT, "code"));
	teardown(&w);
}

/// Position independent: the file has other addresses than the memory.
static void test_bias(void **state _unused_)
{
	for (int no_files = 0; no_files < 2; no_files++) {
		struct world w;
		setup(&w, id1, id1);
		Elf64_Phdr p;
		for (size_t i = 0; i <= GOCORE_IMAGE_PARTS; i++) {
			char *at = w.file.data + sizeof(Elf64_Ehdr) + i * sizeof(p);
			memcpy(&p, at, sizeof(p));
			p.p_vaddr -= GOCORE_BASE;
			memcpy(at, &p, sizeof(p));
		}
		w.gc.no_files = no_files;
		struct image *image = open_image(&w);
		assert_int_equal(image->state, IMAGE_MATCHES);
		assert_int_equal(image->bias, GOCORE_BASE);
		assert_true(has(&w, GOCORE_TEXT, "code"));
		teardown(&w);
	}
}

/// The mappings of one file after the other, and the same file twice.
static void test_list(void **state _unused_)
{
	static const struct {
		const char *name;
		uint64_t start, pages, offset;
	} lines[] = {
		{ "/bin/prog", 0x400000, 1, 0 },     { "/bin/prog", 0x401000, 2, 1 },
		{ "/lib/a.so", 0x7f0000000000, 1, 0 }, { "/lib/a.so", 0x7f0000001000, 1, 1 },
		{ "/lib/a.so", 0x7f1000000000, 1, 0 }, { "/lib/b.so", 0x7f2000000000, 1, 3 },
		{ "/lib/a.so", 0x7f3000000000, 1, 2 },
	};
	uint64_t words[2 + 3 * ARRAY_SIZE(lines)] = { ARRAY_SIZE(lines), 4096 };
	_cleanup_strbuf_ struct strbuf desc = { 0 };
	struct gocore gc;
	struct goopen o;
	gocore_init(&gc, 22, EM_X86_64);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		words[2 + i * 3] = lines[i].start;
		words[3 + i * 3] = lines[i].start + lines[i].pages * 4096;
		words[4 + i * 3] = lines[i].offset;
	}
	gocore_add(&desc, words, sizeof(words));
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		gocore_add(&desc, lines[i].name, strlen(lines[i].name) + 1);
	gc.no_files = true;
	gocore_note(&gc.notes, "CORE", NT_FILE, desc.data, desc.len);
	goopen_core(&o, &gc);
	assert_ok(images_init(&o.images, o.core));
	assert_int_equal(o.images.n, 5);
	assert_string_equal(o.images.list[0].name, "/bin/prog");
	assert_int_equal(o.images.list[0].n_mapped, 2);
	assert_true(o.images.list[0].end == 0x403000);
	assert_true(o.images.list[0].is_program);
	assert_true(o.images.list[1].start == 0x7f0000000000);
	assert_int_equal(o.images.list[1].n_mapped, 2);
	assert_true(o.images.list[2].start == 0x7f1000000000);
	for (size_t i = 1; i < 5; i++)
		assert_false(o.images.list[i].is_program);
	assert_string_equal(image_state_name(o.images.list[4].state), "not-needed");
	goopen_close(&o);
	gocore_deinit(&gc);
}

/// Program headers that the core's copy of the file has, and that are no such thing.
static void test_hostile_header(void **state _unused_)
{
	for (int i = 0; i < 4; i++) {
		struct world w;
		Elf64_Ehdr ehdr;
		Elf64_Phdr phdr;
		setup(&w, id1, id1);
		memcpy(&ehdr, w.gc.parts[GOCORE_HEADER], sizeof(ehdr));
		char *at = (char *)w.gc.parts[GOCORE_HEADER] + sizeof(ehdr) +
			   GOCORE_IMAGE_PARTS * sizeof(phdr);
		memcpy(&phdr, at, sizeof(phdr));
		if (i == 0)
			ehdr.e_phnum = 0xffff;
		else if (i == 1)
			ehdr.e_phoff = UINT64_MAX - 10;
		else if (i == 2)
			phdr.p_filesz = UINT64_MAX;
		else
			phdr.p_offset = UINT64_MAX - 3;
		memcpy(w.gc.parts[GOCORE_HEADER], &ehdr, sizeof(ehdr));
		memcpy(at, &phdr, sizeof(phdr));
		enum image_state got = open_image(&w)->state;
		assert_true(got == IMAGE_MATCHES || got == IMAGE_UNVERIFIED);
		teardown(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matches),	   cmocka_unit_test(test_differs),
		cmocka_unit_test(test_other_machine), cmocka_unit_test(test_unverified),
		cmocka_unit_test(test_no_header),  cmocka_unit_test(test_missing),
		cmocka_unit_test(test_no_elf),	   cmocka_unit_test(test_no_files),
		cmocka_unit_test(test_bias),	   cmocka_unit_test(test_list),
		cmocka_unit_test(test_hostile_header),
	};
	return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
