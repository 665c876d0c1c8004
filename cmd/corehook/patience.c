// SPDX-License-Identifier: LGPL-2.1-or-later
#include "patience.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"

/// A thread that waits for errands. Starting one for each would take longer than most errands.
struct runner {
	SLIST_ENTRY(runner) entry;
	pthread_cond_t wake, done;
	struct errand *errand; ///< NULL: nothing to do
	bool abandoned; ///< nobody waits for it any more
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; ///< of all below, and of the runners
static SLIST_HEAD(, runner) idle = SLIST_HEAD_INITIALIZER(idle);
static pid_t owner; ///< the process that the idle ones belong to: a child has none of them

static void runner_destroy(struct runner *runner)
{
	(void)pthread_cond_destroy(&runner->wake);
	(void)pthread_cond_destroy(&runner->done);
	free(runner);
}

static void *runner_main(void *userdata)
{
	struct runner *runner = userdata;
	(void)pthread_mutex_lock(&lock);
	while (!runner->abandoned) {
		struct errand *errand = runner->errand;
		if (!errand) {
			(void)pthread_cond_wait(&runner->wake, &lock);
			continue;
		}
		(void)pthread_mutex_unlock(&lock);
		errand->run(errand);
		(void)pthread_mutex_lock(&lock);
		runner->errand = NULL;
		(void)pthread_cond_signal(&runner->done);
		if (runner->abandoned)
			errand->destroy(errand);
	}
	(void)pthread_mutex_unlock(&lock);
	runner_destroy(runner);
	return NULL;
}

static struct runner *start_runner(void)
{
	pthread_t id;
	pthread_attr_t attr;
	pthread_condattr_t clock;
	struct runner *runner = calloc(1, sizeof(*runner));
	if (!runner)
		return NULL;
	(void)pthread_condattr_init(&clock);
	(void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&runner->wake, NULL);
	(void)pthread_cond_init(&runner->done, &clock);
	(void)pthread_condattr_destroy(&clock);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	int r = pthread_create(&id, &attr, runner_main, runner);
	(void)pthread_attr_destroy(&attr);
	if (r) {
		runner_destroy(runner);
		return NULL;
	}
	return runner;
}

/// Called locked.
static struct runner *take_runner(void)
{
	if (owner != getpid()) {
		struct runner *gone; // threads are not forked
		owner = getpid();
		while ((gone = SLIST_FIRST(&idle))) {
			SLIST_REMOVE_HEAD(&idle, entry);
			free(gone); // nothing else of it: somebody waits there, it seems
		}
	}
	struct runner *runner = SLIST_FIRST(&idle);
	if (!runner)
		return start_runner();
	SLIST_REMOVE_HEAD(&idle, entry);
	return runner;
}

/// Called locked.
static bool wait_for(struct runner *runner, unsigned int ms)
{
	struct timespec end;
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += ms / 1000;
	end.tv_nsec += (long)(ms % 1000) * 1000 * 1000;
	if (end.tv_nsec >= 1000L * 1000 * 1000) {
		end.tv_sec++;
		end.tv_nsec -= 1000L * 1000 * 1000;
	}
	int r = 0;
	while (runner->errand && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&runner->done, &lock, &end);
	return !runner->errand;
}

bool patience_run(struct errand *errand, unsigned int ms)
{
	(void)pthread_mutex_lock(&lock);
	struct runner *runner = take_runner();
	bool back = false;
	if (runner) {
		runner->errand = errand;
		(void)pthread_cond_signal(&runner->wake);
		back = wait_for(runner, ms);
		if (back)
			SLIST_INSERT_HEAD(&idle, runner, entry);
		else
			runner->abandoned = true;
	}
	(void)pthread_mutex_unlock(&lock);
	if (!runner)
		errand->destroy(errand);
	return back;
}
