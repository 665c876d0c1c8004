// SPDX-License-Identifier: LGPL-2.1-or-later
#include "goopen.h"

#include <time.h>

#include "common/str.h"

/*
 * Cores that somebody made to hurt. Each is analysed in a child with the limits of procsnap-analyze
 * on memory, and a tenth of those on time: it must come back with an answer or an error, and all it
 * says must be fit for a terminal.
 */

enum {
	MEMORY_BYTES = 2U << 30,
	CPU_SECONDS = 60,
	// what the child says
	GOOD = 0,
	UNPRINTABLE = 3,
	NO_ANSWER = 4,
	BAD_ANSWER = 5,
};

struct answer {
	uint64_t lines, bytes, goroutines, groups, dropped;
	bool unprintable;
};

struct attack {
	int fd;
	const char *request;
	const struct strbuf *file;
	bool (*check)(const struct answer *answer); ///< NULL: whatever
};

// ---- the child -----------------------------------------------------------------------------

static bool printable(const struct json *json)
{
	const char *text = json_text_value(json), *first = json_key_at(json, 0);
	if (text && !snap_is_printable(text))
		return false;
	for (size_t i = 0; i < json_length(json); i++) {
		const char *key = first && i < 200 ? json_key_at(json, i) : NULL;
		if (key && !snap_is_printable(key))
			return false;
		if (!printable(key ? json_get(json, key) : json_at(json, i)))
			return false;
	}
	return true;
}

static int count_line(void *userdata, const char *kind, struct json *value)
{
	struct answer *a = userdata;
	_cleanup_(json_destroyp) struct json *json = value;
	const char *text = json_text(json);
	if (!text)
		return -ENOMEM;
	a->lines++;
	a->bytes += strlen(text);
	a->groups += !strcmp(kind, "group");
	if (!strcmp(kind, "runtime")) {
		a->goroutines += json_get_u64(json, "goroutine_count", 0);
		a->dropped += json_get_u64(json, "beyond_limit", 0);
	}
	if (a->lines < 5000 && !printable(json))
		a->unprintable = true;
	return 0;
}

static bool has_limits(void)
{
#if defined(__SANITIZE_ADDRESS__)
	return false;
#else
	return !test_under_valgrind();
#endif
}

static int analyse(void *userdata)
{
	const struct attack *attack = userdata;
	struct answer answer = { 0 };
	const struct image_opener opener = { goopen_opener, (void *)(uintptr_t)attack->file };
	const struct report_sink sink = { count_line, &answer };
	struct rlimit as = { MEMORY_BYTES, MEMORY_BYTES }, cpu = { CPU_SECONDS, CPU_SECONDS };
	struct json *json = json_parse(attack->request, strlen(attack->request));
	bool limited = has_limits();
	if (!json || (limited && setrlimit(RLIMIT_AS, &as) < 0) ||
	    (limited && setrlimit(RLIMIT_CPU, &cpu) < 0))
		return NO_ANSWER;
	struct snap_error *err = analyze(attack->fd, -EBADF, json, &opener, &sink);
	bool said = answer.lines || (err && err->message && *err->message);
	if (err && !snap_is_printable(err->message))
		return UNPRINTABLE;
	snap_error_destroy(err);
	json_destroy(json);
	if (answer.unprintable)
		return UNPRINTABLE;
	if (!said)
		return NO_ANSWER;
	return !attack->check || attack->check(&answer) ? GOOD : BAD_ANSWER;
}

static void run_bytes(const struct strbuf *core, const char *request, const struct strbuf *file,
		      bool (*check)(const struct answer *answer))
{
	static const struct strbuf none = { 0 };
	struct attack attack = { .request = request, .file = file ? file : &none, .check = check };
	attack.fd = gocore_memfd(core->data, core->len);
	int status = test_wait(test_fork(analyse, &attack));
	(void)close(attack.fd);
	assert_int_equal(status, GOOD);
}

static const char all[] = "{\"each\":true,\"system\":true}", groups[] = "{}";

static void run_core(struct gocore *gc, const char *request,
		     bool (*check)(const struct answer *answer))
{
	_cleanup_strbuf_ struct strbuf core = { 0 };
	gocore_core(gc, &core);
	run_bytes(&core, request, NULL, check);
}

