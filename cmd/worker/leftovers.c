// SPDX-License-Identifier: LGPL-2.1-or-later
#include "leftovers.h"

struct snap_error *leftovers_clean(struct capture *capture, struct json **ret)
{
	struct snapshot known = { 0 };
	struct capture_left left;
	struct snap_error *err = capture_clean_left(capture, &known, &left);
	if (!err) {
		*ret = json_new_object();
		json_set_u64(*ret, "pid", (uint64_t)known.process.pid);
		json_set_text(*ret, "comm", known.process.comm);
		json_set_u64(*ret, "reaped", left.zombies);
		json_set_bool(*ret, "erased", left.thunks);
	}
	snapshot_deinit(&known);
	return err;
}
