/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "runtime.h"

/// Reads the build information of @rt's image: version and modinfo. False when it has none.
bool go_version_read(struct go_runtime *rt);
/// The numbers in "go1.22.5", "go1.24rc2", "devel go1.28-...". False when there are none.
bool go_version_parse(const char *text, int *ret_minor, int *ret_patch);
