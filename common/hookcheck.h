/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "error.h"

/**
 * Can the kernel start @path for a crash, and can nobody but root change what it starts? It must
 * be a regular file of root's, executable, and neither it nor a folder above may be writable for
 * others (folders with the sticky bit may: what is root's in them stays). With SNAP_FAILED, says
 * what is wrong with it.
 */
struct snap_error *hookcheck_file(const char *path) _must_check_;
/// Runs `@path --version`, as nobody would notice a missing library before the first crash.
struct snap_error *hookcheck_run(const char *path) _must_check_;
