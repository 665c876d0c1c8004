// SPDX-License-Identifier: LGPL-2.1-or-later
#include "handlermemory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "json.h"
#include "replace.h"
#include "str.h"

enum { FILE_MAX_BYTES = 64 << 10 }; // six values of at most 4 KiB would fit

void handlermemory_deinit(struct handlermemory *memory)
{
	sysctl_values_deinit(&memory->found);
	sysctl_values_deinit(&memory->set);
	free(memory->boot_id);
	*memory = (struct handlermemory){ 0 };
}

static char *memory_path(const char *root)
{
	char *path;
	return asprintf(&path, "%s" HANDLERMEMORY_PATH, root) < 0 ? NULL : path;
}

// ---- text ----------------------------------------------------------------------------------

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *p = c ? strchr(digits, c) : NULL;
	return p ? (int)(p - digits) : -1;
}

/// -EBADMSG when it is none, or has bytes that no setting can have.
static int from_hex(const char *hex, char **ret)
{
	size_t len = strlen(hex);
	_cleanup_free_ char *bytes = calloc(1, len / 2 + 1);
	if (!bytes)
		return -ENOMEM;
	for (size_t i = 0; i < len / 2; i++) {
		int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
		if (high < 0 || low < 0)
			return -EBADMSG;
		bytes[i] = (char)(high << 4 | low);
		if (!bytes[i] || bytes[i] == '\n')
			return -EBADMSG;
	}
	if (len % 2)
		return -EBADMSG;
	*ret = TAKE_PTR(bytes);
	return 0;
}

static char *to_hex(const char *bytes)
{
	static const char digits[] = "0123456789abcdef";
	size_t len = strlen(bytes);
	char *hex = calloc(len + 1, 2);
	for (size_t i = 0; hex && i < len; i++) {
		hex[2 * i] = digits[(unsigned char)bytes[i] >> 4];
		hex[2 * i + 1] = digits[(unsigned char)bytes[i] & 15];
	}
	return hex;
}

static int values_from_json(const struct json *object, struct sysctl_values *ret)
{
	for (enum sysctl_key key = 0; key < SYSCTL_KEY_MAX; key++) {
		const char *hex = json_get_text(json_get(object, sysctl_name(key)), "hex");
		int r = hex ? from_hex(hex, &ret->of[key]) : -EBADMSG;
		if (r < 0)
			return r;
	}
	return 0;
}

static struct json *values_to_json(const struct sysctl_values *values)
{
	struct json *object = json_new_object();
	for (enum sysctl_key key = 0; key < SYSCTL_KEY_MAX; key++) {
		struct json *value = json_new_object();
		_cleanup_free_ char *hex = to_hex(values->of[key]);
		json_set_text(value, "text", values->of[key]);
		json_set_text(value, "hex", hex);
		json_set(object, sysctl_name(key), hex ? value : NULL);
		if (!hex)
			json_destroy(value);
	}
	return object;
}

struct snap_error *handlermemory_parse(const char *text, size_t len, struct handlermemory *ret)
{
	_cleanup_handlermemory_ struct handlermemory memory = { 0 };
	_cleanup_(json_destroyp) struct json *json = json_parse(text, len);
	int r = json ? values_from_json(json_get(json, "found"), &memory.found) : -EBADMSG;
	if (r == 0)
		r = values_from_json(json_get(json, "set"), &memory.set);
	if (r == -EBADMSG)
		return snap_error_new(SNAP_FAILED, "what procsnap remembers of the handler before "
						   "it is damaged");
	const char *boot_id = json_get_text(json, "boot_id");
	if (r < 0 || (boot_id && !(memory.boot_id = strdup(boot_id))))
		return snap_error_oom();
	memory.runtime = json_get_bool(json, "runtime", false);
	*ret = memory;
	memset(&memory, 0, sizeof(memory));
	return NULL;
}

// ---- the file ------------------------------------------------------------------------------

static struct snap_error *check_owner(const char *path)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot look at '%s'", path);
	if (S_ISREG(st.st_mode) && (st.st_uid == 0 || st.st_uid == geteuid()) &&
	    !(st.st_mode & (S_IWGRP | S_IWOTH)))
		return NULL;
	return snap_error_new(SNAP_FAILED, "'%s' is not trusted: others than root can write to it",
			      path);
}

struct snap_error *handlermemory_load(const char *root, struct handlermemory *ret, bool *ret_there)
{
	_cleanup_free_ char *path = memory_path(root), *text = NULL;
	if (!path)
		return snap_error_oom();
	ssize_t n = snap_read_file_at(AT_FDCWD, path, FILE_MAX_BYTES, &text);
	if (n == -ENOENT) {
		*ret_there = false;
		return NULL;
	}
	if (n < 0)
		return snap_error_errno(n == -EACCES ? SNAP_NOT_PERMITTED : SNAP_FAILED, (int)-n,
					"cannot read '%s'", path);
	struct snap_error *err = check_owner(path);
	if (!err)
		err = snap_error_wrap(handlermemory_parse(text, (size_t)n, ret), "'%s'", path);
	if (!err)
		*ret_there = true;
	return err;
}

struct snap_error *handlermemory_save(const char *root, const struct handlermemory *memory)
{
	_cleanup_free_ char *path = memory_path(root), *text = NULL;
	_cleanup_(json_destroyp) struct json *json = json_new_object();
	json_set(json, "found", values_to_json(&memory->found));
	json_set(json, "set", values_to_json(&memory->set));
	if (memory->boot_id)
		json_set_text(json, "boot_id", memory->boot_id);
	json_set_bool(json, "runtime", memory->runtime);
	const char *line = json_text(json);
	if (!path || !line || asprintf(&text, "%s\n", line) < 0) {
		text = NULL;
		return snap_error_oom();
	}
	return replace_file(path, text, 0600);
}

struct snap_error *handlermemory_remove(const char *root)
{
	_cleanup_free_ char *path = memory_path(root);
	return path ? replace_remove(path) : snap_error_oom();
}

struct snap_error *handlermemory_lock(const char *root, int *ret)
{
	_cleanup_free_ char *path = memory_path(root);
	if (!path)
		return snap_error_oom();
	*strrchr(path, '/') = '\0';
	if (mkdir(path, 0755) == 0 && chmod(path, 0755) < 0) // whatever our umask
		return snap_error_errno(SNAP_FAILED, errno, "cannot make '%s'", path);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot open '%s'", path);
	struct stat st;
	if (fstat(fd, &st) < 0 || (st.st_uid != 0 && st.st_uid != geteuid()) ||
	    st.st_mode & (S_IWGRP | S_IWOTH))
		return snap_error_new(SNAP_FAILED,
				      "'%s' must belong to root and be writable for nobody else",
				      path);
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return snap_error_errno(SNAP_FAILED, errno, "cannot lock '%s'", path);
	*ret = TAKE_FD(fd);
	return NULL;
}
