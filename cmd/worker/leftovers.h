/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/json.h"
#include "ptrace/capture.h"

/**
 * What JOB_CLEAN asks for, with a @capture that is used for nothing else. @ret is the result, owned
 * by the caller: "pid", "comm", "reaped", how many zombies there were, and "erased", whether there
 * was code.
 */
struct snap_error *leftovers_clean(struct capture *capture, struct json **ret) _must_check_;
