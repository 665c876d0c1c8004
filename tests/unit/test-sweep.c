// SPDX-License-Identifier: LGPL-2.1-or-later
#include <inttypes.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "common/fd.h"
#include "ptrace/sweep.h"
#include "ptrace/thunk.h"
#include "test.h"

// A child of ours that has a thunk behind its vDSO, and what keeps that from being erased.

enum { STACK_BYTES = 2 * TEST_PAGE };

struct scene {
	struct memsource source;
	pid_t pid;
	uint64_t sp;
	uint64_t cave; ///< where the next thunk goes
	struct tracee tracee;
	struct snap_mapping stack, vdso; ///< some of the one, and the other
	struct snap_mapping mappings[2];
	struct snapshot snap;
};

static int source_scan(struct memsource *src _unused_, const struct snap_mapping *map _unused_,
		       uint64_t start, uint64_t end, struct mem_range *ret, size_t max _unused_)
{
	*ret = (struct mem_range){ start, end, MEM_DATA };
	return 1;
}

static ssize_t source_read(struct memsource *src, const struct snap_mapping *map,
			   enum mem_kind kind _unused_, uint64_t addr, void *buf, size_t len)
{
	const struct scene *s = (const struct scene *)src;
	struct iovec to = { buf, len }, from = { (void *)(uintptr_t)addr, len };
	assert_true(map->start <= addr && addr + len <= map->end);
	return process_vm_readv(s->pid, &to, 1, &from, 1, 0);
}

static const struct memsource_ops ops = { .scan = source_scan, .read = source_read };

