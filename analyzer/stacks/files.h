/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

/**
 * DOC: The files of libdw
 *
 * libdw opens files by name in places for which it has no callback: those in the list of the
 * dynamic linker, those in NT_FILE, and links from one debug file to another. In the sandbox there
 * are none. So this program has functions called "open" and "open64", which libdw finds before
 * those of libc: they ask whoever started us (common/analyst.h), and the answers of libdw are those
 * that it gives outside. On its own it would miss the files, and call modules by other names.
 *
 * Nothing is ever opened for writing. Before files_ask() was called, files are opened as usual.
 */

/// From here on it is asked. @program is the name of the program that the core is of, or NULL;
/// borrowed.
void files_ask(const char *program);
/// Asks for a file; @build_id is in hexadecimal, or NULL. A descriptor of the caller's, or a
/// negative errno.
int files_open(const char *name, const char *build_id);
