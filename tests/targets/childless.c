// SPDX-License-Identifier: LGPL-2.1-or-later
// A process that has no children and would see any: "childless MIB [PORT]". It waits for children all the
// time, listens on a port of the loopback (its own choice, or PORT) and holds a lock on a file.
#include <arpa/inet.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "target.h"

enum { CHILDLESS_SEED = 41, CHILDLESS_MIB = 1 << 20 };

static uint8_t *mem;
static size_t mem_bytes;
static _Atomic unsigned int children, signals, waits;

static void *waits_main(void *arg)
{
	(void)arg;
	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid != -1 || errno != ECHILD)
			children++;
		pid = waitpid(-1, NULL, 0);
		if (pid != -1 || errno != ECHILD)
			children++;
		waits++;
	}
	return NULL;
}

static void on_child(int sig)
{
	(void)sig;
	signals++;
}

static int listen_on(unsigned short port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, len) || listen(fd, 5))
		target_die(1, "port %u: %s", port, strerror(errno));
	getsockname(fd, (struct sockaddr *)&addr, &len);
	return ntohs(addr.sin_port);
}

static void take_lock(void)
{
	char path[] = "/var/tmp/target-childless.XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0 || flock(fd, LOCK_EX))
		target_die(1, "lock: %s", strerror(errno));
	unlink(path);
}

static void childless_check(void)
{
	target_verify("mem", mem, mem_bytes, CHILDLESS_SEED);
	if (children)
		target_fail("%u times there was a child", children);
	if (signals)
		target_fail("%u times a child had ended", signals);
	if (waitpid(-1, NULL, WNOHANG | __WALL) != -1 || errno != ECHILD)
		target_fail("there is a child or a zombie");
	if (!waits)
		target_fail("nobody waited");
	waits = 0;
}

int main(int argc, char **argv)
{
	static const struct target_ops ops = { .check = childless_check };
	struct sigaction sa = { .sa_handler = on_child, .sa_flags = SA_RESTART };
	int port;

	if (argc < 2)
		target_die(1, "usage: childless MIB [PORT]");
	target_init();
	mem_bytes = strtoul(argv[1], NULL, 10) * CHILDLESS_MIB;
	mem = target_mmap(mem_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	target_fill(mem, mem_bytes, CHILDLESS_SEED);
	sigaction(SIGCHLD, &sa, NULL);
	port = listen_on(argc > 2 ? (unsigned short)strtoul(argv[2], NULL, 10) : 0);
	take_lock();
	target_spawn(waits_main, NULL);
	target_ready(0, 0, "mem=%p:%zu:%d:1 port=%d", (void *)mem, mem_bytes, CHILDLESS_SEED, port);
	return target_serve(&ops);
}
