// SPDX-License-Identifier: LGPL-2.1-or-later
// Known content in every ordinary kind of memory, three blocked threads below known calls, and a
// thread that spins with known values in all registers and notices when one of them changes.
#include "target.h"

#include <linux/futex.h>

enum {
	SEED_DATA = 1, SEED_BSS, SEED_HEAP, SEED_STACK, SEED_ANON,
	AREA_BYTES = 5 * 4096,
	TLS_MARK = 0x71500000,
};

static uint64_t simple_data[AREA_BYTES / 8] = { 1 };	// the 1 keeps it out of .bss
static uint64_t simple_bss[AREA_BYTES / 8];
static uint64_t *simple_heap, *simple_anon;
static _Thread_local uint64_t simple_tls = TLS_MARK;

const char simple_string[] = "procsnap simple target";
int simple_int = 42;
double simple_double = 2.5;

/* ---- threads below level1..level5 ---- */

static int simple_futex = 1, simple_pipe[2];

static long block_futex(void)
{
	return syscall(SYS_futex, &simple_futex, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
}

static long block_read(void)
{
	char c;

	return read(simple_pipe[0], &c, 1);
}

static long block_sleep(void)
{
	struct timespec ts = { .tv_sec = 3600 };

	return syscall(SYS_nanosleep, &ts, NULL);
}

static long (*const simple_blocks[])(void) = { block_futex, block_read, block_sleep };

// The empty asm after each call keeps the frame (no tail call) and its arguments alive.
#ifdef __clang__
#define NOCLONE noinline
#else
#define NOCLONE noinline, noclone
#endif
#define LEVEL __attribute__((NOCLONE)) static long
#define KEEP(a, b) __asm__ volatile("" : : "g"(a), "g"(b) : "memory")

LEVEL level5(int which, const char *word)
{
	long result = simple_blocks[which]();

	KEEP(which, word);
	return result;
}

LEVEL level4(int which, double half)
{
	long result = level5(which, "five");

	KEEP(which, half);
	return result;
}

LEVEL level3(int which, const struct target_thread *t)
{
	long result = level4(which, 0.5 + which);

	KEEP(which, t);
	return result;
}

LEVEL level2(int which, const struct target_thread *t)
{
	long result = level3(which, t);

	KEEP(which, t);
	return result;
}

LEVEL level1(struct target_thread *t)
{
	long result;

	simple_tls = TLS_MARK + t->value;
	result = level2(t->value, t);
	if (simple_tls != TLS_MARK + t->value)
		errno = EUCLEAN;
	KEEP(t, result);
	return result;
}

static struct target_thread simple_threads[] = {
	{ .name = "chain-futex", .run = level1, .value = 0 },
	{ .name = "chain-read", .run = level1, .value = 1 },
	{ .name = "chain-sleep", .run = level1, .value = 2 },
};

/* ---- the register thread ---- */

#ifdef __x86_64__
enum { NGPR = 12, NVEC = 16 };
#else
enum { NGPR = 4, NVEC = 8 };
#endif

enum {
	// CF PF AF ZF SF DF OF, all arithmetic flags and the direction flag
	REGS_FLAGS = 0xcd5,
	REGS_X87_CW = 0x0b7f,		// round up, all masked
	REGS_MXCSR = 0xff80,		// round to zero, flush to zero, all masked
	REGS_SPINS = 4000000,		// a few ms
};

// The layout is known to regs_spin().
struct regs_file {
	uint8_t vec[16][32];		// 0
	uint8_t x87[8][16];		// 512: 10 bytes used, in st0..st7 order
	uint64_t gpr[12];		// 640
	uint64_t flags;			// 736
	uint32_t mxcsr;			// 744
	uint16_t x87_cw, pad;		// 748
	uint32_t have_avx;		// 752
};

/**
 * regs_spin() - load all registers from in, count down without changing any, store them to out
 *
 * In the loop nothing but the counter (rcx) changes, not even the flags: lea and jrcxz.
 * rdi and rsi point to the structures. The values of the others are in the README.
 */
long regs_spin(const struct regs_file *in, struct regs_file *out, long spins);

#define EACH16(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11) x(12) x(13) x(14) \
		  x(15)
#define EACH8(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7)
#define X87_LOAD(n) "fldt 512+16*(7-" #n ")(" IN ")\n\t"
#define X87_STORE(n) "fstpt 512+16*" #n "(" OUT ")\n\t"
#define YMM_LOAD(n) "vmovdqu 32*" #n "(" IN "), %ymm" #n "\n\t"
#define YMM_STORE(n) "vmovdqu %ymm" #n ", 32*" #n "(" OUT ")\n\t"
#define XMM_LOAD(n) "movdqu 32*" #n "(" IN "), %xmm" #n "\n\t"
#define XMM_STORE(n) "movdqu %xmm" #n ", 32*" #n "(" OUT ")\n\t"

#ifdef __x86_64__
#define IN "%rdi"
#define OUT "%rsi"
#define EACH_VEC EACH16
#define GPR_ORDER(x) x(rax, 0) x(rbx, 1) x(rdx, 2) x(rbp, 3) x(r8, 4) x(r9, 5) x(r10, 6) x(r11, 7) \
		     x(r12, 8) x(r13, 9) x(r14, 10) x(r15, 11)
#define GPR_LOAD(r, n) "movq 640+8*" #n "(%rdi), %" #r "\n\t"
#define GPR_STORE(r, n) "movq %" #r ", 640+8*" #n "(%rsi)\n\t"
#define PROLOGUE "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n\t" \
		 ".cfi_adjust_cfa_offset 48; .cfi_rel_offset rbp, 32; mov %rdx, %rcx\n\t"
#define EPILOGUE "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n\t"
#define RESET_FPU "fninit; pushq $0x1f80; ldmxcsr (%rsp); pop %rax\n\t"
#define PUSH_FLAGS "pushq 736(%rdi); popfq\n\t"
#define SPIN "1: jrcxz 2f; lea -1(%rcx), %rcx; jmp 1b; 2:\n\t"
#define POP_FLAGS "pushfq; popq 736(%rsi); cld\n\t"
#else
#define IN "%edi"
#define OUT "%esi"
#define EACH_VEC EACH8
#define GPR_ORDER(x) x(eax, 0) x(ebx, 1) x(edx, 2) x(ebp, 3)
#define GPR_LOAD(r, n) "movl 640+8*" #n "(%edi), %" #r "\n\t"
#define GPR_STORE(r, n) "movl %" #r ", 640+8*" #n "(%esi)\n\t"
#define PROLOGUE "push %ebx; push %ebp; push %esi; push %edi\n\t" \
		 ".cfi_adjust_cfa_offset 16; .cfi_rel_offset ebp, 8\n\t" \
		 "mov 20(%esp), %edi; mov 24(%esp), %esi; mov 28(%esp), %ecx\n\t"
#define EPILOGUE "pop %edi; pop %esi; pop %ebp; pop %ebx; ret\n\t"
#define RESET_FPU "fninit; pushl $0x1f80; ldmxcsr (%esp); pop %eax\n\t"
#define PUSH_FLAGS "pushl 736(%edi); popfl\n\t"
#define SPIN "1: jecxz 2f; lea -1(%ecx), %ecx; jmp 1b; 2:\n\t"
#define POP_FLAGS "pushfl; popl 736(%esi); cld\n\t"
#endif

__attribute__((naked, NOCLONE, used))
long regs_spin(__attribute__((unused)) const struct regs_file *in,
	       __attribute__((unused)) struct regs_file *out, __attribute__((unused)) long spins)
{
	__asm__ volatile(PROLOGUE
		EACH8(X87_LOAD) "fldcw 748(" IN "); ldmxcsr 744(" IN ")\n\t"
		"cmpl $0, 752(" IN "); je 3f\n\t"
		EACH_VEC(YMM_LOAD) "jmp 4f; 3:\n\t"
		EACH_VEC(XMM_LOAD) "4:\n\t"
		GPR_ORDER(GPR_LOAD)
		PUSH_FLAGS
		".globl regs_spin_loop; regs_spin_loop:\n\t"
		SPIN
		".globl regs_spin_end; regs_spin_end:\n\t"
		POP_FLAGS
		GPR_ORDER(GPR_STORE)
		"fnstcw 748(" OUT "); stmxcsr 744(" OUT ")\n\t"
		EACH8(X87_STORE) RESET_FPU
		"cmpl $0, 752(" IN "); je 5f\n\t"
		EACH_VEC(YMM_STORE) "vzeroupper; jmp 6f; 5:\n\t"
		EACH_VEC(XMM_STORE) "6:\n\t"
		EPILOGUE);
}

static struct regs_file regs_in, regs_out;
static _Atomic unsigned long regs_rounds, regs_violations;
static char regs_first[64];
static _Atomic pid_t regs_tid;
static unsigned long regs_rounds_seen;

static void regs_set_up(void)
{
	for (int n = 0; n < 16; n++)
		for (int i = 0; i < 32; i++)
			regs_in.vec[n][i] = n << 4 | i % 16;
	for (int n = 0; n < 8; n++) {
		// A normal number: integer bit set, exponent 2^n, the mantissa tells which.
		memcpy(regs_in.x87[n], &(uint64_t) { UINT64_C(0x8000cafe00000000) + n }, 8);
		memcpy(regs_in.x87[n] + 8, &(uint16_t) { 0x3fff + n }, 2);
	}
	for (int n = 0; n < NGPR; n++)
		regs_in.gpr[n] = (uintptr_t)(UINT64_C(0x0101010101010101) * (0xa0 + n));
	regs_in.flags = REGS_FLAGS;
	regs_in.mxcsr = REGS_MXCSR;
	regs_in.x87_cw = REGS_X87_CW;
	regs_in.have_avx = __builtin_cpu_supports("avx") != 0;
}

static void regs_violation(const char *what, int n)
{
	if (regs_violations++ == 0)
		snprintf(regs_first, sizeof(regs_first), "%s%d", what, n);
}

static void regs_compare(void)
{
	size_t vec_bytes = regs_in.have_avx ? 32 : 16;

	for (int n = 0; n < NVEC; n++)
		if (memcmp(regs_in.vec[n], regs_out.vec[n], vec_bytes))
			regs_violation("vector register ", n);
	for (int n = 0; n < 8; n++)
		if (memcmp(regs_in.x87[n], regs_out.x87[n], 10))
			regs_violation("st", n);
	for (int n = 0; n < NGPR; n++)
		if (regs_in.gpr[n] != regs_out.gpr[n])
			regs_violation("general register ", n);
	if ((regs_out.flags & REGS_FLAGS) != REGS_FLAGS)
		regs_violation("flags ", regs_out.flags);
	if (regs_out.mxcsr != regs_in.mxcsr)
		regs_violation("mxcsr ", regs_out.mxcsr);
	if (regs_out.x87_cw != regs_in.x87_cw)
		regs_violation("x87 control word ", regs_out.x87_cw);
}

static void *regs_main(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "regs");
	regs_tid = target_gettid();
	for (;;) {
		regs_spin(&regs_in, &regs_out, REGS_SPINS);
		regs_compare();
		regs_rounds++;
	}
	return NULL;
}