#define SKIP_IF_LIMITLESS()                                                       \
	do {                                                                      \
		if (!has_limits())                                                   \
			skip_test("no limits with sanitizers and valgrind"); \
	} while (0)

// ---- ten million goroutines ----------------------------------------------------------------

enum {
	FAKE_GS = 4096, ///< in the file; the segments show them again and again
	FAKE_STRIDE = 512,
	FAKE_SEGMENTS = 32,
	POINTERS = FAKE_GS * FAKE_SEGMENTS, ///< in the file, to as many addresses
	ARRAYS = 81,
};

#define FAKE_AT 0xc100000000ULL
#define POINTERS_AT 0xd000000000ULL

/// The list of all goroutines: POINTERS * ARRAYS of them, more than there may be.
static void add_millions(struct goprogram *p)
{
	struct gocore *gc = &p->gc;
	size_t gs_bytes = (size_t)FAKE_GS * FAKE_STRIDE;
	uint64_t n = (uint64_t)POINTERS * ARRAYS;
	for (uint64_t i = 0; i < FAKE_GS; i++) {
		uint8_t g[FAKE_STRIDE];
		const uint8_t *from = gocore_at(gc, p->objects[GOPROGRAM_SELECT], GOCORE_G_BYTES);
		memset(g, 0, sizeof(g));
		memcpy(g, from, GOCORE_G_BYTES);
		memset(g + gc->layout.offset[GO_G_SCHED_G], 0, 8); // it is at many addresses
		memcpy(g + gc->layout.offset[GO_G_GOID], &i, 8);
		gocore_add(&gc->more, g, sizeof(g));
	}
	for (uint64_t i = 0; i < POINTERS; i++) {
		uint64_t addr = FAKE_AT + i * FAKE_STRIDE;
		gocore_add(&gc->more, &addr, 8);
	}
	for (uint64_t i = 0; i < FAKE_SEGMENTS; i++)
		gc->extra[gc->n_extra++] = (struct gocore_extra){
			.start = FAKE_AT + i * gs_bytes, .size = gs_bytes, .flags = PF_R };
	for (uint64_t i = 0; i < ARRAYS; i++)
		gc->extra[gc->n_extra++] = (struct gocore_extra){ .start = POINTERS_AT +
									   i * POINTERS * 8,
								  .size = (uint64_t)POINTERS * 8,
								  .at = gs_bytes,
								  .flags = PF_R };
	gocore_u64(gc, gc->allgs, POINTERS_AT);
	gocore_u64(gc, gc->allgs + 8, n);
	gocore_u64(gc, gc->allgs + 16, n);
}

static bool millions(const struct answer *a)
{
	return a->goroutines == 10 << 20 &&
	       a->goroutines + a->dropped == (uint64_t)POINTERS * ARRAYS && a->groups == 1;
}

static void test_ten_millions(void **state _unused_)
{
	struct goprogram p;
	SKIP_IF_LIMITLESS();
	goprogram_init(&p, 22, EM_X86_64);
	add_millions(&p);
	run_core(&p.gc, groups, millions);
	gocore_deinit(&p.gc);
}

/// The list claims to have more than there can be, or to be where nothing is.
static void test_list_lies(void **state _unused_)
{
	static const uint64_t lengths[] = { 1ULL << 28, (1ULL << 28) + 1, 1ULL << 40, UINT64_MAX };
	SKIP_IF_LIMITLESS();
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct goprogram p;
		goprogram_init(&p, 25, EM_X86_64);
		gocore_u64(&p.gc, p.gc.allgs + 8, lengths[i]);
		gocore_u64(&p.gc, p.gc.allgs + 16, lengths[i]);
		run_core(&p.gc, all, NULL);
		gocore_u64(&p.gc, p.gc.allgs, UINT64_MAX - 64);
		run_core(&p.gc, all, NULL);
		gocore_deinit(&p.gc);
	}
}

/// A hundred thousand goroutines, each with a stack that no other has.
static bool many_groups(const struct answer *a)
{
	return a->goroutines >= 100000 && a->groups >= 100000;
}

