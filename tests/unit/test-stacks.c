// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

// What takes the answer is not to be seen from outside.
#include "common/stacks.c" // NOLINT(bugprone-suspicious-include)

static struct json *parse(const char *text)
{
	struct json *json = json_parse(text, strlen(text));
	assert_non_null(json);
	return json;
}

// ---- the text ------------------------------------------------------------------------------

static void test_text(void **state _unused_)
{
	_cleanup_(json_destroyp) struct json *stacks = parse(
		"{\"architecture\":\"AMD x86-64\","
		"\"threads\":["
		"{\"tid\":42,\"frames\":[{\"pc\":4198710,\"symbol\":\"main\",\"symbol_offset\":6,"
		"\"module\":\"/bin/a b\",\"module_offset\":4406},{\"pc\":18446744073709551615}]},"
		"{\"tid\":43,\"frames\":[]},"
		"{\"tid\":44,\"error\":\"no\",\"frames\":[{\"pc\":1,\"module\":\"m\","
		"\"module_offset\":0}]}],"
		"\"modules\":[{\"name\":\"linux-vdso.so.1\",\"build_id\":\"12ab\"},"
		"{\"name\":\"/bin/none\"},{}]}");
	_cleanup_free_ char *text = stacks_text(stacks);
	assert_string_equal(text, "Module /bin/none without build-id.\n"
				  "Module (unnamed) without build-id.\n"
				  "Stack trace of thread 42:\n"
				  "#0  0x0000000000401136 main (/bin/a b + 0x1136)\n"
				  "#1  0xffffffffffffffff n/a (n/a + 0x0)\n"
				  "\n"
				  "Stack trace of thread 43:\n"
				  "\n"
				  "Stack trace of thread 44:\n"
				  "#0  0x0000000000000001 n/a (m + 0x0)\n"
				  "ELF object binary architecture: AMD x86-64\n");
}

static void test_nothing(void **state _unused_)
{
	_cleanup_(json_destroyp) struct json *stacks = json_new_object();
	_cleanup_free_ char *text = stacks_text(stacks);
	assert_string_equal(text, "");
	_cleanup_(json_destroyp) struct json *packages = stacks_packages(stacks);
	assert_string_equal(json_text(packages), "{\"elfType\":\"coredump\"}");
	assert_null(stacks_package_of(stacks, "/bin/x", "name"));
}

static void test_packages(void **state _unused_)
{
	_cleanup_(json_destroyp) struct json *stacks = parse(
		"{\"architecture\":\"AArch64\",\"threads\":[],\"modules\":["
		"{\"name\":\"/usr/bin/app\",\"build_id\":\"0a\",\"package\":{\"type\":\"deb\","
		"\"name\":\"app\",\"version\":\"1.0-1\",\"architecture\":\"amd64\"}},"
		"{\"name\":\"a\",\"build_id\":\"0b\",\"package\":{\"name\":\"a\"}},"
		"{\"name\":\"b\",\"build_id\":\"0c\",\"package\":{\"type\":\"rpm\",\"name\":\"b\","
		"\"version\":\"2\"}},"
		"{\"name\":\"c\",\"build_id\":\"0d\",\"package\":{\"type\":\"rpm\","
		"\"version\":\"2\"}},"
		"{\"name\":\"d\",\"package\":{\"name\":\"d\",\"architecture\":\"x\"}},"
		"{\"name\":\"d\",\"build_id\":\"0e\",\"package\":{\"name\":\"e\"}},"
		"{\"name\":\"f\",\"build_id\":\"0f\"}]}");
	_cleanup_free_ char *text = stacks_text(stacks);
	assert_string_equal(text, "Module /usr/bin/app from deb app-1.0-1.amd64\n"
				  "Module a from package a, build-id=0b\n"
				  "Module b from rpm b-2\n"
				  "Module c, build-id=0d\n"
				  "Module d without build-id.\n"
				  "Module d from package d.x\n"
				  "ELF object binary architecture: AArch64\n");
	_cleanup_(json_destroyp) struct json *packages = stacks_packages(stacks);
	assert_string_equal(
		json_text(packages),
		"{\"elfType\":\"coredump\",\"elfArchitecture\":\"AArch64\","
		"\"/usr/bin/app\":{\"type\":\"deb\",\"name\":\"app\",\"version\":\"1.0-1\","
		"\"architecture\":\"amd64\",\"buildId\":\"0a\"},"
		"\"a\":{\"name\":\"a\",\"buildId\":\"0b\"},"
		"\"b\":{\"type\":\"rpm\",\"name\":\"b\",\"version\":\"2\",\"buildId\":\"0c\"},"
		"\"c\":{\"type\":\"rpm\",\"version\":\"2\",\"buildId\":\"0d\"},"
		"\"d\":{\"name\":\"d\",\"architecture\":\"x\"}}");
	assert_string_equal(stacks_package_of(stacks, "/usr/bin/app", "name"), "app");
	assert_string_equal(stacks_package_of(stacks, "/other/app", "version"), "1.0-1");
	assert_string_equal(stacks_package_of(stacks, "b", "version"), "2");
	assert_null(stacks_package_of(stacks, "/usr/bin/a", "version"));
	assert_null(stacks_package_of(stacks, "/usr/bin/f", "name"));
	assert_null(stacks_package_of(stacks, "/usr/bin/app/none", "name"));
}

