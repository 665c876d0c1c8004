/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/binaries.h"
#include "take.h"

/**
 * DOC: Keeping the programs and libraries of a crash
 *
 * As long as the process is there, /proc/PID/map_files leads to the very files that it has mapped,
 * in whatever mount namespace, under whatever name, deleted or not; no path that somebody chose is
 * looked up. They are opened then, which takes microseconds, and copied when the process has been
 * let go: descriptors stay good without it.
 *
 * The copies go to the folder of the crash, FOLDER/binaries: files 0, 1, ..., and a list of them
 * (common/binaries.h) at the end; the daemon takes them from there. What the store has already is
 * not copied but linked; a hash of what is read tells.
 *
 * Behind any of these files may stand somebody who does not answer (FUSE, a server that is down),
 * so others open and read them (patience.h). Nothing of them is interpreted but what they call
 * themselves (common/elfid.h), and that is read from the copy.
 */
struct binaries;

/**
 * Opens them, if that is configured, and if with "containers" the root folder of the process is not
 * ours. The process is held. NULL when there is nothing to keep; else owned by the caller.
 */
struct binaries *binaries_open(const struct hook *hook);
/// Copies them into the folder of the crash. The process may be gone. Takes @binaries.
void binaries_keep(struct binaries *binaries, const struct folder *folder);
