/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/error.h"
#include "common/json.h"

/**
 * DOC: Native stacks, by libdw
 *
 * This folder alone uses libdw, and is never linked with the rest of the analyzer that uses
 * libdwarf: both have functions of the same names. What it finds are the stacks of all threads as
 * the system sees them; the stacks of goroutines and the C between them are the business of
 * analyzer/go and analyzer/native.h.
 *
 * libdw is made for files that one trusts. It maps them, and has asserts where they surprise it.
 * So it works in a process of its own in a sandbox (analyzer/sandbox.h), whose end costs the stacks
 * and nothing else.
 */

/**
 * Says over common/analyst.h what common/stacks.h wants to know of the raw core @core_fd.
 *
 * @request: "frames" and "threads" at most, and "time_ns", after which no further thread is begun.
 */
struct snap_error *unwind_core(int core_fd, const struct json *request) _must_check_;
