// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crashjob.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "common/binaries.h"
#include "common/clock.h"
#include "common/crashpacked.h"
#include "common/crashverdict.h"
#include "common/fd.h"
#include "daemon/crashask.h"
#include "daemon/crashes.h"
#include "daemon/crashfolder.h"
#include "daemon/crashkept.h"
#include "daemon/crashrecord.h"
#include "daemon/dumpname.h"
#include "daemon/manager.h"

enum {
	JSON_MAX = 64 << 10, ///< of facts and result
	ATTEMPTS = 2,
};

struct crashjob {
	struct crashrecord cr; ///< what is known
	struct crashes *crashes;
	int crashes_fd; ///< borrowed
	char name[CRASHFOLDER_NAME_SIZE]; ///< "": there is none in STORE/crash
	struct crashjob_whole whole; ///< what the dump is made of, if there is one
	struct json *part_result; ///< of the core in the folder, then
	struct store_draft *draft;
	unsigned int attempt;
	bool recorded; ///< by an attempt before, also of another daemon
};

void crashjob_whole_deinit(struct crashjob_whole *whole)
{
	snap_closep(&whole->fd);
	json_destroy(whole->result);
	*whole = CRASHJOB_WHOLE_NULL;
}

void crashjob_destroy(struct crashjob *job)
{
	if (!job)
		return;
	crashrecord_deinit(&job->cr);
	json_destroy(job->part_result);
	crashjob_whole_deinit(&job->whole);
	if (job->draft)
		store_drop(job->draft);
	free(job);
}
DEFINE_CLEANUP(struct crashjob *, crashjob_destroy);

// ---- the end -------------------------------------------------------------------------------

/// The folder has done its work.
static void forget(struct crashjob *job)
{
	if (!*job->name) // it was never ours
		return;
	int r = crashfolder_remove(job->crashes_fd, job->name);
	if (r < 0 && r != -ENOENT)
		manager_log(LOG_WARNING, "cannot remove the folder crash/%s: %s", job->name,
			    strerror(-r));
	crashes_forget(job->crashes, job->name);
}

/// A crash of which there is no core, or none any more.
static void record_only(struct crashjob *job, const char *why)
{
	const struct crashrecord_outcome outcome = { .why_not = why };
	manager_log(LOG_NOTICE, "process %d of user %u crashed by signal %d; there is no core: %s",
		    job->cr.id->pid, job->cr.id->uid, crashrecord_signal(&job->cr), why);
	// It may be what fills the disk, on which the record has to find room.
	if (*job->name)
		crashfolder_remove_packed(job->cr.folder);
	if (*job->name && unlinkat(job->cr.folder, "core", 0) < 0 && errno != ENOENT)
		manager_log(LOG_WARNING, "cannot remove the core of crash %s: %s", job->name,
			    strerror(errno));
	if (!job->recorded) {
		(void)crashrecord_add(&job->cr, &outcome);
		crashrecord_announce(&job->cr);
	}
	forget(job);
}

/// A packed core stays compressed, whatever the configuration says by now.
static bool is_compressed(const struct crashjob *job)
{
	return job->whole.packed || job->cr.manager->config->compress != 0;
}

/// The name that the dump will have, unless another has it by then; owned by the caller.
static char *foretell_path(const struct crashjob *job)
{
	const struct procid *id = job->cr.id;
	struct dumpname parts = { .uid = id->uid,
				  .pid = id->pid,
				  .usec = crashrecord_usec(&job->cr),
				  .compressed = is_compressed(job) };
	char name[DUMPNAME_MAX + 1], *path;
	dumpname_set_comm(&parts, procid_text(id, PROCID_COMM));
	(void)snprintf(parts.boot_id, sizeof(parts.boot_id), "%s", id->boot_id);
	if (dumpname_make(&parts, name) < 0 ||
	    asprintf(&path, "%s/%s", store_path(job->cr.manager->store), name) < 0)
		return NULL;
	return path;
}

