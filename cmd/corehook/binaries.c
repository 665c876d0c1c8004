// SPDX-License-Identifier: LGPL-2.1-or-later
#include "binaries.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/elfid.h"
#include "common/fd.h"
#include "patience.h"
#include "place.h"

// A process waits for this, so it is not as patient as one is with memory: what is mapped was open
// before, and the file system has it in its caches.
enum {
	OPEN_MS = 500, ///< for one file
	OPEN_ALL_MS = 2000,
};

// Nobody waits for this but the record.
enum {
	KEEP_MS = PATIENCE_MS, ///< for one file
	KEEP_ALL_MS = 30 * 1000,
};

enum {
	CHUNK = 64 << 10,
	// Twice the largest browser. What is larger mostly has all of its debug information in it,
	// and whoever builds that keeps it.
	FILE_MAX = 512 << 20,
	// What all files of one crash may have together.
	CRASH_MAX = 1 << 30,
	NICE = 10, // as the worker that compresses
};

static const char no_answer[] = "it did not answer in time";
static const char too_large[] = "it is larger than 512 MiB";

struct binary {
	char *name; ///< as the core has it
	bool is_program;
	int fd; ///< -EBADF: not to be had
	const char *why; ///< then
};

struct binaries {
	struct binary files[BINARIES_FILES_MAX];
	size_t n;
};

static void binaries_destroy(struct binaries *binaries)
{
	for (size_t i = 0; binaries && i < binaries->n; i++) {
		free(binaries->files[i].name);
		snap_closep(&binaries->files[i].fd);
	}
	free(binaries);
}

/// What is left of @ms that began at @begin_ns, at most @max.
static unsigned int time_left(uint64_t begin_ns, unsigned int ms, unsigned int max)
{
	uint64_t gone = (snap_now_ns() - begin_ns) / 1000000;
	return gone >= ms ? 0 : MIN(ms - (unsigned int)gone, max);
}

// ---- while the process is held ---------------------------------------------------------------

enum wanted { WANTED_NONE, WANTED_OF_CONTAINERS, WANTED_ALL };

static enum wanted read_wanted(const struct folder *folder)
{
	char text[16] = "";
	_cleanup_close_ int fd = openat(folder->crashes, BINARIES_WANTED,
					O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || snap_pread_full(fd, text, sizeof(text) - 1, 0) < 0)
		return WANTED_NONE;
	return !strncmp(text, "yes", 3)	       ? WANTED_ALL :
	       !strncmp(text, "containers", 10) ? WANTED_OF_CONTAINERS :
						  WANTED_NONE;
}

/// One look at what may be behind a file system that does not answer.
struct look {
	struct errand errand;
	int piddir;
	char path[64]; ///< below it
	int fd; ///< the file, opened for reading
	const char *why; ///< it is not
	bool is_root; ///< it is not opened, only compared with our root
	bool is_ours;
};

/// Everything that the kernel can say without asking whose files they are.
static int stat_quietly(int dirfd, const char *path, struct statx *ret)
{
	const int flags = AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
	return statx(dirfd, path, flags, STATX_TYPE | STATX_INO | STATX_SIZE, ret) < 0 ? -errno : 0;
}

static bool is_our_root(int dirfd, const char *path)
{
	struct statx theirs, ours;
	return stat_quietly(dirfd, path, &theirs) == 0 && stat_quietly(AT_FDCWD, "/", &ours) == 0 &&
	       theirs.stx_ino == ours.stx_ino && theirs.stx_dev_major == ours.stx_dev_major &&
	       theirs.stx_dev_minor == ours.stx_dev_minor;
}

/// Opens it if it is an ELF file. Devices are not opened, which may do something; and of a file
/// with a lease nobody waits for the end (O_NONBLOCK).
static void open_file(struct look *look)
{
	char self[64];
	struct statx st;
	_cleanup_close_ int path = openat(look->piddir, look->path, O_PATH | O_CLOEXEC);
	if (path < 0 || stat_quietly(path, "", &st) < 0) {
		look->why = "it cannot be found any more";
		return;
	}
	if (!S_ISREG(st.stx_mode) || !st.stx_size)
		return;
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", path);
	_cleanup_close_ int fd = open(self, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) {
		look->why = "it cannot be opened";
		return;
	}
	int is_elf = elfid_is_elf(fd);
	if (is_elf < 0)
		look->why = "it cannot be read";
	else if (is_elf && st.stx_size > FILE_MAX)
		look->why = too_large;
	else if (is_elf)
		look->fd = TAKE_FD(fd);
}

