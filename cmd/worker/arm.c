// SPDX-License-Identifier: LGPL-2.1-or-later
#include "arm.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/analysis.h"
#include "common/fd.h"
#include "common/opener.h"
#include "common/str.h"
#include "live.h"
#include "ptrace/denial.h"

// It takes milliseconds; large programs some tenths of a second.
#define DEADLINE_NS (60ULL * 1000 * 1000 * 1000)

enum { WORD_BYTES = 4, AUXV_MAX_BYTES = 64 << 10, FILE_MAX_BYTES = 64 << 10 };

struct arming {
	const struct job *job;
	const struct pidref *ref;
	struct opener opener;
	struct snapshot snap;
	int piddir, memory; ///< memory is written through, and not given to anybody
	struct json *found; ///< the line of the only runtime, or NULL
	size_t n_runtimes;
	char *refused; ///< why it is left alone, or NULL
	uint64_t addr;
	uint32_t value;
};

// ---- looking -------------------------------------------------------------------------------

static int on_open(void *userdata, const char *name, const char *build_id, bool is_program)
{
	const struct arming *a = userdata;
	return opener_open(&a->opener, name, build_id, is_program);
}

static int on_line(void *userdata, const char *kind, const struct json *value)
{
	struct arming *a = userdata;
	if (strcmp(kind, "traceback") != 0)
		return 0;
	json_destroy(TAKE_PTR(a->found));
	a->n_runtimes++;
	const char *text = json_text(value);
	a->found = text ? json_parse(text, strlen(text)) : NULL;
	return a->found ? 0 : -ENOMEM;
}

/**
 * Opens the memory as the user whose file that is. Root in the daemon has no CAP_DAC_OVERRIDE, and
 * could not write to it; whether the process may be traced is the kernel's decision as before, for
 * which CAP_SYS_PTRACE, which stays, counts. Only this thread becomes that user, for one call.
 */