/* ---- main ---- */

static bool simple_spins = true;
static uint64_t *simple_stack;

static void simple_check(void)
{
	target_verify("data", simple_data, AREA_BYTES, SEED_DATA);
	target_verify("bss", simple_bss, AREA_BYTES, SEED_BSS);
	target_verify("heap", simple_heap, AREA_BYTES, SEED_HEAP);
	target_verify("stack", simple_stack, AREA_BYTES, SEED_STACK);
	target_verify("anon", simple_anon, AREA_BYTES, SEED_ANON);
	for (size_t i = 0; i < TARGET_ARRAY_SIZE(simple_threads); i++)
		target_check_thread(&simple_threads[i]);
	if (simple_tls != TLS_MARK || simple_int != 42 || simple_double != 2.5)
		target_fail("a variable changed");
	if (!simple_spins)
		return;
	if (regs_violations)
		target_fail("registers changed %lu times, first %s", regs_violations, regs_first);
	regs_violations = 0;
	for (int i = 0; i < 1000 && regs_rounds == regs_rounds_seen; i++)
		target_sleep_ms(10);
	if (regs_rounds == regs_rounds_seen)
		target_fail("the register thread does not run");
	regs_rounds_seen = regs_rounds;
}

static void simple_fill(void)
{
	simple_heap = malloc(AREA_BYTES);
	simple_anon = target_mmap(AREA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	target_fill(simple_data, AREA_BYTES, SEED_DATA);
	target_fill(simple_bss, AREA_BYTES, SEED_BSS);
	target_fill(simple_heap, AREA_BYTES, SEED_HEAP);
	target_fill(simple_stack, AREA_BYTES, SEED_STACK);
	target_fill(simple_anon, AREA_BYTES, SEED_ANON);
}

static void simple_start_threads(void)
{
	for (size_t i = 0; i < TARGET_ARRAY_SIZE(simple_threads); i++) {
		target_start(&simple_threads[i]);
		target_wait_blocked(&simple_threads[i]);
	}
	if (!simple_spins)
		return;
	regs_set_up();
	target_spawn(regs_main, NULL);
	while (!regs_rounds)
		target_sleep_ms(1);
}

int main(int argc, char **argv)
{
	static const struct target_ops ops = { .check = simple_check };
	uint64_t stack[AREA_BYTES / 8];

	target_init();
	simple_spins = argc < 2 || strcmp(argv[1], "--no-spin");
	simple_stack = stack;
	if (pipe2(simple_pipe, O_CLOEXEC))
		target_die(1, "pipe2");
	simple_fill();
	simple_start_threads();
#define AREA(p, seed) (void *)(p), (int)AREA_BYTES, (int)(seed)
	target_ready(0, 0, "data=%p:%d:%d bss=%p:%d:%d heap=%p:%d:%d stack=%p:%d:%d anon=%p:%d:%d "
		     "futex_tid=%d read_tid=%d sleep_tid=%d regs_tid=%d avx=%u",
		     AREA(simple_data, SEED_DATA), AREA(simple_bss, SEED_BSS),
		     AREA(simple_heap, SEED_HEAP), AREA(stack, SEED_STACK),
		     AREA(simple_anon, SEED_ANON), (int)simple_threads[0].tid,
		     (int)simple_threads[1].tid, (int)simple_threads[2].tid, (int)regs_tid,
		     regs_in.have_avx);
	return target_serve(&ops);
}