static void look_run(struct errand *errand)
{
	struct look *look = (struct look *)errand;
	if (look->is_root)
		look->is_ours = is_our_root(look->piddir, look->path);
	else
		open_file(look);
}

static void look_destroy(struct errand *errand)
{
	struct look *look = (struct look *)errand;
	snap_closep(&look->piddir);
	snap_closep(&look->fd);
	free(look);
}

/// NULL when it has not come back within @ms; else for look_destroy().
static struct look *send_out(int piddir, const char *path, bool is_root, unsigned int ms)
{
	struct look *look = ms ? malloc(sizeof(*look)) : NULL;
	if (!look)
		return NULL;
	*look = (struct look){ .errand = { .run = look_run, .destroy = look_destroy },
			       .piddir = fcntl(piddir, F_DUPFD_CLOEXEC, 3),
			       .fd = -EBADF,
			       .is_root = is_root };
	(void)snprintf(look->path, sizeof(look->path), "%s", path);
	return patience_run(&look->errand, ms) ? look : NULL;
}

static bool has_our_root(int piddir)
{
	struct look *look = send_out(piddir, "root", true, OPEN_MS);
	bool is_ours = look && look->is_ours;
	if (look)
		look_destroy(&look->errand);
	return is_ours;
}

static bool is_listed(const struct binaries *binaries, const char *name)
{
	for (size_t i = 0; i < binaries->n; i++)
		if (!strcmp(binaries->files[i].name, name))
			return true;
	return false;
}

/// Opens the file behind @map, which nobody waits for any longer than @ms.
static void add_file(struct binaries *binaries, const struct hook *hook, int piddir,
		     const struct snap_mapping *map, unsigned int ms)
{
	char path[64];
	const char *name = snap_mapping_name(&hook->head.snap, map);
	struct binary binary = { .name = strdup(name),
				 .is_program = place_is_program(&hook->head, map),
				 .fd = -EBADF };
	(void)snprintf(path, sizeof(path), "map_files/%" PRIx64 "-%" PRIx64, map->start, map->end);
	struct look *look = share_avoids(hook->share, map->start) ?
				    NULL :
				    send_out(piddir, path, false, ms);
	if (look)
		binary.fd = TAKE_FD(look->fd);
	binary.why = look ? look->why : no_answer;
	if (look)
		look_destroy(&look->errand);
	if (binary.name && strlen(name) <= BINARIES_NAME_MAX && (binary.fd >= 0 || binary.why)) {
		binaries->files[binaries->n++] = binary;
		return;
	}
	free(binary.name); // no ELF file: code that is made while the program runs
	snap_closep(&binary.fd);
}

static void open_files(struct binaries *binaries, const struct hook *hook, int piddir)
{
	const struct snapshot *snap = &hook->head.snap;
	uint64_t begin = snap_now_ns();
	for (size_t i = 0; i < snap->n_mappings && binaries->n < BINARIES_FILES_MAX; i++) {
		const struct snap_mapping *map = &snap->mappings[i];
		if (map->flags & SNAP_MAP_EXEC && map->inode &&
		    !is_listed(binaries, snap_mapping_name(snap, map)))
			add_file(binaries, hook, piddir, map,
				 time_left(begin, OPEN_ALL_MS, OPEN_MS));
	}
}

struct binaries *binaries_open(const struct hook *hook)
{
	pid_t tid;
	enum wanted wanted = read_wanted(&hook->folder);
	if (wanted == WANTED_NONE || !hook->head.plan)
		return NULL;
	_cleanup_close_ int piddir = crash_open_proc(&hook->crash, &tid);
	if (piddir < 0 || (wanted == WANTED_OF_CONTAINERS && has_our_root(piddir)))
		return NULL;
	struct binaries *binaries = calloc(1, sizeof(*binaries));
	if (!binaries)
		return NULL;
	open_files(binaries, hook, piddir);
	// Only now is it known that the number meant the process that has crashed.
	if (binaries->n && (hook->crash.by_pidfd || crash_is_held()))
		return binaries;
	binaries_destroy(binaries);
	return NULL;
}

