// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The queue of the daemon, with a worker that does what its job says: this program itself, which is
 * copied into a folder where it finds itself by the name of the worker.
 */
#include "test.h"

#include <sys/stat.h>

#include "common/fd.h"
#include "common/ipc.h"
#include "common/str.h"
#include "daemon/jobs.h"

// ---- the worker ----------------------------------------------------------------------------

/// What it does, in place of the exponent of a filter.
enum {
	DO_ANSWER, ///< at once
	DO_FAIL,
	DO_NONSENSE, ///< an answer that is none
	DO_DIE, ///< by a signal
	DO_EXIT, ///< without a word, with status 3
	DO_CLOSE, ///< the socket, and go on for a moment
	// These say something first, when they are ready for signals.
	DO_WAIT, ///< until SIGTERM, and say that it was cancelled
	DO_WAIT_AND_ANSWER, ///< until SIGTERM, and then with a result
	DO_HANG, ///< whatever is sent, but SIGKILL
};

static volatile sig_atomic_t told;

static void on_term(int sig _unused_)
{
	told = 1;
}

static void answer(const char *key, const char *text)
{
	struct json *json = json_new_object(), *inner = json_new_object();
	json_set_text(inner, "code", "cancelled");
	json_set_text(inner, "message", text);
	json_set_u64(inner, "pid", (uint64_t)getpid());
	json_set(json, key, inner);
	(void)ipc_send(JOB_SOCKET_FD, json, NULL, 0, 0);
	json_destroy(json);
}

static void wait_for_term(void)
{
	sigset_t none;
	sigemptyset(&none);
	while (!told)
		(void)sigsuspend(&none);
}

static int work(void)
{
	static struct json *message; // what the job points into
	struct job job;
	int fds[IPC_MAX_FDS];
	sigset_t term;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &term, NULL); // until we wait for it
	(void)signal(SIGTERM, on_term);
	if (ipc_recv(JOB_SOCKET_FD, &message, fds) < 0 || job_from_json(message, &job) < 0)
		return 9;
	switch (job.filter) {
	case DO_ANSWER:
		answer("result", "done");
		return 0;
	case DO_FAIL:
		answer("error", "it cannot be");
		return 9;
	case DO_NONSENSE:
		answer("answer", "42");
		return 0;
	case DO_DIE:
		return raise(SIGKILL);
	case DO_EXIT:
		return 3;
	case DO_WAIT:
		for (int i = 0; i < 10; i++)
			answer("progress", "");
		wait_for_term();
		answer("error", "cancelled");
		return 9;
	case DO_WAIT_AND_ANSWER:
		answer("progress", "");
		wait_for_term();
		answer("result", "as far as it came");
		return 0;
	case DO_CLOSE:
		(void)close(JOB_SOCKET_FD);
		(void)usleep(50000);
		return 0;
	default:
		(void)signal(SIGTERM, SIG_IGN);
		answer("progress", "");
		for (;;)
			(void)pause();
	}
}

// ---- a queue -------------------------------------------------------------------------------

enum { RUNS_MAX = 64 };

struct fixture {
	sd_event *event;
	struct jobs *jobs;
	struct config *config;
	struct one {
		struct fixture *fixture;
		struct job_run *run;
		bool ended;
		enum snap_code code;
		char message[200];
		size_t progress, position, order;
		bool running; ///< said something that is no position
	} ones[RUNS_MAX];
	size_t n, n_ended;
	int before;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	f->before = test_count_fds();
	assert_int_equal(sd_event_new(&f->event), 0);
	assert_ok(jobs_create(f->event, &f->jobs));
	assert_ok(config_create(&f->config));
#ifdef __SANITIZE_ADDRESS__
	// The shadow of all addresses is memory of its own.
	f->config->job_memory = (struct config_size){ .bytes = CONFIG_INFINITY };
#endif
	f->config->max_jobs = 2;
	f->config->max_jobs_per_user = 1;
	f->config->max_queue = 8;
	jobs_configure(f->jobs, f->config);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	jobs_destroy(f->jobs);
	config_destroy(f->config);
	sd_event_unref(f->event);
	int leaked = test_count_fds() - f->before;
	bool children = waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD;
	if (leaked || children)
		print_error("left: %d descriptors, %s\n", leaked, children ? "children" : "");
	free(f);
	return leaked || children ? -1 : 0;
}

static void on_progress(void *userdata, size_t position, const char *phase,
			uint64_t done _unused_, uint64_t total _unused_)
{
	struct one *one = userdata;
	one->progress++;
	if (phase)
		one->running = true;
	else
		one->position = position;
}

