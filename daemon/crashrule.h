/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/**
 * DOC: Rules about crashes
 *
 * "KIND:PATTERN ACTION", as in "exe:/usr/bin/foo* stacks": Rule= of procsnap.conf(5). In a pattern
 * * is any number of bytes, also of slashes, and ? is one. What is compared with it the process may
 * have chosen, so comparing takes at most the product of both lengths.
 */

enum crash_action {
	CRASH_KEEP, ///< the whole core
	CRASH_STACKS, ///< stacks and what is needed to read them
	CRASH_NONE, ///< a record only
	CRASH_ACTION_MAX,
};

/// "keep", "stacks", "none", as in files.
const char *crash_action_name(enum crash_action action);

enum crashrule_kind {
	CRASHRULE_EXE,
	CRASHRULE_COMM,
	CRASHRULE_UNIT, ///< of the system, or of the user's manager
	CRASHRULE_CGROUP,
	CRASHRULE_USER, ///< a name or a number; no pattern
	CRASHRULE_KIND_MAX,
};

struct crashrule {
	enum crashrule_kind kind;
	enum crash_action action;
	char *text; ///< the rule, to be shown
	char *pattern;
	uid_t uid; ///< of CRASHRULE_USER; (uid_t)-1: there is no such user
};

/// In the order in which they were written; the first that fits counts.
struct crashrules {
	struct crashrule *list;
	size_t n;
};

enum {
	CRASHRULES_MAX = 256, ///< more than anybody keeps in his head
	CRASHRULE_PATTERN_MAX = 512, ///< several times the length of paths
};

/// Appends what @text says. Returns 0, -EINVAL, -ERANGE (too many, too long) or -ENOMEM. Users with
/// a name are not known before crashrules_resolve().
int crashrules_add(struct crashrules *rules, const char *text);
/// Looks up the users by name, which may take a while: for reading a configuration, not for a
/// crash. Returns how many there are not.
size_t crashrules_resolve(struct crashrules *rules);
/// A zeroed one is fine, and is left.
void crashrules_deinit(struct crashrules *rules);

/// Does all of @text fit @pattern? Accepts NULL for @text, which does not.
bool crashrule_fits(const char *pattern, const char *text);
