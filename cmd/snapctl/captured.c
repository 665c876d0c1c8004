// SPDX-License-Identifier: LGPL-2.1-or-later
#include "captured.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/fd.h"

static const int dir_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/// As the store writes them (daemon/storeid.h).
static bool is_id(const char *text)
{
	size_t len = strlen(text);
	return len && strspn(text, "0123456789abcdefghijklmnopqrstuvwxyz") == len;
}

char *captured_find(int fd, const char *path)
{
	char id[32], *folder;
	struct stat st;
	ssize_t n = fgetxattr(fd, "user.procsnap.id", id, sizeof(id) - 1);
	if (n < 0)
		return NULL;
	id[n] = '\0';
	const char *slash = strrchr(path, '/');
	if (!is_id(id) || asprintf(&folder, "%.*s" BINARIES_FOLDER "/%s",
				   slash ? (int)(slash + 1 - path) : 0, path, id) < 0)
		return NULL;
	if (lstat(folder, &st) == 0 && S_ISDIR(st.st_mode) &&
	    (!st.st_uid || st.st_uid == geteuid()) && !(st.st_mode & S_IWOTH))
		return folder;
	free(folder);
	return NULL;
}

struct json *captured_list(const char *folder)
{
	_cleanup_close_ int dir = open(folder, dir_flags);
	_cleanup_free_ char *text = NULL;
	ssize_t n = dir < 0 ? -1 :
			      snap_read_file_at(dir, BINARIES_LIST, BINARIES_LIST_MAX, &text);
	return n > 0 ? json_parse(text, (size_t)n) : NULL;
}

// ---- links -----------------------------------------------------------------------------------

/**
 * Makes the link @name below @dir, with the folders that it needs. Of two with the same name the
 * first one stays. Names were chosen by who crashed: no link is followed that one before has made.
 * Without a link the debugger lacks a file, and says so.
 */
static int add_link(int dir, const char *name, const char *target)
{
	_cleanup_close_ int fd = openat(dir, ".", dir_flags);
	if (strlen(name) > BINARIES_NAME_MAX || strchr(name, '\\')) // it was escaped
		return -EINVAL;
	for (const char *at = name + strspn(name, "/"); fd >= 0 && *at;) {
		char part[BINARIES_NAME_MAX + 1];
		size_t len = strcspn(at, "/");
		(void)snprintf(part, sizeof(part), "%.*s", (int)len, at);
		at += len;
		at += strspn(at, "/");
		if (!strcmp(part, ".") || !strcmp(part, ".."))
			return -EINVAL;
		if (!*at)
			return symlinkat(target, fd, part) < 0 ? -errno : 0;
		(void)mkdirat(fd, part, 0700); // or it is there
		int next = openat(fd, part, dir_flags);
		snap_closep(&fd);
		fd = next;
	}
	return -ENOTDIR;
}

static void add_file(const struct json *file, const char *folder, int root, int libraries,
		     struct captured_root *ret)
{
	const char *name = json_get_text(file, "name"), *place = json_get_text(file, "file");
	const char *soname = json_get_text(file, "soname");
	_cleanup_free_ char *target = NULL;
	if (!name || name[0] != '/')
		return;
	if (!place) {
		(void)add_link(root, name, name);
		return;
	}
	if (strstr(place, "..") || asprintf(&target, "%s/%s", folder, place) < 0) {
		target = NULL;
		return;
	}
	(void)add_link(root, name, target);
	if (soname && !strchr(soname, '/'))
		(void)add_link(libraries, soname, target);
	(void)add_link(libraries, strrchr(name, '/') + 1, target);
	if (json_get_bool(file, "program", false) && !ret->program)
		ret->program = TAKE_PTR(target);
}

static int make_folder(const char *path, const char *name)
{
	_cleanup_close_ int dir = open(path, dir_flags);
	if (dir < 0 || mkdirat(dir, name, 0700) < 0)
		return -errno;
	int fd = openat(dir, name, dir_flags);
	return fd < 0 ? -errno : fd;
}

struct snap_error *captured_root_create(const char *folder, struct captured_root *ret)
{
	const char *tmp = secure_getenv("TMPDIR");
	struct captured_root made = { 0 };
	_cleanup_free_ char *real = realpath(folder, NULL);
	_cleanup_(json_destroyp) struct json *list = real ? captured_list(real) : NULL;
	if (!list)
		return snap_error_new(SNAP_FAILED, "the list in '%s' cannot be read", folder);
	if (asprintf(&made.path, "%s/procsnap-debug.XXXXXX", tmp && *tmp ? tmp : "/var/tmp") < 0)
		return snap_error_oom();
	if (!mkdtemp(made.path)) {
		struct snap_error *err =
			snap_error_errno(SNAP_FAILED, errno, "cannot make the folder '%s'",
					 made.path);
		free(made.path);
		return err;
	}
	_cleanup_close_ int root = make_folder(made.path, "root");
	_cleanup_close_ int libraries = make_folder(made.path, "libraries");
	const struct json *files = json_get(list, "files");
	for (size_t i = 0; root >= 0 && libraries >= 0 && i < json_length(files); i++)
		add_file(json_at(files, i), real, root, libraries, &made);
	*ret = made;
	return NULL;
}

static int remove_one(const char *path, const struct stat *st _unused_, int type _unused_,
		      struct FTW *ftw _unused_)
{
	(void)remove(path); // what stays is what its user has put there meanwhile
	return 0;
}

void captured_root_destroy(struct captured_root *root)
{
	if (root->path)
		(void)nftw(root->path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	free(root->path);
	free(root->program);
	*root = (struct captured_root){ 0 };
}
