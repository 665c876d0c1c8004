// SPDX-License-Identifier: LGPL-2.1-or-later
#include "common/str.h"
#include "fuzz.h"

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *p = c ? strchr(digits, c) : NULL;
	return p ? (int)(p - digits) : -1;
}

/// Only printable characters come out, and what went in can be had back from them.
static void check_escape(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *out = snap_escape((const char *)data, size);
	REQUIRE(out);
	size_t n = 0;
	for (const char *p = out; *p;) {
		const char *from = p;
		if (*p == '\\') {
			REQUIRE(p[1] == 'x' && hex_digit(p[2]) >= 0 && hex_digit(p[3]) >= 0);
			REQUIRE(n < size);
			REQUIRE(data[n++] == hex_digit(p[2]) * 16 + hex_digit(p[3]));
			p += 4;
			continue;
		}
		int32_t c = fuzz_code_point(&p);
		REQUIRE((c >= 0x20 && c < 0x7f) || c >= 0xa0);
		size_t len = (size_t)(p - from);
		REQUIRE(len <= size - n && !memcmp(data + n, from, len));
		n += len;
	}
	REQUIRE(n == size);
	_cleanup_free_ char *twice = snap_escape(out, strlen(out));
	REQUIRE(twice && (strchr(out, '\\') || !strcmp(out, twice)));
}

static void check_formats(uint64_t v)
{
	char a[16], b[16];
	memset(a, 'x', sizeof(a));
	memset(b, 'x', sizeof(b));
	REQUIRE(snap_format_bytes(v, a) == a && memchr(a, '\0', sizeof(a)));
	REQUIRE(snap_format_ns(v, b) == b && memchr(b, '\0', sizeof(b)));
	REQUIRE(a[strlen(a) - 1] == 'B');
	REQUIRE(b[strlen(b) - 1] == 's');
}

static void check_numbers(const char *text)
{
	char buf[32];
	int64_t i = 4711, i2;
	uint64_t u = 4711, u2;
	int r = snap_parse_i64(text, &i);
	REQUIRE(r == 0 || ((r == -EINVAL || r == -ERANGE) && i == 4711));
	if (r == 0) {
		(void)snprintf(buf, sizeof(buf), " %lld \n7", (long long)i);
		REQUIRE(snap_parse_i64(buf, &i2) == 0 && i2 == i);
	}
	r = snap_parse_u64(text, &u);
	REQUIRE(r == 0 || ((r == -EINVAL || r == -ERANGE) && u == 4711));
	if (r == 0) {
		(void)snprintf(buf, sizeof(buf), "0x%llx", (unsigned long long)u);
		REQUIRE(snap_parse_u64(buf, &u2) == 0 && u2 == u);
		check_formats(u);
	}
}

static void check_duration(const char *text)
{
	uint64_t ns = 4711;
	int r = snap_parse_duration_ns(text, &ns);
	if (r < 0) {
		REQUIRE((r == -EINVAL || r == -ERANGE) && ns == 4711);
		return;
	}
	REQUIRE(r == 0 && ns <= 1000000000000000000);
	REQUIRE((*text >= '0' && *text <= '9') || *text == '.');
	// A number of whole nanoseconds is taken as it is.
	char buf[32];
	uint64_t again;
	(void)snprintf(buf, sizeof(buf), "%lluns", (unsigned long long)(ns & 0xfffffffffffff));
	REQUIRE(snap_parse_duration_ns(buf, &again) == 0 && again == (ns & 0xfffffffffffff));
	check_formats(ns);
}

static void check_line_value(const char *text)
{
	static const char key[] = "Key:";
	const char *value = snap_line_value(text, key);
	if (!value)
		return;
	REQUIRE(value >= text + sizeof(key) - 1 && value <= text + strlen(text));
	REQUIRE(*value != ' ' && *value != '\t');
	const char *p = value;
	while (p[-1] == ' ' || p[-1] == '\t')
		p--;
	p -= sizeof(key) - 1;
	REQUIRE(p >= text && !strncmp(p, key, sizeof(key) - 1));
	REQUIRE(p == text || p[-1] == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);
	_cleanup_free_ uint8_t *bytes = malloc(size ? size : 1);
	REQUIRE(bytes);
	if (size)
		memcpy(bytes, data, size);
	check_escape(bytes, size);
	check_numbers(text);
	check_duration(text);
	check_line_value(text);
	uint64_t v = 0;
	if (size)
		memcpy(&v, data, MIN(size, sizeof(v)));
	check_formats(v);
	return 0;
}
