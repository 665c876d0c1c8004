/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdio.h>
#include <stdlib.h>

/**
 * DOC: Scope guards
 *
 * `_cleanup_(f)` runs `f(&variable)` when the variable leaves its scope. Functions that make
 * something for their caller build it in a guarded local and hand it out with TAKE_PTR().
 */

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _must_check_ __attribute__((warn_unused_result))
#define _unused_ __attribute__((unused))

#define TAKE_PTR(p)                   \
	({                            \
		__auto_type _p = (p); \
		(p) = NULL;           \
		_p;                   \
	})

#define DEFINE_CLEANUP(type, func)                   \
	static inline void func##p(type *p)          \
	{                                            \
		if (*p)                              \
			func(*p);                    \
	}                                            \
	struct snap_cleanup_##func##_end

static inline void snap_freep(void *p)
{
	free(*(void **)p);
}
#define _cleanup_free_ _cleanup_(snap_freep)

DEFINE_CLEANUP(FILE *, fclose);
#define _cleanup_fclose_ _cleanup_(fclosep)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)                     \
	({                            \
		__auto_type _a = (a); \
		__auto_type _b = (b); \
		_a < _b ? _a : _b;    \
	})
#define MAX(a, b)                     \
	({                            \
		__auto_type _a = (a); \
		__auto_type _b = (b); \
		_a > _b ? _a : _b;    \
	})
/// Rounds @x up to a multiple of @a, a power of two.
#define ALIGN_UP(x, a) (((x) + (__typeof__(x))((a) - 1)) & ~(__typeof__(x))((a) - 1))
#define ALIGN_DOWN(x, a) ((x) & ~(__typeof__(x))((a) - 1))
