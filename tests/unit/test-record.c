// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/clock.h"
#include "common/fd.h"
#include "systemd/record.h"

static const char summary_text[] =
	"{\"runtimes\": [{\"version\": \"go1.21\", \"build\": {\"path\": \"example\"},"
	"\"goroutine_count\": 9, \"user_goroutine_count\": 7, \"thread_count\": 3,"
	"\"gomaxprocs\": 2, \"findings\": [{\"certainty\": \"hint\", \"text\": \"it leaks\"}],"
	"\"groups\": [{\"count\": 5, \"states\": {\"select\": 5}, \"frames\": ["
	"{\"function\": \"runtime.gopark\", \"file\": \"proc.go\", \"line\": 1},"
	"{\"function\": \"main.wait\", \"file\": \"/src/main.go\", \"line\": 42},"
	"{\"function\": \"runtime.goexit\", \"file\": \"asm.s\", \"line\": 2}]},"
	"{\"count\": 2, \"states\": {\"running\": 1, \"syscall\": 1}, \"frames\": ["
	"{\"function\": \"runtime.mcall\", \"file\": \"asm.s\", \"line\": 3}]}]}]}";

/// A process made by hand; the texts are not its own.
static struct procid example(void)
{
	struct procid id = {
		.pid = 4242, .uid = 1000, .gid = 1001, .ids_known = true, .plain = true,
		.owner_uid = 1000, .rlimit_core = UINT64_MAX, .start_ticks = 99,
		.hostname = "host", .boot_id = "0123456789abcdef0123456789abcdef",
	};
	id.fields[PROCID_COMM] = (struct procid_text){ (char *)(uintptr_t) "server", 6 };
	id.fields[PROCID_EXE] = (struct procid_text){ (char *)(uintptr_t) "/usr/bin/server", 15 };
	return id;
}

static void set(struct procid *id, enum procid_field field, const char *text, size_t len)
{
	id->fields[field] = (struct procid_text){ (char *)(uintptr_t)text, len };
}

static struct record_dump example_dump(void)
{
	return (struct record_dump){
		.kind = RECORD_LIVE, .id = "k3x9", .mode = "copy", .pause_ns = 12300000,
		.predicted_pause_ns = 4711,
		.realtime_ns = 1700000000123456789, .filename = "/var/lib/procsnap/core.x.zst",
		.requester = { .uid = 7, .gid = 8, .pid = 9, .comm = "snapctl" },
		.summary_bytes = 1 << 20,
	};
}

static struct record *make(const struct procid *id, const struct record_dump *dump)
{
	struct record *record = NULL;
	assert_ok(record_create(id, dump, &record));
	return record;
}

static void assert_field(const struct record *record, const char *name, const char *value)
{
	size_t len = 0;
	const char *text = record_field(record, name, &len);
	if (!text || len != strlen(value) || memcmp(text, value, len) != 0)
		fail_msg("%s is '%.*s', not '%s'", name, (int)len, text ? text : "", value);
}

static void test_fields(void **state _unused_)
{
	struct procid id = example();
	struct record_dump dump = example_dump();
	_cleanup_(record_destroyp) struct record *record = make(&id, &dump);
	assert_field(record, "MESSAGE_ID", "1f4e0a44a88649939aaea34fc6da8c95");
	assert_field(record, "PRIORITY", "6");
	assert_field(record, "COREDUMP_PID", "4242");
	assert_field(record, "COREDUMP_UID", "1000");
	assert_field(record, "COREDUMP_GID", "1001");
	assert_field(record, "COREDUMP_SIGNAL", "live snapshot");
	assert_field(record, "COREDUMP_TIMESTAMP", "1700000000123456");
	assert_field(record, "COREDUMP_FILENAME", "/var/lib/procsnap/core.x.zst");
	assert_field(record, "COREDUMP_COMM", "server");
	assert_field(record, "COREDUMP_EXE", "/usr/bin/server");
	assert_field(record, "COREDUMP_RLIMIT", "18446744073709551615");
	assert_field(record, "COREDUMP_HOSTNAME", "host");
	assert_field(record, "COREDUMP_OWNER_UID", "1000");
	assert_field(record, "PROCSNAP_ID", "k3x9");
	assert_field(record, "PROCSNAP_KIND", "live");
	assert_field(record, "PROCSNAP_MODE", "copy");
	assert_field(record, "PROCSNAP_PAUSE_NSEC", "12300000");
	assert_field(record, "PROCSNAP_PREDICTED_PAUSE_NSEC", "4711");
	assert_field(record, "PROCSNAP_REQUESTER_UID", "7");
	assert_field(record, "PROCSNAP_REQUESTER_GID", "8");
	assert_field(record, "PROCSNAP_REQUESTER_PID", "9");
	assert_field(record, "PROCSNAP_REQUESTER_COMM", "snapctl");
	assert_field(record, "MESSAGE",
		     "Process 4242 (server) of user 1000 was dumped while it ran, for user 7 "
		     "(snapctl). It stood still for 12.30 ms.");
	assert_null(record_field(record, "COREDUMP_TRUNCATED", NULL));
	assert_null(record_field(record, "COREDUMP_CMDLINE", NULL));
	assert_null(record_field(record, "COREDUMP_ENVIRON", NULL));
	assert_null(record_field(record, "PROCSNAP_SUMMARY", NULL));
	assert_null(record_field(record, "PROCSNAP_CUT", NULL));
}

