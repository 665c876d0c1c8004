// SPDX-License-Identifier: LGPL-2.1-or-later
#include "storebinaries.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "retention.h"
#include "storefile.h"
#include "storeid.h"

// Removing dumps that share their files with others makes less room than it seems.
enum { ROUNDS = 8 };

static const int dir_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

struct storebinaries {
	int store; ///< borrowed
	int dirfd, contents; ///< STORE/binaries and by-hash in it; -EBADF: not there yet
	storebinaries_find find;
	void *userdata;
	uint64_t max_bytes, bytes;
};

// ---- folders ---------------------------------------------------------------------------------

/// Opens a folder of ours, and makes it if @mode is not 0; -errno.
static int open_folder(int parent, const char *name, mode_t mode)
{
	struct stat st;
	bool made = mode && mkdirat(parent, name, 0700) == 0;
	if (mode && !made && errno != EEXIST)
		return -errno;
	_cleanup_close_ int fd = openat(parent, name, dir_flags);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
		return -EPERM;
	if (made && fchmod(fd, mode) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int open_folders(struct storebinaries *b, bool make)
{
	if (b->contents >= 0)
		return 0;
	_cleanup_close_ int dirfd = open_folder(b->store, BINARIES_FOLDER, make ? 0755 : 0);
	if (dirfd < 0)
		return dirfd;
	_cleanup_close_ int contents = open_folder(dirfd, BINARIES_CONTENTS, make ? 0700 : 0);
	if (contents < 0)
		return contents;
	b->dirfd = TAKE_FD(dirfd);
	b->contents = TAKE_FD(contents);
	return 0;
}

/// Removes what is in the folder @fd, which it takes; what is a folder in that is for @empty_sub.
/// What stays is found by the next sweep.
static void empty(int fd, void (*empty_sub)(int fd))
{
	DIR *dir = fdopendir(fd);
	const struct dirent *d;
	while (dir && (d = readdir(dir))) {
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..") ||
		    unlinkat(dirfd(dir), d->d_name, 0) == 0 || errno != EISDIR || !empty_sub)
			continue;
		int sub = openat(dirfd(dir), d->d_name, dir_flags);
		if (sub >= 0)
			empty_sub(sub);
		(void)unlinkat(dirfd(dir), d->d_name, AT_REMOVEDIR);
	}
	if (dir)
		(void)closedir(dir);
	else
		(void)close(fd);
}

/// .build-id/xx
static void empty_last(int fd)
{
	empty(fd, NULL);
}

/// .build-id, and other
static void empty_places(int fd)
{
	empty(fd, empty_last);
}

struct snap_error *storebinaries_create(int dirfd, storebinaries_find find, void *userdata,
					struct storebinaries **ret)
{
	struct storebinaries *b = calloc(1, sizeof(*b));
	if (!b)
		return snap_error_oom();
	b->store = dirfd;
	b->dirfd = b->contents = -EBADF;
	b->find = find;
	b->userdata = userdata;
	b->max_bytes = UINT64_MAX;
	*ret = b;
	return NULL;
}

void storebinaries_destroy(struct storebinaries *binaries)
{
	if (!binaries)
		return;
	snap_closep(&binaries->dirfd);
	snap_closep(&binaries->contents);
	free(binaries);
}

void storebinaries_set_limit(struct storebinaries *binaries, uint64_t max_bytes)
{
	binaries->max_bytes = max_bytes;
}

uint64_t storebinaries_bytes(const struct storebinaries *binaries)
{
	return binaries->bytes;
}

// ---- what dumps have -------------------------------------------------------------------------

static bool is_hash(const char *text)
{
	return text && strlen(text) == DIGEST_SIZE - 1 &&
	       strspn(text, "0123456789abcdef") == DIGEST_SIZE - 1;
}

/// The list in the folder of a dump, or NULL.
static struct json *read_list(int folder)
{
	struct stat st;
	_cleanup_close_ int fd = storefile_open(folder, BINARIES_LIST, &st);
	if (fd < 0 || st.st_size <= 0 || st.st_size > BINARIES_LIST_MAX)
		return NULL;
	_cleanup_free_ char *text = malloc((size_t)st.st_size);
	ssize_t n = text ? snap_pread_full(fd, text, (size_t)st.st_size, 0) : -1;
	return n > 0 ? json_parse(text, (size_t)n) : NULL;
}

static void drop_content(struct storebinaries *b, const char *hash)
{
	struct stat st;
	if (fstatat(b->contents, hash, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_nlink > 1 || unlinkat(b->contents, hash, 0) < 0)
		return;
	uint64_t bytes = storefile_disk_bytes(&st);
	b->bytes -= MIN(bytes, b->bytes);
}

void storebinaries_remove(struct storebinaries *b, uint64_t id)
{
	char name[STOREID_SIZE];
	if (b->dirfd < 0)
		return;
	int folder = openat(b->dirfd, storeid_format(id, name), dir_flags);
	if (folder < 0)
		return;
	_cleanup_(json_destroyp) struct json *list = read_list(folder);
	const struct json *files = json_get(list, "files");
	empty(folder, empty_places);
	(void)unlinkat(b->dirfd, name, AT_REMOVEDIR);
	for (size_t i = 0; i < json_length(files); i++) {
		const char *hash = json_get_text(json_at(files, i), "hash");
		if (is_hash(hash))
			drop_content(b, hash);
	}
}

/// Calls @each for each name in a folder, which may remove it.
static void for_each(int folder, void (*each)(struct storebinaries *b, const char *name),
		     struct storebinaries *b)
{
	int fd = openat(folder, ".", dir_flags);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;
	while (dir && (d = readdir(dir)))
		each(b, d->d_name);
	if (dir)
		(void)closedir(dir);
	else
		snap_closep(&fd);
}

static void sweep_dump(struct storebinaries *b, const char *name)
{
	struct storebinaries_dump dump;
	uint64_t id;
	if (storeid_parse(name, &id) == 0 && !b->find(b->userdata, id, &dump))
		storebinaries_remove(b, id);
}

static void count_content(struct storebinaries *b, const char *name)
{
	struct stat st;
	if (!is_hash(name))
		return;
	drop_content(b, name);
	if (fstatat(b->contents, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		b->bytes += storefile_disk_bytes(&st);
}

void storebinaries_sweep(struct storebinaries *b)
{
	if (open_folders(b, false) == 0)
		for_each(b->dirfd, sweep_dump, b);
	storebinaries_count(b);
}

void storebinaries_count(struct storebinaries *b)
{
	if (open_folders(b, false) < 0)
		return;
	b->bytes = 0;
	for_each(b->contents, count_content, b);
}

// ---- room ------------------------------------------------------------------------------------

/// What the dump takes of the disk, of files in common its part.
static uint64_t weight_of(const struct storebinaries *b, const char *name)
{
	uint64_t weight = 0;
	struct stat st;
	_cleanup_close_ int folder = openat(b->dirfd, name, dir_flags);
	_cleanup_(json_destroyp) struct json *list = folder < 0 ? NULL : read_list(folder);
	const struct json *files = json_get(list, "files");
	for (size_t i = 0; i < json_length(files); i++) {
		const char *hash = json_get_text(json_at(files, i), "hash");
		if (is_hash(hash) &&
		    fstatat(b->contents, hash, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink > 1)
			weight += storefile_disk_bytes(&st) / (st.st_nlink - 1);
	}
	return weight;
}

struct shares {
	struct retention_item *items; ///< the first one is what needs the room
	uint64_t *ids; ///< of the items
	enum retention_reason *reasons;
	size_t n, size;
};

static void shares_deinit(struct shares *shares)
{
	free(shares->items);
	free(shares->ids);
	free(shares->reasons);
}

static bool grow(struct shares *s)
{
	size_t size = MAX(s->size * 2, (size_t)64);
	struct retention_item *items = reallocarray(s->items, size, sizeof(*items));
	if (items)
		s->items = items;
	uint64_t *ids = reallocarray(s->ids, size, sizeof(*ids));
	if (ids)
		s->ids = ids;
	enum retention_reason *reasons = reallocarray(s->reasons, size, sizeof(*reasons));
	if (reasons)
		s->reasons = reasons;
	if (!items || !ids || !reasons)
		return false;
	s->size = size;
	return true;
}

static bool add_share(struct shares *s, const struct storebinaries_dump *dump, uint64_t bytes)
{
	if (s->n == s->size && !grow(s))
		return false;
	s->ids[s->n] = dump->id;
	s->items[s->n++] = (struct retention_item){ .usec = dump->usec,
						    .bytes = bytes,
						    .exe_key = dump->id,
						    .uid = dump->uid,
						    .pinned = dump->is_draft };
	return true;
}

static bool list_shares(const struct storebinaries *b, struct shares *s)
{
	int fd = openat(b->dirfd, ".", dir_flags);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;
	bool ok = dir;
	while (ok && (d = readdir(dir))) {
		struct storebinaries_dump dump = { 0 };
		if (storeid_parse(d->d_name, &dump.id) == 0 &&
		    b->find(b->userdata, dump.id, &dump))
			ok = add_share(s, &dump, weight_of(b, d->d_name));
	}
	if (dir)
		(void)closedir(dir);
	else
		snap_closep(&fd);
	return ok;
}

/// Takes away those of older dumps, if that makes room for the @bytes of the new one. Returns
/// whether it changed anything.
static bool push_out(struct storebinaries *b, const struct storebinaries_dump *dump, uint64_t bytes)
{
	_cleanup_(shares_deinit) struct shares s = { 0 };
	// 0 would be no limit.
	const struct retention_limits limits = { .max_use = b->max_bytes ? b->max_bytes : 1 };
	const struct retention_state state = { .now_usec = dump->usec, .free_bytes = INT64_MAX };
	struct retention_result result;
	if (!add_share(&s, dump, bytes) || !list_shares(b, &s))
		return false;
	struct snap_error *err =
		retention_plan(s.items, s.n, &limits, &state, s.reasons, &result);
	bool possible = !err && result.unmet == RETENTION_KEEP && result.n_removed;
	snap_error_destroy(err);
	for (size_t i = 0; possible && i < s.n; i++)
		if (s.reasons[i] != RETENTION_KEEP)
			storebinaries_remove(b, s.ids[i]);
	return possible;
}

static bool fits(const struct storebinaries *b, uint64_t need)
{
	return b->max_bytes == UINT64_MAX ||
	       (need <= b->max_bytes && b->bytes <= b->max_bytes - need);
}

void storebinaries_retain(struct storebinaries *b)
{
	const struct storebinaries_dump nobody = { .uid = (uid_t)-1, .is_draft = true };
	storebinaries_count(b);
	for (int i = 0; i < ROUNDS && !fits(b, 0); i++)
		if (!push_out(b, &nobody, 0))
			break;
}

// ---- adding ----------------------------------------------------------------------------------

struct adding {
	struct storebinaries *b;
	struct storebinaries_dump dump;
	int folder; ///< of the crash
	int tree; ///< of the dump
	size_t n;
	uint64_t bytes; ///< of contents that it has brought
};

static bool make_room(const struct adding *a, uint64_t need)
{
	struct storebinaries *b = a->b;
	if (need > b->max_bytes)
		return false;
	for (int i = 0; i < ROUNDS && !fits(b, need); i++)
		if (!push_out(b, &a->dump, a->bytes + need))
			break;
	return fits(b, need);
}

/// Has the content @hash in the store, from the file @path of the folder unless it is there.
/// Returns why it has not, or NULL.
static const char *keep_content(struct adding *a, const char *path, const char *hash)
{
	struct storebinaries *b = a->b;
	struct stat st, there;
	if (fstatat(a->folder, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_uid != geteuid())
		return "its copy is missing";
	if (fstatat(b->contents, hash, &there, AT_SYMLINK_NOFOLLOW) == 0)
		return there.st_size == st.st_size ? NULL : "its copy is damaged";
	uint64_t bytes = storefile_disk_bytes(&st);
	if (!make_room(a, bytes))
		return "CaptureMaxUse= leaves no room for it";
	// Only root gets at what is in by-hash, and at the copy of the hook.
	if (fchmodat(a->folder, path, 0644, 0) < 0 ||
	    linkat(a->folder, path, b->contents, hash, 0) < 0)
		return "it cannot be given its place";
	b->bytes += bytes;
	a->bytes += bytes;
	return NULL;
}

/// Makes the folders of a place in the tree.
static void make_folders(int tree, const char *place)
{
	char path[BINARIES_PLACE_SIZE];
	for (const char *slash = strchr(place, '/'); slash; slash = strchr(slash + 1, '/')) {
		(void)snprintf(path, sizeof(path), "%.*s", (int)(slash - place), place);
		int fd = open_folder(tree, path, 0755);
		snap_closep(&fd); // one that is not there is noticed by whoever links
	}
}

/// Links the content to a place in the tree: -EEXIST when another one is there.
static int link_to(const struct adding *a, const char *hash, const char *place)
{
	struct stat ours, there;
	make_folders(a->tree, place);
	if (linkat(a->b->contents, hash, a->tree, place, 0) == 0)
		return 0;
	int r = -errno;
	bool same = r == -EEXIST && fstatat(a->b->contents, hash, &ours, 0) == 0 &&
		    fstatat(a->tree, place, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
		    ours.st_ino == there.st_ino;
	return same ? 0 : r;
}

/// Returns why it is not kept, or NULL.
static const char *add_file(struct adding *a, const struct json *file, struct json *ret)
{
	char path[64], place[BINARIES_PLACE_SIZE];
	const char *hash = json_get_text(file, "hash"), *id = json_get_text(file, "build_id");
	const char *number = json_get_text(file, "file");
	const char *name_hash = json_get_text(file, "name_hash");
	if (!is_hash(hash) || !is_hash(name_hash) || !number || !*number || strlen(number) > 8 ||
	    strspn(number, "0123456789") != strlen(number))
		return "its copy is missing";
	(void)snprintf(path, sizeof(path), BINARIES_FOLDER "/%s", number);
	const char *why = keep_content(a, path, hash);
	if (why)
		return why;
	int r = id ? binaries_place_by_id(id, place) : -EINVAL;
	if (r == 0)
		r = link_to(a, hash, place);
	if (r < 0) { // none, or one that another file has too
		binaries_place_by_name(name_hash, place);
		r = link_to(a, hash, place);
	}
	if (r < 0) {
		drop_content(a->b, hash);
		return "it cannot be given its place";
	}
	static const char *const shared[] = { "build_id", "soname", "bytes", "hash", "name_hash" };
	for (size_t i = 0; i < ARRAY_SIZE(shared); i++)
		if (json_get(file, shared[i]))
			json_set_shared(ret, shared[i], json_get(file, shared[i]));
	json_set_text(ret, "file", place);
	a->n++;
	return NULL;
}

static struct json *add_files(struct adding *a, const struct json *files)
{
	struct json *added = json_new_array();
	size_t n = MIN(json_length(files), (size_t)BINARIES_FILES_MAX);
	for (size_t i = 0; i < n; i++) {
		const struct json *file = json_at(files, i);
		const char *why = json_get_text(file, "why"), *name = json_get_text(file, "name");
		struct json *one = json_new_object();
		json_set_message(one, "name", name ? name : ""); // the hook has escaped it
		json_set_bool(one, "program", json_get_bool(file, "program", false));
		if (!why && a->tree >= 0)
			why = add_file(a, file, one);
		else if (!why)
			why = "there is no folder for it";
		if (why)
			json_set_message(one, "why", why);
		json_add(added, one);
	}
	return added;
}

static int write_list(int tree, const struct json *files)
{
	_cleanup_(json_destroyp) struct json *list = json_new_object();
	json_set_shared(list, "files", files);
	const char *text = json_text(list);
	_cleanup_close_ int fd =
		openat(tree, BINARIES_LIST, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		       0600);
	if (!text || fd < 0)
		return text ? -errno : -ENOMEM;
	return fchmod(fd, 0644) < 0 ? -errno : snap_write_all(fd, text, strlen(text));
}

struct json *storebinaries_add(struct storebinaries *b, const struct storebinaries_dump *dump,
			       bool grant, int folder, const struct json *files, size_t *ret_n)
{
	char name[STOREID_SIZE];
	struct adding a = { .b = b, .dump = *dump, .folder = folder, .tree = -EBADF };
	a.dump.is_draft = true;
	(void)storeid_format(dump->id, name);
	if (open_folders(b, true) == 0)
		a.tree = open_folder(b->dirfd, name, 0700);
	struct json *added = add_files(&a, files);
	int r = a.n ? write_list(a.tree, added) : 0;
	// Who may not come in is better off than who may, should that fail.
	if (a.n && r == 0)
		r = storefile_protect_folder(a.tree, dump->uid, grant);
	snap_closep(&a.tree);
	if (!a.n || (r < 0 && r != -EOPNOTSUPP)) {
		a.n = 0;
		storebinaries_remove(b, dump->id);
		if (r < 0) {
			json_destroy(added);
			added = json_new_array();
		}
	}
	*ret_n = a.n;
	return added;
}
