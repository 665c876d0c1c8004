/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/json.h"
#include "retention.h"
#include "storeid.h"

/**
 * DOC: The store of dumps
 *
 * A folder with two files for each dump, both 0640 and readable for the owner of the process when
 * the rules allow it:
 *
 *   core.COMM.UID.BOOTID.PID.USEC[.zst]        the core (dumpname.h)
 *   core.COMM.UID.BOOTID.PID.USEC[.zst].json   the metadata
 *
 * and, if programs and libraries are kept with crashes, the folder binaries (common/binaries.h).
 *
 * Files have no name until they are complete. The metadata is linked first, then the core, then the
 * folder is synced: whoever sees a core sees a whole one with its metadata. Metadata alone is what
 * a crash between the two left, and is removed at the next start.
 *
 * The folder belongs to us and only we write to it, but nothing in it is trusted: names are parsed
 * strictly, and symbolic links, FIFOs, devices, folders and files with a second name are never
 * opened. What is not ours is left alone and not listed.
 *
 * Who the dump is about is in the extended attributes of the core: user.coredump.* as
 * systemd-coredump writes them, user.procsnap.* for the rest. Where the file system has none, the
 * metadata says the same under "dump".
 *
 * Unless it says otherwise, all of this is for the daemon's one thread. What an entry points to is
 * borrowed from the store until that dump is removed, by store_remove() or by the retention in
 * store_begin(), store_publish(), store_retain() and store_drop().
 */

struct store;

#define STORE_DEFAULT_PATH "/var/lib/procsnap"

enum {
	// About 20 MiB of memory for the list; a dump a minute for more than two months.
	STORE_MAX_ENTRIES = 100000,
	// The analysis of a Go program with a hundred thousand goroutines has a few MiB.
	STORE_MAX_METADATA_BYTES = 16 << 20,
};

enum store_kind {
	STORE_LIVE, ///< the process ran on
	STORE_CRASH, ///< it had crashed
	STORE_KIND_MAX,
};

/// "live" or "crash"; never NULL.
const char *store_kind_name(enum store_kind kind);
/// STORE_KIND_MAX for another name, or NULL.
enum store_kind store_kind_from_name(const char *name);

enum store_flags {
	STORE_OWNER_READS = 1U << 0, ///< the process's user may read the dump
	STORE_PARTIAL = 1U << 1, ///< memory that should be in it is missing
	STORE_COMPRESSED = 1U << 2, ///< the file is zstd
	STORE_NO_METADATA = 1U << 3, ///< there is no file with metadata
};

/// One dump; small, since all of them are kept in memory.
struct store_entry {
	uint64_t id;
	uint64_t usec; ///< CLOCK_REALTIME when it was taken, or a little later
	uint64_t core_bytes; ///< length of the file of the core
	uint64_t disk_bytes; ///< that core and metadata take on the disk
	uint64_t exe_key; ///< for retention
	uid_t uid;
	pid_t pid;
	uint16_t flags; ///< enum store_flags
	uint8_t kind; ///< enum store_kind
	char name[]; ///< of the core in the folder; dumpname_parse() gives its parts
};

// -- Opening ---------------------------------------------------------------------------------

/// What the scan at the start found and did.
struct store_report {
	size_t listed;
	size_t without_metadata; ///< of these
	size_t removed_temporary; ///< files that were being written when the last daemon ended
	size_t removed_metadata; ///< metadata without a core
	size_t ignored; ///< what has a name of ours but is no file of ours, or an empty one
	size_t beyond_limit; ///< dumps not listed because there are more than STORE_MAX_ENTRIES
};

/**
 * Opens the folder @path, made with mode 0755 if it is missing, and lists its dumps again.
 *
 * Fails when it is a symbolic link or no folder, when it is not ours or others may write to it,
 * and when another daemon has it open. @limits are copied; dumps that break them stay until
 * store_retain() or the next dump. @ret_report may be NULL.
 */
struct snap_error *store_create(const char *path, const struct retention_limits *limits,
				struct store_report *ret_report, struct store **ret) _must_check_;
