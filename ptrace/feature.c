// SPDX-License-Identifier: LGPL-2.1-or-later
#include "feature.h"

#include <stdlib.h>
#include <string.h>

bool feature_masked(const char *feature)
{
	const char *mask = getenv("PROCSNAP_MASK");
	size_t len = strlen(feature);
	for (const char *p = mask; p && *p; p += *p == ',') {
		size_t n = strcspn(p, ",");
		if (n == len && !strncmp(p, feature, len))
			return true;
		p += n;
	}
	return false;
}
