// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * procsnap-corehook: started by the kernel for each crash, as kernel.core_pattern says; or, with
 * --listen STORE [PATH], waits at the coredump socket and is that for each connection.
 *
 * Puts what is known of the crash into a folder of the store, asks the daemon what to keep, copies
 * the memory, and lets the process go by closing the stream. The daemon makes a dump of the folder,
 * later if it does not run. So nothing here may wait for the daemon without a limit, and whatever
 * goes wrong, the process must be let go.
 *
 * It is two processes: the holder keeps the stream open, and the copier does the work. When the
 * copier is killed, the holder starts another one; when the holder is killed, the copier goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/corehook/ask.h"
#include "cmd/corehook/binaries.h"
#include "cmd/corehook/crash.h"
#include "cmd/corehook/folder.h"
#include "cmd/corehook/handshake.h"
#include "cmd/corehook/listen.h"
#include "cmd/corehook/place.h"
#include "cmd/corehook/share.h"
#include "cmd/corehook/take.h"
#include "common/corepattern.h"
#include "common/crashverdict.h"
#include "common/fd.h"

enum {
	COPIERS_MAX = 3, ///< more than one is killed only on purpose
	// Longer than a disk that works takes for any core.
	COPY_LIMIT_MS = 30 * 60 * 1000,
	// A read of memory, see patientmem.h; a machine that swaps may be slow.
	READ_LIMIT_MS = 30 * 1000,
	STEP_MS = 1000,
};

/// To the kernel's log: standard error of a hook leads nowhere, and journald may be what crashed.
/// @crash may be NULL.
static void complain(const struct crash *crash, const char *what)
{
	char text[512] = "";
	if (crash)
		(void)snprintf(text, sizeof(text), "process %d of user %u crashed by signal %d: ",
			       crash->ref.pid, crash->uid, crash->signal);
	fprintf(stderr, "%s%s\n", text, what);
	_cleanup_close_ int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (fd >= 0)
		dprintf(fd, "<4>procsnap-corehook[%d]: %s%s\n", getpid(), text, what);
}

/// For the record: what the daemon said, and where it crashed.
static void add_answer(const struct answer *answer, const struct json *place, struct json *result)
{
	json_set_shared(result, "place", place);
	crashverdict_copy(answer->told, result);
}

/// The process is let go here: by us, and by the holder as soon as it reads this.
static void let_go(int holder)
{
	(void)close(CRASH_STREAM_FD);
	(void)snap_write_all(holder, "r", 1);
}

/**
 * Makes the folder complete and lets the process go.
 *
 * Only a folder that is complete is published, and only then may the process go; but what is copied
 * of @binaries can be without it. If we are killed meanwhile, all that is in the folder is recorded
 * nevertheless, a minute later.
 */
static struct snap_error *publish(struct hook *hook, const struct answer *answer,
				  struct binaries *binaries, const struct json *result, int holder)
{
	struct snap_error *err = folder_write_result(&hook->folder, result);
	if (!err && !binaries)
		err = folder_publish(&hook->folder);
	let_go(holder);
	if (!binaries)
		return err;
	ask_copied(answer->sock);
	binaries_keep(binaries, &hook->folder);
	return err ? err : folder_publish(&hook->folder);
}

/// The folder is complete. @whole, with its @result, is a core in memory, or negative.
static void tell_daemon(const struct hook *hook, struct answer *answer, int whole,
			const struct json *result)
{
	if (answer->sock >= 0)
		ask_done(TAKE_FD(answer->sock), &hook->folder, whole, result);
	else
		ask_to_start();
}

/// Lets the kernel write the core, or not. Returns whether it will.
static bool answer_kernel(const struct hook *hook, enum handshake_answer answer)
{
	struct snap_error *err = handshake_end(CRASH_STREAM_FD, &hook->crash, answer);
	bool ok = !err;
	if (err)
		complain(&hook->crash, err->message);
	snap_error_destroy(err);
	return ok && answer == HANDSHAKE_TAKE;
}

