// SPDX-License-Identifier: LGPL-2.1-or-later
#include "configvalue.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

static const char digits[] = "0123456789";

int configvalue_bool(const char *s, bool *ret)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = { { "yes", true },	 { "true", true },   { "on", true },   { "1", true },
		      { "no", false }, { "false", false }, { "off", false }, { "0", false } };
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(s, words[i].word)) {
			*ret = words[i].value;
			return 0;
		}
	return -EINVAL;
}

/// Takes the digits at *@p, at most 20.
static int take_number(const char **p, uint64_t *ret)
{
	char text[24];
	size_t len = strspn(*p, digits);
	if (!len)
		return -EINVAL;
	if (len >= sizeof(text))
		return -ERANGE;
	memcpy(text, *p, len);
	text[len] = '\0';
	int r = snap_parse_u64(text, ret);
	if (r == 0)
		*p += len;
	return r;
}

int configvalue_number(const char *s, uint64_t *ret)
{
	uint64_t v;
	int r = take_number(&s, &v);
	if (r < 0)
		return r;
	if (*s)
		return -EINVAL;
	*ret = v;
	return 0;
}

int configvalue_size(const char *s, struct config_size *ret)
{
	static const struct {
		const char *unit;
		unsigned int shift;
	} units[] = { { "", 0 }, { "K", 10 }, { "M", 20 }, { "G", 30 }, { "T", 40 } };
	if (!strcmp(s, "infinity")) {
		*ret = (struct config_size){ .bytes = CONFIG_INFINITY };
		return 0;
	}
	uint64_t v;
	int r = take_number(&s, &v);
	if (r < 0)
		return r;
	if (!strcmp(s, "%")) {
		if (v < 1 || v > 100)
			return -ERANGE;
		*ret = (struct config_size){ .percent = (uint8_t)v };
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(s, units[i].unit) != 0)
			continue;
		// The largest number is "infinity" and not a size.
		if (v >= UINT64_MAX >> units[i].shift)
			return -ERANGE;
		*ret = (struct config_size){ .bytes = v << units[i].shift };
		return 0;
	}
	return -EINVAL;
}

/// Takes a unit of time at *@p; without one, seconds. 0 when it is none.
static uint64_t take_unit(const char **p)
{
	enum { S = 1000000000 };
	static const struct {
		const char *names[5];
		uint64_t ns;
	} units[] = {
		{ { "", "s", "sec", "second", "seconds" }, S },
		{ { "us", "usec" }, 1000 },
		{ { "ms", "msec" }, 1000000 },
		{ { "m", "min", "minute", "minutes" }, 60ULL * S },
		{ { "h", "hr", "hour", "hours" }, 3600ULL * S },
		{ { "d", "day", "days" }, 86400ULL * S },
		{ { "w", "week", "weeks" }, 7 * 86400ULL * S },
		// systemd's months and years, too, are those of an average Gregorian year.
		{ { "M", "month", "months" }, 2629800ULL * S },
		{ { "y", "year", "years" }, 31557600ULL * S },
	};
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzM";
	size_t len = strspn(*p, letters);
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		for (size_t n = 0; n < ARRAY_SIZE(units[i].names) && units[i].names[n]; n++)
			if (strlen(units[i].names[n]) == len &&
			    !strncmp(*p, units[i].names[n], len)) {
				*p += len;
				return units[i].ns;
			}
	return 0;
}

int configvalue_time(const char *s, uint64_t *ret)
{
	uint64_t sum = 0;
	if (!strcmp(s, "infinity")) {
		*ret = CONFIG_INFINITY;
		return 0;
	}
	do {
		uint64_t v, part;
		int r = take_number(&s, &v);
		if (r < 0)
			return r;
		s += strspn(s, " \t");
		uint64_t unit = take_unit(&s);
		if (!unit)
			return -EINVAL;
		// Sums with the time of now, which is below 2^61, do not overflow.
		if (__builtin_mul_overflow(v, unit, &part) ||
		    __builtin_add_overflow(sum, part, &sum) || sum > UINT64_MAX / 4)
			return -ERANGE;
		s += strspn(s, " \t");
	} while (*s);
	*ret = sum;
	return 0;
}

int configvalue_rate(const char *s, struct config_rate *ret)
{
	struct config_rate rate;
	int r = take_number(&s, &rate.max);
	s += strspn(s, " \t");
	if (r < 0 || *s != '/')
		return r < 0 ? r : -EINVAL;
	s++;
	s += strspn(s, " \t");
	r = configvalue_time(s, &rate.interval_ns);
	if (r < 0)
		return r;
	if (!rate.interval_ns || rate.interval_ns == CONFIG_INFINITY || rate.max == CONFIG_INFINITY)
		return -ERANGE;
	*ret = rate;
	return 0;
}

bool configvalue_is_group(const char *s)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789_.-";
	size_t len = strspn(s, allowed);
	return len && len <= 31 && !s[len] && s[0] != '-' && s[0] != '.';
}