/// Closes it. Drafts must have been published or dropped.
void store_destroy(struct store *store);
DEFINE_CLEANUP(struct store *, store_destroy);
/// The report as one line for the log; owned by the caller, NULL when out of memory.
char *store_report_text(const struct store_report *report);
/// New limits after a reload of the configuration, copied.
void store_set_limits(struct store *store, const struct retention_limits *limits);
/// How much all binaries may take on the disk; UINT64_MAX: as much as they like.
void store_set_binaries_limit(struct store *store, uint64_t max_bytes);
/// The folder as it was given, for messages; borrowed from the store.
const char *store_path(const struct store *store);

// -- Making a dump ---------------------------------------------------------------------------

/// A dump that retention took away.
struct store_removal {
	uint64_t id;
	uid_t uid;
	uint64_t disk_bytes;
	enum retention_reason reason;
	char *name; ///< owned by the list
};

/// All of them, for the log. Zeroed before the first use; calls add to it.
struct store_removals {
	struct store_removal *items;
	size_t n_items;
	size_t size; ///< room in @items
};

void store_removals_deinit(struct store_removals *removals);
#define _cleanup_store_removals_ _cleanup_(store_removals_deinit)

/// What is going to be made.
struct store_request {
	uid_t uid; ///< of the process, whose share of the store it takes
	bool compressed; ///< a spool for the raw core, which is then compressed to the core
	uint64_t core_bytes; ///< expected of the core as it will be published; 0: unknown
	uint64_t spool_bytes; ///< expected of the spool; 0 without one, or unknown
};

/// A dump that is being made. Its files have no name.
struct store_draft {
	uint64_t id; ///< of the dump that it becomes
	int core; ///< empty, read and write; what is published. Owned by the draft
	int spool; ///< the same, for the raw core when it is compressed; else -EBADF
	// The rest is the store's.
	struct store *store;
	struct store_draft *next;
	struct store_request request;
	size_t n_binaries; ///< files that are kept with it
	char *core_temp, *spool_temp; ///< names, where the file system knows no O_TMPFILE
};

/**
 * Makes room and files for a dump.
 *
 * SNAP_NO_SPACE when there is no room within the limits even after removing what may be removed;
 * then only what was too old, or too many, has been removed. What other drafts are expected to
 * write counts as written. What was removed is added to @removals, also on failure.
 */
struct snap_error *store_begin(struct store *store, const struct store_request *request,
			       struct store_removals *removals, struct store_draft **ret)
	_must_check_;
/**
 * Keeps what a hook has left in FOLDER/binaries with the dump (daemon/storebinaries.h).
 *
 * @files is the list of it; @owner_reads: the dump will get STORE_OWNER_READS. Returns what was
 * kept, for the metadata; owned by the caller, NULL when out of memory. @ret_path, owned by the
 * caller, is the folder, or NULL when nothing was kept. Once for each draft.
 */
struct json *store_add_binaries(struct store_draft *draft, int folder, const struct json *files,
				bool owner_reads, char **ret_path);
/// Gives up a draft; nothing of it stays. The caller has ended whoever writes to it.
void store_drop(struct store_draft *draft);
DEFINE_CLEANUP(struct store_draft *, store_drop);

/// Who the dump is about. All texts are borrowed, as the kernel has them (not escaped), and may be
/// NULL but for comm and boot_id.
struct store_facts {
	enum store_kind kind;
	uint32_t flags; ///< STORE_OWNER_READS and STORE_PARTIAL
	pid_t pid;
	uid_t uid;
	gid_t gid;
	int signal; ///< 0 for a live process
	uint64_t rlimit; ///< RLIMIT_CORE, soft, bytes; UINT64_MAX: unlimited
	uint64_t usec; ///< CLOCK_REALTIME when it was stopped or crashed
	const char *comm;
	const char *boot_id; ///< 32 lower-case hexadecimal digits
	const char *exe, *unit, *hostname;
	const char *mode; ///< how the memory was frozen: "copy"
	size_t n_binaries; ///< filled in by store_publish()
};

