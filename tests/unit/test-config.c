// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <limits.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "daemon/config.h"
#include "daemon/configvalue.h"

static const uint64_t SECOND = 1000000000;

// ---- values ----------------------------------------------------------------------------------

static void test_bools(void **state _unused_)
{
	static const char *const yes[] = { "yes", "true", "on", "1" };
	static const char *const no[] = { "no", "false", "off", "0" };
	static const char *const bad[] = { "", "Yes", "y", "2", "yes ", " yes" };
	bool v;
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		assert_int_equal(configvalue_bool(yes[i], &v), 0);
		assert_true(v);
		assert_int_equal(configvalue_bool(no[i], &v), 0);
		assert_false(v);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(configvalue_bool(bad[i], &v), -EINVAL);
}

static void test_sizes(void **state _unused_)
{
	static const struct {
		const char *text;
		int r;
		struct config_size size;
	} cases[] = {
		{ "0", 0, { 0, 0 } },
		{ "500", 0, { 500, 0 } },
		{ "1K", 0, { 1024, 0 } },
		{ "2G", 0, { 2ULL << 30, 0 } },
		{ "3T", 0, { 3ULL << 40, 0 } },
		{ "infinity", 0, { CONFIG_INFINITY, 0 } },
		{ "1%", 0, { 0, 1 } },
		{ "100%", 0, { 0, 100 } },
		{ "0%", -ERANGE, { 0, 0 } },
		{ "101%", -ERANGE, { 0, 0 } },
		{ "18446744073709551615", -ERANGE, { 0, 0 } },
		{ "18446744073709551616", -ERANGE, { 0, 0 } },
		{ "99999999999999999999999999", -ERANGE, { 0, 0 } },
		{ "16777216T", -ERANGE, { 0, 0 } },
		{ "", -EINVAL, { 0, 0 } },
		{ "K", -EINVAL, { 0, 0 } },
		{ "1k", -EINVAL, { 0, 0 } },
		{ "1 K", -EINVAL, { 0, 0 } },
		{ "1KB", -EINVAL, { 0, 0 } },
		{ "-1", -EINVAL, { 0, 0 } },
		{ "+1", -EINVAL, { 0, 0 } },
		{ "0x10", -EINVAL, { 0, 0 } },
		{ "1.5G", -EINVAL, { 0, 0 } },
		{ "Infinity", -EINVAL, { 0, 0 } },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config_size size = { 4711, 47 };
		print_message("%s\n", cases[i].text);
		assert_int_equal(configvalue_size(cases[i].text, &size), cases[i].r);
		assert_int_equal(size.bytes, cases[i].r ? 4711 : cases[i].size.bytes);
		assert_int_equal(size.percent, cases[i].r ? 47 : cases[i].size.percent);
	}
	assert_int_equal(config_size_bytes((struct config_size){ .percent = 10 }, 1005), 100);
	assert_int_equal(config_size_bytes((struct config_size){ .percent = 100 }, UINT64_MAX),
			 UINT64_MAX);
	assert_int_equal(config_size_bytes((struct config_size){ .bytes = 7 }, 1000), 7);
}

static void test_times(void **state _unused_)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} good[] = {
		{ "0", 0 },
		{ "90", 90000000000 },
		{ "90s", 90000000000 },
		{ "5us", 5000 },
		{ "5 ms", 5000000 },
		{ "1min 30s", 90000000000 },
		{ "1h30min", 5400000000000 },
		{ "2w", 14 * 86400000000000 },
		{ "1 week 1 day", 8 * 86400000000000 },
		{ "1M", 2629800000000000 },
		{ "1m", 60000000000 },
		{ "1y", 31557600000000000 },
		{ "infinity", UINT64_MAX },
	};
	static const char *const bad[] = { "",	  "s",	 "1.5h", "-1s", "1x",	"1s infinity",
					   "1 s,", "1S", "0x1",  "1hh", "1 2 h x" };
	static const char *const far[] = { "200y", "18446744073709551615s",
					   "99999999999999999999999s" };
	uint64_t ns = 4711;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		print_message("%s\n", bad[i]);
		assert_int_equal(configvalue_time(bad[i], &ns), -EINVAL);
	}
	for (size_t i = 0; i < ARRAY_SIZE(far); i++)
		assert_int_equal(configvalue_time(far[i], &ns), -ERANGE);
	assert_int_equal(ns, 4711);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		print_message("%s\n", good[i].text);
		assert_int_equal(configvalue_time(good[i].text, &ns), 0);
		assert_int_equal(ns, good[i].ns);
	}
}