static void on_end(void *userdata, const struct snap_error *err, struct json *result)
{
	struct one *one = userdata;
	assert_false(one->ended);
	assert_true(!err != !result);
	one->ended = true;
	one->order = ++one->fixture->n_ended;
	one->code = err ? err->code : SNAP_OK;
	(void)snprintf(one->message, sizeof(one->message), "%s",
		       err ? err->message : json_get_text(result, "message"));
}

static struct snap_error *try_add(struct fixture *f, unsigned int what, uid_t uid, uint32_t flags)
{
	assert_true(f->n < RUNS_MAX);
	struct one *one = &f->ones[f->n];
	*one = (struct one){ .fixture = f };
	struct job_request request = {
		.job = { .flags = JOB_HAS_FILTER | flags, .filter = what, .pid = getpid() },
		.owner = json_new_object(),
		.spool = test_memfd(),
		.output = -EBADF,
		.uid = uid,
		.callbacks = { on_progress, on_end },
		.userdata = one,
	};
	assert_int_equal(pidref_open(getpid(), &request.ref), 0);
	struct snap_error *err = jobs_add(f->jobs, &request, &one->run);
	if (!err)
		f->n++;
	return err;
}

static struct one *add(struct fixture *f, unsigned int what, uid_t uid)
{
	assert_ok(try_add(f, what, uid, 0));
	return &f->ones[f->n - 1];
}

/// Turns the loop until @one (NULL: each) has ended.
static void run_until_end(struct fixture *f, const struct one *one)
{
	while (one ? !one->ended : f->n_ended < f->n)
		assert_true(sd_event_run(f->event, 60 * 1000000ULL) > 0);
}

/// Turns the loop until so many run and so many wait.
static void run_until(struct fixture *f, size_t running, size_t waiting)
{
	for (;;) {
		struct jobs_counts counts = jobs_count(f->jobs);
		if (counts.running == running && counts.waiting == waiting)
			return;
		assert_true(sd_event_run(f->event, 60 * 1000000ULL) > 0);
	}
}

/// Turns the loop until its worker listens to signals.
static void run_until_ready(struct fixture *f, const struct one *one)
{
	while (!one->running)
		assert_true(sd_event_run(f->event, 60 * 1000000ULL) > 0);
}

/// One turn and everything that is ready then.
static void settle(struct fixture *f)
{
	while (sd_event_run(f->event, 100000) > 0)
		;
}

// ---- how jobs end --------------------------------------------------------------------------

static void test_ends(void **state)
{
	static const struct {
		unsigned int what;
		enum snap_code code;
		const char *text;
	} cases[] = {
		{ DO_ANSWER, SNAP_OK, "done" },
		{ DO_FAIL, SNAP_CANCELLED, "it cannot be" },
		{ DO_NONSENSE, SNAP_FAILED, "nonsense" },
		{ DO_DIE, SNAP_FAILED, "killed by signal 9" },
		{ DO_EXIT, SNAP_FAILED, "status 3" },
		{ DO_CLOSE, SNAP_FAILED, "status 0" },
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct one *one = add(f, cases[i].what, 0);
		assert_false(one->ended); // never from within
		run_until_end(f, one);
		assert_string_equal(snap_code_name(one->code), snap_code_name(cases[i].code));
		assert_non_null(strstr(one->message, cases[i].text));
		assert_int_equal(jobs_count(f->jobs).running, 0);
	}
}

static void test_cancel(void **state)
{
	struct fixture *f = *state;
	struct one *waits = add(f, DO_WAIT, 1), *behind = add(f, DO_ANSWER, 1);
	run_until(f, 1, 1);
	while (waits->progress < 10)
		assert_true(sd_event_run(f->event, 60 * 1000000ULL) > 0);
	job_cancel(behind->run);
	assert_false(behind->ended);
	run_until_end(f, behind);
	assert_int_equal(behind->code, SNAP_CANCELLED);
	assert_false(waits->ended);
	job_cancel(waits->run);
	job_cancel(waits->run);
	run_until_end(f, waits);
	assert_int_equal(waits->code, SNAP_CANCELLED);
	// It has a result all the same.
	struct one *partial = add(f, DO_WAIT_AND_ANSWER, 1);
	run_until_ready(f, partial);
	job_cancel(partial->run);
	run_until_end(f, partial);
	assert_int_equal(partial->code, SNAP_OK);
}