/**
 * Gives the finished dump its name. Consumes @draft, also on failure; then nothing of it stays.
 *
 * The data of the core has been synced by whoever wrote it, who has ended; what is left to sync is
 * little. @metadata stays the caller's but gets the member "dump"; NULL for none of one's own, and
 * when it is larger than STORE_MAX_METADATA_BYTES, only "dump" and "metadata_error" are written.
 * The name in the store is made from @facts; when it is taken, usec goes up until it is not.
 *
 * Then dumps are removed as the limits ask, never the new one. SNAP_NO_SPACE when MaxUse cannot be
 * kept that way; nothing at all is removed then. STORE_OWNER_READS is dropped for users of the
 * system. On a file system without access lists it is kept, but only root can open the file.
 */
struct snap_error *store_publish(struct store_draft *draft, const struct store_facts *facts,
				 struct json *metadata, struct store_removals *removals,
				 const struct store_entry **ret) _must_check_;

// -- Using dumps -----------------------------------------------------------------------------

/// The number of dumps.
size_t store_count(const struct store *store);
/// The dump at @index, the oldest one at 0; NULL beyond the last one.
const struct store_entry *store_at(const struct store *store, size_t index);

/// May the caller of store_find() know about @entry?
typedef bool (*store_filter)(const struct store_entry *entry, void *userdata);
/**
 * The dump whose id begins with @prefix, among those that @filter (NULL: all) lets through.
 *
 * SNAP_USAGE when @prefix is no prefix of an id or fits several dumps, SNAP_FAILED when it fits
 * none.
 */
struct snap_error *store_find(const struct store *store, const char *prefix, store_filter filter,
			      void *userdata, const struct store_entry **ret) _must_check_;
/// The dump with this very id, or NULL.
const struct store_entry *store_get(const struct store *store, uint64_t id);

/// A read-only descriptor of the core, owned by the caller. It stays good when the dump is removed.
struct snap_error *store_open(const struct store *store, const struct store_entry *entry, int *ret)
	_must_check_;
/**
 * What is known about a dump without reading its metadata, which may be large; owned by the caller.
 *
 * {"id", "kind", "pid", "uid", "gid", "comm", "exe", "unit", "hostname", "boot_id",
 * "timestamp_usec", "signal", "rlimit", "mode", "partial", "owner_reads", "compressed",
 * "binaries", "core_bytes", "disk_bytes", "file"}; what is unknown is missing. Texts are escaped as
 * json_set_text() does, but for "file", which is the path of the core.
 */
struct snap_error *store_describe(const struct store *store, const struct store_entry *entry,
				  struct json **ret) _must_check_;
/// The whole metadata with store_describe()'s object as "dump"; owned by the caller. When there is
/// no more than that, "metadata_error" says why: "missing", "damaged" or "too-large".
struct snap_error *store_metadata(const struct store *store, const struct store_entry *entry,
				  struct json **ret) _must_check_;
/// Removes a dump, durably. Whoever has it open keeps it. @entry is gone afterwards, unless this
/// fails.
struct snap_error *store_remove(struct store *store, const struct store_entry *entry) _must_check_;
/**
 * Applies the limits now: at the start, after a reload, and from time to time because of MaxAge.
 * Also forgets dumps whose files somebody else has removed; those are not in @removals.
 */
struct snap_error *store_retain(struct store *store, struct store_removals *removals) _must_check_;

struct store_usage {
	size_t n_dumps, n_drafts;
	uint64_t disk_bytes; ///< of all dumps
	uint64_t binaries_bytes; ///< of what is kept with them, which is limited apart
	uint64_t free_bytes; ///< of the file system, without what root has in reserve
	uint64_t fs_bytes; ///< size of the file system; 0 when it does not know
	struct retention_limits limits; ///< resolved
};

struct snap_error *store_usage(const struct store *store, struct store_usage *ret) _must_check_;