/// The kernel asks whether to write a core. True when there is to be none: then all is done.
static bool refuse(struct hook *hook)
{
	struct answer answer;
	ask_early(&hook->crash, &hook->folder, hook->share, &answer);
	bool drop = answer.action == ACTION_DROP;
	if (drop) {
		_cleanup_(json_destroyp) struct json *result = json_new_object();
		json_set_text(result, "mode", "rejected");
		add_answer(&answer, NULL, result);
		struct snap_error *err = folder_write_result(&hook->folder, result);
		if (!err)
			err = folder_publish(&hook->folder);
		(void)answer_kernel(hook, HANDSHAKE_REJECT);
		if (err)
			complain(&hook->crash, err->message);
		else
			tell_daemon(hook, &answer, -EBADF, NULL);
		snap_error_destroy(err);
	}
	answer_deinit(&answer);
	return drop;
}

/// The copier: all of the work. Returns its exit status.
static int copy_and_publish(struct hook *hook, int holder)
{
	_cleanup_taken_ struct taken taken = TAKEN_NULL;
	struct binaries *binaries = NULL;
	struct answer answer;
	_cleanup_(json_destroyp) struct json *place = place_describe(&hook->crash, &hook->head);
	ask_daemon(&hook->crash, &hook->folder, place, take_wants_memory(hook), hook->share,
		   &answer);
	struct snap_error *err = NULL;
	if (answer.action == ACTION_DROP) {
		taken.result = json_new_object();
	} else {
		binaries = binaries_open(hook);
		err = take_core(hook, &answer, &taken);
	}
	if (err)
		complain(&hook->crash, err->message);
	snap_error_destroy(err);
	add_answer(&answer, place, taken.result);
	err = publish(hook, &answer, binaries, taken.result, holder);
	if (err)
		complain(&hook->crash, err->message);
	else
		tell_daemon(hook, &answer, taken.whole, taken.whole_result);
	int status = err ? 1 : 0;
	answer_deinit(&answer);
	snap_error_destroy(err);
	return status;
}

/// Waits for the copier. Returns 0 when it has let the process go.
static int hold(int copier, const struct share *share)
{
	char byte;
	struct pollfd pfd = { .fd = copier, .events = POLLIN };
	uint64_t calls = share->calls;
	int n = 0, stalled_ms = 0;
	for (int ms = 0; ms < COPY_LIMIT_MS && n <= 0; ms += STEP_MS) {
		n = poll(&pfd, 1, STEP_MS);
		if (n < 0 && errno != EINTR)
			return -ETIMEDOUT;
		stalled_ms = share->calls == calls && share_is_reading(share) ?
				     stalled_ms + STEP_MS :
				     0;
		calls = share->calls;
		if (n == 0 && stalled_ms >= READ_LIMIT_MS)
			return -ESTALE;
	}
	if (n <= 0)
		return -ETIMEDOUT;
	return read(copier, &byte, 1) == 1 ? 0 : -ECHILD;
}

/// Starts a copier and holds the process for it. Returns 0 when that has let it go.
static int run_copier(struct hook *hook)
{
	int pipefd[2];
	if (pipe2(pipefd, O_CLOEXEC) < 0)
		return copy_and_publish(hook, -EBADF);
	pid_t pid = fork();
	if (pid == 0) {
		(void)close(pipefd[0]);
		_exit(copy_and_publish(hook, pipefd[1]));
	}
	(void)close(pipefd[1]);
	if (pid < 0) { // no process can be had: then without a holder
		(void)close(pipefd[0]);
		return copy_and_publish(hook, -EBADF);
	}
	int r = hold(pipefd[0], hook->share);
	(void)close(pipefd[0]);
	if (r == -ETIMEDOUT || r == -ESTALE)
		(void)kill(pid, SIGKILL);
	if (r == -ESTALE) { // the next one does better
		share_avoid(hook->share);
		r = -ECHILD;
	}
	// One that has threads which do not come back does not end, and is not waited for.
	(void)waitpid(pid, NULL, WNOHANG);
	return r;
}

static void set_up(void)
{
	// Our own crash must not start another one of us. The kernel sees to that for a pipe (a
	// core limit of 1), and for a socket this does.
	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)signal(SIGPIPE, SIG_IGN);
	// The kernel starts us with standard input only; 1 and 2 must not become files of ours.
	for (int fd = fcntl(2, F_GETFD) < 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;
	     fd >= 0 && fd < 2;)
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	// A crashing program's limit on files may have been inherited by nobody, but ours may not
	// cut a core.
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	(void)setrlimit(RLIMIT_FSIZE, &unlimited);
}

