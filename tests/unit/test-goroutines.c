// SPDX-License-Identifier: LGPL-2.1-or-later
#include "goopen.h"

#include <inttypes.h>

/*
 * The whole analysis, on the program of goprogram.h in every version and on both machines, and on
 * what is left of it when parts are missing.
 */

static const uint16_t machines[] = { EM_X86_64, EM_AARCH64 };
static const char all[] = "{\"each\":true,\"system\":true}";

static void each_version(void (*fn)(struct goprogram *p))
{
	for (int minor = GO_MINOR_MIN; minor <= GO_MINOR_MAX; minor++)
		for (size_t j = 0; j < ARRAY_SIZE(machines); j++) {
			struct goprogram p;
			goprogram_init(&p, minor, machines[j]);
			fn(&p);
			gocore_deinit(&p.gc);
		}
}

static void check_text(const struct json *json, const char *key, const char *want)
{
	const char *text = json_get_text(json, key);
	assert_non_null(text);
	assert_string_equal(text, want);
}

static void check_stack(const struct json *line, const char *want)
{
	_cleanup_strbuf_ struct strbuf stack = { 0 };
	golines_stack(line, &stack);
	assert_string_equal(stack.data ? stack.data : "", want);
}

// ---- all of it -----------------------------------------------------------------------------

static void check_all(struct goprogram *p, const struct golines *l)
{
	char version[16];
	(void)snprintf(version, sizeof(version), "go1.%d", p->gc.minor);
	assert_null(l->err);
	assert_int_equal(golines_count(l, "core"), 1);
	assert_int_equal(golines_count(l, "image"), 1);
	assert_int_equal(golines_count(l, "runtime"), 1);
	assert_int_equal(golines_count(l, "goroutine"), 7); // without the dead one
	assert_int_equal(golines_count(l, "thread"), 2);
	assert_int_equal(golines_count(l, "group"), 7);
	assert_int_equal(golines_count(l, "warning"), 0);
	const struct json *rt = golines_at(l, "runtime", 0);
	check_text(rt, "version", version);
	check_text(rt, "image", "/bin/prog");
	assert_int_equal(json_get_u64(rt, "layout_minor", 0), p->gc.minor);
	assert_int_equal(json_get_u64(rt, "gomaxprocs", 0), 1);
	assert_int_equal(json_get_u64(rt, "modules", 0), 1);
	assert_true(json_get_bool(rt, "clock_exact", false));
	check_text(json_get(rt, "build"), "module", "prog");
	check_text(json_get(rt, "build"), "module_version", "v1.2.3");
	check_text(json_get(json_get(rt, "build"), "settings"), "-race", "true");
	const struct json *states = json_get(rt, "states");
	assert_int_equal(json_length(states), 7);
	assert_int_equal(json_get_u64(states, "chan receive", 0), 1);
	assert_int_equal(json_get_u64(states, "force gc (idle)", 0), 1);
}