static int open_as_owner(const struct arming *a, int flags)
{
	struct stat st;
	if (fstatat(a->piddir, "mem", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	(void)setfsuid(st.st_uid); // what comes of it is seen when it is opened
	int fd = openat(a->piddir, "mem", flags | O_CLOEXEC), errnum = errno;
	(void)setfsuid(geteuid());
	// The kernel forgets it when ids change.
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	errno = errnum;
	return fd;
}

static struct snap_error *open_memory(struct arming *a, int flags, int *ret)
{
	*ret = openat(a->piddir, "mem", flags | O_CLOEXEC);
	if (*ret < 0 && errno == EACCES && geteuid() == 0)
		*ret = open_as_owner(a, flags);
	return *ret < 0 ? denial_from_errno(a->ref->pid, a->piddir, errno, "write to") : NULL;
}

/**
 * Opens the memory twice, and makes sure that it is the same program's: the vector that the kernel
 * has put on its stack is another one after each execve(), or else the program is at the same
 * addresses again.
 */
static struct snap_error *open_memories(struct arming *a, int *ret_reading)
{
	_cleanup_free_ char *before = NULL, *after = NULL;
	ssize_t n = snap_read_file_at(a->piddir, "auxv", AUXV_MAX_BYTES, &before);
	struct snap_error *err = open_memory(a, O_RDWR, &a->memory);
	if (!err)
		err = open_memory(a, O_RDONLY, ret_reading);
	if (err)
		return err;
	ssize_t m = snap_read_file_at(a->piddir, "auxv", AUXV_MAX_BYTES, &after);
	if (n < 0 || m < 0 || pidref_verify(a->ref) < 0)
		return snap_error_new(SNAP_NO_PROCESS, "process %d has ended", a->ref->pid);
	if (n != m || memcmp(before, after, (size_t)n) != 0 ||
	    (size_t)n != a->snap.process.auxv_size ||
	    memcmp(before, a->snap.process.auxv, (size_t)n) != 0)
		return snap_error_new(SNAP_FAILED,
				      "process %d has begun another program meanwhile; try again",
				      a->ref->pid);
	return NULL;
}

static struct snap_error *analyze_running(struct arming *a, struct memsource *source)
{
	const struct analysis_callbacks callbacks = { on_open, on_line, a };
	_cleanup_(analysis_destroyp) struct analysis *analysis = NULL;
	_cleanup_(json_destroyp) struct json *request = json_new_object();
	_cleanup_close_ int head = memfd_create("procsnap-head", MFD_CLOEXEC);
	_cleanup_close_ int reading = -EBADF;
	if (head < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot make a file in memory");
	json_set_bool(request, "traceback", true);
	struct snap_error *err = open_memories(a, &reading);
	if (!err)
		err = live_write_head(&a->snap, source, head);
	const int fds[ANALYSIS_FD_MAX] = { head, reading };
	if (!err)
		err = analysis_create(&analysis);
	if (!err)
		err = analysis_run(analysis, fds, request, &callbacks, DEADLINE_NS);
	return err;
}

/// Leaves the process alone for a reason that is none of an error in looking.
_printf_(2, 3)
static struct snap_error *refuse(struct arming *a, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int r = vasprintf(&a->refused, fmt, ap);
	va_end(ap);
	if (r >= 0)
		return NULL;
	a->refused = NULL;
	return snap_error_oom();
}

static struct snap_error *check_found(struct arming *a)
{
	const char *refused = json_get_text(a->found, "refused");
	const char *address = json_get_text(a->found, "address");
	if (!a->n_runtimes)
		return refuse(a, "it runs no Go program");
	if (a->n_runtimes > 1)
		return refuse(a, "it has %zu Go runtimes, and which one dies first is not known",
			      a->n_runtimes);
	if (refused)
		return refuse(a, "%s", refused);
	uint64_t value = json_get_u64(a->found, "value", UINT64_MAX);
	if (!address || snap_parse_u64(address, &a->addr) < 0 || value > UINT32_MAX)
		return snap_error_new(SNAP_FAILED, "procsnap-analyze answers nonsense");
	a->value = (uint32_t)value;
	return NULL;
}

static struct snap_error *look(struct arming *a, struct capture *capture)
{
	struct memsource *source;
	struct snap_error *err = capture_inspect(capture, &a->snap, &source);
	if (err)
		return err;
	a->snap.mode = strdup("running"); // for the head, which is never kept
	if (!a->snap.mode)
		return snap_error_oom();
	if (a->snap.process.machine.elf_class != ELFCLASS64)
		return refuse(a, "it has 32 bits");
	err = analyze_running(a, source);
	return err ? err : check_found(a);
}

// ---- writing -------------------------------------------------------------------------------

/// Is the word where only the process itself sees it, and may write to it?
static bool is_own_data(const struct arming *a)
{
	const uint32_t mask = SNAP_MAP_WRITE | SNAP_MAP_SHARED | SNAP_MAP_SPECIAL;
	for (size_t i = 0; i < a->snap.n_mappings; i++) {
		const struct snap_mapping *map = &a->snap.mappings[i];
		if (a->addr >= map->start && a->addr < map->end)
			return map->end - a->addr >= WORD_BYTES &&
			       (map->flags & mask) == SNAP_MAP_WRITE;
	}
	return false;
}

static struct snap_error *read_word(const struct arming *a, uint32_t *ret)
{
	ssize_t n = pread(a->memory, ret, WORD_BYTES, (off_t)a->addr);
	if (n == WORD_BYTES)
		return NULL;
	return n == 0 ? snap_error_new(SNAP_NO_PROCESS,
				       "process %d has ended, or begun another program",
				       a->ref->pid) :
			snap_error_errno(SNAP_FAILED, n < 0 ? errno : EIO,
					 "cannot read the memory of process %d", a->ref->pid);
}

static struct snap_error *changed_error(const struct arming *a, uint32_t expect, uint32_t value)
{
	return snap_error_new(SNAP_FAILED,
			      "process %d has changed the word itself: it is %u and not %u; "
			      "nothing more was written",
			      a->ref->pid, value, expect);
}

static struct snap_error *write_word(struct arming *a, uint32_t expect, uint32_t value)
{
	uint32_t now = 0;
	uint8_t low = (uint8_t)value;
	if ((expect ^ value) & ~(uint32_t)JOB_ARM_BITS || a->addr % WORD_BYTES || !is_own_data(a))
		return snap_error_new(SNAP_FAILED,
				      "procsnap-worker does not write that to process %d",
				      a->ref->pid);
	struct snap_error *err = read_word(a, &now);
	if (!err && now != expect)
		err = changed_error(a, expect, now);
	if (err)
		return err;
	ssize_t n = pwrite(a->memory, &low, 1, (off_t)a->addr); // little-endian: the low byte
	if (n < 0)
		return denial_from_errno(a->ref->pid, a->piddir, errno, "write to");
	err = read_word(a, &now);
	if (!err && now != value)
		err = changed_error(a, value, now);
	if (!err)
		a->value = now;
	return err;
}

// ---- the result ----------------------------------------------------------------------------

/// The soft limit on cores; false when there is none, or nobody knows.
static bool core_limit(const struct arming *a, uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	if (snap_read_file_at(a->piddir, "limits", FILE_MAX_BYTES, &text) < 0)
		return false;
	return snap_line_u64(text, "Max core file size", ret) == 0;
}

/// Would the kernel write a core as for any process? Files of one that is not dumpable are root's.
static bool is_plain(const struct arming *a)
{
	struct stat st;
	return a->snap.process.uid == 0 || fstatat(a->piddir, "environ", &st, 0) < 0 ||
	       st.st_uid == a->snap.process.uid;
}

/// Where the kernel has put random bytes for this program: as good as a name for it.
static uint64_t program_id(const struct snapshot *snap)
{
	const char *auxv = snap->process.auxv;
	for (size_t i = 0; i + sizeof(Elf64_auxv_t) <= snap->process.auxv_size;
	     i += sizeof(Elf64_auxv_t)) {
		Elf64_auxv_t entry;
		memcpy(&entry, auxv + i, sizeof(entry));
		if (entry.a_type == AT_RANDOM)
			return entry.a_un.a_val;
	}
	return 0;
}

static void set_address(struct json *json, const char *key, uint64_t value)
{
	char text[24];
	(void)snprintf(text, sizeof(text), "0x%llx", (unsigned long long)value);
	json_set_message(json, key, text);
}

static struct json *describe(const struct arming *a, uint32_t before)
{
	struct json *json = json_new_object();
	uint64_t limit;
	json_set_u64(json, "pid", (uint64_t)a->ref->pid);
	json_set_text(json, "comm", a->snap.process.comm);
	json_set_text(json, "version", json_get_text(a->found, "version"));
	json_set_bool(json, "go", a->n_runtimes > 0);
	set_address(json, "program", program_id(&a->snap));
	if (a->refused) {
		json_set_message(json, "refused", a->refused);
		return json;
	}
	set_address(json, "address", a->addr);
	json_set_u64(json, "before", before);
	json_set_u64(json, "value", a->value);
	json_set_bool(json, "symbol", json_get_bool(a->found, "symbol", false));
	if (core_limit(a, &limit))
		json_set_u64(json, "core_limit", limit);
	json_set_bool(json, "plain", is_plain(a));
	return json;
}

struct snap_error *arm_process(const struct job *job, const struct pidref *ref,
			       struct capture *capture, struct json **ret)
{
	struct arming a = { .job = job, .ref = ref, .piddir = -EBADF, .memory = -EBADF };
	struct snap_error *err = NULL;
	a.piddir = pidref_open_proc(ref);
	if (a.piddir < 0)
		err = snap_error_new(SNAP_NO_PROCESS, "process %d has ended", ref->pid);
	a.opener = (struct opener){ .piddir = a.piddir, .exe = job->exe };
	if (!err)
		err = look(&a, capture);
	uint32_t before = a.value;
	uint64_t expect = json_get_u64(job->arm, "expect", UINT64_MAX);
	uint64_t value = json_get_u64(job->arm, "value", UINT64_MAX);
	if (!err && job->arm && a.refused)
		err = snap_error_new(SNAP_FAILED, "process %d was left alone because %s", ref->pid,
				     a.refused);
	else if (!err && job->arm)
		err = expect > UINT32_MAX || value > UINT32_MAX ?
			      snap_error_new(SNAP_FAILED, "procsnap-worker got no value to write") :
			      write_word(&a, (uint32_t)expect, (uint32_t)value);
	if (!err)
		*ret = describe(&a, before);
	json_destroy(a.found);
	free(a.refused);
	snapshot_deinit(&a.snap);
	snap_closep(&a.memory);
	snap_closep(&a.piddir);
	return err;
}
