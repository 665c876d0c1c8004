/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <elfutils/libdwfl.h>

#include "common/json.h"

/// What common/stacks.h has of a frame whose registers say @pc. @activation: as dwfl_frame_pc() has
/// it. NULL when out of memory.
struct json *frame_describe(Dwfl *dwfl, Dwarf_Addr pc, bool activation);
