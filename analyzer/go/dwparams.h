/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/strbuf.h"
#include "dwarf.h"
#include "unwind.h"

/**
 * DOC: Names and values of arguments
 *
 * What functions were called with, by the names and types that the debugging information has.
 * Values are read from where it says that they are at the frame's pc; what was in a register, or is
 * not needed any more and was overwritten, is "?". Each function is looked up once.
 */
struct go_params;

struct go_param {
	const char *name, *type; ///< borrowed from the debugging information, not escaped
	// internal
	uint8_t kind; ///< enum go_kind, 0: unknown
	bool has_methods; ///< of an interface: its type is in a table of methods
	struct dw_places *places; ///< in the frame; then, of its address when it is on the heap
};

/// NULL when out of memory. @dw and @rt must outlive it.
struct go_params *go_params_create(struct go_runtime *rt, struct go_dwarf *dw);
void go_params_destroy(struct go_params *params);
/// The parameters of the function of @frame, without results; NULL when it is not known.
const struct go_param *go_params_of(struct go_params *params, const struct go_func *func,
				    size_t *ret_n);
/// Adds the value of @param in @frame to @buf, fit to be shown as it is; -ENOMEM.
int go_param_text(struct go_params *params, const struct go_param *param,
		  const struct go_frame *frame, struct strbuf *buf);
