// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "cmd/corehook/handshake.c" // NOLINT(bugprone-suspicious-include)

/*
 * The coredump socket, with this process in place of the kernel. Who it is that speaks is tested with
 * real crashes; here is what he says.
 */

enum {
	WANTED = 1 << 0 | 1 << 3, ///< the core, and to wait
	REJECTED = 1 << 2,
	OFFERED = 0xf,
	ACK_BYTES = 16,
};

struct words {
	uint32_t size, size_ack;
	uint64_t mask;
	size_t bytes; ///< that are sent of the request; 0: as many as it says
	uint32_t mark;
	int result;
};

static int agree(int sock, uint64_t mask)
{
	int r = hear(sock);
	return r < 0 ? r : say(sock, mask);
}

/// Says all at once, and ends. Returns what is made of it by who answers @mask.
static int speak(const struct words *w, size_t mark_bytes, uint64_t mask, char *ret_ack,
		 ssize_t *ret_ack_len)
{
	char request[8192] = { 0 };
	int socks[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks), 0);
	memcpy(request, &w->size, 4);
	memcpy(request + 4, &w->size_ack, 4);
	memcpy(request + 8, &w->mask, 8);
	size_t len = w->bytes ? w->bytes : MIN((size_t)w->size, sizeof(request));
	assert_int_equal(write(socks[1], request, len), len);
	assert_int_equal(write(socks[1], &w->mark, mark_bytes), mark_bytes);
	assert_int_equal(shutdown(socks[1], SHUT_WR), 0);
	int r = agree(socks[0], mask);
	*ret_ack_len = recv(socks[1], ret_ack, ACK_BYTES + 1, MSG_DONTWAIT);
	(void)close(socks[0]);
	(void)close(socks[1]);
	return r;
}

static void test_requests(void **state _unused_)
{
	static const struct words rows[] = {
		{ 16, 16, OFFERED, 0, 0, 0 },
		{ 16, 16, WANTED | REJECTED, 0, 0, 0 },
		{ 16, 16, UINT64_MAX, 0, 0, 0 },
		{ 16, 4096, OFFERED, 0, 0, 0 }, // a newer kernel
		{ 24, 24, OFFERED, 0, 0, 0 },
		{ 4096, 16, OFFERED, 0, 0, 0 },
		{ 16, 16, OFFERED, 0, 1, -EPROTO }, // COREDUMP_MARK_MINSIZE, "no"
		{ 16, 16, OFFERED, 0, UINT32_MAX, -EPROTO },
		{ 16, 16, 1 << 0, 0, 0, -EOPNOTSUPP },
		{ 16, 16, REJECTED, 0, 0, -EOPNOTSUPP },
		{ 16, 16, 1 << 3, 0, 0, -EOPNOTSUPP },
		{ 16, 16, WANTED, 0, 0, -EOPNOTSUPP },
		{ 16, 16, 0, 0, 0, -EOPNOTSUPP },
		{ 0, 16, OFFERED, 16, 0, -EBADMSG },
		{ 15, 16, OFFERED, 16, 0, -EBADMSG },
		{ 16, 15, OFFERED, 16, 0, -EBADMSG },
		{ 16, 0, OFFERED, 16, 0, -EBADMSG },
		{ 4097, 16, OFFERED, 0, 0, -EBADMSG },
		{ UINT32_MAX, 16, OFFERED, 0, 0, -EBADMSG },
		{ 4096, 16, OFFERED, 4000, 0, -EBADMSG }, // and then the end
	};
	for (size_t i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
		const struct words *w = &rows[i / 2];
		const uint32_t mask = i % 2 ? REJECTED : WANTED;
		char ack[ACK_BYTES + 1];
		ssize_t len;
		assert_int_equal(speak(w, sizeof(w->mark), mask, ack, &len), w->result);
		if (w->result && w->result != -EPROTO) {
			assert_true(len <= 0); // then nothing was promised
			continue;
		}
		// include/uapi/linux/coredump.h: size, spare, mask
		const uint32_t want[] = { ACK_BYTES, 0, mask, 0 };
		assert_int_equal(len, ACK_BYTES);
		assert_memory_equal(ack, want, ACK_BYTES);
	}
}

