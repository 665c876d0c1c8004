/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"

/**
 * DOC: JSON
 *
 * The only place that knows the JSON library (json-c). Building never fails half-way: out of memory
 * makes an object "broken", and whatever it is put into afterwards; json_text() of it returns NULL,
 * so nothing is ever said with parts missing. Fill a value first, then put it into its container.
 * Strings from outside go through json_set_text(), which escapes what is not UTF-8 or printable as
 * snap_escape() does.
 */

struct json;

/// A new object; NULL when out of memory, which all calls here accept.
struct json *json_new_object(void);
struct json *json_new_array(void);
/// Parses one object of @len bytes strictly: valid UTF-8, nothing behind it, at most 16 deep.
/// NULL for anything else.
struct json *json_parse(const char *text, size_t len);
void json_destroy(struct json *json);
DEFINE_CLEANUP(struct json *, json_destroy);

void json_set_bool(struct json *object, const char *key, bool value);
void json_set_u64(struct json *object, const char *key, uint64_t value);
/// A string, escaped when it needs to be; NULL becomes null.
void json_set_text(struct json *object, const char *key, const char *value);
/// A string of our own, such as an error message, in which text from outside is escaped already.
void json_set_message(struct json *object, const char *key, const char *value);
/// A text of our own with newlines, all of it UTF-8.
void json_set_lines(struct json *object, const char *key, const char *value);
/// Takes ownership of @value; NULL is a value that could not be made.
void json_set(struct json *object, const char *key, struct json *value);
/// Adds what may be null, and stays the caller's too; neither may be changed any more.
void json_set_shared(struct json *object, const char *key, const struct json *value);
/// Both take ownership or copy as above.
void json_add(struct json *array, struct json *value);
void json_add_u64(struct json *array, uint64_t value);
void json_add_message(struct json *array, const char *value);

/// @fallback when the key is missing or of another type.
bool json_get_bool(const struct json *object, const char *key, bool fallback);
uint64_t json_get_u64(const struct json *object, const char *key, uint64_t fallback);
/// Borrowed from @object; NULL when missing or of another type.
const char *json_get_text(const struct json *object, const char *key);
const struct json *json_get(const struct json *object, const char *key);
/// The same, to be added to.
struct json *json_get_mutable(struct json *object, const char *key);
/// One more owner of @json, for another container; it must not be changed any more.
struct json *json_share(const struct json *json);
bool json_is_object(const struct json *json);
/// Elements of an array, or members of an object; 0 for anything else.
size_t json_length(const struct json *json);
/// The key of a member of an object, in the order they were set; NULL beyond the last one.
const char *json_key_at(const struct json *object, size_t index);
const struct json *json_at(const struct json *array, size_t index);
/// The number itself.
uint64_t json_u64_value(const struct json *json, uint64_t fallback);
/// The string itself, or NULL.
const char *json_text_value(const struct json *value);

/// The whole as one line, borrowed from @json until it is changed; NULL when out of memory.
const char *json_text(const struct json *json);
