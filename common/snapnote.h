/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

/**
 * DOC: The note of procsnap in a core
 *
 * Owner "procsnap", type NT_PROCSNAP_SNAPSHOT, in the byte order of the core, fixed-width in cores
 * of 32-bit processes too; documented for others in procsnap-core(5). Readers use the sizes that
 * the header gives and skip what they do not know; version changes only when that is not enough.
 *
 * The type must not be that of a note of the kernel's: gdb's BFD, delve and others look at types
 * without looking at the owner.
 */

#define SNAPNOTE_OWNER "procsnap"
enum {
	NT_PROCSNAP_SNAPSHOT = 0x534e4150, // "PANS" in memory; no core note type is near it
	NT_PROCSNAP_SUMMARY = 0x534e4151, // JSON: what procsnap-analyze found
	SNAPNOTE_VERSION = 1,
};

enum snapnote_flags {
	SNAPNOTE_PARTIAL = 1U << 0, ///< memory that should be here is missing
	SNAPNOTE_GAPS_CUT = 1U << 1, ///< there are more gaps than are listed
};

/// Why memory inside a dumped segment is not in the core, or not as it was at its instant. Numbers
/// are part of the format.
enum gap_reason {
	GAP_UNREADABLE = 1, ///< the kernel refused to read it
	GAP_GUARD = 2, ///< guard region: there is nothing to read
	GAP_PAST_EOF = 3, ///< behind the end of the mapped file: there is nothing to read
	GAP_NOT_RESIDENT = 4, ///< shared memory, readable only with more privilege
	GAP_ABORTED = 5, ///< the dump ended before it was read
	GAP_LATER = 6, ///< shared memory, read when the process ran again: from after the instant
	GAP_REASON_MAX,
};

struct snapnote_gap {
	uint64_t start, end; ///< addresses, half-open
	uint32_t reason;
	uint32_t reserved;
};

enum snapnote_thread_flags {
	SNAPNOTE_THREAD_PARTIAL = 1U << 0, ///< registers incomplete: it could not be stopped
};

struct snapnote_thread {
	int32_t tid; ///< as procsnap saw it, and says it in messages
	int32_t ns_tid; ///< what gettid() returns in the process; pr_pid of its NT_PRSTATUS
	uint32_t flags;
	uint8_t state; ///< letter of /proc/TID/stat before the freeze
	uint8_t reserved[3];
};

struct snapnote {
	uint32_t version;
	uint32_t header_size; ///< of this struct; the gaps follow it
	uint32_t flags;
	uint32_t gap_size; ///< of one struct snapnote_gap
	uint32_t n_gaps; ///< in the list
	uint32_t thread_size; ///< of one struct snapnote_thread; they follow the gaps
	uint32_t n_threads;
	uint32_t coredump_filter; ///< the mask that was followed
	uint64_t realtime_ns; ///< CLOCK_REALTIME when all threads had stopped
	uint64_t monotonic_ns; ///< CLOCK_MONOTONIC at the same moment
	uint64_t pause_ns; ///< how long the process stood still
	uint64_t gap_bytes; ///< sum over all gaps, listed or not
	char mode[16]; ///< "copy"; NUL-padded
	uint64_t predicted_pause_ns; ///< that was foretold before; 0: nothing was
};

/// header_size of the first ones: without predicted_pause_ns.
enum { SNAPNOTE_HEADER_MIN = 80 };

_Static_assert(sizeof(struct snapnote_gap) == 24, "part of the format");
_Static_assert(sizeof(struct snapnote_thread) == 16, "part of the format");
_Static_assert(sizeof(struct snapnote) == 88, "part of the format");

/// Is memory lost in such a gap, or was there never any?
static inline int gap_reason_loses(enum gap_reason reason)
{
	return reason != GAP_GUARD && reason != GAP_PAST_EOF && reason != GAP_LATER;
}
/// The name of a reason in JSON and in messages; never NULL.
const char *gap_reason_name(uint32_t reason);
