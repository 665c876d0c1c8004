// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/varlink.h"

enum { MAX_BYTES = 64 << 10 };

struct pair {
	int raw; ///< the other end, which need not keep to any rules
	struct varlink link;
	int before; ///< descriptors that were open
};

static int set_up(void **state)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	int fds[2];
	pair->before = test_count_fds();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	pair->raw = fds[0];
	varlink_init(&pair->link, fds[1], MAX_BYTES);
	*state = pair;
	return 0;
}

static int tear_down(void **state)
{
	struct pair *pair = *state;
	snap_closep(&pair->raw);
	varlink_deinit(&pair->link);
	int leaked = test_count_fds() - pair->before;
	if (leaked)
		print_error("descriptors leaked: %d\n", leaked);
	free(pair);
	return leaked ? -1 : 0;
}

/// Sends @len bytes, and with the first of them @n_fds times @fd.
static void send_raw(struct pair *pair, const void *data, size_t len, int fd, size_t n_fds)
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
	assert_int_equal(sendmsg(pair->raw, &msg, MSG_NOSIGNAL), len);
}

/// One message with its NUL.
static void say(struct pair *pair, const char *text)
{
	send_raw(pair, text, strlen(text) + 1, -1, 0);
}

/// The next message, waited for as long as there are bytes.
static int next(struct pair *pair, struct json **ret)
{
	for (;;) {
		int r = varlink_next(&pair->link, ret);
		if (r)
			return r;
		r = varlink_fill(&pair->link);
		if (r <= 0)
			return r;
	}
}

/// The next message has @want as "n".
static void expect_number(struct pair *pair, uint64_t want)
{
	_cleanup_(json_destroyp) struct json *json = NULL;
	assert_int_equal(next(pair, &json), 1);
	assert_int_equal(json_get_u64(json, "n", UINT64_MAX), want);
}

static void expect_nothing(struct pair *pair, int want)
{
	struct json *json = (struct json *)4711;
	assert_int_equal(next(pair, &json), want);
	assert_ptr_equal(json, (struct json *)4711);
}

static ino_t inode(int fd)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

/// Descriptor @index of the message that was taken last is the file @fd, and not inherited.
static void expect_fd(struct pair *pair, size_t index, int fd)
{
	int got = varlink_take_fd(&pair->link, index);
	assert_true(got >= 0);
	assert_int_equal(inode(got), inode(fd));
	assert_true(fcntl(got, F_GETFD) & FD_CLOEXEC);
	(void)close(got);
	assert_int_equal(varlink_take_fd(&pair->link, index), -EBADF); // only once
}

// ---- messages ------------------------------------------------------------------------------

static void test_pieces(void **state)
{
	static const char text[] = "{\"n\":1,\"t\":\"\xc3\xa4\"}\0{\"n\":2}\0{}";
	struct pair *pair = *state;
	for (size_t size = 1; size <= sizeof(text); size++) {
		size_t numbers = 0, at = 0;
		while (at < sizeof(text)) {
			size_t n = MIN(size, sizeof(text) - at);
			_cleanup_(json_destroyp) struct json *json = NULL;
			send_raw(pair, text + at, n, -1, 0);
			at += n;
			while (next(pair, &json) > 0) {
				numbers++;
				if (numbers < 3)
					assert_int_equal(json_get_u64(json, "n", 0), numbers);
				json_destroy(TAKE_PTR(json));
			}
		}
		assert_int_equal(numbers, 3);
		assert_false(varlink_has_message(&pair->link));
	}
}

static void test_several_in_one_read(void **state)
{
	static const char text[] = "{\"n\":1}\0{\"n\":2}\0{\"n\":3}\0{\"n\"";
	struct pair *pair = *state;
	send_raw(pair, text, sizeof(text) - 1, -1, 0);
	for (uint64_t i = 1; i <= 3; i++)
		expect_number(pair, i);
	expect_nothing(pair, 0);
	say(pair, ":4}");
	expect_number(pair, 4);
}

static void test_nothing_yet(void **state)
{
	struct pair *pair = *state;
	assert_int_equal(varlink_fill(&pair->link), 0);
	assert_false(varlink_has_message(&pair->link));
	expect_nothing(pair, 0);
	send_raw(pair, "{", 1, -1, 0);
	assert_int_equal(varlink_fill(&pair->link), 1);
	assert_false(varlink_has_message(&pair->link));
	send_raw(pair, "}", 2, -1, 0);
	assert_int_equal(varlink_fill(&pair->link), 1);
	assert_true(varlink_has_message(&pair->link));
}

