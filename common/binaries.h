/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "digest.h"

/**
 * DOC: Programs and libraries that are kept with crashes
 *
 * When a container is gone, so are the files without which its cores cannot be read. If it is so
 * configured (CaptureBinaries=), the hook keeps the ELF files that the process had mapped to be
 * executed (cmd/corehook/binaries.h), and the store has them from then on (daemon/binaries.h):
 *
 *   STORE/binaries/by-hash/SHA256       each content once, whoever had it; root's alone
 *   STORE/binaries/ID/                  of the dump with this id, for those who may read that:
 *     .build-id/xx/yyyy...              as debuggers look for them
 *     other/SHA256-OF-NAME              what has no build ID, or one that another file of the same
 *                                       process has too, by the name that the core has for it
 *     list                              JSON: {"files": [...]}, see below
 *
 * All but the list are hard links to the contents, so the file system counts how many dumps have
 * one. There is no folder for all dumps together, and contents are told apart by a hash, since
 * anybody can write a file with the build ID of libc: what a process had mapped is only ever found
 * by those who look at that process.
 *
 * Each of the files: {"name", "program", "build_id", "soname", "bytes", "hash", "name_hash",
 * "file"}; "name" is the core's, escaped; "build_id" and "soname" are missing when there are none;
 * "file" says where it is in the folder. What was not kept has "name", "program" and "why" instead.
 */

#define BINARIES_FOLDER "binaries"
#define BINARIES_CONTENTS "by-hash"
#define BINARIES_LIST "list"
/// In STORE/crash, for the hook, which does not read the configuration and may find no daemon:
/// "containers" or "yes". Missing: nothing is kept.
#define BINARIES_WANTED "capture"

enum {
	/// Browsers and desktops map some two hundred.
	BINARIES_FILES_MAX = 256,
	/// That many with names of 1 KiB.
	BINARIES_LIST_MAX = 2 << 20,
	BINARIES_NAME_MAX = 1024,
	/// ".build-id/xx/" and the longest build ID; NUL included.
	BINARIES_PLACE_SIZE = 160,
};

/// Where in the folder of a dump a file with @build_id is, hexadecimal; -EINVAL when it is no
/// build ID. Any process, as all of these.
int binaries_place_by_id(const char *build_id, char ret[static BINARIES_PLACE_SIZE]);
/// The same of one called so that the name has this hash.
void binaries_place_by_name(const char *name_hash, char ret[static BINARIES_PLACE_SIZE]);
/// Opens what @folder, that of a dump, has for @build_id (NULL: not known), or else for the @name
/// in the core; -errno.
int binaries_open_file(const char *folder, const char *name, const char *build_id);
