/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/json.h"

/// Sets a text that somebody else has written, cut to what an answer may have. NULL and "" are
/// left out.
void text_set(struct json *object, const char *key, const char *text);
/// @len bytes as hexadecimal; nothing when there are none.
void text_set_hex(struct json *object, const char *key, const void *data, size_t len);
