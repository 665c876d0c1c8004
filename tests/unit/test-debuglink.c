// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Files with debugging information: which one a program has a link to, and whether it is that.
 */
#include "test.h"

#include "analyzer/debuglink.h"
#include "analyzer/image.h"
#include "godwarf.h"

enum { FILES_MAX = 3 };

/// A program, and what the opener has.
struct world {
	struct image image;
	struct strbuf program;
	struct {
		const char *name; ///< NULL: by build ID
		struct strbuf bytes;
	} files[FILES_MAX];
	size_t n_files;
	struct strbuf asked; ///< names, each with a blank behind it
};

static const char id1[] = "0123456789abcdefghij", id2[] = "0123456789abcdefghiX";

static void add_note(struct strbuf *bytes, const char *id)
{
	const Elf64_Nhdr head = { .n_namesz = 4, .n_descsz = 20, .n_type = NT_GNU_BUILD_ID };
	gocore_add(bytes, &head, sizeof(head));
	gocore_add(bytes, "GNU", 4);
	gocore_add(bytes, id, 20);
}

/// A file with sections for those that are not NULL.
static void make_file(struct strbuf *ret, const char *id, const struct strbuf *link, bool debug)
{
	_cleanup_strbuf_ struct strbuf note = { 0 };
	struct godwarf_section list[3] = { 0 };
	size_t n = 0;
	if (id) {
		add_note(&note, id);
		list[n++] = (struct godwarf_section){ "note.gnu.build-id", note.data, note.len,
						      GODWARF_PLAIN, 0 };
	}
	if (link)
		list[n++] = (struct godwarf_section){ "gnu_debuglink", link->data, link->len,
						      GODWARF_PLAIN, 0 };
	if (debug)
		list[n++] = (struct godwarf_section){ "debug_info", "info", 4, GODWARF_PLAIN, 0 };
	godwarf_file(list, n, ret);
}

static uint32_t crc_of(const struct strbuf *bytes)
{
	return (uint32_t)crc32(0, (const Bytef *)bytes->data, (uInt)bytes->len); // zlib's
}

static void make_link(struct strbuf *ret, const char *name, uint32_t crc)
{
	gocore_add(ret, name, strlen(name) + 1);
	while (ret->len & 3)
		gocore_add(ret, "", 1);
	crc = htole32(crc);
	gocore_add(ret, &crc, sizeof(crc));
}

static int open_file(void *userdata, const char *name, const struct elf_build_id *id,
		     bool is_program)
{
	struct world *w = userdata;
	assert_int_equal(is_program, name[0] == '.');
	assert_int_equal(id != NULL, !name[0]);
	assert_int_equal(strbuf_addf(&w->asked, "%s ", name), 0);
	for (size_t i = 0; i < w->n_files; i++)
		if (!strcmp(w->files[i].name, name))
			return gocore_memfd(w->files[i].bytes.data, w->files[i].bytes.len);
	return -ENOENT;
}

static struct strbuf *add_file(struct world *w, const char *name)
{
	w->files[w->n_files].name = name;
	return &w->files[w->n_files++].bytes;
}

/// Opens the program; its debugging information is looked for.
static const struct elf_file *look(struct world *w, const char *id, const struct strbuf *link)
{
	struct image *image = &w->image;
	const struct image_opener opener = { open_file, w };
	make_file(&w->program, id, link, false);
	*image = (struct image){ .name = "/opt/bin/prog",
				 .is_program = true,
				 .state = IMAGE_UNVERIFIED,
				 .opener = &opener,
				 .debug_fd = -EBADF };
	image->fd = gocore_memfd(w->program.data, w->program.len);
	assert_ok(source_create(image->fd, SOURCE_FILE, &image->source));
	assert_ok(elf_init(&image->elf, image->source));
	const struct elf_file *found = image_debug(image);
	assert_ptr_equal(image_debug(image), found); // asks once
	image->opener = NULL;
	return found;
}

static void teardown(struct world *w)
{
	elf_deinit(&w->image.elf);
	source_destroy(w->image.source);
	snap_closep(&w->image.fd);
	elf_deinit(&w->image.debug);
	source_destroy(w->image.debug_source);
	snap_closep(&w->image.debug_fd);
	strbuf_deinit(&w->program);
	strbuf_deinit(&w->asked);
	for (size_t i = 0; i < w->n_files; i++)
		strbuf_deinit(&w->files[i].bytes);
}

static const char all_places[] = "./prog.debug ./.debug/prog.debug /opt/bin/prog.debug "
				 "/opt/bin/.debug/prog.debug /usr/lib/debug/opt/bin/prog.debug ";

/// Each place, and whether files of these build IDs are taken.
static void test_places(void **state _unused_)
{
	static const char *const places[] = { "./prog.debug", "./.debug/prog.debug",
					      "/opt/bin/prog.debug", "/opt/bin/.debug/prog.debug",
					      "/usr/lib/debug/opt/bin/prog.debug" };
	static const struct {
		const char *program, *debug;
		bool good;
	} ids[] = { { NULL, NULL, true }, { id1, NULL, true }, { NULL, id1, true },
		    { id1, id1, true },   { id1, id2, false } };
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		for (size_t j = 0; j < ARRAY_SIZE(ids); j++) {
			struct world w = { 0 };
			_cleanup_strbuf_ struct strbuf link = { 0 }, asked = { 0 };
			struct strbuf *bytes = add_file(&w, places[i]);
			make_file(bytes, ids[j].debug, NULL, true);
			make_link(&link, "prog.debug", crc_of(bytes));
			const struct elf_file *found = look(&w, ids[j].program, &link);
			assert_ptr_equal(found, ids[j].good ? &w.image.debug : NULL);
			const char *end = strstr(all_places, places[i]);
			size_t len = ids[j].good ? (size_t)(end - all_places) + strlen(places[i]) + 1 :
						   strlen(all_places);
			assert_int_equal(strbuf_addf(&asked, "%s%.*s", ids[j].program ? " " : "",
						     (int)len, all_places),
					 0);
			assert_string_equal(w.asked.data, asked.data);
			teardown(&w);
		}
}