static void check_stacks(const struct golines *l)
{
	static const struct {
		uint64_t id;
		const char *status, *state, *stack;
	} want[] = {
		{ 1, "waiting", "chan receive",
		  "runtime.gopark runtime.chanrecv1 main.inner main.outer main.worker main.main "
		  "runtime.main runtime.goexit" },
		{ 2, "waiting", "force gc (idle)",
		  "runtime.gopark runtime.forcegchelper runtime.goexit" },
		{ 3, "waiting", "select",
		  "runtime.gopark main.inner main.outer main.worker runtime.goexit" },
		{ 4, "running", "running",
		  "main.spin main.inner main.outer main.worker runtime.goexit" },
		{ 5, "syscall", "syscall",
		  "syscall.Syscall main.inner main.outer main.worker runtime.goexit" },
		{ 6, "waiting", "sleep",
		  "runtime.gopark time.Sleep main.inner main.outer main.worker runtime.goexit" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		const struct json *g = golines_goroutine(l, want[i].id);
		check_text(g, "status", want[i].status);
		check_text(g, "state", want[i].state);
		check_text(g, "stack_end", "complete");
		check_stack(g, want[i].stack);
	}
}

static void check_details(struct goprogram *p, const struct golines *l)
{
	const struct json *g = golines_goroutine(l, 1);
	assert_true(json_get_u64(g, "wait_ns", 0) == 5000000000);
	assert_null(json_get(g, "created_by"));
	check_text(g, "entry", "runtime.main");
	const struct json *on = json_at(json_get(g, "blocked_on"), 0);
	check_text(on, "kind", "channel");
	check_text(on, "operation", "receive");
	assert_int_equal(json_get_u64(on, "receivers", 0), 2);
	assert_int_equal(json_get_u64(on, "senders", 9), 0);
	g = golines_goroutine(l, 2);
	assert_true(json_get_bool(g, "system", false));
	assert_null(json_get(g, "blocked_on"));
	g = golines_goroutine(l, 3);
	assert_int_equal(json_length(json_get(g, "blocked_on")), 2);
	on = json_at(json_get(g, "blocked_on"), 1);
	check_text(on, "operation", "send");
	assert_int_equal(json_get_u64(on, "length", 0), 3);
	assert_int_equal(json_get_u64(on, "capacity", 0), 3);
	check_text(json_get(g, "created_by"), "function", "main.main");
	if (p->gc.minor >= 21)
		assert_int_equal(json_get_u64(json_get(g, "created_by"), "goroutine", 0), 1);
	g = golines_goroutine(l, 4);
	assert_int_equal(json_get_u64(g, "m", 9), 1);
	assert_int_equal(json_get_u64(g, "tid", 0), 2002);
	g = golines_goroutine(l, 5);
	assert_true(json_get_bool(g, "locked_to_thread", false));
	g = golines_goroutine(l, 6);
	assert_true(json_get_u64(g, "wakes_in_ns", 0) == 3000000000);
	check_text(json_get(g, "labels"), "key", "value");
	check_text(json_get(g, "labels"), "other", "more");
	g = golines_goroutine(l, 7);
	assert_true(json_get_u64(g, "wait_ns", 0) == 2000000000);
	on = json_at(json_get(g, "blocked_on"), 0);
	check_text(on, "kind", "semaphore");
}

static void check_crash(const struct golines *l)
{
	const struct json *crash = golines_at(l, "crash", 0);
	assert_int_equal(json_get_u64(crash, "goroutine", 0), 4);
	const struct json *panic = json_at(json_get(crash, "panics"), 0);
	check_text(panic, "value", "it broke");
	check_text(panic, "type", "string");
	assert_false(json_get_bool(panic, "recovered", true));
}

static void whole(struct goprogram *p)
{
	struct golines l = { 0 };
	goopen_analyze(&l, &p->gc, all);
	check_all(p, &l);
	check_stacks(&l);
	check_details(p, &l);
	check_crash(&l);
	check_text(golines_at(&l, "image", 0), "file", "missing");
	golines_deinit(&l);
}

static void test_whole(void **state _unused_)
{
	each_version(whole);
}

/// The same, when code and read-only data are in the executable only.
static void from_executable(struct goprogram *p)
{
	for (int sections = 0; sections < 2; sections++) {
		struct golines l = { 0 };
		gocore_executable(&p->gc, sections, &l.file);
		p->gc.omit = 1U << GOCORE_HEADER | 1U << GOCORE_TEXT | 1U << GOCORE_RODATA;
		goopen_analyze(&l, &p->gc, all);
		check_all(p, &l);
		check_stacks(&l);
		check_crash(&l);
		check_text(golines_at(&l, "image", 0), "file", "unverified");
		golines_deinit(&l);
	}
}

static void test_from_executable(void **state _unused_)
{
	each_version(from_executable);
}

/// The executable is of another build: what the core has must do, and here it has it all.
static void other_executable(struct goprogram *p)
{
	for (uint64_t moved = 0; moved < 2; moved++) {
		struct golines l = { 0 };
		struct gocore other;
		gocore_init(&other, p->gc.minor, p->gc.machine);
		gocore_header(&other, "another build id....");
		gocore_executable(&other, true, &l.file);
		gocore_deinit(&other);
		for (size_t i = 0; i < GOCORE_IMAGE_PARTS; i++) { // its data are elsewhere
			Elf64_Phdr phdr;
			char *at = l.file.data + sizeof(Elf64_Ehdr) + i * sizeof(phdr);
			memcpy(&phdr, at, sizeof(phdr));
			phdr.p_vaddr += moved << 30;
			memcpy(at, &phdr, sizeof(phdr));
		}
		goopen_analyze(&l, &p->gc, all);
		check_text(golines_at(&l, "image", 0), "file", "differs");
		check_all(p, &l);
		check_stacks(&l);
		golines_deinit(&l);
	}
}

static void test_other_executable(void **state _unused_)
{
	each_version(other_executable);
}

/// Without build information: the layout that fits.
static void no_version(struct goprogram *p)
{
	struct golines l = { 0 };
	gocore_put(&p->gc, gocore_ranges[GOCORE_DATA].start, "none of the kind", 16);
	goopen_analyze(&l, &p->gc, all);
	assert_null(l.err);
	assert_int_equal(golines_count(&l, "runtime"), 1);
	assert_null(json_get_text(golines_at(&l, "runtime", 0), "version"));
	assert_true(golines_count(&l, "goroutine") <= 8);
	golines_deinit(&l);
}

static void test_no_version(void **state _unused_)
{
	each_version(no_version);
}

static void test_newer_version(void **state _unused_)
{
	struct goprogram p;
	struct golines l = { 0 };
	goprogram_init(&p, GO_MINOR_MAX, EM_X86_64);
	gocore_put(&p.gc, gocore_ranges[GOCORE_DATA].start + 33, "go1.99", 6);
	goopen_analyze(&l, &p.gc, all);
	const struct json *rt = golines_at(&l, "runtime", 0);
	check_text(rt, "version", "go1.99");
	assert_true(json_get_bool(rt, "newer_than_known", false));
	assert_int_equal(json_get_u64(rt, "layout_minor", 0), GO_MINOR_MAX);
	check_stacks(&l);
	golines_deinit(&l);
	gocore_deinit(&p.gc);
}

static void test_no_go(void **state _unused_)
{
	struct gocore gc;
	struct golines l = { 0 };
	gocore_init(&gc, 22, EM_X86_64);
	gocore_header(&gc, NULL);
	goopen_analyze(&l, &gc, all);
	assert_null(l.err);
	assert_int_equal(golines_count(&l, "core"), 1);
	assert_int_equal(golines_count(&l, "runtime"), 0);
	golines_deinit(&l);
	gocore_deinit(&gc);
}

static void test_core_only(void **state _unused_)
{
	struct goprogram p;
	struct golines l = { 0 };
	goprogram_init(&p, 22, EM_X86_64);
	p.gc.threads[0].signal = 11;
	uint64_t addr = 0x1234;
	uint32_t code = SEGV_MAPERR;
	memcpy(p.gc.siginfo + 8, &code, 4);
	memcpy(p.gc.siginfo + 16, &addr, 8);
	goopen_analyze(&l, &p.gc, "{\"core_only\":true}");
	assert_null(l.err);
	assert_int_equal(l.n, 1);
	const struct json *core = golines_at(&l, "core", 0);
	check_text(core, "comm", "prog");
	check_text(core, "args", "/bin/prog -x");
	check_text(core, "machine", "x86_64");
	check_text(core, "by", "procsnap");
	check_text(core, "fault_address", "0x1234");
	assert_int_equal(json_get_u64(core, "pid", 0), 2001); // outside its namespace
	assert_int_equal(json_get_u64(core, "signal", 0), 11);
	assert_int_equal(json_get_u64(core, "threads", 0), 2);
	assert_int_equal(json_get_u64(core, "mappings", 0), GOCORE_PARTS);
	assert_false(json_get_bool(core, "truncated", true));
	assert_null(json_get(core, "sender_pid"));
	golines_deinit(&l);
	// Sent by process 77 of user 1000: that is no address.
	const uint32_t sent[] = { SI_USER, 0, 77, 1000 };
	memcpy(p.gc.siginfo + 8, sent, sizeof(sent));
	goopen_analyze(&l, &p.gc, "{\"core_only\":true}");
	core = golines_at(&l, "core", 0);
	assert_null(json_get(core, "fault_address"));
	assert_int_equal(json_get_u64(core, "sender_pid", 0), 77);
	assert_int_equal(json_get_u64(core, "sender_uid", 0), 1000);
	golines_deinit(&l);
	gocore_deinit(&p.gc);
}

static void test_attached(void **state _unused_)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{ "{\"runtimes\":[{\"version\":\"go1.22\"}]}", true },
		{ "{}", true },
		{ "", false },
		{ "nonsense", false },
		{ "[]", false },
		{ "{\"a\":\"\xff\"}", false },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct gocore gc;
		struct golines l = { 0 };
		gocore_init(&gc, 22, EM_X86_64);
		gocore_note(&gc.notes, SNAPNOTE_OWNER, NT_PROCSNAP_SUMMARY, cases[i].text,
			    strlen(cases[i].text));
		goopen_analyze(&l, &gc, "{\"attached\":true}");
		assert_int_equal(golines_count(&l, "summary"), cases[i].good);
		assert_int_equal(!l.err, cases[i].good);
		golines_deinit(&l);
		gocore_deinit(&gc);
	}
}

