// SPDX-License-Identifier: LGPL-2.1-or-later
#include "recorder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/json.h"

enum {
	// Ten thousand dumps without a journal; beyond that the oldest is given up.
	RECORDS_MAX = 10000,
	RECORD_FILE_MAX = 64 << 20, ///< a record is a few times its summary at most
	NAME_MAX_BYTES = 32,
};

// journald answers within milliseconds, or not at all.
#define SEND_USEC (10 * 1000000ULL)
#define RETRY_USEC (5 * 1000000ULL)
#define RETRY_MAX_USEC (60 * 1000000ULL) // twice as long each time, up to this

struct item {
	STAILQ_ENTRY(item) entry;
	char name[NAME_MAX_BYTES]; ///< of its file; "" when it has none
	struct record *record; ///< when it has no file
};

struct recorder {
	sd_event *event;
	int dirfd; ///< -EBADF: memory only
	STAILQ_HEAD(, item) items;
	size_t n;
	struct pidref child; ///< sends the first one
	uint64_t retry_usec; ///< after the next failure
	sd_event_source *ended, *deadline, *timer;
};

static void item_destroy(struct item *item)
{
	record_destroy(item->record);
	free(item);
}

static void drop_first(struct recorder *r)
{
	struct item *item = STAILQ_FIRST(&r->items);
	STAILQ_REMOVE_HEAD(&r->items, entry);
	r->n--;
	if (*item->name)
		(void)unlinkat(r->dirfd, item->name, 0);
	item_destroy(item);
}

static void add_item(struct recorder *r, struct item *item)
{
	STAILQ_INSERT_TAIL(&r->items, item, entry);
	// Never the first while it is being sent.
	if (++r->n > RECORDS_MAX && r->child.pidfd < 0)
		drop_first(r);
}

// ---- files ---------------------------------------------------------------------------------

/// -EBADMSG when it is damaged: nobody can read it, now or later. Other errors may pass.
static int load(const struct recorder *r, const char *name, struct record **ret)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int fd =
		openat(r->dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT || errno == ELOOP || errno == ENXIO ? -EBADMSG : -errno;
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > RECORD_FILE_MAX)
		return -EBADMSG;
	text = malloc((size_t)st.st_size);
	if (!text)
		return -ENOMEM;
	ssize_t n = snap_pread_full(fd, text, (size_t)st.st_size, 0);
	if (n != st.st_size)
		return n < 0 ? (int)n : -EBADMSG;
	_cleanup_(json_destroyp) struct json *json = json_parse(text, (size_t)st.st_size);
	struct snap_error *err = json ? record_from_json(json, ret) : NULL;
	snap_error_destroy(err);
	return json && !err ? 0 : -EBADMSG;
}

