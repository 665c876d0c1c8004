/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/**
 * DOC: Opening files for the analyzer
 *
 * The analyzer asks for programs by the names that a core gives, which may be a lie: only regular
 * files are opened, with the rights of whoever called snapctl, and nothing of them but what the
 * analysis says of them is ever shown.
 */
struct opener {
	const char *exe; ///< file that the user named as the program, or NULL
	const char *root; ///< where the process's files are, "" for here
};

/// Returns a descriptor, or a negative errno. For struct analysis_callbacks.
int opener_open(const struct opener *opener, const char *name, const char *build_id,
		bool is_program);
