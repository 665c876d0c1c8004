// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/ipc.h"

struct pair {
	int fds[2];
	int before; ///< descriptors that were open
};

static int set_up(void **state)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	pair->before = test_count_fds();
	assert_int_equal(ipc_pair(pair->fds), 0);
	*state = pair;
	return 0;
}

static int tear_down(void **state)
{
	struct pair *pair = *state;
	snap_closep(&pair->fds[0]);
	snap_closep(&pair->fds[1]);
	bool leaked = test_count_fds() != pair->before;
	if (leaked)
		print_error("descriptors leaked: %d\n", test_count_fds() - pair->before);
	free(pair);
	return leaked ? -1 : 0;
}

static void assert_no_fds(const int fds[static IPC_MAX_FDS], int from)
{
	for (int i = from; i < IPC_MAX_FDS; i++)
		assert_int_equal(fds[i], -EBADF);
}

static void test_plain(void **state)
{
	struct pair *pair = *state;
	assert_true(fcntl(pair->fds[0], F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(pair->fds[1], F_GETFD) & FD_CLOEXEC);
	_cleanup_(json_destroyp) struct json *json = json_new_object(), *back = NULL, *again = NULL;
	json_set_u64(json, "n", UINT64_MAX);
	int fds[IPC_MAX_FDS] = { 0 };
	// Two messages keep their bounds.
	assert_int_equal(ipc_send(pair->fds[0], json, NULL, 0, 0), 0);
	json_set_u64(json, "n", 2);
	assert_int_equal(ipc_send(pair->fds[0], json, NULL, 0, 0), 0);
	assert_int_equal(ipc_recv(pair->fds[1], &back, fds), 0);
	assert_int_equal(json_get_u64(back, "n", 0), UINT64_MAX);
	assert_no_fds(fds, 0);
	assert_int_equal(ipc_recv(pair->fds[1], &again, fds), 0);
	assert_int_equal(json_get_u64(again, "n", 0), 2);
}

static void test_fds(void **state)
{
	struct pair *pair = *state;
	for (size_t n = 0; n <= IPC_MAX_FDS; n++) {
		_cleanup_(json_destroyp) struct json *json = json_new_object(), *back = NULL;
		int sent[IPC_MAX_FDS], got[IPC_MAX_FDS];
		for (size_t i = 0; i < n; i++)
			sent[i] = test_memfd();
		assert_int_equal(ipc_send(pair->fds[0], json, sent, n, 0), 0);
		assert_int_equal(ipc_recv(pair->fds[1], &back, got), 0);
		assert_no_fds(got, (int)n);
		for (size_t i = 0; i < n; i++) {
			struct stat a, b;
			assert_int_equal(fstat(sent[i], &a), 0);
			assert_int_equal(fstat(got[i], &b), 0);
			assert_int_equal(a.st_ino, b.st_ino); // in order
			assert_true(fcntl(got[i], F_GETFD) & FD_CLOEXEC);
			(void)close(sent[i]);
			(void)close(got[i]);
		}
	}
	_cleanup_(json_destroyp) struct json *json = json_new_object();
	static const int many[IPC_MAX_FDS + 1] = { 0 };
	assert_true(ipc_send(pair->fds[0], json, many, IPC_MAX_FDS + 1, 0) < 0);
	static const int closed = 1000;
	assert_int_equal(ipc_send(pair->fds[0], json, &closed, 1, 0), -EBADF);
}

/// Sends anything at all.
static void send_raw(int sock, const void *data, size_t len, int fd, size_t n_fds)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(64 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (n_fds) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		for (size_t i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(&control.head) + i * sizeof(int), &fd, sizeof(fd));
	}
	assert_int_equal(sendmsg(sock, &msg, 0), len);
}

/// The message is refused, and its descriptors are closed.
static void refuse(struct pair *pair, int want)
{
	struct json *json = (struct json *)4711;
	int fds[IPC_MAX_FDS] = { 4711, 4711, 4711, 4711 }, before = test_count_fds();
	assert_int_equal(ipc_recv(pair->fds[1], &json, fds), want);
	assert_ptr_equal(json, (struct json *)4711); // untouched
	assert_int_equal(fds[0], 4711);
	assert_int_equal(test_count_fds(), before);
}

static void test_too_many_fds(void **state)
{
	static const size_t counts[] = { IPC_MAX_FDS + 1, 2 * IPC_MAX_FDS, 2 * IPC_MAX_FDS + 1,
					 60 };
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		send_raw(((struct pair *)*state)->fds[0], "{}", 2, 0, counts[i]);
		refuse(*state, -EBADMSG);
	}
}