static void test_many_stacks(void **state _unused_)
{
	enum { N = 100000, FRAME = 64 };
	struct goprogram p;
	SKIP_IF_LIMITLESS();
	goprogram_init(&p, 22, EM_X86_64);
	struct gocore *gc = &p.gc;
	uint64_t stacks = 0xe000000000, spin = gocore_named(gc, "main.spin")->entry,
		 lock = gocore_named(gc, "main.(*T).lock")->entry,
		 park = gocore_named(gc, "main.main")->entry;
	for (uint64_t i = 0; i < N; i++) {
		uint8_t g[FAKE_STRIDE] = { 0 };
		memcpy(g, gocore_at(gc, p.objects[GOPROGRAM_SELECT], GOCORE_G_BYTES),
		       GOCORE_G_BYTES);
		uint64_t sp = stacks + i * FRAME * 2, pc = spin + 1 + i % 47,
			 g_at = FAKE_AT + i * FAKE_STRIDE;
		memcpy(g + gc->layout.offset[GO_G_SCHED_G], &g_at, 8);
		memcpy(g + gc->layout.offset[GO_G_SCHED_SP], &sp, 8);
		memcpy(g + gc->layout.offset[GO_G_SCHED_PC], &pc, 8);
		gocore_add(&gc->more, g, sizeof(g));
	}
	size_t stacks_at = gc->more.len;
	for (uint64_t i = 0; i < N; i++) {
		uint64_t words[FRAME * 2 / 8] = { 0 };
		words[4] = lock + 1 + i / 47 % 47; // main.spin has a frame of 32 bytes
		words[9] = park + 1 + i / 47 / 47 % 47; // and main.(*T).lock
		gocore_add(&gc->more, words, sizeof(words));
	}
	size_t pointers_at = gc->more.len;
	for (uint64_t i = 0; i < N; i++) {
		uint64_t addr = FAKE_AT + i * FAKE_STRIDE;
		gocore_add(&gc->more, &addr, 8);
	}
	gc->extra[0] = (struct gocore_extra){ FAKE_AT, stacks_at, 0, PF_R };
	gc->extra[1] = (struct gocore_extra){ stacks, pointers_at - stacks_at, stacks_at, PF_R };
	gc->extra[2] = (struct gocore_extra){ POINTERS_AT, N * 8, pointers_at, PF_R };
	gc->n_extra = 3;
	gocore_u64(gc, gc->allgs, POINTERS_AT);
	gocore_u64(gc, gc->allgs + 8, N);
	gocore_u64(gc, gc->allgs + 16, N);
	run_core(gc, groups, many_groups);
	gocore_deinit(gc);
}

/// Thousands of goroutines that share one stack, which is as deep as stacks are followed.
static void test_deep_stacks(void **state _unused_)
{
	enum { DEPTH = 1 << 14, N = 5000 };
	struct goprogram p;
	SKIP_IF_LIMITLESS();
	goprogram_init(&p, 22, EM_X86_64);
	struct gocore *gc = &p.gc;
	uint64_t pc = gocore_pc(gc, "main.spin"), g = p.objects[GOPROGRAM_LOCK];
	uint64_t stack = 0xe000000000, bytes = DEPTH * 64ULL;
	gocore_set(gc, g, GO_G_STACK_LO, stack);
	gocore_set(gc, g, GO_G_STACK_HI, stack + bytes);
	gocore_set(gc, g, GO_G_SCHED_SP, stack);
	gocore_set(gc, g, GO_G_SCHED_PC, pc);
	for (uint64_t i = 0; i < bytes / 8; i++)
		gocore_add(&gc->more, &pc, 8);
	for (uint64_t i = 0; i < N; i++)
		gocore_add(&gc->more, &g, 8);
	gc->extra[0] = (struct gocore_extra){ stack, bytes, 0, PF_R };
	gc->extra[1] = (struct gocore_extra){ POINTERS_AT, N * 8, bytes, PF_R };
	gc->n_extra = 2;
	gocore_u64(gc, gc->allgs, POINTERS_AT);
	gocore_u64(gc, gc->allgs + 8, N);
	gocore_u64(gc, gc->allgs + 16, N);
	run_core(gc, groups, NULL);
	gocore_deinit(gc);
}

// ---- circles -------------------------------------------------------------------------------