// ---- filters -------------------------------------------------------------------------------

static void test_filters(void **state _unused_)
{
	static const struct {
		const char *request;
		size_t goroutines, groups;
	} cases[] = {
		{ "{}", 0, 6 },
		{ "{\"each\":true}", 6, 6 },
		{ "{\"each\":true,\"system\":true}", 7, 7 },
		{ "{\"each\":true,\"top\":2}", 6, 2 },
		{ "{\"each\":true,\"state\":\"chan\"}", 1, 1 },
		{ "{\"each\":true,\"state\":\"waiting\"}", 4, 4 },
		{ "{\"each\":true,\"state\":\"\"}", 6, 6 },
		{ "{\"each\":true,\"function\":\"time.Sl\"}", 1, 1 },
		{ "{\"each\":true,\"function\":\"main.inner\"}", 6, 6 }, // inlined ones too
		{ "{\"each\":true,\"function\":\"nobody\"}", 0, 0 },
		{ "{\"each\":true,\"label_key\":\"key\"}", 1, 1 },
		{ "{\"each\":true,\"label_key\":\"key\",\"label_value\":\"value\"}", 1, 1 },
		{ "{\"each\":true,\"label_key\":\"key\",\"label_value\":\"val\"}", 0, 0 },
		{ "{\"each\":true,\"min_wait_ns\":3000000000}", 1, 1 },
		{ "{\"each\":true,\"min_wait_ns\":18446744073709551615}", 0, 0 },
		{ "{\"each\":true,\"ids\":[\"3\",\"2\"]}", 2, 2 }, // also those of the runtime
		{ "{\"each\":true,\"ids\":[\"99\",\"x\",5,null]}", 0, 0 },
		{ "{\"each\":true,\"ids\":[]}", 6, 6 },
		{ "{\"each\":1,\"state\":5,\"ids\":\"x\"}", 0, 6 }, // of other types: not there
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct goprogram p;
		struct golines l = { 0 };
		goprogram_init(&p, 22, EM_X86_64);
		goopen_analyze(&l, &p.gc, cases[i].request);
		assert_null(l.err);
		if (golines_count(&l, "goroutine") != cases[i].goroutines ||
		    golines_count(&l, "group") != cases[i].groups)
			fail_msg("%s: %zu goroutines, %zu groups", cases[i].request,
				 golines_count(&l, "goroutine"), golines_count(&l, "group"));
		golines_deinit(&l);
		gocore_deinit(&p.gc);
	}
}