static void test_without_file(void **state _unused_)
{
	struct procid id = example();
	struct record_dump dump = example_dump();
	dump.filename = dump.id = NULL;
	dump.partial = true;
	_cleanup_(record_destroyp) struct record *record = make(&id, &dump);
	assert_null(record_field(record, "COREDUMP_FILENAME", NULL));
	assert_null(record_field(record, "PROCSNAP_ID", NULL));
	assert_field(record, "COREDUMP_TRUNCATED", "1");
	assert_non_null(strstr(record_field(record, "MESSAGE", NULL), "not complete"));
}

static void test_unknown_process(void **state _unused_)
{
	struct procid id = { .pid = 1, .uid = (uid_t)-1, .gid = (gid_t)-1,
			     .owner_uid = (uid_t)-1 };
	struct record_dump dump = example_dump();
	_cleanup_(record_destroyp) struct record *record = make(&id, &dump);
	// All that coredumpctl wants is there.
	assert_field(record, "COREDUMP_UID", "65534");
	assert_field(record, "COREDUMP_GID", "65534");
	assert_field(record, "COREDUMP_COMM", "?");
}

static void test_hostile_names(void **state _unused_)
{
	static const char comm[] = "x\nMESSAGE_ID=\x1b[2J";
	static const char exe[] = "/tmp/\xff\xfe caf\xe9";
	struct procid id = example();
	struct record_dump dump = example_dump();
	set(&id, PROCID_COMM, comm, sizeof(comm) - 1);
	set(&id, PROCID_EXE, exe, sizeof(exe) - 1);
	set(&id, PROCID_CWD, "/tmp/a\nb", 8);
	set(&id, PROCID_PROC_AUXV, "\0\1\0=\n", 5);
	dump.requester.comm = "s\nPRIORITY=0";
	_cleanup_(record_destroyp) struct record *record = make(&id, &dump);
	assert_field(record, "COREDUMP_COMM", "x\\x0aMESSAGE_ID=\\x1b[2J");
	assert_field(record, "COREDUMP_EXE", exe);
	assert_field(record, "COREDUMP_CWD", "/tmp/a\\x0ab");
	assert_field(record, "PROCSNAP_REQUESTER_COMM", "s\\x0aPRIORITY=0");
	assert_field(record, "PRIORITY", "6");
	assert_field(record, "MESSAGE",
		     "Process 4242 (x\\x0aMESSAGE_ID=\\x1b[2J) of user 1000 was dumped while it "
		     "ran, for user 7 (s\\x0aPRIORITY=0). It stood still for 12.30 ms.");
	size_t len;
	const char *auxv = record_field(record, "COREDUMP_PROC_AUXV", &len);
	assert_int_equal(len, 5);
	assert_memory_equal(auxv, "\0\1\0=\n", 5);
}

