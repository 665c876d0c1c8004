// SPDX-License-Identifier: LGPL-2.1-or-later
#include "sysctld.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"

// The first one wins. /lib is /usr/lib nearly everywhere, and its files then have been seen.
static const char *const folders[] = {
	"/etc/sysctl.d",     "/run/sysctl.d", "/usr/local/lib/sysctl.d",
	"/usr/lib/sysctl.d", "/lib/sysctl.d",
};

enum {
	FILES_MAX = 1024, // some dozens are usual
	FILE_MAX_BYTES = 1 << 20, // the longest there are have some KiB
	LINES_MAX = 1024, // that set the one key we ask for
};

struct names {
	char *paths[FILES_MAX];
	size_t n;
};

static void names_deinit(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->paths[i]);
}

static void closedirp(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir); // was only read
}

void sysctld_deinit(struct sysctld *found)
{
	for (size_t i = 0; i < found->n; i++) {
		free(found->lines[i].file);
		free(found->lines[i].value);
	}
	free(found->lines);
	*found = (struct sysctld){ 0 };
}

// ---- lines ---------------------------------------------------------------------------------

static const char blanks[] = " \t\r";

/// Cuts blanks off both ends of a text, in place.
static char *strip(char *s)
{
	s += strspn(s, blanks);
	size_t len = strlen(s);
	while (len && strchr(blanks, s[len - 1]))
		len--;
	s[len] = '\0';
	return s;
}

/// As a path: in a key whose first separator is a dot, dots and slashes change places.
static void normalize(char *key)
{
	char *first = strpbrk(key, "./");
	if (!first || *first == '/')
		return;
	for (char *p = first; *p; p++)
		if (*p == '.')
			*p = '/';
		else if (*p == '/')
			*p = '.';
}

static struct snap_error *add(struct sysctld *found, const char *file, size_t number,
			      const char *value, bool glob)
{
	if (found->n == LINES_MAX) {
		found->incomplete = true;
		return NULL;
	}
	struct sysctld_line *more = realloc(found->lines, (found->n + 1) * sizeof(*more));
	if (!more)
		return snap_error_oom();
	found->lines = more;
	struct sysctld_line line = { strdup(file), number, strdup(value), glob };
	if (!line.file || !line.value) {
		free(line.file);
		free(line.value);
		return snap_error_oom();
	}
	more[found->n++] = line;
	return NULL;
}

static struct snap_error *parse_line(struct sysctld *found, const char *file, size_t number,
				     char *line, const char *path)
{
	line = strip(line);
	char *equals = strchr(line, '=');
	// One without a value only keeps patterns from setting the key.
	if (!*line || *line == '#' || *line == ';' || !equals)
		return NULL;
	*equals = '\0';
	char *key = strip(line);
	key += *key == '-'; // whether a failure matters
	normalize(key);
	key += strspn(key, "/");
	bool glob = key[strcspn(key, "*?[")] != '\0';
	if (glob ? fnmatch(key, path, FNM_PATHNAME | FNM_PERIOD) != 0 : strcmp(key, path) != 0)
		return NULL;
	return add(found, file, number, strip(equals + 1), glob);
}

struct snap_error *sysctld_parse(struct sysctld *found, const char *file, const char *text,
				 const char *name)
{
	_cleanup_free_ char *copy = strdup(text), *path = strdup(name);
	struct snap_error *err = NULL;
	if (!copy || !path)
		return snap_error_oom();
	normalize(path);
	size_t number = 0;
	for (char *line = copy; !err && line;) {
		char *newline = strchr(line, '\n');
		if (newline)
			*newline = '\0';
		err = parse_line(found, file, ++number, line, path);
		line = newline ? newline + 1 : NULL;
	}
	return err;
}

const struct sysctld_line *sysctld_winner(const struct sysctld *found, const char *but)
{
	const struct sysctld_line *winner = NULL;
	for (size_t i = 0; i < found->n; i++) {
		const struct sysctld_line *line = &found->lines[i];
		if (but && !strcmp(line->file, but))
			continue;
		if (!winner || !line->glob || winner->glob)
			winner = line;
	}
	return winner;
}

// ---- files ---------------------------------------------------------------------------------

static const char *base_name(const char *path)
{
	return strrchr(path, '/') + 1;
}

static bool has_name(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++)
		if (!strcmp(base_name(names->paths[i]), name))
			return true;
	return false;
}

static bool is_conf(const char *name)
{
	size_t len = strlen(name);
	return len > strlen(".conf") && name[0] != '.' &&
	       !strcmp(name + len - strlen(".conf"), ".conf");
}

/// Only out of memory is an error.
static int list_folder(const char *root, const char *folder, struct names *names,
		       bool *ret_incomplete)
{
	_cleanup_free_ char *path = NULL;
	if (asprintf(&path, "%s%s", root, folder) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	_cleanup_(closedirp) DIR *dir = opendir(path);
	*ret_incomplete |= !dir && errno != ENOENT && errno != ENOTDIR;
	for (const struct dirent *entry; dir && (entry = readdir(dir));) {
		if (!is_conf(entry->d_name) || has_name(names, entry->d_name))
			continue;
		if (names->n == FILES_MAX) {
			*ret_incomplete = true;
			return 0;
		}
		if (asprintf(&names->paths[names->n], "%s/%s", folder, entry->d_name) < 0)
			return -ENOMEM;
		names->n++;
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	const char *const *one = a, *const *other = b;
	return strcmp(base_name(*one), base_name(*other));
}

static struct snap_error *read_file(struct sysctld *found, const char *root, const char *file,
				    const char *name)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	struct stat st;
	if (asprintf(&path, "%s%s", root, file) < 0) {
		path = NULL;
		return snap_error_oom();
	}
	// A link to /dev/null switches off files of the same name in other folders.
	bool regular = stat(path, &st) == 0 && S_ISREG(st.st_mode);
	ssize_t n = regular ? snap_read_file_at(AT_FDCWD, path, FILE_MAX_BYTES, &text) : 0;
	found->incomplete |= n < 0;
	return n > 0 ? sysctld_parse(found, file, text, name) : NULL;
}

struct snap_error *sysctld_find(const char *root, const char *name, struct sysctld *ret)
{
	_cleanup_(names_deinit) struct names names = { .n = 0 };
	_cleanup_sysctld_ struct sysctld found = { 0 };
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		if (list_folder(root, folders[i], &names, &found.incomplete) < 0)
			return snap_error_oom();
	qsort(names.paths, names.n, sizeof(*names.paths), compare);
	for (size_t i = 0; i < names.n; i++) {
		struct snap_error *err = read_file(&found, root, names.paths[i], name);
		if (err)
			return err;
	}
	*ret = found;
	memset(&found, 0, sizeof(found));
	return NULL;
}
