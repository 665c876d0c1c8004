// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * DOC: Theory of operation
 *
 * A target is a victim of known state that checks itself, as in CRIU's zdtm. The harness talks
 * to it over stdin and stdout, line by line:
 *
 *   target:  ready PID [key=value ...]	state is set up; the keys say what a core must hold
 *   harness: check
 *   target:  [note: ...] [- REASON ...]	any number of lines, then exactly one of
 *            ok | FAIL: REASON
 *   harness: quit, or end of file		the target exits: 0, or 1 if any check failed
 *
 * Instead of `ready` a target may say `skip: REASON` and exit 77, or `error: REASON` and exit 1.
 * Some targets know more commands; tests/targets/README.md has them.
 *
 * Memory with known content is printed as name=0xADDR:LEN:SEED[:STEP[:SEED2:STEP2]]. Page i
 * (always of 4096 bytes) of it holds words of target_word(SEED2, i, word) if i % STEP2 == 1,
 * else of target_word(SEED, i, word) if i % STEP == 0, else zeros. STEP 0: all zeros.
 *
 * malloc never maps: the mappings of a quiet target do not change, so a new one is a violation.
 */
#ifndef TARGET_H
#define TARGET_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define _FILE_OFFSET_BITS 64

#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "target-proc.h"

#define TARGET_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define TARGET_PAGE 4096ul

enum {
	TARGET_LIFE_SEC = 600,		// a target must not outlive a hung harness for long
	TARGET_STACK_BYTES = 256 << 10,
};

/** One thread that must stay where it is: run() is called again after every return. */
struct target_thread {
	const char *name;			// at most 15 characters are kept
	// Set up nothing here: do the one call and give its result back. errno is looked at.
	long (*run)(struct target_thread *t);
	void *arg;
	uint64_t value;
	pthread_t handle;
	_Atomic pid_t tid;
	_Atomic unsigned int returns;		// times that run() came back, must stay 0
	long last_result;
	int last_errno;
};

/** What a target adds to the protocol; any member may be NULL. */
struct target_ops {
	void (*check)(void);
	bool (*command)(const char *line);	// false: not known
	void (*quit)(void);
};

static struct target_base target_base;
static unsigned int target_stdin_eintr;
static bool target_ever_failed;

/* ---- content ---- */

static inline uint64_t target_mix(uint64_t z)
{
	z += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/** Word j (of 8 bytes, native order) of page `page` of memory with this seed. */
static inline uint64_t target_word(uint64_t seed, uint64_t page, uint64_t j)
{
	return target_mix((seed << 40) + page * 512 + j);
}

static inline void target_fill_page(void *p, uint64_t seed, uint64_t page)
{
	uint64_t *w = p;

	for (size_t j = 0; j < TARGET_PAGE / 8; j++)
		w[j] = target_word(seed, page, j);
}

/** Fill len bytes (a multiple of 8) as pages 0, 1, ... of seed. */
static inline void target_fill(void *p, size_t len, uint64_t seed)
{
	uint64_t *w = p;

	for (size_t k = 0; k < len / 8; k++)
		w[k] = target_word(seed, k / 512, k % 512);
}

static inline void target_verify(const char *name, const void *p, size_t len, uint64_t seed)
{
	const volatile uint64_t *w = p;

	for (size_t k = 0; k < len / 8; k++) {
		uint64_t got = w[k], want = target_word(seed, k / 512, k % 512);

		if (got == want)
			continue;
		target_fail("%s: word %zu is %" PRIx64 ", not %" PRIx64, name, k, got, want);
		return;
	}
}

/* ---- set-up ---- */

static inline pid_t target_gettid(void)
{
	return syscall(SYS_gettid);
}

static inline uint64_t target_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * UINT64_C(1000000000) + ts.tv_nsec;
}

static inline void target_sleep_ms(unsigned int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l };

	nanosleep(&ts, NULL);
}

/** Die with the parent. Also for every forked child and again after a change of uid. */
static inline void target_die_with_parent(void)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		target_die(1, "PR_SET_PDEATHSIG");
}

static inline void target_limit_life(unsigned int seconds)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
	struct itimerspec when = { .it_value.tv_sec = seconds };
	timer_t timer;

	if (timer_create(CLOCK_MONOTONIC, &ev, &timer) || timer_settime(timer, 0, &when, NULL))
		target_die(1, "cannot arm the timer that limits the target's life");
}

/** First call of every target. */
static inline void target_init(void)
{
	static char out[4096];

	setvbuf(stdout, out, _IOFBF, sizeof(out));
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_MAX, 0);
	mallopt(M_TRIM_THRESHOLD, -1);
	target_die_with_parent();
	target_limit_life(TARGET_LIFE_SEC);
}