static void test_groups(void **state _unused_)
{
	assert_true(configvalue_is_group("procsnap"));
	assert_true(configvalue_is_group("_ssh"));
	assert_true(configvalue_is_group("1000"));
	assert_false(configvalue_is_group(""));
	assert_false(configvalue_is_group("-1"));
	assert_false(configvalue_is_group("a b"));
	assert_false(configvalue_is_group("../x"));
	assert_false(configvalue_is_group("a:b"));
	assert_false(configvalue_is_group("aaaaaaaaaabbbbbbbbbbccccccccccdd"));
}

// ---- text ------------------------------------------------------------------------------------

static struct config *parse(const char *text)
{
	struct config *config = NULL;
	assert_ok(config_create(&config));
	assert_ok(config_parse(config, "x.conf", text, strlen(text)));
	return config;
}

/// @text must be a mistake, about which is said @message.
static void refuse(const char *text, size_t len, const char *message)
{
	_cleanup_(config_destroyp) struct config *config = NULL;
	assert_ok(config_create(&config));
	struct snap_error *err = config_parse(config, "x.conf", text, len);
	assert_non_null(err);
	assert_string_equal(err->message, message);
	assert_int_equal(err->code, SNAP_USAGE);
	snap_error_destroy(err);
}

static void test_defaults(void **state _unused_)
{
	_cleanup_(config_destroyp) struct config *c = NULL;
	assert_ok(config_create(&c));
	assert_int_equal(c->max_use.percent, 10);
	assert_int_equal(c->keep_free.percent, 5);
	assert_int_equal(c->max_age_ns, 14 * 86400 * SECOND);
	assert_int_equal(c->max_per_executable, CONFIG_INFINITY);
	assert_int_equal(c->compress, 3);
	assert_false(c->keep_partial);
	assert_null(c->group);
	assert_int_equal(c->max_jobs, 2);
	assert_int_equal(c->max_jobs_per_user, 1);
	assert_int_equal(c->job_timeout_ns, 900 * SECOND);
	assert_int_equal(c->job_memory.bytes, 2ULL << 30);
	assert_int_equal(c->spool_memory.percent, 10);
	assert_true(c->command_line);
	assert_false(c->environment);
	assert_int_equal(c->summary_bytes, 1 << 20);
	assert_null(c->on_dump);
	assert_string_equal(c->on_dump_user, "nobody");
	assert_int_equal(c->on_dump_timeout_ns, 30 * SECOND);
	assert_int_equal(c->n_warnings, 0);
}

static void test_all_keys(void **state _unused_)
{
	_cleanup_(config_destroyp) struct config *c =
		parse("# a comment\n\n[Store]\nMaxUse=20G\n  KeepFree = 7% \r\nMaxAge=infinity\n"
		      "MaxPerExecutable=3\nCompress=0\nKeepPartial=yes\n;\n"
		      "[Access]\nGroup=ops\n[Limits]\nMaxJobs=8\nMaxJobsPerUser=4\nMaxQueue=0\n"
		      "MaxConnections=10\nMaxConnectionsPerUser=5\nJobTimeout=1h\nJobMemory=25%\n"
		      "[Record]\nCommandLine=no\nEnvironment=on\nSummaryBytes=16M\n"
		      "[Hook]\nOnDump=/usr/bin/true\nOnDumpUser=ops\nOnDumpTimeout=1min");
	assert_int_equal(c->max_use.bytes, 20ULL << 30);
	assert_int_equal(c->max_use.percent, 0);
	assert_int_equal(c->keep_free.percent, 7);
	assert_int_equal(c->max_age_ns, CONFIG_INFINITY);
	assert_int_equal(c->max_per_executable, 3);
	assert_int_equal(c->compress, 0);
	assert_true(c->keep_partial);
	assert_string_equal(c->group, "ops");
	assert_int_equal(c->max_jobs, 8);
	assert_int_equal(c->max_jobs_per_user, 4);
	assert_int_equal(c->max_queue, 0);
	assert_int_equal(c->max_connections, 10);
	assert_int_equal(c->max_connections_per_user, 5);
	assert_int_equal(c->job_timeout_ns, 3600 * SECOND);
	assert_int_equal(c->job_memory.percent, 25);
	assert_false(c->command_line);
	assert_true(c->environment);
	assert_int_equal(c->summary_bytes, 16 << 20);
	assert_string_equal(c->on_dump, "/usr/bin/true");
	assert_string_equal(c->on_dump_user, "ops");
	assert_int_equal(c->on_dump_timeout_ns, 60 * SECOND);
	assert_int_equal(c->n_warnings, 0);
}

