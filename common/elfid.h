/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "elfnote.h"

/**
 * DOC: What an ELF file calls itself
 *
 * For files that are kept because a core was made of a process that had them mapped: the build ID,
 * by which debuggers look for them, and the name that the dynamic linker knows a library by, which
 * is how debuggers ask for it. Little-endian files of 32 and 64 bits.
 *
 * Whoever wrote the file chose all of it, and may have given it the build ID of another one: it
 * tells under which name the file is looked for, never that it is what it says. Any process may
 * call this; nothing is mapped, so a file that is cut meanwhile is an error.
 */

enum {
	ELFID_NAME_MAX = 255, ///< NAME_MAX
};

struct elfid {
	struct elf_build_id build_id; ///< as elf_build_id() of analyzer/elf.h finds it
	/// DT_SONAME, if it could be the name of a file: printable, without a slash; else "".
	char soname[ELFID_NAME_MAX + 1];
};

/// Does it begin as ELF files do? A negative errno, 0 or 1.
int elfid_is_elf(int fd);
/// -EBADMSG when it is no such file; what is damaged in one is left out.
int elfid_read(int fd, struct elfid *ret);