static void test_cancel_at_once(void **state)
{
	struct fixture *f = *state;
	struct one *one = add(f, DO_ANSWER, 1);
	job_cancel(one->run);
	run_until_end(f, one);
	assert_int_equal(one->code, SNAP_CANCELLED);
}

/// Whoever does not obey is killed.
static void test_cancel_a_deaf_one(void **state)
{
	struct fixture *f = *state;
	struct one *one = add(f, DO_HANG, 1);
	run_until_ready(f, one);
	job_cancel(one->run);
	run_until_end(f, one);
	assert_int_equal(one->code, SNAP_CANCELLED);
}

static void test_deadline(void **state)
{
	struct fixture *f = *state;
	f->config->job_timeout_ns = 300000000;
	jobs_configure(f->jobs, f->config);
	struct one *obeys = add(f, DO_WAIT, 1), *hangs = add(f, DO_HANG, 2);
	run_until_end(f, NULL);
	assert_string_equal(snap_code_name(obeys->code), "failed");
	assert_non_null(strstr(obeys->message, "JobTimeout="));
	assert_string_equal(snap_code_name(hangs->code), "failed");
	assert_non_null(strstr(hangs->message, "JobTimeout="));
	// What it has counts, though late.
	struct one *partial = add(f, DO_WAIT_AND_ANSWER, 1);
	run_until_end(f, partial);
	assert_true(partial->code == SNAP_OK || !partial->running);
	// One that keeps what it has may take its time when it is cancelled, but not beyond this.
	assert_ok(try_add(f, DO_HANG, 1, JOB_KEEP_PARTIAL));
	struct one *keeps = &f->ones[f->n - 1];
	run_until(f, 1, 0);
	job_cancel(keeps->run);
	run_until_end(f, keeps);
	assert_int_equal(keeps->code, SNAP_CANCELLED);
}

// ---- whose turn it is ----------------------------------------------------------------------

static void test_limits(void **state)
{
	struct fixture *f = *state;
	for (uid_t uid = 1; uid <= 3; uid++)
		for (int i = 0; i < 2; i++)
			(void)add(f, DO_WAIT, uid);
	run_until(f, 2, 4);
	settle(f);
	assert_int_equal(jobs_count(f->jobs).running, 2);
	assert_false(f->ones[0].ended || f->ones[2].ended);
	// Positions are told, from 1 on.
	assert_int_equal(f->ones[4].position, 1);
	assert_int_equal(f->ones[1].position, 2);
	assert_int_equal(f->ones[3].position, 3);
	assert_int_equal(f->ones[5].position, 4);
	// The third user has none yet.
	job_cancel(f->ones[0].run);
	run_until_end(f, &f->ones[0]);
	run_until_ready(f, &f->ones[4]);
	settle(f);
	assert_int_equal(f->ones[1].position, 1);
	assert_int_equal(f->ones[3].position, 2);
	assert_int_equal(f->ones[5].position, 3);
	f->config->max_jobs = 8;
	f->config->max_jobs_per_user = 2;
	jobs_configure(f->jobs, f->config);
	run_until(f, 5, 0);
}

static void test_fair(void **state)
{
	struct fixture *f = *state;
	f->config->max_jobs = 1;
	for (int i = 0; i < 4; i++)
		(void)add(f, DO_ANSWER, 1);
	struct one *other = add(f, DO_ANSWER, 2), *third = add(f, DO_ANSWER, 3);
	run_until_end(f, NULL);
	// One each, and then the rest of who wants so much.
	assert_int_equal(f->ones[0].order, 1);
	assert_int_equal(other->order, 2);
	assert_int_equal(third->order, 3);
	for (size_t i = 0; i < f->n; i++)
		assert_int_equal(f->ones[i].code, SNAP_OK);
}

/// @n jobs are taken, and one more is not.
static void expect_room(struct fixture *f, uid_t uid, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_ok(try_add(f, DO_WAIT, uid, 0));
	struct snap_error *err = try_add(f, DO_WAIT, uid, 0);
	assert_non_null(err);
	assert_non_null(strstr(err->message, "MaxQueue="));
	snap_error_destroy(err);
}

static void test_queue_is_full(void **state)
{
	struct fixture *f = *state;
	(void)add(f, DO_WAIT, 1);
	(void)add(f, DO_WAIT, 2);
	run_until(f, 2, 0);
	expect_room(f, 1, 5); // a half and one
	expect_room(f, 0, 3);
	expect_room(f, 3, 0);
	assert_int_equal(jobs_count(f->jobs).waiting, 8);
}