// ---- when it has been let go -----------------------------------------------------------------

/// One file on its way into the folder. Owns what it uses, since it may never come back.
struct keeping {
	struct errand errand;
	int source, out, contents; ///< contents: by-hash of the store, or -EBADF
	char number[8]; ///< its name in the folder
	uint64_t max; ///< bytes
	const char *why; ///< it was not kept
	int copy; ///< of what is new, which is not synced yet; else -EBADF
	bool is_new;
	uint64_t bytes;
	char hash[DIGEST_SIZE];
	struct elfid id;
	char buf[CHUNK];
};

static bool is_zero(const char *bytes, size_t len)
{
	return !*bytes && !memcmp(bytes, bytes + 1, len - 1);
}

/// Reads all of the source, and writes it to @to, if that is none of -EBADF, with holes for zeros.
static int read_all(struct keeping *k, int to)
{
	struct digest digest;
	uint64_t at = 0;
	digest_init(&digest);
	for (;;) {
		ssize_t n = snap_pread_full(k->source, k->buf, CHUNK, at);
		int r = n < 0 ? (int)n : 0;
		if (n > 0 && at + (uint64_t)n > k->max)
			return -EFBIG;
		if (n > 0 && to >= 0 && !is_zero(k->buf, (size_t)n))
			r = snap_pwrite_all(to, k->buf, (size_t)n, at);
		if (r < 0)
			return r;
		if (n <= 0)
			break;
		digest_add(&digest, k->buf, (size_t)n);
		at += (uint64_t)n;
	}
	digest_finish(&digest, k->hash);
	k->bytes = at;
	return to >= 0 && ftruncate(to, (off_t)at) < 0 ? -errno : 0;
}