/// A field of an object leads to an object.
static const struct circle {
	enum goprogram_object object;
	enum go_field field;
	enum goprogram_object to;
} circles[] = {
	{ GOPROGRAM_M0, GO_M_ALLLINK, GOPROGRAM_M1 },
	{ GOPROGRAM_M0, GO_M_ALLLINK, GOPROGRAM_M0 },
	{ GOPROGRAM_M1, GO_M_ALLLINK, GOPROGRAM_M1 },
	{ GOPROGRAM_PANIC, GO_PANIC_LINK, GOPROGRAM_PANIC },
	{ GOPROGRAM_SUDOG0, GO_SUDOG_NEXT, GOPROGRAM_SUDOG0 },
	{ GOPROGRAM_SUDOG1, GO_SUDOG_NEXT, GOPROGRAM_SUDOG0 },
	{ GOPROGRAM_SUDOG2, GO_SUDOG_NEXT, GOPROGRAM_SUDOG2 },
	{ GOPROGRAM_SUDOG1, GO_SUDOG_WAITLINK, GOPROGRAM_SUDOG1 },
	{ GOPROGRAM_SUDOG2, GO_SUDOG_WAITLINK, GOPROGRAM_SUDOG1 },
	{ GOPROGRAM_SUDOG3, GO_SUDOG_WAITLINK, GOPROGRAM_SUDOG3 },
	{ GOPROGRAM_SUDOG3, GO_SUDOG_PREV, GOPROGRAM_SUDOG3 },
	{ GOPROGRAM_SUDOG3, GO_SUDOG_NEXT, GOPROGRAM_SUDOG3 },
	{ GOPROGRAM_LOCK, GO_G_WAITING, GOPROGRAM_LOCK },
	{ GOPROGRAM_SLEEP, GO_G_LABELS, GOPROGRAM_SLEEP },
	{ GOPROGRAM_SLEEP, GO_G_TIMER, GOPROGRAM_SLEEP },
	{ GOPROGRAM_RUNNING, GO_G_PANIC, GOPROGRAM_RUNNING },
	{ GOPROGRAM_M1, GO_M_CURG, GOPROGRAM_M1 },
	{ GOPROGRAM_M1, GO_M_G0, GOPROGRAM_RUNNING },
	{ GOPROGRAM_M1, GO_M_GSIGNAL, GOPROGRAM_RUNNING },
	{ GOPROGRAM_MODULE, GO_MODULE_NEXT, GOPROGRAM_MODULE },
	{ GOPROGRAM_MAIN, GO_G_SCHED_SP, GOPROGRAM_MAIN },
	{ GOPROGRAM_CHAN0, GO_HCHAN_SENDQ_FIRST, GOPROGRAM_CHAN0 },
};

static void test_circles(void **state _unused_)
{
	static const int minors[] = { 13, 19, 23, 25, 27 };
	SKIP_IF_LIMITLESS();
	for (size_t i = 0; i < ARRAY_SIZE(circles); i++)
		for (size_t k = 0; k < ARRAY_SIZE(minors); k++) {
			struct goprogram p;
			const struct circle *c = &circles[i];
			goprogram_init(&p, minors[k], k & 1 ? EM_AARCH64 : EM_X86_64);
			gocore_set(&p.gc, p.objects[c->object], c->field, p.objects[c->to]);
			run_core(&p.gc, all, NULL);
			gocore_deinit(&p.gc);
		}
}

/// A queue that is a circle, and hundreds of goroutines that wait in it.
static void test_crowded_circle(void **state _unused_)
{
	enum { N = 300 };
	struct goprogram p;
	SKIP_IF_LIMITLESS();
	goprogram_init(&p, 22, EM_X86_64);
	struct gocore *gc = &p.gc;
	uint64_t array = gocore_alloc(gc, GOCORE_HEAP, N * 8);
	for (uint64_t i = 0; i < N; i++)
		gocore_u64(gc, array + i * 8, p.objects[GOPROGRAM_SELECT]);
	gocore_u64(gc, gc->allgs, array);
	gocore_u64(gc, gc->allgs + 8, N);
	gocore_u64(gc, gc->allgs + 16, N);
	gocore_set(gc, p.objects[GOPROGRAM_SUDOG1], GO_SUDOG_NEXT, p.objects[GOPROGRAM_SUDOG0]);
	gocore_set(gc, p.objects[GOPROGRAM_SUDOG2], GO_SUDOG_NEXT, p.objects[GOPROGRAM_SUDOG2]);
	gocore_set(gc, p.objects[GOPROGRAM_SUDOG1], GO_SUDOG_WAITLINK,
		   p.objects[GOPROGRAM_SUDOG1]); // a select of as many cases as are listed
	run_core(gc, all, NULL);
	gocore_deinit(gc);
}

