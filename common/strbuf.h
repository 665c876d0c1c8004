/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"

/**
 * DOC: Growing byte buffer
 *
 * `data[len]` is always a NUL once anything was reserved or added. All functions return 0 or
 * -ENOMEM, and leave the buffer as it was when they fail.
 */
struct strbuf {
	char *data;
	size_t len, size;
};

/// Makes room for @extra more bytes, so that adding them cannot fail or allocate.
int strbuf_reserve(struct strbuf *buf, size_t extra);
int strbuf_add(struct strbuf *buf, const void *data, size_t len);
int strbuf_addf(struct strbuf *buf, const char *fmt, ...) _printf_(2, 3);
/// Adds zero bytes until len is a multiple of @align.
int strbuf_align(struct strbuf *buf, size_t align);
void strbuf_deinit(struct strbuf *buf);
#define _cleanup_strbuf_ _cleanup_(strbuf_deinit)
