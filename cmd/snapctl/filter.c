// SPDX-License-Identifier: LGPL-2.1-or-later
#include "filter.h"

#include <fnmatch.h>
#include <pwd.h>
#include <string.h>

#include "common/str.h"

static bool parse_user(const char *text, uint64_t *ret)
{
	const struct passwd *user;
	if (snap_parse_u64(text, ret) == 0 && *ret < UINT32_MAX)
		return true;
	user = getpwnam(text);
	if (user)
		*ret = user->pw_uid;
	return user;
}

const char *filter_apply(struct filter *filter, const struct option_use *use)
{
	filter->texts[use->row] = use->arg;
	if (use->row == FILTER_PID && (snap_parse_u64(use->arg, &filter->pid) < 0 || !filter->pid))
		return "is not a process id";
	if (use->row == FILTER_UID && !parse_user(use->arg, &filter->uid))
		return "is not a user";
	return NULL;
}

static bool matches_text(const char *pattern, const struct json *entry, const char *key)
{
	const char *text = json_get_text(entry, key);
	return !pattern || (text && fnmatch(pattern, text, 0) == 0);
}

bool filter_matches(const struct filter *filter, const struct json *entry)
{
	const char *const *texts = filter->texts;
	return (!texts[FILTER_PID] || json_get_u64(entry, "pid", 0) == filter->pid) &&
	       (!texts[FILTER_UID] || json_get_u64(entry, "uid", UINT64_MAX) == filter->uid) &&
	       matches_text(texts[FILTER_COMM], entry, "comm") &&
	       matches_text(texts[FILTER_EXE], entry, "exe") &&
	       matches_text(texts[FILTER_UNIT], entry, "unit") &&
	       matches_text(texts[FILTER_KIND], entry, "kind");
}