static void test_bad_messages(void **state)
{
	static const char *const bad[] = {
		"", " ", "x", "[]", "7", "null", "\"t\"", "{", "{}x", "{}{}", "{\"t\":\"\xff\"}",
		"{\"t\":\"\xed\xa0\x80\"}", "{\"a\":1,}", "// no\n{}",
	};
	struct pair *pair = *state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		say(pair, bad[i]);
		expect_nothing(pair, -EBADMSG);
	}
	// Only NULs.
	send_raw(pair, "\0\0\0", 3, -1, 0);
	for (int i = 0; i < 3; i++)
		expect_nothing(pair, -EBADMSG);
	expect_nothing(pair, 0);
}

static void say_deep(struct pair *pair, int depth)
{
	char text[2 + 5 * 64 + 1] = "", *p = text;
	for (int i = 1; i < depth; i++)
		p += sprintf(p, "{\"a\":");
	p += sprintf(p, "{}");
	for (int i = 1; i < depth; i++)
		*p++ = '}';
	*p = '\0';
	say(pair, text);
}

static void test_depth(void **state)
{
	struct pair *pair = *state;
	_cleanup_(json_destroyp) struct json *json = NULL;
	say_deep(pair, 16);
	assert_int_equal(next(pair, &json), 1);
	say_deep(pair, 17);
	expect_nothing(pair, -EBADMSG);
	say_deep(pair, 50);
	expect_nothing(pair, -EBADMSG);
}

static char *of_size(size_t bytes)
{
	char *text = malloc(bytes + 1);
	assert_non_null(text);
	memset(text, 'x', bytes);
	memcpy(text, "{\"t\":\"", 6);
	memcpy(text + bytes - 2, "\"}", 3);
	return text;
}

/// Feeds @text in pieces that the socket takes; the first error of the reader, or the message.
static int feed(struct pair *pair, const char *text, size_t len, struct json **ret)
{
	for (size_t at = 0; at < len;) {
		size_t n = MIN(len - at, (size_t)8192);
		send_raw(pair, text + at, n, -1, 0);
		at += n;
		int r;
		while ((r = varlink_fill(&pair->link)) > 0)
			;
		if (r < 0)
			return r;
	}
	return varlink_next(&pair->link, ret);
}

static void test_long(void **state)
{
	struct pair *pair = *state;
	_cleanup_free_ char *longest = of_size(MAX_BYTES), *longer = of_size(MAX_BYTES + 1);
	_cleanup_(json_destroyp) struct json *json = NULL;
	assert_int_equal(feed(pair, longest, MAX_BYTES + 1, &json), 1);
	assert_int_equal(strlen(json_get_text(json, "t")), MAX_BYTES - 8);
	struct json *none = NULL;
	int r = feed(pair, longer, MAX_BYTES + 2, &none);
	assert_true(r == -EBADMSG || r == -EMSGSIZE);
	assert_null(none);
}

static void test_endless(void **state)
{
	struct pair *pair = *state;
	char blanks[4096];
	memset(blanks, ' ', sizeof(blanks));
	int r = 0;
	size_t sent = 0;
	while (r >= 0 && sent < 4 * MAX_BYTES) {
		send_raw(pair, blanks, sizeof(blanks), -1, 0);
		sent += sizeof(blanks);
		r = varlink_fill(&pair->link);
	}
	assert_int_equal(r, -EMSGSIZE);
	assert_true(sent <= 2 * MAX_BYTES);
}

/// Somebody who does not take his messages does not have to keep all that comes behind them.
static void test_endless_behind_a_message(void **state)
{
	struct pair *pair = *state;
	char blanks[4096];
	memset(blanks, ' ', sizeof(blanks));
	say(pair, "{\"n\":1}");
	int r = 0;
	for (size_t sent = 0; r >= 0 && sent < 4 * MAX_BYTES; sent += sizeof(blanks)) {
		send_raw(pair, blanks, sizeof(blanks), -1, 0);
		r = varlink_fill(&pair->link);
	}
	assert_true(pair->link.in.len <= 2 * MAX_BYTES);
}