static void test_warnings_and_cuts(void **state _unused_)
{
	static const char *const warnings[] = { "one", "two" };
	struct procid id = example();
	struct record_dump dump = example_dump();
	id.cut = 1U << PROCID_PROC_MAPS | 1U << PROCID_OPEN_FDS;
	dump.warnings = warnings;
	dump.n_warnings = 2;
	_cleanup_(record_destroyp) struct record *record = make(&id, &dump);
	assert_field(record, "PROCSNAP_WARNINGS", "one\ntwo");
	assert_field(record, "PROCSNAP_CUT", "COREDUMP_OPEN_FDS COREDUMP_PROC_MAPS");
}

static void test_summary(void **state _unused_)
{
	struct procid id = example();
	struct record_dump dump = example_dump();
	_cleanup_(json_destroyp) struct json *summary =
		json_parse(summary_text, sizeof(summary_text) - 1);
	assert_non_null(summary);
	dump.summary = summary;
	_cleanup_(record_destroyp) struct record *record = make(&id, &dump);
	assert_field(record, "PROCSNAP_GO_VERSION", "go1.21");
	assert_field(record, "PROCSNAP_GO_GOROUTINES", "7");
	assert_field(record, "PROCSNAP_GO_GOROUTINES_ALL", "9");
	assert_field(record, "PROCSNAP_GO_GROUPS", "2");
	assert_field(record, "PROCSNAP_GO_THREADS", "3");
	assert_field(record, "PROCSNAP_GO_FINDINGS", "1");
	assert_field(record, "PROCSNAP_SUMMARY", json_text(summary));
	assert_field(record, "MESSAGE",
		     "Process 4242 (server) of user 1000 was dumped while it ran, for user 7 "
		     "(snapctl). It stood still for 12.30 ms.\n\n"
		     "go1.21, example\n"
		     "7 goroutines, 2 more of the runtime's own; 3 threads, GOMAXPROCS 2\n"
		     "- perhaps: it leaks\n\n"
		     "5 goroutines [select]\n"
		     "    main.wait  /src/main.go:42\n\n"
		     "2 goroutines [1 running, 1 syscall]\n"
		     "    runtime.mcall  asm.s:3");

	dump.summary_bytes = 100;
	_cleanup_(record_destroyp) struct record *shorter = make(&id, &dump);
	assert_null(record_field(shorter, "PROCSNAP_SUMMARY", NULL));
	assert_field(shorter, "PROCSNAP_CUT", "PROCSNAP_SUMMARY");
	assert_field(shorter, "PROCSNAP_GO_GOROUTINES", "7");
}

/// A program with a thousand different stacks of a thousand frames with endless names.
static void test_long_message(void **state _unused_)
{
	_cleanup_(json_destroyp) struct json *summary =
		json_parse(summary_text, sizeof(summary_text) - 1);
	const struct json *runtime = json_at(json_get(summary, "runtimes"), 0);
	struct json *groups = json_get_mutable((struct json *)(uintptr_t)runtime, "groups");
	char name[1000];
	memset(name, 'x', sizeof(name) - 1);
	memcpy(name, "main\n.", 6);
	name[sizeof(name) - 1] = '\0';
	for (int i = 0; i < 1000; i++) {
		struct json *group = json_new_object(), *frames = json_new_array();
		for (int k = 0; k < 30; k++) {
			struct json *frame = json_new_object();
			json_set_text(frame, "function", name);
			json_set_text(frame, "file", name);
			json_add(frames, frame);
		}
		json_set_u64(group, "count", 1);
		json_set(group, "frames", frames);
		json_add(groups, group);
	}
	struct procid id = example();
	struct record_dump dump = example_dump();
	dump.summary = summary;
	_cleanup_(record_destroyp) struct record *record = make(&id, &dump);
	size_t len;
	const char *message = record_field(record, "MESSAGE", &len);
	assert_true(len > 4096 && len <= 32 << 10);
	assert_non_null(strstr(message, "main\\x5cx0a.xxx"));
	assert_non_null(strstr(message, "    ... 18 frames\n"));
	assert_non_null(strstr(message, "more goroutines are in other groups."));
}

// ---- crashes -----------------------------------------------------------------------------------

static struct record_dump crash_dump(const struct record_crash *crash)
{
	struct record_dump dump = example_dump();
	dump.kind = RECORD_CRASH;
	dump.crash = crash;
	return dump;
}

