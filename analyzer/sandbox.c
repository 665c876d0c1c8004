// SPDX-License-Identifier: LGPL-2.1-or-later
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <seccomp.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/// The system calls that reading, answering and allocating need, each with who makes it.
static const int allowed[] _unused_ = {
	SCMP_SYS(read), // nothing today; libc may
	SCMP_SYS(pread64), // source.c
	SCMP_SYS(lseek), // source.c: the size of a file
	SCMP_SYS(write), // lines
	SCMP_SYS(sendmsg), // common/ipc.c
	SCMP_SYS(recvmsg), // common/ipc.c: descriptors of files it asked for
	SCMP_SYS(close), // those again
	SCMP_SYS(brk), // malloc
	SCMP_SYS(mmap), // malloc; not executable, see below
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(sysinfo), // qsort() of glibc before 2.37: how much memory it may take
	SCMP_SYS(clock_gettime), // where the vDSO cannot
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask), // abort()
	SCMP_SYS(getpid), // abort()
	SCMP_SYS(gettid),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

/// What libelf asks of a descriptor besides.
static const int allowed_mapping[] _unused_ = {
	SCMP_SYS(fstat), // how large it is
};

/// Calls that look for a file: libdw takes the answer that there is none.
static const int missing[] _unused_ = {
	SCMP_SYS(open),	      SCMP_SYS(openat), SCMP_SYS(stat),	  SCMP_SYS(lstat),
	SCMP_SYS(newfstatat), SCMP_SYS(statx),	SCMP_SYS(access), SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getcwd),
};

/// A limit that is lower already stays: few may raise it, and whoever set it meant it.
static int limit(int what, uint64_t value)
{
	struct rlimit rl;
	if (getrlimit((__rlimit_resource_t)what, &rl) < 0)
		return -errno;
	rl.rlim_max = MIN(rl.rlim_max, (rlim_t)value);
	rl.rlim_cur = MIN(rl.rlim_cur, rl.rlim_max);
	return setrlimit((__rlimit_resource_t)what, &rl) < 0 ? -errno : 0;
}

static int drop_capabilities(void)
{
	cap_t none = cap_init(); // with all flags cleared
	if (!none)
		return -ENOMEM;
	// What cannot be removed from the bounding set without CAP_SETPCAP could not be gained
	// either, after no_new_privs.
	for (cap_value_t cap = 0; CAP_IS_SUPPORTED(cap); cap++)
		(void)cap_drop_bound(cap);
	int r = cap_set_proc(none) < 0 ? -errno : 0;
	(void)cap_free(none);
	return r;
}

#if !defined(__SANITIZE_ADDRESS__)
static int add_rules_mapping(scmp_filter_ctx ctx)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(allowed_mapping); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed_mapping[i], 0);
	// Whether a descriptor is one.
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
				     SCMP_A1(SCMP_CMP_EQ, F_GETFD));
	// pthread_once(), when libdw has looked for a library that fetches files, and not found it.
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(futex), 1,
				     SCMP_A1(SCMP_CMP_EQ, FUTEX_WAKE_PRIVATE));
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(missing); i++)
		if (missing[i] >= 0) // newer architectures lack the older calls
			r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOENT), missing[i], 0);
	return r;
}
#endif

static int load_filter(enum sandbox_kind kind _unused_)
{
#if defined(__SANITIZE_ADDRESS__)
	return 0; // the sanitizer's own runtime needs much more
#else
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!ctx)
		return -ENOMEM;
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(allowed); i++)
		if (allowed[i] != SCMP_SYS(mmap))
			r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	if (r == 0) // PROT_EXEC is 4, in the third argument
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, 4, 0));
	if (r == 0 && kind == SANDBOX_MAPS)
		r = add_rules_mapping(ctx);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
#endif
}

struct snap_error *sandbox_enter(const struct sandbox_limits *limits)
{
	int r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
	// Its memory holds the same secrets as the core.
	if (r == 0)
		r = prctl(PR_SET_DUMPABLE, 0) < 0 ? -errno : 0;
	if (r == 0)
		r = limit(RLIMIT_CORE, 0);
	if (r == 0)
		r = limit(RLIMIT_CPU, limits->cpu_seconds);
#if !defined(__SANITIZE_ADDRESS__)
	if (r == 0)
		r = limit(limits->kind == SANDBOX_MAPS ? RLIMIT_DATA : RLIMIT_AS,
			  limits->memory_bytes);
#endif
	if (r == 0)
		r = drop_capabilities();
	if (r == 0)
		r = load_filter(limits->kind);
	return r < 0 ? snap_error_errno(SNAP_FAILED, -r, "cannot enter the sandbox") : NULL;
}
