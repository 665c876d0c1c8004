// SPDX-License-Identifier: LGPL-2.1-or-later
#include "json.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "str.h"
#include "strbuf.h"

// struct json is never defined: it is json-c's object under a name that does not leak.
enum { DEPTH_MAX = 16 }; // our own messages are 3 deep

static json_object *obj(const struct json *json)
{
	return (json_object *)(uintptr_t)json;
}

static struct json *wrap(json_object *o)
{
	return (struct json *)o;
}

struct json *json_new_object(void)
{
	return wrap(json_object_new_object());
}

struct json *json_new_array(void)
{
	return wrap(json_object_new_array());
}

/// Takes a character of valid UTF-8, two bytes or more, off the front of *@p.
static uint32_t take_character(const char **p)
{
	const uint8_t *s = (const uint8_t *)*p;
	int more = s[0] >= 0xf0 ? 3 : s[0] >= 0xe0 ? 2 : 1;
	uint32_t c = s[0] & (0x3fU >> more);
	for (int i = 1; i <= more; i++)
		c = c << 6 | (s[i] & 0x3f);
	*p += more + 1;
	return c;
}

/**
 * Makes @text, valid UTF-8, ASCII by \\u escapes. json-c 0.18 takes bytes from 0x80 on for control
 * characters when it is strict (its issue 875). Returns -EINVAL when @text cannot be JSON.
 */
static int escape_to_ascii(const char *text, size_t len, struct strbuf *buf)
{
	bool escaped = false; // by the backslash before
	int r = 0;
	for (const char *p = text; r == 0 && p < text + len;) {
		if (!((uint8_t)*p & 0x80)) {
			escaped = !escaped && *p == '\\';
			r = strbuf_add(buf, p++, 1);
			continue;
		}
		uint32_t c = take_character(&p);
		if (escaped)
			return -EINVAL;
		if (c < 0x10000)
			r = strbuf_addf(buf, "\\u%04x", c);
		else
			r = strbuf_addf(buf, "\\u%04x\\u%04x", 0xd7c0 + (c >> 10),
					0xdc00 + (c & 0x3ff));
	}
	return r;
}

static bool is_ascii(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((uint8_t)text[i] & 0x80)
			return false;
	return true;
}

struct json *json_parse(const char *text, size_t len)
{
	_cleanup_strbuf_ struct strbuf buf = { 0 };
	// json-c's own check lets overlong forms and surrogates through.
	if (len > INT32_MAX / 6 || !snap_is_utf8(text, len))
		return NULL;
	if (!is_ascii(text, len)) {
		if (escape_to_ascii(text, len, &buf) < 0)
			return NULL;
		text = buf.data;
		len = buf.len;
	}
	json_tokener *tok = json_tokener_new_ex(DEPTH_MAX);
	if (!tok)
		return NULL;
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	json_object *o = json_tokener_parse_ex(tok, text, (int)len);
	bool whole = json_tokener_get_error(tok) == json_tokener_success &&
		     json_tokener_get_parse_end(tok) == len;
	json_tokener_free(tok);
	if (!whole || !json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		return NULL;
	}
	return wrap(o);
}

void json_destroy(struct json *json)
{
	json_object_put(obj(json));
}

static const char broken_mark;

static void set_broken(struct json *container)
{
	if (container)
		json_object_set_userdata(obj(container), (void *)(uintptr_t)&broken_mark, NULL);
}

static bool is_broken(const struct json *json)
{
	return !json || json_object_get_userdata(obj(json)) == &broken_mark;
}

static void set_or_null(struct json *object, const char *key, struct json *value)
{
	if (object && json_object_object_add(obj(object), key, obj(value)) == 0)
		return;
	json_object_put(obj(value));
	set_broken(object);
}

void json_set(struct json *object, const char *key, struct json *value)
{
	if (is_broken(value))
		set_broken(object);
	set_or_null(object, key, value);
}

void json_set_shared(struct json *object, const char *key, const struct json *value)
{
	set_or_null(object, key, wrap(json_object_get(obj(value))));
}

void json_set_bool(struct json *object, const char *key, bool value)
{
	json_set(object, key, wrap(json_object_new_boolean(value)));
}