// ---- groups and findings -------------------------------------------------------------------

/// Makes every goroutine but the first ones a copy of the one that selects.
static void crowd(struct goprogram *p, size_t n)
{
	struct gocore *gc = &p->gc;
	uint64_t array = gocore_alloc(gc, GOCORE_HEAP, n * 8);
	for (size_t i = 0; i < n; i++)
		gocore_u64(gc, array + i * 8, p->objects[GOPROGRAM_MAIN]);
	gocore_u64(gc, gc->allgs, array);
	gocore_u64(gc, gc->allgs + 8, n);
	gocore_u64(gc, gc->allgs + 16, n);
}

static const struct json *finding(const struct golines *l, const char *what)
{
	for (size_t i = 0; i < golines_count(l, "finding"); i++) {
		const struct json *f = golines_at(l, "finding", i);
		if (!strcmp(json_get_text(f, "finding"), what))
			return f;
	}
	return NULL;
}

static void test_crowd(void **state _unused_)
{
	struct goprogram p;
	struct golines l = { 0 };
	goprogram_init(&p, 22, EM_X86_64);
	gocore_set(&p.gc, p.objects[GOPROGRAM_MAIN], GO_G_STARTPC,
		   gocore_named(&p.gc, "main.worker")->entry);
	p.gc.now = 1000000000ULL + 3600000000000; // an hour later
	crowd(&p, 200);
	goopen_analyze(&l, &p.gc, "{}");
	assert_null(l.err);
	assert_int_equal(golines_count(&l, "group"), 1);
	const struct json *group = golines_at(&l, "group", 0);
	assert_int_equal(json_get_u64(group, "count", 0), 200);
	assert_true(json_get_u64(group, "shortest_wait_ns", 0) == 3600000000000);
	assert_int_equal(json_length(json_get(group, "goroutines")), 10);
	const struct json *f = finding(&l, "many-waiters");
	assert_non_null(f);
	assert_int_equal(json_get_u64(f, "count", 0), 200);
	check_text(f, "kind", "channel");
	f = finding(&l, "all-blocked");
	assert_non_null(f);
	check_text(f, "certainty", "likely");
	f = finding(&l, "leak-suspects");
	assert_non_null(f);
	check_text(f, "certainty", "hint");
	assert_null(finding(&l, "leaked"));
	golines_deinit(&l);
	gocore_deinit(&p.gc);
}

