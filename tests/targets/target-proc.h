// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * DOC: Theory of operation
 *
 * What a process looks like from /proc before and after it was dumped. A target takes a
 * struct target_base of itself (or of its child) when it is ready and compares at every `check`.
 * All of it must be the same: threads with their masks and pending signals, children, open files,
 * mappings, the bytes of all readable text (an injector may leave a patch in the vDSO or in
 * the first text page), the dispositions, limits and cgroup.
 *
 * Everything is read through /proc/thread-self and not /proc/self: when the leader has called
 * pthread_exit its mm is gone and /proc/self/maps is empty.
 *
 * Adjacent mappings that differ in nothing are counted as one. The kernel may merge them
 * whenever it likes, for example after a userfaultfd was registered and unregistered.
 */
#ifndef TARGET_PROC_H
#define TARGET_PROC_H

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/** What of a target may differ between two looks at it. */
enum target_flags {
	TARGET_CHILDREN		= 1 << 0,	// has children, always the same ones
	TARGET_CHILDREN_VARY	= 1 << 1,
	TARGET_THREADS_VARY	= 1 << 2,	// masks are compared for those that stay
	TARGET_MAPS_VARY	= 1 << 3,
	TARGET_SIGNALS_VARY	= 1 << 4,	// masks and pending sets
	TARGET_UFFD		= 1 << 5,	// owns a userfaultfd itself
	TARGET_STOPPED		= 1 << 6,	// all threads are job-stopped and must stay so
	TARGET_TRACED		= 1 << 7,	// is traced by the target itself
};

struct target_thread_state {
	pid_t tid, tracer;
	char state;
	uint64_t blocked, pending;
};

struct target_base {
	pid_t pid;				// 0: the caller's own process
	unsigned int flags;
	struct target_thread_state *threads;
	size_t nthreads;
	char *children;				// pids, one a line
	char *maps;
	size_t nfds;
	uint64_t shared_pending, ignored, caught;
	uint64_t text_hash, misc_hash;
};

struct target_vma {
	uint64_t start, end, offset, inode;
	char perms[5], dev[16], path[256];
};

static unsigned int target_failures;
static char target_first_failure[512];

enum { TARGET_MAX_REASONS = 100 };	// printed per check; thousands of threads may have one