static void test_crash(void **state _unused_)
{
	static const char packages[] = "{\"server\": {\"buildId\": \"00\", \"name\": \"srv\"}}";
	_cleanup_(json_destroyp) struct json *json = json_parse(packages, sizeof(packages) - 1);
	const struct record_crash crash = {
		.signal = SIGSEGV, .dumpable = 1, .by_pidfd = true, .rlimit_core = 4096,
		.hostname = "inside", .packages = json, .package_name = "srv",
		.package_version = "1.0", .suppressed = 3, .degraded = "stream partial",
		.stacks = "Module x without build-id.\nStack trace of thread 1:\n#0  0x1 f (x + 0x1)\n",
		.owner_reads = true,
	};
	struct procid id = example();
	struct record_dump dump = crash_dump(&crash);
	dump.partial = true;
	id.ns_pid = 7;
	(void)snprintf(id.container.pod, sizeof(id.container.pod), "web-1");
	_cleanup_(record_destroyp) struct record *record = make(&id, &dump);
	assert_field(record, "MESSAGE_ID", "fc2e22bc6ee647b6b90729ab34a250b1");
	assert_field(record, "PRIORITY", "2");
	assert_field(record, "COREDUMP_SIGNAL", "11");
	assert_field(record, "COREDUMP_SIGNAL_NAME", "SIGSEGV");
	assert_field(record, "COREDUMP_TIMESTAMP", "1700000000123456");
	assert_field(record, "COREDUMP_RLIMIT", "4096");
	assert_field(record, "COREDUMP_HOSTNAME", "inside");
	assert_field(record, "COREDUMP_DUMPABLE", "1");
	assert_field(record, "COREDUMP_BY_PIDFD", "1");
	assert_field(record, "COREDUMP_TRUNCATED", "1");
	assert_field(record, "COREDUMP_PACKAGE_JSON", json_text(json));
	assert_field(record, "COREDUMP_PACKAGE_NAME", "srv");
	assert_field(record, "COREDUMP_PACKAGE_VERSION", "1.0");
	assert_field(record, "PROCSNAP_KIND", "crash");
	assert_field(record, "PROCSNAP_SUPPRESSED", "3");
	assert_field(record, "PROCSNAP_DEGRADED", "stream partial");
	assert_field(record, "PROCSNAP_NS_PID", "7");
	assert_field(record, "PROCSNAP_POD", "web-1");
	assert_null(record_field(record, "PROCSNAP_REQUESTER_UID", NULL));
	assert_null(record_field(record, "PROCSNAP_IMAGE", NULL));
	assert_field(record, "MESSAGE",
		     "Process 4242 (server) of user 1000 dumped core.\n"
		     "The core is not complete.\n"
		     "3 more crashes like this one have left no core.\n\n"
		     "Module x without build-id.\nStack trace of thread 1:\n#0  0x1 f (x + 0x1)");
	// All of it survives the file that keeps it.
	_cleanup_(json_destroyp) struct json *kept = record_to_json(record);
	_cleanup_(record_destroyp) struct record *copy = NULL;
	assert_ok(record_from_json(kept, &copy));
	assert_field(copy, "MESSAGE", record_field(record, "MESSAGE", NULL));
}

static void test_binaries(void **state _unused_)
{
	static const char text[] =
		"{\"l\": [{\"name\": \"/bin/x\", \"build_id\": \"abcd\"},"
		"{\"name\": \"/lib/huge\", \"why\": \"it is too large\"}, {\"name\": \"/lib/y\"}]}";
	_cleanup_(json_destroyp) struct json *json = json_parse(text, sizeof(text) - 1);
	struct record_crash crash = { .signal = 6, .binaries = json_get(json, "l") };
	const struct procid id = example();
	struct record_dump dump = crash_dump(&crash);
	_cleanup_(record_destroyp) struct record *record = make(&id, &dump);
	assert_field(record, "PROCSNAP_BINARIES", "abcd /bin/x\n- /lib/y");
	crash.binaries = NULL;
	_cleanup_(record_destroyp) struct record *without = make(&id, &dump);
	assert_null(record_field(without, "PROCSNAP_BINARIES", NULL));
}