static void test_leaked(void **state _unused_)
{
	struct goprogram p;
	struct golines l = { 0 };
	goprogram_init(&p, 26, EM_X86_64);
	gocore_set(&p.gc, p.objects[GOPROGRAM_LOCK], GO_G_ATOMICSTATUS, 0x100a);
	goopen_analyze(&l, &p.gc, all);
	const struct json *f = finding(&l, "leaked");
	assert_non_null(f);
	check_text(f, "certainty", "fact");
	const struct json *g = golines_goroutine(&l, 7);
	check_text(g, "status", "leaked");
	assert_true(json_get_bool(g, "scan", false));
	golines_deinit(&l);
	gocore_deinit(&p.gc);
}

static void test_backlog(void **state _unused_)
{
	struct goprogram p;
	struct golines l = { 0 };
	goprogram_init(&p, 22, EM_AARCH64);
	gocore_set(&p.gc, p.objects[GOPROGRAM_MAIN], GO_G_ATOMICSTATUS, 1);
	crowd(&p, 50);
	goopen_analyze(&l, &p.gc, all);
	const struct json *f = finding(&l, "runnable-backlog");
	assert_non_null(f);
	assert_int_equal(json_get_u64(f, "gomaxprocs", 0), 1);
	assert_null(finding(&l, "all-blocked"));
	golines_deinit(&l);
	gocore_deinit(&p.gc);
}

// ---- a channel that nobody can use ---------------------------------------------------------

/// Two goroutines wait for the first channel, and their sudogs alone have it.
static void stuck(struct goprogram *p)
{
	gocore_set(&p->gc, p->objects[GOPROGRAM_SUDOG1], GO_SUDOG_WAITLINK, 0);
	goprogram_wait(p, GOPROGRAM_SELECT, "chan receive");
}

/// Puts a word where only goroutine @g has it.
static void put_on_stack(struct goprogram *p, enum goprogram_object g, uint64_t word)
{
	assert_true(gocore_u64(&p->gc, gocore_get(&p->gc, p->objects[g] + 8) - 32, word));
}

/// Are there @waiters and @others? 0: there is no such finding.
static void check_stuck(struct goprogram *p, uint64_t waiters, uint64_t others)
{
	struct golines l = { 0 };
	char want[32];
	goopen_analyze(&l, &p->gc, all);
	assert_null(l.err);
	const struct json *f = finding(&l, "stuck-channel");
	assert_int_equal(f != NULL, waiters != 0);
	if (f) {
		(void)snprintf(want, sizeof(want), "0x%" PRIx64, p->objects[GOPROGRAM_CHAN0]);
		check_text(f, "object", want);
		check_text(f, "kind", "channel");
		check_text(f, "certainty", "hint");
		assert_int_equal(json_get_u64(f, "count", 0), waiters);
		assert_int_equal(json_get_u64(f, "others", 9), others);
	}
	golines_deinit(&l);
}

static void nobody_has_it(struct goprogram *p)
{
	check_stuck(p, 0, 0); // one waits for another channel as well, and may go on
	stuck(p);
	check_stuck(p, 2, 0);
	gocore_set(&p->gc, p->objects[GOPROGRAM_SELECT], GO_G_ATOMICSTATUS, 6);
	check_stuck(p, 0, 0); // one may wait for what it likes
}

static void waiter_has_it(struct goprogram *p)
{
	uint64_t lock = p->objects[GOPROGRAM_CHAN1] + 4;
	stuck(p);
	put_on_stack(p, GOPROGRAM_LOCK, p->objects[GOPROGRAM_CHAN0]);
	assert_true(gocore_u64(&p->gc, gocore_get(&p->gc, p->objects[GOPROGRAM_LOCK] + 8) - 40,
			       p->objects[GOPROGRAM_CHAN0])); // twice
	check_stuck(p, 2, 1);
	put_on_stack(p, GOPROGRAM_SLEEP, lock - 257);
	check_stuck(p, 2, 1);
	put_on_stack(p, GOPROGRAM_SLEEP, lock - 256); // may unlock it
	check_stuck(p, 0, 0);
	put_on_stack(p, GOPROGRAM_SLEEP, lock);
	check_stuck(p, 0, 0);
	put_on_stack(p, GOPROGRAM_SLEEP, lock + 1);
	check_stuck(p, 2, 1);
}

