// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <inttypes.h>
#include <sys/prctl.h>

#include "common/fd.h"
#include "common/strbuf.h"
#include "ptrace/procfs.h"

// -- stat ---------------------------------------------------------------------------------------

#define STAT_TAIL                                                                           \
	" S 11 12 13 0 -1 4194304 101 1 2 3 40 50 60 70 20 -5 1 0 345374 3133440 390 "      \
	"18446744073709551615 93976208048128 93976208068009 140726549570544 0 0 0 0 0 0 0 " \
	"0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"

static void check_stat(const char *text, pid_t pid, const char *comm)
{
	struct procfs_stat st;
	memset(&st, 0xa5, sizeof(st));
	assert_int_equal(procfs_parse_stat(text, &st), 0);
	assert_int_equal(st.pid, pid);
	assert_string_equal(st.comm, comm);
	assert_int_equal(st.state, 'S');
	assert_int_equal(st.ppid, 11);
	assert_int_equal(st.pgrp, 12);
	assert_int_equal(st.sid, 13);
	assert_int_equal(st.flags, 4194304);
	assert_int_equal(st.utime, 40);
	assert_int_equal(st.stime, 50);
	assert_int_equal(st.cutime, 60);
	assert_int_equal(st.cstime, 70);
	assert_int_equal(st.nice, -5);
	assert_int_equal(st.start_time, 345374);
}

/// The name is written by the process, and may look like the rest of the line.
static void test_stat_names(void **state _unused_)
{
	static const char *const names[] = {
		"cat",	     "",	   "(",		  ")",		  "()",
		") R 1 1",   "\") R 1 1",  "a b c",	  "\n",		  "x\n1 (y) R",
		")))) (((",  "1 (init) S", "\t\v\x1b[2J", "\xff\xfe",	  ") Z 0 0 0 0 -1 ",
		"kworker/u16:0-events_unbound_and_a_long_tail_of_more_than_sixty_",
	};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char text[512], want[64];
		(void)snprintf(text, sizeof(text), "4194303 (%s)" STAT_TAIL, names[i]);
		(void)snprintf(want, sizeof(want), "%s", names[i]); // cut to the room there is
		check_stat(text, 4194303, want);
	}
}

static void test_stat_refused(void **state _unused_)
{
	static const char *const bad[] = {
		"",
		"\n",
		"1",
		"1 (",
		"1 )",
		"1 ()",
		"1 )x( S 1",
		"(x) 1 S",
		"(x)" STAT_TAIL,
		"0 (x)" STAT_TAIL,
		"-1 (x)" STAT_TAIL,
		"2147483648 (x)" STAT_TAIL,
		"18446744073709551615 (x)" STAT_TAIL,
		"99999999999999999999999 (x)" STAT_TAIL,
		"x (x)" STAT_TAIL,
		"1 (x)S 1 2 3",
		"1 (x) 7 11 12 13 0 -1 4194304 101 1 2 3 40 50 60 70 20 -5 1 0 345374 0",
		"1 (x) S 11 12 13 0 -1 4194304 101 1 2 3 40 50 60 70 20 -5 1 0", // one field less
		"1 (x) S 11 12 13 0 -1 4194304 101 1 2 3 40 50 60 70 20 -5 1 0 x",
		"1 (x) S 1 2 3 0 -1 4194304 101 1 2 3 40 50 60 70 20 -5 1 0 99999999999999999999",
		"1 (x) S 11 12 - 0 -1 4194304 101 1 2 3 40 50 60 70 20 -5 1 0 345374",
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct procfs_stat st = { .pid = 4711 };
		if (procfs_parse_stat(bad[i], &st) != -EBADMSG)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(st.pid, 4711);
		assert_string_equal(st.comm, "");
	}
}

/// Every text that is cut off somewhere is either refused or has all that is wanted.
static void test_stat_truncated(void **state _unused_)
{
	static const char whole[] = "7 (a) b)" STAT_TAIL;
	size_t enough = (size_t)(strstr(whole, "345374") - whole) + 1;
	for (size_t len = 0; len < sizeof(whole); len++) {
		char *text = strndup(whole, len);
		struct procfs_stat st;
		assert_int_equal(procfs_parse_stat(text, &st), len >= enough ? 0 : -EBADMSG);
		free(text);
	}
}

