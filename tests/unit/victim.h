/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/clock.h"
#include "test.h"

/**
 * DOC: A child with threads that tell what happens to them
 *
 * It shares a page with the test, so both see the counters. It dies with the test.
 */

enum { VICTIM_THREADS = 5 };

struct victim_page {
	atomic_int ready; ///< threads that have got where they stay
	atomic_uint_fast64_t spins, sleeps; ///< of the threads that run
	atomic_int interrupted; ///< system calls that came back although nothing had happened
	atomic_int signals; ///< SIGUSR1 handled
	atomic_int done; ///< a vfork() child may end now
	atomic_int tids[VICTIM_THREADS];
	uint64_t words[16]; ///< filled with something known
};

struct victim {
	pid_t pid;
	struct victim_page *page;
};

static struct victim_page *victim_page; ///< in the child

static void victim_on_signal(int sig _unused_)
{
	victim_page->signals++;
}

static void victim_arrived(int i)
{
	victim_page->tids[i] = (int)syscall(SYS_gettid);
	victim_page->ready++;
}

static void *victim_spin(void *userdata _unused_)
{
	victim_arrived(1);
	for (;;)
		victim_page->spins++;
	return NULL;
}

static void *victim_epoll(void *userdata _unused_)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event;
	victim_arrived(2);
	for (;;) {
		(void)epoll_wait(fd, &event, 1, -1);
		victim_page->interrupted++;
	}
	return NULL;
}

static void *victim_wait(void *userdata _unused_)
{
	sem_t sem;
	(void)sem_init(&sem, 0, 0);
	victim_arrived(3);
	for (;;) {
		(void)sem_wait(&sem);
		victim_page->interrupted++;
	}
	return NULL;
}

static void *victim_sleep(void *userdata _unused_)
{
	victim_arrived(4);
	for (;;) {
		snap_sleep_ns(100000);
		victim_page->sleeps++;
	}
	return NULL;
}

/// Signals are for the first thread only, which waits for them.
static _unused_ int victim_threads(void *userdata _unused_)
{
	static void *(*const mains[])(void *) = { victim_spin, victim_epoll, victim_wait,
						  victim_sleep };
	sigset_t usr1;
	(void)signal(SIGUSR1, victim_on_signal);
	(void)sigemptyset(&usr1);
	(void)sigaddset(&usr1, SIGUSR1);
	(void)pthread_sigmask(SIG_BLOCK, &usr1, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(mains); i++) {
		pthread_t id;
		if (pthread_create(&id, NULL, mains[i], NULL))
			return 1;
	}
	(void)pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
	victim_arrived(0);
	for (;;)
		(void)pause();
	return 0;
}

/// The leader ends, one thread stays.
static _unused_ int victim_without_leader(void *userdata _unused_)
{
	pthread_t id;
	if (pthread_create(&id, NULL, victim_epoll, NULL))
		return 1;
	pthread_exit(NULL);
	return 1;
}

/// Sits in vfork() until it is told otherwise.
static _unused_ int victim_vfork(void *userdata _unused_)
{
	pid_t pid = vfork(); // syscall(SYS_vfork) would lose its return address to the child
	if (!pid) {
		victim_page->ready++;
		while (!victim_page->done)
			snap_sleep_ns(1000000);
		_exit(0);
	}
	for (;;)
		(void)pause();
	return 0;
}

static _unused_ int victim_traced(void *userdata _unused_)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		return EXIT_SKIP;
	victim_page->ready++;
	for (;;)
		(void)pause();
	return 0;
}

struct victim_start {
	int (*fn)(void *);
};

static int victim_main(void *userdata)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setpgid(0, 0); // so that it can be waited for with all its threads
	return ((struct victim_start *)userdata)->fn(NULL);
}

/// Starts one and waits until @ready threads are where they stay.
static inline void victim_begin(struct victim *v, int (*fn)(void *), int ready)
{
	v->page = mmap(NULL, TEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(v->page != MAP_FAILED);
	for (size_t i = 0; i < ARRAY_SIZE(v->page->words); i++)
		v->page->words[i] = 0x0123456789abcdef + i;
	victim_page = v->page;
	struct victim_start start = { fn };
	v->pid = test_fork(victim_main, &start);
	for (int i = 0; i < 5000 && v->page->ready < ready; i++)
		snap_sleep_ns(1000000);
	assert_int_equal(v->page->ready, ready);
	snap_sleep_ns(5000000); // from there into the system call
}

/// The state letter of one of its threads.
static inline char victim_state(pid_t tid)
{
	char path[64], text[512], letter = '?';
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	FILE *f = fopen(path, "re");
	if (f && fgets(text, sizeof(text), f) && strrchr(text, ')'))
		letter = strrchr(text, ')')[2];
	if (f)
		(void)fclose(f);
	return letter;
}

/// Waits until a thread is in @state.
static inline bool victim_becomes(pid_t tid, char state)
{
	for (int i = 0; i < 2000; i++) {
		if (victim_state(tid) == state)
			return true;
		snap_sleep_ns(1000000);
	}
	return false;
}

/// Waits until nothing but the zombie of its leader is left.
static inline bool victim_ends(pid_t pid)
{
	char path[32];
	struct stat st;
	(void)snprintf(path, sizeof(path), "/proc/%d/task", pid);
	for (int i = 0; i < 2000; i++) {
		if (stat(path, &st) < 0 || (st.st_nlink == 3 && victim_state(pid) == 'Z'))
			return true;
		snap_sleep_ns(1000000);
	}
	return false;
}

/// All threads run: those that count go on counting.
static inline bool victim_runs(const struct victim *v)
{
	uint64_t spins = v->page->spins, sleeps = v->page->sleeps;
	for (int i = 0; i < 2000; i++) {
		if (v->page->spins > spins && v->page->sleeps > sleeps)
			return true;
		snap_sleep_ns(1000000);
	}
	return false;
}

static inline void victim_end(struct victim *v)
{
	(void)kill(v->pid, SIGKILL);
	// Its threads one by one: those we traced stay zombies until we have seen them.
	while (waitpid(-v->pid, NULL, __WALL) >= 0 || errno == EINTR)
		continue;
	(void)munmap(v->page, TEST_PAGE);
}