static void somebody_has_it(struct goprogram *p)
{
	static const enum goprogram_object users[] = { GOPROGRAM_SYSTEM, GOPROGRAM_RUNNING,
						       GOPROGRAM_SYSCALL, GOPROGRAM_SLEEP };
	uint64_t chan = p->objects[GOPROGRAM_CHAN0];
	uint64_t box = gocore_alloc(&p->gc, GOCORE_HEAP, 160) + 16;
	stuck(p);
	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		put_on_stack(p, users[i], chan);
		check_stuck(p, 0, 0);
		put_on_stack(p, users[i], chan + 8);
		check_stuck(p, 2, 0);
		put_on_stack(p, users[i], box); // what has it
		gocore_u64(&p->gc, box + 120, chan);
		check_stuck(p, 0, 0);
		gocore_u64(&p->gc, box + 120, 0);
		gocore_u64(&p->gc, box + 128, chan);
		check_stuck(p, 2, 0);
		gocore_u64(&p->gc, box + 128, 0);
		put_on_stack(p, users[i], 0);
	}
	p->gc.threads[1].regs.fp = chan; // a register like any other
	check_stuck(p, 0, 0);
	p->gc.threads[1].regs.fp = 0;
	// Whoever has a sudog has seen who waits, and no more.
	put_on_stack(p, GOPROGRAM_SLEEP, p->objects[GOPROGRAM_SUDOG1]);
	check_stuck(p, 2, 0);
	put_on_stack(p, GOPROGRAM_SLEEP, 0);
	// What it is to begin with.
	gocore_set(&p->gc, p->objects[GOPROGRAM_SLEEP], GO_G_ATOMICSTATUS, 1);
	uint64_t saved = p->objects[GOPROGRAM_SLEEP] + (uint64_t)p->gc.layout.offset[GO_G_SCHED_G];
	gocore_u64(&p->gc, box, chan);
	gocore_u64(&p->gc, saved + 8, box);
	check_stuck(p, 0, 0);
	gocore_u64(&p->gc, saved + 8, 0);
	check_stuck(p, 2, 0);
}

static void global_has_it(struct goprogram *p)
{
	uint64_t variable = gocore_alloc(&p->gc, GOCORE_DATA, 64);
	uint64_t chan = p->objects[GOPROGRAM_CHAN0];
	static const enum go_field parts[][2] = { { GO_MODULE_DATA, GO_MODULE_EDATA },
						  { GO_MODULE_BSS, GO_MODULE_EBSS } };
	stuck(p);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		gocore_set(&p->gc, p->gc.module, parts[i][0], variable + 16);
		gocore_set(&p->gc, p->gc.module, parts[i][1], variable + 32);
		for (uint64_t at = 8; at <= 32; at += 8) {
			gocore_u64(&p->gc, variable + at, chan);
			if (at == 8 || at == 32)
				check_stuck(p, 2, 0);
			else
				check_stuck(p, 0, 0);
			gocore_u64(&p->gc, variable + at, 0);
		}
	}
}

/// The table of semaphores knows all that wait for some, and is no user of them.
static void table_has_it(struct goprogram *p)
{
	stuck(p);
	put_on_stack(p, GOPROGRAM_LOCK, p->objects[GOPROGRAM_CHAN0]);
	gocore_set(&p->gc, p->gc.module, GO_MODULE_BSS, p->gc.semtable - 16);
	gocore_set(&p->gc, p->gc.module, GO_MODULE_EBSS,
		   p->gc.semtable + (uint64_t)GO_SEMTABLE_ROOTS * 128 + 16);
	check_stuck(p, 2, 1);
}

static void timer_has_it(struct goprogram *p)
{
	uint64_t chan = p->objects[GOPROGRAM_CHAN0];
	stuck(p);
	gocore_u64(&p->gc, chan + (uint64_t)p->gc.layout.offset[GO_HCHAN_ELEMSIZE], 24);
	check_stuck(p, 2, 0);
	if (p->gc.minor < 23) // time.Time, with room for one
		gocore_set(&p->gc, chan, GO_HCHAN_DATAQSIZ, 1);
	else
		gocore_set(&p->gc, chan, GO_HCHAN_TIMER, p->objects[GOPROGRAM_TIMER]);
	check_stuck(p, 0, 0);
}

/// What cannot be read may have it.
static void unreadable_has_it(struct goprogram *p)
{
	struct gocore *gc = &p->gc;
	stuck(p);
	gc->n_threads = 1; // that of the one that runs is gone
	check_stuck(p, 0, 0);
	gc->n_threads = 2;
	check_stuck(p, 2, 0);
	gocore_set(gc, p->objects[GOPROGRAM_SLEEP], GO_G_STACK_HI, UINT64_MAX >> 8);
	check_stuck(p, 0, 0);
}

static void test_stuck(void **state _unused_)
{
	each_version(nobody_has_it);
	each_version(waiter_has_it);
	each_version(somebody_has_it);
	each_version(global_has_it);
	each_version(table_has_it);
	each_version(timer_has_it);
	each_version(unreadable_has_it);
}

// ---- crashes -------------------------------------------------------------------------------

