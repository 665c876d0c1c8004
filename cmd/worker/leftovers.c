// SPDX-License-Identifier: LGPL-2.1-or-later
#include "leftovers.h"

struct snap_error *leftovers_reap(struct capture *capture, struct json **ret)
{
	struct snapshot known = { 0 };
	size_t n = 0;
	struct snap_error *err = capture_reap_left(capture, &known, &n);
	if (!err) {
		*ret = json_new_object();
		json_set_u64(*ret, "pid", (uint64_t)known.process.pid);
		json_set_text(*ret, "comm", known.process.comm);
		json_set_u64(*ret, "reaped", n);
	}
	snapshot_deinit(&known);
	return err;
}
