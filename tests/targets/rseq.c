// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * DOC: Theory of operation
 *
 * Threads (argument, default 4) count in per-CPU counters without locks or atomics, in restartable
 * sequences: load, dawdle, add, store. The kernel must abort the sequence of a thread that is
 * preempted or stopped in it; one that goes on all the same overwrites what others counted
 * meanwhile. The sum of the counters must be the number of increments.
 *
 * Uses the area that glibc (2.35 or newer) registered. x86-64 only.
 */
#include "target.h"

#ifdef __x86_64__

#include <sys/rseq.h>

enum { RSEQ_MAX_CPUS = 1024, RSEQ_DAWDLE = 200 };

struct percpu {
	uint64_t count;
	uint8_t rest[56];
};

static struct percpu counters[RSEQ_MAX_CPUS];
static _Atomic uint64_t *rseq_done, *rseq_aborts;	// one pair per thread
static int nthreads = 4;
static _Atomic bool rseq_pause;
static _Atomic int rseq_paused;

static struct rseq *rseq_area(void)
{
	return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

// One more for counters[cpu], unless this thread is not, or does not stay, on that CPU.
__attribute__((noinline))
static bool rseq_count(struct rseq *rs, uint32_t cpu)
{
	__asm__ goto(
		".pushsection __rseq_cs, \"aw\"\n\t"
		".balign 32\n\t"
		"3: .long 0, 0\n\t"
		".quad 1f, 2f - 1f, 4f\n\t"
		".popsection\n\t"
		"leaq 3b(%%rip), %%rax\n\t"
		"movq %%rax, %c[cs](%[rs])\n\t"
		"1: cmpl %[cpu], %c[cpu_id](%[rs])\n\t"
		"jne 5f\n\t"
		"movq (%[counter]), %%rax\n\t"
		"movl %[dawdle], %%ecx\n\t"
		"6: pause; decl %%ecx; jnz 6b\n\t"
		"incq %%rax\n\t"
		"movq %%rax, (%[counter])\n\t"	// the commit: nothing of the section follows
		"2:\n\t"
		".pushsection __rseq_failure, \"ax\"\n\t"
		// ud1, so that disassemblers take the signature for its operand
		".byte 0x0f, 0xb9, 0x3d\n\t"
		".long %c[sig]\n\t"
		"4: jmp %l[aborted]\n\t"
		"5: jmp %l[aborted]\n\t"
		".popsection\n\t"
		:
		: [rs] "r" (rs), [cpu] "r" (cpu), [counter] "r" (&counters[cpu].count),
		  [cs] "i" (offsetof(struct rseq, rseq_cs)),
		  [cpu_id] "i" (offsetof(struct rseq, cpu_id)),
		  [dawdle] "i" (RSEQ_DAWDLE), [sig] "i" (RSEQ_SIG)
		: "memory", "cc", "rax", "rcx"
		: aborted);
	return true;
aborted:
	return false;
}

static void rest_while_paused(void)
{
	if (!rseq_pause)
		return;
	rseq_paused++;
	while (rseq_pause)
		target_sleep_ms(1);
	rseq_paused--;
}

static void *rseq_main(void *arg)
{
	size_t i = (uintptr_t)arg;
	struct rseq *rs = rseq_area();

	pthread_setname_np(pthread_self(), "counter");
	for (;;) {
		rest_while_paused();
		if (rseq_count(rs, *(volatile uint32_t *)&rs->cpu_id_start))
			rseq_done[i]++;
		else
			rseq_aborts[i]++;
	}
	return NULL;
}

static void rseq_check(void)
{
	static uint64_t last;
	uint64_t counted = 0, done = 0, aborts = 0;

	rseq_pause = true;
	while (rseq_paused < nthreads)
		target_sleep_ms(1);
	for (int i = 0; i < RSEQ_MAX_CPUS; i++)
		counted += counters[i].count;
	for (int i = 0; i < nthreads; i++) {
		done += rseq_done[i];
		aborts += rseq_aborts[i];
	}
	if (counted != done)
		target_fail("%" PRIu64 " increments, %" PRIu64 " counted", done, counted);
	if (done == last)
		target_fail("nothing was counted since the last check");
	last = done;
	rseq_pause = false;
	while (rseq_paused)
		target_sleep_ms(1);
	printf("note: done=%" PRIu64 " aborts=%" PRIu64 "\n", done, aborts);
}

int main(int argc, char **argv)
{
	static const struct target_ops ops = { .check = rseq_check };

	target_init();
	if (argc > 1)
		nthreads = atoi(argv[1]);
	if (!__rseq_size || (int32_t)rseq_area()->cpu_id < 0)
		target_die(77, "glibc has not registered rseq");
	if (nthreads < 1 || sysconf(_SC_NPROCESSORS_CONF) > RSEQ_MAX_CPUS)
		target_die(1, "wrong number of threads, or too many CPUs");
	rseq_done = calloc(nthreads, sizeof(*rseq_done));
	rseq_aborts = calloc(nthreads, sizeof(*rseq_aborts));
	for (int i = 0; i < nthreads; i++)
		target_spawn(rseq_main, (void *)(uintptr_t)i);
	target_sleep_ms(50);
	target_ready(0, 0, "threads=%d counters=%p stride=%zu", nthreads + 1, (void *)counters,
		     sizeof(counters[0]));
	return target_serve(&ops);
}

#else

int main(void)
{
	target_die(77, "rseq: written for x86-64 only");
}

#endif
