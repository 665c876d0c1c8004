/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdarg.h>

#include "cleanup.h"

/**
 * DOC: Errors
 *
 * Domain code returns `struct snap_error *`: NULL is success, anything else is owned by the caller
 * and freed with snap_error_destroy(). Functions in common/ return 0 or a negative errno instead.
 * Each code is one exit status of snapctl and one name in JSON; the table is in error.c.
 * Out of memory is a static instance, so reporting it never allocates.
 */

enum snap_code {
	SNAP_OK = 0,
	SNAP_FAILED = 1,
	SNAP_USAGE = 2,
	SNAP_NO_PROCESS = 3,
	SNAP_NOT_PERMITTED = 4,
	SNAP_PARTIAL = 5,
	SNAP_TRACED = 6,
	SNAP_NO_SPACE = 7,
	SNAP_PAUSE_EXCEEDED = 8,
	SNAP_CANCELLED = 9,
	SNAP_CODE_MAX,
};

struct snap_error {
	enum snap_code code;
	int errnum; ///< positive errno, or 0
	char *message; ///< one line without newline; text from outside is already escaped
};

/// A new error; @errnum (0 for none) is appended as its text. Never returns NULL.
struct snap_error *snap_error_errno(enum snap_code code, int errnum, const char *fmt, ...)
	_printf_(3, 4) __attribute__((returns_nonnull)) _must_check_;
/// A new error without errno. Never returns NULL.
struct snap_error *snap_error_new(enum snap_code code, const char *fmt, ...) _printf_(2, 3)
	__attribute__((returns_nonnull)) _must_check_;
/// Out of memory; the static instance.
struct snap_error *snap_error_oom(void) __attribute__((returns_nonnull)) _must_check_;
/// Takes ownership of @err and returns it with "prefix: " before its message. NULL stays NULL.
struct snap_error *snap_error_wrap(struct snap_error *err, const char *fmt, ...) _printf_(2, 3)
	_must_check_;
/// Writing something failed with @errnum: SNAP_NO_SPACE when the disk or a quota is full.
enum snap_code snap_code_from_errno(int errnum);
void snap_error_destroy(struct snap_error *err);
DEFINE_CLEANUP(struct snap_error *, snap_error_destroy);

/// The name of a code in JSON and in the manual, for example "no-such-process"; never NULL.
const char *snap_code_name(enum snap_code code);
/// What the code means, one line, as the manual has it.
const char *snap_code_text(enum snap_code code);
/// The code of a name; SNAP_FAILED for an unknown one.
enum snap_code snap_code_from_name(const char *name);