/// A file of that name that is another one does not hide the right one.
static void test_crc(void **state _unused_)
{
	for (uint32_t lie = 0; lie < 2; lie++) {
		struct world w = { 0 };
		_cleanup_strbuf_ struct strbuf link = { 0 };
		struct strbuf *other = add_file(&w, "./prog.debug");
		struct strbuf *right = add_file(&w, "/opt/bin/prog.debug");
		make_file(other, NULL, NULL, true);
		gocore_add(other, "x", 1);
		make_file(right, NULL, NULL, true);
		make_link(&link, "prog.debug", crc_of(right) ^ lie << 31);
		assert_ptr_equal(look(&w, NULL, &link), lie ? NULL : &w.image.debug);
		if (!lie)
			assert_int_equal(source_size(w.image.debug_source), right->len);
		teardown(&w);
	}
}

/// By its build ID it is found first, and needs no CRC.
static void test_build_id(void **state _unused_)
{
	for (int right = 0; right < 2; right++) {
		struct world w = { 0 };
		_cleanup_strbuf_ struct strbuf link = { 0 };
		make_file(add_file(&w, ""), right ? id1 : id2, NULL, true);
		make_link(&link, "prog.debug", 1);
		assert_ptr_equal(look(&w, id1, &link), right ? &w.image.debug : NULL);
		if (right)
			assert_string_equal(w.asked.data, " ");
		teardown(&w);
	}
}

/// What is no ELF file, or has no debugging information.
static void test_useless(void **state _unused_)
{
	for (int elf = 0; elf < 2; elf++) {
		struct world w = { 0 };
		_cleanup_strbuf_ struct strbuf link = { 0 };
		struct strbuf *bytes = add_file(&w, "/opt/bin/prog.debug");
		if (elf)
			make_file(bytes, NULL, NULL, false);
		else
			gocore_add(bytes, "no file of that kind", 20);
		make_link(&link, "prog.debug", crc_of(bytes));
		assert_null(look(&w, NULL, &link));
		teardown(&w);
	}
}

static void test_links(void **state _unused_)
{
	char longest[257];
	memset(longest, 'n', sizeof(longest));
	static const struct {
		const char *bytes;
		size_t size;
		const char *name; ///< NULL: refused
	} cases[] = {
		{ "abc\0\1\2\3\4", 8, "abc" },
		{ "abcd\0\0\0\0\1\2\3\4", 12, "abcd" },
		{ "abc\0\1\2\3\4more", 12, "abc" },
		{ "abc\0\1\2\3", 7, NULL },
		{ "abcd\0\0\0\0", 8, NULL },
		{ "abcd", 4, NULL },
		{ "", 0, NULL },
		{ "\0\0\0\0\1\2\3\4", 8, NULL },
		{ "a/b\0\1\2\3\4", 8, NULL },
		{ "/\0\0\0\1\2\3\4", 8, NULL },
		{ ".\0\0\0\1\2\3\4", 8, NULL },
		{ "..\0\0\1\2\3\4", 8, NULL },
		{ "...\0\1\2\3\4", 8, "..." },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases) + 2; i++) {
		_cleanup_strbuf_ struct strbuf link = { 0 }, bytes = { 0 };
		_cleanup_(source_destroyp) struct source *source = NULL;
		struct elf_file elf;
		struct debuglink found;
		const char *want = NULL;
		if (i < ARRAY_SIZE(cases)) {
			gocore_add(&link, cases[i].bytes, cases[i].size);
			want = cases[i].name;
		} else { // the longest, and one more
			size_t len = 255 + (i - ARRAY_SIZE(cases));
			longest[len] = '\0';
			make_link(&link, longest, 0x04030201);
			want = len == 255 ? longest : NULL;
		}
		make_file(&bytes, NULL, &link, false);
		_cleanup_close_ int fd = gocore_memfd(bytes.data, bytes.len);
		assert_ok(source_create(fd, SOURCE_FILE, &source));
		assert_ok(elf_init(&elf, source));
		assert_int_equal(debuglink_read(&elf, &found), want != NULL);
		if (want) {
			assert_string_equal(found.name, want);
			assert_int_equal(found.crc, 0x04030201);
		}
		elf_deinit(&elf);
		longest[255] = 'n';
	}
}

/// Without the folder of the program there is less to ask for.
static void test_nameless(void **state _unused_)
{
	static const char *const names[] = { "", "prog", "[vdso]", "(unreachable)/prog" };
	const struct debuglink link = { .name = "x" };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		for (size_t j = 0; j < DEBUGLINK_PLACES; j++) {
			_cleanup_free_ char *place = debuglink_place(&link, names[i], j);
			assert_int_equal(place != NULL, j < 2);
		}
	_cleanup_free_ char *top = debuglink_place(&link, "/prog", 2);
	assert_string_equal(top, "/x");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),	 cmocka_unit_test(test_crc),
		cmocka_unit_test(test_build_id), cmocka_unit_test(test_useless),
		cmocka_unit_test(test_links),	 cmocka_unit_test(test_nameless),
	};
	return cmocka_run_group_tests_name("debuglink", tests, NULL, NULL);
}