static void test_stat_large(void **state _unused_)
{
	struct procfs_stat st;
	assert_int_equal(procfs_parse_stat("1 (x) R 0 0 0 0 -1 18446744073709551615 0 0 0 0 "
					   "18446744073709551615 0 0 0 20 19 1 0 "
					   "18446744073709551615 0",
					   &st),
			 0);
	assert_int_equal(st.flags, UINT64_MAX);
	assert_int_equal(st.utime, UINT64_MAX);
	assert_int_equal(st.start_time, UINT64_MAX);
	assert_int_equal(st.nice, 19);
}

/// What comes late in the line, behind numbers of all sizes, and not with every kernel.
static void test_stat_end(void **state _unused_)
{
	struct procfs_stat st;
	char text[512];
	const char *head = "7 (x) Z 1 2 3 0 -1 64 0 0 0 0 1 2 3 4 20 0 1 0 99 "
			   "0 0 18446744073709551615 0 0 0 0 0 0 0 4 65536 0 0 0";
	(void)snprintf(text, sizeof(text), "%s 0 1 0 0 0 0 0 0 0 0 0 0 0 0 23808\n", head);
	assert_int_equal(procfs_parse_stat(text, &st), 0);
	assert_int_equal(st.exit_signal, 0);
	assert_int_equal(st.exit_code, 23808);
	(void)snprintf(text, sizeof(text), "%s 17 1 0 0\n", head);
	assert_int_equal(procfs_parse_stat(text, &st), 0);
	assert_int_equal(st.exit_signal, 17);
	assert_int_equal(st.exit_code, -1);
	(void)snprintf(text, sizeof(text), "%s -1\n", head);
	assert_int_equal(procfs_parse_stat(text, &st), 0);
	assert_int_equal(st.exit_signal, -1);
	assert_int_equal(procfs_parse_stat(head, &st), 0);
	assert_int_equal(st.exit_signal, -1);
}

static void test_stat_self(void **state _unused_)
{
	char saved[16];
	struct procfs_stat st;
	assert_int_equal(prctl(PR_GET_NAME, saved), 0);
	assert_int_equal(prctl(PR_SET_NAME, ") Z 1\n(2 3 ("), 0);
	int r = procfs_read_stat(AT_FDCWD, "/proc/self/stat", &st);
	assert_int_equal(prctl(PR_SET_NAME, saved), 0);
	assert_int_equal(r, 0);
	assert_string_equal(st.comm, ") Z 1\n(2 3 (");
	assert_int_equal(st.pid, getpid());
	assert_int_equal(st.ppid, getppid());
	assert_int_equal(st.pgrp, getpgrp());
	assert_int_equal(st.sid, getsid(0));
	assert_int_equal(st.state, 'R');
	assert_int_equal(procfs_read_stat(AT_FDCWD, "/proc/self/nothing", &st), -ENOENT);
	assert_int_equal(procfs_read_stat(AT_FDCWD, "/proc/self/status", &st), -EBADMSG);
}

// -- status -------------------------------------------------------------------------------------

static const char status_text[] = "Name:\tcat Uid: 1 TracerPid:\t99\\nUid:\t7\n"
				  "Umask:\t0022\n"
				  "State:\tS (sleeping)\n"
				  "Tgid:\t77\n"
				  "Pid:\t77\n"
				  "PPid:\t1\n"
				  "TracerPid:\t4194303\n"
				  "Uid:\t1000\t1001\t1002\t1003\n"
				  "Gid:\t2000\t2001\t2002\t2003\n"
				  "Groups:\t4 24 \n"
				  "NStgid:\t77\t5\t1\n"
				  "NSpid:\t77\t5\t2\n"
				  "NSpgid:\t70\t4\t3\n"
				  "NSsid:\t60\t4\t0\n"
				  "VmHWM:\t    1788 kB\n"
				  "VmRSS:\t    1780 kB\n"
				  "Threads:\t12\n"
				  "SigQ:\t1/96364\n"
				  "SigPnd:\t0000000000000001\n"
				  "ShdPnd:\tffffffffffffffff\n"
				  "SigBlk:\t8000000000000000\n"
				  "SigIgn:\t0000000000001000\n";

