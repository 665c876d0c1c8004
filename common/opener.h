/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

/**
 * DOC: Opening files for the analyzer
 *
 * The analyzer asks for programs by the names that a core gives, which may be a lie: only regular
 * files are opened, with the rights of whoever called, and nothing of them but what the analysis
 * says of them is ever shown. The analyzer itself checks that it is the right file.
 */
struct opener {
	const char *exe; ///< file that the user named as the program, or NULL
	/// Folder with those that were kept with the core (common/binaries.h), or NULL. They are
	/// looked for first: what is elsewhere may be another one by now.
	const char *binaries;
	int piddir; ///< /proc/PID of the process whose files are meant; negative: those of ours
	/// Names come from whoever crashed, and we must not be kept waiting (wary.h).
	bool wary;
};

/// Returns a descriptor, or a negative errno. @build_id is in hexadecimal, or NULL. Of a program, a
/// @name that begins with "./" is that of a file beside the one that the user named, if he did.
int opener_open(const struct opener *opener, const char *name, const char *build_id,
		bool is_program);