static void test_bad_messages(void **state)
{
	static const char *const bad[] = { "x", "[]", "{}x", "{", "\n", "{\"a\":\"\xff\"}" };
	struct pair *pair = *state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		send_raw(pair->fds[0], bad[i], strlen(bad[i]), 0, IPC_MAX_FDS);
		refuse(pair, -EBADMSG);
	}
	send_raw(pair->fds[0], "{}\0", 3, 0, 1);
	refuse(pair, -EBADMSG);
}

/// A message without a byte looks like the end of the stream; its descriptors must go as well.
static void test_empty_message(void **state)
{
	struct pair *pair = *state;
	send_raw(pair->fds[0], "", 0, 0, 2);
	struct json *json = NULL;
	int fds[IPC_MAX_FDS], before = test_count_fds();
	assert_true(ipc_recv(pair->fds[1], &json, fds) < 0);
	assert_int_equal(test_count_fds(), before);
}

static struct json *of_size(size_t bytes)
{
	static const char head[] = "{\"t\":\"\"}";
	size_t len = bytes - (sizeof(head) - 1);
	_cleanup_free_ char *text = malloc(len + 1);
	assert_non_null(text);
	memset(text, 'x', len);
	text[len] = '\0';
	struct json *json = json_new_object();
	json_set_text(json, "t", text);
	assert_int_equal(strlen(json_text(json)), bytes);
	return json;
}

static void test_large(void **state)
{
	struct pair *pair = *state;
	_cleanup_(json_destroyp) struct json *max = of_size(IPC_MAX_BYTES), *back = NULL;
	_cleanup_(json_destroyp) struct json *more = of_size(IPC_MAX_BYTES + 1);
	int fds[IPC_MAX_FDS];
	assert_int_equal(ipc_send(pair->fds[0], more, NULL, 0, 0), -EMSGSIZE);
	assert_int_equal(ipc_send(pair->fds[0], max, NULL, 0, 0), 0);
	assert_int_equal(ipc_recv(pair->fds[1], &back, fds), 0);
	assert_string_equal(json_text(back), json_text(max));
	// One byte more than the reader takes, from somebody who does not keep to the rules.
	const char *text = json_text(more);
	send_raw(pair->fds[0], text, strlen(text), 0, 1);
	refuse(pair, -EBADMSG);
}

static void test_closed_peer(void **state)
{
	struct pair *pair = *state;
	_cleanup_(json_destroyp) struct json *json = json_new_object();
	assert_int_equal(ipc_send(pair->fds[0], json, NULL, 0, 0), 0);
	snap_closep(&pair->fds[0]);
	pair->fds[0] = -EBADF;
	_cleanup_(json_destroyp) struct json *back = NULL;
	int fds[IPC_MAX_FDS];
	assert_int_equal(ipc_recv(pair->fds[1], &back, fds), 0); // what was sent before counts
	assert_non_null(back);
	refuse(pair, -ECONNRESET);
	// And no SIGPIPE.
	assert_int_equal(ipc_send(pair->fds[1], json, NULL, 0, 0), -EPIPE);
}

static void test_dontwait(void **state)
{
	struct pair *pair = *state;
	_cleanup_(json_destroyp) struct json *json = of_size(10000);
	int sent = 0, r;
	while ((r = ipc_send(pair->fds[0], json, NULL, 0, MSG_DONTWAIT)) == 0)
		sent++;
	assert_int_equal(r, -EAGAIN);
	assert_true(sent > 0);
	for (int i = 0; i < sent; i++) {
		_cleanup_(json_destroyp) struct json *back = NULL;
		int fds[IPC_MAX_FDS];
		assert_int_equal(ipc_recv(pair->fds[1], &back, fds), 0);
	}
	assert_int_equal(ipc_send(pair->fds[0], json, NULL, 0, MSG_DONTWAIT), 0);
}

static void test_no_json(void **state)
{
	struct pair *pair = *state;
	assert_true(ipc_send(pair->fds[0], NULL, NULL, 0, 0) < 0);
	_cleanup_(json_destroyp) struct json *json = json_new_object();
	assert_int_equal(ipc_send(-EBADF, json, NULL, 0, 0), -EBADF);
	struct json *back = NULL;
	int fds[IPC_MAX_FDS];
	assert_int_equal(ipc_recv(-EBADF, &back, fds), -EBADF);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_plain),	 TEST(test_fds),   TEST(test_too_many_fds),
		TEST(test_bad_messages), TEST(test_large), TEST(test_closed_peer),
		TEST(test_dontwait),	 TEST(test_no_json), TEST(test_empty_message),
	};
	return cmocka_run_group_tests_name("ipc", tests, NULL, NULL);
}
