// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The main() of a fuzz target as a plain program: runs every file that is given, and every file of
 * the folders that are given, once.
 */
#include <dirent.h>
#include <errno.h>

#include "fuzz.h"

static size_t n_inputs;

static int run_file(const char *path)
{
	_cleanup_fclose_ FILE *f = fopen(path, "rbe");
	if (!f)
		return -errno;
	_cleanup_free_ uint8_t *data = NULL;
	size_t size = 0, room = 0;
	do {
		room = room ? room * 2 : 65536;
		uint8_t *bigger = realloc(data, room);
		if (!bigger)
			return -ENOMEM;
		data = bigger;
		size += fread(data + size, 1, room - size, f);
	} while (size == room);
	if (ferror(f))
		return -EIO;
	(void)LLVMFuzzerTestOneInput(data, size);
	n_inputs++;
	return 0;
}

static int run_folder(const char *path, DIR *dir)
{
	int result = 0;
	for (struct dirent *d; result == 0 && (d = readdir(dir));) {
		if (d->d_name[0] == '.')
			continue;
		_cleanup_free_ char *file = NULL;
		if (asprintf(&file, "%s/%s", path, d->d_name) < 0) {
			file = NULL;
			return -ENOMEM;
		}
		result = run_file(file);
		if (result < 0)
			(void)fprintf(stderr, "%s: %s\n", file, strerror(-result));
	}
	return result;
}

static int run_path(const char *path)
{
	DIR *dir = opendir(path);
	if (!dir) {
		int r = run_file(path);
		if (r < 0)
			(void)fprintf(stderr, "%s: %s\n", path, strerror(-r));
		return r;
	}
	int r = run_folder(path, dir);
	(void)closedir(dir);
	return r;
}

int main(int argc, char *argv[])
{
	const char *name = program_invocation_short_name;
	if (!strncmp(name, "fuzz-", 5))
		name += 5;
	for (int i = 1; i < argc; i++)
		if (run_path(argv[i]) < 0)
			return 1;
	printf("%s: %zu inputs\n", name, n_inputs);
	return n_inputs ? 0 : 1;
}
