/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdio.h>

/**
 * DOC: Option tables
 *
 * Each verb has one table. The parser and --help are made from it; the manual and the completions
 * are compared with --help by a test, so that none of them can say something else.
 */

struct option_row {
	const char *name; ///< long name without dashes
	char letter; ///< short name, or 0
	const char *arg; ///< how --help names the argument; NULL: takes none; "[X]": optional
	const char *help; ///< one or more lines, without indentation; NULL: only tests use it
};

/// One more use of an option, or what stands behind the options.
struct option_use {
	int row; ///< index into the table
	const char *arg; ///< NULL when there is none
};

struct option_parser {
	const struct option_row *rows;
	size_t n_rows;
	int argc;
	char **argv;
	const char *prefix; ///< of error messages: "snapctl dump"
	int first; ///< after the end: index of the first argument that is no option
	void *state; ///< private
};

/// Prepares to parse @argv from index 1 on.
void options_begin(struct option_parser *parser);
/// Returns 1 and the next option, 0 at the end, -1 after an error that was told on stderr.
int options_next(struct option_parser *parser, struct option_use *ret);
/// Prints the table to @out as --help does, within 80 columns.
void options_print(const struct option_row *rows, size_t n_rows, FILE *out);