static void test_cut(void **state _unused_)
{
	for (size_t bytes = 1; bytes < 24; bytes++) {
		const struct words w = { 24, 16, OFFERED, bytes, 0, 0 };
		char ack[ACK_BYTES + 1];
		ssize_t len;
		assert_int_equal(speak(&w, 0, WANTED, ack, &len), -EBADMSG);
		assert_true(len <= 0);
	}
	for (size_t bytes = 0; bytes < sizeof(uint32_t); bytes++) {
		const struct words w = { 24, 16, OFFERED, 0, 0, 0 };
		char ack[ACK_BYTES + 1];
		ssize_t len;
		assert_int_equal(speak(&w, bytes, WANTED, ack, &len), -EBADMSG);
		assert_int_equal(len, ACK_BYTES);
	}
}

/// Somebody who begins a word and does not end it is not waited for.
static void test_silence(void **state _unused_)
{
	int socks[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks), 0);
	assert_int_equal(set_timeout(socks[0], 1), 0);
	assert_int_equal(hear(socks[0]), -EAGAIN);
	assert_int_equal(write(socks[1], "\x10", 1), 1);
	assert_int_equal(hear(socks[0]), -EBADMSG);
	assert_int_equal(say(socks[0], REJECTED), -EAGAIN);
	(void)close(socks[0]);
	(void)close(socks[1]);
}

/// A name may have blanks and parentheses, and newer kernels more fields.
static void test_stat(void **state _unused_)
{
	char text[512] = "7 (a) 1 2 3 ( 4) S";
	for (int i = 4; i < 60; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), " %d", i + 100);
	assert_int_equal(stat_field(text, STAT_THREADS), 120);
	assert_int_equal(stat_field(text, STAT_EXIT_CODE), 152);
	assert_int_equal(stat_field(text, 59), 159);
	static const char *const bad[] = { "",
					   "7",
					   "7 (a",
					   ")",
					   "7 (a) S",
					   "7 (a) S 1 2 3",
					   "7 (a) S                                          ",
					   "7 (a) S - - - - - - - - - - - - - - - - - - - - - -" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(stat_field(bad[i], STAT_THREADS), 0);
	struct crash self = { .ref = PIDREF_NULL };
	if (!test_has_pidfd())
		return;
	assert_int_equal(pidref_open(getpid(), &self.ref), 0);
	read_stat(&self);
	assert_int_equal(self.tid, getpid());
	assert_int_equal(self.signal, 0);
	pidref_deinit(&self.ref);
}

/// We are no crash.
static void test_somebody(void **state _unused_)
{
	int socks[2], before = test_count_fds();
	struct crash crash;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks), 0);
	assert_int_equal(write(socks[1], "x", 1), 1);
	struct snap_error *err = handshake_begin(socks[0], "/nowhere", &crash);
	assert_non_null(err);
	// Kernels that do not tell who it is cannot crash into a socket either.
	assert_true(err->code == SNAP_NOT_PERMITTED || err->code == SNAP_FAILED);
	snap_error_destroy(err);
	pidref_deinit(&crash.ref);
	// He was not listened to, and nothing was said to him.
	char byte;
	assert_int_equal(recv(socks[0], &byte, 1, MSG_DONTWAIT), 1);
	assert_int_equal(recv(socks[1], &byte, 1, MSG_DONTWAIT), -1);
	(void)close(socks[0]);
	(void)close(socks[1]);
	assert_int_equal(test_count_fds(), before);
}

static void test_rlimit(void **state _unused_)
{
	static const uint64_t values[] = { RLIM_INFINITY, 0, 4711 };
	struct rlimit old, now;
	struct pidref self = PIDREF_NULL;
	if (!test_has_pidfd())
		skip();
	assert_int_equal(pidref_open(getpid(), &self), 0);
	assert_int_equal(getrlimit(RLIMIT_CORE, &old), 0);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		now = (struct rlimit){ MIN(values[i], old.rlim_max), old.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_CORE, &now), 0);
		assert_int_equal(read_rlimit(&self), now.rlim_cur);
	}
	assert_int_equal(setrlimit(RLIMIT_CORE, &old), 0);
	pidref_deinit(&self);
	assert_int_equal(read_rlimit(&self), UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests), cmocka_unit_test(test_cut),
		cmocka_unit_test(test_silence),	 cmocka_unit_test(test_somebody),
		cmocka_unit_test(test_rlimit),	 cmocka_unit_test(test_stat),
	};
	return cmocka_run_group_tests_name("handshake", tests, NULL, NULL);
}
