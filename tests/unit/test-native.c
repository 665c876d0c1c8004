// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <ucontext.h>

#include "analyzer/native.h"
#include "common/fd.h"

/*
 * This program walks its own stack, as if it were a core, and compares with the unwinder of its
 * compiler. Then it walks stacks for which there are no tables.
 */

enum { FRAMES_MAX = 64, MAPPED_MAX = 4096, AUXV_BYTES = 4096 };

struct self {
	struct core core;
	struct images images;
	struct core_mapped mapped[MAPPED_MAX];
	char *maps;
	uint8_t auxv[AUXV_BYTES];
	int fd;
	struct source *source;
	struct native *native;
	const struct native_machine *machine;
};

static int open_file(void *userdata _unused_, const char *name,
		     const struct elf_build_id *id _unused_, bool is_program _unused_)
{
	int fd = *name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
	return fd < 0 ? -ENOENT : fd;
}

static int open_nothing(void *userdata _unused_, const char *name _unused_,
			const struct elf_build_id *id _unused_, bool is_program _unused_)
{
	return -ENOENT;
}

static const struct image_opener files = { open_file, NULL }, nothing = { open_nothing, NULL };

static size_t read_all(const char *path, void *buf, size_t max)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	for (ssize_t r; fd >= 0 && n < max && (r = read(fd, (char *)buf + n, max - n)) > 0;)
		n += (size_t)r;
	return n;
}

/// Lines of files, and all of it as memory.
static void read_maps(struct self *s)
{
	enum { MAPS_BYTES = 1 << 20 };
	s->maps = calloc(1, MAPS_BYTES);
	assert_non_null(s->maps);
	s->maps[read_all("/proc/self/maps", s->maps, MAPS_BYTES - 1)] = '\0';
	for (char *save = NULL, *line = strtok_r(s->maps, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		struct core_mapped m = { 0 };
		char flags[8];
		int name = 0;
		if (sscanf(line, "%lx-%lx %7s %lx %*s %*s %n", &m.start, &m.end, flags, &m.offset,
			   &name) < 4)
			continue;
		m.name = line + name;
		if (*m.name == '/' && s->core.n_mapped < MAPPED_MAX)
			s->mapped[s->core.n_mapped++] = m;
		const struct mem_region r = { .start = m.start,
					      .end = m.end,
					      .offset = m.start,
					      .source = s->source,
					      .flags = flags[2] == 'x' ? MEM_EXEC : MEM_READ };
		assert_int_equal(memory_add(&s->core.memory, MEM_CORE, &r), 0);
	}
	s->core.mapped = s->mapped;
}

static void setup(struct self *s, const struct image_opener *opener)
{
	Elf64_Ehdr ehdr;
	memset(s, 0, sizeof(*s));
	assert_int_equal(read_all("/proc/self/exe", &ehdr, sizeof(ehdr)), sizeof(ehdr));
	s->core.machine = ehdr.e_machine;
	s->machine = ehdr.e_machine == EM_AARCH64 ? &native_aarch64 : &native_x86_64;
	s->fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	assert_true(s->fd >= 0);
	assert_ok(source_create(s->fd, SOURCE_MEMORY, &s->source));
	s->core.auxv = span_of(s->auxv, read_all("/proc/self/auxv", s->auxv, AUXV_BYTES));
	read_maps(s);
	assert_ok(images_init(&s->images, &s->core));
	s->native = native_create(&s->core, &s->images, opener);
	assert_non_null(s->native);
}

static void teardown(struct self *s)
{
	native_destroy(s->native);
	images_deinit(&s->images);
	memory_deinit(&s->core.memory);
	source_destroy(s->source);
	(void)close(s->fd);
	free(s->maps);
}

/// The registers of a ucontext_t, which the C library lays out as the kernel does.
static void take(struct self *s, const ucontext_t *context, struct cfi_regs *ret)
{
	uint64_t info = s->machine == &native_aarch64 ? 128 : 0;
	assert_true(s->machine->signal_regs(&s->core.memory, (uintptr_t)context - info, ret));
}

static struct self self;
static size_t n_frames, n_signals;
static bool to_the_top;

/// Walks from here to the top, and compares.
__attribute__((noinline)) static void check_here(void)
{
	void *theirs[FRAMES_MAX];
	ucontext_t context;
	setup(&self, &files);
	int n = backtrace(theirs, FRAMES_MAX);
	assert_int_equal(getcontext(&context), 0);
	struct native_walk walk = { 0 };
	take(&self, &context, &walk.regs);
	// Sanitizers have a function of their own between.
	int here = 0;
	while (here < n && (uintptr_t)theirs[here] - (uintptr_t)check_here > 4096)
		here++;
	enum native_result result = NATIVE_CALLER;
	for (n_frames = 1; result == NATIVE_CALLER; n_frames++) {
		result = native_step(self.native, &walk);
		if (result != NATIVE_CALLER || here + (int)n_frames >= n)
			break;
		assert_true(walk.regs.pc == (uintptr_t)theirs[here + (int)n_frames]);
		assert_false(walk.guessed);
	}
	assert_int_equal(here + (int)n_frames, n);
	to_the_top = result == NATIVE_TOP;
	n_signals = walk.signals;
}

static void test_own_stack(void **state _unused_)
{
	check_here();
	teardown(&self);
	assert_true(n_frames > 3 && to_the_top);
}

static int compare(const void *a, const void *b)
{
	if (!self.native)
		check_here();
	return *(const int *)a - *(const int *)b;
}

static void test_library(void **state _unused_)
{
	int numbers[] = { 2, 1 };
	self.native = NULL;
	qsort(numbers, 2, sizeof(*numbers), compare);
	teardown(&self);
	assert_true(to_the_top);
}

static void on_signal(int number _unused_)
{
	check_here();
}

static void test_signal(void **state _unused_)
{
	struct sigaction action = { .sa_handler = on_signal }, old;
	assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
	(void)raise(SIGUSR1);
	assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);
	teardown(&self);
	assert_int_equal(n_signals, 1);
	assert_true(to_the_top);
}