static void test_signal_names(void **state _unused_)
{
	const struct {
		int signal;
		const char *name;
	} cases[] = { { SIGABRT, "SIGABRT" }, { SIGRTMIN + 3, "SIGRTMIN+3" }, { 0, NULL },
		      { 32, NULL }, { 4711, NULL }, { -1, NULL } };
	struct procid id = example();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct record_crash crash = { .signal = cases[i].signal, .dumpable = -1 };
		struct record_dump dump = crash_dump(&crash);
		_cleanup_(record_destroyp) struct record *record = make(&id, &dump);
		const char *name = record_field(record, "COREDUMP_SIGNAL_NAME", NULL);
		assert_int_equal(!name, !cases[i].name);
		if (name)
			assert_string_equal(name, cases[i].name);
		assert_non_null(record_field(record, "COREDUMP_SIGNAL", NULL));
		assert_null(record_field(record, "COREDUMP_DUMPABLE", NULL));
	}
}

static void test_hostile_crash(void **state _unused_)
{
	const struct record_crash crash = {
		.signal = 6, .dumpable = 1, .owner_reads = true,
		.hostname = "h\nMESSAGE_ID=x", .package_name = "../\x1b[2J",
		.stacks = "#0 a\x1b[2J\r\n\xff\nMESSAGE_ID=x",
	};
	struct procid id = example();
	struct record_dump dump = crash_dump(&crash);
	set(&id, PROCID_COMM, "../../x\n", 8);
	set(&id, PROCID_CGROUP, "/a\nb", 4);
	_cleanup_(record_destroyp) struct record *record = make(&id, &dump);
	assert_field(record, "COREDUMP_HOSTNAME", "h\\x0aMESSAGE_ID=x");
	assert_field(record, "COREDUMP_PACKAGE_NAME", "../\\x1b[2J");
	assert_field(record, "COREDUMP_COMM", "../../x\\x0a");
	assert_field(record, "COREDUMP_CGROUP", "/a\\x0ab");
	assert_field(record, "MESSAGE_ID", "fc2e22bc6ee647b6b90729ab34a250b1");
	assert_field(record, "MESSAGE",
		     "Process 4242 (../../x\\x0a) of user 1000 dumped core.\n\n"
		     "#0 a\\x1b[2J\\x0d\n\\xff\nMESSAGE_ID=x");
}

static void test_long_stacks(void **state _unused_)
{
	size_t size = 3 << 20, len;
	char *stacks = malloc(size + 1);
	assert_non_null(stacks);
	for (size_t i = 0; i < size; i++)
		stacks[i] = i % 100 == 99 ? '\n' : 'x';
	stacks[size] = '\0';
	const struct record_crash crash = { .signal = 6, .stacks = stacks };
	struct procid id = example();
	struct record_dump dump = crash_dump(&crash);
	_cleanup_(record_destroyp) struct record *record = make(&id, &dump);
	free(stacks);
	const char *message = record_field(record, "MESSAGE", &len);
	assert_true(len > RECORD_STACKS_MAX - 1000 && len < RECORD_STACKS_MAX + 1000);
	assert_non_null(strstr(message, " lines are left out"));
}

static void test_go_crash(void **state _unused_)
{
	static const char text[] =
		"{\"runtimes\": [{\"version\": \"go1.24\", \"goroutine_count\": 2,"
		"\"user_goroutine_count\": 2, \"thread_count\": 3, \"gomaxprocs\": 2,"
		"\"crash\": {\"goroutine\": 7, \"panics\": [{\"value\": \"first\\u001b\","
		"\"recovered\": true, \"repanicked\": true}, {\"value\": \"first\"},"
		"{\"value\": \"second\"}], \"fatal_error\": \"bad\", \"signal\": 11,"
		"\"signal_text\": \"SIGSEGV: segmentation violation\","
		"\"signal_address\": \"0x8\"},"
		"\"groups\": [{\"count\": 1, \"goroutines\": [1], \"states\": {\"select\": 1},"
		"\"frames\": [{\"function\": \"main.a\"}]},"
		"{\"count\": 1, \"goroutines\": [7], \"states\": {\"running\": 1},"
		"\"frames\": [{\"function\": \"main.b\"}]}]}]}";
	_cleanup_(json_destroyp) struct json *summary = json_parse(text, sizeof(text) - 1);
	const struct record_crash crash = { .signal = 6 };
	struct procid id = example();
	struct record_dump dump = crash_dump(&crash);
	assert_non_null(summary);
	dump.summary = summary;
	_cleanup_(record_destroyp) struct record *record = make(&id, &dump);
	assert_field(record, "MESSAGE",
		     "Process 4242 (server) of user 1000 dumped core.\n\n"
		     "go1.24\n"
		     "2 goroutines, 0 more of the runtime's own; 3 threads, GOMAXPROCS 2\n"
		     "panic: first\\x1b [recovered]\n"
		     "panic: second\n"
		     "fatal error: bad\n"
		     "signal SIGSEGV: segmentation violation at address 0x8\n"
		     "in goroutine 7\n    main.b\n\n"
		     "1 goroutine [select]\n    main.a\n\n"
		     "1 goroutine [running]\n    main.b");
}

