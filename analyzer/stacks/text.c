// SPDX-License-Identifier: LGPL-2.1-or-later
#include "text.h"

#include <string.h>

#include "common/analysis.h"
#include "common/stacks.h"

// A byte becomes at most four.
enum { TEXT_MAX = STACKS_MAX_TEXT / 4 };

void text_set(struct json *object, const char *key, const char *text)
{
	if (!text || !*text)
		return;
	_cleanup_free_ char *cut = strndup(text, TEXT_MAX);
	if (cut)
		json_set_text(object, key, cut);
	else
		json_set(object, key, NULL); // which says that memory is out
}

void text_set_hex(struct json *object, const char *key, const void *data, size_t len)
{
	if (!len)
		return;
	_cleanup_free_ char *hex = analysis_to_hex(data, len);
	if (hex)
		json_set_message(object, key, hex);
	else
		json_set(object, key, NULL);
}
