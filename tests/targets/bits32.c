// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * DOC: Theory of operation
 *
 * What simple and eintr compiled for 32 bits do not have: threads that entered the kernel by
 * int $0x80 (also from a 64-bit program, where only the thread's orig_ax tells which table the
 * number is of) and, in a 32-bit program, by the vDSO's __kernel_vsyscall; a thread that holds
 * a segment of the LDT; in a 64-bit program a thread that runs 32-bit code (cs 0x23).
 */
#include "target.h"

#include <sys/auxv.h>
#include <sys/epoll.h>

// Numbers of the i386 table, whatever this program is compiled for.
enum { I386_READ = 3, I386_NANOSLEEP = 162, I386_EPOLL_WAIT = 256 };
enum { LDT_ENTRY = 1, LDT_SELECTOR = LDT_ENTRY << 3 | 7 };

// Where 32-bit pointers reach: int $0x80 takes no others.
struct low {
	struct { int32_t sec, nsec; } hour;
	uint8_t buf[64];
	volatile uint32_t counter;
	uint8_t code[64];
};

static struct low *low;
static int bits_pipe[2], bits_epoll;

static long int80(long nr, long a, long b, long c, long d)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result)
			 : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d)
#ifdef __x86_64__
			 : "memory", "r8", "r9", "r10", "r11");
#else
			 : "memory");
#endif
	if (result >= -4095 && result < 0) {
		errno = -result;
		result = -1;
	}
	return result;
}

static long int80_read(struct target_thread *t)
{
	(void)t;
	return int80(I386_READ, bits_pipe[0], (long)low->buf, 1, 0);
}

static long int80_nanosleep(struct target_thread *t)
{
	(void)t;
	return int80(I386_NANOSLEEP, (long)&low->hour, 0, 0, 0);
}

static long int80_epoll(struct target_thread *t)
{
	(void)t;
	return int80(I386_EPOLL_WAIT, bits_epoll, (long)low->buf, 1, -1);
}

static struct target_thread bits_threads[8] = {
	{ .name = "int80-read", .run = int80_read },
	{ .name = "int80-nanosleep", .run = int80_nanosleep },
	{ .name = "int80-epoll", .run = int80_epoll },
};
static size_t bits_count = 3;

#ifdef __i386__

// ebp is no operand: the vDSO's code saves it itself.
static long vsyscall(long nr, long a, long b, long c, long d)
{
	static unsigned long entry;
	long result;

	entry = getauxval(AT_SYSINFO);
	__asm__ volatile("call *%[entry]" : "=a"(result)
			 : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), [entry] "m"(entry)
			 : "memory");
	if (result >= -4095 && result < 0) {
		errno = -result;
		result = -1;
	}
	return result;
}

static long vsyscall_read(struct target_thread *t)
{
	(void)t;
	return vsyscall(I386_READ, bits_pipe[0], (long)low->buf, 1, 0);
}

static long vsyscall_epoll(struct target_thread *t)
{
	(void)t;
	return vsyscall(I386_EPOLL_WAIT, bits_epoll, (long)low->buf, 1, -1);
}

static void start_special(void)
{
	if (!getauxval(AT_SYSINFO))
		return;
	bits_threads[bits_count++] = (struct target_thread) { .name = "vdso-read",
							      .run = vsyscall_read };
	bits_threads[bits_count++] = (struct target_thread) { .name = "vdso-epoll",
							      .run = vsyscall_epoll };
}

#else

// 32-bit code that counts for ever: incl [counter]; jmp back. Never returns to 64 bits.
static void *mixed_main(void *arg)
{
	uint32_t counter = (uintptr_t)&low->counter;
	uint8_t code[] = { 0xff, 0x05, 0, 0, 0, 0, 0xeb, 0xf8 };

	(void)arg;
	pthread_setname_np(pthread_self(), "mixed-cs");
	memcpy(code + 2, &counter, 4);
	memcpy(low->code, code, sizeof(code));
	// In 64-bit mode ds is null and nobody minds.
	__asm__ volatile("mov %1, %%ds; pushq $0x23; pushq %0; lretq"
			 : : "r"((uint64_t)(uintptr_t)low->code), "r"(0x2b) : "memory");
	return NULL;
}

static void start_special(void)
{
	target_spawn(mixed_main, NULL);
	while (low->counter < 1000)
		target_sleep_ms(1);
}

#endif

static _Atomic unsigned int ldt_violations, ldt_rounds;

static void *ldt_main(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "ldt");
	for (;;) {
		unsigned int es = LDT_SELECTOR, limit = 0;

		__asm__ volatile("mov %0, %%es" : : "r"(es));
		for (int i = 0; i < 1000000; i++)
			__asm__ volatile("");
		__asm__ volatile("mov %%es, %0" : "=r"(es));
		// The segment itself must still be the one that was installed.
		__asm__ volatile("lsl %1, %0" : "+r"(limit) : "r"(LDT_SELECTOR));
		__asm__ volatile("mov %0, %%es" : : "r"(0x2b));
		if (es != LDT_SELECTOR || limit != 0xfff)
			ldt_violations++;
		ldt_rounds++;
	}
	return NULL;
}

static bool start_ldt(void)
{
	// struct user_desc: entry, base, limit, flags (bit 0: 32-bit, bit 6: for own use).
	uint32_t d[4] = { LDT_ENTRY, (uintptr_t)low, 0xfff, 1 << 6 | 1 };

	if (syscall(SYS_modify_ldt, 1, d, sizeof(d)))
		return false;
	target_spawn(ldt_main, NULL);
	return true;
}

static bool bits_ldt;

static void bits_check(void)
{
	uint32_t counter = low->counter;
	unsigned int rounds = ldt_rounds;

	for (size_t i = 0; i < bits_count; i++)
		target_check_thread(&bits_threads[i]);
	if (ldt_violations)
		target_fail("the LDT segment changed %u times", ldt_violations);
	ldt_violations = 0;
	for (int i = 0; i < 500 && bits_ldt && ldt_rounds == rounds; i++)
		target_sleep_ms(10);
	if (bits_ldt && ldt_rounds == rounds)
		target_fail("the thread with the LDT segment does not run");
	for (int i = 0; i < 500 && sizeof(long) == 8 && low->counter == counter; i++)
		target_sleep_ms(10);
	if (sizeof(long) == 8 && low->counter == counter)
		target_fail("the 32-bit code does not run");
}

int main(void)
{
	static const struct target_ops ops = { .check = bits_check };
	int flags = MAP_PRIVATE;

	target_init();
#ifdef __x86_64__
	flags |= MAP_32BIT;
#endif
	low = target_mmap(TARGET_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, flags);
	low->hour.sec = 3600;
	bits_epoll = epoll_create1(EPOLL_CLOEXEC);
	if (bits_epoll < 0 || pipe2(bits_pipe, O_CLOEXEC))
		target_die(1, "set-up");
	if (int80(I386_READ, -1, 0, 0, 0) != -1 || errno != EBADF)
		target_die(77, "int $0x80 is not available");
	start_special();
	for (size_t i = 0; i < bits_count; i++) {
		target_start(&bits_threads[i]);
		target_wait_blocked(&bits_threads[i]);
	}
	bits_ldt = start_ldt();
	// The counter in this page changes, and with it the hash of executable memory.
	target_ready(0, TARGET_MAPS_VARY, "bits=%zu low=%p counter=%p ldt=%d", sizeof(long) * 8,
		     (void *)low, (void *)&low->counter, bits_ldt);
	return target_serve(&ops);
}
