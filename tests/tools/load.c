// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * load: asks a server at a fixed rate, and says how long it was kept waiting and what went wrong.
 *
 *   load [OPTION...] http | redis | postgres | dns PORT
 *
 *   --rate N           requests a second, over all connections (500)
 *   --connections N    (8); they stay open from the beginning to the end
 *   --seconds N        how long; without it until SIGTERM or SIGINT
 *   --expect TEXT      what must be in each answer (http, dns)
 *   --log FILE         each latency, in microseconds, is appended to this file, a line each
 *
 * The server is at 127.0.0.1. Requests are due at instants that are fixed beforehand, and a latency
 * counts from that instant, not from when the request could be sent: a server that stands still is
 * late for all that were due meanwhile. A connection has one request under way at most. With redis
 * and postgres each connection by turns writes to a key of its own and reads it back; the latter as
 * user test in table load (key int primary key, value text) of database postgres. With dns the
 * connections are UDP, the question is for the address of backend.dns.podman, and what is expected is
 * an address.
 *
 * It says "ready" when all connections are open. The last line on standard output is "requests=N
 * errors=N dropped=N p50_us=N p99_us=N worst_us=N". An error is a wrong answer, or none within
 * 30 seconds after the end; dropped is a connection that the server closed. The exit status is 0
 * when there were neither, and requests; 1 otherwise; 2 when it could not begin.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_MAX = 4096, CONNECTIONS_MAX = 256, COMPLAINTS_MAX = 20, PATIENCE_S = 30 };

struct connection {
	int fd;
	uint64_t turn;	 // of its requests
	uint64_t due_ns; // when the request that is under way, or the next one, is due
	bool waits;	 // a request is under way
	size_t have;
	char answer[ANSWER_MAX + 1];
};

struct protocol {
	const char *name;
	int type; // of socket
	// What is said first on a connection, or NULL. False: it is no good.
	bool (*greet)(struct connection *c);
	// Writes the request of this turn, and returns its length.
	size_t (*request)(const struct connection *c, char *to, size_t size);
	// 1: the answer is complete and right, 0: it is not complete, -1: it is wrong.
	int (*judge)(const struct connection *c);
};

static struct {
	const struct protocol *protocol;
	uint16_t port;
	unsigned int rate, connections, seconds;
	const char *expect;
	FILE *log;
} opt = { .rate = 500, .connections = 8 };

static struct connection connections[CONNECTIONS_MAX];
static volatile sig_atomic_t ended;
static uint64_t errors, dropped;
static uint32_t *latencies;
static size_t n_latencies, room;