/** Record a violation: prints "- REASON" now, the last line of the answer repeats the first. */
__attribute__((format(printf, 1, 2)))
static inline void target_fail(const char *fmt, ...)
{
	char msg[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	if (target_failures++ == 0)
		memcpy(target_first_failure, msg, sizeof(msg));
	if (target_failures > TARGET_MAX_REASONS)
		return;
	printf("- %s\n", msg);
	fflush(stdout);
}

/** For what must work when the state is set up: ends the program. Exit 77 says "skip". */
__attribute__((format(printf, 2, 3), noreturn))
static inline void target_die(int status, const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	printf("%s: ", status == 77 ? "skip" : "error");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf(" (errno %d, %s)\n", err, strerror(err));
	fflush(stdout);
	_exit(status);
}

static inline void *target_xrealloc(void *p, size_t n)
{
	p = realloc(p, n);
	if (!p)
		target_die(1, "out of memory for %zu bytes", n);
	return p;
}

/** The folder of pid (0: own process) in /proc. Static buffer: for the control thread only. */
static inline const char *target_proc(pid_t pid, const char *name)
{
	static char path[128];

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	else
		snprintf(path, sizeof(path), "/proc/thread-self/%s", name);
	return path;
}

/** Like target_proc() for one thread: name "status" and tid 5 give /proc/.../task/5/status. */
static inline const char *target_proc_task(pid_t pid, pid_t tid, const char *name)
{
	static char path[128];

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", (int)pid, (int)tid, name);
	else
		snprintf(path, sizeof(path), "/proc/self/task/%d/%s", (int)tid, name);
	return path;
}

/** A whole file, NUL-terminated; NULL with errno when it cannot be read. The caller frees. */
static inline char *target_slurp(const char *path)
{
	size_t len = 0, cap = 0;
	char *buf = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return NULL;
	do {
		if (cap - len < 4096)
			buf = target_xrealloc(buf, cap = cap * 2 + 16384);
		n = read(fd, buf + len, cap - len - 1);
		if (n > 0)
			len += n;
	} while (n > 0);
	close(fd);
	buf[len] = '\0';
	return buf;
}

/** The number behind "key" in the text of a status file; base 16 for signal sets. */
static inline uint64_t target_field(const char *text, const char *key, int base)
{
	const char *p = text ? strstr(text, key) : NULL;

	return p ? strtoull(p + strlen(key), NULL, base) : 0;
}

static inline bool target_thread_state(pid_t pid, pid_t tid, struct target_thread_state *ret)
{
	char *text = target_slurp(target_proc_task(pid, tid, "status"));
	const char *state = text ? strstr(text, "\nState:\t") : NULL;

	if (state)
		*ret = (struct target_thread_state) {
			.tid = tid,
			.state = state[8],
			.tracer = target_field(text, "\nTracerPid:", 10),
			.blocked = target_field(text, "\nSigBlk:", 16),
			.pending = target_field(text, "\nSigPnd:", 16),
		};
	free(text);
	return state;
}

static inline void target_read_threads(struct target_base *b)
{
	struct target_thread_state t;
	struct dirent *e;
	char path[64];
	DIR *d;

	// Not thread-self: that folder has no task/ of its own.
	snprintf(path, sizeof(path), b->pid ? "/proc/%d/task" : "/proc/self/task", (int)b->pid);
	d = opendir(path);
	b->threads = NULL;
	b->nthreads = 0;
	while (d && (e = readdir(d))) {
		if (!isdigit((unsigned char)e->d_name[0]) ||
		    !target_thread_state(b->pid, atoi(e->d_name), &t))
			continue;
		b->threads = target_xrealloc(b->threads, (b->nthreads + 1) * sizeof(t));
		b->threads[b->nthreads++] = t;
	}
	if (d)
		closedir(d);
}

/** All children of all threads, as text, in the kernel's order. The caller frees. */
static inline char *target_read_children(const struct target_base *b)
{
	size_t len = 0;
	char *all = target_xrealloc(NULL, 1);

	all[0] = '\0';
	for (size_t i = 0; i < b->nthreads; i++) {
		char *s = target_slurp(target_proc_task(b->pid, b->threads[i].tid, "children"));

		if (s) {
			all = target_xrealloc(all, len + strlen(s) + 1);
			len = stpcpy(all + len, s) - all;
		}
		free(s);
	}
	return all;
}

static inline size_t target_count_fds(pid_t pid)
{
	DIR *d = opendir(target_proc(pid, "fd"));
	size_t n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static inline uint64_t target_hash(uint64_t h, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (; len >= 8; p += 8, len -= 8) {
		uint64_t w;

		memcpy(&w, p, 8);
		h = (h ^ w) * 0x9e3779b97f4a7c15;
		h ^= h >> 29;
	}
	while (len--)
		h = (h ^ *p++) * 0x100000001b3;
	return h;
}

static inline bool target_parse_vma(char **cursor, struct target_vma *v)
{
	char *line = *cursor, *end = strchr(line, '\n');
	int used = 0;

	if (!*line || !end)
		return false;
	*end = '\0';
	*v = (struct target_vma) { 0 };
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %15s %" SCNu64 " %n", &v->start,
		   &v->end, v->perms, &v->offset, v->dev, &v->inode, &used) < 6)
		target_die(1, "cannot parse maps line '%s'", line);
	snprintf(v->path, sizeof(v->path), "%s", line + used);
	*end = '\n';
	*cursor = end + 1;
	return true;
}

static inline bool target_vma_joins(const struct target_vma *a, const struct target_vma *b)
{
	return a->end == b->start && !strcmp(a->perms, b->perms) && !strcmp(a->path, b->path) &&
	       a->inode == b->inode && !strcmp(a->dev, b->dev) &&
	       (!a->inode || a->offset + (a->end - a->start) == b->offset);
}

