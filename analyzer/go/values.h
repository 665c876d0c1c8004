/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/strbuf.h"
#include "goroutines.h"

/**
 * DOC: Values of Go programs as text
 *
 * Arguments of frames as the runtime's tracebacks print them, values of interfaces as a panic prints
 * them, and profiler labels. All text is bounded and not escaped: whoever shows it does that.
 */

/// Adds the arguments of a frame to @buf, without the parentheses; -ENOMEM.
int go_args_text(struct go_runtime *rt, const struct go_frame *frame, struct strbuf *buf);
/// Adds the value of the interface{} at @addr, as print() of a panic value does; -ENOMEM.
int go_interface_text(struct go_runtime *rt, uint64_t addr, struct strbuf *buf);
/// The name of the type that the interface{} at @addr holds, owned by the caller; NULL: unknown.
char *go_interface_type(struct go_runtime *rt, uint64_t addr);

enum { GO_LABELS_MAX = 64 };
struct go_label {
	char *key, *value; ///< owned by the list
};
struct go_labels {
	struct go_label list[GO_LABELS_MAX];
	size_t n;
};
/// Reads the labels at @addr of a goroutine; none when they are not what they should be.
void go_labels_read(struct go_runtime *rt, uint64_t addr, struct go_labels *ret);
void go_labels_deinit(struct go_labels *labels);
