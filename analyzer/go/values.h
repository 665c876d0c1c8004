/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/strbuf.h"
#include "goroutines.h"

/**
 * DOC: Values of Go programs as text
 *
 * Arguments of frames as the runtime's tracebacks print them, values of interfaces as a panic
 * prints them, and profiler labels. All text is bounded and not escaped: whoever shows it does
 * that.
 */

/// Kinds of types, src/internal/abi/type.go.
enum go_kind {
	GO_KIND_BOOL = 1,
	GO_KIND_INT,
	GO_KIND_INT8,
	GO_KIND_INT16,
	GO_KIND_INT32,
	GO_KIND_INT64,
	GO_KIND_UINT,
	GO_KIND_UINT8,
	GO_KIND_UINT16,
	GO_KIND_UINT32,
	GO_KIND_UINT64,
	GO_KIND_UINTPTR,
	GO_KIND_FLOAT32,
	GO_KIND_FLOAT64,
	GO_KIND_COMPLEX64,
	GO_KIND_COMPLEX128,
	GO_KIND_ARRAY,
	GO_KIND_CHAN,
	GO_KIND_FUNC,
	GO_KIND_INTERFACE,
	GO_KIND_MAP,
	GO_KIND_POINTER,
	GO_KIND_SLICE,
	GO_KIND_STRING,
	GO_KIND_STRUCT,
	GO_KIND_UNSAFE_POINTER,
};

/// Adds the arguments of a frame to @buf, without the parentheses; -ENOMEM.
int go_args_text(struct go_runtime *rt, const struct go_frame *frame, struct strbuf *buf);
/// Adds the value of the interface{} at @addr, as print() of a panic value does; -ENOMEM.
int go_interface_text(struct go_runtime *rt, uint64_t addr, struct strbuf *buf);
/// The name of the type at @type, owned by the caller; NULL: unknown.
char *go_type_name(struct go_runtime *rt, uint64_t type);
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
