// SPDX-License-Identifier: LGPL-2.1-or-later
// handler [MS]: one thread that sleeps in read() and has a handler of SIGUSR1 that takes its time, 2 ms
// or MS, and makes system calls; "handled" in the note is how often it ran. No call may come back, and no register
// may change.
#include "target.h"

enum { HANDLER_BYTES = 24 << 20, HANDLER_SEED = 9 };

static uint8_t *mem;
static int quiet[2];
static unsigned int takes_ms = 2;
static _Atomic uint64_t handled, moved;

static void on_signal(int sig)
{
	(void)sig;
	int saved = errno;

	target_sleep_ms(takes_ms);
	handled++;
	errno = saved;
}

static long read_for_ever(struct target_thread *t)
{
	uint64_t a = 0x1111, b = 0x2222, c = 0x3333, d = 0x4444;
	char byte;
	long n;

	(void)t;
	// All that a system call keeps is in use over it.
	__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
	n = read(quiet[0], &byte, 1);
	__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
	if (a != 0x1111 || b != 0x2222 || c != 0x3333 || d != 0x4444)
		moved++;
	return n;
}

static struct target_thread reader = { .name = "reader", .run = read_for_ever };

static void handler_check(void)
{
	target_sleep_ms(10); // what has come is handled
	target_check_thread(&reader);
	target_verify("mem", mem, HANDLER_BYTES, HANDLER_SEED);
	if (moved)
		target_fail("registers have changed %" PRIu64 " times", (uint64_t)moved);
	printf("note: handled=%" PRIu64 "\n", (uint64_t)handled);
}

int main(int argc, char **argv)
{
	static const struct target_ops ops = { .check = handler_check };
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	target_init();
	if (argc > 1)
		takes_ms = (unsigned int)atoi(argv[1]);
	if (sigaction(SIGUSR1, &sa, NULL) || pipe(quiet))
		target_die(1, "set-up");
	mem = target_mmap(HANDLER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	target_fill(mem, HANDLER_BYTES, HANDLER_SEED);
	target_start(&reader);
	target_wait_blocked(&reader);
	target_ready(0, 0, "mem=%p:%d:%d:1", (void *)mem, HANDLER_BYTES, HANDLER_SEED);
	return target_serve(&ops);
}