static int save(const struct recorder *r, const struct record *record,
		char name[static NAME_MAX_BYTES])
{
	_cleanup_(json_destroyp) struct json *json = record_to_json(record);
	const char *text = json_text(json);
	char temp[NAME_MAX_BYTES + 1];
	uint64_t random;
	if (!text)
		return -ENOMEM;
	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	(void)snprintf(name, NAME_MAX_BYTES, "%016" PRIx64 ".json", random);
	(void)snprintf(temp, sizeof(temp), ".%s", name);
	_cleanup_close_ int fd =
		openat(r->dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int err = snap_write_all(fd, text, strlen(text));
	if (err == 0 && fsync(fd) < 0)
		err = -errno;
	if (err == 0 && renameat(r->dirfd, temp, r->dirfd, name) < 0)
		err = -errno;
	if (err < 0)
		(void)unlinkat(r->dirfd, temp, 0);
	return err;
}

/// Is it what save() calls its files?
static bool is_ours(const char *name)
{
	return strlen(name) == 21 && strspn(name, "0123456789abcdef") == 16 &&
	       !strcmp(name + 16, ".json");
}

static void find_left(struct recorder *r)
{
	int fd = fcntl(r->dirfd, F_DUPFD_CLOEXEC, 3);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;
	while (dir && (d = readdir(dir))) {
		if (d->d_name[0] == '.' && is_ours(d->d_name + 1))
			(void)unlinkat(r->dirfd, d->d_name, 0); // was being written
		if (!is_ours(d->d_name) || r->n >= RECORDS_MAX)
			continue;
		struct item *item = calloc(1, sizeof(*item));
		if (!item)
			break;
		(void)snprintf(item->name, sizeof(item->name), "%.21s", d->d_name);
		add_item(r, item);
	}
	if (dir)
		(void)closedir(dir);
}

// ---- sending -------------------------------------------------------------------------------

static void send_first(struct recorder *r);

static void send_later(struct recorder *r, uint64_t usec)
{
	uint64_t now;
	(void)sd_event_now(r->event, CLOCK_MONOTONIC, &now);
	(void)sd_event_source_set_time(r->timer, now + usec);
	(void)sd_event_source_set_enabled(r->timer, r->n ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static void retry_or_go_on(struct recorder *r, struct snap_error *err)
{
	send_later(r, err ? r->retry_usec : 0);
	if (err)
		r->retry_usec = MIN(r->retry_usec * 2, RETRY_MAX_USEC);
	snap_error_destroy(err);
}

static void finish(struct recorder *r)
{
	r->ended = sd_event_source_disable_unref(r->ended);
	r->deadline = sd_event_source_disable_unref(r->deadline);
	struct snap_error *err = record_reap(&r->child);
	r->child = PIDREF_NULL;
	if (!err) {
		drop_first(r);
		r->retry_usec = RETRY_USEC;
	}
	retry_or_go_on(r, err);
}

static int on_ended(sd_event_source *source _unused_, int fd _unused_, uint32_t events _unused_,
		    void *userdata)
{
	finish(userdata);
	return 0;
}

static int on_deadline(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
	finish(userdata);
	return 0;
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
	struct recorder *r = userdata;
	if (r->n && r->child.pidfd < 0)
		send_first(r);
	return 0;
}

static void send_first(struct recorder *r)
{
	const struct item *item = STAILQ_FIRST(&r->items);
	_cleanup_(record_destroyp) struct record *loaded = NULL;
	uint64_t now;
	int failed = item->record ? 0 : load(r, item->name, &loaded);
	if (failed == -EBADMSG) {
		drop_first(r);
		send_later(r, 0);
		return;
	}
	struct snap_error *err =
		failed ? snap_error_errno(SNAP_FAILED, -failed, "cannot read a record") :
			 record_start_sending(item->record ? item->record : loaded, &r->child);
	if (err) {
		r->child = PIDREF_NULL;
		retry_or_go_on(r, err);
		return;
	}
	(void)sd_event_now(r->event, CLOCK_MONOTONIC, &now);
	(void)sd_event_add_io(r->event, &r->ended, r->child.pidfd, EPOLLIN, on_ended, r);
	(void)sd_event_add_time(r->event, &r->deadline, CLOCK_MONOTONIC, now + SEND_USEC, 0,
				on_deadline, r);
}

// ---- from outside --------------------------------------------------------------------------

struct snap_error *recorder_create(sd_event *event, const char *path, struct recorder **ret)
{
	struct recorder *r = calloc(1, sizeof(*r));
	if (!r)
		return snap_error_oom();
	r->event = sd_event_ref(event);
	r->child = PIDREF_NULL;
	r->retry_usec = RETRY_USEC;
	r->dirfd = -EBADF;
	STAILQ_INIT(&r->items);
	int e = sd_event_add_time(event, &r->timer, CLOCK_MONOTONIC, 0, 0, on_timer, r);
	if (e < 0) {
		recorder_destroy(r);
		return snap_error_errno(SNAP_FAILED, -e, "cannot make a timer");
	}
	if (path) {
		(void)mkdir(path, 0700);
		r->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (r->dirfd >= 0)
		find_left(r);
	send_later(r, 0);
	*ret = r;
	return NULL;
}

void recorder_destroy(struct recorder *recorder)
{
	struct item *item;
	if (!recorder)
		return;
	if (recorder->child.pidfd >= 0)
		finish(recorder);
	while ((item = STAILQ_FIRST(&recorder->items))) {
		STAILQ_REMOVE_HEAD(&recorder->items, entry);
		item_destroy(item);
	}
	sd_event_source_disable_unref(recorder->timer);
	sd_event_unref(recorder->event);
	snap_closep(&recorder->dirfd);
	free(recorder);
}

struct snap_error *recorder_add(struct recorder *recorder, struct record *record)
{
	struct item *item = calloc(1, sizeof(*item));
	if (!item) {
		record_destroy(record);
		return snap_error_oom();
	}
	int r = recorder->dirfd >= 0 ? save(recorder, record, item->name) : -ENOENT;
	if (r < 0) {
		*item->name = '\0';
		item->record = record;
	} else {
		record_destroy(record);
	}
	add_item(recorder, item);
	// Also when others wait already: the journal may be back.
	if (recorder->child.pidfd < 0)
		send_later(recorder, 0);
	return r < 0 ? snap_error_errno(SNAP_FAILED, -r, "cannot keep the record of a dump") : NULL;
}

size_t recorder_waiting(const struct recorder *recorder)
{
	return recorder->n;
}
