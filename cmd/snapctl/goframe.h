/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "common/json.h"

/**
 * DOC: Frames of goroutines
 *
 * Which of the analyzer's frames people want to see, and how their functions are called. Frames are
 * objects as docs/GO.md has them, the innermost first.
 */

/// @text if it is fit for a terminal, as all text of the analyzer must be; "?" else.
const char *gotext_safe(const char *text);
/// The text of @key, the same way.
const char *gotext_of(const struct json *json, const char *key);

/// The rule of the runtime's own tracebacks: its own functions only if they are exported.
bool goframe_is_shown(const char *function, bool first);
/// Is it a wrapper made by the compiler, which tracebacks leave out? @callee: function of the frame
/// before, NULL for none.
bool goframe_is_wrapper(const struct json *frame, const char *callee);
/// The function in which every goroutine's stack ends.
bool goframe_is_end(const struct json *frame);
/**
 * The index of the first frame that a summary shows.
 *
 * What lies before it only makes the goroutine wait, as its state says, or switch to another. With
 * @waiting that is all of the runtime up to the first function that called it.
 */
size_t goframe_first(const struct json *frames, bool waiting);

/// Is it of C? Then it has no line, but the file that its code is in.
bool goframe_is_native(const struct json *frame);
/// How a frame of C is called where only functions count: "[FILE]" when the function is not known.
/// Owned by the caller; NULL when out of memory.
char *goframe_native_name(const struct json *frame);
/// Prints what a summary has for a frame's function: of C "NAME+0xOFFSET" or the address, of Go as
/// goframe_print_name() does. Unless @out is NULL. Returns how many bytes it has.
int goframe_print_function(const struct json *frame, FILE *out);
/// Prints the name of a function as tracebacks have it, without type arguments, unless @out is
/// NULL. Returns how many bytes it has.
int goframe_print_name(const char *function, FILE *out);
/// "FILE:LINE" of a frame or creator; of C the file that has the code.
void goframe_print_place(const struct json *frame, FILE *out);