/// Inlined calls in a circle, at every pc of every function of every stack.
static void test_inlined_circle(void **state _unused_)
{
	static const struct gocore_inlined list[] = {
		{ .name = "main.x", .file = "x.go", .line = 1, .parent = 0, .parent_pc = 4 },
	};
	static const struct gocore_step tree[] = { { 0, 64 } };
	struct goprogram p;
	SKIP_IF_LIMITLESS();
	goprogram_init(&p, 22, EM_X86_64);
	for (size_t i = 0; i < p.gc.n_funcs; i++)
		gocore_inline(&p.gc, &p.gc.funcs[i], list, 1, tree, 1);
	gocore_finish_functions(&p.gc);
	run_core(&p.gc, all, NULL);
	gocore_deinit(&p.gc);
}

// ---- tables --------------------------------------------------------------------------------

static void test_functab_disorder(void **state _unused_)
{
	uint64_t random = 21;
	SKIP_IF_LIMITLESS();
	for (int round = 0; round < 40; round++) {
		struct goprogram p;
		goprogram_init(&p, GO_MINOR_MIN + round % 17, round & 1 ? EM_AARCH64 : EM_X86_64);
		struct gocore *gc = &p.gc;
		uint64_t bytes = gc->layout.format.functab_entry_bytes;
		for (int i = 0; i < 1 + round; i++) {
			uint64_t at = gocore_rodata(GOCORE_FTAB) +
				      bytes * (1 + test_random(&random) % (gc->n_funcs - 1));
			uint64_t v = test_random(&random) % 0x900;
			if (bytes == 16)
				gocore_u64(gc, at, gocore_ranges[GOCORE_TEXT].start + v);
			else
				gocore_u32(gc, at, (uint32_t)v);
		}
		run_core(gc, all, NULL);
		gocore_deinit(gc);
	}
}

/// An executable in which every word looks like the beginning of a table of functions.
static void test_tables_everywhere(void **state _unused_)
{
	enum { WORDS = 1 << 20 };
	static const uint8_t magic[8] = { 0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8 };
	_cleanup_strbuf_ struct strbuf core = { 0 }, file = { 0 };
	struct gocore gc;
	SKIP_IF_LIMITLESS();
	gocore_init(&gc, 22, EM_X86_64);
	gocore_header(&gc, NULL);
	Elf64_Phdr phdr = { .p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_offset = 0x1000,
			    .p_vaddr = 0x10000000, .p_filesz = WORDS * 8, .p_memsz = WORDS * 8 };
	Elf64_Ehdr ehdr;
	memcpy(&ehdr, gc.parts[GOCORE_HEADER], sizeof(ehdr));
	ehdr.e_phnum = 1;
	memcpy(gc.parts[GOCORE_HEADER], &ehdr, sizeof(ehdr));
	memcpy(gc.parts[GOCORE_HEADER] + sizeof(ehdr), &phdr, sizeof(phdr));
	gocore_add(&file, gc.parts[GOCORE_HEADER], 0x1000);
	for (size_t i = 0; i < WORDS; i++)
		gocore_add(&file, magic, sizeof(magic));
	gc.no_files = true;
	gocore_core(&gc, &core);
	run_bytes(&core, all, &file, NULL);
	gocore_deinit(&gc);
}

/// Headers of an executable that claims to be as large as all memory.
static void test_huge_executable(void **state _unused_)
{
	static const Elf64_Phdr phdrs[] = {
		{ .p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_vaddr = 0x10000,
		  .p_filesz = 1ULL << 62, .p_memsz = 1ULL << 62 },
		{ .p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_vaddr = UINT64_MAX - 0xfffff,
		  .p_filesz = 0xfffff, .p_memsz = 0xfffff },
		{ .p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_vaddr = UINT64_MAX - 7,
		  .p_filesz = 5, .p_memsz = 5 },
		{ .p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_vaddr = UINT64_MAX - (256 << 20),
		  .p_filesz = 1ULL << 32, .p_memsz = 1ULL << 32 },
	};
	SKIP_IF_LIMITLESS();
	for (size_t i = 0; i < ARRAY_SIZE(phdrs); i++)
		for (int no_files = 0; no_files < 2; no_files++) {
			_cleanup_strbuf_ struct strbuf core = { 0 }, file = { 0 };
			struct goprogram p;
			goprogram_init(&p, 22, EM_X86_64);
			p.gc.no_files = no_files;
			p.gc.omit = 1U << GOCORE_DATA;
			gocore_core(&p.gc, &core);
			gocore_executable(&p.gc, false, &file);
			for (size_t k = 0; k < GOCORE_IMAGE_PARTS; k++)
				memcpy(file.data + sizeof(Elf64_Ehdr) + k * sizeof(Elf64_Phdr),
				       &phdrs[i], sizeof(phdrs[i]));
			run_bytes(&core, all, &file, NULL);
			gocore_deinit(&p.gc);
		}
}