static inline void *target_mmap(size_t len, int prot, int flags)
{
	void *p = mmap(NULL, len, prot, flags | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		target_die(1, "mmap of %zu bytes", len);
	return p;
}

/* ---- threads ---- */

static inline void *target_thread_main(void *arg)
{
	struct target_thread *t = arg;

	pthread_setname_np(pthread_self(), t->name);
	t->tid = target_gettid();
	for (;;) {
		long result;

		errno = 0;
		result = t->run(t);
		t->last_errno = errno;
		t->last_result = result;
		t->returns++;
		target_sleep_ms(1);	// no spinning when a call fails for good
	}
	return NULL;
}

static inline bool target_try_start(struct target_thread *t, size_t stack_bytes)
{
	pthread_attr_t attr;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, stack_bytes);
	err = pthread_create(&t->handle, &attr, target_thread_main, t);
	pthread_attr_destroy(&attr);
	errno = err;
	return !err;
}

static inline void target_start(struct target_thread *t)
{
	if (!target_try_start(t, TARGET_STACK_BYTES))
		target_die(1, "cannot start thread '%s'", t->name);
}

struct target_spawned {
	void *(*fn)(void *);
	void *arg;
	_Atomic bool runs;
};

static inline void *target_spawned_main(void *arg)
{
	struct target_spawned *s = arg, copy = { .fn = s->fn, .arg = s->arg };

	s->runs = true;
	return copy.fn(copy.arg);
}

/**
 * Start a thread that does what it likes. Returns when it runs: glibc starts threads with all
 * signals blocked, and that must not be the mask that is compared with later.
 */
static inline pthread_t target_spawn(void *(*fn)(void *), void *arg)
{
	struct target_spawned s = { .fn = fn, .arg = arg };
	pthread_attr_t attr;
	pthread_t handle;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, TARGET_STACK_BYTES);
	err = pthread_create(&handle, &attr, target_spawned_main, &s);
	pthread_attr_destroy(&attr);
	if (err)
		target_die(1, "cannot start a thread: %s", strerror(err));
	while (!s.runs)
		target_sleep_ms(1);
	return handle;
}

/** Wait until the thread sleeps (in state want: 'S' or 'D') in two looks one after the other. */
static inline bool target_wait_state(pid_t pid, pid_t tid, char want)
{
	struct target_thread_state s;
	struct timespec pause = { .tv_nsec = 100000 };
	int in_a_row = 0;

	for (int i = 0; i < 50000 && in_a_row < 2; i++) {
		if (target_thread_state(pid, tid, &s) && s.state == want)
			in_a_row++;
		else
			in_a_row = 0;
		nanosleep(&pause, NULL);
	}
	return in_a_row == 2;
}

static inline void target_wait_blocked(struct target_thread *t)
{
	while (!t->tid)
		target_sleep_ms(1);
	if (!target_wait_state(0, t->tid, 'S'))
		target_die(1, "thread '%s' does not go to sleep", t->name);
	if (t->returns)
		target_die(1, "thread '%s' does not stay in its call: result %ld, %s", t->name,
			   t->last_result, strerror(t->last_errno));
}

/** A violation for every thread whose call came back since the last check. */
static inline void target_check_thread(struct target_thread *t)
{
	unsigned int n = atomic_exchange(&t->returns, 0);

	if (n)
		target_fail("%s returned %u times, last with %ld (%s)", t->name, n,
			    t->last_result, strerrorname_np(t->last_errno));
}

/* ---- protocol ---- */

/** A line of standard input without its newline; false at the end. read(2) and no stdio. */
static inline bool target_getline(char *buf, size_t size)
{
	size_t len = 0;

	while (len + 1 < size) {
		ssize_t n = read(STDIN_FILENO, buf + len, 1);

		if (n < 0 && errno == EINTR) {
			target_stdin_eintr++;
			continue;
		}
		if (n <= 0)
			return false;
		if (buf[len] == '\n')
			break;
		len++;
	}
	buf[len] = '\0';
	return true;
}

/** Print what was recorded since target_begin() and the verdict. */
static inline void target_verdict(void)
{
	if (target_failures)
		printf("FAIL: %s%s\n", target_first_failure,
		       target_failures > 1 ? " (and more)" : "");
	else
		printf("ok\n");
	fflush(stdout);
	target_ever_failed |= target_failures;
}

static inline void target_begin(void)
{
	target_failures = 0;
}

/** Take the own state and say ready, for pid (0: the own). */
__attribute__((format(printf, 3, 4)))
static inline void target_ready(pid_t pid, unsigned int flags, const char *fmt, ...)
{
	va_list ap;

	target_base_init(&target_base, 0, flags);
	printf("ready %d", pid ? (int)pid : (int)getpid());
	va_start(ap, fmt);
	if (*fmt)
		putchar(' ');
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

static inline void target_check_self(void)
{
	target_base_check(&target_base);
	if (target_stdin_eintr)
		target_fail("read of stdin returned EINTR %u times", target_stdin_eintr);
	target_stdin_eintr = 0;
}

/** Serve the harness until it has had enough; returns the exit status. */
static inline int target_serve(const struct target_ops *ops)
{
	char line[256];

	while (target_getline(line, sizeof(line)) && strcmp(line, "quit")) {
		if (!strcmp(line, "check")) {
			target_begin();
			target_check_self();
			if (ops->check)
				ops->check();
			target_verdict();
		} else if (!ops->command || !ops->command(line)) {
			printf("error: unknown command '%s'\n", line);
		}
		fflush(stdout);
	}
	if (ops->quit)
		ops->quit();
	return target_ever_failed;
}

#endif