static void test_empty_is_default(void **state _unused_)
{
	_cleanup_(config_destroyp) struct config *c =
		parse("[Store]\nMaxUse=1G\nMaxUse=\n[Access]\nGroup=x\nGroup=\n");
	assert_int_equal(c->max_use.percent, 10);
	assert_null(c->group);
}

static void test_unknown(void **state _unused_)
{
	_cleanup_(config_destroyp) struct config *c =
		parse("[Store]\nMaxUze=1G\n[Wh\x1b]\nAny=thing\nMaxJobs=x\n[Limits]\nMaxUse=1\n");
	assert_int_equal(c->n_warnings, 3);
	assert_string_equal(c->warnings[0], "x.conf:2: unknown key 'MaxUze', ignoring");
	assert_string_equal(c->warnings[1], "x.conf:3: unknown section 'Wh\\x1b', ignoring");
	assert_string_equal(c->warnings[2], "x.conf:7: unknown key 'MaxUse', ignoring");
	assert_int_equal(c->max_use.percent, 10);
}

static void test_rules(void **state _unused_)
{
	_cleanup_(config_destroyp) struct config *c =
		parse("[Crash]\nRule=exe:/a none\nRule=\nRule=exe:/usr/lib/my app/*\tstacks\n"
		      "Rule = user:web   keep \nStorage=stacks\nMaxCoreSize=2G\n"
		      "SpoolMemory=0\n"
		      "DuplicateLimit=3 / 1h 30min\nRateLimit=1/1s\nUserRateLimit=infinity\n");
	assert_int_equal(c->storage, CRASH_STACKS);
	assert_int_equal(c->max_core_size, 2ULL << 30);
	assert_int_equal(c->spool_memory.percent, 0);
	assert_int_equal(c->spool_memory.bytes, 0);
	assert_int_equal(c->duplicates.max, 3);
	assert_int_equal(c->duplicates.interval_ns, 5400 * SECOND);
	assert_int_equal(c->rate_limit.max, 1);
	assert_int_equal(c->user_rate_limit.max, CONFIG_INFINITY);
	assert_int_equal(c->rules.n, 2);
	assert_int_equal(c->rules.list[0].kind, CRASHRULE_EXE);
	assert_string_equal(c->rules.list[0].pattern, "/usr/lib/my app/*");
	assert_int_equal(c->rules.list[0].action, CRASH_STACKS);
	assert_int_equal(c->rules.list[1].kind, CRASHRULE_USER);
	assert_string_equal(c->rules.list[1].pattern, "web");
	assert_int_equal(c->rules.list[1].action, CRASH_KEEP);

	static const char *const bad[] = { "exe:/a",	 "exe:/a drop", "exe:none", "exe: none",
					   "/usr/a none", "none",	"EXE:a none", "exe:\x1b none" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct crashrules rules = { 0 };
		print_message("%s\n", bad[i]);
		assert_int_equal(crashrules_add(&rules, bad[i]), -EINVAL);
		assert_int_equal(rules.n, 0);
	}
	char text[CRASHRULE_PATTERN_MAX + 32];
	(void)snprintf(text, sizeof(text), "exe:%0*d none", CRASHRULE_PATTERN_MAX, 1);
	struct crashrules rules = { 0 };
	for (size_t i = 0; i < CRASHRULES_MAX; i++)
		assert_int_equal(crashrules_add(&rules, text), 0);
	assert_int_equal(crashrules_add(&rules, text), -ERANGE);
	crashrules_deinit(&rules);
	(void)snprintf(text, sizeof(text), "exe:%0*d none", CRASHRULE_PATTERN_MAX + 1, 1);
	assert_int_equal(crashrules_add(&rules, text), -ERANGE);
}