void json_set_u64(struct json *object, const char *key, uint64_t value)
{
	json_set(object, key, wrap(json_object_new_uint64(value)));
}

static struct json *text_value(const char *value)
{
	if (!value)
		return NULL;
	_cleanup_free_ char *escaped = snap_escape(value, strlen(value));
	return wrap(escaped ? json_object_new_string(escaped) : NULL);
}

void json_set_text(struct json *object, const char *key, const char *value)
{
	if (value)
		json_set(object, key, text_value(value));
	else
		set_or_null(object, key, NULL);
}

static void add_or_null(struct json *array, struct json *value)
{
	if (array && json_object_array_add(obj(array), obj(value)) == 0)
		return;
	json_object_put(obj(value));
	set_broken(array);
}

void json_add(struct json *array, struct json *value)
{
	if (is_broken(value))
		set_broken(array);
	add_or_null(array, value);
}

/// As it is, unless something in it slipped through unescaped.
static struct json *message_value(const char *value)
{
	return value && snap_is_printable(value) ? wrap(json_object_new_string(value)) :
						   text_value(value);
}

void json_set_message(struct json *object, const char *key, const char *value)
{
	if (value)
		json_set(object, key, message_value(value));
	else
		set_or_null(object, key, NULL);
}

void json_set_lines(struct json *object, const char *key, const char *value)
{
	json_set(object, key, wrap(json_object_new_string(value)));
}

void json_add_u64(struct json *array, uint64_t value)
{
	json_add(array, wrap(json_object_new_uint64(value)));
}

void json_add_message(struct json *array, const char *value)
{
	if (value)
		json_add(array, message_value(value));
	else
		add_or_null(array, NULL);
}

const struct json *json_get(const struct json *object, const char *key)
{
	json_object *value = NULL;
	if (!object || !json_object_object_get_ex(obj(object), key, &value))
		return NULL;
	return wrap(value);
}

struct json *json_get_mutable(struct json *object, const char *key)
{
	return (struct json *)(uintptr_t)json_get(object, key);
}

struct json *json_share(const struct json *json)
{
	return wrap(json_object_get(obj(json)));
}

bool json_get_bool(const struct json *object, const char *key, bool fallback)
{
	json_object *value = obj(json_get(object, key));
	return json_object_is_type(value, json_type_boolean) ? json_object_get_boolean(value) :
							       fallback;
}

uint64_t json_u64_value(const struct json *json, uint64_t fallback)
{
	const json_object *value = obj(json);
	// json_object_get_uint64() makes 0 of what is below.
	return json_object_is_type(value, json_type_int) && json_object_get_int64(value) >= 0 ?
		       json_object_get_uint64(value) :
		       fallback;
}

uint64_t json_get_u64(const struct json *object, const char *key, uint64_t fallback)
{
	return json_u64_value(json_get(object, key), fallback);
}

const char *json_text_value(const struct json *value)
{
	return json_object_is_type(obj(value), json_type_string) ?
		       json_object_get_string(obj(value)) :
		       NULL;
}

const char *json_get_text(const struct json *object, const char *key)
{
	return json_text_value(json_get(object, key));
}

bool json_is_object(const struct json *json)
{
	return json_object_is_type(obj(json), json_type_object);
}

size_t json_length(const struct json *json)
{
	if (json_object_is_type(obj(json), json_type_object))
		return (size_t)json_object_object_length(obj(json));
	return json_object_is_type(obj(json), json_type_array) ?
		       json_object_array_length(obj(json)) :
		       0;
}

const char *json_key_at(const struct json *object, size_t index)
{
	if (!json_object_is_type(obj(object), json_type_object))
		return NULL;
	struct json_object_iterator it = json_object_iter_begin(obj(object));
	struct json_object_iterator end = json_object_iter_end(obj(object));
	for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it))
		if (!index--)
			return json_object_iter_peek_name(&it);
	return NULL;
}

const struct json *json_at(const struct json *array, size_t index)
{
	if (!json_object_is_type(obj(array), json_type_array) || index >= json_length(array))
		return NULL;
	return wrap(json_object_array_get_idx(obj(array), index));
}

const char *json_text(const struct json *json)
{
	if (is_broken(json))
		return NULL;
	int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
	return json_object_to_json_string_ext(obj(json), flags);
}
