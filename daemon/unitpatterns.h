/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

/**
 * DOC: Patterns of units
 *
 * "myapp@*.service": Arm= of procsnap.conf(5). * is any number of bytes, ? is one, as in rules
 * about crashes; without a dot a service is meant.
 */
struct unitpatterns {
	char **list;
	size_t n;
};

enum {
	UNITPATTERNS_MAX = 64,
	UNITPATTERN_MAX = 256, ///< bytes; systemd's names of units have as many
};

/// Appends the patterns in @text, which has blanks between them. Returns 0, -EINVAL, -ERANGE (too
/// many, too long) or -ENOMEM; then some of them may have been appended.
int unitpatterns_add(struct unitpatterns *patterns, const char *text);
/// The first that @unit fits, borrowed; NULL: none.
const char *unitpatterns_find(const struct unitpatterns *patterns, const char *unit);
/// A zeroed one is fine, and is left.
void unitpatterns_deinit(struct unitpatterns *patterns);
