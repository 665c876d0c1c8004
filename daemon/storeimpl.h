/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "dumpname.h"
#include "store.h"
#include "storebinaries.h"

/**
 * DOC: What the files of the store share
 *
 * store.c has the list and what is done with a dump, storescan.c fills it at the start, storeroom.c
 * makes room, storedraft.c and storepublish.c make dumps. For these files only.
 */

enum {
	/// Of a file of metadata: the core's name and ".json".
	STORE_METADATA_NAME_MAX = DUMPNAME_MAX + 5,
};

struct store {
	int dirfd, lock;
	char *path;
	struct retention_limits limits; ///< as configured, not resolved
	struct store_entry **entries; ///< oldest first, each allocated
	size_t n_entries, size;
	struct store_draft *drafts; ///< being made now
	struct storebinaries *binaries;
};

/// An entry outside the list, of the file @name and its @facts; NULL when out of memory.
struct store_entry *store_entry_create(const char *name, uint64_t id, const struct dumpname *parts,
				       const struct json *facts);
/// Room for one more entry, so that store_insert() cannot fail. -ENOMEM.
int store_reserve(struct store *store);
/// Puts @entry, now the store's, where it belongs.
void store_insert(struct store *store, struct store_entry *entry);
/// Which of two dumps is older; names decide between those of the same microsecond.
int store_compare(const struct store_entry *a, const struct store_entry *b);
/// Takes @entry out of the list and frees it.
void store_forget(struct store *store, const struct store_entry *entry);
/// The name of the metadata of the core @name.
void store_metadata_name(const char *name, char ret[static STORE_METADATA_NAME_MAX + 1]);
/// Reads metadata; -ENOENT, -EPERM, -EFBIG, -EBADMSG for what is no JSON object.
int store_read_metadata(int dirfd, const char *name, struct json **ret);
/// Unlinks the files of a dump, the core first; not synced.
int store_unlink(int dirfd, const char *name);
/// Lists what is in the folder (storescan.c).
struct snap_error *store_scan(struct store *store, struct store_report *report) _must_check_;

/// What is to be made room for (storeroom.c).
struct store_room {
	const struct store_entry *fresh; ///< that must stay, in the list or not yet; or NULL
	const struct store_draft *draft; ///< about to be written, not among the drafts yet; or NULL
};

/**
 * Removes dumps as the limits ask; not synced, since nobody was promised that they are gone.
 *
 * For a draft, SNAP_NO_SPACE unless it gets all the room it needs; then nothing has gone because of
 * bytes or numbers. For a fresh dump (in the list or not), SNAP_NO_SPACE unless MaxUse can be kept
 * with it; then nothing at all has gone. With neither, as much goes as may.
 */
struct snap_error *store_make_room(struct store *store, const struct store_room *room,
				   struct store_removals *removals) _must_check_;
/// The same without removing anything: would it be SNAP_NO_SPACE?
struct snap_error *store_check_room(struct store *store, const struct store_room *room)
	_must_check_;