static void test_end(void **state)
{
	struct pair *pair = *state;
	say(pair, "{\"n\":1}");
	send_raw(pair, "{\"n\":", 5, -1, 0);
	(void)shutdown(pair->raw, SHUT_WR);
	expect_number(pair, 1); // what was sent before counts
	expect_nothing(pair, -ECONNRESET);
	expect_nothing(pair, -ECONNRESET);
	// The other direction goes on.
	_cleanup_(json_destroyp) struct json *json = json_new_object();
	assert_int_equal(varlink_queue(&pair->link, json, NULL, 0), 0);
	assert_int_equal(varlink_flush(&pair->link), 0);
	char buf[8];
	assert_int_equal(read(pair->raw, buf, sizeof(buf)), 3);
	assert_memory_equal(buf, "{}", 3);
}

static void test_closed(void **state)
{
	struct pair *pair = *state;
	_cleanup_(json_destroyp) struct json *json = json_new_object();
	snap_closep(&pair->raw);
	assert_int_equal(varlink_fill(&pair->link), -ECONNRESET);
	assert_int_equal(varlink_queue(&pair->link, json, NULL, 0), 0);
	assert_true(varlink_flush(&pair->link) < 0); // and no SIGPIPE
}

/// A large message does not stay in memory when it is done.
static void test_memory_is_given_back(void **state)
{
	struct pair *pair = *state;
	_cleanup_free_ char *longest = of_size(MAX_BYTES);
	_cleanup_(json_destroyp) struct json *json = NULL;
	assert_int_equal(feed(pair, longest, MAX_BYTES + 1, &json), 1);
	assert_int_equal(pair->link.in.size, 0);
	say(pair, "{\"n\":5}");
	expect_number(pair, 5);
}

// ---- descriptors ---------------------------------------------------------------------------

static void test_fds_with_the_first(void **state)
{
	struct pair *pair = *state;
	static const char text[] = "{\"n\":1}\0{\"n\":2}";
	_cleanup_close_ int fd = test_memfd();
	send_raw(pair, text, sizeof(text), fd, 2);
	expect_number(pair, 1);
	expect_fd(pair, 0, fd);
	expect_fd(pair, 1, fd);
	assert_int_equal(varlink_take_fd(&pair->link, 2), -EBADF);
	assert_int_equal(varlink_take_fd(&pair->link, SIZE_MAX), -EBADF);
	expect_number(pair, 2);
	assert_int_equal(varlink_take_fd(&pair->link, 0), -EBADF);
}

/// The kernel hands out the bytes before them in the same read.
static void test_fds_with_the_middle(void **state)
{
	struct pair *pair = *state;
	_cleanup_close_ int a = test_memfd(), b = test_memfd();
	say(pair, "{\"n\":1}");
	send_raw(pair, "{\"n\":2}", 8, a, 1);
	say(pair, "{\"n\":3}");
	send_raw(pair, "{\"n\":4}", 8, b, 2);
	expect_number(pair, 1);
	assert_int_equal(varlink_take_fd(&pair->link, 0), -EBADF);
	expect_number(pair, 2);
	expect_fd(pair, 0, a);
	expect_number(pair, 3);
	assert_int_equal(varlink_take_fd(&pair->link, 0), -EBADF);
	expect_number(pair, 4);
	expect_fd(pair, 0, b);
	expect_fd(pair, 1, b);
}

static void test_fds_with_a_later_byte(void **state)
{
	struct pair *pair = *state;
	_cleanup_close_ int fd = test_memfd();
	send_raw(pair, "{\"n\":", 5, -1, 0);
	send_raw(pair, "1", 1, fd, 1);
	send_raw(pair, "}", 2, fd, 1); // with the NUL
	expect_number(pair, 1);
	expect_fd(pair, 0, fd);
	expect_fd(pair, 1, fd);
}

static void test_fds_that_nobody_takes(void **state)
{
	struct pair *pair = *state;
	_cleanup_close_ int fd = test_memfd();
	int before = test_count_fds();
	send_raw(pair, "{\"n\":1}", 8, fd, VARLINK_FDS_MAX);
	expect_number(pair, 1);
	assert_int_equal(test_count_fds(), before + VARLINK_FDS_MAX);
	say(pair, "{\"n\":2}");
	expect_number(pair, 2); // and those of the one before are closed
	assert_int_equal(test_count_fds(), before);
	// Those of a message that is never complete go with the connection, see tear_down().
	send_raw(pair, "{", 1, fd, VARLINK_FDS_MAX);
	assert_int_equal(varlink_fill(&pair->link), 1);
}

static void test_fds_of_a_bad_message(void **state)
{
	struct pair *pair = *state;
	_cleanup_close_ int fd = test_memfd();
	int before = test_count_fds();
	send_raw(pair, "x", 2, fd, 1);
	expect_nothing(pair, -EBADMSG);
	say(pair, "{\"n\":1}");
	expect_number(pair, 1);
	assert_int_equal(test_count_fds(), before);
}