static void test_arm(void **state _unused_)
{
	_cleanup_(config_destroyp) struct config *c =
		parse("[Crash]\nArm=gone\nArm=\nArm=myapp@*.service web\nArm=*.scope\n");
	assert_int_equal(c->arm.n, 3);
	assert_string_equal(c->arm.list[0], "myapp@*.service");
	assert_string_equal(c->arm.list[1], "web.service");
	assert_string_equal(c->arm.list[2], "*.scope");
}

static void test_mistakes(void **state _unused_)
{
#define REFUSE(text, message) refuse(text, sizeof(text) - 1, message)
	REFUSE("[Store]\n\nMaxAge=soon\n",
	       "x.conf:3: MaxAge= takes a time such as 90s, 1h 30min or 2w, or infinity, "
	       "not 'soon'");
	REFUSE("[Limits]\nMaxJobs=65", "x.conf:2: MaxJobs= takes a number from 1 to 64, not '65'");
	REFUSE("[Limits]\nMaxJobs=infinity",
	       "x.conf:2: MaxJobs= takes a number from 1 to 64, not 'infinity'");
	REFUSE("[Limits]\nJobMemory=63M", "x.conf:2: JobMemory= takes a size from 64M, a share "
					  "such as 10%, or infinity, not '63M'");
	REFUSE("[Store]\nMaxPerExecutable=0",
	       "x.conf:2: MaxPerExecutable= takes a number from 1, or infinity, not '0'");
	REFUSE("[Record]\nSummaryBytes=10%",
	       "x.conf:2: SummaryBytes= takes a size from 0 to 16M, not '10%'");
	REFUSE("[Hook]\nOnDump=true",
	       "x.conf:2: OnDump= takes the absolute path of a program, not 'true'");
	REFUSE("[Hook]\nOnDump=/usr/../x",
	       "x.conf:2: OnDump= takes the absolute path of a program, not '/usr/../x'");
	REFUSE("[Access]\nGroup=a b\x1b",
	       "x.conf:2: Group= takes the name or number of a group, not 'a b\\x1b'");
	REFUSE("[Crash]\nRule=exe:/a drop",
	       "x.conf:2: Rule= takes exe:, comm:, unit:, cgroup: or user:, what is meant, and "
	       "keep, stacks or none, not 'exe:/a drop'");
	REFUSE("[Crash]\nArm=a b/c",
	       "x.conf:2: Arm= takes names of units, with * and ?, not 'a b/c'");
	REFUSE("[Crash]\nRateLimit=5",
	       "x.conf:2: RateLimit= takes a number and a time such as 5/1min, or infinity, "
	       "not '5'");
	REFUSE("MaxUse=1", "x.conf:1: a key before the first section: 'MaxUse=1'");
	REFUSE("[Store]\nMaxUse", "x.conf:2: neither a section nor Key=value: 'MaxUse'");
	REFUSE("[Store", "x.conf:1: a section is written [Name]: '[Store'");
	REFUSE("[Store]\nMax\0Use=1", "x.conf:2: a zero byte");
#undef REFUSE
}

// ---- files -----------------------------------------------------------------------------------

struct root {
	char path[64];
};

static void make_root(struct root *root)
{
	static const char *const folders[] = {
		"/etc", "/etc/procsnap", "/etc/procsnap/procsnap.conf.d",
		"/run", "/run/procsnap", "/run/procsnap/procsnap.conf.d",
		"/usr", "/usr/lib",	 "/usr/lib/procsnap", "/usr/lib/procsnap/procsnap.conf.d",
	};
	(void)snprintf(root->path, sizeof(root->path), "/tmp/test-config.XXXXXX");
	assert_non_null(mkdtemp(root->path));
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		char path[PATH_MAX];
		(void)snprintf(path, sizeof(path), "%s%s", root->path, folders[i]);
		assert_int_equal(mkdir(path, 0755), 0);
	}
}