// ---- the answer ----------------------------------------------------------------------------

/// The lines of an answer as what stacks_find() gives.
static struct json *answer(uint32_t frames, uint32_t threads, const char *const *lines)
{
	struct stacks s = { .max_frames = frames,
			    .max_threads = threads,
			    .root = json_new_object(),
			    .threads = json_new_array(),
			    .modules = json_new_array() };
	for (; *lines; lines += 2) {
		_cleanup_(json_destroyp) struct json *value = parse(lines[1]);
		assert_int_equal(take_line(&s, lines[0], value), 0);
	}
	json_set(s.root, "threads", s.threads);
	json_set(s.root, "modules", s.modules);
	return s.root;
}

static void test_answer(void **state _unused_)
{
	static const char *const lines[] = {
		"core", "{\"architecture\":\"AMD x86-64\",\"other\":1}",
		"thread", "{\"tid\":7,\"frames\":[{\"pc\":18446744073709551615,\"symbol\":\"f\","
			  "\"symbol_offset\":0,\"module\":\"m\",\"module_offset\":3,\"x\":1},"
			  "{\"pc\":2,\"signal\":true,\"symbol_offset\":9,\"module_offset\":9}],"
			  "\"more\":true,\"error\":\"why\"}",
		"module", "{\"name\":\"m\",\"path\":\"/m\",\"build_id\":\"0a\",\"package\":"
			  "{\"name\":\"n\",\"list\":[1],\"number\":2}}",
		"unknown", "{\"threads\":5}",
		"end", "{\"threads_total\":1,\"modules_total\":0,\"incomplete\":\"so\"}", NULL
	};
	_cleanup_(json_destroyp) struct json *stacks = answer(64, 64, lines);
	assert_string_equal(
		json_text(stacks),
		"{\"architecture\":\"AMD x86-64\",\"threads_total\":1,\"modules_total\":0,"
		"\"incomplete\":\"so\",\"threads\":[{\"tid\":7,\"frames\":["
		"{\"pc\":18446744073709551615,\"symbol\":\"f\",\"symbol_offset\":0,\"module\":\"m\","
		"\"module_offset\":3},{\"pc\":2,\"signal\":true}],\"more\":true,\"error\":\"why\"}],"
		"\"modules\":[{\"name\":\"m\",\"path\":\"/m\",\"build_id\":\"0a\","
		"\"package\":{\"name\":\"n\"}}]}");
}

