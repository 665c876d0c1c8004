/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Verbs of snapctl
 *
 * A verb gets its arguments with its own name at index 0 and returns the exit status, one of
 * enum snap_code. It has said why on stderr when that is not 0.
 */

int verb_dump(int argc, char *argv[]);
int verb_gcore(int argc, char *argv[]);
int verb_goroutines(int argc, char *argv[]);
int verb_info(int argc, char *argv[]);

/// Prints "PREFIX: message" on stderr; what is not fit for a terminal is escaped.
void print_message(const char *prefix, const char *message);
