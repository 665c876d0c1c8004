/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/binaries.h"
#include "common/error.h"
#include "common/json.h"

/**
 * DOC: Binaries in the store
 *
 * Programs and libraries of crashes, in the layout that common/binaries.h describes. Each content
 * is there once, and gone when the last dump that has it is: the number of its hard links tells.
 *
 * Who may read a dump may read its binaries, since its process could: the folder of a dump has the
 * mode and the access list of the dump, what is in it can be read by whoever gets there. So a
 * content that several users have needs no list of them.
 *
 * They have a limit of their own, CaptureMaxUse=, and do not count up to MaxUse=: a file that many
 * dumps have in common cannot be charged to one of them, and no dump is pushed out by a library.
 * When they need room, the dumps that have theirs longest lose them, by the rules of retention.h,
 * by which nobody pushes out those of others. A dump weighs what its files take, divided by how
 * many dumps have them.
 *
 * For the daemon's one thread. Nothing here is synced: what a power failure takes is swept away at
 * the next start, contents have been synced by the hook.
 */
struct storebinaries;

/// Whose binaries: what the store says of an id.
struct storebinaries_dump {
	uint64_t id, usec;
	uid_t uid;
	bool is_draft; ///< it is being made, and keeps what it has
};

/// Finds @id among the dumps of the store; false when it is not one of them.
typedef bool (*storebinaries_find)(void *userdata, uint64_t id, struct storebinaries_dump *ret);

/// @dirfd, the folder of the store, is borrowed. No folder is made before one is needed.
struct snap_error *storebinaries_create(int dirfd, storebinaries_find find, void *userdata,
					struct storebinaries **ret) _must_check_;
/// Accepts NULL.
void storebinaries_destroy(struct storebinaries *binaries);
/// UINT64_MAX: none. What is beyond it stays until storebinaries_retain(), or the next dump.
void storebinaries_set_limit(struct storebinaries *binaries, uint64_t max_bytes);
/// Bytes that all contents take on the disk.
uint64_t storebinaries_bytes(const struct storebinaries *binaries);
/**
 * Takes what a hook has left in FOLDER/binaries as that of @dump, which @grant says its user may
 * read. @files is the list; the folder @folder stays as it is.
 *
 * Returns what was kept, and why others were not: an array for the metadata, owned by the caller;
 * @ret_n is how many were. NULL when out of memory.
 */
struct json *storebinaries_add(struct storebinaries *binaries,
			       const struct storebinaries_dump *dump, bool grant, int folder,
			       const struct json *files, size_t *ret_n);
/// The dump @id has gone.
void storebinaries_remove(struct storebinaries *binaries, uint64_t id);
/// Removes what belongs to dumps that are not there any more, and counts the rest.
void storebinaries_sweep(struct storebinaries *binaries);
/// Removes contents that no dump has (a hook may have held one when its last dump went), and counts
/// the rest.
void storebinaries_count(struct storebinaries *binaries);
/// The same, and then what is beyond the limit.
void storebinaries_retain(struct storebinaries *binaries);
