// SPDX-License-Identifier: LGPL-2.1-or-later
// Two creators that start and join threads as fast as they can; each thread lives for the time
// it needs to use its own TLS. Not one may get lost, whoever stops the process in between.
#include "target.h"

enum {
	CHURN_CREATORS = 2,
	CHURN_BATCH = 8,	// so that starts of some overlap exits of others
	CHURN_TLS_WORDS = 16,
};

struct creator {
	pthread_mutex_t lock;		// held for the length of a batch
	uint64_t next;			// threads started, and number of the next one
	uint64_t joined, joined_sum;	// of the values that pthread_join gave
	_Atomic uint64_t seen_sum;	// of the values that the threads saw
	uint64_t eagain;
	pthread_t handle;
};

struct job {
	struct creator *creator;
	uint64_t number;
};

static struct creator creators[CHURN_CREATORS];
static _Atomic unsigned int churn_tls_errors, churn_call_errors;
static _Atomic int churn_last_error;
static _Thread_local uint64_t churn_tls[CHURN_TLS_WORDS];

static void *churn_thread(void *arg)
{
	struct job *job = arg;

	for (int i = 0; i < CHURN_TLS_WORDS; i++) {
		if (churn_tls[i])
			churn_tls_errors++;
		churn_tls[i] = job->number + i;
	}
	sched_yield();
	for (int i = 0; i < CHURN_TLS_WORDS; i++)
		if (churn_tls[i] != job->number + i)
			churn_tls_errors++;
	job->creator->seen_sum += job->number;
	return (void *)(uintptr_t)(job->number & 0x7fffffff);
}

static bool churn_start(struct creator *c, struct job *job, const pthread_attr_t *attr,
			pthread_t *ret)
{
	int err;

	*job = (struct job) { .creator = c, .number = c->next };
	err = pthread_create(ret, attr, churn_thread, job);
	if (!err) {
		c->next++;
	} else if (err == EAGAIN) {
		c->eagain++;
	} else {
		churn_last_error = err;
		churn_call_errors++;
	}
	return !err;
}

static void churn_batch(struct creator *c, const pthread_attr_t *attr)
{
	pthread_t handle[CHURN_BATCH];
	struct job job[CHURN_BATCH];
	int started = 0;

	while (started < CHURN_BATCH && churn_start(c, &job[started], attr, &handle[started]))
		started++;
	for (int i = 0; i < started; i++) {
		void *result;
		int err = pthread_join(handle[i], &result);

		if (err) {
			churn_last_error = err;
			churn_call_errors++;
			continue;
		}
		c->joined++;
		c->joined_sum += (uintptr_t)result;
	}
}

static void *churn_creator(void *arg)
{
	struct creator *c = arg;
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (;;) {
		pthread_mutex_lock(&c->lock);
		churn_batch(c, &attr);
		pthread_mutex_unlock(&c->lock);
		// A pthread mutex is not fair: let the control thread in.
		sched_yield();
	}
	return NULL;
}

static void churn_check_creator(struct creator *c, uint64_t *created, uint64_t *eagain)
{
	uint64_t want;

	pthread_mutex_lock(&c->lock);
	want = c->next * (c->next - 1) / 2;
	if (c->joined != c->next)
		target_fail("%" PRIu64 " started, %" PRIu64 " joined", c->next, c->joined);
	if (c->joined_sum != want || c->seen_sum != want)
		target_fail("sum is %" PRIu64 " of results, %" PRIu64 " of threads, not %" PRIu64,
			    c->joined_sum, c->seen_sum, want);
	*created += c->next;
	*eagain += c->eagain;
	pthread_mutex_unlock(&c->lock);
}

static void churn_check(void)
{
	static uint64_t last_ns, last_created;
	uint64_t created = 0, eagain = 0, now = target_now_ns();

	for (int i = 0; i < CHURN_CREATORS; i++)
		churn_check_creator(&creators[i], &created, &eagain);
	if (churn_tls_errors || churn_call_errors)
		target_fail("%u wrong TLS words, %u failed calls, last: %s", churn_tls_errors,
			    churn_call_errors, strerror(churn_last_error));
	if (created == last_created)
		target_fail("no thread was created since the last check");
	printf("note: created=%" PRIu64 " eagain=%" PRIu64, created, eagain);
	if (last_ns)
		printf(" rate=%" PRIu64, (created - last_created) * 1000000000 / (now - last_ns));
	putchar('\n');
	last_ns = now;
	last_created = created;
}

int main(void)
{
	static const struct target_ops ops = { .check = churn_check };

	target_init();
	for (int i = 0; i < CHURN_CREATORS; i++) {
		pthread_mutex_init(&creators[i].lock, NULL);
		creators[i].handle = target_spawn(churn_creator, &creators[i]);
	}
	target_sleep_ms(200);
	target_ready(0, TARGET_THREADS_VARY | TARGET_MAPS_VARY | TARGET_SIGNALS_VARY,
		     "creators=%d rate=%" PRIu64, CHURN_CREATORS,
		     (creators[0].next + creators[1].next) * 5);
	return target_serve(&ops);
}
