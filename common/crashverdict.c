// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crashverdict.h"

void crashverdict_copy(const struct json *from, struct json *to)
{
	static const char *const keys[] = { "decided", "action", "reason", "suppressed" };
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (json_get(from, keys[i]))
			json_set_shared(to, keys[i], json_get(from, keys[i]));
}