/// The runtime keeps what it printed last in a ring, which may begin anywhere.
static void test_fatal(void **state _unused_)
{
	enum { RING = 512 };
	static const char text[] = "noise\nruntime: it is bad\nfatal error: all goroutines are asleep\n";
	for (size_t at = 0; at < RING; at += 7) {
		struct goprogram p;
		struct golines l = { 0 };
		size_t len = sizeof(text) - 1;
		// Its key is looked for in one piece.
		if (at + 26 < RING && at + 26 + 13 > RING)
			continue;
		goprogram_init(&p, 12 + (int)at % 16, machines[at & 1]);
		for (size_t i = 0; i < len; i++)
			gocore_u8(&p.gc, p.gc.print_backlog + (at + i) % RING, (uint8_t)text[i]);
		goopen_analyze(&l, &p.gc, all);
		const struct json *crash = golines_at(&l, "crash", 0);
		check_text(crash, "fatal_error", "all goroutines are asleep");
		golines_deinit(&l);
		gocore_deinit(&p.gc);
	}
}

/// A signal that Go did not handle: the kernel says which.
static void kernel_signal(struct goprogram *p)
{
	struct golines l = { 0 };
	uint64_t addr = 0xdead;
	int32_t code = 1;
	gocore_set(&p->gc, p->objects[GOPROGRAM_M1], GO_M_DYING, 0);
	gocore_set(&p->gc, p->objects[GOPROGRAM_RUNNING], GO_G_PANIC, 0);
	p->gc.threads[0].signal = SIGSEGV;
	memcpy(p->gc.siginfo + 8, &code, 4);
	memcpy(p->gc.siginfo + 16, &addr, 8);
	goopen_analyze(&l, &p->gc, all);
	const struct json *crash = golines_at(&l, "crash", 0);
	assert_int_equal(json_get_u64(crash, "signal", 0), SIGSEGV);
	check_text(crash, "signal_text", "SIGSEGV: segmentation violation");
	check_text(crash, "signal_address", "0xdead");
	assert_int_equal(json_length(json_get(crash, "panics")), 0);
	golines_deinit(&l);
}

static void test_kernel_signal(void **state _unused_)
{
	each_version(kernel_signal);
}

/// A signal that became a panic: the goroutine knows which.
static void caught_signal(struct goprogram *p)
{
	struct golines l = { 0 };
	uint64_t g = p->objects[GOPROGRAM_RUNNING];
	gocore_set(&p->gc, g, GO_G_SIG, SIGBUS);
	gocore_set(&p->gc, g, GO_G_SIGCODE0, 2);
	gocore_set(&p->gc, g, GO_G_SIGCODE1, 0x77);
	gocore_set(&p->gc, g, GO_G_SIGPC, gocore_pc(&p->gc, "main.spin"));
	goopen_analyze(&l, &p->gc, all);
	const struct json *crash = golines_at(&l, "crash", 0);
	assert_int_equal(json_get_u64(crash, "signal", 0), SIGBUS);
	assert_int_equal(json_get_u64(crash, "signal_code", 0), 2);
	check_text(crash, "signal_address", "0x77");
	golines_deinit(&l);
}

static void test_caught_signal(void **state _unused_)
{
	each_version(caught_signal);
}

static void test_no_crash(void **state _unused_)
{
	struct goprogram p;
	struct golines l = { 0 };
	goprogram_init(&p, 22, EM_X86_64);
	gocore_set(&p.gc, p.objects[GOPROGRAM_M1], GO_M_DYING, 0);
	goopen_analyze(&l, &p.gc, all);
	assert_int_equal(golines_count(&l, "crash"), 0);
	golines_deinit(&l);
	gocore_deinit(&p.gc);
}

// ---- what is missing or damaged ------------------------------------------------------------

/// Entries of the list that are none, or are not in the core: counted, not shown.
static void damaged_list(struct goprogram *p)
{
	struct gocore *gc = &p->gc;
	struct golines l = { 0 };
	uint64_t array = p->objects[GOPROGRAM_ARRAY];
	gocore_u64(gc, array + 8, 0x1234560); // nothing there
	gocore_u64(gc, array + 16, p->objects[GOPROGRAM_SELECT] + 4); // not aligned
	gocore_set(gc, p->objects[GOPROGRAM_SYSCALL], GO_G_ATOMICSTATUS, 99);
	gocore_set(gc, p->objects[GOPROGRAM_LOCK], GO_G_STACK_LO, UINT64_MAX);
	goopen_analyze(&l, gc, all);
	assert_null(l.err);
	const struct json *rt = golines_at(&l, "runtime", 0);
	assert_int_equal(json_get_u64(rt, "not_in_core", 0), 1);
	assert_int_equal(json_get_u64(rt, "damaged", 0), 3);
	assert_int_equal(golines_count(&l, "goroutine"), 3);
	golines_deinit(&l);
}