/// A descriptor of what the store has already, which then is in the folder too; -errno.
static int link_known(const struct keeping *k)
{
	if (k->contents < 0 || linkat(k->contents, k->hash, k->out, k->number, 0) < 0)
		return -ENOENT;
	int fd = openat(k->out, k->number, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/// What is free is for cores first.
static bool has_room(const struct keeping *k)
{
	struct statvfs st;
	return fstatvfs(k->out, &st) == 0 &&
	       (!st.f_blocks || (uint64_t)st.f_bavail * st.f_frsize / 4 > k->bytes);
}

static int copy_file(struct keeping *k)
{
	const int flags = O_RDWR | O_CLOEXEC;
	char path[64];
	struct stat st;
	if (!has_room(k))
		return -ENOSPC;
	_cleanup_close_ int fd = openat(k->out, ".", flags | O_TMPFILE, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) // a file system without such files
		fd = openat(k->out, k->number, flags | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	int r = read_all(k, fd);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (r == 0 && fstat(fd, &st) == 0 && !st.st_nlink &&
	    linkat(AT_FDCWD, path, k->out, k->number, AT_SYMLINK_FOLLOW) < 0)
		r = -errno;
	// So that it has long begun when it is waited for.
	(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	k->is_new = true;
	return r < 0 ? r : TAKE_FD(fd);
}

static void keep_run(struct errand *errand)
{
	struct keeping *k = (struct keeping *)errand;
	int r = read_all(k, -EBADF);
	_cleanup_close_ int fd = r < 0 ? r : link_known(k);
	if (r == 0 && fd < 0)
		fd = copy_file(k);
	r = fd >= 0 ? elfid_read(fd, &k->id) : fd;
	if (r == 0 && k->is_new)
		k->copy = TAKE_FD(fd);
	if (r < 0)
		k->why = r == -EFBIG	? k->max < FILE_MAX ?
					  "the files of this crash are larger than 1 GiB together" :
					  too_large :
			 r == -ENOSPC	? "the disk has no room for it" :
			 r == -EBADMSG	? "it is no ELF file that is understood" :
					  "it cannot be copied";
}

static void keep_destroy(struct errand *errand)
{
	struct keeping *k = (struct keeping *)errand;
	snap_closep(&k->source);
	snap_closep(&k->out);
	snap_closep(&k->contents);
	snap_closep(&k->copy);
	free(k);
}

struct keeper {
	int out, contents;
	uint64_t begin_ns;
	uint64_t bytes; ///< by now
	size_t n_kept;
	int copies[BINARIES_FILES_MAX]; ///< that are to be synced
	size_t n_copies;
};

/// Returns what became of it, for keep_destroy(); NULL: it has not come back.
static struct keeping *keep(const struct keeper *keeper, struct binary *binary)
{
	unsigned int ms = time_left(keeper->begin_ns, KEEP_ALL_MS, KEEP_MS);
	struct keeping *k = ms ? malloc(sizeof(*k)) : NULL;
	if (!k)
		return NULL;
	*k = (struct keeping){ .errand = { .run = keep_run, .destroy = keep_destroy },
			       .copy = -EBADF,
			       .out = fcntl(keeper->out, F_DUPFD_CLOEXEC, 3),
			       .contents = -EBADF };
	if (keeper->contents >= 0)
		k->contents = fcntl(keeper->contents, F_DUPFD_CLOEXEC, 3);
	k->source = TAKE_FD(binary->fd);
	k->max = MIN((uint64_t)CRASH_MAX - keeper->bytes, (uint64_t)FILE_MAX);
	(void)snprintf(k->number, sizeof(k->number), "%zu", keeper->n_kept);
	return patience_run(&k->errand, ms) ? k : NULL;
}

static void describe(const struct keeping *k, const char *name, struct json *file)
{
	char text[2 * ELF_BUILD_ID_MAX + 1];
	elf_build_id_format(&k->id.build_id, text);
	if (*text)
		json_set_text(file, "build_id", text);
	if (*k->id.soname)
		json_set_text(file, "soname", k->id.soname);
	json_set_u64(file, "bytes", k->bytes);
	json_set_text(file, "hash", k->hash);
	digest_text(name, strlen(name), text);
	json_set_text(file, "name_hash", text);
	json_set_text(file, "file", k->number);
}

static struct json *keep_one(struct keeper *keeper, struct binary *binary)
{
	struct json *file = json_new_object();
	json_set_text(file, "name", binary->name);
	json_set_bool(file, "program", binary->is_program);
	const char *why = binary->why;
	if (!why) {
		struct keeping *k = keep(keeper, binary);
		why = k ? k->why : no_answer;
		if (!why) {
			describe(k, binary->name, file);
			keeper->bytes += k->bytes;
			if (k->copy >= 0)
				keeper->copies[keeper->n_copies++] = TAKE_FD(k->copy);
		}
		if (k)
			keep_destroy(&k->errand);
		// Also when it failed: what has not come back may still take the name.
		keeper->n_kept++;
	}
	if (why)
		json_set_message(file, "why", why);
	return file;
}

/// Whoever has the same content later believes the name that it gets from its hash, so it has to
/// outlive a power failure. False when that is not sure.
static bool sync_copies(const struct keeper *keeper)
{
	bool ok = true;
	for (size_t i = 0; i < keeper->n_copies; i++) {
		ok &= fsync(keeper->copies[i]) == 0;
		snap_closep(&keeper->copies[i]);
	}
	return ok;
}

static struct json *keep_all(struct binaries *binaries, const struct folder *folder, int out)
{
	struct keeper keeper = { .out = out, .begin_ns = snap_now_ns() };
	struct json *list = json_new_object(), *files = json_new_array();
	keeper.contents = openat(folder->crashes, "../" BINARIES_FOLDER "/" BINARIES_CONTENTS,
				 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	for (size_t i = 0; i < binaries->n; i++)
		json_add(files, keep_one(&keeper, &binaries->files[i]));
	snap_closep(&keeper.contents);
	json_set(list, "files", files);
	if (sync_copies(&keeper))
		return list;
	json_destroy(list); // without one there are none
	return NULL;
}

void binaries_keep(struct binaries *binaries, const struct folder *folder)
{
	(void)setpriority(PRIO_PROCESS, 0, NICE);
	if (mkdirat(folder->fd, BINARIES_FOLDER, 0700) == 0) {
		_cleanup_close_ int out =
			openat(folder->fd, BINARIES_FOLDER,
			       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		_cleanup_(json_destroyp) struct json *list =
			out < 0 ? NULL : keep_all(binaries, folder, out);
		const char *text = json_text(list);
		if (text)
			(void)folder_write(folder, BINARIES_FOLDER "/" BINARIES_LIST, text,
					   strlen(text));
	}
	binaries_destroy(binaries);
}
