// SPDX-License-Identifier: LGPL-2.1-or-later
// A process that must not be dumped by its equals: PR_SET_DUMPABLE 0, or ("setuid UID") one that
// gave up root by setresuid, which clears the flag as well. Its files in /proc belong to root.
#include "target.h"

#include <grp.h>

enum { SEED_ANON = 121, AREA_BYTES = 4 * 4096 };

static void *nodump_anon;
static int nodump_pipe[2];

static long in_read(struct target_thread *t)
{
	char c;

	(void)t;
	return read(nodump_pipe[0], &c, 1);
}

static struct target_thread nodump_threads[] = {
	{ .name = "reader-1", .run = in_read },
	{ .name = "reader-2", .run = in_read },
};

static void nodump_check(void)
{
	int dumpable = prctl(PR_GET_DUMPABLE);

	if (dumpable == 1)
		target_fail("the process became dumpable");
	target_verify("anon", nodump_anon, AREA_BYTES, SEED_ANON);
	for (size_t i = 0; i < TARGET_ARRAY_SIZE(nodump_threads); i++)
		target_check_thread(&nodump_threads[i]);
}

static void nodump_drop(uid_t uid)
{
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		target_die(77, "cannot become user %d", (int)uid);
	target_die_with_parent();	// lost with the change of uid
}

int main(int argc, char **argv)
{
	static const struct target_ops ops = { .check = nodump_check };

	target_init();
	if (argc == 3 && !strcmp(argv[1], "setuid"))
		nodump_drop(atoi(argv[2]));
	else if (argc > 1)
		target_die(1, "usage: nodump [setuid UID]");
	else if (prctl(PR_SET_DUMPABLE, 0))
		target_die(1, "PR_SET_DUMPABLE");
	if (prctl(PR_GET_DUMPABLE) == 1)
		target_die(1, "the process is still dumpable");
	if (pipe2(nodump_pipe, O_CLOEXEC))
		target_die(1, "pipe2");
	nodump_anon = target_mmap(AREA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	target_fill(nodump_anon, AREA_BYTES, SEED_ANON);
	for (size_t i = 0; i < TARGET_ARRAY_SIZE(nodump_threads); i++) {
		target_start(&nodump_threads[i]);
		target_wait_blocked(&nodump_threads[i]);
	}
	target_ready(0, 0, "dumpable=%d uid=%d anon=%p:%d:%d", prctl(PR_GET_DUMPABLE),
		     (int)getuid(), nodump_anon, (int)AREA_BYTES, (int)SEED_ANON);
	return target_serve(&ops);
}
