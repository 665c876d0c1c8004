// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Shows what common/stacks.h finds in a core:
 *
 *   stacks [--text | --packages | --package=MEMBER:EXE] [--frames=N] [--threads=N] [--seconds=N]
 *          [--exe=FILE] [--no-files] [--log=FILE] CORE
 *
 * Without a choice: the JSON. --log gets a line for each file that was asked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/opener.h"
#include "common/stacks.h"
#include "common/str.h"

struct files {
	struct opener opener;
	bool none;
	FILE *log;
};

static int open_file(void *userdata, const char *name, const char *build_id, bool is_program)
{
	const struct files *files = userdata;
	int fd = files->none ? -ENOENT : opener_open(&files->opener, name, build_id, is_program);
	if (files->log)
		(void)fprintf(files->log, "%s %s%s %s\n", name, build_id ? build_id : "-",
			      is_program ? " program" : "", fd < 0 ? strerror(-fd) : "opened");
	return fd;
}

static const char *value_of(const char *arg, const char *option)
{
	size_t len = strlen(option);
	return strncmp(arg, option, len) ? NULL : arg + len;
}

static void set_number(const char *text, uint64_t *ret)
{
	if (text && snap_parse_u64(text, ret) < 0)
		(void)fprintf(stderr, "'%s' is no number\n", text);
}

static int show(const char *what, const struct json *stacks)
{
	_cleanup_(json_destroyp) struct json *packages = NULL;
	_cleanup_free_ char *text = NULL;
	const char *shown = NULL, *member = value_of(what, "--package=");
	if (!strcmp(what, "--text")) {
		shown = text = stacks_text(stacks);
	} else if (!strcmp(what, "--packages")) {
		packages = stacks_packages(stacks);
		shown = packages ? json_text(packages) : NULL;
	} else if (member) {
		const char *colon = strchr(member, ':');
		text = colon ? strndup(member, (size_t)(colon - member)) : NULL;
		shown = text ? stacks_package_of(stacks, colon + 1, text) : NULL;
	} else {
		shown = json_text(stacks);
	}
	printf("%s%s", shown ? shown : "-", strcmp(what, "--text") ? "\n" : "");
	return 0;
}

int main(int argc, char *argv[])
{
	struct files files = { .opener = { .piddir = -EBADF } };
	uint64_t frames = 0, threads = 0, seconds = 60;
	const char *what = "", *core = NULL;
	for (int i = 1; i < argc; i++) {
		set_number(value_of(argv[i], "--frames="), &frames);
		set_number(value_of(argv[i], "--threads="), &threads);
		set_number(value_of(argv[i], "--seconds="), &seconds);
		if (value_of(argv[i], "--exe="))
			files.opener.exe = value_of(argv[i], "--exe=");
		if (value_of(argv[i], "--log="))
			files.log = fopen(value_of(argv[i], "--log="), "we");
		if (!strcmp(argv[i], "--no-files"))
			files.none = true;
		if (!strcmp(argv[i], "--text") || value_of(argv[i], "--package"))
			what = argv[i];
		if (argv[i][0] != '-')
			core = argv[i];
	}
	_cleanup_close_ int fd = core ? open(core, O_RDONLY | O_CLOEXEC) : -EBADF;
	if (fd < 0)
		return SNAP_USAGE;
	const struct stacks_request request = { .open = open_file,
						.userdata = &files,
						.frames = (uint32_t)frames,
						.threads = (uint32_t)threads,
						.deadline_ns = seconds * 1000000000ULL };
	_cleanup_(json_destroyp) struct json *stacks = NULL;
	_cleanup_(snap_error_destroyp) struct snap_error *err = stacks_find(fd, &request, &stacks);
	if (files.log)
		(void)fclose(files.log);
	if (err) {
		(void)fprintf(stderr, "stacks: %s\n", err->message);
		return 1;
	}
	return show(what, stacks);
}
