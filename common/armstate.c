// SPDX-License-Identifier: LGPL-2.1-or-later
#include "armstate.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "corelimit.h"
#include "corepattern.h"
#include "fd.h"
#include "sysctl.h"

static const struct {
	const char *name, *text;
} states[ARMSTATE_MAX] = {
	[ARMSTATE_CAN_BE_ARMED] = { "can-be-armed", "can be armed; nothing was changed" },
	[ARMSTATE_ARMED] = { "armed", "is armed: it dumps core at its next panic or fatal signal" },
	[ARMSTATE_ALREADY] = { "already-armed", "is armed already" },
	[ARMSTATE_ALWAYS] = { "always", "dumps core anyway, by GOTRACEBACK or its own code; "
					"nothing was changed" },
	[ARMSTATE_DISARMED] = { "disarmed", "is not armed any more, and is as it was before" },
	[ARMSTATE_CHANGED] = { "changed", "has set the word itself since it was armed, and was "
					  "left as it is" },
	[ARMSTATE_OTHER_PROGRAM] = { "other-program", "runs another program since it was armed, "
						      "which is not armed" },
	[ARMSTATE_SKIPPED] = { "skipped", "is no Go program, and was left alone" },
	[ARMSTATE_NOT_ARMED] = { "not-armed", "was not armed" },
	[ARMSTATE_REFUSED] = { "refused", "was left alone" },
};

const char *armstate_name(enum armstate state)
{
	return state < ARMSTATE_MAX ? states[state].name : "unknown";
}

const char *armstate_text(enum armstate state)
{
	return state < ARMSTATE_MAX ? states[state].text : "?";
}

enum armstate armstate_from_name(const char *name)
{
	unsigned int i = 0;
	while (name && i < ARMSTATE_MAX && strcmp(states[i].name, name) != 0)
		i++;
	return name ? (enum armstate)i : ARMSTATE_MAX;
}

// ---- what it is ----------------------------------------------------------------------------

static uint32_t word_of(const struct json *json, const char *key)
{
	return (uint32_t)json_get_u64(json, key, 0);
}

static bool same_text(const struct json *a, const struct json *b, const char *key)
{
	const char *x = json_get_text(a, key), *y = json_get_text(b, key);
	return x && y && !strcmp(x, y);
}

/// Is what was found the program that @record is about?
static bool same_program(const struct json *record, const struct json *found)
{
	return same_text(record, found, "program") && same_text(record, found, "address");
}

enum armstate armstate_before(const struct json *record, const struct json *found)
{
	if (json_get(found, "refused"))
		return json_get_bool(found, "go", false) ? ARMSTATE_REFUSED : ARMSTATE_SKIPPED;
	uint32_t value = word_of(found, "value");
	if (record && same_program(record, found) && word_of(record, "value") == value)
		return ARMSTATE_ALREADY;
	return value & JOB_ARM_CRASH ? ARMSTATE_ALWAYS : ARMSTATE_ARMED;
}

enum armstate armstate_since(const struct json *record, const struct json *found)
{
	if (!same_program(record, found))
		return ARMSTATE_OTHER_PROGRAM;
	if (word_of(found, "value") == word_of(record, "value"))
		return ARMSTATE_ARMED;
	// A worker that was killed before it wrote.
	return word_of(found, "value") == word_of(record, "before") ? ARMSTATE_DISARMED :
								      ARMSTATE_CHANGED;
}

struct snap_error *armstate_refusal(const struct json *found, pid_t pid)
{
	const char *refused = json_get_text(found, "refused");
	return snap_error_new(SNAP_FAILED, "process %d was left alone because %s", pid,
			      refused ? refused : "nobody knows what it is");
}

// ---- what to do ----------------------------------------------------------------------------

struct json *armstate_record(const struct json *found)
{
	static const char *const texts[] = { "comm", "version", "program", "address" };
	struct json *record = json_new_object();
	uint32_t before = word_of(found, "value");
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		json_set_text(record, texts[i], json_get_text(found, texts[i]));
	json_set_u64(record, "before", before);
	json_set_u64(record, "value", before | JOB_ARM_BITS);
	return record;
}

static struct json *exchange(uint32_t expect, uint32_t value)
{
	struct json *arm = json_new_object();
	json_set_u64(arm, "expect", expect);
	json_set_u64(arm, "value", value);
	return arm;
}

struct json *armstate_to_arm(const struct json *found)
{
	uint32_t before = word_of(found, "value");
	return exchange(before, before | JOB_ARM_BITS);
}

struct json *armstate_to_disarm(const struct json *record)
{
	return exchange(word_of(record, "value"), word_of(record, "before"));
}

// ---- will there be a core? -----------------------------------------------------------------

#define RAISE "prlimit(1), or LimitCORE= of its service, can raise it"

/// Its limit on cores counts in other ways for each who takes them.
static void warn_of_limit(uint64_t limit, const char *pattern, struct json *warnings)
{
	_cleanup_free_ char *text = NULL;
	bool handler = *pattern == '|' || *pattern == '@', ours = corepattern_is_ours(pattern);
	const char *what = NULL;
	if (limit == UINT64_MAX)
		return;
	if (limit == 1 && *pattern == '|')
		what = "with which the kernel calls no handler";
	else if (ours && !corelimit_allows(limit))
		what = "and procsnap goes by it: there will be a record of the crash and no core";
	else if (ours)
		what = "and procsnap goes by it: what does not fit is missing in the core";
	else if (handler)
		what = "which the handler in kernel.core_pattern may go by";
	else if (limit < CORELIMIT_PAGE)
		what = "so the kernel writes none";
	else
		what = "which may cut the core short";
	if (asprintf(&text, "its limit on cores (RLIMIT_CORE) is %" PRIu64 ", %s; " RAISE, limit,
		     what) < 0)
		text = NULL;
	json_add_message(warnings, text);
}

void armstate_warn(const struct json *found, struct json *warnings)
{
	_cleanup_free_ char *pattern = NULL;
	struct snap_error *err = sysctl_read("", SYSCTL_CORE_PATTERN, &pattern);
	warn_of_limit(json_get_u64(found, "core_limit", UINT64_MAX), pattern ? pattern : "",
		      warnings);
	if (!json_get_bool(found, "plain", true))
		json_add_message(warnings, "it is not dumpable, so that the kernel may write no "
					   "core (fs.suid_dumpable)");
	snap_error_destroy(err);
}