/// Our own vDSO, and so the child's.
static bool find_vdso(struct snap_mapping *ret)
{
	char line[512];
	bool found = false;
	FILE *f = fopen("/proc/self/maps", "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, "[vdso]") &&
			sscanf(line, "%" SCNx64 "-%" SCNx64, &ret->start, &ret->end) == 2;
	if (f)
		(void)fclose(f);
	ret->flags = SNAP_MAP_SPECIAL | SNAP_MAP_EXEC | SNAP_MAP_READ;
	return found;
}

static void put_thunk(const struct scene *s)
{
	const struct arch_call call = { .kind = ARCH_THUNK_CALL, .nr = SYS_getppid };
	uint8_t code[ARCH_THUNK_BYTES];
	struct arch_regs entry;
	arch_thunk(&s->tracee.regs, s->cave, &call, code, &entry);
	assert_true(thunk_poke(s->pid, s->cave, code, sizeof(code)));
}

/// With nothing on its stack but zeros: what it has from us may have such addresses.
static void sleep_for_ever(void)
{
	volatile char room[STACK_BYTES + TEST_PAGE];
	for (size_t i = 0; i < sizeof(room); i++)
		room[i] = 0;
	for (;;)
		(void)pause();
}

static struct scene *begin(void)
{
	struct scene *s = calloc(1, sizeof(*s));
	int status;
	assert_ptr_not_equal(s, NULL);
	s->source.ops = &ops;
	if (!find_vdso(&s->vdso)) {
		free(s);
		skip_test("there is no vDSO");
	}
	s->pid = fork();
	if (!s->pid)
		sleep_for_ever();
	(void)usleep(10000);
	assert_int_equal(ptrace(PTRACE_SEIZE, s->pid, NULL, (void *)(uintptr_t)PTRACE_O_EXITKILL),
			 0);
	assert_int_equal(ptrace(PTRACE_INTERRUPT, s->pid, NULL, NULL), 0);
	assert_int_equal(waitpid(s->pid, &status, __WALL), s->pid);
	s->tracee = (struct tracee){ .tid = s->pid, .state = TRACEE_STOPPED, .regs_known = true };
	assert_int_equal(arch_get_regs(s->pid, &s->tracee.regs), 0);
	s->sp = arch_sp(&s->tracee.regs);
	s->stack.start = ALIGN_DOWN(s->sp, (uint64_t)TEST_PAGE);
	s->stack.end = s->stack.start + STACK_BYTES;
	s->stack.flags = SNAP_MAP_READ | SNAP_MAP_WRITE;
	assert_int_equal(strbuf_add(&s->snap.names, "\0[vdso]", sizeof("\0[vdso]")), 0);
	s->vdso.name = 1;
	bool above = s->vdso.start > s->stack.start; // where it is depends on the kernel
	assert_true(above ? s->stack.end <= s->vdso.start : s->vdso.end <= s->stack.start);
	s->mappings[above] = s->vdso;
	s->mappings[!above] = s->stack;
	s->snap.mappings = s->mappings;
	s->snap.n_mappings = 2;
	s->cave = s->vdso.end - ARCH_THUNK_BYTES;
	return s;
}

static void end(struct scene *s)
{
	assert_int_equal(kill(s->pid, SIGKILL), 0);
	assert_int_equal(waitpid(s->pid, NULL, __WALL), s->pid);
	strbuf_deinit(&s->snap.names);
	free(s);
}

static void poke(const struct scene *s, uint64_t addr, uint64_t value)
{
	assert_int_equal(ptrace(PTRACE_POKEDATA, s->pid, (void *)(uintptr_t)addr,
				(void *)(uintptr_t)value),
			 0);
}

static bool finds(struct scene *s)
{
	return sweep_finds(&s->snap, &s->source);
}

static bool sweeps(struct scene *s)
{
	return sweep(&s->snap, &s->source, &s->tracee, 1);
}

static void test_erases(void **state _unused_)
{
	struct scene *s = begin();
	assert_false(finds(s));
	assert_true(sweeps(s)); // nothing
	put_thunk(s);
	s->cave -= ARCH_THUNK_BYTES;
	put_thunk(s);
	assert_true(finds(s));
	assert_true(sweeps(s));
	assert_false(finds(s));
	end(s);
}

/// An address in any of the places, on a stack that is looked at from its top to its end.
static void test_stack(void **state _unused_)
{
	struct scene *s = begin();
	const uint64_t bottom = s->vdso.end - (uint64_t)THUNK_PLACES * ARCH_THUNK_BYTES;
	const uint64_t last = s->stack.end - 8, held = ALIGN_UP(s->sp, (uint64_t)8) + 256;
	const uint64_t bad[] = { s->cave, s->cave + 40, bottom, s->vdso.end - 1 };
	const uint64_t good[] = { bottom - 1, s->vdso.end, s->vdso.start };
	put_thunk(s);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		poke(s, i % 2 ? last : held, bad[i]);
		assert_false(sweeps(s));
		assert_true(finds(s));
		poke(s, i % 2 ? last : held, 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		poke(s, last, good[i]);
		assert_true(sweeps(s));
		put_thunk(s);
	}
	// What lies beyond the top was somebody's once.
	poke(s, ALIGN_DOWN(s->sp, (uint64_t)8) - 16, s->cave);
	assert_true(sweeps(s));
	end(s);
}

/// Of whom nothing is known, or who is in it.
static void test_threads(void **state _unused_)
{
	struct scene *s = begin();
	struct tracee right = s->tracee;
	struct arch_regs entry;
	const struct arch_call call = { .kind = ARCH_THUNK_CALL, .nr = SYS_getppid };
	uint8_t code[ARCH_THUNK_BYTES];
	put_thunk(s);
	s->tracee.state = TRACEE_STUCK;
	assert_false(sweeps(s));
	s->tracee.state = TRACEE_GONE; // and nobody else to do it
	assert_false(sweeps(s));
	s->tracee = right;
	s->tracee.regs_known = false;
	assert_false(sweeps(s));
	s->tracee = right;
	arch_thunk(&right.regs, s->cave, &call, code, &entry);
	s->tracee.regs = entry; // its program counter is in it
	assert_false(sweeps(s));
	s->tracee = right;
	s->snap.mappings = &s->vdso; // its stack is nowhere
	s->snap.n_mappings = 1;
	assert_false(sweeps(s));
	s->snap.mappings = s->mappings;
	s->snap.n_mappings = 2;
	assert_true(finds(s));
	assert_true(sweeps(s));
	end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_erases),
		cmocka_unit_test(test_stack),
		cmocka_unit_test(test_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
