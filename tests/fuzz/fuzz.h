/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

/// Runs one input; defined by each target, called by libFuzzer or by replay.c.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// What must hold for every input; a fuzzer takes the abort for a crash.
#define REQUIRE(condition)                                                             \
	do {                                                                           \
		if (!(condition)) {                                                    \
			(void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, \
				      #condition);                                     \
			abort();                                                       \
		}                                                                      \
	} while (0)

/// The input as text, in memory of just that size, so that a sanitizer sees a step too far.
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	REQUIRE(text);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

/// The next code point of UTF-8, by the definition in RFC 3629; -1: that is none.
static inline int32_t fuzz_code_point(const char **text)
{
	static const struct {
		uint8_t mask, lead;
		int32_t min;
	} forms[] = { { 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 },
		      { 0xf8, 0xf0, 0x10000 } };
	const uint8_t *p = (const uint8_t *)*text;
	for (size_t len = 0; len < ARRAY_SIZE(forms); len++) {
		if ((*p & forms[len].mask) != forms[len].lead)
			continue;
		int32_t c = *p & (uint8_t)~forms[len].mask;
		for (size_t i = 1; i <= len; i++) {
			if ((p[i] & 0xc0) != 0x80)
				return -1;
			c = c << 6 | (p[i] & 0x3f);
		}
		if (c < forms[len].min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
			return -1;
		*text += len + 1;
		return c;
	}
	return -1;
}
