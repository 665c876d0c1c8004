/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/json.h"
#include "common/pidref.h"
#include "systemd/procid.h"

/**
 * DOC: The journal entry of a dump
 *
 * A record is a list of journal fields. It is made once, when a dump is complete, and is then sent,
 * or kept as JSON beside the dump and sent later: a record is only lost with its dump. Sending the
 * same record twice makes two entries with the same PROCSNAP_ID.
 *
 * Fields are sent with their lengths (sd_journal_sendv()), so no byte in a name can begin another
 * field. MESSAGE, which terminals show, has control characters of others escaped.
 *
 * What coredumpctl wants, found out with 252 and 257: it looks for two MESSAGE_IDs, that of crashes
 * and the one used here, which systemd gives to backtraces that programs report of themselves. With
 * this one COREDUMP_SIGNAL may be any text, which `info` shows as the reason, but there it must be:
 * without it `list` of 252 aborts at the first such entry, and `list` of 257 leaves the entry out,
 * as it does without COMM, PID, UID or GID. `dump` works only if the name of the file ends in .zst,
 * .xz or .lz4, `debug` with any; `debug` wants COREDUMP_EXE to be absolute and not " (deleted)".
 *
 * Any user may write an entry with these fields himself. What tells entries of root from his is
 * _UID, which journald adds; nothing of ours believes an entry, the store has what is true.
 *
 * A crash has the MESSAGE_ID, the fields and the first line of MESSAGE that systemd-coredump 257
 * gives it; docs/JOURNAL.md has each field, and what differs.
 *
 * Who sends: journald files an entry by the user id of the sender, and only that user, root and
 * the groups adm and systemd-journal can read it. So an entry is sent by a child of the daemon that
 * has become the user, if
 *   - the process has one user id and one group id, and may be dumped (procid.plain); of a crash,
 *     also record_crash.owner_reads, which is decided from the core and not from /proc,
 *   - its user id is one of people: 1000 or above, none of systemd's dynamic users, not nobody,
 *   - it is in the slice of that user, or in no unit at all.
 * All other entries are sent by root: `journalctl -u UNIT` believes what is said of a system unit
 * only if root says it.
 */

enum record_kind {
	RECORD_LIVE, ///< the process ran on
	RECORD_CRASH, ///< a signal ended it
	RECORD_KIND_MAX,
};

/// Who asked for the dump.
struct record_requester {
	uid_t uid;
	gid_t gid;
	pid_t pid; ///< 0: unknown
	const char *comm; ///< as the kernel has it, or NULL
};

/// What only a crash has, from the kernel; all is borrowed during record_create().
struct record_crash {
	int signal;
	int dumpable; ///< %d of core_pattern: 0, 1 or 2; -1: unknown
	bool by_pidfd; ///< the kernel gave a pidfd: no doubt which process it was
	uint64_t rlimit_core; ///< %c; UINT64_MAX: none
	const char *hostname; ///< %h, of the process's UTS namespace; NULL: that of this system
	/// What procsnap-unwind found: "Module ..." lines and "Stack trace of thread ..." blocks;
	/// NULL: nothing. Control characters but newlines are escaped; cut at RECORD_STACKS_MAX.
	const char *stacks;
	/// Object keyed by the name of a module: {"buildId", "name", "version", ...}, or NULL.
	const struct json *packages;
	const char *package_name, *package_version; ///< of the program, or NULL
	/// Programs and libraries that are kept with the core: {"name", "build_id"} each, of which
	/// those with "why" are not kept; or NULL.
	const struct json *binaries;
	uint64_t suppressed; ///< crashes like this one without a core, since the last one
	/// What could not be done as it should: words such as "stream", "partial", "record",
	/// separated by blanks, or NULL.
	const char *degraded;
	/// May its user read the core (common/coreaccess.h)? Then his is the entry, too.
	bool owner_reads;
};

/// What the job knows; everything is borrowed during record_create().
struct record_dump {
	enum record_kind kind;
	const char *id; ///< of the dump in the store; NULL when it has none
	const char *mode; ///< how memory was frozen: "copy"
	uint64_t pause_ns; ///< how long the process stood still; of a crash: until it was let go
	uint64_t predicted_pause_ns; ///< that was foretold; 0: nothing was
	uint64_t realtime_ns; ///< when all its threads had stopped; of a crash: %t
	/// Absolute path of the core, readable by whom it belongs to; NULL when the core went to a
	/// descriptor of the requester: then coredumpctl lists the entry with a core "none".
	const char *filename;
	uint64_t size_bytes; ///< of the core as it is stored; 0: unknown
	bool partial; ///< memory is missing that should be in it
	struct record_requester requester; ///< of a live dump
	const struct record_crash *crash; ///< of a crash
	const struct json *summary; ///< of common/summary.h, or NULL
	/// PROCSNAP_SUMMARY is left out when it is longer; at most RECORD_SUMMARY_MAX.
	size_t summary_bytes;
	const char *const *warnings; ///< lines for people, what is from outside already escaped
	size_t n_warnings;
};

enum {
	/// Beyond 768 MiB journald drops a field (DATA_SIZE_MAX); far below that, readers load a
	/// field as a whole. A summary of a Go program with 1000 different stacks has about 4 MB.
	RECORD_SUMMARY_MAX = 16 << 20,
	RECORD_WARNINGS_MAX = 32, ///< more than anybody reads
	/// systemd-coredump takes 1 MiB from its unwinder; 64 threads of 64 frames have half of it.
	RECORD_STACKS_MAX = 1 << 20,
};

struct record;
/// Makes the record of @dump of the process @id; borrows both. Any process may call it.
struct snap_error *record_create(const struct procid *id, const struct record_dump *dump,
				 struct record **ret) _must_check_;
/// Accepts NULL.
void record_destroy(struct record *record);
DEFINE_CLEANUP(struct record *, record_destroy);

/// The bytes of a field and, if @ret_len, how many; NULL when the record has no such field.
/// Borrowed.
const char *record_field(const struct record *record, const char *name, size_t *ret_len);
/// Will it be sent by a child that becomes this user? Else by root.
bool record_is_for_user(const struct record *record, uid_t *ret_uid, gid_t *ret_gid);

/// The record for the metadata of the store, bytes and all; NULL when out of memory. Owned by the
/// caller.
struct json *record_to_json(const struct record *record);
/**
 * The record of such an object, which stays the caller's.
 *
 * The object comes from a file that only root can write; still, names of fields are checked, and
 * SNAP_FAILED is returned for what record_to_json() would not have written.
 */
struct snap_error *record_from_json(const struct json *json, struct record **ret) _must_check_;

/**
 * Starts a child that sends @record and exits; @ret pins it and is owned by the caller.
 *
 * sd_journal_sendv() waits for as long as journald does not read (it may be stopped), and changing
 * the user id cannot be undone; neither may happen to the daemon. The daemon watches the pidfd, and
 * calls record_reap() when it is readable, or after its own deadline. No threads may run.
 */
struct snap_error *record_start_sending(const struct record *record, struct pidref *ret)
	_must_check_;
/**
 * Takes the end of a child of record_start_sending(), which it kills if it has not ended, and
 * closes @child. NULL: journald has the entry. Else keep the record and try again later.
 */
struct snap_error *record_reap(struct pidref *child) _must_check_;
/// Both, waiting at most @timeout_ns.
struct snap_error *record_send(const struct record *record, uint64_t timeout_ns) _must_check_;
