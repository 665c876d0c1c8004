// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * DOC: Theory of operation
 *
 * A child under a filter that kills the process for everything but read, write, exit,
 * exit_group, futex, nanosleep, clock_nanosleep, rt_sigreturn, restart_syscall and
 * clock_gettime. A dumper that makes it do anything else kills it. Under such a filter it cannot
 * look at its own /proc; its parent does that, and asks it over a pipe whether all is well.
 */
#include "target.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <stddef.h>

enum { SEED_ANON = 201, AREA_BYTES = 4 * 4096 };

static pid_t seccomp_child;
static int to_child[2], from_child[2], seccomp_quiet[2];
static void *seccomp_anon;
static struct target_base seccomp_base;

/* ---- the child ---- */

#ifdef __x86_64__
#define SECCOMP_ARCH AUDIT_ARCH_X86_64
#else
#define SECCOMP_ARCH AUDIT_ARCH_I386
#endif
#define ALLOW(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##nr, 0, 1), \
		  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static void install_filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SECCOMP_ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(read), ALLOW(write), ALLOW(exit), ALLOW(exit_group), ALLOW(futex),
		ALLOW(nanosleep), ALLOW(clock_nanosleep), ALLOW(rt_sigreturn),
		ALLOW(restart_syscall), ALLOW(clock_gettime),
#ifdef __i386__
		ALLOW(clock_gettime64), ALLOW(clock_nanosleep_time64), ALLOW(futex_time64),
#endif
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = { .len = TARGET_ARRAY_SIZE(code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog))
		target_die(77, "cannot install the filter");
}

static int seccomp_futex = 1;
static _Atomic uint64_t seccomp_counter;

static long in_read(struct target_thread *t)
{
	char c;

	(void)t;
	return read(seccomp_quiet[0], &c, 1);
}

static long in_futex(struct target_thread *t)
{
	(void)t;
	return syscall(SYS_futex, &seccomp_futex, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
}

static long in_nanosleep(struct target_thread *t)
{
	struct timespec ts = { .tv_sec = 3600 };

	(void)t;
	return syscall(SYS_nanosleep, &ts, NULL);
}

static struct target_thread seccomp_threads[] = {
	{ .name = "reader", .run = in_read },
	{ .name = "futex", .run = in_futex },
	{ .name = "sleeper", .run = in_nanosleep },
};

static void *seccomp_count(void *arg)
{
	struct timespec ts = { .tv_nsec = 1000000 };

	(void)arg;
	for (;;) {
		seccomp_counter++;
		syscall(SYS_nanosleep, &ts, NULL);
	}
	return NULL;
}

// 'k' is well, 'm' memory changed, 'r' a call returned, 'c' the counter stands still.
static char judge(void)
{
	struct timespec ts = { .tv_nsec = 10000000 };
	const uint64_t *w = seccomp_anon;
	uint64_t was = seccomp_counter;

	for (size_t k = 0; k < AREA_BYTES / 8; k++)
		if (w[k] != target_word(SEED_ANON, k / 512, k % 512))
			return 'm';
	for (size_t i = 0; i < TARGET_ARRAY_SIZE(seccomp_threads); i++)
		if (atomic_exchange(&seccomp_threads[i].returns, 0))
			return 'r';
	for (int i = 0; i < 500 && seccomp_counter == was; i++)
		syscall(SYS_nanosleep, &ts, NULL);
	return seccomp_counter == was ? 'c' : 'k';
}

static void seccomp_child_main(void)
{
	char c;

	target_die_with_parent();
	target_limit_life(TARGET_LIFE_SEC);
	close(to_child[1]);
	close(from_child[0]);
	for (size_t i = 0; i < TARGET_ARRAY_SIZE(seccomp_threads); i++) {
		target_start(&seccomp_threads[i]);
		target_wait_blocked(&seccomp_threads[i]);
	}
	target_spawn(seccomp_count, NULL);
	target_sleep_ms(10);
	install_filter();
	c = 'k';
	(void)!write(from_child[1], &c, 1);
	while (read(to_child[0], &c, 1) == 1) {
		c = judge();
		(void)!write(from_child[1], &c, 1);
	}
	syscall(SYS_exit_group, 0);
}

/* ---- the parent ---- */

static void seccomp_check(void)
{
	static const char reasons[] = "m memory changed\0r a call returned\0"
				      "c the counting thread does not run\0";
	int status;
	char c = 0;

	if (waitpid(seccomp_child, &status, WNOHANG)) {
		target_fail("the child was killed, wait status %x", status);
		return;
	}
	target_base_check(&seccomp_base);
	if (write(to_child[1], "?", 1) != 1 || read(from_child[0], &c, 1) != 1) {
		target_fail("the child does not answer");
		return;
	}
	for (const char *r = reasons; *r; r += strlen(r) + 1)
		if (*r == c)
			target_fail("child: %s", r + 2);
}

int main(void)
{
	static const struct target_ops ops = { .check = seccomp_check };
	char c;

	target_init();
	signal(SIGPIPE, SIG_IGN);
	if (pipe2(to_child, O_CLOEXEC) || pipe2(from_child, O_CLOEXEC) ||
	    pipe2(seccomp_quiet, O_CLOEXEC))
		target_die(1, "pipe2");
	seccomp_anon = target_mmap(AREA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	target_fill(seccomp_anon, AREA_BYTES, SEED_ANON);
	seccomp_child = fork();
	if (!seccomp_child)
		seccomp_child_main();
	close(to_child[0]);
	close(from_child[1]);
	if (read(from_child[0], &c, 1) != 1)
		_exit(77);	// the child has said why
	if (!target_wait_state(seccomp_child, seccomp_child, 'S'))
		target_die(1, "the child does not wait for orders");
	target_base_init(&seccomp_base, seccomp_child, 0);
	target_ready(seccomp_child, TARGET_CHILDREN, "parent=%d threads=%zu anon=%p:%d:%d",
		     (int)getpid(), TARGET_ARRAY_SIZE(seccomp_threads) + 2, seccomp_anon,
		     (int)AREA_BYTES, (int)SEED_ANON);
	return target_serve(&ops);
}