/// There is no room for a folder: the daemon is told all that there would be in it.
static void record_elsewhere(const struct hook *hook, const char *why)
{
	_cleanup_free_ char *path = NULL;
	if (hook->folder.crashes < 0)
		return;
	_cleanup_close_ int elsewhere = folder_create_elsewhere(&hook->crash, &path);
	(void)close(CRASH_STREAM_FD); // the process is not needed any more
	(void)ask_to_record(&hook->crash, &hook->folder, why, elsewhere);
	if (elsewhere >= 0)
		folder_remove_elsewhere(elsewhere, path);
}

static void read_head(struct hook *hook)
{
	head_read(&hook->head, CRASH_STREAM_FD, hook->crash.ref.pid);
	crash_add_head(&hook->crash, &hook->head.snap, &hook->head.facts);
}

/// Of a pipe, into which the kernel writes whatever we say.
static struct snap_error *begin_pipe(struct hook *hook)
{
	read_head(hook);
	struct snap_error *err = folder_create(&hook->crash, &hook->folder);
	if (err)
		record_elsewhere(hook, err->message);
	return err;
}

/// Of a socket, where the kernel waits for an answer. @ret_more: is there anything left to do?
static struct snap_error *begin_socket(struct hook *hook, bool *ret_more)
{
	struct snap_error *err = folder_create(&hook->crash, &hook->folder);
	if (err) {
		record_elsewhere(hook, err->message);
		return err;
	}
	*ret_more = !refuse(hook);
	// One that is killed meanwhile leaves a folder of which the daemon makes a record.
	if (*ret_more && answer_kernel(hook, HANDSHAKE_TAKE))
		read_head(hook);
	return NULL;
}

/// From the first look at a crash to its end. Takes what is in @hook.
static int handle(struct hook *hook, bool is_socket, struct snap_error *err)
{
	bool more = true;
	hook->share = share_create();
	if (!err)
		err = is_socket ? begin_socket(hook, &more) : begin_pipe(hook);
	int r = err || !more ? 0 : -ECHILD;
	for (int i = 0; r == -ECHILD && i < COPIERS_MAX; i++)
		r = run_copier(hook);
	// Also when it was in vain, and before anything else: the process waits for this.
	(void)close(CRASH_STREAM_FD);
	if (r)
		err = snap_error_new(SNAP_FAILED, "gave up copying process %d",
				     hook->crash.ref.pid);
	// Without a folder and without a daemon this is all that is told of the crash.
	if (err)
		complain(&hook->crash, err->message);
	int status = err ? (int)err->code : 0;
	if (!hook->share->n_avoided) // see take_core()
		head_deinit(&hook->head);
	folder_deinit(&hook->folder);
	pidref_deinit(&hook->crash.ref);
	snap_error_destroy(err);
	return status;
}

static int handle_connection(void *userdata)
{
	struct hook hook = { .crash.ref = PIDREF_NULL, .folder = FOLDER_NULL };
	return handle(&hook, true, handshake_begin(CRASH_STREAM_FD, userdata, &hook.crash));
}

static int listen_in(char *store, const char *path)
{
	if (store[0] != '/') {
		fprintf(stderr, "procsnap-corehook: the store is not an absolute path: %s\n",
			store);
		return SNAP_USAGE;
	}
	set_up();
	struct snap_error *err = listen_for_crashes(path, handle_connection, store);
	if (err)
		complain(NULL, err->message);
	int status = err ? (int)err->code : 0;
	snap_error_destroy(err);
	return status;
}

int main(int argc, char *argv[])
{
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		printf("procsnap-corehook %s\n", PROCSNAP_VERSION);
		return 0;
	}
	if ((argc == 3 || argc == 4) && !strcmp(argv[1], "--listen"))
		return listen_in(argv[2], argc == 4 ? argv[3] : COREPATTERN_SOCKET_PATH);
	struct hook hook = { .crash.ref = PIDREF_NULL, .folder = FOLDER_NULL };
	struct snap_error *err = crash_from_args(argc, argv, &hook.crash);
	if (err && err->code == SNAP_USAGE) {
		complain(NULL, err->message);
		snap_error_destroy(err);
		return SNAP_USAGE;
	}
	set_up();
	return handle(&hook, false, err);
}
