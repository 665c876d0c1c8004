/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "runtime.h"

/**
 * DOC: What a program does when it dies
 *
 * runtime.traceback_cache is the word that GOTRACEBACK sets: bit 0 for a core, bit 1 for the stacks
 * of all goroutines, above them how much of each is printed. Somebody is about to write to it in a
 * process that runs, so it is not looked for but proven:
 *
 * - runtime/debug.SetTraceback stores into one word and no other;
 * - the functions that decide about a core read that word: runtime.gotraceback, or, as it is
 *   inlined unless optimising was turned off, runtime.dopanic_m (panics and fatal errors) and
 *   runtime.sighandler (signals);
 * - the word is in the data of the runtime's module, in memory that can be written to, and aligned;
 * - where there are symbols, they say the same;
 * - its value is one that the runtime could have put there, with all bits of
 *   runtime.traceback_env, which the runtime always adds.
 *
 * That this is how it is was looked up in each version from 1.13 on (src/runtime/runtime1.go).
 */

enum { GO_TRACEBACK_MINOR_MIN = 13 };

struct go_traceback {
	uint64_t addr; ///< of runtime.traceback_cache
	uint32_t value;
	bool has_symbol; ///< the program's symbols say so too
};

/// Finds it; else @ret_why is why it cannot be told, a text that completes "because".
bool go_traceback_find(struct go_runtime *rt, struct go_traceback *ret, const char **ret_why);
