// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crashrule.h"

#include <errno.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

static const char *const actions[CRASH_ACTION_MAX] = {
	[CRASH_KEEP] = "keep",
	[CRASH_STACKS] = "stacks",
	[CRASH_NONE] = "none",
};

static const char *const kinds[CRASHRULE_KIND_MAX] = {
	[CRASHRULE_EXE] = "exe:",	[CRASHRULE_COMM] = "comm:", [CRASHRULE_UNIT] = "unit:",
	[CRASHRULE_CGROUP] = "cgroup:", [CRASHRULE_USER] = "user:",
};

const char *crash_action_name(enum crash_action action)
{
	return action < CRASH_ACTION_MAX ? actions[action] : "?";
}

bool crashrule_fits(const char *pattern, const char *text)
{
	// After a star that fits too little, only the last one has to take more: it could take
	// all that those before it could.
	const char *star = NULL, *again = NULL;
	if (!text)
		return false;
	while (*text) {
		if (*pattern == '*') {
			star = pattern++;
			again = text;
		} else if (*pattern == '?' || *pattern == *text) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star + 1;
			text = ++again;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

/// Takes the action off the end of @text; blanks before it, too.
static int take_action(char *text, enum crash_action *ret)
{
	size_t len = strlen(text);
	while (len && text[len - 1] != ' ' && text[len - 1] != '\t')
		len--;
	for (unsigned int i = 0; len && i < CRASH_ACTION_MAX; i++) {
		if (strcmp(text + len, actions[i]) != 0)
			continue;
		while (len && (text[len - 1] == ' ' || text[len - 1] == '\t'))
			text[--len] = '\0';
		*ret = (enum crash_action)i;
		return 0;
	}
	return -EINVAL;
}

static int parse(const char *text, struct crashrule *ret)
{
	_cleanup_free_ char *copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	if (take_action(copy, &ret->action) < 0)
		return -EINVAL;
	for (unsigned int i = 0; i < CRASHRULE_KIND_MAX; i++) {
		size_t len = strlen(kinds[i]);
		if (strncmp(copy, kinds[i], len) != 0)
			continue;
		// It is shown as the reason. What is not UTF-8 in a path is a question mark.
		if (!copy[len] || !snap_is_printable(copy))
			return -EINVAL;
		if (strlen(copy + len) > CRASHRULE_PATTERN_MAX)
			return -ERANGE;
		ret->kind = (enum crashrule_kind)i;
		ret->uid = (uid_t)-1;
		ret->pattern = strdup(copy + len);
		if (asprintf(&ret->text, "%s %s", copy, actions[ret->action]) < 0)
			ret->text = NULL;
		return ret->pattern && ret->text ? 0 : -ENOMEM;
	}
	return -EINVAL;
}

static void rule_deinit(struct crashrule *rule)
{
	free(rule->pattern);
	free(rule->text);
}

int crashrules_add(struct crashrules *rules, const char *text)
{
	struct crashrule rule = { 0 };
	if (rules->n >= CRASHRULES_MAX)
		return -ERANGE;
	int r = parse(text, &rule);
	struct crashrule *more =
		r < 0 ? NULL : reallocarray(rules->list, rules->n + 1, sizeof(*more));
	if (!more) {
		rule_deinit(&rule);
		return r < 0 ? r : -ENOMEM;
	}
	rules->list = more;
	rules->list[rules->n++] = rule;
	return 0;
}

size_t crashrules_resolve(struct crashrules *rules)
{
	size_t unknown = 0;
	for (size_t i = 0; i < rules->n; i++) {
		struct crashrule *rule = &rules->list[i];
		uint64_t uid;
		if (rule->kind != CRASHRULE_USER)
			continue;
		rule->uid = (uid_t)-1;
		if (snap_parse_u64(rule->pattern, &uid) == 0) {
			rule->uid = uid < UINT32_MAX ? (uid_t)uid : (uid_t)-1;
		} else {
			const struct passwd *user = getpwnam(rule->pattern);
			if (user)
				rule->uid = user->pw_uid;
		}
		unknown += rule->uid == (uid_t)-1;
	}
	return unknown;
}

void crashrules_deinit(struct crashrules *rules)
{
	for (size_t i = 0; i < rules->n; i++)
		rule_deinit(&rules->list[i]);
	free(rules->list);
	*rules = (struct crashrules){ 0 };
}