/// With no file, tables and names are those that are loaded.
static void test_no_files(void **state _unused_)
{
	struct self s;
	ucontext_t context;
	struct native_walk walk = { 0 };
	volatile int n = 0; // what getcontext() could bring back
	setup(&s, &nothing);
	assert_int_equal(getcontext(&context), 0);
	take(&s, &context, &walk.regs);
	enum native_result result;
	while ((result = native_step(s.native, &walk)) == NATIVE_CALLER && n < FRAMES_MAX)
		n++;
	assert_int_equal(result, NATIVE_TOP);
	struct native_place place = native_place(s.native, (uintptr_t)dlsym(NULL, "qsort"), true);
	assert_string_equal(place.name ? place.name : "", "qsort");
	teardown(&s);
}

static void test_names(void **state _unused_)
{
	struct self s;
	setup(&s, &files);
	uint64_t here = (uintptr_t)check_here;
	struct native_place place = native_place(s.native, here + 1, true);
	assert_string_equal(place.name, "check_here");
	assert_true(place.start == here);
	assert_non_null(strstr(place.object, "test-native"));
	place = native_place(s.native, here, false); // a return address: the function before
	assert_true(!place.name || strcmp(place.name, "check_here") != 0);
	// Where nothing is, where data is, and again.
	for (int i = 0; i < 2; i++) {
		static const uint64_t odd[] = { 0, 1, 4096, UINT64_MAX };
		for (size_t j = 0; j < ARRAY_SIZE(odd); j++) {
			place = native_place(s.native, odd[j], i);
			assert_true(!place.name && !place.object && !place.start);
		}
		place = native_place(s.native, (uintptr_t)&self, true);
		assert_null(place.name);
	}
	uint64_t vdso;
	if (core_auxv(&s.core, AT_SYSINFO_EHDR, &vdso))
		assert_string_equal(native_place(s.native, vdso, true).object, "[vdso]");
	teardown(&s);
}

// ---- without tables ------------------------------------------------------------------------

/// Frames made by hand, of code that no table knows: @next is the saved frame pointer, @ret the
/// return address.
static enum native_result guess(uint64_t sp_below, uint64_t next, uint64_t ret,
				struct native_walk *walk)
{
	static uint64_t stack[64];
	struct self s;
	stack[8] = next ? (uintptr_t)stack + next : 0;
	stack[9] = ret;
	setup(&s, &files); // anew, since memory that was read once is remembered
	uint8_t fp = s.machine->cfi.fp, sp = s.machine->cfi.sp;
	*walk = (struct native_walk){ .regs.pc = (uintptr_t)stack + 300, .exact = true };
	cfi_set(&walk->regs, fp, (uintptr_t)&stack[8]);
	cfi_set(&walk->regs, sp, (uintptr_t)&stack[8] - sp_below);
	enum native_result result = native_step(s.native, walk);
	teardown(&s);
	return result;
}

/// An address behind a call, in code.
__attribute__((noinline)) static uint64_t behind_call(void)
{
	return (uintptr_t)__builtin_return_address(0);
}

static void test_frame_pointers(void **state _unused_)
{
	struct native_walk walk;
	uint64_t ret = behind_call();
	assert_int_equal(guess(32, 128, ret, &walk), NATIVE_CALLER);
	assert_true(walk.guessed && !walk.exact && walk.regs.pc == ret);
	assert_int_equal(guess(32, 0, ret, &walk), NATIVE_CALLER); // the last one
	// Below the stack pointer; too far above it; back down; not behind a call; no code.
	assert_int_equal(guess((uint64_t)-16, 128, ret, &walk), NATIVE_NO_TABLE);
	assert_int_equal(guess(NATIVE_FRAME_BYTES_MAX + 8, 128, ret, &walk), NATIVE_NO_TABLE);
	assert_int_equal(guess(32, 8, ret, &walk), NATIVE_NO_TABLE);
	assert_int_equal(guess(32, 129, ret, &walk), NATIVE_NO_TABLE);
	assert_int_equal(guess(32, 128, (uintptr_t)behind_call, &walk), NATIVE_NO_TABLE);
	assert_int_equal(guess(32, 128, (uintptr_t)&self, &walk), NATIVE_NO_TABLE);
	assert_int_equal(guess(32, 128, 0, &walk), NATIVE_NO_TABLE);
	assert_false(walk.guessed);
}

/// A function pointer to nothing was called.
static void test_call_of_nothing(void **state _unused_)
{
	struct self s;
	uint64_t stack[4] = { 0 };
	struct native_walk walk = { .exact = true };
	setup(&s, &files);
	uint64_t ret = stack[0] = behind_call();
	cfi_set(&walk.regs, s.machine->cfi.sp, (uintptr_t)stack);
	if (s.machine->cfi.link < s.machine->cfi.n)
		cfi_set(&walk.regs, s.machine->cfi.link, ret);
	assert_int_equal(native_step(s.native, &walk), NATIVE_CALLER);
	assert_true(walk.regs.pc == ret && !walk.exact && !walk.guessed);
	teardown(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_stack),  cmocka_unit_test(test_library),
		cmocka_unit_test(test_signal),	   cmocka_unit_test(test_no_files),
		cmocka_unit_test(test_names),	   cmocka_unit_test(test_frame_pointers),
		cmocka_unit_test(test_call_of_nothing),
	};
	return cmocka_run_group_tests_name("native", tests, NULL, NULL);
}