/// Of a crash, the core has to allow it, too.
static void test_who_sends_crash(void **state _unused_)
{
	for (int i = 0; i < 4; i++) {
		const struct record_crash crash = { .signal = 6, .owner_reads = i & 1 };
		struct procid id = example();
		struct record_dump dump = crash_dump(&crash);
		uid_t uid;
		gid_t gid;
		id.plain = i & 2;
		_cleanup_(record_destroyp) struct record *record = make(&id, &dump);
		assert_int_equal(record_is_for_user(record, &uid, &gid), i == 3);
	}
}

// ---- who sends ---------------------------------------------------------------------------------

static void assert_for(const struct procid *id, bool user)
{
	struct record_dump dump = example_dump();
	_cleanup_(record_destroyp) struct record *record = make(id, &dump);
	uid_t uid = 0;
	gid_t gid = 0;
	assert_int_equal(record_is_for_user(record, &uid, &gid), user);
	assert_int_equal(uid, user ? id->uid : 0);
	assert_int_equal(gid, user ? id->gid : 0);
}

static void test_who_sends(void **state _unused_)
{
	static const uid_t not_persons[] = { 0, 1, 999, 61184, 65519, 65534, 65535, (uid_t)-1 };
	struct procid id = example();
	assert_for(&id, true);
	set(&id, PROCID_UNIT, "user@1000.service", 17);
	assert_for(&id, true); // in his slice
	id.owner_uid = 1001;
	assert_for(&id, false); // in that of another
	id.owner_uid = (uid_t)-1;
	assert_for(&id, false); // a service of the system that runs as him
	set(&id, PROCID_UNIT, NULL, 0);
	assert_for(&id, true); // no systemd at all
	id.plain = false;
	assert_for(&id, false);
	id.plain = true;
	id.ids_known = false;
	assert_for(&id, false);
	id.ids_known = true;
	for (size_t i = 0; i < ARRAY_SIZE(not_persons); i++) {
		id.uid = not_persons[i];
		assert_for(&id, false);
	}
}

// ---- as JSON -----------------------------------------------------------------------------------

static const char *const all_names[] = {
	"MESSAGE", "MESSAGE_ID", "PRIORITY", "COREDUMP_PID", "COREDUMP_COMM", "COREDUMP_EXE",
	"COREDUMP_PROC_AUXV", "COREDUMP_PROC_MAPS", "PROCSNAP_SUMMARY", "COREDUMP_ENVIRON",
};

static void test_json(void **state _unused_)
{
	struct procid id = example();
	struct record_dump dump = example_dump();
	set(&id, PROCID_EXE, "/tmp/\xff\\x41", 10);
	set(&id, PROCID_PROC_AUXV, "\0\1\0=\n", 5);
	set(&id, PROCID_PROC_MAPS, "a b\n\nc\\x41 \xc3\xa9\n", 14);
	set(&id, PROCID_ENVIRON, "\n", 1);
	_cleanup_(json_destroyp) struct json *summary =
		json_parse(summary_text, sizeof(summary_text) - 1);
	dump.summary = summary;
	_cleanup_(record_destroyp) struct record *record = make(&id, &dump);
	_cleanup_(json_destroyp) struct json *json = record_to_json(record);
	assert_non_null(json);
	const char *text = json_text(json);
	_cleanup_(json_destroyp) struct json *again = json_parse(text, strlen(text));
	_cleanup_(record_destroyp) struct record *copy = NULL;
	assert_ok(record_from_json(again, &copy));
	for (size_t i = 0; i < ARRAY_SIZE(all_names); i++) {
		size_t a = 0, b = 0;
		const char *one = record_field(record, all_names[i], &a);
		const char *other = record_field(copy, all_names[i], &b);
		print_message("%s\n", all_names[i]);
		assert_non_null(one);
		assert_non_null(other);
		assert_int_equal(a, b);
		assert_memory_equal(one, other, a);
	}
	uid_t uid;
	gid_t gid;
	assert_true(record_is_for_user(copy, &uid, &gid));
	assert_int_equal(uid, 1000);
	assert_int_equal(gid, 1001);
}