static void test_lies(void **state _unused_)
{
	static const char *const lines[] = {
		"core", "{\"architecture\":\"a\\nb\"}",
		"thread", "{}",
		"thread", "{\"tid\":-5,\"frames\":{\"a\":1},\"more\":1,\"error\":[]}",
		"thread", "{\"tid\":99999999999,\"frames\":[[],1,null,\"x\",{\"pc\":-1,\"symbol\":7,"
			  "\"module\":\"\\u001b[31m\"},{\"pc\":\"1\",\"symbol\":\"\",\"signal\":0}]}",
		"module", "{\"name\":\"a\\tb\",\"path\":{},\"build_id\":\"0A\",\"package\":[1]}",
		"module", "{\"build_id\":\"\",\"package\":{\"\":\"x\",\"k\\n\":\"v\",\"k\":\"v\\n\"}}",
		"end", "{\"threads_total\":\"7\",\"modules_total\":-7,\"incomplete\":5}", NULL
	};
	_cleanup_(json_destroyp) struct json *stacks = answer(64, 64, lines);
	assert_string_equal(json_text(stacks),
			    "{\"threads\":[{\"tid\":0,\"frames\":[]},{\"tid\":0,\"frames\":[]},"
			    "{\"tid\":2147483647,\"frames\":[{\"pc\":0},{\"pc\":0},{\"pc\":0},"
			    "{\"pc\":0},{\"pc\":0},{\"pc\":0}]}],\"modules\":[{},{\"package\":{}}]}");
}

static void test_limits(void **state _unused_)
{
	static const char *const lines[] = {
		"thread", "{\"tid\":1,\"frames\":[{\"pc\":1},{\"pc\":2},{\"pc\":3}]}",
		"thread", "{\"tid\":2,\"frames\":[]}", "thread", "{\"tid\":3,\"frames\":[]}", NULL
	};
	_cleanup_(json_destroyp) struct json *stacks = answer(2, 2, lines);
	assert_string_equal(json_text(stacks),
			    "{\"threads\":[{\"tid\":1,\"frames\":[{\"pc\":1},{\"pc\":2}]},"
			    "{\"tid\":2,\"frames\":[]}],\"modules\":[]}");

	struct stacks s = { .modules = json_new_array() };
	_cleanup_(json_destroyp) struct json *module = parse("{}"), *owner = json_new_object();
	for (int i = 0; i < STACKS_MAX_MODULES + 5; i++)
		assert_int_equal(take_line(&s, "module", module), 0);
	assert_int_equal(json_length(s.modules), STACKS_MAX_MODULES);
	json_set(owner, "modules", s.modules);
}

static void test_long_text(void **state _unused_)
{
	_cleanup_free_ char *text = malloc(STACKS_MAX_TEXT + 2);
	assert_non_null(text);
	for (size_t len = STACKS_MAX_TEXT; len <= STACKS_MAX_TEXT + 1; len++) {
		_cleanup_(json_destroyp) struct json *from = json_new_object(),
						     *to = json_new_object();
		memset(text, 'x', len);
		text[len] = '\0';
		json_set_message(from, "key", text);
		copy_text(to, from, "key");
		assert_int_equal(json_get(to, "key") != NULL, len == STACKS_MAX_TEXT);
	}
}

// ---- files ---------------------------------------------------------------------------------

static const char *contents;
static size_t contents_size;

static int open_contents(void *userdata _unused_, const char *name _unused_,
			 const char *build_id _unused_, bool is_program _unused_)
{
	int fd = test_memfd();
	assert_int_equal(write(fd, contents, contents_size), contents_size);
	return fd;
}

static void test_only_programs(void **state _unused_)
{
	static const struct {
		const char *contents;
		size_t size;
		bool opened;
	} cases[] = { { "\177ELF and so on", 14, true }, { "\177ELF", 4, true },
		      { "\177EL", 3, false },		 { "", 0, false },
		      { "root:x:0:0", 10, false },	 { "x\177ELF", 5, false } };
	const struct stacks_request request = { .open = open_contents };
	struct stacks s = { .request = &request };
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		contents = cases[i].contents;
		contents_size = cases[i].size;
		_cleanup_close_ int fd = open_file(&s, "/x", NULL, false);
		assert_int_equal(fd >= 0, cases[i].opened);
	}
	const struct stacks_request none = { 0 };
	s.request = &none;
	assert_int_equal(open_file(&s, "/x", NULL, false), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),	   cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_packages),   cmocka_unit_test(test_answer),
		cmocka_unit_test(test_lies),	   cmocka_unit_test(test_limits),
		cmocka_unit_test(test_long_text),  cmocka_unit_test(test_only_programs),
	};
	return cmocka_run_group_tests_name("stacks", tests, NULL, NULL);
}
