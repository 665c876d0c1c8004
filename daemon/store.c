// SPDX-License-Identifier: LGPL-2.1-or-later
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/str.h"
#include "storefacts.h"
#include "storefile.h"
#include "storeimpl.h"

static const char *const kind_names[STORE_KIND_MAX] = {
	[STORE_LIVE] = "live",
	[STORE_CRASH] = "crash",
};

const char *store_kind_name(enum store_kind kind)
{
	return kind < STORE_KIND_MAX ? kind_names[kind] : "unknown";
}

enum store_kind store_kind_from_name(const char *name)
{
	for (unsigned int kind = 0; name && kind < STORE_KIND_MAX; kind++)
		if (!strcmp(name, kind_names[kind]))
			return kind;
	return STORE_KIND_MAX;
}

// -- Opening ---------------------------------------------------------------------------------

/// For the binaries: whose they are.
static bool find_dump(void *userdata, uint64_t id, struct storebinaries_dump *ret)
{
	const struct store *store = userdata;
	const struct store_entry *entry = store_get(store, id);
	if (entry) {
		*ret = (struct storebinaries_dump){ id, entry->usec, entry->uid, false };
		return true;
	}
	for (const struct store_draft *draft = store->drafts; draft; draft = draft->next) {
		if (draft->id != id)
			continue;
		*ret = (struct storebinaries_dump){ id, UINT64_MAX, draft->request.uid, true };
		return true;
	}
	return false;
}

struct snap_error *store_create(const char *path, const struct retention_limits *limits,
				struct store_report *ret_report, struct store **ret)
{
	_cleanup_(store_destroyp) struct store *store = calloc(1, sizeof(*store));
	if (!store)
		return snap_error_oom();
	store->dirfd = store->lock = -EBADF;
	store_set_limits(store, limits);
	store->path = strdup(path);
	if (!store->path)
		return snap_error_oom();
	struct store_report report = { 0 };
	struct snap_error *err = storefile_open_folder(path, &store->dirfd);
	if (!err)
		err = storefile_lock(store->dirfd, path, &store->lock);
	if (!err)
		err = store_scan(store, &report);
	if (!err)
		err = storebinaries_create(store->dirfd, find_dump, store, &store->binaries);
	if (err)
		return err;
	// What belongs to dumps that are not listed is not known to belong to none.
	if (!report.beyond_limit)
		storebinaries_sweep(store->binaries);
	else
		storebinaries_count(store->binaries);
	if (ret_report)
		*ret_report = report;
	*ret = TAKE_PTR(store);
	return NULL;
}

void store_destroy(struct store *store)
{
	if (!store)
		return;
	for (size_t i = 0; i < store->n_entries; i++)
		free(store->entries[i]);
	free(store->entries);
	storebinaries_destroy(store->binaries);
	snap_closep(&store->lock);
	snap_closep(&store->dirfd);
	free(store->path);
	free(store);
}

void store_set_limits(struct store *store, const struct retention_limits *limits)
{
	store->limits = *limits;
	// The list is never longer than what it may take of our memory.
	if (!store->limits.max_entries || store->limits.max_entries > STORE_MAX_ENTRIES)
		store->limits.max_entries = STORE_MAX_ENTRIES;
}

void store_set_binaries_limit(struct store *store, uint64_t max_bytes)
{
	storebinaries_set_limit(store->binaries, max_bytes);
}

const char *store_path(const struct store *store)
{
	return store->path;
}

// -- The list --------------------------------------------------------------------------------

struct store_entry *store_entry_create(const char *name, uint64_t id, const struct dumpname *parts,
				       const struct json *facts)
{
	size_t size = strlen(name) + 1;
	struct store_entry *entry = calloc(1, sizeof(*entry) + size);
	if (!entry)
		return NULL;
	enum store_kind kind = store_kind_from_name(json_get_text(facts, "kind"));
	entry->id = id;
	entry->usec = parts->usec;
	entry->uid = parts->uid;
	entry->pid = parts->pid;
	entry->kind = (uint8_t)(kind == STORE_KIND_MAX ? STORE_LIVE : kind);
	entry->exe_key = storefacts_exe_key(facts);
	entry->flags =
		(uint16_t)((parts->compressed ? STORE_COMPRESSED : 0U) |
			   (json_get_bool(facts, "partial", false) ? STORE_PARTIAL : 0U) |
			   (json_get_bool(facts, "owner_reads", false) ? STORE_OWNER_READS : 0U));
	memcpy(entry->name, name, size);
	return entry;
}

