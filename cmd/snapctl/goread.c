// SPDX-License-Identifier: LGPL-2.1-or-later
#include "goread.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/str.h"
#include "goframe.h"
#include "verbs.h"

/// What is to be said of the file of an image; NULL for nothing. Owned by the caller.
static char *image_warning(const struct goread *read, const struct json *image)
{
	const char *state = gotext_of(image, "file");
	bool named = read->source.exe && json_get_bool(image, "program", false);
	const char *name = named ? read->source.exe : gotext_of(image, "name");
	char *text = NULL;
	int r = 0;
	if (!strcmp(state, "differs"))
		r = asprintf(&text,
			     "'%s' is another build than the one in the core; it was not used%s",
			     name, named ? "" : " (--exe FILE names the right one)");
	else if (!strcmp(state, "missing"))
		r = asprintf(&text, "'%s' %s; only what is in the core was used%s", name,
			     named ? "is not the program" : "was not found",
			     named ? "" : " (--exe FILE names it)");
	else if (!strcmp(state, "unverified"))
		r = asprintf(&text, "'%s' could not be checked to be the program of the core",
			     name);
	return r < 0 ? NULL : text;
}

static void warn_image(const struct goread *read, const struct json *image)
{
	_cleanup_free_ char *text = image_warning(read, image);
	if (text)
		print_message("snapctl: warning", text);
}

static int on_line(void *userdata, const char *kind, const struct json *value)
{
	struct goread *read = userdata;
	if (!strcmp(kind, "image"))
		warn_image(read, value);
	else if (!strcmp(kind, "warning"))
		print_message("snapctl: warning", gotext_of(value, "text"));
	else if (!strcmp(kind, "runtime"))
		read->runtimes++;
	errno = 0;
	int r = read->line(read->userdata, kind, value);
	if (r < 0 || !ferror(stdout))
		return r;
	read->write_error = errno ? errno : EIO;
	return -read->write_error;
}

static struct snap_error *write_error(int errnum)
{
	return snap_error_errno(snap_code_from_errno(errnum), errnum, "cannot write the answer");
}

struct snap_error *goread_run(struct goread *read, struct json *request)
{
	uint64_t pause_ns = 0;
	char text[16];
	struct snap_error *err = gosource_run(&read->source, request, on_line, read, &pause_ns);
	if (pause_ns)
		fprintf(stderr, "snapctl: process %s was paused for %s\n", read->source.what,
			snap_format_ns(pause_ns, text));
	if (!read->write_error)
		return err;
	snap_error_destroy(err);
	return write_error(read->write_error);
}

int goread_finish(struct snap_error *err)
{
	if (fflush(stdout) != 0 && !err)
		err = write_error(errno);
	if (!err)
		return 0;
	int code = (int)err->code;
	print_message("snapctl", err->message);
	snap_error_destroy(err);
	return code;
}
