/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "error.h"

/**
 * Finds another executable of procsnap: the one beside this program, as in the build folder, else
 * the installed one. @ret is owned by the caller.
 */
struct snap_error *program_find(const char *name, char **ret) _must_check_;
