// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * procsnap-analyze: reads a core and tells what the Go programs in it were doing.
 *
 * Started by snapctl and procsnap-worker with a socket as descriptor 3 and a pipe as descriptor 1;
 * see common/analysis.h. It has no other way to the world.
 */
#include <stdio.h>
#include <string.h>

#include "analyzer/analyze.h"
#include "analyzer/sandbox.h"
#include "common/analysis.h"
#include "common/analyst.h"

static const struct sandbox_limits limits = {
	// Ten million goroutines, which is ten times what anybody has shown.
	.memory_bytes = 2U << 30,
	.cpu_seconds = 600,
};

static int open_by_question(void *userdata _unused_, const char *name,
			    const struct elf_build_id *id, bool is_program)
{
	_cleanup_free_ char *id_hex = id ? analysis_to_hex(id->bytes, id->size) : NULL;
	return analyst_open(name, id_hex, is_program);
}

static int write_line(void *userdata _unused_, const char *kind, struct json *value)
{
	return analyst_say(kind, value);
}

static struct snap_error *run(void)
{
	const struct image_opener opener = { open_by_question, NULL };
	const struct report_sink sink = { write_line, NULL };
	_cleanup_(json_destroyp) struct json *request = NULL;
	int fds[IPC_MAX_FDS]; // closed by the end of the process
	analyst_prepare();
	struct snap_error *err = sandbox_enter(&limits);
	if (!err)
		err = analyst_begin(&request, fds);
	return err ? err :
		     analyze(fds[ANALYSIS_FD_CORE], fds[ANALYSIS_FD_MEMORY], request, &opener,
			     &sink);
}

int main(int argc, char *argv[])
{
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		printf("procsnap-analyze %s\n", PROCSNAP_VERSION);
		return 0;
	}
	if (argc != 1) {
		fprintf(stderr, "procsnap-analyze is started by snapctl; see snapctl(1)\n");
		return SNAP_USAGE;
	}
	return analyst_end(run());
}