static void test_damaged_list(void **state _unused_)
{
	each_version(damaged_list);
}

static void no_stacks(struct goprogram *p)
{
	struct golines l = { 0 };
	p->gc.omit = 1U << GOCORE_STACKS;
	goopen_analyze(&l, &p->gc, all);
	assert_null(l.err);
	assert_int_equal(golines_count(&l, "goroutine"), 7);
	const struct json *g = golines_goroutine(&l, 1);
	check_text(g, "stack_end", "not-in-core");
	check_stack(g, "runtime.gopark");
	golines_deinit(&l);
}

static void test_no_stacks(void **state _unused_)
{
	each_version(no_stacks);
}

static void no_heap(struct goprogram *p)
{
	struct golines l = { 0 };
	p->gc.omit = 1U << GOCORE_HEAP;
	goopen_analyze(&l, &p->gc, all);
	assert_null(l.err);
	assert_int_equal(golines_count(&l, "goroutine"), 0);
	assert_int_equal(golines_count(&l, "warning"), 1); // the list was not found
	golines_deinit(&l);
}

static void test_no_heap(void **state _unused_)
{
	each_version(no_heap);
}

static void no_threads(struct goprogram *p)
{
	struct golines l = { 0 };
	p->gc.n_threads = 0;
	p->gc.snapnote = false;
	goopen_analyze(&l, &p->gc, all);
	assert_null(l.err);
	const struct json *g = golines_goroutine(&l, 4);
	check_text(g, "stack_end", "no-registers");
	assert_false(json_get_bool(golines_at(&l, "runtime", 0), "clock_exact", true));
	// The clock is estimated: the scheduler has seen 5 s.
	assert_true(json_get_u64(golines_goroutine(&l, 1), "wait_ns", 0) == 4000000000);
	golines_deinit(&l);
}

static void test_no_threads(void **state _unused_)
{
	each_version(no_threads);
}

/// The core ends somewhere: an answer, or an error, and never a crash.
static void test_truncated(void **state _unused_)
{
	for (size_t j = 0; j < ARRAY_SIZE(machines); j++) {
		_cleanup_strbuf_ struct strbuf bytes = { 0 };
		struct goprogram p;
		goprogram_init(&p, 23, machines[j]);
		gocore_core(&p.gc, &bytes);
		for (size_t len = 0; len < bytes.len; len += 1 + len / 40) {
			struct golines l = { 0 };
			int fd = gocore_memfd(bytes.data, len);
			golines_run(&l, fd, all);
			assert_true(l.err || golines_count(&l, "core") == 1);
			if (!l.err && len > 1000)
				assert_true(json_get_bool(golines_at(&l, "core", 0), "truncated",
							  false));
			golines_deinit(&l);
			(void)close(fd);
		}
		gocore_deinit(&p.gc);
	}
}

/// One bit flipped, everywhere in what is small enough: an answer, or an error.
static void test_flipped_bits(void **state _unused_)
{
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	struct goprogram p;
	uint64_t random = 11;
	goprogram_init(&p, 24, EM_X86_64);
	gocore_core(&p.gc, &bytes);
	for (int round = 0; round < 1500; round++) {
		size_t at = test_random(&random) % bytes.len;
		if (round < 600) // headers and notes
			at = (size_t)round * 3;
		struct golines l = { 0 };
		char before = bytes.data[at];
		bytes.data[at] = (char)(bytes.data[at] ^ (1 << test_random(&random) % 8));
		int fd = gocore_memfd(bytes.data, bytes.len);
		golines_run(&l, fd, all);
		golines_deinit(&l);
		(void)close(fd);
		bytes.data[at] = before;
	}
	gocore_deinit(&p.gc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),	       cmocka_unit_test(test_from_executable),
		cmocka_unit_test(test_other_executable), cmocka_unit_test(test_no_version),
		cmocka_unit_test(test_newer_version),  cmocka_unit_test(test_no_go),
		cmocka_unit_test(test_core_only),      cmocka_unit_test(test_attached),
		cmocka_unit_test(test_filters),	       cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_leaked),	       cmocka_unit_test(test_backlog),
		cmocka_unit_test(test_fatal),	       cmocka_unit_test(test_kernel_signal),
		cmocka_unit_test(test_caught_signal),  cmocka_unit_test(test_no_crash),
		cmocka_unit_test(test_damaged_list),   cmocka_unit_test(test_stuck),
		cmocka_unit_test(test_no_stacks),      cmocka_unit_test(test_no_heap),
		cmocka_unit_test(test_no_threads),     cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_flipped_bits),
	};
	return cmocka_run_group_tests_name("goroutines", tests, NULL, NULL);
}
