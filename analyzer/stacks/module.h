/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <elfutils/libdwfl.h>

#include "common/json.h"
#include "mapped.h"

/// What common/stacks.h has of a module. NULL when out of memory.
struct json *module_describe(Dwfl_Module *module, Elf *core, const struct mapped *mapped);

/// Is @elf the file with the build ID that the core has of @module? Yes if the core has none.
bool module_is_file(Dwfl_Module *module, Elf *elf);
