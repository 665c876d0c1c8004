// SPDX-License-Identifier: LGPL-2.1-or-later
// The leader has called pthread_exit and is a zombie; three other threads go on. One of them
// serves the harness. /proc/PID/{maps,mem} are empty then, those of the other threads are not.
#include "target.h"

enum { SEED_ANON = 61, AREA_BYTES = 4 * 4096 };

static void *zombie_anon;
static _Atomic uint64_t zombie_counter;
static _Atomic pid_t zombie_counter_tid;
static int zombie_pipe[2];

static long in_read(struct target_thread *t)
{
	char c;

	(void)t;
	return read(zombie_pipe[0], &c, 1);
}

static struct target_thread zombie_reader = { .name = "reader", .run = in_read };

static void *zombie_count(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "counter");
	zombie_counter_tid = target_gettid();
	for (;;) {
		zombie_counter++;
		target_sleep_ms(1);
	}
	return NULL;
}

static void zombie_check(void)
{
	struct target_thread_state s;
	uint64_t was = zombie_counter;

	if (!target_thread_state(0, getpid(), &s) || s.state != 'Z')
		target_fail("the leader is no zombie any more");
	target_verify("anon", zombie_anon, AREA_BYTES, SEED_ANON);
	target_check_thread(&zombie_reader);
	for (int i = 0; i < 500 && zombie_counter == was; i++)
		target_sleep_ms(10);
	if (zombie_counter == was)
		target_fail("the counting thread does not run");
}

static void *zombie_control(void *arg)
{
	static const struct target_ops ops = { .check = zombie_check };

	(void)arg;
	pthread_setname_np(pthread_self(), "control");
	// The leader's own request may not outlive it.
	target_die_with_parent();
	if (!target_wait_state(0, getpid(), 'Z'))
		target_die(1, "the leader does not become a zombie");
	target_wait_blocked(&zombie_reader);
	target_ready(0, 0, "control_tid=%d reader_tid=%d counter_tid=%d anon=%p:%d:%d",
		     (int)target_gettid(), (int)zombie_reader.tid, (int)zombie_counter_tid,
		     zombie_anon, (int)AREA_BYTES, (int)SEED_ANON);
	exit(target_serve(&ops));
}

int main(void)
{
	target_init();
	if (pipe2(zombie_pipe, O_CLOEXEC))
		target_die(1, "pipe2");
	zombie_anon = target_mmap(AREA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	target_fill(zombie_anon, AREA_BYTES, SEED_ANON);
	target_start(&zombie_reader);
	target_spawn(zombie_count, NULL);
	while (!zombie_counter_tid)
		target_sleep_ms(1);
	target_spawn(zombie_control, NULL);
	pthread_exit(NULL);
}
