// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What snapctl makes of the answers of procsnap-analyze, which has read a hostile core: lines and
 * messages, in whatever pieces they come. Then the same as a summary that was attached to a core.
 *
 *   input: records of one byte that says where it goes, two of length, and that many bytes
 */
#include <stdio.h>
#include <sys/socket.h>

#include "gopatch.h"

// The program is not started here, so what follows its answers must be reached from inside. Other
// names, since the library has these already.
#define analysis_create client_create
#define analysis_create_unwinder client_create_unwinder
#define analysis_destroy client_destroy
#define analysis_destroyp client_destroyp
#define analysis_await_ready client_await_ready
#define analysis_run client_run
#define analysis_to_hex client_to_hex
#define analysis_from_hex client_from_hex
#include "common/analysis.c" // NOLINT(bugprone-suspicious-include)

#include "common/summary.h"

enum { PIPE_BYTES = 512 << 10, DEADLINE_NS = 1000000000, SUMMARY_BYTES = 4096 };

struct client {
	struct summary summary;
	size_t lines, opens;
};

static int on_open(void *userdata, const char *name, const char *build_id, bool is_program _unused_)
{
	struct client *c = userdata;
	REQUIRE(name && strlen(name) <= ANALYSIS_NAME_MAX);
	c->opens++;
	if (!build_id)
		return -ENOENT;
	return memfd_create("image", MFD_CLOEXEC);
}

static int on_line(void *userdata, const char *kind, const struct json *value)
{
	struct client *c = userdata;
	REQUIRE(kind);
	c->lines++;
	if (!value || !*kind)
		return 0;
	return summary_add(&c->summary, kind, value);
}

/// Checks that an attached summary can be read back, whatever it is.
static int on_replayed(void *userdata, const char *kind, const struct json *value _unused_)
{
	size_t *n = userdata;
	REQUIRE(*kind);
	++*n;
	return *n > 1000 ? -E2BIG : 0;
}

static void check_hex(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);
	_cleanup_free_ char *bytes = client_from_hex(text);
	_cleanup_free_ char *hex = client_to_hex(data, size);
	REQUIRE(hex && strlen(hex) == size * 2);
	_cleanup_free_ char *back = client_from_hex(hex);
	bool nul = size && memchr(data, 0, size);
	REQUIRE(!back == nul);
	REQUIRE(nul || !memcmp(back, data, size));
	REQUIRE(!bytes || strlen(bytes) == strlen(text) / 2);
}

/// Sends what the input says, and closes both ways.
static void send_records(struct patches *in, int pipe_fd, int sock)
{
	size_t room = PIPE_BYTES;
	while (in->left) {
		uint8_t kind = (uint8_t)patches_take(in, 1);
		size_t len = MIN(patches_take(in, 2), in->left);
		if (kind & 1) {
			const struct iovec iov = { (void *)(uintptr_t)in->data, len };
			struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)&iov,
					      .msg_iovlen = 1 };
			(void)sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL); // full: enough then
		} else if (len && len <= room) {
			REQUIRE(write(pipe_fd, in->data, len) == (ssize_t)len);
			room -= len;
		}
		in->data += len;
		in->left -= len;
	}
}

static void run_client(const uint8_t *data, size_t size)
{
	struct client c = { .lines = 0 };
	const struct analysis_callbacks callbacks = { on_open, on_line, &c };
	struct analysis run = { .program = "program", .pid = -1, .callbacks = &callbacks };
	struct patches in = { data, size };
	int sock[2], lines[2];
	REQUIRE(ipc_pair(sock) == 0 && pipe2(lines, O_CLOEXEC) == 0);
	REQUIRE(fcntl(lines[1], F_SETPIPE_SZ, PIPE_BYTES) >= 0);
	summary_init(&c.summary, SUMMARY_BYTES);
	send_records(&in, lines[1], sock[1]);
	(void)close(lines[1]);
	(void)shutdown(sock[1], SHUT_WR); // answers to questions stay unread
	run.lines = lines[0];
	run.sock = sock[0];
	struct snap_error *err = follow(&run, snap_now_ns() + DEADLINE_NS);
	if (err)
		REQUIRE(err->message && *err->message &&
			strcmp(err->message, "the analysis took too long"));
	REQUIRE(err || run.done || run.sock < 0);
	snap_error_destroy(err);
	struct json *whole = summary_finish(&c.summary);
	size_t n = 0;
	(void)summary_replay(whole, on_replayed, &n);
	json_destroy(whole);
	snap_closep(&run.sock);
	snap_closep(&run.lines);
	(void)close(sock[1]);
	strbuf_deinit(&run.buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_hex(data, MIN(size, (size_t)300));
	run_client(data, size);
	_cleanup_(json_destroyp) struct json *attached = json_parse((const char *)data, size);
	size_t n = 0;
	(void)summary_replay(attached, on_replayed, &n);
	struct client c = { .lines = 0 };
	summary_init(&c.summary, SUMMARY_BYTES);
	(void)summary_replay(attached, on_line, &c);
	json_destroy(summary_finish(&c.summary));
	return 0;
}
