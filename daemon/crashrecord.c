// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crashrecord.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/coreaccess.h"
#include "common/fd.h"
#include "common/stacks.h"
#include "common/strbuf.h"
#include "common/summary.h"
#include "daemon/crashfolder.h"
#include "daemon/manager.h"

enum {
	AUXV_MAX = 64 << 10,
	STACKS_MAX = 16 << 20,
};

void crashrecord_deinit(struct crashrecord *cr)
{
	snap_closep(&cr->folder);
	snap_closep(&cr->stacks);
	json_destroy(cr->facts);
	json_destroy(cr->result);
	json_destroy(cr->binaries);
	procid_destroy(cr->id);
	*cr = CRASHRECORD_NULL;
}

struct snap_error *crashrecord_identify(struct crashrecord *cr)
{
	const struct config *config = cr->manager->config;
	uint32_t flags = (config->command_line ? PROCID_WITH_CMDLINE : 0U) |
			 (config->environment ? PROCID_WITH_ENVIRON : 0U);
	pid_t pid = (pid_t)json_get_u64(cr->facts, "pid", 0);
	_cleanup_close_ int proc =
		openat(cr->folder, "proc", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct snap_error *err =
		procid_create_at(proc >= 0 ? proc : cr->folder, pid, flags, &cr->id);
	if (err)
		return err;
	// Who it was is what the kernel says of the crash, not what its files said.
	cr->id->uid = (uid_t)json_get_u64(cr->facts, "uid", cr->id->uid);
	cr->id->gid = (gid_t)json_get_u64(cr->facts, "gid", cr->id->gid);
	cr->id->ids_known |= json_get_u64(cr->facts, "uid", UINT64_MAX) <= UINT32_MAX &&
			     json_get_u64(cr->facts, "gid", UINT64_MAX) <= UINT32_MAX;
	return NULL;
}

static bool is_text(const struct json *json, const char *key, const char *value)
{
	const char *text = json_get_text(json, key);
	return text && !strcmp(text, value);
}

uint64_t crashrecord_usec(const struct crashrecord *cr)
{
	return json_get_u64(cr->facts, "usec", snap_clock_ns(CLOCK_REALTIME) / 1000);
}

static int dumpable_of(const struct crashrecord *cr)
{
	return (int)json_get_u64(cr->facts, "dumpable", (uint64_t)-1);
}

/// The kernel may have told it in the core only.
int crashrecord_signal(const struct crashrecord *cr)
{
	int signal = (int)json_get_u64(cr->facts, "signal", 0);
	return signal ? signal : (int)json_get_u64(cr->result, "signal", 0);
}

bool crashrecord_owner_reads(const struct crashrecord *cr)
{
	size_t len = 0;
	_cleanup_free_ char *auxv = crashfolder_read(cr->folder, "auxv", AUXV_MAX, &len);
	bool is_64 = json_get_u64(cr->result, "bits", 64) == 64;
	return auxv && coreaccess_owner_reads(dumpable_of(cr), cr->id->uid, span_of(auxv, len),
					      is_64, NULL);
}

/// What the worker has written, or NULL.
struct json *crashrecord_stacks(const struct crashrecord *cr)
{
	struct stat st;
	if (cr->stacks < 0 || fstat(cr->stacks, &st) < 0 || st.st_size <= 0 ||
	    st.st_size > STACKS_MAX)
		return NULL;
	_cleanup_free_ char *text = malloc((size_t)st.st_size);
	if (!text || snap_pread_full(cr->stacks, text, (size_t)st.st_size, 0) != st.st_size)
		return NULL;
	return json_parse(text, (size_t)st.st_size);
}

// ---- the record ----------------------------------------------------------------------------

/// Words for what was not done as it should have been, separated by blanks.
static const char *degraded(const struct crashrecord *cr, const struct crashrecord_outcome *outcome,
			    struct strbuf *words)
{
	const struct {
		const char *word;
		bool is_so;
	} all[] = {
		{ "partial", json_get_u64(cr->result, "lost_bytes", 0) },
		{ "stacks", json_get_bool(cr->result, "stacks_only", false) },
		{ "stream", is_text(cr->result, "mode", "stream") },
		{ "memory", json_get_bool(cr->result, "in_memory", false) },
		{ "packed", json_get_bool(cr->result, "packed", false) },
	};
	if (!outcome->entry)
		return outcome->path ? "later" : "record";
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i].is_so)
			(void)strbuf_addf(words, "%s%s", words->len ? " " : "", all[i].word);
	return words->len ? words->data : NULL;
}

/// Lines about a core that is not what it could be. @lines keeps them.
static size_t add_reasons(const struct crashrecord *cr, const char **warnings, struct strbuf *lines)
{
	const char *why_short = json_get_text(cr->result, "why_short");
	const char *reason = json_get_text(cr->result, "reason");
	size_t n = 0;
	if (reason && json_get_bool(cr->result, "stacks_only", false))
		warnings[n++] = reason;
	if (json_get_bool(cr->result, "in_memory", false))
		warnings[n++] = "the disk had no room for the raw core, which was kept in memory "
				"until it was compressed";
	if (json_get_bool(cr->result, "packed", false))
		warnings[n++] = "neither disk nor memory had room for the raw core, which was "
				"compressed while the process waited";
	if (why_short &&
	    strbuf_addf(lines, "the core has not all of the memory: %s", why_short) >= 0)
		warnings[n++] = lines->data;
	return n;
}