static void test_status(void **state _unused_)
{
	struct procfs_status st;
	memset(&st, 0xa5, sizeof(st));
	assert_int_equal(procfs_parse_status(status_text, &st), 0);
	assert_int_equal(st.uid, 1000);
	assert_int_equal(st.fsuid, 1003);
	assert_int_equal(st.gid, 2000);
	assert_int_equal(st.tracer_pid, 4194303);
	assert_int_equal(st.ns_levels, 3);
	assert_int_equal(st.ns_pid, 2);
	assert_int_equal(st.ns_pgrp, 3);
	assert_int_equal(st.ns_sid, 0);
	assert_int_equal(st.threads, 12);
	assert_int_equal(st.sig_pending, 1);
	assert_int_equal(st.sig_shared_pending, UINT64_MAX);
	assert_int_equal(st.sig_blocked, 1ULL << 63);
	assert_int_equal(st.sig_ignored, 0x1000);
	assert_int_equal(st.rss_bytes, 1780 * 1024);
}

/// Without one of these lines the text is not a status; without the others it may be a zombie's.
static void test_status_missing(void **state _unused_)
{
	static const char *const needed[] = { "\nUid:", "\nGid:", "\nTracerPid:", "\nThreads:" };
	static const char *const other[] = { "\nNSpid:", "\nVmRSS:", "\nSigPnd:", "\nSigIgn:",
					     "\nNSpgid:" };
	struct procfs_status st;
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		_cleanup_free_ char *text = strdup(status_text);
		*(strstr(text, needed[i]) + 1) = 'x';
		st.uid = 4711;
		assert_int_equal(procfs_parse_status(text, &st), -EBADMSG);
		assert_int_equal(st.uid, 4711);
	}
	for (size_t i = 0; i < ARRAY_SIZE(other); i++) {
		_cleanup_free_ char *text = strdup(status_text);
		*(strstr(text, other[i]) + 1) = 'x';
		assert_int_equal(procfs_parse_status(text, &st), 0);
		assert_int_equal(st.ns_levels, i == 0 ? 0 : 3);
		assert_int_equal(st.ns_pid, i == 0 ? 0 : 2);
		assert_int_equal(st.ns_pgrp, i == 4 ? 0 : 3);
		assert_int_equal(st.rss_bytes, i == 1 ? 0 : 1780 * 1024);
		assert_int_equal(st.sig_pending, i == 2 ? 0 : 1);
		assert_int_equal(st.sig_ignored, i == 3 ? 0 : 0x1000);
	}
}