/** The next mapping after *cursor, joined with equal neighbours; heap and stack are left out. */
static inline bool target_next_vma(char **cursor, struct target_vma *ret)
{
	struct target_vma next;
	char *ahead;

	do {
		if (!target_parse_vma(cursor, ret))
			return false;
	} while (!strcmp(ret->path, "[heap]") || !strcmp(ret->path, "[stack]"));
	for (ahead = *cursor; target_parse_vma(&ahead, &next); *cursor = ahead) {
		if (!target_vma_joins(ret, &next))
			break;
		ret->end = next.end;
	}
	return true;
}

/** Hash of all text of the process, without mappings of more than 64 MiB. */
static inline uint64_t target_hash_text(pid_t pid, char *maps)
{
	static char buf[65536];
	int fd = open(target_proc(pid, "mem"), O_RDONLY | O_CLOEXEC);
	uint64_t h = 0;
	struct target_vma v;

	while (target_parse_vma(&maps, &v)) {
		if (v.perms[0] != 'r' || v.perms[2] != 'x' || v.end - v.start > 64 << 20)
			continue;
		for (uint64_t a = v.start; a < v.end; a += sizeof(buf)) {
			size_t want = v.end - a < sizeof(buf) ? v.end - a : sizeof(buf);
			ssize_t n = pread64(fd, buf, want, a);

			h = target_hash(h, buf, n > 0 ? n : 0);
		}
	}
	if (fd >= 0)
		close(fd);
	return h;
}

static inline uint64_t target_hash_misc(pid_t pid)
{
	static const char *const names[] = {
		"oom_score_adj", "coredump_filter", "cgroup", "limits", "personality", "comm",
	};
	uint64_t h = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *s = target_slurp(target_proc(pid, names[i]));

		if (s)
			h = target_hash(h, s, strlen(s));
		free(s);
	}
	if (!pid) {
		int own[] = { prctl(PR_GET_DUMPABLE), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
			      prctl(PR_GET_TIMERSLACK) };

		h = target_hash(h, own, sizeof(own));
	}
	return h;
}

/** Take the state of pid (0: own process). Free with target_base_deinit(). */
static inline void target_base_init(struct target_base *b, pid_t pid, unsigned int flags)
{
	char *status = target_slurp(target_proc(pid, "status"));

	*b = (struct target_base) { .pid = pid, .flags = flags };
	target_read_threads(b);
	b->children = target_read_children(b);
	b->nfds = target_count_fds(pid);
	b->shared_pending = target_field(status, "\nShdPnd:", 16);
	b->ignored = target_field(status, "\nSigIgn:", 16);
	b->caught = target_field(status, "\nSigCgt:", 16);
	b->misc_hash = target_hash_misc(pid);
	b->maps = target_slurp(target_proc(pid, "maps"));
	if (!status || !b->maps)
		target_die(1, "cannot read /proc of pid %d (0: own)", (int)pid);
	if (!(flags & TARGET_MAPS_VARY))
		b->text_hash = target_hash_text(pid, b->maps);
	free(status);
}

static inline void target_base_deinit(struct target_base *b)
{
	free(b->threads);
	free(b->children);
	free(b->maps);
}

static inline void target_compare_thread(const struct target_base *was,
					 const struct target_thread_state *t)
{
	const struct target_thread_state *old = NULL;

	for (size_t i = 0; i < was->nthreads && !old; i++)
		if (was->threads[i].tid == t->tid)
			old = &was->threads[i];
	if (!(was->flags & TARGET_TRACED) && t->tracer)
		target_fail("thread %d is traced by %d", (int)t->tid, (int)t->tracer);
	if (was->flags & TARGET_STOPPED ? t->state != 'T' : t->state == 'T' || t->state == 't')
		target_fail("thread %d is in state %c", (int)t->tid, t->state);
	if (!old) {
		if (!(was->flags & TARGET_THREADS_VARY))
			target_fail("thread %d is new", (int)t->tid);
		return;
	}
	if (was->flags & TARGET_SIGNALS_VARY)
		return;
	if (old->blocked != t->blocked)
		target_fail("thread %d: SigBlk was %" PRIx64 ", is %" PRIx64, (int)t->tid,
			    old->blocked, t->blocked);
	if (old->pending != t->pending)
		target_fail("thread %d: SigPnd was %" PRIx64 ", is %" PRIx64, (int)t->tid,
			    old->pending, t->pending);
}

