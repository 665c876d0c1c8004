/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "elf.h"

/**
 * DOC: Links to files with debugging information
 *
 * A stripped program may name the file that has what was taken from it, in a section
 * .gnu_debuglink: a name without folders, and the CRC of that whole file. Where to look for it is
 * gdb's convention ("Debugging Information in Separate Files" in its manual): beside the program,
 * in .debug there, and in the program's folder below /usr/lib/debug.
 */
struct debuglink {
	char name[256]; ///< NAME_MAX and a NUL
	uint32_t crc;
};

enum { DEBUGLINK_PLACES = 5 };

/// Reads the link of a program; false when it has none, or none that could be a file's name.
bool debuglink_read(const struct elf_file *elf, struct debuglink *ret);
/**
 * Where the file may be, in the order in which to look: number @i of DEBUGLINK_PLACES, for a
 * program called @program. Those that begin with "./" are meant from where the program itself is.
 *
 * Returns a text that the caller owns, NULL when there is no such place for it.
 */
char *debuglink_place(const struct debuglink *link, const char *program, size_t i);
/// Is this the file that is meant? Reads all of it, unless it is larger than any such file.
bool debuglink_fits(const struct debuglink *link, struct source *source);
