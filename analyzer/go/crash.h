/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "goroutines.h"
#include "values.h"

/**
 * DOC: Why a Go program died
 *
 * From a core that a crash left (GOTRACEBACK=crash, or a signal that Go does not handle): the
 * goroutine that did it, its panics with their values, the signal, and the text of a fatal error.
 * The runtime turns errors into strings before it prints them, so their messages are in memory as
 * text.
 */

enum { GO_PANICS_MAX = 64 };

struct go_panic {
	char *type, *value; ///< owned by the crash; type is NULL when unknown
	bool recovered, repanicked, goexit; ///< repanicked: with the same value, by the next one
};

struct go_crash {
	uint64_t goroutine; ///< address of its g; 0 when none runs, as in a deadlock
	uint64_t thread; ///< address of the M that did it, or 0
	struct go_panic panics[GO_PANICS_MAX]; ///< the first one first
	size_t n_panics;
	char *fatal; ///< text after "fatal error: ", NULL when there is none
	char *before; ///< what the runtime said right before that, lines, or NULL
	// The signal that became a panic or ended the program; 0 for none.
	uint32_t signal;
	uint64_t signal_code, signal_addr, signal_pc;
};

/// Looks whether the program was dying; false when it was not.
bool go_crash_read(struct go_goroutines *gs, struct go_crash *ret);
void go_crash_deinit(struct go_crash *crash);
/// "SIGSEGV: segmentation violation"; NULL for a signal without a name.
const char *go_signal_text(uint32_t signal);
