// SPDX-License-Identifier: LGPL-2.1-or-later
#include "error.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static struct snap_error out_of_memory = {
	.code = SNAP_FAILED,
	.message = (char *)"out of memory",
};

static const struct {
	const char *name;
	const char *text;
} codes[SNAP_CODE_MAX] = {
	[SNAP_OK] = { "ok", "done" },
	[SNAP_FAILED] = { "failed", "failed for another reason" },
	[SNAP_USAGE] = { "usage", "wrong command line" },
	[SNAP_NO_PROCESS] = { "no-such-process", "no such process, or it ended first" },
	[SNAP_NOT_PERMITTED] = { "not-permitted", "not permitted" },
	[SNAP_PARTIAL] = { "partial", "a core was written, but with gaps" },
	[SNAP_TRACED] = { "already-traced", "another debugger traces the process" },
	[SNAP_NO_SPACE] = { "no-space", "not enough space for the core" },
	[SNAP_PAUSE_EXCEEDED] = { "pause-exceeded", "the pause budget was used up" },
	[SNAP_CANCELLED] = { "cancelled", "cancelled by a signal" },
};

_printf_(3, 0)
static struct snap_error *error_create(enum snap_code code, int errnum, const char *fmt, va_list ap)
{
	_cleanup_free_ char *text = NULL;
	if (vasprintf(&text, fmt, ap) < 0) {
		text = NULL;
		return snap_error_oom();
	}
	struct snap_error *err = malloc(sizeof(*err));
	if (!err)
		return snap_error_oom();
	*err = (struct snap_error){ .code = code, .errnum = errnum };
	if (errnum) {
		if (asprintf(&err->message, "%s: %s", text, strerror(errnum)) < 0) {
			free(err);
			return snap_error_oom();
		}
	} else {
		err->message = TAKE_PTR(text);
	}
	return err;
}

struct snap_error *snap_error_errno(enum snap_code code, int errnum, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	struct snap_error *err = error_create(code, errnum, fmt, ap);
	va_end(ap);
	return err;
}

struct snap_error *snap_error_new(enum snap_code code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	struct snap_error *err = error_create(code, 0, fmt, ap);
	va_end(ap);
	return err;
}

struct snap_error *snap_error_oom(void)
{
	return &out_of_memory;
}

struct snap_error *snap_error_wrap(struct snap_error *err, const char *fmt, ...)
{
	if (!err || err == &out_of_memory)
		return err;
	_cleanup_free_ char *prefix = NULL;
	va_list ap;
	va_start(ap, fmt);
	int r = vasprintf(&prefix, fmt, ap);
	va_end(ap);
	if (r < 0) {
		prefix = NULL;
		return err;
	}
	char *joined;
	if (asprintf(&joined, "%s: %s", prefix, err->message) < 0)
		return err;
	free(err->message);
	err->message = joined;
	return err;
}

enum snap_code snap_code_from_errno(int errnum)
{
	return errnum == ENOSPC || errnum == EDQUOT ? SNAP_NO_SPACE : SNAP_FAILED;
}

void snap_error_destroy(struct snap_error *err)
{
	if (!err || err == &out_of_memory)
		return;
	free(err->message);
	free(err);
}

static bool code_known(enum snap_code code)
{
	return (unsigned int)code < SNAP_CODE_MAX;
}

const char *snap_code_name(enum snap_code code)
{
	return codes[code_known(code) ? code : SNAP_FAILED].name;
}

const char *snap_code_text(enum snap_code code)
{
	return codes[code_known(code) ? code : SNAP_FAILED].text;
}

enum snap_code snap_code_from_name(const char *name)
{
	for (int i = 0; name && i < SNAP_CODE_MAX; i++)
		if (!strcmp(codes[i].name, name))
			return (enum snap_code)i;
	return SNAP_FAILED;
}
