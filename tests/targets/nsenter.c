// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * DOC: Theory of operation
 *
 * A process in user, pid and mount namespaces of its own, as in a rootless container: root
 * inside, user 100000 outside, pid 1 inside (or 2, with the argument "second"). The process that
 * the harness started stays outside and waits; the one inside serves the harness, and the ready
 * line has its pid as seen from outside.
 */
#include "target.h"

#include <grp.h>
#include <sys/mount.h>

enum { SEED_ANON = 111, AREA_BYTES = 4 * 4096, NS_UID = 100000, NS_UIDS = 65536 };

static void *ns_anon;
static int ns_pipe[2], ns_to_child[2];
static pid_t ns_inner_pid;

static long in_read(struct target_thread *t)
{
	char c;

	(void)t;
	return read(ns_pipe[0], &c, 1);
}

static struct target_thread ns_threads[] = {
	{ .name = "reader-1", .run = in_read },
	{ .name = "reader-2", .run = in_read },
};

static void ns_check(void)
{
	if (getpid() != ns_inner_pid || getuid())
		target_fail("pid inside is %d, uid %d", (int)getpid(), (int)getuid());
	target_verify("anon", ns_anon, AREA_BYTES, SEED_ANON);
	for (size_t i = 0; i < TARGET_ARRAY_SIZE(ns_threads); i++)
		target_check_thread(&ns_threads[i]);
}

static void write_map(pid_t pid, const char *name)
{
	char path[64], text[64];
	int n = snprintf(text, sizeof(text), "0 %d %d\n", NS_UID, NS_UIDS), fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, n) != n)
		target_die(77, "cannot write %s", path);
	close(fd);
}

static int ns_inside(pid_t outer)
{
	static const struct target_ops ops = { .check = ns_check };

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("proc", "/proc", "proc", 0, NULL))
		target_die(77, "cannot mount /proc inside");
	target_die_with_parent();
	target_limit_life(TARGET_LIFE_SEC);
	ns_inner_pid = getpid();
	ns_anon = target_mmap(AREA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	target_fill(ns_anon, AREA_BYTES, SEED_ANON);
	for (size_t i = 0; i < TARGET_ARRAY_SIZE(ns_threads); i++) {
		target_start(&ns_threads[i]);
		target_wait_blocked(&ns_threads[i]);
	}
	target_ready(outer, 0, "inner=%d uid=%d anon=%p:%d:%d", (int)ns_inner_pid, NS_UID, ns_anon,
		     (int)AREA_BYTES, (int)SEED_ANON);
	return target_serve(&ops);
}

// Pass on how the child ended.
static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			target_die(1, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Learns from the process outside what its own pid is there, once the maps are written.
static pid_t learn_outer_pid(void)
{
	pid_t outer;

	if (read(ns_to_child[0], &outer, sizeof(outer)) != sizeof(outer))
		_exit(1);
	close(ns_to_child[0]);
	return outer;
}

static void become_root_inside(void)
{
	if (setresgid(0, 0, 0) || setgroups(0, NULL) || setresuid(0, 0, 0))
		target_die(1, "cannot become root inside");
	// Lets this process write to what belongs to it in /proc again.
	prctl(PR_SET_DUMPABLE, 1);
	target_die_with_parent();
}

// The first process inside. For "second" it is init and forks the one that counts.
static int ns_first(bool second, int pid_socket)
{
	pid_t outer, pid;

	close(ns_to_child[1]);
	become_root_inside();
	if (!second) {
		(void)!write(pid_socket, &(pid_t) { 0 }, sizeof(pid_t));
		outer = learn_outer_pid();
		close(pid_socket);
		return ns_inside(outer);
	}
	pid = fork();
	if (!pid) {
		(void)!write(pid_socket, &(pid_t) { 1 }, sizeof(pid_t));
		outer = learn_outer_pid();
		close(pid_socket);
		return ns_inside(outer);
	}
	close(ns_to_child[0]);
	close(pid_socket);
	return wait_for(pid);
}

// The pid out here of the child's only child. The child may be still about to say hello.
static pid_t outer_pid_of(pid_t first, int pid_pipe)
{
	pid_t kind, pid = first;
	char *text;

	if (read(pid_pipe, &kind, sizeof(kind)) != sizeof(kind))
		target_die(1, "the process inside says nothing");
	if (kind == 0)
		return first;
	text = target_slurp(target_proc_task(first, first, "children"));
	pid = text ? atoi(text) : 0;
	free(text);
	return pid;
}

int main(int argc, char **argv)
{
	bool second = argc > 1 && !strcmp(argv[1], "second");
	int mapped[2], hello[2];
	pid_t first, outer;
	char c = 0;

	target_init();
	if (pipe2(ns_pipe, O_CLOEXEC) || pipe2(ns_to_child, O_CLOEXEC) ||
	    pipe2(mapped, O_CLOEXEC) || pipe2(hello, O_CLOEXEC))
		target_die(1, "pipe2");
	// unshare puts only children into the pid namespace: one fork for that, in between
	// nothing. CLONE_NEWUSER on this process itself would leave nobody to write the maps.
	first = syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, NULL,
			NULL, NULL, NULL);
	if (first < 0)
		target_die(77, "clone with new namespaces");
	if (!first) {
		close(mapped[1]);
		close(hello[0]);
		(void)!read(mapped[0], &c, 1);
		close(mapped[0]);
		exit(ns_first(second, hello[1]));
	}
	write_map(first, "uid_map");
	write_map(first, "gid_map");
	(void)!write(mapped[1], &c, 1);
	close(hello[1]);
	outer = outer_pid_of(first, hello[0]);
	(void)!write(ns_to_child[1], &outer, sizeof(outer));
	return wait_for(first);
}