static void test_too_many_fds(void **state)
{
	struct pair *pair = *state;
	static const size_t counts[] = { VARLINK_FDS_MAX + 1, 2 * VARLINK_FDS_MAX,
					 2 * VARLINK_FDS_MAX + 1, 60 };
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		int fds[2];
		snap_closep(&pair->raw);
		varlink_deinit(&pair->link);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		pair->raw = fds[0];
		varlink_init(&pair->link, fds[1], MAX_BYTES);
		send_raw(pair, "{}", 3, 0, counts[i]);
		expect_nothing(pair, -EBADMSG);
	}
}

/// A descriptor with each byte, and never a whole message.
static void test_fds_drop_by_drop(void **state)
{
	struct pair *pair = *state;
	int r = 0, before = test_count_fds();
	for (int i = 0; i < 100 && r >= 0; i++) {
		send_raw(pair, " ", 1, 0, 1);
		r = varlink_fill(&pair->link);
	}
	assert_int_equal(r, -EBADMSG);
	assert_true(test_count_fds() <= before + 2 * VARLINK_FDS_MAX);
}

/// Without room for descriptors the kernel drops some; such a message is not served.
static void test_no_room_for_fds(void **state)
{
	struct pair *pair = *state;
	struct rlimit old, few;
	if (test_under_valgrind())
		skip();
	send_raw(pair, "{}", 3, 0, 3);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	int highest = fcntl(0, F_DUPFD_CLOEXEC, 3);
	assert_true(highest >= 0);
	(void)close(highest);
	few.rlim_cur = (rlim_t)highest + 1; // one more
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	int r = varlink_fill(&pair->link);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r, -EBADMSG);
}

// ---- sending -------------------------------------------------------------------------------

/// Two links that talk to each other.
static void connect_links(struct pair *pair, struct varlink *other)
{
	varlink_init(other, pair->raw, MAX_BYTES);
	pair->raw = -EBADF;
}

static int next_of(struct varlink *link, struct json **ret)
{
	int r;
	while ((r = varlink_next(link, ret)) == 0 && (r = varlink_fill(link)) > 0)
		;
	return r;
}

static void test_queue(void **state)
{
	struct pair *pair = *state;
	struct varlink other;
	connect_links(pair, &other);
	_cleanup_close_ int a = test_memfd(), b = test_memfd();
	// Those with descriptors keep them, whatever is sent before and behind.
	for (uint64_t i = 0; i < 6; i++) {
		_cleanup_(json_destroyp) struct json *json = json_new_object();
		const int fds[] = { a, b };
		json_set_u64(json, "n", i);
		assert_int_equal(varlink_queue(&pair->link, json, fds, i % 3), 0);
	}
	assert_true(varlink_unsent(&pair->link) > 0);
	assert_int_equal(varlink_flush(&pair->link), 0);
	assert_int_equal(varlink_unsent(&pair->link), 0);
	for (uint64_t i = 0; i < 6; i++) {
		_cleanup_(json_destroyp) struct json *json = NULL;
		assert_int_equal(next_of(&other, &json), 1);
		assert_int_equal(json_get_u64(json, "n", 99), i);
		for (size_t k = 0; k < 3; k++) {
			_cleanup_close_ int fd = varlink_take_fd(&other, k);
			assert_int_equal(fd >= 0, k < i % 3);
			if (fd >= 0)
				assert_int_equal(inode(fd), inode(k ? b : a));
		}
	}
	varlink_deinit(&other);
}

static void test_queue_too_many_fds(void **state)
{
	struct pair *pair = *state;
	static const int none[2 * VARLINK_FDS_MAX + 1];
	_cleanup_(json_destroyp) struct json *json = json_new_object();
	assert_int_equal(varlink_queue(&pair->link, json, none, VARLINK_FDS_MAX + 1), -EMFILE);
	assert_int_equal(varlink_queue(&pair->link, json, none, 2 * VARLINK_FDS_MAX + 1), -EMFILE);
	assert_int_equal(varlink_unsent(&pair->link), 0);
	static const int closed = 1000;
	assert_true(varlink_queue(&pair->link, json, &closed, 1) < 0);
}

static void test_queue_without_json(void **state)
{
	struct pair *pair = *state;
	assert_int_equal(varlink_queue(&pair->link, NULL, NULL, 0), -ENOMEM);
	assert_int_equal(varlink_flush(&pair->link), 0);
}

