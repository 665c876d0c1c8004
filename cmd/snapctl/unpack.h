/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/error.h"

/**
 * Writes to @out what the file @in holds, decompressed if it is zstd. A regular file at @out gets
 * holes where there are only zeros. Both stay the caller's, and are used from their positions on.
 */
struct snap_error *unpack(int in, int out) _must_check_;