/// What begins in the same turn of the loop does not wait.
static void test_no_queue(void **state)
{
	struct fixture *f = *state;
	f->config->max_queue = 0;
	struct one *one = add(f, DO_WAIT, 1);
	run_until(f, 1, 0);
	expect_room(f, 1, 0);
	expect_room(f, 2, 1);
	run_until(f, 2, 0);
	expect_room(f, 3, 0);
	job_cancel(one->run);
	run_until_end(f, one);
	run_until(f, 1, 0);
	expect_room(f, 1, 1);
	run_until(f, 2, 0);
}

static void test_stop(void **state)
{
	struct fixture *f = *state;
	for (uid_t uid = 1; uid <= 4; uid++)
		(void)add(f, DO_WAIT, uid);
	run_until(f, 2, 2);
	jobs_stop(f->jobs);
	assert_code(try_add(f, DO_ANSWER, 9, 0), SNAP_FAILED);
	run_until_end(f, NULL);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(f->ones[i].code, SNAP_CANCELLED);
	assert_int_equal(jobs_count(f->jobs).running + jobs_count(f->jobs).waiting, 0);
}

/// Everything in it is gone, see tear_down(), and nobody is told.
static void test_destroy(void **state)
{
	struct fixture *f = *state;
	(void)add(f, DO_WAIT, 1);
	(void)add(f, DO_HANG, 2);
	(void)add(f, DO_ANSWER, 3);
	run_until(f, 2, 1);
	jobs_destroy(f->jobs);
	f->jobs = NULL;
	assert_int_equal(f->n_ended, 0);
}

static void test_many(void **state)
{
	struct fixture *f = *state;
	f->config->max_jobs = 4;
	f->config->max_jobs_per_user = 4;
	f->config->max_queue = 60;
	for (uid_t i = 0; i < 50; i++)
		(void)add(f, (unsigned int)i % 6, i % 7);
	run_until_end(f, NULL);
	for (size_t i = 0; i < 50; i++)
		assert_int_equal(f->ones[i].code == SNAP_OK, i % 6 == DO_ANSWER);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

static int run_here(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ends),	   TEST(test_cancel),
		TEST(test_cancel_at_once), TEST(test_cancel_a_deaf_one),
		TEST(test_deadline),	   TEST(test_limits),
		TEST(test_fair),	   TEST(test_queue_is_full),
		TEST(test_no_queue),	   TEST(test_stop),
		TEST(test_destroy),	   TEST(test_many),
	};
	return cmocka_run_group_tests_name("jobs", tests, NULL, NULL);
}

// ---- the copy ------------------------------------------------------------------------------

static int copy_file(const char *from, const char *to)
{
	char buf[65536];
	ssize_t n;
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	int r = in < 0 || out < 0 ? -1 : 0;
	while (r == 0 && (n = read(in, buf, sizeof(buf))) > 0)
		r = snap_write_all(out, buf, (size_t)n);
	snap_closep(&in);
	snap_closep(&out);
	return r;
}

/// Has itself run from a folder where a worker is beside it.
static int run_copy(const char *self)
{
	const char *where = getenv("PROCSNAP_TEST_DIR");
	char dir[256], tests[300], worker[300];
	(void)snprintf(dir, sizeof(dir), "%s/procsnap-unit-XXXXXX", where ? where : "/var/tmp");
	if (!mkdtemp(dir))
		return EXIT_SKIP;
	(void)snprintf(tests, sizeof(tests), "%s/test-jobs", dir);
	(void)snprintf(worker, sizeof(worker), "%s/procsnap-worker", dir);
	int status = EXIT_SKIP;
	if (copy_file("/proc/self/exe", tests) == 0 && link(tests, worker) == 0) {
		pid_t pid = fork();
		if (pid == 0) {
			execl(tests, self, "here", (char *)NULL);
			_exit(EXIT_SKIP);
		}
		if (pid > 0 && waitpid(pid, &status, 0) == pid)
			status = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	}
	(void)unlink(worker);
	(void)unlink(tests);
	(void)rmdir(dir);
	if (status == EXIT_SKIP)
		printf("no program can be run in %s\n", where ? where : "/var/tmp");
	return status;
}

int main(int argc, char *argv[])
{
	if (!strcmp(argv[0], "procsnap-worker"))
		return work();
	if (!test_has_pidfd()) {
		printf("there are no pidfds here\n");
		return EXIT_SKIP;
	}
	return argc > 1 ? run_here() : run_copy(argv[0]);
}