static void test_full_socket(void **state)
{
	struct pair *pair = *state;
	struct varlink other;
	connect_links(pair, &other);
	_cleanup_close_ int fd = test_memfd();
	_cleanup_free_ char *text = of_size(10000);
	_cleanup_(json_destroyp) struct json *large = json_parse(text, 10000);
	assert_non_null(large);
	size_t sent = 0;
	int r = 0;
	while (r == 0 && sent < 1000) {
		// The last of them has to wait, with its descriptor.
		assert_int_equal(varlink_queue(&pair->link, large, &fd, 1), 0);
		sent++;
		r = varlink_flush(&pair->link);
	}
	assert_int_equal(r, 1);
	assert_true(varlink_unsent(&pair->link) > 0);
	assert_int_equal(varlink_flush(&pair->link), 1); // still
	for (size_t i = 0; i < sent; i++) {
		_cleanup_(json_destroyp) struct json *json = NULL;
		while ((r = next_of(&other, &json)) == 0)
			assert_true(varlink_flush(&pair->link) >= 0);
		assert_int_equal(r, 1);
		assert_int_equal(strlen(json_get_text(json, "t")), 10000 - 8);
		_cleanup_close_ int got = varlink_take_fd(&other, 0);
		assert_int_equal(inode(got), inode(fd));
	}
	assert_int_equal(varlink_flush(&pair->link), 0);
	assert_int_equal(varlink_unsent(&pair->link), 0);
	varlink_deinit(&other);
}

/// What was not sent is given up with the connection, see tear_down().
static void test_unsent_fds(void **state)
{
	struct pair *pair = *state;
	_cleanup_close_ int fd = test_memfd();
	const int fds[VARLINK_FDS_MAX] = { fd, fd, fd, fd };
	_cleanup_(json_destroyp) struct json *json = json_new_object();
	assert_int_equal(varlink_queue(&pair->link, json, fds, VARLINK_FDS_MAX), 0);
	assert_int_equal(varlink_queue(&pair->link, json, fds, VARLINK_FDS_MAX), 0);
	assert_int_equal(varlink_queue(&pair->link, json, fds, 1), -EMFILE);
}

static void test_random_pieces(void **state)
{
	struct pair *pair = *state;
	uint64_t seed = 1;
	_cleanup_close_ int fd = test_memfd();
	for (uint64_t round = 0; round < 300; round++) {
		char text[64];
		int len = snprintf(text, sizeof(text), "{\"n\":%llu}",
				   (unsigned long long)round) + 1;
		size_t n_fds = test_random(&seed) % (VARLINK_FDS_MAX + 1), given = 0;
		for (size_t at = 0; at < (size_t)len;) {
			size_t n = MIN(1 + test_random(&seed) % 9, (size_t)len - at);
			size_t now = given < n_fds ? 1 + test_random(&seed) % (n_fds - given) : 0;
			if (at + n == (size_t)len)
				now = n_fds - given;
			send_raw(pair, text + at, n, fd, now);
			given += now;
			at += n;
			if (test_random(&seed) % 2)
				(void)varlink_fill(&pair->link);
		}
		if (test_random(&seed) % 3)
			say(pair, "{\"n\":77777}");
		else
			text[0] = '\0';
		expect_number(pair, round);
		for (size_t i = 0; i < VARLINK_FDS_MAX; i++) {
			_cleanup_close_ int got = varlink_take_fd(&pair->link, i);
			assert_int_equal(got >= 0, i < n_fds);
		}
		if (text[0])
			expect_number(pair, 77777);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pieces),
		TEST(test_several_in_one_read),
		TEST(test_nothing_yet),
		TEST(test_bad_messages),
		TEST(test_depth),
		TEST(test_long),
		TEST(test_endless),
		TEST(test_endless_behind_a_message),
		TEST(test_end),
		TEST(test_closed),
		TEST(test_memory_is_given_back),
		TEST(test_fds_with_the_first),
		TEST(test_fds_with_the_middle),
		TEST(test_fds_with_a_later_byte),
		TEST(test_fds_that_nobody_takes),
		TEST(test_fds_of_a_bad_message),
		TEST(test_too_many_fds),
		TEST(test_fds_drop_by_drop),
		TEST(test_no_room_for_fds),
		TEST(test_queue),
		TEST(test_queue_too_many_fds),
		TEST(test_queue_without_json),
		TEST(test_full_socket),
		TEST(test_unsent_fds),
		TEST(test_random_pieces),
	};
	return cmocka_run_group_tests_name("varlink", tests, NULL, NULL);
}
