// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * procsnap-unwind: reads a core and tells where its threads were, with libdw.
 *
 * Started as procsnap-analyze is; see common/stacks.h. It has no other way to the world.
 */
#include <stdio.h>
#include <string.h>

#include "analyzer/sandbox.h"
#include "analyzer/stacks/unwind.h"
#include "common/analysis.h"
#include "common/analyst.h"

static const struct sandbox_limits limits = {
	// Debugging information of the largest programs, were all of it read. It is mapped so that
	// it could be written, so it counts.
	.memory_bytes = 2U << 30,
	.cpu_seconds = 120,
	.kind = SANDBOX_MAPS,
};

static struct snap_error *run(void)
{
	_cleanup_(json_destroyp) struct json *request = NULL;
	int fds[IPC_MAX_FDS]; // closed by the end of the process
	analyst_prepare();
	struct snap_error *err = sandbox_enter(&limits);
	if (!err)
		err = analyst_begin(&request, fds);
	return err ? err : unwind_core(fds[ANALYSIS_FD_CORE], request);
}

int main(int argc, char *argv[])
{
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		printf("procsnap-unwind %s\n", PROCSNAP_VERSION);
		return 0;
	}
	if (argc != 1) {
		fprintf(stderr, "procsnap-unwind is started by procsnapd; see procsnapd(8)\n");
		return SNAP_USAGE;
	}
	return analyst_end(run());
}
