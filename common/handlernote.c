// SPDX-License-Identifier: LGPL-2.1-or-later
#include "handlernote.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "str.h"

void handler_notes_deinit(struct handler_notes *notes)
{
	for (size_t i = 0; i < notes->n; i++)
		free(notes->lines[i]);
	notes->n = 0;
}

void handler_note(struct handler_notes *notes, const char *fmt, ...)
{
	va_list ap;
	char *line;
	va_start(ap, fmt);
	int n = vasprintf(&line, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	char *safe = snap_is_printable(line) ? NULL : snap_escape(line, (size_t)n);
	if (safe) {
		free(line);
		line = safe;
	}
	if (notes->n < ARRAY_SIZE(notes->lines))
		notes->lines[notes->n++] = line;
	else
		free(line);
}

bool handler_points_to_nothing(const char *root, const char *pattern)
{
	_cleanup_free_ char *target = corepattern_target(pattern);
	if (!target)
		return false;
	return *pattern == '@' ? !sysctl_is_listening(root, target) : access(target, X_OK) < 0;
}