static void test_status_limits(void **state _unused_)
{
	static const char form[] = "TracerPid:\t%s\nUid:\t4294967295\t0\t0\t%s\nGid:\t4294967295\n"
				   "VmRSS:\t%s kB\nThreads:\t%s\n";
	static const struct {
		const char *tracer, *fsuid, *rss, *threads;
		int result;
	} cases[] = {
		{ "0", "4294967295", "18014398509481983", "1", 0 },
		{ "-1", "0", "0", "1", -EBADMSG },
		{ "2147483648", "0", "0", "1", -EBADMSG },
		{ "0", "", "0", "1", -EBADMSG },
		{ "0", "x", "0", "1", -EBADMSG },
		{ "0", "0", "0", "-1", -EBADMSG },
		{ "0", "0", "0", "", -EBADMSG },
		{ "", "0", "0", "1", -EBADMSG },
		{ "0", "0", "9007199254740992", "1", 0 }, // would overflow in bytes
		{ "0", "0", "-5", "1", 0 },
		{ "0", "0", "x", "1", 0 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[512];
		struct procfs_status st;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		(void)snprintf(text, sizeof(text), form, cases[i].tracer, cases[i].fsuid,
			       cases[i].rss, cases[i].threads);
#pragma GCC diagnostic pop
		if (procfs_parse_status(text, &st) != cases[i].result)
			fail_msg("case %zu", i);
		if (cases[i].result)
			continue;
		assert_int_equal(st.uid, UINT32_MAX);
		assert_true(st.rss_bytes < 1ULL << 63);
		assert_int_equal(st.ns_pid, 0);
	}
}

/// The last number counts; what is no process id ends the list, and so does the deepest level.
static void test_status_levels(void **state _unused_)
{
	static const char form[] = "TracerPid:\t0\nUid:\t0\t0\t0\t0\nGid:\t0\nThreads:\t1\n"
				   "NSpid:%s\nNSsid:\t9\n";
	static const struct {
		const char *list;
		unsigned int levels;
		pid_t pid;
	} cases[] = {
		{ "", 0, 0 },
		{ "\tx", 0, 0 },
		{ "\t-1", 0, 0 },
		{ "\t2147483647", 1, INT32_MAX },
		{ "\t7\t2147483648\t8", 1, 7 },
		{ "\t7\t-1\t8", 1, 7 },
		{ "\t7\t0", 2, 0 },
		{ " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31"
		  " 32 33 34 35",
		  33, 33 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[512];
		struct procfs_status st;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		(void)snprintf(text, sizeof(text), form, cases[i].list);
#pragma GCC diagnostic pop
		assert_int_equal(procfs_parse_status(text, &st), 0);
		assert_int_equal(st.ns_levels, cases[i].levels);
		assert_int_equal(st.ns_pid, cases[i].pid);
		assert_int_equal(st.ns_pgrp, 0);
		assert_int_equal(st.ns_sid, 9);
	}
}

/// A name cannot add lines, since the kernel escapes newlines there; this checks that it does.
static void test_status_self(void **state _unused_)
{
	char saved[16];
	struct procfs_status st;
	assert_int_equal(prctl(PR_GET_NAME, saved), 0);
	assert_int_equal(prctl(PR_SET_NAME, "\nUid:\t5\t5\t5\t5"), 0);
	int r = procfs_read_status(AT_FDCWD, "/proc/thread-self/status", &st);
	assert_int_equal(prctl(PR_SET_NAME, saved), 0);
	assert_int_equal(r, 0);
	assert_int_equal(st.uid, getuid());
	assert_int_equal(st.gid, getgid());
	assert_int_equal(st.threads, 1);
	assert_true(st.rss_bytes > 0);
	assert_int_equal(st.ns_pid, getpid());
}

// -- syscall ------------------------------------------------------------------------------------

static void test_syscall(void **state _unused_)
{
	struct procfs_syscall sc;
	assert_int_equal(procfs_parse_syscall("0 0x3 0x7f3abd02f000 0x20000 0xffffffffffffffff 0x5 "
					      "0x6 0x7ffc18edc008 0x7f3abd1a92ad\n",
					      &sc),
			 0);
	assert_int_equal(sc.nr, 0);
	assert_int_equal(sc.args[0], 3);
	assert_int_equal(sc.args[2], 0x20000);
	assert_int_equal(sc.args[3], UINT64_MAX);
	assert_int_equal(sc.args[5], 6);
	assert_int_equal(sc.sp, 0x7ffc18edc008);
	assert_int_equal(sc.pc, 0x7f3abd1a92ad);

	memset(&sc, 0xa5, sizeof(sc));
	assert_int_equal(procfs_parse_syscall("-1 0x7ffc18edc008 0x7f3abd1a92ad\n", &sc), 0);
	assert_int_equal(sc.nr, -1);
	assert_int_equal(sc.args[0], 0);
	assert_int_equal(sc.sp, 0x7ffc18edc008);
	assert_int_equal(sc.pc, 0x7f3abd1a92ad);

	sc.nr = 4711;
	assert_int_equal(procfs_parse_syscall("running\n", &sc), -EAGAIN);
	assert_int_equal(sc.nr, 4711);
}

static void test_syscall_refused(void **state _unused_)
{
	static const char *const bad[] = {
		"",
		"\n",
		"run",
		"0",
		"0\n",
		"-1\n",
		"-1 0x1\n",
		"-1 0x1 2\n",
		"-1 0x1 0x\n",
		"-1 0x1 0xg\n",
		"-1 0x1 0x10000000000000000\n",
		"-1 0x1 0x 1\n",
		"-1 0x1 0x0x1\n",
		"-1 0x1 0x-1\n",
		"0 0x1 0x2 0x3 0x4 0x5 0x6 0x7\n",
		"0 0x1 0x2 0x3 0x4 0x5 0x6 0x7 8\n",
		"0 1 2 3 4 5 6 7 8\n",
		"x 0x1 0x2\n",
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct procfs_syscall sc = { .nr = 4711 };
		if (procfs_parse_syscall(bad[i], &sc) != -EBADMSG)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(sc.nr, 4711);
	}
}

// -- maps and smaps -----------------------------------------------------------------------------

/// Parses one mapping; its name is in @names.
static int parse_one(const char *text, struct strbuf *names, struct snap_mapping *map)
{
	struct procfs_maps walk = { .next = text };
	return procfs_maps_next(&walk, names, map);
}

static void test_maps_head(void **state _unused_)
{
	_cleanup_strbuf_ struct strbuf names = { 0 };
	struct snap_mapping map;
	assert_int_equal(parse_one("7f0000001000-7f0000004000 r-xp 0000a000 fd:1f 1234 "
				   "                     /usr/lib/libc.so.6\n",
				   &names, &map),
			 1);
	assert_int_equal(map.start, 0x7f0000001000);
	assert_int_equal(map.end, 0x7f0000004000);
	assert_int_equal(map.offset, 0xa000);
	assert_int_equal(map.dev_major, 0xfd);
	assert_int_equal(map.dev_minor, 0x1f);
	assert_int_equal(map.inode, 1234);
	assert_int_equal(map.flags, SNAP_MAP_READ | SNAP_MAP_EXEC);
	assert_string_equal(names.data + map.name, "/usr/lib/libc.so.6");
	assert_int_equal(names.data[0], '\0');

	// The whole of the numbers; 2^32 minors and inodes beyond 2^63 exist.
	assert_int_equal(parse_one("0-ffffffffffffffff -w-s ffffffffffffffff fff:fffff "
				   "18446744073709551615 \n",
				   &names, &map),
			 1);
	assert_int_equal(map.start, 0);
	assert_int_equal(map.end, UINT64_MAX);
	assert_int_equal(map.offset, UINT64_MAX);
	assert_int_equal(map.inode, UINT64_MAX);
	assert_int_equal(map.dev_minor, 0xfffff);
	assert_int_equal(map.flags, SNAP_MAP_WRITE | SNAP_MAP_SHARED);
	assert_int_equal(map.name, 0);
}

static void test_maps_names(void **state _unused_)
{
	static const struct {
		const char *name, *want;
		uint32_t flags;
	} cases[] = {
		{ "/a b  c", "/a b  c", 0 },
		{ "/a ", "/a ", 0 },
		{ "/a\\012b", "/a\nb", 0 },
		{ "\\012", "\n", 0 },
		{ "/\\012\\012", "/\n\n", 0 },
		{ "/a\\01", "/a\\01", 0 },
		{ "/a\\0", "/a\\0", 0 },
		{ "/a\\", "/a\\", 0 },
		{ "/a\\011", "/a\\011", 0 },
		{ "/a (deleted)", "/a (deleted)", SNAP_MAP_UNLINKED },
		{ " (deleted)", "(deleted)", 0 },
		{ "/(deleted)", "/(deleted)", 0 },
		{ "/a (deleted) ", "/a (deleted) ", 0 },
		{ "/memfd:x y (deleted)", "/memfd:x y (deleted)", SNAP_MAP_UNLINKED },
		{ "[vdso]", "[vdso]", SNAP_MAP_SPECIAL },
		{ "[vvar]", "[vvar]", SNAP_MAP_SPECIAL },
		{ "[vvar_vclock]", "[vvar_vclock]", SNAP_MAP_SPECIAL },
		{ "[vsyscall]", "[vsyscall]", SNAP_MAP_SPECIAL },
		{ "[heap]", "[heap]", 0 },
		{ "[anon:my thing]", "[anon:my thing]", 0 },
		{ "[anon_shmem:x]", "[anon_shmem:x]", 0 },
		{ "/x [vdso]", "/x [vdso]", 0 },
		{ "\xff\xfe\x01", "\xff\xfe\x01", 0 },
		{ "", "", 0 },
	};
	_cleanup_strbuf_ struct strbuf names = { 0 };
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (int newline = 0; newline < 2; newline++) {
			char text[256];
			struct snap_mapping map;
			(void)snprintf(text, sizeof(text),
				       "1000-2000 r--p 00000000 00:00 0      %s%s", cases[i].name,
				       newline ? "\n" : "");
			assert_int_equal(parse_one(text, &names, &map), 1);
			assert_string_equal(names.data + map.name, cases[i].want);
			assert_int_equal(map.flags, SNAP_MAP_READ | cases[i].flags);
		}
	}
}

static void test_maps_refused(void **state _unused_)
{
	static const char *const bad[] = {
		"\n",
		"x",
		"1000",
		"1000-",
		"1000-2000",
		"1000-2000\n",
		"1000-2000 ",
		"1000-2000 r",
		"1000-2000 r--p",
		"1000-2000 r--p 0",
		"1000-2000 r--p 0 0",
		"1000-2000 r--p 0 0:",
		"1000-2000 r--p 0 0:0",
		"1000-2000 r--p 0 0:0 ",
		"1000-2000 r--p 0 0:0 \n",
		"1000-2000 r--p 0 0:0 x\n",
		"1000-2000 r--x 0 0:0 0\n",
		"1000-2000 rr-p 0 0:0 0\n",
		"1000-2000 ---- 0 0:0 0\n",
		"1000-2000 r--ps 0 0:0 0\n",
		"1000 2000 r--p 0 0:0 0\n",
		"2000-1000 r--p 0 0:0 0\n",
		"1000-1000 r--p 0 0:0 0\n",
		"10000000000000000-20000000000000000 r--p 0 0:0 0\n",
		"1000-2000 r--p 10000000000000000 0:0 0\n",
		"1000-2000 r--p 0 0:0 99999999999999999999\n",
		"1000-2000 r--p 0 00 0\n",
		"Rss: 4 kB\n",
		"-1000-2000 r--p 0 0:0 0\n",
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_strbuf_ struct strbuf names = { 0 };
		struct snap_mapping map = { .start = 4711 };
		if (parse_one(bad[i], &names, &map) != -EBADMSG)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(map.start, 4711);
	}
}

static const char smaps_text[] =
	"1000-3000 rw-p 00000000 00:00 0                          [heap]\n"
	"Size:                  8 kB\n"
	"KernelPageSize:        4 kB\n"
	"Rss:                   7 kB\n"
	"Pss:                   1 kB\n"
	"Pss_Dirty:             2 kB\n"
	"Shared_Clean:          3 kB\n"
	"Anonymous:             5 kB\n"
	"AnonHugePages:         9 kB\n"
	"Swap:                  6 kB\n"
	"SwapPss:              11 kB\n"
	"THPeligible:           0\n"
	"ProtectionKey:         1\n"
	"VmFlags: rd wr mr mw me dd io pf ht dc wf ss ac \n"
	"3000-4000 ---p 00000000 00:00 0 \n"
	"Rss:                   0 kB\n"
	"VmFlags: mr mw me ac \n"
	"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";

static void test_smaps(void **state _unused_)
{
	_cleanup_strbuf_ struct strbuf names = { 0 };
	struct procfs_maps walk = { .next = smaps_text };
	struct snap_mapping map;
	assert_int_equal(procfs_maps_next(&walk, &names, &map), 1);
	assert_int_equal(map.rss_bytes, 7 * 1024);
	assert_int_equal(map.anon_bytes, 5 * 1024);
	assert_int_equal(map.swap_bytes, 6 * 1024);
	assert_int_equal(map.flags,
			 SNAP_MAP_READ | SNAP_MAP_WRITE | SNAP_MAP_DONTDUMP | SNAP_MAP_IO |
				 SNAP_MAP_PFN | SNAP_MAP_HUGETLB | SNAP_MAP_DONTFORK |
				 SNAP_MAP_WIPEONFORK | SNAP_MAP_SHADOWSTACK | SNAP_MAP_COUNTED);
	assert_true(walk.vm_flags);
	assert_string_equal(names.data + map.name, "[heap]");
	assert_int_equal(procfs_maps_next(&walk, &names, &map), 1);
	assert_int_equal(map.flags, SNAP_MAP_COUNTED);
	assert_int_equal(map.name, 0);
	assert_true(walk.vm_flags);
	assert_int_equal(procfs_maps_next(&walk, &names, &map), 1);
	assert_int_equal(map.flags, SNAP_MAP_EXEC | SNAP_MAP_SPECIAL);
	assert_false(walk.vm_flags);
	assert_int_equal(procfs_maps_next(&walk, &names, &map), 0);
	assert_int_equal(procfs_maps_next(&walk, &names, &map), 0); // and stays at the end
}

/// The sizes in smaps may be anything; what does not fit in bytes does not count.
static void test_smaps_numbers(void **state _unused_)
{
	static const struct {
		const char *line;
		uint64_t rss;
	} cases[] = {
		{ "Rss: 4 kB\n", 4096 },
		{ "Rss:4kB\n", 4096 },
		{ "Rss:\n", 0 },
		{ "Rss: x\n", 0 },
		{ "Rss: -4 kB\n", 0 },
		{ "Rss: 9007199254740990 kB\n", 9007199254740990 * 1024 },
		{ "Rss: 18014398509481984 kB\n", 0 },
		{ "Rss: 18446744073709551615 kB\n", 0 },
		{ "Rss: 99999999999999999999 kB\n", 0 },
		{ "Rss: -\n7000-8000", 0 },
		{ "RSS: 4 kB\n", 0 },
		{ "Rss 4 kB\n", 0 },
		{ "XRss: 4 kB\n", 0 },
		{ "Rss: 4 kB", 4096 }, // the text ends here
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_strbuf_ struct strbuf names = { 0 };
		char text[256];
		struct snap_mapping map;
		(void)snprintf(text, sizeof(text), "1000-2000 rw-p 0 00:00 0 \n%s", cases[i].line);
		assert_int_equal(parse_one(text, &names, &map), 1);
		if (map.rss_bytes != cases[i].rss)
			fail_msg("'%s': %" PRIu64, cases[i].line, map.rss_bytes);
	}
}

static void test_vm_flags(void **state _unused_)
{
	static const struct {
		const char *line;
		uint32_t flags;
	} cases[] = {
		{ "VmFlags:", 0 },		     { "VmFlags: ", 0 },
		{ "VmFlags: d", 0 },		     { "VmFlags: dd", SNAP_MAP_DONTDUMP },
		{ "VmFlags:dd\n", SNAP_MAP_DONTDUMP }, { "VmFlags: mr dd \n", SNAP_MAP_DONTDUMP },
		{ "VmFlags: ?? dd ?? \n", SNAP_MAP_DONTDUMP },
		{ "VmFlags: \ndd", 0 },		     { "vmFlags: dd", 0 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_strbuf_ struct strbuf names = { 0 };
		char text[256];
		struct snap_mapping map;
		(void)snprintf(text, sizeof(text), "1000-2000 ---p 0 00:00 0 \n%s", cases[i].line);
		assert_int_equal(parse_one(text, &names, &map), 1);
		if (map.flags != cases[i].flags)
			fail_msg("'%s': %x", cases[i].line, map.flags);
	}
}

/// Wherever the text is cut, what comes out is sane, and only a head that is cut is an error.
static void test_smaps_truncated(void **state _unused_)
{
	for (size_t len = 0; len <= sizeof(smaps_text); len++) {
		_cleanup_free_ char *text = strndup(smaps_text, len);
		_cleanup_strbuf_ struct strbuf names = { 0 };
		struct procfs_maps walk = { .next = text };
		struct snap_mapping map;
		int r, n = 0;
		while ((r = procfs_maps_next(&walk, &names, &map)) > 0) {
			n++;
			assert_true(map.start < map.end);
			assert_true(map.name < names.len);
		}
		assert_true(r == 0 || r == -EBADMSG);
		assert_true(n <= 3);
		assert_int_equal(r < 0 && text[len - (len > 0)] == '\n', false);
	}
}

/// The strbuf keeps its promise, data[len] is 0, and names do not run into each other.
static void test_names_terminated(void **state _unused_)
{
	_cleanup_strbuf_ struct strbuf names = { 0 };
	assert_int_equal(strbuf_reserve(&names, 4000), 0);
	memset(names.data, 0xa5, 4000);
	struct snap_mapping a, b;
	assert_int_equal(parse_one("1000-2000 ---p 0 00:00 0 /first\n", &names, &a), 1);
	assert_int_equal(names.data[names.len], '\0');
	assert_int_equal(parse_one("1000-2000 ---p 0 00:00 0 /second\\012\n", &names, &b), 1);
	assert_int_equal(names.data[names.len], '\0');
	assert_string_equal(names.data + a.name, "/first");
	assert_string_equal(names.data + b.name, "/second\n");
}

static void test_long_name(void **state _unused_)
{
	_cleanup_strbuf_ struct strbuf text = { 0 }, names = { 0 };
	struct snap_mapping map;
	assert_int_equal(strbuf_addf(&text, "1000-2000 ---p 0 00:00 1 /"), 0);
	for (int i = 0; i < 100000; i++)
		assert_int_equal(strbuf_add(&text, i % 2 ? "x" : "\\012", i % 2 ? 1 : 4), 0);
	assert_int_equal(parse_one(text.data, &names, &map), 1);
	assert_int_equal(strlen(names.data + map.name), 100001);
}

static void test_70000_mappings(void **state _unused_)
{
	enum { N = 70000 };
	_cleanup_strbuf_ struct strbuf text = { 0 }, names = { 0 };
	for (uint64_t i = 0; i < N; i++)
		assert_int_equal(strbuf_addf(&text,
					     "%" PRIx64 "-%" PRIx64 " rw-p 00000000 00:00 %d      "
					     "    /f%" PRIu64 "\nSize: 4 kB\nRss: %d kB\n"
					     "VmFlags: rd wr %s \n",
					     0x10000000 + i * 8192, 0x10000000 + i * 8192 + 4096,
					     (int)i, i, (int)i % 5, i % 2 ? "dd" : "ac"),
				 0);
	struct procfs_maps walk = { .next = text.data };
	struct snap_mapping map;
	for (uint64_t i = 0; i < N; i++) {
		char want[16];
		assert_int_equal(procfs_maps_next(&walk, &names, &map), 1);
		assert_int_equal(map.start, 0x10000000 + i * 8192);
		assert_int_equal(map.rss_bytes, i % 5 * 1024);
		assert_int_equal(!!(map.flags & SNAP_MAP_DONTDUMP), i % 2);
		(void)snprintf(want, sizeof(want), "/f%" PRIu64, i);
		assert_string_equal(names.data + map.name, want);
	}
	assert_int_equal(procfs_maps_next(&walk, &names, &map), 0);
}

/// Our own mappings, with all that the running kernel writes.
static void test_maps_self(void **state _unused_)
{
	static const char *const files[] = { "/proc/self/maps", "/proc/self/smaps" };
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *text = NULL;
		_cleanup_strbuf_ struct strbuf names = { 0 };
		assert_true(snap_read_file_at(AT_FDCWD, files[i], 64 << 20, &text) > 0);
		struct procfs_maps walk = { .next = text };
		struct snap_mapping map;
		uint64_t end = 0;
		bool stack = false, code = false;
		int r;
		while ((r = procfs_maps_next(&walk, &names, &map)) > 0) {
			assert_true(map.start >= end);
			end = map.end;
			assert_int_equal(walk.vm_flags, i);
			stack |= !strcmp(names.data + map.name, "[stack]") &&
				 map.start <= (uintptr_t)&map && map.end > (uintptr_t)&map;
			code |= map.flags & SNAP_MAP_EXEC &&
				map.start <= (uintptr_t)&procfs_maps_next &&
				map.end > (uintptr_t)&procfs_maps_next;
		}
		assert_int_equal(r, 0);
		assert_true(stack || test_under_valgrind());
		assert_true(code);
	}
}

static void test_ticks(void **state _unused_)
{
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
	assert_int_equal(procfs_ticks_to_usec(0), 0);
	assert_int_equal(procfs_ticks_to_usec(hz), 1000000);
	assert_int_equal(procfs_ticks_to_usec(hz + 1), 1000000 + 1000000 / hz);
	assert_int_equal(procfs_ticks_to_usec(hz * 86400 * 3650), 86400ULL * 3650 * 1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stat_names),	  cmocka_unit_test(test_stat_refused),
		cmocka_unit_test(test_stat_truncated),	  cmocka_unit_test(test_stat_large), cmocka_unit_test(test_stat_end),
		cmocka_unit_test(test_stat_self),	  cmocka_unit_test(test_status),
		cmocka_unit_test(test_status_missing),	  cmocka_unit_test(test_status_limits),
		cmocka_unit_test(test_status_levels),	  cmocka_unit_test(test_status_self),
		cmocka_unit_test(test_syscall),
		cmocka_unit_test(test_syscall_refused),	  cmocka_unit_test(test_maps_head),
		cmocka_unit_test(test_maps_names),	  cmocka_unit_test(test_maps_refused),
		cmocka_unit_test(test_smaps),
		cmocka_unit_test(test_smaps_numbers),	  cmocka_unit_test(test_vm_flags),
		cmocka_unit_test(test_smaps_truncated),	  cmocka_unit_test(test_names_terminated),
		cmocka_unit_test(test_long_name),	  cmocka_unit_test(test_70000_mappings),
		cmocka_unit_test(test_maps_self),	  cmocka_unit_test(test_ticks),
	};
	return cmocka_run_group_tests_name("procfs", tests, NULL, NULL);
}
