// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/coreaccess.h"
#include "common/fd.h"
#include "storefacts.h"
#include "storefile.h"
#include "storeimpl.h"

enum {
	NAME_TRIES = 1000, // a clock that stands still for a millisecond of dumps
};

/**
 * DOC: What is synced
 *
 * The daemon waits for the disk here, so it does that only twice: for the metadata before it gets
 * its name, and for the folder at the end. The data of the core is on the disk already. Its mode
 * and attributes get there with the folder, which ext4, xfs, btrfs and f2fs log in order with them;
 * on a file system that does not, a power failure leaves a dump that only root may read, and of
 * which the metadata says the rest.
 *
 * Meanwhile nobody else is served. That is a few KiB each, but a journal may have to write what
 * others have dirtied first: on an ext4 with nothing else to do it took 2 ms (8 at most), beside a
 * writer of 3 GB 8 ms (230 at most). Only the disk bounds it; one that takes more than the 30 s of
 * the watchdog costs the daemon its life, and the dump that was being published.
 */

/// A dump on its way from draft to entry.
struct publication {
	struct store *store;
	struct store_draft *draft;
	struct store_facts facts; ///< with the microsecond and the flags that it gets
	struct dumpname parts;
	char name[DUMPNAME_MAX + 1];
	char json_name[STORE_METADATA_NAME_MAX + 1];
	struct json *dump; ///< the member "dump"
	struct store_entry *entry;
	int json_fd;
	char *json_temp;
};

static void publication_deinit(struct publication *pub)
{
	storefile_drop_temp(pub->store->dirfd, &pub->json_temp);
	snap_closep(&pub->json_fd);
	json_destroy(pub->dump);
	free(pub->entry);
	store_drop(pub->draft);
}

static struct snap_error *file_error(int errnum, const char *what, const struct publication *pub)
{
	return snap_error_errno(snap_code_from_errno(errnum), errnum, "cannot %s '%s' in '%s'",
				what, pub->name, pub->store->path);
}

