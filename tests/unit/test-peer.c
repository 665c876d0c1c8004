// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/fd.h"
#include "daemon/peer.h"

enum { USER = 12345, GROUP = 12346, OTHER = 12347, MANY = 300 };

static struct sockaddr_un address = { .sun_family = AF_UNIX };
static int listener = -EBADF;
static int before;

static int set_up(void **state _unused_)
{
	// An abstract name: other users and namespaces reach it without a folder.
	(void)snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "procsnap-unit-%d",
		       getpid());
	before = test_count_fds();
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 5), 0);
	return 0;
}

static int tear_down(void **state _unused_)
{
	snap_closep(&listener);
	return test_count_fds() == before ? 0 : -1;
}

/// A client: becomes somebody with @become, connects, and stays until it is told to end.
struct client {
	int (*become)(void);
	int told[2]; ///< it ends when this is closed
};

static int run_client(void *userdata)
{
	const struct client *c = userdata;
	char byte;
	(void)close(c->told[1]);
	if (c->become && c->become() < 0)
		return EXIT_SKIP;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return 1;
	return read(c->told[0], &byte, 1) == 0 ? 0 : 1;
}

/// Who the kernel says it is. False when it cannot become that here.
static bool identify(int (*become)(void), struct peer *ret)
{
	struct client c = { .become = become };
	assert_int_equal(pipe2(c.told, O_CLOEXEC), 0);
	pid_t pid = test_fork(run_client, &c);
	(void)close(c.told[0]);
	int fd = -1, status = -1;
	while (fd < 0 && status < 0) {
		struct timeval tv = { .tv_sec = 0, .tv_usec = 100000 };
		(void)setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		int s;
		if (fd < 0 && waitpid(pid, &s, WNOHANG) == pid)
			status = WEXITSTATUS(s);
	}
	if (fd >= 0)
		assert_int_equal(peer_identify(fd, ret), 0);
	snap_closep(&fd);
	(void)close(c.told[1]);
	if (status < 0)
		status = test_wait(pid);
	assert_true(status == 0 || status == EXIT_SKIP);
	return status == 0;
}

#define identify_or_skip(become, peer)                      \
	do {                                                \
		if (!identify(become, peer))                \
			skip_test("cannot become that here"); \
	} while (0)

static int become_user(void)
{
	static const gid_t groups[] = { GROUP, OTHER };
	return setgroups(2, groups) < 0 || setresgid(GROUP, GROUP, GROUP) < 0 ?
		       -1 :
		       setresuid(USER, USER, USER);
}

static int become_member_of_many(void)
{
	gid_t groups[MANY];
	for (size_t i = 0; i < MANY; i++)
		groups[i] = (gid_t)(20000 + i);
	return setgroups(MANY, groups) < 0 || setresgid(GROUP, GROUP, GROUP) < 0 ?
		       -1 :
		       setresuid(USER, USER, USER);
}

static int become_lonely(void)
{
	return setgroups(0, NULL) < 0 || setresgid(GROUP, GROUP, GROUP) < 0 ?
		       -1 :
		       setresuid(USER, USER, USER);
}

/// As in a set-user-ID program of root's that a user has started.
static int become_effective_root(void)
{
	return setresuid(USER, 0, 0);
}

/// As a program of root's that works for a user now.
static int become_effective_user(void)
{
	return setresuid(0, USER, 0);
}

static int drop_tracing(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	if (syscall(SYS_capget, &head, data) < 0)
		return -1;
	data[0].effective &= ~(1U << CAP_SYS_PTRACE);
	return (int)syscall(SYS_capset, &head, data);
}

static int enter_user_namespace(void)
{
	return unshare(CLONE_NEWUSER);
}

static int enter_user_namespace_as_user(void)
{
	return become_user() < 0 ? -1 : unshare(CLONE_NEWUSER);
}

static bool need_root(void)
{
	if (geteuid() == 0)
		return true;
	print_message("skipped: needs root\n");
	return false;
}

static void test_self(void **state _unused_)
{
	struct peer peer;
	assert_true(identify(NULL, &peer));
	assert_true(peer.pid > 0);
	assert_int_equal(peer.uid, geteuid());
	assert_int_equal(peer.gid, getegid());
	assert_string_equal(peer.comm, "test-peer");
	assert_false(peer.outside);
	assert_null(peer_check(&peer));
	if (geteuid() == 0 && peer.tracer) {
		assert_true(peer_is_privileged(&peer, (gid_t)-1));
		assert_true(peer_is_privileged(&peer, 5));
	}
	peer_deinit(&peer);
	assert_null(peer.groups);
	assert_int_equal(peer.n_groups, 0);
}