static void remove_root(struct root *root)
{
	char command[128];
	(void)snprintf(command, sizeof(command), "rm -rf %s", root->path);
	assert_int_equal(system(command), 0);
}
#define _cleanup_root_ _cleanup_(remove_root)

static const char *path_in(const struct root *root, const char *file)
{
	static char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s%s", root->path, file);
	return path;
}

static void put(const struct root *root, const char *file, const char *text)
{
	FILE *f = fopen(path_in(root, file), "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void test_no_files(void **state _unused_)
{
	_cleanup_(config_destroyp) struct config *c = NULL;
	assert_ok(config_load("/does/not/exist", &c));
	assert_int_equal(c->compress, 3);
	assert_code(config_load_file("/does/not/exist", &c), SNAP_FAILED);
}

static void test_precedence(void **state _unused_)
{
	_cleanup_root_ struct root root;
	make_root(&root);
	put(&root, "/etc/procsnap/procsnap.conf", "[Limits]\nMaxJobs=3\nMaxQueue=1\n");
	put(&root, "/usr/lib/procsnap/procsnap.conf.d/50-b.conf", "[Limits]\nMaxJobs=4\n");
	put(&root, "/run/procsnap/procsnap.conf.d/50-b.conf", "[Limits]\nMaxJobs=5\n");
	put(&root, "/etc/procsnap/procsnap.conf.d/20-a.conf",
	    "[Limits]\nMaxJobs=6\nMaxQueue=2\nMaxConnections=6\n");
	put(&root, "/usr/lib/procsnap/procsnap.conf.d/90-off.conf", "[Limits]\nMaxJobs=7\n");
	assert_int_equal(symlink("/dev/null",
				 path_in(&root, "/etc/procsnap/procsnap.conf.d/90-off.conf")),
			 0);
	// Others are none of ours.
	put(&root, "/etc/procsnap/procsnap.conf.d/99.conf.dpkg-old", "broken");
	put(&root, "/etc/procsnap/procsnap.conf.d/.99.conf", "broken");
	put(&root, "/etc/procsnap/procsnap.conf.d/.conf", "broken");
	_cleanup_(config_destroyp) struct config *c = NULL;
	assert_ok(config_load(root.path, &c));
	assert_int_equal(c->max_jobs, 5);
	assert_int_equal(c->max_queue, 2);
	assert_int_equal(c->max_connections, 6);
}

static void test_broken_file(void **state _unused_)
{
	_cleanup_root_ struct root root;
	make_root(&root);
	put(&root, "/etc/procsnap/procsnap.conf.d/10.conf", "[Limits]\nMaxJobs=3\n");
	_cleanup_(config_destroyp) struct config *c = NULL;
	assert_ok(config_load(root.path, &c));
	const struct config *before = c;

	put(&root, "/run/procsnap/procsnap.conf.d/20.conf", "[Limits]\nMaxJobs=many\n");
	struct snap_error *err = config_load(root.path, &c);
	assert_non_null(err);
	assert_non_null(strstr(err->message, "/run/procsnap/procsnap.conf.d/20.conf:2: MaxJobs="));
	snap_error_destroy(err);
	assert_ptr_equal(c, before);
	assert_int_equal(c->max_jobs, 3);

	// A pipe would be waited for.
	assert_int_equal(unlink(path_in(&root, "/run/procsnap/procsnap.conf.d/20.conf")), 0);
	assert_int_equal(mkfifo(path_in(&root, "/run/procsnap/procsnap.conf.d/20.conf"), 0600), 0);
	assert_code(config_load(root.path, &c), SNAP_FAILED);
}

// ---- the manual ------------------------------------------------------------------------------

/// The text of the manual between @from and what comes behind it with @until.
static char *section_of(const char *text, const char *from, const char *until)
{
	const char *start = strstr(text, from);
	assert_non_null(start);
	start += strlen(from);
	const char *end = strstr(start, until);
	return strndup(start, end ? (size_t)(end - start) : strlen(start));
}

static void check_key(const char *manual, const struct config_key *key)
{
	char heading[64], entry[64], words[128];
	print_message("[%s] %s=\n", key->section, key->name);
	(void)snprintf(heading, sizeof(heading), "\n# [%s]\n", key->section);
	for (char *p = heading; *p; p++)
		*p = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
	_cleanup_free_ char *section = section_of(manual, heading, "\n# ");
	(void)snprintf(entry, sizeof(entry), "\n*%s=*\n", key->name);
	_cleanup_free_ char *text = section_of(section, entry, "\n\n");
	for (char *p = text; *p; p++)
		if (*p == '\n' && p[1] == '\t')
			memmove(p, p + 1, strlen(p)), *p = ' ';
	(void)snprintf(words, sizeof(words), *key->fallback ? "*%s* by default." : "%sby default.",
		       key->fallback);
	if (!strstr(text, words))
		fail_msg("no \"%s\" in \"%s\"", words, text);
}

static void test_capture(void **state _unused_)
{
	static const char *const captures[] = { "no", "containers", "yes" };
	char text[64];
	for (unsigned int i = 0; i < ARRAY_SIZE(captures); i++) {
		(void)snprintf(text, sizeof(text), "[Crash]\nCaptureBinaries=%s\n", captures[i]);
		_cleanup_(config_destroyp) struct config *config = parse(text);
		assert_int_equal(config->capture_binaries, i);
		assert_int_equal(config->capture_max_use.bytes, UINT64_C(1) << 30);
	}
	_cleanup_(config_destroyp) struct config *config =
		parse("[Crash]\nCaptureMaxUse=infinity\n");
	assert_int_equal(config->capture_binaries, CONFIG_CAPTURE_NO);
	assert_true(config_size_bytes(config->capture_max_use, 100) == CONFIG_INFINITY);
}

static void test_words(void **state _unused_)
{
	static const char *const handlers[] = { "no", "pipe", "socket" };
	char text[64];
	for (unsigned int i = 0; i < ARRAY_SIZE(handlers); i++) {
		(void)snprintf(text, sizeof(text), "[Crash]\nHandler=%s\n", handlers[i]);
		_cleanup_(config_destroyp) struct config *config = parse(text);
		assert_int_equal(config->handler, i);
		assert_int_equal(config->handler_on_stop, CONFIG_ON_STOP_KEEP);
	}
	_cleanup_(config_destroyp) struct config *config =
		parse("[Crash]\nHandlerOnStop=restore\n");
	assert_int_equal(config->handler_on_stop, CONFIG_ON_STOP_RESTORE);
	assert_int_equal(config->handler, CONFIG_HANDLER_NO);
	static const char keep[] = "[Crash]\nHandler=keep\n";
	refuse(keep, strlen(keep), "x.conf:2: Handler= takes no, pipe or socket, not 'keep'");
}

static void test_manual(void **state _unused_)
{
	_cleanup_free_ char *manual = NULL;
	if (snap_read_file_at(AT_FDCWD, "man/procsnap.conf.5.scd", 1 << 20, &manual) < 0)
		skip_test("the manual is not here, run this in the source");
	size_t n = 0, documented = 0;
	for (const struct config_key *key; (key = config_key_at(n)); n++)
		check_key(manual, key);
	for (const char *p = manual; (p = strstr(p, "=*\n\t")); p++)
		documented++;
	assert_int_equal(documented, n);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bools),	   cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_times),	   cmocka_unit_test(test_groups),
		cmocka_unit_test(test_defaults),   cmocka_unit_test(test_all_keys),
		cmocka_unit_test(test_empty_is_default), cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_mistakes),  cmocka_unit_test(test_rules),
		cmocka_unit_test(test_arm),
		  cmocka_unit_test(test_no_files),
		cmocka_unit_test(test_precedence), cmocka_unit_test(test_broken_file),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_capture),	   cmocka_unit_test(test_manual),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