static bool is_free(const struct publication *pub, const char *name)
{
	struct stat st;
	return fstatat(pub->store->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

/// Finds a name that nobody has.
static struct snap_error *choose_name(struct publication *pub)
{
	struct dumpname *parts = &pub->parts;
	*parts = (struct dumpname){
		.uid = pub->facts.uid,
		.pid = pub->facts.pid,
		.usec = pub->facts.usec,
		.compressed = pub->draft->request.compressed,
	};
	dumpname_set_comm(parts, pub->facts.comm);
	if (strlen(pub->facts.boot_id) == DUMPNAME_BOOT_ID_CHARS)
		memcpy(parts->boot_id, pub->facts.boot_id, DUMPNAME_BOOT_ID_CHARS);
	for (int i = 0; i < NAME_TRIES; i++, parts->usec++) {
		if (dumpname_make(parts, pub->name) < 0)
			return snap_error_new(SNAP_FAILED,
					      "there is no file name for a dump of process %d of "
					      "user %u",
					      parts->pid, parts->uid);
		store_metadata_name(pub->name, pub->json_name);
		if (is_free(pub, pub->name) && is_free(pub, pub->json_name)) {
			pub->facts.usec = parts->usec;
			return NULL;
		}
	}
	return file_error(EEXIST, "make", pub);
}

/// Who may read the core, and what is known about it.
static struct snap_error *label_core(struct publication *pub)
{
	struct store_facts *facts = &pub->facts;
	// Users of the system have no dumps of their own to read.
	if (!coreaccess_is_person(facts->uid))
		facts->flags &= ~(uint32_t)STORE_OWNER_READS;
	bool grant = facts->flags & STORE_OWNER_READS;
	int r = storefile_protect(pub->draft->core, facts->uid, grant);
	if (r == -EOPNOTSUPP && grant)
		r = 0; // no access lists here; the daemon can still hand the dump to its owner
	if (r == 0)
		r = storefacts_write(pub->draft->core, pub->draft->id, facts);
	return r < 0 ? file_error(-r, "finish", pub) : NULL;
}

/// The text of the metadata, borrowed from it; @ret_short keeps what that is when it is too long.
static struct snap_error *metadata_text(struct publication *pub, struct json *metadata,
					struct json **ret_short, const char **ret)
{
	json_set_shared(metadata, "dump", pub->dump);
	const char *text = metadata ? json_text(metadata) : NULL;
	bool too_large = text && strlen(text) > STORE_MAX_METADATA_BYTES;
	if (!metadata || too_large) {
		*ret_short = json_new_object();
		if (too_large)
			json_set_text(*ret_short, "metadata_error", "too-large");
		json_set_shared(*ret_short, "dump", pub->dump);
		text = json_text(*ret_short);
	}
	if (!text)
		return snap_error_oom();
	*ret = text;
	return NULL;
}

static struct snap_error *write_metadata(struct publication *pub, struct json *metadata)
{
	_cleanup_(json_destroyp) struct json *short_one = NULL;
	const char *text = "";
	struct snap_error *err = metadata_text(pub, metadata, &short_one, &text);
	if (err)
		return err;
	int r = pub->json_fd =
		storefile_temp(pub->store->dirfd, pub->draft->id, "json", &pub->json_temp);
	if (r >= 0)
		r = snap_write_all(pub->json_fd, text, strlen(text));
	if (r >= 0)
		r = storefile_protect(pub->json_fd, pub->facts.uid,
				      pub->facts.flags & STORE_OWNER_READS);
	if (r == -EOPNOTSUPP)
		r = 0;
	if (r >= 0 && fsync(pub->json_fd) < 0)
		r = -errno;
	return r < 0 ? file_error(-r, "write the metadata of", pub) : NULL;
}

static struct snap_error *make_entry(struct publication *pub)
{
	struct stat core, json;
	if (fstat(pub->draft->core, &core) < 0 || fstat(pub->json_fd, &json) < 0)
		return file_error(errno, "look at", pub);
	if (!core.st_size)
		return snap_error_new(SNAP_FAILED, "the core of process %d is empty",
				      pub->facts.pid);
	pub->entry = store_entry_create(pub->name, pub->draft->id, &pub->parts, pub->dump);
	if (!pub->entry || store_reserve(pub->store) < 0)
		return snap_error_oom();
	pub->entry->core_bytes = (uint64_t)core.st_size;
	pub->entry->disk_bytes = storefile_disk_bytes(&core) + storefile_disk_bytes(&json);
	return NULL;
}

/// Both names, or none.
static struct snap_error *link_files(struct publication *pub)
{
	int dirfd = pub->store->dirfd;
	int r = storefile_link(dirfd, pub->json_fd, &pub->json_temp, pub->json_name);
	if (r < 0)
		return file_error(-r, "give the metadata its name for", pub);
	r = storefile_link(dirfd, pub->draft->core, &pub->draft->core_temp, pub->name);
	if (r < 0) {
		(void)unlinkat(dirfd, pub->json_name, 0);
		return file_error(-r, "give the core its name", pub);
	}
	r = storefile_sync_folder(dirfd);
	if (r < 0) {
		(void)store_unlink(dirfd, pub->name);
		return file_error(-r, "sync the folder with", pub);
	}
	return NULL;
}

static struct snap_error *prepare(struct publication *pub, struct json *metadata)
{
	// What the spool takes is free again when the limits are looked at.
	storefile_drop_temp(pub->store->dirfd, &pub->draft->spool_temp);
	snap_closep(&pub->draft->spool);
	pub->draft->spool = -EBADF;
	pub->draft->request.spool_bytes = pub->draft->request.core_bytes = 0;
	pub->facts.n_binaries = pub->draft->n_binaries;
	struct snap_error *err = choose_name(pub);
	if (!err)
		err = label_core(pub);
	if (err)
		return err;
	pub->dump = storefacts_to_json(pub->draft->id, &pub->parts, &pub->facts);
	err = write_metadata(pub, metadata);
	if (!err)
		err = make_entry(pub);
	return err;
}

struct snap_error *store_publish(struct store_draft *draft, const struct store_facts *facts,
				 struct json *metadata, struct store_removals *removals,
				 const struct store_entry **ret)
{
	_cleanup_(publication_deinit) struct publication pub = {
		.store = draft->store, .draft = draft, .facts = *facts, .json_fd = -EBADF
	};
	struct snap_error *err = prepare(&pub, metadata);
	const struct store_room room = { .fresh = pub.entry };
	if (!err)
		err = store_check_room(pub.store, &room);
	if (!err)
		err = link_files(&pub);
	if (err)
		return err;
	store_insert(pub.store, TAKE_PTR(pub.entry));
	draft->n_binaries = 0; // they are the dump's now
	*ret = room.fresh;
	// The dump is there. What could not be removed now is so before the next one.
	snap_error_destroy(store_make_room(pub.store, &room, removals));
	return NULL;
}