static void test_user(void **state _unused_)
{
	struct peer peer;
	if (!need_root())
		skip();
	assert_true(identify(become_user, &peer));
	assert_int_equal(peer.uid, USER);
	assert_int_equal(peer.gid, GROUP);
	assert_int_equal(peer.n_groups, 2);
	assert_int_equal(peer.groups[0], GROUP);
	assert_int_equal(peer.groups[1], OTHER);
	assert_false(peer.tracer);
	assert_false(peer.outside);
	assert_null(peer_check(&peer));
	assert_false(peer_is_privileged(&peer, (gid_t)-1));
	assert_false(peer_is_privileged(&peer, 0));
	assert_false(peer_is_privileged(&peer, USER)); // a number of a user
	assert_true(peer_is_privileged(&peer, GROUP));
	assert_true(peer_is_privileged(&peer, OTHER));
	peer.outside = true;
	assert_false(peer_is_privileged(&peer, OTHER));
	assert_code(peer_check(&peer), SNAP_NOT_PERMITTED);
	_cleanup_(json_destroyp) struct json *json = peer_identity(&peer);
	assert_int_equal(json_get_u64(json, "uid", 0), USER);
	assert_int_equal(json_get_u64(json, "gid", 0), GROUP);
	assert_int_equal(json_length(json_get(json, "groups")), 2);
	assert_int_equal(json_u64_value(json_at(json_get(json, "groups"), 1), 0), OTHER);
	peer_deinit(&peer);
}

static void test_groups(void **state _unused_)
{
	struct peer peer;
	if (!need_root())
		skip();
	assert_true(identify(become_lonely, &peer));
	assert_int_equal(peer.n_groups, 0);
	assert_true(peer_is_privileged(&peer, GROUP)); // his own counts
	_cleanup_(json_destroyp) struct json *none = peer_identity(&peer);
	assert_int_equal(json_length(json_get(none, "groups")), 0);
	peer_deinit(&peer);
	// More than there is room for at first.
	assert_true(identify(become_member_of_many, &peer));
	assert_int_equal(peer.n_groups, MANY);
	assert_int_equal(peer.groups[MANY - 1], 20000 + MANY - 1);
	assert_true(peer_is_privileged(&peer, 20000 + MANY - 1));
	assert_false(peer_is_privileged(&peer, 20000 + MANY));
	peer_deinit(&peer);
}

/// It is the effective user id that counts, for the kernel and for us.
static void test_ids_that_differ(void **state _unused_)
{
	struct peer peer;
	if (!need_root())
		skip();
	assert_true(identify(become_effective_root, &peer));
	assert_int_equal(peer.uid, 0);
	assert_null(peer_check(&peer));
	peer_deinit(&peer);
	assert_true(identify(become_effective_user, &peer));
	assert_int_equal(peer.uid, USER);
	assert_false(peer.tracer);
	assert_false(peer_is_privileged(&peer, (gid_t)-1));
	peer_deinit(&peer);
}

static void test_root_that_may_not_trace(void **state _unused_)
{
	struct peer peer;
	if (!need_root())
		skip();
	identify_or_skip(drop_tracing, &peer);
	assert_int_equal(peer.uid, 0);
	assert_false(peer.tracer);
	assert_false(peer_is_privileged(&peer, (gid_t)-1));
	assert_false(peer_is_privileged(&peer, 0)); // nor by its group
	assert_code(peer_check(&peer), SNAP_NOT_PERMITTED);
	peer_deinit(&peer);
}

static void test_other_user_namespace(void **state _unused_)
{
	struct peer peer;
	if (!need_root())
		skip();
	identify_or_skip(enter_user_namespace, &peer);
	assert_true(peer.outside);
	assert_false(peer_is_privileged(&peer, (gid_t)-1));
	assert_code(peer_check(&peer), SNAP_NOT_PERMITTED);
	peer_deinit(&peer);
	identify_or_skip(enter_user_namespace_as_user, &peer);
	assert_true(peer.outside);
	assert_false(peer_is_privileged(&peer, GROUP));
	assert_code(peer_check(&peer), SNAP_NOT_PERMITTED);
	peer_deinit(&peer);
}