static size_t list_warnings(const struct json *list, const char **warnings, size_t n, size_t max)
{
	for (size_t i = 0; i < json_length(list) && n < max; i++)
		if (json_text_value(json_at(list, i)))
			warnings[n++] = json_text_value(json_at(list, i));
	return n;
}

bool crashrecord_add(struct crashrecord *cr, const struct crashrecord_outcome *outcome)
{
	_cleanup_(json_destroyp) struct json *stacks = crashrecord_stacks(cr);
	_cleanup_(json_destroyp) struct json *packages = stacks ? stacks_packages(stacks) : NULL;
	_cleanup_(json_destroyp) struct json *summary =
		summary_of_go(json_get(outcome->made, "go"));
	_cleanup_free_ char *text = stacks ? stacks_text(stacks) : NULL;
	const char *exe = procid_text(cr->id, PROCID_EXE);
	const char *warnings[RECORD_WARNINGS_MAX];
	char id[STOREID_SIZE];
	_cleanup_strbuf_ struct strbuf words = { 0 }, lines = { 0 };
	size_t n = 0;
	if (outcome->why_not)
		warnings[n++] = outcome->why_not;
	if (outcome->why_not && outcome->path)
		warnings[n++] = "the core is kept, and its dump is made as soon as that works";
	if (!outcome->why_not)
		n = add_reasons(cr, warnings, &lines);
	n = list_warnings(json_get(outcome->made, "warnings"), warnings, n, ARRAY_SIZE(warnings));
	const struct record_crash crash = {
		.signal = crashrecord_signal(cr),
		.dumpable = dumpable_of(cr),
		.by_pidfd = json_get_bool(cr->facts, "by_pidfd", false),
		.binaries = outcome->entry ? cr->binaries : NULL,
		.rlimit_core = json_get_u64(cr->facts, "rlimit", UINT64_MAX),
		.hostname = json_get_text(cr->facts, "hostname"),
		.stacks = text,
		.packages = packages,
		.package_name = stacks && exe ? stacks_package_of(stacks, exe, "name") : NULL,
		.package_version = stacks && exe ? stacks_package_of(stacks, exe, "version") : NULL,
		.suppressed = json_get_u64(cr->result, "suppressed", 0),
		.degraded = degraded(cr, outcome, &words),
		.owner_reads = crashrecord_owner_reads(cr),
	};
	const struct record_dump dump = {
		.kind = RECORD_CRASH,
		.id = outcome->entry ? storeid_format(outcome->entry->id, id) : NULL,
		.mode = json_get_text(cr->result, "mode"),
		.pause_ns = json_get_u64(cr->result, "copy_ns", 0),
		.realtime_ns = crashrecord_usec(cr) * 1000,
		.filename = outcome->path,
		.size_bytes = json_get_u64(outcome->made, "bytes_on_disk", 0),
		.partial = json_get_u64(cr->result, "lost_bytes", 0),
		.crash = &crash,
		.summary = summary,
		.summary_bytes = cr->manager->config->summary_bytes,
		.warnings = warnings,
		.n_warnings = n,
	};
	struct record *record = NULL;
	struct snap_error *err = record_create(cr->id, &dump, &record);
	if (!err)
		err = recorder_add(cr->manager->recorder, record);
	bool safe = !err;
	if (err)
		manager_log(LOG_WARNING, "crash of process %d: %s", cr->id->pid, err->message);
	snap_error_destroy(err);
	return safe;
}

/// An Entry of the interface for what is not in the store.
void crashrecord_announce(const struct crashrecord *cr)
{
	const struct procid *id = cr->id;
	bool readable = crashrecord_owner_reads(cr);
	struct json *entry = json_new_object();
	json_set_text(entry, "kind", store_kind_name(STORE_CRASH));
	json_set_u64(entry, "pid", (uint64_t)id->pid);
	json_set_u64(entry, "uid", id->uid);
	json_set_u64(entry, "gid", id->gid);
	json_set_text(entry, "comm",
		      procid_text(id, PROCID_COMM) ? procid_text(id, PROCID_COMM) : "");
	if (procid_text(id, PROCID_EXE))
		json_set_text(entry, "exe", procid_text(id, PROCID_EXE));
	if (procid_text(id, PROCID_UNIT))
		json_set_text(entry, "unit", procid_text(id, PROCID_UNIT));
	json_set_u64(entry, "timestamp_usec", crashrecord_usec(cr));
	json_set_u64(entry, "signal", (uint64_t)MAX(crashrecord_signal(cr), 0));
	json_set_bool(entry, "partial", true);
	json_set_bool(entry, "owner_reads", readable);
	json_set_bool(entry, "compressed", false);
	json_set_u64(entry, "core_bytes", 0);
	json_set_u64(entry, "disk_bytes", 0);
	manager_announce(cr->manager, id->uid, readable, entry);
}
