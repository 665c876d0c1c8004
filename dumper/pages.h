/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/fd.h"

/**
 * DOC: Zero pages
 *
 * pages_zero() and pages_data() look at whole pages of @len bytes at @buf, which are page-aligned,
 * and return how many bytes at its start are pages that are all zero, or pages that are not.
 */

enum { SNAP_PAGE = 4096 };

static inline bool page_is_zero(const char *page)
{
	const uint64_t *p = (const uint64_t *)(const void *)page;
	for (size_t i = 0; i < SNAP_PAGE / sizeof(*p); i += 8)
		if (p[i] | p[i + 1] | p[i + 2] | p[i + 3] | p[i + 4] | p[i + 5] | p[i + 6] |
		    p[i + 7])
			return false;
	return true;
}

static inline size_t pages_zero(const char *buf, size_t len)
{
	size_t n = 0;
	while (n < len && page_is_zero(buf + n))
		n += SNAP_PAGE;
	return n;
}

static inline size_t pages_data(const char *buf, size_t len)
{
	size_t n = 0;
	while (n < len && !page_is_zero(buf + n))
		n += SNAP_PAGE;
	return n;
}

/// Writes the pages of @buf that are not zero. Returns 0 or a negative errno.
static inline int pages_write(int fd, const char *buf, size_t len, uint64_t offset)
{
	for (size_t pos = 0; pos < len;) {
		pos += pages_zero(buf + pos, len - pos);
		size_t data = pages_data(buf + pos, len - pos);
		if (data) {
			int r = snap_pwrite_all(fd, buf + pos, data, offset + pos);
			if (r < 0)
				return r;
		}
		pos += data;
	}
	return 0;
}