static void test_bad_json(void **state _unused_)
{
	static const char *const bad[] = {
		"{}",
		"{\"version\": 2, \"fields\": {\"MESSAGE_ID\": \"x\"}}",
		"{\"version\": 1}",
		"{\"version\": 1, \"fields\": {}}",
		"{\"version\": 1, \"fields\": []}",
		"{\"version\": 1, \"fields\": {\"MESSAGE_ID\": \"x\", \"_UID\": \"0\"}}",
		"{\"version\": 1, \"fields\": {\"MESSAGE_ID\": \"x\", \"A=B\": \"0\"}}",
		"{\"version\": 1, \"fields\": {\"MESSAGE_ID\": \"x\", \"a\": \"0\"}}",
		"{\"version\": 1, \"fields\": {\"MESSAGE_ID\": \"x\", \"\": \"0\"}}",
		"{\"version\": 1, \"fields\": {\"MESSAGE_ID\": \"x\", \"A\": 1}}",
		"{\"version\": 1, \"fields\": {\"MESSAGE_ID\": \"x\", \"A\": {}}}",
		"{\"version\": 1, \"fields\": {\"MESSAGE_ID\": \"x\", \"A\": {\"hex\": \"0\"}}}",
		"{\"version\": 1, \"fields\": {\"MESSAGE_ID\": \"x\", \"A\": {\"hex\": \"0g\"}}}",
		"{\"version\": 1, \"fields\": {\"MESSAGE_ID\": \"x\", \"A\": {\"lines\": []}}}",
		"{\"version\": 1, \"fields\": {\"MESSAGE_ID\": \"x\", \"A\": {\"lines\": [1]}}}",
		"{\"version\": 1, \"uid\": 0, \"gid\": 0, \"fields\": {\"MESSAGE_ID\": \"x\"}}",
		"{\"version\": 1, \"uid\": 1000, \"fields\": {\"MESSAGE_ID\": \"x\"}}",
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_(json_destroyp) struct json *json = json_parse(bad[i], strlen(bad[i]));
		struct record *record = NULL;
		print_message("%s\n", bad[i]);
		assert_non_null(json);
		assert_code(record_from_json(json, &record), SNAP_FAILED);
		assert_null(record);
	}
	struct record *record = NULL;
	assert_code(record_from_json(NULL, &record), SNAP_FAILED);
}

// ---- sending -----------------------------------------------------------------------------------

/// What plays journald, in a /run of its own; -EBADF: nobody listens.
static int listen_as_journald(void)
{
	static const struct sockaddr_un address = { AF_UNIX, "/run/systemd/journal/socket" };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(chmod(address.sun_path, 0666), 0);
	return fd;
}

/// Receives an entry, which is in @buf or in a file; returns its length and who sent it.
static size_t receive(int fd, char *buf, size_t size, struct ucred *ret)
{
	union {
		struct cmsghdr align;
		char bytes[256];
	} control;
	struct iovec iov = { buf, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	assert_true(n >= 0);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_type == SCM_CREDENTIALS)
			memcpy(ret, CMSG_DATA(c), sizeof(*ret));
		if (c->cmsg_type == SCM_RIGHTS) {
			int memory;
			memcpy(&memory, CMSG_DATA(c), sizeof(memory));
			n = pread(memory, buf, size, 0);
			assert_int_equal(close(memory), 0);
		}
	}
	return (size_t)n;
}

static bool has(const char *buf, size_t len, const char *what, size_t size)
{
	return memmem(buf, len, what, size) != NULL;
}