static inline void target_compare_threads(const struct target_base *was,
					  const struct target_base *now)
{
	if (!(was->flags & TARGET_THREADS_VARY) && was->nthreads != now->nthreads)
		target_fail("had %zu threads, has %zu", was->nthreads, now->nthreads);
	for (size_t i = 0; i < now->nthreads; i++)
		target_compare_thread(was, &now->threads[i]);
}

static inline void target_compare_maps(const struct target_base *was,
				       const struct target_base *now)
{
	char *a = was->maps, *b = now->maps;
	struct target_vma va, vb;

	for (;;) {
		bool have_a = target_next_vma(&a, &va), have_b = target_next_vma(&b, &vb);

		if (!have_a && !have_b)
			break;
		if (have_a && have_b && !memcmp(&va, &vb, sizeof(va)))
			continue;
		target_fail("mappings changed: was %" PRIx64 "-%" PRIx64 " %s %s, is %" PRIx64
			    "-%" PRIx64 " %s %s", va.start, va.end, va.perms, va.path,
			    vb.start, vb.end, vb.perms, vb.path);
		return;
	}
	if (was->text_hash != now->text_hash)
		target_fail("some text of the process changed");
}

/** No mapping may still be registered with a userfaultfd (VmFlags um, uw, ui). */
static inline void target_check_uffd(pid_t pid)
{
	FILE *f = fopen(target_proc(pid, "smaps"), "re");
	char *line = NULL;
	size_t cap = 0;

	while (f && getline(&line, &cap, f) > 0) {
		if (strncmp(line, "VmFlags:", 8))
			continue;
		if (strstr(line, " um") || strstr(line, " uw") || strstr(line, " ui"))
			target_fail("a mapping is still registered with a userfaultfd: %s",
				    strtok(line, "\n"));
	}
	free(line);
	if (f)
		fclose(f);
}

static inline void target_check_no_child(void)
{
	int options = WEXITED | WSTOPPED | WCONTINUED | WNOHANG | WNOWAIT | __WALL;
	siginfo_t si;

	if (waitid(P_ALL, 0, &si, options) == 0 || errno != ECHILD)
		target_fail("waitid finds a child that this process never made");
}

/** Look again and report every difference with target_fail(). */
static inline void target_base_check(const struct target_base *was)
{
	struct target_base now;

	target_base_init(&now, was->pid, was->flags);
	target_compare_threads(was, &now);
	if (!(was->flags & TARGET_CHILDREN_VARY) && strcmp(was->children, now.children))
		target_fail("children were '%s', are '%s'", was->children, now.children);
	if (!was->pid && !(was->flags & (TARGET_CHILDREN | TARGET_CHILDREN_VARY)))
		target_check_no_child();
	if (was->nfds != now.nfds)
		target_fail("had %zu open files, has %zu", was->nfds, now.nfds);
	if (!(was->flags & TARGET_SIGNALS_VARY) && was->shared_pending != now.shared_pending)
		target_fail("ShdPnd was %" PRIx64 ", is %" PRIx64, was->shared_pending,
			    now.shared_pending);
	if (was->ignored != now.ignored || was->caught != now.caught)
		target_fail("signal dispositions changed");
	if (was->misc_hash != now.misc_hash)
		target_fail("limits, cgroup, oom_score_adj, name or dumpable flag changed");
	if (!(was->flags & TARGET_MAPS_VARY))
		target_compare_maps(was, &now);
	if (!(was->flags & TARGET_UFFD))
		target_check_uffd(was->pid);
	target_base_deinit(&now);
}

#endif