// ---- texts ---------------------------------------------------------------------------------

static const char nasty[] = "\x1b[2J\x1b]0;x\x07\n\r\t\x08\"\\\xff\xfe\xc2\x9b\x7f\xed\xa0\x80 end";

static void nasty_string(struct gocore *gc, uint64_t addr)
{
	gocore_u64(gc, addr, gocore_bytes(gc, nasty, sizeof(nasty) - 1));
	gocore_u64(gc, addr + 8, sizeof(nasty) - 1);
}

/// Everything that has a name has a nasty one.
static void test_nasty_names(void **state _unused_)
{
	static const int minors[] = { 12, 16, 18, 22, 25, 27 };
	for (size_t k = 0; k < ARRAY_SIZE(minors); k++) {
		struct goprogram p;
		goprogram_init(&p, minors[k], EM_X86_64);
		struct gocore *gc = &p.gc;
		uint64_t names = gocore_rodata(GOCORE_NAMES), end = names + gc->name_bytes;
		// Names of the functions that the analysis looks for stay.
		for (uint64_t at = names; at < end; at++) {
			const char *name = (const char *)gocore_at(gc, at, 1);
			if (!strncmp(name, "main.", 5))
				gocore_put(gc, at + 5, "\x1b\n\xff", MIN(strlen(name + 5), 3UL));
		}
		gocore_put(gc, gocore_rodata(GOCORE_FILES), "\x1b[31m\n\xc2\x9b", 8);
		for (uint64_t i = 3; i < gc->layout.n_wait_reasons; i++)
			nasty_string(gc, gc->wait_reasons + i * 16);
		gocore_put(gc, gc->print_backlog, "fatal error: \x1b[31m\r\x9b x\n", 23);
		uint64_t labels = gocore_get(gc, p.objects[GOPROGRAM_LABELS]);
		if (minors[k] >= 24) {
			nasty_string(gc, labels);
			nasty_string(gc, labels + 16);
		} else {
			uint64_t bucket = gocore_get(gc, labels + 16);
			nasty_string(gc, bucket + 8 + 16);
			nasty_string(gc, bucket + 8 + 8 * 16 + 16);
		}
		uint64_t arg = p.objects[GOPROGRAM_PANIC] +
			       (uint64_t)gc->layout.offset[GO_PANIC_ARG];
		nasty_string(gc, gocore_get(gc, arg + 8));
		gocore_put(gc, p.objects[GOPROGRAM_TYPE] + 48 + (minors[k] <= 16 ? 3 : 2),
			   "\x1b.\n", 3);
		_cleanup_strbuf_ struct strbuf core = { 0 };
		gocore_core(gc, &core);
		// The names of the core itself, and the version, wherever they are.
		for (size_t i = 0; i + 9 < core.len; i++) {
			if (!memcmp(core.data + i, "/bin/prog", 9))
				memcpy(core.data + i + 1, "\x1b\n\xff\xc2\x9b\"\\", 7);
			if (!memcmp(core.data + i, "prog\tv1", 7) ||
			    !memcmp(core.data + i, "-race=t", 7))
				memcpy(core.data + i, "\x1b\r\x9b", 3);
		}
		run_bytes(&core, all, NULL, NULL);
		gocore_deinit(gc);
	}
}

