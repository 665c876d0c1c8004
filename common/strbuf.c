// SPDX-License-Identifier: LGPL-2.1-or-later
#include "strbuf.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

int strbuf_reserve(struct strbuf *buf, size_t extra)
{
	size_t need;
	if (__builtin_add_overflow(buf->len, extra, &need) ||
	    __builtin_add_overflow(need, 1, &need))
		return -ENOMEM;
	if (need <= buf->size)
		return 0;
	size_t size = MAX(need, buf->size + buf->size / 2);
	size = MAX(size, (size_t)64);
	char *bigger = realloc(buf->data, size);
	if (!bigger)
		return -ENOMEM;
	buf->data = bigger;
	buf->size = size;
	buf->data[buf->len] = '\0';
	return 0;
}

int strbuf_add(struct strbuf *buf, const void *data, size_t len)
{
	int r = strbuf_reserve(buf, len);
	if (r < 0)
		return r;
	if (len)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
	return 0;
}

int strbuf_addf(struct strbuf *buf, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		text = NULL;
		return -ENOMEM;
	}
	return strbuf_add(buf, text, (size_t)n);
}

int strbuf_align(struct strbuf *buf, size_t align)
{
	size_t pad = ALIGN_UP(buf->len, align) - buf->len;
	int r = strbuf_reserve(buf, pad);
	if (r < 0)
		return r;
	if (buf->data)
		memset(buf->data + buf->len, 0, pad + 1);
	buf->len += pad;
	return 0;
}

void strbuf_deinit(struct strbuf *buf)
{
	free(buf->data);
	*buf = (struct strbuf){ 0 };
}