int store_reserve(struct store *store)
{
	if (store->n_entries < store->size)
		return 0;
	size_t size = MAX(store->size + store->size / 2, (size_t)64);
	struct store_entry **bigger = reallocarray(store->entries, size, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	store->entries = bigger;
	store->size = size;
	return 0;
}

int store_compare(const struct store_entry *a, const struct store_entry *b)
{
	return a->usec < b->usec ? -1 : a->usec > b->usec ? 1 : strcmp(a->name, b->name);
}

/// The index of the first dump that is not older than @entry: its own when it is in the list.
static size_t find_index(const struct store *store, const struct store_entry *entry)
{
	size_t low = 0, high = store->n_entries;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (store_compare(store->entries[middle], entry) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void store_insert(struct store *store, struct store_entry *entry)
{
	size_t i = find_index(store, entry);
	memmove(&store->entries[i + 1], &store->entries[i],
		(store->n_entries - i) * sizeof(*store->entries));
	store->entries[i] = entry;
	store->n_entries++;
}

void store_forget(struct store *store, const struct store_entry *entry)
{
	size_t i = find_index(store, entry);
	storebinaries_remove(store->binaries, entry->id);
	free(store->entries[i]);
	store->n_entries--;
	memmove(&store->entries[i], &store->entries[i + 1],
		(store->n_entries - i) * sizeof(*store->entries));
}

size_t store_count(const struct store *store)
{
	return store->n_entries;
}

const struct store_entry *store_at(const struct store *store, size_t index)
{
	return index < store->n_entries ? store->entries[index] : NULL;
}

const struct store_entry *store_get(const struct store *store, uint64_t id)
{
	for (size_t i = 0; i < store->n_entries; i++)
		if (store->entries[i]->id == id)
			return store->entries[i];
	return NULL;
}

/// Text of people for a message.
static struct snap_error *prefix_error(enum snap_code code, const char *prefix, const char *what)
{
	// Enough of it to be known again; the rest may be megabytes.
	_cleanup_free_ char *shown = snap_escape(prefix, strnlen(prefix, 2 * STOREID_SIZE));
	return shown ? snap_error_new(code, "'%s' %s", shown, what) : snap_error_oom();
}

struct snap_error *store_find(const struct store *store, const char *prefix, store_filter filter,
			      void *userdata, const struct store_entry **ret)
{
	struct storeid_range range;
	const struct store_entry *found = NULL;
	size_t n = 0;
	int r = storeid_parse_prefix(prefix, &range);
	if (r == -ERANGE)
		return prefix_error(
			SNAP_USAGE, prefix,
			"is too short for the id of a dump; give at least 4 characters");
	if (r < 0)
		return prefix_error(SNAP_USAGE, prefix, "is not the id of a dump");
	for (size_t i = 0; i < store->n_entries; i++) {
		const struct store_entry *entry = store->entries[i];
		if (entry->id < range.first || entry->id > range.last ||
		    (filter && !filter(entry, userdata)))
			continue;
		found = entry;
		n++;
	}
	if (!n)
		return prefix_error(SNAP_FAILED, prefix, "is the id of no dump here");
	if (n > 1)
		return snap_error_new(SNAP_USAGE,
				      "'%s' is how the ids of %zu dumps begin; give more of it",
				      prefix, n);
	*ret = found;
	return NULL;
}

// -- Using a dump ----------------------------------------------------------------------------

static struct snap_error *entry_error(int errnum, const char *what, const struct store_entry *entry)
{
	char id[STOREID_SIZE];
	(void)storeid_format(entry->id, id);
	if (errnum == ENOENT)
		return snap_error_new(SNAP_FAILED, "the dump %s is no longer there", id);
	return snap_error_errno(snap_code_from_errno(errnum), errnum,
				"cannot %s the dump %s ('%s')", what, id, entry->name);
}

struct snap_error *store_open(const struct store *store, const struct store_entry *entry, int *ret)
{
	int fd = storefile_open(store->dirfd, entry->name, NULL);
	if (fd < 0)
		return entry_error(-fd, "open", entry);
	*ret = fd;
	return NULL;
}

void store_metadata_name(const char *name, char ret[static STORE_METADATA_NAME_MAX + 1])
{
	(void)snprintf(ret, STORE_METADATA_NAME_MAX + 1, "%s.json", name);
}

int store_read_metadata(int dirfd, const char *name, struct json **ret)
{
	char json_name[STORE_METADATA_NAME_MAX + 1];
	struct stat st;
	store_metadata_name(name, json_name);
	_cleanup_close_ int fd = storefile_open(dirfd, json_name, &st);
	if (fd < 0)
		return fd;
	if (st.st_size > STORE_MAX_METADATA_BYTES)
		return -EFBIG;
	size_t size = (size_t)st.st_size;
	_cleanup_free_ char *text = malloc(size + 1);
	if (!text)
		return -ENOMEM;
	ssize_t n = snap_pread_full(fd, text, size, 0);
	if (n < 0)
		return (int)n;
	struct json *json = json_parse(text, (size_t)n);
	if (!json)
		return -EBADMSG;
	*ret = json;
	return 0;
}

/// store_describe() with what is known of the metadata, or NULL.
static struct snap_error *describe(const struct store *store, const struct store_entry *entry,
				   const struct json *metadata, struct json **ret)
{
	char id[STOREID_SIZE];
	struct dumpname name;
	_cleanup_close_ int fd = storefile_open(store->dirfd, entry->name, NULL);
	_cleanup_free_ char *path = NULL;
	if (fd < 0)
		return entry_error(-fd, "open", entry);
	if (dumpname_parse(entry->name, &name) < 0)
		return entry_error(EINVAL, "parse the name of", entry);
	if (asprintf(&path, "%s/%s", store->path, entry->name) < 0) {
		path = NULL;
		return snap_error_oom();
	}
	struct json *json = storefacts_read(fd, &name, json_get(metadata, "dump"));
	json_set_text(json, "id", storeid_format(entry->id, id));
	json_set_bool(json, "partial", entry->flags & STORE_PARTIAL);
	json_set_bool(json, "owner_reads", entry->flags & STORE_OWNER_READS);
	json_set_text(json, "kind", store_kind_name(entry->kind));
	json_set_u64(json, "core_bytes", entry->core_bytes);
	json_set_u64(json, "disk_bytes", entry->disk_bytes);
	json_set_message(json, "file", path); // a path, so not escaped once more
	if (!json)
		return snap_error_oom();
	*ret = json;
	return NULL;
}

struct snap_error *store_describe(const struct store *store, const struct store_entry *entry,
				  struct json **ret)
{
	_cleanup_(json_destroyp) struct json *metadata = NULL;
	_cleanup_close_ int fd = storefile_open(store->dirfd, entry->name, NULL);
	if (fd >= 0 && !storefacts_complete(fd))
		(void)store_read_metadata(store->dirfd, entry->name, &metadata); // or less is known
	return describe(store, entry, metadata, ret);
}

struct snap_error *store_metadata(const struct store *store, const struct store_entry *entry,
				  struct json **ret)
{
	_cleanup_(json_destroyp) struct json *metadata = NULL;
	struct json *dump = NULL;
	int r = store_read_metadata(store->dirfd, entry->name, &metadata);
	if (r == -ENOMEM)
		return snap_error_oom();
	struct snap_error *err = describe(store, entry, metadata, &dump);
	if (err)
		return err;
	if (r < 0) {
		metadata = json_new_object();
		json_set_text(metadata, "metadata_error",
			      r == -ENOENT ? "missing" :
			      r == -EFBIG  ? "too-large" :
					     "damaged");
	}
	json_set(metadata, "dump", dump);
	if (!metadata)
		return snap_error_oom();
	*ret = TAKE_PTR(metadata);
	return NULL;
}

int store_unlink(int dirfd, const char *name)
{
	char json_name[STORE_METADATA_NAME_MAX + 1];
	store_metadata_name(name, json_name);
	if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	// What stays of the metadata is removed at the next start.
	(void)unlinkat(dirfd, json_name, 0);
	return 0;
}

struct snap_error *store_remove(struct store *store, const struct store_entry *entry)
{
	int r = store_unlink(store->dirfd, entry->name);
	if (r == 0)
		r = storefile_sync_folder(store->dirfd);
	if (r < 0)
		return entry_error(-r, "remove", entry);
	store_forget(store, entry);
	return NULL;
}

struct snap_error *store_usage(const struct store *store, struct store_usage *ret)
{
	struct statvfs st;
	if (fstatvfs(store->dirfd, &st) < 0)
		return snap_error_errno(SNAP_FAILED, errno,
					"cannot look at the file system of '%s'", store->path);
	struct store_usage usage = {
		.n_dumps = store->n_entries,
		// Not f_bfree: a worker with the rights of a user cannot use root's reserve.
		// A file system that does not know its size (ramfs) says 0.
		.free_bytes = st.f_blocks ? (uint64_t)st.f_bavail * st.f_frsize : INT64_MAX,
		.fs_bytes = (uint64_t)st.f_blocks * st.f_frsize,
	};
	usage.binaries_bytes = storebinaries_bytes(store->binaries);
	for (const struct store_draft *draft = store->drafts; draft; draft = draft->next)
		usage.n_drafts++;
	for (size_t i = 0; i < store->n_entries; i++)
		usage.disk_bytes += store->entries[i]->disk_bytes;
	usage.limits = retention_resolve(store->limits, usage.fs_bytes);
	*ret = usage;
	return NULL;
}