static void end(int sig)
{
	(void)sig;
	ended = 1;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void complain(const struct connection *c, const char *what)
{
	static unsigned int complaints;

	if (complaints++ >= COMPLAINTS_MAX)
		return;
	fprintf(stderr, "load: connection %td, request %llu: %s\n", c - connections,
		(unsigned long long)c->turn, what);
}

static bool open_connection(struct connection *c)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(opt.port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1;

	c->fd = socket(AF_INET, opt.protocol->type | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return false;
	if (opt.protocol->type == SOCK_STREAM)
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return !opt.protocol->greet || opt.protocol->greet(c);
}

// The value that a connection writes in one turn and reads in the next.
static void value_of(const struct connection *c, char *value, size_t size)
{
	snprintf(value, size, "%04td-%012llu", c - connections,
		 (unsigned long long)(c->turn / 2));
}

static bool ask(struct connection *c)
{
	char request[256];
	size_t len = opt.protocol->request(c, request, sizeof(request));

	c->waits = true;
	c->have = 0;
	return send(c->fd, request, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static size_t http_request(const struct connection *c, char *to, size_t size)
{
	(void)c;
	snprintf(to, size, "GET / HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", opt.port);
	return strlen(to);
}

static int http_judge(const struct connection *c)
{
	const char *body = strstr(c->answer, "\r\n\r\n"), *field;
	size_t length;

	if (!body)
		return c->have < ANSWER_MAX ? 0 : -1;
	body += 4;
	field = strcasestr(c->answer, "\r\ncontent-length:");
	if (strncmp(c->answer, "HTTP/1.1 200 ", 13) || !field || field > body)
		return -1;
	length = strtoul(field + strlen("\r\ncontent-length:"), NULL, 10);
	if ((size_t)(c->answer + c->have - body) < length)
		return c->have < ANSWER_MAX ? 0 : -1;
	return !opt.expect || strstr(body, opt.expect) ? 1 : -1;
}

static size_t redis_request(const struct connection *c, char *to, size_t size)
{
	char value[32];

	value_of(c, value, sizeof(value));
	if (c->turn % 2 == 0)
		snprintf(to, size, "*3\r\n$3\r\nSET\r\n$9\r\nload:%04td\r\n$%zu\r\n%s\r\n",
			 c - connections, strlen(value), value);
	else
		snprintf(to, size, "*2\r\n$3\r\nGET\r\n$9\r\nload:%04td\r\n", c - connections);
	return strlen(to);
}

static int redis_judge(const struct connection *c)
{
	char value[32], right[64] = "+OK\r\n";

	value_of(c, value, sizeof(value));
	if (c->turn % 2)
		snprintf(right, sizeof(right), "$%zu\r\n%s\r\n", strlen(value), value);
	if (strncmp(c->answer, right, c->have < strlen(right) ? c->have : strlen(right)))
		return -1;
	return c->have >= strlen(right);
}

static void put_be32(char *to, uint32_t value)
{
	value = htonl(value);
	memcpy(to, &value, sizeof(value));
}

static bool postgres_greet(struct connection *c)
{
	static const char who[] = "user\0test\0database\0postgres\0";
	char hello[8 + sizeof(who)];

	put_be32(hello, sizeof(hello));
	put_be32(hello + 4, 3 << 16);
	memcpy(hello + 8, who, sizeof(who));
	if (send(c->fd, hello, sizeof(hello), MSG_NOSIGNAL) != sizeof(hello))
		return false;
	// It talks of itself, and then is ready for a query.
	for (c->have = 0; c->have < 6 || memcmp(c->answer + c->have - 6, "Z\0\0\0\5I", 6);) {
		ssize_t n = recv(c->fd, c->answer + c->have, ANSWER_MAX - c->have, 0);

		if (n <= 0)
			return false;
		c->have += (size_t)n;
	}
	return true;
}

static size_t postgres_request(const struct connection *c, char *to, size_t size)
{
	char value[32];

	value_of(c, value, sizeof(value));
	to[0] = 'Q';
	if (c->turn % 2 == 0)
		snprintf(to + 5, size - 5,
			 "insert into load values (%td, '%s')"
			 " on conflict (key) do update set value = excluded.value",
			 c - connections, value);
	else
		snprintf(to + 5, size - 5, "select value from load where key = %td",
			 c - connections);
	put_be32(to + 1, (uint32_t)strlen(to + 5) + 5);
	return strlen(to + 5) + 6;
}

static int postgres_judge(const struct connection *c)
{
	bool right = c->turn % 2 == 0;
	char value[32];
	size_t at = 0;

	value_of(c, value, sizeof(value));
	while (at + 5 <= c->have) {
		uint32_t length;

		memcpy(&length, c->answer + at + 1, sizeof(length));
		length = ntohl(length);
		if (length > ANSWER_MAX || c->answer[at] == 'E')
			return -1;
		if (at + 1 + length > c->have)
			return 0;
		if (c->answer[at] == 'D')
			right = memmem(c->answer + at, length + 1, value, strlen(value));
		if (c->answer[at] == 'Z')
			return right ? 1 : -1;
		at += 1 + length;
	}
	return 0;
}

// RFC 1035, 4.1: a header of six 16-bit words, the first of which is a number of ours, and a question.
static size_t dns_request(const struct connection *c, char *to, size_t size)
{
	static const char question[] =
		"\1\0\0\1\0\0\0\0\0\0\7backend\3dns\6podman\0\0\1\0\1";

	to[0] = (char)(c->turn >> 8);
	to[1] = (char)c->turn;
	memcpy(to + 2, question, sizeof(question) - 1 < size ? sizeof(question) - 1 : 0);
	return 2 + sizeof(question) - 1;
}

// The number, no error, one answer; its address is the last that there is.
static int dns_judge(const struct connection *c)
{
	const unsigned char *a = (const unsigned char *)c->answer;
	struct in_addr address = { 0 };

	if (c->have < 32 || a[0] != (unsigned char)(c->turn >> 8) || a[1] != (unsigned char)c->turn ||
	    (a[3] & 15) || a[6] || a[7] != 1)
		return -1;
	memcpy(&address, a + c->have - 4, sizeof(address));
	return !opt.expect || !strcmp(inet_ntoa(address), opt.expect) ? 1 : -1;
}

static const struct protocol protocols[] = {
	{ "http", SOCK_STREAM, NULL, http_request, http_judge },
	{ "redis", SOCK_STREAM, NULL, redis_request, redis_judge },
	{ "postgres", SOCK_STREAM, postgres_greet, postgres_request, postgres_judge },
	{ "dns", SOCK_DGRAM, NULL, dns_request, dns_judge },
};

static void note_latency(uint64_t ns)
{
	if (n_latencies == room) {
		room = room ? 2 * room : 65536;
		latencies = realloc(latencies, room * sizeof(*latencies));
		if (!latencies)
			abort();
	}
	latencies[n_latencies++] = (uint32_t)(ns / 1000);
	if (opt.log)
		fprintf(opt.log, "%u\n", (unsigned int)(ns / 1000));
}

static void next_turn(struct connection *c)
{
	c->waits = false;
	c->turn++;
	c->due_ns += 1000000000ull * opt.connections / opt.rate;
}

static void lose(struct connection *c)
{
	complain(c, "the server has closed the connection");
	dropped++;
	close(c->fd);
	next_turn(c);
	c->turn += c->turn % 2; // what was written last is not known
	if (!open_connection(c))
		ended = 1;
}

static void hear(struct connection *c)
{
	ssize_t n = recv(c->fd, c->answer + c->have, ANSWER_MAX - c->have, MSG_DONTWAIT);
	int verdict;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		lose(c);
		return;
	}
	c->have += (size_t)n;
	c->answer[c->have] = 0;
	if (!c->waits) {
		complain(c, "an answer to nothing");
		errors++;
		c->have = 0;
		return;
	}
	verdict = opt.protocol->judge(c);
	if (!verdict)
		return;
	if (verdict < 0) {
		complain(c, c->answer);
		errors++;
	}
	note_latency(now_ns() - c->due_ns);
	next_turn(c);
}

// Sends what is due and hears what has come. Returns how many requests are under way.
static unsigned int turn(bool asks)
{
	struct pollfd fds[CONNECTIONS_MAX];
	uint64_t now = now_ns(), wake = now + 100000000;
	unsigned int under_way = 0;
	struct timespec wait;

	for (unsigned int i = 0; i < opt.connections; i++) {
		struct connection *c = connections + i;

		if (!c->waits && asks && c->due_ns <= now && !ask(c))
			lose(c);
		under_way += c->waits;
		if (!c->waits && asks && c->due_ns < wake)
			wake = c->due_ns;
		fds[i] = (struct pollfd){ .fd = c->fd, .events = POLLIN };
	}
	if (!asks && !under_way)
		return 0;
	now = now_ns();
	wait.tv_sec = 0;
	wait.tv_nsec = wake > now ? (long)(wake - now) : 0;
	if (ppoll(fds, opt.connections, &wait, NULL) > 0)
		for (unsigned int i = 0; i < opt.connections; i++)
			if (fds[i].revents)
				hear(connections + i);
	return under_way;
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint32_t percentile(unsigned int percent)
{
	return n_latencies ? latencies[(n_latencies - 1) * percent / 100] : 0;
}

static int report(void)
{
	qsort(latencies, n_latencies, sizeof(*latencies), by_size);
	printf("requests=%zu errors=%llu dropped=%llu p50_us=%u p99_us=%u worst_us=%u\n",
	       n_latencies, (unsigned long long)errors, (unsigned long long)dropped,
	       percentile(50), percentile(99), percentile(100));
	return !n_latencies || errors || dropped;
}

static int parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "rate", required_argument, NULL, 'r' },
		{ "connections", required_argument, NULL, 'c' },
		{ "seconds", required_argument, NULL, 's' },
		{ "expect", required_argument, NULL, 'e' },
		{ "log", required_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'r': opt.rate = (unsigned int)atoi(optarg); break;
		case 'c': opt.connections = (unsigned int)atoi(optarg); break;
		case 's': opt.seconds = (unsigned int)atoi(optarg); break;
		case 'e': opt.expect = optarg; break;
		case 'l':
			opt.log = fopen(optarg, "ae");
			if (!opt.log)
				return -1;
			break;
		default: return -1;
		}
	}
	if (argc - optind != 2 || !opt.rate || !opt.connections ||
	    opt.connections > CONNECTIONS_MAX)
		return -1;
	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
		if (!strcmp(argv[optind], protocols[i].name))
			opt.protocol = protocols + i;
	opt.port = (uint16_t)atoi(argv[optind + 1]);
	return opt.protocol ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = end };
	uint64_t begin, stop;

	if (parse(argc, argv) < 0) {
		fprintf(stderr, "load: wrong usage\n");
		return 2;
	}
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	for (unsigned int i = 0; i < opt.connections; i++) {
		if (!open_connection(connections + i)) {
			fprintf(stderr, "load: port %u: %m\n", opt.port);
			return 2;
		}
	}
	puts("ready");
	fflush(stdout);
	begin = now_ns() + 10000000;
	for (unsigned int i = 0; i < opt.connections; i++)
		connections[i].due_ns = begin + 1000000000ull * i / opt.rate;
	stop = opt.seconds ? begin + opt.seconds * 1000000000ull : UINT64_MAX;
	while (!ended && now_ns() < stop)
		turn(true);
	stop = now_ns() + PATIENCE_S * 1000000000ull;
	while (turn(false) && now_ns() < stop)
		;
	for (unsigned int i = 0; i < opt.connections; i++) {
		if (connections[i].waits) {
			complain(connections + i, "no answer");
			errors++;
		}
	}
	return report();
}