static void check_received(struct procid *id, int fd, uid_t uid, gid_t gid)
{
	static char buf[1 << 20];
	struct record_dump dump = example_dump();
	_cleanup_(record_destroyp) struct record *record = make(id, &dump);
	assert_ok(record_send(record, 10000000000));
	struct ucred who = { 0 };
	size_t len = receive(fd, buf, sizeof(buf), &who);
	assert_int_equal(who.uid, uid);
	assert_int_equal(who.gid, gid);
	assert_true(has(buf, len, "COREDUMP_PID=4242\n", 18));
	// A field with a newline goes with its length.
	assert_true(has(buf, len, "COREDUMP_ENVIRON\n\6\0\0\0\0\0\0\0a\n_b=c\n", 32));
	assert_false(has(buf, len, "\n_b=c\nCOREDUMP_ENVIRON", 22));
}

static void check_nobody(const struct procid *id)
{
	struct record_dump dump = example_dump();
	_cleanup_(record_destroyp) struct record *record = make(id, &dump);
	struct snap_error *err = record_send(record, 10000000000);
	assert_non_null(err);
	assert_true(err->errnum == ENOENT || err->errnum == ECONNREFUSED);
	snap_error_destroy(err);
}

/// Sends until the socket is full, which nobody reads.
static void check_blocked(const struct procid *id)
{
	struct record_dump dump = example_dump();
	_cleanup_(record_destroyp) struct record *record = make(id, &dump);
	for (int i = 0; i < 10000; i++) {
		uint64_t before = snap_now_ns();
		struct snap_error *err = record_send(record, 200000000);
		if (!err)
			continue;
		assert_true(snap_now_ns() - before < 2000000000);
		assert_non_null(strstr(err->message, "does not take"));
		snap_error_destroy(err);
		return;
	}
	fail_msg("never full");
}

static int send_in_own_run(void *userdata _unused_)
{
	struct procid id = example();
	set(&id, PROCID_ENVIRON, "a\n_b=c", 6);
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/run", "tmpfs", 0, "mode=755") < 0)
		return EXIT_SKIP;
	check_nobody(&id); // there is not even a folder
	assert_int_equal(mkdir("/run/systemd", 0755), 0);
	assert_int_equal(mkdir("/run/systemd/journal", 0755), 0);
	int fd = listen_as_journald();
	check_received(&id, fd, 1000, 1001);
	id.plain = false;
	check_received(&id, fd, 0, 0);
	check_blocked(&id);
	assert_int_equal(close(fd), 0);
	check_nobody(&id); // the socket is still there
	return 0;
}

static void test_sending(void **state _unused_)
{
	if (!test_has_pidfd())
		skip_test("no pidfd (under valgrind?)");
	if (getuid() != 0)
		skip_test("needs root");
	int status = test_wait(test_fork(send_in_own_run, NULL));
	if (status == EXIT_SKIP)
		skip_test("no mount namespace");
	assert_int_equal(status, 0);
}

static void test_killed_sender(void **state _unused_)
{
	if (!test_has_pidfd())
		skip_test("no pidfd (under valgrind?)");
	struct procid id = example();
	struct record_dump dump = example_dump();
	id.plain = false;
	_cleanup_(record_destroyp) struct record *record = make(&id, &dump);
	struct pidref child = PIDREF_NULL;
	assert_ok(record_start_sending(record, &child));
	assert_int_equal(kill(child.pid, SIGKILL), 0);
	struct snap_error *err = record_reap(&child);
	assert_int_equal(child.pidfd, -EBADF);
	// It may have been faster, where nobody listens or somebody does.
	print_message("%s\n", err ? err->message : "sent");
	snap_error_destroy(err);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); // nothing is left
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_without_file),
		cmocka_unit_test(test_unknown_process),
		cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_warnings_and_cuts),
		cmocka_unit_test(test_summary),
		cmocka_unit_test(test_long_message),
		cmocka_unit_test(test_crash),
		cmocka_unit_test(test_binaries),
		cmocka_unit_test(test_signal_names),
		cmocka_unit_test(test_hostile_crash),
		cmocka_unit_test(test_long_stacks),
		cmocka_unit_test(test_go_crash),
		cmocka_unit_test(test_who_sends_crash),
		cmocka_unit_test(test_who_sends),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_bad_json),
		cmocka_unit_test(test_sending),
		cmocka_unit_test(test_killed_sender),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
