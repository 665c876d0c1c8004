// SPDX-License-Identifier: LGPL-2.1-or-later
#include "configdir.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>


#define MAIN_FILE "/etc/procsnap/procsnap.conf"

/// The first one wins.
static const char *const folders[] = {
	"/etc/procsnap/procsnap.conf.d",
	"/run/procsnap/procsnap.conf.d",
	"/usr/lib/procsnap/procsnap.conf.d",
};

enum { FILES_MAX = 256 }; // in all folders

static void closedirp(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir); // was only read
}

void configdir_deinit(struct configdir *dir)
{
	for (size_t i = 0; i < dir->n; i++)
		free(dir->paths[i]);
	free(dir->paths);
	*dir = (struct configdir){ 0 };
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static bool has_name(const struct configdir *dir, const char *name)
{
	for (size_t i = 0; i < dir->n; i++)
		if (!strcmp(base_name(dir->paths[i]), name))
			return true;
	return false;
}

static struct snap_error *add(struct configdir *dir, const char *root, const char *folder,
			      const char *name)
{
	if (dir->n == FILES_MAX)
		return snap_error_new(SNAP_FAILED, "more than %d files *.conf in '%s'", FILES_MAX,
				      folder);
	char **more = realloc(dir->paths, (dir->n + 1) * sizeof(*more));
	if (!more)
		return snap_error_oom();
	dir->paths = more;
	char *path;
	if (asprintf(&path, "%s%s%s%s", root, folder, name ? "/" : "", name ? name : "") < 0)
		return snap_error_oom();
	dir->paths[dir->n++] = path;
	return NULL;
}

/// Those that editors and package managers leave behind have other endings, or begin with a dot.
static bool is_conf(const char *name)
{
	size_t len = strlen(name);
	return len > strlen(".conf") && name[0] != '.' &&
	       !strcmp(name + len - strlen(".conf"), ".conf");
}

static struct snap_error *add_folder(struct configdir *dir, const char *root, const char *folder)
{
	_cleanup_free_ char *path = NULL;
	if (asprintf(&path, "%s%s", root, folder) < 0) {
		path = NULL;
		return snap_error_oom();
	}
	_cleanup_(closedirp) DIR *d = opendir(path);
	if (!d)
		return errno == ENOENT ? NULL :
					 snap_error_errno(SNAP_FAILED, errno, "cannot read '%s'",
							  folder);
	for (const struct dirent *entry; (entry = readdir(d));) {
		if (!is_conf(entry->d_name) || has_name(dir, entry->d_name))
			continue;
		struct snap_error *err = add(dir, root, folder, entry->d_name);
		if (err)
			return err;
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	const char *const *one = a, *const *other = b;
	return strcmp(base_name(*one), base_name(*other));
}

struct snap_error *configdir_list(const char *root, struct configdir *ret)
{
	_cleanup_(configdir_deinit) struct configdir dir = { 0 };
	_cleanup_(configdir_deinit) struct configdir all = { 0 };
	struct snap_error *err = NULL;
	for (size_t i = 0; !err && i < ARRAY_SIZE(folders); i++)
		err = add_folder(&dir, root, folders[i]);
	if (!err && dir.n)
		qsort(dir.paths, dir.n, sizeof(*dir.paths), compare);
	// The main file first, whatever the others are called.
	if (!err)
		err = add(&all, root, MAIN_FILE, NULL);
	if (!err && access(all.paths[0], F_OK) < 0 && errno == ENOENT)
		configdir_deinit(&all);
	for (size_t i = 0; !err && i < dir.n; i++)
		err = add(&all, "", dir.paths[i], NULL);
	if (err)
		return err;
	*ret = all;
	all = (struct configdir){ 0 };
	return NULL;
}
