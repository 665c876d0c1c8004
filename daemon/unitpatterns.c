// SPDX-License-Identifier: LGPL-2.1-or-later
#include "unitpatterns.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "daemon/crashrule.h"

/// What units may be called (systemd.unit(5)), and the two that mean others.
static bool is_pattern(const char *text)
{
	return snap_is_printable(text) && !strpbrk(text, "/\"'%[]{}");
}

static int add_one(struct unitpatterns *patterns, const char *text)
{
	_cleanup_free_ char *pattern = NULL;
	if (!is_pattern(text))
		return -EINVAL;
	if (strlen(text) > UNITPATTERN_MAX || patterns->n >= UNITPATTERNS_MAX)
		return -ERANGE;
	if (asprintf(&pattern, "%s%s", text, strchr(text, '.') ? "" : ".service") < 0) {
		pattern = NULL;
		return -ENOMEM;
	}
	char **more = reallocarray(patterns->list, patterns->n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	patterns->list = more;
	patterns->list[patterns->n++] = TAKE_PTR(pattern);
	return 0;
}

int unitpatterns_add(struct unitpatterns *patterns, const char *text)
{
	_cleanup_free_ char *copy = strdup(text);
	char *save;
	int r = copy ? 0 : -ENOMEM;
	for (char *word = copy ? strtok_r(copy, " \t", &save) : NULL; word && r == 0;
	     word = strtok_r(NULL, " \t", &save))
		r = add_one(patterns, word);
	return r;
}

const char *unitpatterns_find(const struct unitpatterns *patterns, const char *unit)
{
	for (size_t i = 0; i < patterns->n; i++)
		if (crashrule_fits(patterns->list[i], unit))
			return patterns->list[i];
	return NULL;
}

void unitpatterns_deinit(struct unitpatterns *patterns)
{
	for (size_t i = 0; i < patterns->n; i++)
		free(patterns->list[i]);
	free(patterns->list);
	*patterns = (struct unitpatterns){ 0 };
}
