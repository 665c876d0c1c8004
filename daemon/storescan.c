// SPDX-License-Identifier: LGPL-2.1-or-later
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/strbuf.h"
#include "storefacts.h"
#include "storefile.h"
#include "storeimpl.h"

/**
 * DOC: The scan at the start
 *
 * First all names are read, and temporary files removed: where there is no O_TMPFILE and no
 * RENAME_NOREPLACE, one of them may be the second name of a dump. Then the cores are looked at, and
 * then the metadata that has none. What is not ours is left alone, whatever its name.
 */

/// A file that may be one of ours.
struct candidate {
	uint64_t usec;
	bool is_metadata; ///< then name is the core's
	char name[DUMPNAME_MAX + 1];
};

struct scan {
	struct store *store;
	struct store_report *report;
	struct candidate *candidates;
	size_t n_candidates, size;
};

static void scan_deinit(struct scan *scan)
{
	free(scan->candidates);
}

/// Takes "core...json" apart into the name of the core.
static bool is_metadata_name(const char *name, char ret[static DUMPNAME_MAX + 1])
{
	static const char suffix[] = ".json";
	size_t len = strlen(name);
	if (len < sizeof(suffix) || len - (sizeof(suffix) - 1) > DUMPNAME_MAX)
		return false;
	len -= sizeof(suffix) - 1;
	if (strcmp(name + len, suffix) != 0)
		return false;
	memcpy(ret, name, len);
	ret[len] = '\0';
	return true;
}

static struct snap_error *add_candidate(struct scan *scan, const char *name)
{
	struct candidate candidate = { 0 };
	struct dumpname parts;
	candidate.is_metadata = is_metadata_name(name, candidate.name);
	size_t len = strlen(name);
	if (!candidate.is_metadata && len <= DUMPNAME_MAX)
		memcpy(candidate.name, name, len);
	if (dumpname_parse(candidate.name, &parts) < 0)
		return NULL; // foreign
	candidate.usec = parts.usec;
	if (scan->n_candidates == scan->size) {
		size_t size = MAX(scan->size * 2, (size_t)64);
		struct candidate *bigger = reallocarray(scan->candidates, size, sizeof(*bigger));
		if (!bigger)
			return snap_error_oom();
		scan->candidates = bigger;
		scan->size = size;
	}
	scan->candidates[scan->n_candidates++] = candidate;
	return NULL;
}

/// Removes @name if it is a file of ours; a temporary one may have a second name by now.
static bool remove_file(const struct scan *scan, const char *name)
{
	int dirfd = scan->store->dirfd;
	struct stat st;
	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       st.st_uid == geteuid() && unlinkat(dirfd, name, 0) == 0;
}

