// SPDX-License-Identifier: LGPL-2.1-or-later
#include "str.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

static bool at_end(const char *s)
{
	while (*s == ' ' || *s == '\t')
		s++;
	return !*s || *s == '\n';
}

int snap_parse_i64(const char *s, int64_t *ret)
{
	while (*s == ' ' || *s == '\t')
		s++;
	if (!isdigit((unsigned char)*s) && *s != '-')
		return -EINVAL;
	errno = 0;
	char *end;
	long long v = strtoll(s, &end, 10);
	if (errno)
		return -errno;
	if (end == s || !at_end(end))
		return -EINVAL;
	*ret = v;
	return 0;
}

int snap_parse_u64(const char *s, uint64_t *ret)
{
	while (*s == ' ' || *s == '\t')
		s++;
	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	bool hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
	errno = 0;
	char *end;
	unsigned long long v = strtoull(s, &end, hex ? 16 : 10);
	if (errno)
		return -errno;
	if (end == s || !at_end(end))
		return -EINVAL;
	*ret = v;
	return 0;
}

int snap_parse_duration_ns(const char *s, uint64_t *ret)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = { { "ns", 1 },  { "us", 1e3 },  { "ms", 1e6 },
		      { "s", 1e9 }, { "m", 60e9 }, { "", 1e9 } };

	if (!isdigit((unsigned char)*s) && *s != '.')
		return -EINVAL;
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		return -EINVAL;
	errno = 0;
	char *end;
	double v = strtod(s, &end);
	if (errno || end == s || !isfinite(v) || v < 0)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(end, units[i].unit) != 0)
			continue;
		double ns = v * units[i].ns;
		if (ns > 1e18) // about 31 years; keeps sums of times far from overflow
			return -ERANGE;
		*ret = (uint64_t)ns;
		return 0;
	}
	return -EINVAL;
}

const char *snap_line_value(const char *text, const char *key)
{
	size_t len = strlen(key);
	for (const char *p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		if (strncmp(p, key, len) != 0)
			continue;
		p += len;
		while (*p == ' ' || *p == '\t')
			p++;
		return p;
	}
	return NULL;
}

int snap_take_u64(const char **p, uint64_t *ret)
{
	char digits[24];
	const char *s = *p + strspn(*p, " \t");
	size_t len = strspn(s, "0123456789");
	if (len >= sizeof(digits))
		return -ERANGE;
	memcpy(digits, s, len);
	digits[len] = '\0';
	int r = snap_parse_u64(digits, ret);
	if (r == 0)
		*p = s + len;
	return r;
}

int snap_line_u64(const char *text, const char *key, uint64_t *ret)
{
	const char *value = snap_line_value(text, key);
	return value ? snap_take_u64(&value, ret) : -ENOENT;
}

int snap_line_kib(const char *text, const char *key, uint64_t *ret_bytes)
{
	uint64_t kib = 0;
	int r = snap_line_u64(text, key, &kib);
	if (r == 0 && kib > UINT64_MAX / 1024)
		r = -ERANGE;
	if (r == 0)
		*ret_bytes = kib * 1024;
	return r;
}

/// Length of the well-formed UTF-8 sequence at @s, 0 when there is none.
static size_t utf8_len(const unsigned char *s, size_t left)
{
	size_t len = s[0] < 0x80		  ? 1 :
		     s[0] >= 0xc2 && s[0] < 0xe0 ? 2 :
		     s[0] >= 0xe0 && s[0] < 0xf0 ? 3 :
		     s[0] >= 0xf0 && s[0] < 0xf5 ? 4 :
						   0;
	if (!len || len > left)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	// Overlong forms, surrogates and beyond U+10FFFF.
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90))
		return 0;
	return len;
}

/// The same, but 0 for control characters too: C0, DEL and C1, all of which move terminals.
static size_t printable_len(const char *s, size_t left)
{
	const unsigned char *u = (const unsigned char *)s;
	if (u[0] < 0x20 || u[0] == 0x7f || (u[0] == 0xc2 && left > 1 && u[1] < 0xa0))
		return 0;
	return utf8_len(u, left);
}

bool snap_is_utf8(const char *s, size_t len)
{
	while (len) {
		size_t n = utf8_len((const unsigned char *)s, len);
		if (!n)
			return false;
		s += n;
		len -= n;
	}
	return true;
}

char *snap_escape(const char *s, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	size_t size;
	if (__builtin_mul_overflow(len, (size_t)4, &size) || size == SIZE_MAX)
		return NULL;
	char *out = malloc(size + 1);
	if (!out)
		return NULL;
	char *q = out;
	for (size_t i = 0; i < len;) {
		unsigned char c = (unsigned char)s[i];
		size_t n = printable_len(s + i, len - i);
		if (!n || c == '\\') {
			*q++ = '\\';
			*q++ = 'x';
			*q++ = hex[c >> 4];
			*q++ = hex[c & 15];
			i++;
			continue;
		}
		memcpy(q, s + i, n);
		q += n;
		i += n;
	}
	*q = '\0';
	return out;
}

bool snap_is_printable(const char *s)
{
	for (size_t len = strlen(s); len;) {
		size_t n = printable_len(s, len);
		if (!n)
			return false;
		s += n;
		len -= n;
	}
	return true;
}

const char *snap_format_bytes(uint64_t bytes, char buf[static 16])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)bytes;
	size_t i = 0;
	while (v >= 1023.95 && i + 1 < ARRAY_SIZE(units)) {
		v /= 1024;
		i++;
	}
	(void)snprintf(buf, 16, i ? "%.1f %s" : "%.0f %s", v, units[i]);
	return buf;
}

const char *snap_format_ns(uint64_t ns, char buf[static 16])
{
	if (ns > 1000000000000000000) // would not fit with decimals
		(void)snprintf(buf, 16, "%.0f s", (double)ns / 1e9);
	else if (ns >= 1000000000)
		(void)snprintf(buf, 16, "%.2f s", (double)ns / 1e9);
	else if (ns >= 1000000)
		(void)snprintf(buf, 16, "%.2f ms", (double)ns / 1e6);
	else
		(void)snprintf(buf, 16, "%.0f us", (double)ns / 1e3);
	return buf;
}

/// How many significant digits it takes for @value to read back as it is.
static int shortest_digits(double value, bool single)
{
	char text[32];
	int max = single ? 9 : 17;
	for (int digits = 1; digits < max; digits++) {
		(void)snprintf(text, sizeof(text), "%.*e", digits - 1, value);
		if (single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value)
			return digits;
	}
	return max;
}

void snap_format_double(double value, bool single, char buf[static 32])
{
	enum { EXPONENT_MIN = -4, EXPONENT_MAX = 6 }; // beyond these with an exponent, as printf %g
	int digits = shortest_digits(value, single);
	(void)snprintf(buf, 32, "%.*e", digits - 1, value);
	const char *e = strchr(buf, 'e');
	long exponent = e ? strtol(e + 1, NULL, 10) : EXPONENT_MAX;
	int decimals = (int)(digits - 1 > exponent ? digits - 1 - exponent : 0);
	if (exponent >= EXPONENT_MIN && exponent < EXPONENT_MAX)
		(void)snprintf(buf, 32, "%.*f", decimals, value);
}