/// The same for versions: "go1.22" with something behind it.
static void test_nasty_version(void **state _unused_)
{
	struct goprogram p;
	goprogram_init(&p, 22, EM_X86_64);
	uint64_t info = gocore_ranges[GOCORE_DATA].start;
	gocore_u8(&p.gc, info + 32, 12);
	gocore_put(&p.gc, info + 33, "go1.22\x1b[2J\n\xff\0", 13);
	run_core(&p.gc, all, NULL);
	gocore_u64(&p.gc, p.gc.allgs + 8, 0); // then it is in the warning
	run_core(&p.gc, all, NULL);
	gocore_deinit(&p.gc);
}

/// Lengths of 4 GB and more, wherever there is a length.
static void test_long_strings(void **state _unused_)
{
	static const uint64_t lengths[] = { 1ULL << 32, (1ULL << 32) - 1, 1ULL << 63, UINT64_MAX };
	SKIP_IF_LIMITLESS();
	for (size_t k = 0; k < ARRAY_SIZE(lengths); k++)
		for (int minor = 15; minor <= 27; minor += 3) {
			struct goprogram p;
			goprogram_init(&p, minor, EM_X86_64);
			struct gocore *gc = &p.gc;
			uint64_t arg = p.objects[GOPROGRAM_PANIC] +
				       (uint64_t)gc->layout.offset[GO_PANIC_ARG];
			uint64_t labels = gocore_get(gc, p.objects[GOPROGRAM_LABELS]);
			gocore_u64(gc, gocore_get(gc, arg + 8) + 8, lengths[k]);
			gocore_u64(gc, labels + 8, lengths[k]);
			for (uint64_t i = 3; i < gc->layout.n_wait_reasons; i++)
				gocore_u64(gc, gc->wait_reasons + i * 16 + 8, lengths[k]);
			gocore_put(gc, p.objects[GOPROGRAM_TYPE] + 49, "\xff\xff\xff\x7f", 4);
			static const enum go_field slices[] = {
				GO_MODULE_FUNCNAMETAB, GO_MODULE_CUTAB, GO_MODULE_FILETAB,
				GO_MODULE_PCTAB, GO_MODULE_PCLNTABLE,
			};
			for (size_t i = 0; i < ARRAY_SIZE(slices); i++)
				if (gc->layout.offset[slices[i]] != GO_NONE)
					gocore_u64(gc,
						   gc->module + 8 +
							   (uint64_t)gc->layout.offset[slices[i]],
						   lengths[k]);
			run_core(gc, all, NULL);
			gocore_deinit(gc);
		}
}

/// A million mapped files, a hundred thousand threads.
static void test_many_notes(void **state _unused_)
{
	enum { FILES = 1 << 20, THREADS = 100000 };
	_cleanup_strbuf_ struct strbuf desc = { 0 };
	struct goprogram p;
	SKIP_IF_LIMITLESS();
	goprogram_init(&p, 22, EM_X86_64);
	const uint64_t head[] = { FILES, 4096 };
	gocore_add(&desc, head, sizeof(head));
	for (uint64_t i = 0; i < FILES; i++) {
		const uint64_t line[] = { 0x7000000000 + i * 4096, 0x7000001000 + i * 4096, 0 };
		gocore_add(&desc, line, sizeof(line));
	}
	for (uint64_t i = 0; i < FILES; i++)
		gocore_add(&desc, i & 1 ? "a" : "b", 2);
	gocore_note(&p.gc.notes, "CORE", NT_FILE, desc.data, desc.len);
	uint8_t status[336] = { 0 };
	for (uint32_t i = 0; i < THREADS; i++) {
		uint32_t tid = 5000 + i;
		memcpy(status + 32, &tid, 4);
		gocore_note(&p.gc.notes, "CORE", NT_PRSTATUS, status, sizeof(status));
	}
	p.gc.no_files = true;
	run_core(&p.gc, all, NULL);
	gocore_deinit(&p.gc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ten_millions),   cmocka_unit_test(test_list_lies),
		cmocka_unit_test(test_many_stacks),    cmocka_unit_test(test_deep_stacks),
		cmocka_unit_test(test_circles),	       cmocka_unit_test(test_crowded_circle),
		cmocka_unit_test(test_inlined_circle), cmocka_unit_test(test_functab_disorder),
		cmocka_unit_test(test_tables_everywhere), cmocka_unit_test(test_huge_executable),
		cmocka_unit_test(test_nasty_names),    cmocka_unit_test(test_nasty_version),
		cmocka_unit_test(test_long_strings),   cmocka_unit_test(test_many_notes),
	};
	return cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
}