static void closedir_p(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

static struct snap_error *read_error(const struct scan *scan, int errnum)
{
	return snap_error_errno(SNAP_FAILED, errnum, "cannot read the folder of dumps '%s'",
				scan->store->path);
}

static struct snap_error *read_names(struct scan *scan)
{
	int fd = openat(scan->store->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return read_error(scan, errno);
	_cleanup_(closedir_p) DIR *dir = fdopendir(fd);
	if (!dir) {
		snap_closep(&fd);
		return snap_error_oom();
	}
	for (;;) {
		errno = 0;
		const struct dirent *ent = readdir(dir);
		if (!ent)
			return errno ? read_error(scan, errno) : NULL;
		if (storefile_is_temp(ent->d_name)) {
			bool removed = remove_file(scan, ent->d_name);
			scan->report->removed_temporary += removed;
			scan->report->ignored += !removed;
			continue;
		}
		struct snap_error *err = add_candidate(scan, ent->d_name);
		if (err)
			return err;
	}
}

/// The id that was given to the dump. What has none gets one from its name, always the same.
static uint64_t id_of(const struct json *facts, const char *name)
{
	const char *text = json_get_text(facts, "id");
	uint64_t id;
	return text && storeid_parse(text, &id) == 0 ? id : storefacts_hash(name);
}

static struct snap_error *list_core(struct scan *scan, const struct candidate *candidate)
{
	struct store *store = scan->store;
	struct dumpname parts;
	struct stat st, metadata_st = { 0 };
	char json_name[STORE_METADATA_NAME_MAX + 1];
	_cleanup_(json_destroyp) struct json *metadata = NULL;
	_cleanup_close_ int fd = storefile_open(store->dirfd, candidate->name, &st);
	if (fd < 0 || !st.st_size || dumpname_parse(candidate->name, &parts) < 0) {
		scan->report->ignored++;
		return NULL;
	}
	store_metadata_name(candidate->name, json_name);
	bool has_metadata = fstatat(store->dirfd, json_name, &metadata_st, AT_SYMLINK_NOFOLLOW) ==
				    0 &&
			    storefile_is_ours(&metadata_st);
	if (has_metadata && !storefacts_complete(fd))
		(void)store_read_metadata(store->dirfd, candidate->name,
					  &metadata); // or do without
	_cleanup_(json_destroyp) struct json *facts =
		storefacts_read(fd, &parts, json_get(metadata, "dump"));
	struct store_entry *entry =
		store_entry_create(candidate->name, id_of(facts, candidate->name), &parts, facts);
	if (!entry || store_reserve(store) < 0) {
		free(entry);
		return snap_error_oom();
	}
	entry->core_bytes = (uint64_t)st.st_size;
	entry->disk_bytes = storefile_disk_bytes(&st);
	if (has_metadata)
		entry->disk_bytes += storefile_disk_bytes(&metadata_st);
	else
		entry->flags |= STORE_NO_METADATA;
	scan->report->without_metadata += !has_metadata;
	store->entries[store->n_entries++] = entry; // sorted later
	return NULL;
}

/// Removes metadata whose core has not been linked, or is already unlinked.
static void check_metadata(struct scan *scan, const struct candidate *candidate)
{
	char json_name[STORE_METADATA_NAME_MAX + 1];
	struct stat st;
	if (fstatat(scan->store->dirfd, candidate->name, &st, AT_SYMLINK_NOFOLLOW) == 0 ||
	    errno != ENOENT)
		return;
	store_metadata_name(candidate->name, json_name);
	if (remove_file(scan, json_name))
		scan->report->removed_metadata++;
	else
		scan->report->ignored++;
}

static int newest_first(const void *pa, const void *pb)
{
	const struct candidate *a = pa, *b = pb;
	return a->usec > b->usec ? -1 : a->usec < b->usec ? 1 : strcmp(a->name, b->name);
}

static struct snap_error *look_at(struct scan *scan)
{
	if (scan->n_candidates)
		qsort(scan->candidates, scan->n_candidates, sizeof(*scan->candidates),
		      newest_first);
	for (size_t i = 0; i < scan->n_candidates; i++) {
		const struct candidate *candidate = &scan->candidates[i];
		struct snap_error *err = NULL;
		if (candidate->is_metadata)
			check_metadata(scan, candidate);
		else if (scan->store->n_entries == STORE_MAX_ENTRIES)
			scan->report->beyond_limit++;
		else
			err = list_core(scan, candidate);
		if (err)
			return err;
	}
	return NULL;
}

static int by_age(const void *pa, const void *pb)
{
	const struct store_entry *const *a = pa, *const *b = pb;
	return store_compare(*a, *b);
}

static int by_id(const void *pa, const void *pb)
{
	const struct store_entry *const *a = pa, *const *b = pb;
	return (*a)->id != (*b)->id ? (*a)->id < (*b)->id ? -1 : 1 : store_compare(*a, *b);
}

/// Gives another id to dumps that have that of an older one: a copy has the same attributes.
static void part_ids(struct store *store)
{
	uint64_t last = 0;
	for (size_t i = 0; i < store->n_entries; i++) {
		struct store_entry *entry = store->entries[i];
		bool again = i && entry->id == last;
		last = entry->id;
		if (!again)
			continue;
		uint64_t id = storefacts_hash(entry->name);
		while (store_get(store, id))
			id++;
		entry->id = id;
	}
}

struct snap_error *store_scan(struct store *store, struct store_report *report)
{
	_cleanup_(scan_deinit) struct scan scan = { .store = store, .report = report };
	struct snap_error *err = read_names(&scan);
	if (!err)
		err = look_at(&scan);
	if (err)
		return err;
	if (store->n_entries) {
		qsort(store->entries, store->n_entries, sizeof(struct store_entry *), by_id);
		part_ids(store);
		qsort(store->entries, store->n_entries, sizeof(struct store_entry *), by_age);
	}
	report->listed = store->n_entries;
	return NULL;
}

char *store_report_text(const struct store_report *report)
{
	const struct {
		size_t n;
		const char *what;
	} parts[] = {
		{ report->without_metadata, "of them without metadata" },
		{ report->removed_temporary, "unfinished files removed" },
		{ report->removed_metadata, "files of metadata without a core removed" },
		{ report->ignored, "files ignored that are damaged or not ours" },
		{ report->beyond_limit, "dumps not listed because there are too many" },
	};
	_cleanup_strbuf_ struct strbuf text = { 0 };
	int r = strbuf_addf(&text, "dumps found: %zu", report->listed);
	for (size_t i = 0; i < ARRAY_SIZE(parts) && r == 0; i++)
		if (parts[i].n)
			r = strbuf_addf(&text, "; %s: %zu", parts[i].what, parts[i].n);
	return r < 0 ? NULL : TAKE_PTR(text.data);
}