/// The bytes that the dump is expected to take. Compressed it is smaller, mostly by far; a guess
/// that is too large would push out dumps that could stay.
static uint64_t expected_bytes(const struct crashjob *job, const struct stat *core)
{
	uint64_t bytes = (uint64_t)core->st_blocks * 512;
	return job->whole.packed ? bytes : bytes / (is_compressed(job) ? 4 : 1);
}

/// Leaves the folder for another attempt. False when it has been there for too long, or when there
/// are too many of them.
static bool keep_core(struct crashjob *job)
{
	struct store_usage usage;
	struct stat st;
	if (fstatat(job->cr.folder, "core", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	uint64_t disk_bytes =
		(uint64_t)st.st_blocks * 512 + crashfolder_packed_bytes(job->cr.folder);
	if (job->whole.packed && fstat(job->whole.fd, &st) < 0)
		return false;
	struct snap_error *err = store_usage(job->cr.manager->store, &usage);
	if (err) {
		snap_error_destroy(err);
		usage = (struct store_usage){ 0 };
	}
	uint64_t now = snap_clock_ns(CLOCK_REALTIME) / 1000, then = crashrecord_usec(&job->cr);
	uint64_t max_age = usage.limits.max_age_usec;
	if (max_age && now > then && now - then > max_age)
		return false;
	uint64_t binaries = crashfolder_binaries_bytes(job->cr.folder);
	const struct crashkept_core core = { .name = job->name,
					     .uid = job->cr.id->uid,
					     .disk_bytes = disk_bytes + binaries,
					     .dump_bytes = expected_bytes(job, &st) + binaries };
	return crashes_keep(job->crashes, &core, usage.limits.max_use);
}

/**
 * There is a core, and no dump of it can be made now: the disk is full, the worker was killed, a
 * read failed. That may pass, so nothing is lost; but whoever waits for the record has it now.
 */
static void make_later(struct crashjob *job, const char *why)
{
	if (!keep_core(job)) {
		record_only(job, why);
		return;
	}
	if (job->recorded) {
		manager_log(LOG_NOTICE, "crash %s still has no dump: %s", job->name, why);
		return;
	}
	_cleanup_free_ char *path = foretell_path(job);
	const struct crashrecord_outcome outcome = { .path = path, .why_not = why };
	manager_log(LOG_NOTICE,
		    "process %d of user %u crashed by signal %d; its dump is made later: %s",
		    job->cr.id->pid, job->cr.id->uid, crashrecord_signal(&job->cr), why);
	if (crashrecord_add(&job->cr, &outcome))
		(void)crashfolder_set_recorded(job->cr.folder);
	crashrecord_announce(&job->cr);
}

static struct json *metadata_of(const struct crashjob *job, const struct json *made)
{
	_cleanup_(json_destroyp) struct json *stacks = crashrecord_stacks(&job->cr);
	struct json *metadata = json_new_object();
	json_set_shared(metadata, "result", made);
	json_set_shared(metadata, "crash", job->cr.facts);
	json_set_shared(metadata, "capture", job->cr.result);
	if (job->cr.binaries)
		json_set_shared(metadata, "binaries", job->cr.binaries);
	if (stacks)
		json_set(metadata, "stacks", TAKE_PTR(stacks));
	return metadata;
}

/// Larger than all dumps together may be, whoever removes what.
static bool never_fits(const struct crashjob *job)
{
	struct store_usage usage;
	struct stat st;
	struct snap_error *err = store_usage(job->cr.manager->store, &usage);
	bool known = !err && fstat(job->draft->core, &st) == 0;
	snap_error_destroy(err);
	return known && usage.limits.max_use &&
	       (uint64_t)st.st_blocks * 512 > usage.limits.max_use;
}

static struct snap_error *publish(struct crashjob *job, const struct json *made,
				  bool *ret_hopeless)
{
	_cleanup_store_removals_ struct store_removals removals = { 0 };
	_cleanup_(json_destroyp) struct json *metadata = metadata_of(job, made);
	_cleanup_free_ char *path = NULL;
	const struct store_entry *entry;
	const struct procid *id = job->cr.id;
	const struct store_facts facts = {
		.kind = STORE_CRASH,
		.flags = (crashrecord_owner_reads(&job->cr) ? STORE_OWNER_READS : 0U) |
			 (json_get_u64(job->cr.result, "lost_bytes", 0) ? STORE_PARTIAL : 0U),
		.pid = id->pid,
		.uid = id->uid,
		.gid = id->gid,
		.signal = crashrecord_signal(&job->cr),
		.rlimit = json_get_u64(job->cr.facts, "rlimit", UINT64_MAX),
		.usec = crashrecord_usec(&job->cr),
		.comm = procid_text(id, PROCID_COMM) ? procid_text(id, PROCID_COMM) : "",
		.boot_id = id->boot_id,
		.exe = procid_text(id, PROCID_EXE),
		.unit = procid_text(id, PROCID_UNIT),
		.hostname = id->hostname,
		.mode = json_get_text(job->cr.result, "mode"),
	};
	*ret_hopeless = never_fits(job);
	struct snap_error *err =
		store_publish(TAKE_PTR(job->draft), &facts, metadata, &removals, &entry);
	manager_log_removals(&removals);
	if (err)
		return err;
	if (asprintf(&path, "%s/%s", store_path(job->cr.manager->store), entry->name) < 0)
		path = NULL;
	manager_log(LOG_INFO, "process %d of user %u crashed by signal %d: %s", id->pid, id->uid,
		    crashrecord_signal(&job->cr), entry->name);
	const struct crashrecord_outcome outcome = { .made = made, .entry = entry, .path = path };
	if (!job->recorded) {
		(void)crashrecord_add(&job->cr, &outcome);
		manager_announce_dump(job->cr.manager, entry);
	}
	forget(job);
	return NULL;
}

static struct snap_error *start(struct crashjob *job, bool *ret_hopeless);

/// What the hook has packed, if it has.
static void find_packed(struct crashjob *job)
{
	int fd = crashfolder_open_packed(job->cr.folder);
	struct json *result =
		fd < 0 ? NULL : crashfolder_read_json(job->cr.folder, CRASHPACKED_RESULT, JSON_MAX);
	if (result) {
		job->whole = (struct crashjob_whole){ .fd = fd, .result = result, .packed = true };
		return;
	}
	snap_closep(&fd);
	crashfolder_remove_packed(job->cr.folder);
}

/// The dump is made of what the hook has in memory, or has packed.
static void use_whole(struct crashjob *job)
{
	if (job->whole.fd < 0)
		find_packed(job);
	if (job->whole.fd < 0)
		return;
	job->part_result = TAKE_PTR(job->cr.result);
	job->cr.result = TAKE_PTR(job->whole.result);
	crashverdict_copy(job->part_result, job->cr.result);
	if (json_get(job->part_result, "place"))
		json_set_shared(job->cr.result, "place", json_get(job->part_result, "place"));
}

/// And now of what the folder has. False when it is that already.
static bool drop_whole(struct crashjob *job)
{
	if (job->whole.fd < 0)
		return false;
	if (job->whole.packed)
		crashfolder_remove_packed(job->cr.folder); // its room is needed
	crashjob_whole_deinit(&job->whole);
	json_destroy(job->cr.result);
	job->cr.result = TAKE_PTR(job->part_result);
	job->attempt = 0;
	return true;
}

/// Is @why something that may pass, and all of the core still there then?
static bool whole_can_wait(const struct crashjob *job, const struct snap_error *why)
{
	return job->whole.packed && why->code == SNAP_NO_SPACE &&
	       crashfolder_check_packed(job->whole.fd) == 0;
}

/// Starts with all of the core, or if that cannot be, with what the folder has.
static struct snap_error *start_any(struct crashjob *job, bool *ret_hopeless)
{
	struct snap_error *err = start(job, ret_hopeless);
	if (!err || whole_can_wait(job, err) || !drop_whole(job))
		return err;
	manager_log(LOG_WARNING, "the dump of crash %s: %s", job->name, err->message);
	snap_error_destroy(err);
	return start(job, ret_hopeless);
}

static void on_progress(void *userdata _unused_, size_t position _unused_,
			const char *phase _unused_, uint64_t done _unused_, uint64_t total _unused_)
{
}

static void end(struct crashjob *job)
{
	struct crashes *crashes = job->crashes;
	char name[sizeof(job->name)];
	memcpy(name, job->name, sizeof(name));
	crashjob_destroy(job);
	crashes_ended(crashes, name);
}

static void give_up(struct crashjob *job, const char *why, bool hopeless)
{
	if (hopeless)
		record_only(job, why);
	else
		make_later(job, why);
}

static void on_end(void *userdata, const struct snap_error *err, struct json *made)
{
	struct crashjob *job = userdata;
	bool hopeless = false;
	struct snap_error *late = err ? NULL : publish(job, made, &hopeless);
	if (job->draft) {
		// The worker may have it open for a moment longer, and what comes next needs room.
		if (ftruncate(job->draft->core, 0) < 0)
			manager_log(LOG_WARNING, "cannot empty a file: %s", strerror(errno));
		store_drop(TAKE_PTR(job->draft));
	}
	if (err && (err->code == SNAP_CANCELLED || job->cr.manager->stopping)) {
		end(job); // the next daemon makes it
		return;
	}
	const struct snap_error *why = err ? err : late;
	if (why) {
		manager_log(LOG_WARNING, "the dump of crash %s: %s", job->name, why->message);
		struct snap_error *again = NULL;
		bool more = err && why->code != SNAP_NO_SPACE && ++job->attempt < ATTEMPTS;
		bool waits = !hopeless && whole_can_wait(job, why);
		if (more || (!waits && drop_whole(job))) {
			again = start_any(job, &hopeless);
			if (!again)
				return;
		}
		give_up(job, again ? again->message : why->message, hopeless);
		snap_error_destroy(again);
		snap_error_destroy(late);
	}
	end(job);
}

// ---- the beginning -------------------------------------------------------------------------

static struct snap_error *begin_draft(struct crashjob *job, int core)
{
	_cleanup_store_removals_ struct store_removals removals = { 0 };
	struct stat st, part;
	if (fstat(core, &st) < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot look at the core");
	uint64_t expected = expected_bytes(job, &st);
	// It takes the place of the part that the folder has.
	if (job->whole.fd >= 0 && fstatat(job->cr.folder, "core", &part, AT_SYMLINK_NOFOLLOW) == 0)
		expected = MIN(expected, (uint64_t)part.st_blocks * 512);
	struct store_request request = {
		.uid = job->cr.id->uid,
		.compressed = is_compressed(job),
		.core_bytes = expected,
	};
	struct snap_error *err =
		store_begin(job->cr.manager->store, &request, &removals, &job->draft);
	// It is now or never: what is only a guess must not refuse it.
	if (err && err->code == SNAP_NO_SPACE && job->whole.fd >= 0) {
		snap_error_destroy(err);
		request.core_bytes = 0;
		err = store_begin(job->cr.manager->store, &request, &removals, &job->draft);
	}
	manager_log_removals(&removals);
	return err;
}

/// Keeps the programs and libraries that the hook has left, for the worker, too. Returns what the
/// job points into, NULL for nothing.
static struct json *keep_binaries(struct crashjob *job)
{
	_cleanup_(json_destroyp) struct json *list = crashfolder_read_json(
		job->cr.folder, BINARIES_FOLDER "/" BINARIES_LIST, BINARIES_LIST_MAX);
	_cleanup_free_ char *path = NULL;
	json_destroy(job->cr.binaries);
	job->cr.binaries = NULL;
	if (!list)
		return NULL;
	job->cr.binaries = store_add_binaries(job->draft, job->cr.folder, json_get(list, "files"),
					      crashrecord_owner_reads(&job->cr), &path);
	if (!path)
		return NULL;
	struct json *owner = json_new_object();
	json_set_message(owner, "binaries", path);
	return owner;
}

/// A power failure, or a file system without unnamed files, leaves one that never became a core.
/// -EBADMSG then; another error may pass.
static int check_core(int fd)
{
	char magic[SELFMAG];
	ssize_t n = snap_pread_full(fd, magic, sizeof(magic), 0);
	if (n < 0)
		return (int)n;
	return n == (ssize_t)sizeof(magic) && !memcmp(magic, ELFMAG, SELFMAG) ? 0 : -EBADMSG;
}

/// @ret_hopeless: there will never be a dump of this.
static struct snap_error *start(struct crashjob *job, bool *ret_hopeless)
{
	const struct config *config = job->cr.manager->config;
	struct job_run *run;
	_cleanup_close_ int core = job->whole.fd >= 0 ? fcntl(job->whole.fd, F_DUPFD_CLOEXEC, 3) :
							crashfolder_open_core(job->cr.folder);
	int r = core < 0	  ? core :
		job->whole.packed ? crashfolder_check_packed(core) :
				    check_core(core);
	*ret_hopeless = r == -EBADMSG || r == -ELOOP;
	if (core < 0)
		return snap_error_errno(SNAP_FAILED, -r, "the core cannot be opened");
	if (r == -EBADMSG)
		return snap_error_new(SNAP_FAILED, "the core was not written to its end");
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, -r, "the core cannot be read");
	struct snap_error *err = begin_draft(job, core);
	if (err)
		return err;
	snap_closep(&job->cr.stacks);
	job->cr.stacks = memfd_create("stacks", MFD_CLOEXEC);
	struct json *owner = keep_binaries(job);
	struct job_request request = {
		.owner = owner,
		.job = { .binaries = json_get_text(owner, "binaries"),
			 .flags = JOB_FINISH | JOB_SYNC |
				  (is_compressed(job) ? JOB_COMPRESS : JOB_STREAM) |
				  (job->whole.packed ? JOB_PACKED : 0U) |
				  (job->attempt ? JOB_NO_SUMMARY : 0U),
			 .level = (int)(config->compress ? config->compress : 1),
			 .pid = job->cr.id->pid },
		.ref = { .pid = job->cr.id->pid,
			 .pidfd = fcntl(job->cr.stacks, F_DUPFD_CLOEXEC, 3) },
		.spool = TAKE_FD(core),
		.part = job->whole.packed ? crashfolder_open_core(job->cr.folder) : -EBADF,
		.output = fcntl(job->draft->core, F_DUPFD_CLOEXEC, 3),
		.uid = job->cr.id->uid,
		.callbacks = { .progress = on_progress, .end = on_end },
		.userdata = job,
	};
	err = jobs_add(job->cr.manager->jobs, &request, &run);
	if (err)
		store_drop(TAKE_PTR(job->draft));
	return err;
}

/// Of crashes that came while there was no daemon. What is too much of a core stays.
static void decide(struct crashjob *job)
{
	if (json_get_bool(job->cr.result, "decided", false))
		return;
	_cleanup_(json_destroyp) struct json *answer = crashes_decide(
		job->crashes, job->cr.folder, job->cr.facts, json_get(job->cr.result, "place"));
	crashverdict_copy(answer, job->cr.result);
}

/// Its hook was killed before it could say who has crashed.
static bool tells_nothing(const struct crashjob *job)
{
	struct stat st;
	return !job->cr.facts && fstatat(job->cr.folder, "facts", &st, AT_SYMLINK_NOFOLLOW) < 0 &&
	       errno == ENOENT;
}

/// A dump of this crash whose daemon was killed before it had recorded it: it is made again.
static void remove_unfinished(const struct crashjob *job)
{
	struct store *store = job->cr.manager->store;
	const struct store_entry *entry;
	for (size_t i = 0; (entry = store_at(store, i)); i++) {
		if (entry->kind != STORE_CRASH || entry->pid != job->cr.id->pid ||
		    entry->usec != crashrecord_usec(&job->cr))
			continue;
		struct snap_error *err = store_remove(store, entry);
		if (err)
			manager_log(LOG_WARNING, "%s", err->message);
		snap_error_destroy(err);
		return;
	}
}

static bool begin(struct crashjob *job)
{
	job->cr.facts = crashfolder_read_json(job->cr.folder, "facts", JSON_MAX);
	if (tells_nothing(job)) {
		manager_log(LOG_WARNING, "nothing is known of crash %s", job->name);
		forget(job);
		return false;
	}
	job->cr.result = crashfolder_read_json(job->cr.folder, "result", JSON_MAX);
	job->recorded = crashfolder_is_recorded(job->cr.folder) ||
			crashes_keeps(job->crashes, job->name);
	struct snap_error *err = crashrecord_identify(&job->cr);
	if (err) {
		manager_log(LOG_WARNING, "crash %s: %s", job->name, err->message);
		snap_error_destroy(err);
		return false;
	}
	const char *why = job->cr.result ? json_get_text(job->cr.result, "error") :
					   "its hook was killed, or the disk is full";
	if (!job->cr.result)
		job->cr.result = json_new_object();
	decide(job);
	bool unwanted = crashask_drops(job->cr.result);
	struct stat st;
	if (unwanted || fstatat(job->cr.folder, "core", &st, AT_SYMLINK_NOFOLLOW) < 0) {
		const char *reason = json_get_text(job->cr.result, "reason");
		record_only(job, unwanted && reason ? reason : why ? why : "there is none");
		return false;
	}
	remove_unfinished(job);
	use_whole(job);
	bool hopeless;
	err = start_any(job, &hopeless);
	if (err)
		give_up(job, err->message, hopeless);
	bool begun = !err;
	snap_error_destroy(err);
	return begun;
}

struct crashjob *crashjob_begin(struct manager *manager, struct crashes *crashes, int crashes_fd,
				const char *name, struct crashjob_whole *whole)
{
	_cleanup_(crashjob_destroyp) struct crashjob *job = calloc(1, sizeof(*job));
	if (!job)
		return NULL;
	job->cr.manager = manager;
	job->crashes = crashes;
	job->crashes_fd = crashes_fd;
	job->cr.stacks = -EBADF;
	job->whole = *whole;
	*whole = CRASHJOB_WHOLE_NULL;
	(void)snprintf(job->name, sizeof(job->name), "%s", name);
	job->cr.folder = crashfolder_open(crashes_fd, name);
	if (job->cr.folder < 0 || !begin(job))
		return NULL;
	return TAKE_PTR(job);
}

void crashjob_record(struct manager *manager, struct crashes *crashes, int folder,
		     const struct json *facts, const char *why)
{
	struct crashjob job = { .cr = { .manager = manager,
					.folder = fcntl(folder, F_DUPFD_CLOEXEC, 3),
					.stacks = -EBADF,
					.facts = json_share(facts),
					.result = json_new_object() },
				.crashes = crashes,
				.whole = CRASHJOB_WHOLE_NULL };
	struct snap_error *err = crashrecord_identify(&job.cr);
	if (!err)
		record_only(&job, why);
	else
		manager_log(LOG_WARNING, "crash: %s", err->message);
	snap_error_destroy(err);
	crashrecord_deinit(&job.cr);
}