/// Children of whoever enters a pid namespace are inside, so this one forks again.
static int run_client_inside(void *userdata)
{
	if (unshare(CLONE_NEWPID) < 0)
		return EXIT_SKIP;
	pid_t pid = fork();
	if (pid == 0)
		_exit(run_client(userdata));
	int status;
	const struct client *c = userdata;
	(void)close(c->told[1]);
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void test_other_pid_namespace(void **state _unused_)
{
	struct client c = { .become = NULL };
	struct peer peer;
	if (!need_root())
		skip();
	assert_int_equal(pipe2(c.told, O_CLOEXEC), 0);
	pid_t pid = test_fork(run_client_inside, &c);
	(void)close(c.told[0]);
	struct timeval tv = { .tv_sec = 60 };
	(void)setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	bool connected = fd >= 0;
	if (connected)
		assert_int_equal(peer_identify(fd, &peer), 0);
	snap_closep(&fd);
	(void)close(c.told[1]);
	int status = test_wait(pid);
	if (status == EXIT_SKIP)
		skip_test("cannot make a pid namespace here");
	assert_true(connected);
	assert_true(peer.outside);
	assert_false(peer_is_privileged(&peer, (gid_t)-1));
	assert_code(peer_check(&peer), SNAP_NOT_PERMITTED);
	peer_deinit(&peer);
}

static int connect_and_leave(void *userdata)
{
	const int *fd = userdata;
	return connect(*fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : 1;
}

/// The connection outlives whoever made it; nobody knows any more who that was.
static void test_client_that_has_ended(void **state _unused_)
{
	_cleanup_close_ int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(test_wait(test_fork(connect_and_leave, &client)), 0);
	_cleanup_close_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	struct peer peer;
	assert_int_equal(peer_identify(fd, &peer), 0);
	assert_true(peer.outside);
	assert_false(peer_is_privileged(&peer, (gid_t)-1));
	assert_code(peer_check(&peer), SNAP_NOT_PERMITTED);
	peer_deinit(&peer);
}

/// It has connected as one, and is another one by the time it is looked at.
static int connect_and_become(void *userdata)
{
	const struct client *c = userdata;
	char byte;
	(void)close(c->told[1]);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    become_user() < 0)
		return 1;
	return read(c->told[0], &byte, 1) == 0 ? 0 : 1;
}

static bool has_become_user(pid_t pid)
{
	char path[64];
	struct stat st;
	(void)snprintf(path, sizeof(path), "/proc/%d", pid);
	return stat(path, &st) == 0 && st.st_uid == USER;
}

static void test_client_that_changes(void **state _unused_)
{
	struct client c = { .become = NULL };
	struct peer peer;
	if (!need_root())
		skip();
	assert_int_equal(pipe2(c.told, O_CLOEXEC), 0);
	pid_t pid = test_fork(connect_and_become, &c);
	(void)close(c.told[0]);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	for (int i = 0; i < 1000 && !has_become_user(pid); i++)
		(void)usleep(10000);
	assert_int_equal(peer_identify(fd, &peer), 0);
	snap_closep(&fd);
	(void)close(c.told[1]);
	assert_int_equal(test_wait(pid), 0);
	assert_false(peer_is_privileged(&peer, (gid_t)-1));
	assert_code(peer_check(&peer), SNAP_NOT_PERMITTED);
	peer_deinit(&peer);
}

static void test_no_socket(void **state _unused_)
{
	struct peer peer;
	_cleanup_close_ int fd = test_memfd();
	assert_true(peer_identify(fd, &peer) < 0);
	assert_true(peer_identify(-EBADF, &peer) < 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_self),
		TEST(test_user),
		TEST(test_groups),
		TEST(test_ids_that_differ),
		TEST(test_root_that_may_not_trace),
		TEST(test_other_user_namespace),
		TEST(test_other_pid_namespace),
		TEST(test_client_that_has_ended),
		TEST(test_client_that_changes),
		TEST(test_no_socket),
	};
	if (!test_has_pidfd()) {
		printf("skipped: no pidfds\n");
		return 77;
	}
	return cmocka_run_group_tests_name("peer", tests, NULL, NULL);
}
