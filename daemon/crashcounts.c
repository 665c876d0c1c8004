// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crashcounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "common/analysis.h"
#include "common/clock.h"
#include "common/fd.h"
#include "daemon/manager.h"
#include "daemon/storefile.h"

#define SAVE_USEC 1000000ULL

static const char file_name[] = "crash.counts", draft_name[] = "crash.counts.new";

struct crashcounts {
	struct crashpolicy *policy;
	uint64_t max_age_ns; ///< as configured when something was counted last
	int dirfd; ///< of the store
	sd_event_source *timer; ///< on when something has changed
	char *boot_id;
	bool failed; ///< which was told
};

// ---- JSON ----------------------------------------------------------------------------------

/// The longest time of a limit: what was not used for so long counts no more.
static uint64_t longest_ns(const struct config *config)
{
	const struct config_rate *rates[] = { &config->duplicates, &config->rate_limit,
					      &config->user_rate_limit };
	uint64_t longest = 0;
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++)
		if (rates[i]->max != CONFIG_INFINITY)
			longest = MAX(longest, rates[i]->interval_ns);
	return longest;
}

struct list {
	struct json *array;
	uint64_t now_ns, max_age_ns;
};

static void add_counter(void *userdata, const struct crash_counter *counter)
{
	const struct list *list = userdata;
	if (list->now_ns - counter->used_ns > list->max_age_ns)
		return;
	// Keys have names in them, which are bytes.
	_cleanup_free_ char *key = analysis_to_hex(counter->key, counter->key_len);
	struct json *json = json_new_object();
	json_set_u64(json, "uid", counter->uid);
	json_set_u64(json, "begin_ns", counter->begin_ns);
	json_set_u64(json, "used_ns", counter->used_ns);
	json_set_u64(json, "count", counter->count);
	json_set_u64(json, "suppressed", counter->suppressed);
	json_set_text(json, "key", key ? key : "");
	json_add(list->array, json);
}

struct json *crashcounts_to_json(const struct crashpolicy *policy, uint64_t max_age_ns,
				 const char *boot_id, uint64_t now_ns)
{
	struct json *json = json_new_object();
	struct list list = { json_new_array(), now_ns, max_age_ns };
	crashpolicy_each(policy, add_counter, &list);
	json_set_text(json, "boot_id", boot_id);
	json_set(json, "counters", list.array);
	return json;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/// Unlike that of a name, a key may have zeroes in it. False when it is too long, or none.
static bool read_key(const char *hex, char *key, size_t max, size_t *ret_len)
{
	size_t len = hex ? strlen(hex) : 0;
	if (!len || len % 2 || len / 2 > max)
		return false;
	for (size_t i = 0; i < len / 2; i++) {
		int high = digit(hex[i * 2]), low = digit(hex[i * 2 + 1]);
		if (high < 0 || low < 0)
			return false;
		key[i] = (char)(high << 4 | low);
	}
	*ret_len = len / 2;
	return true;
}

void crashcounts_from_json(const struct json *json, uint64_t max_age_ns, const char *boot_id,
			   uint64_t now_ns, struct crashpolicy *policy)
{
	const struct json *list = json_get(json, "counters");
	const char *boot = json_get_text(json, "boot_id");
	char key[2 * CRASHPOLICY_KEY_MAX];
	if (!boot || strcmp(boot, boot_id) != 0)
		return;
	for (size_t i = 0; i < MIN(json_length(list), (size_t)CRASHPOLICY_COUNTERS_MAX); i++) {
		const struct json *of = json_at(list, i);
		uint64_t uid = json_get_u64(of, "uid", UINT64_MAX);
		struct crash_counter counter = {
			.uid = (uid_t)uid,
			.begin_ns = json_get_u64(of, "begin_ns", UINT64_MAX),
			.used_ns = json_get_u64(of, "used_ns", UINT64_MAX),
			.count = json_get_u64(of, "count", 0),
			.suppressed = json_get_u64(of, "suppressed", 0),
			.key = key,
		};
		if (uid > UINT32_MAX || counter.used_ns > now_ns ||
		    now_ns - counter.used_ns > max_age_ns ||
		    !read_key(json_get_text(of, "key"), key, sizeof(key), &counter.key_len))
			continue;
		(void)crashpolicy_restore(policy, &counter, now_ns); // what makes no sense is left
	}
}

// ---- the file ------------------------------------------------------------------------------

static void load(struct crashcounts *c)
{
	struct stat st;
	_cleanup_close_ int fd = storefile_open(c->dirfd, file_name, &st);
	if (fd < 0 || st.st_size <= 0 || st.st_size > CRASHCOUNTS_MAX_BYTES)
		return;
	_cleanup_free_ char *text = malloc((size_t)st.st_size);
	ssize_t n = text ? snap_pread_full(fd, text, (size_t)st.st_size, 0) : -1;
	_cleanup_(json_destroyp) struct json *json = n > 0 ? json_parse(text, (size_t)n) : NULL;
	if (json)
		crashcounts_from_json(json, c->max_age_ns, c->boot_id,
				      snap_clock_ns(CLOCK_BOOTTIME), c->policy);
}

static int write_text(const struct crashcounts *c, const char *text)
{
	(void)unlinkat(c->dirfd, draft_name, 0); // of one that was killed
	_cleanup_close_ int fd = openat(c->dirfd, draft_name,
					O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : snap_write_all(fd, text, strlen(text));
	if (r == 0 && renameat(c->dirfd, draft_name, c->dirfd, file_name) < 0)
		r = -errno;
	if (r < 0 && fd >= 0)
		(void)unlinkat(c->dirfd, draft_name, 0);
	return r;
}

static void save(struct crashcounts *c)
{
	_cleanup_(json_destroyp) struct json *json = crashcounts_to_json(
		c->policy, c->max_age_ns, c->boot_id, snap_clock_ns(CLOCK_BOOTTIME));
	const char *text = json_text(json);
	int r = text ? write_text(c, text) : -ENOMEM;
	if (r < 0 && !c->failed)
		manager_log(LOG_WARNING, "cannot keep the counters of crashes: %s", strerror(-r));
	c->failed = r < 0;
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
	save(userdata);
	return 0;
}

// ---- from outside --------------------------------------------------------------------------

static struct snap_error *create(struct crashcounts *c, sd_event *event, const char *store_path)
{
	c->dirfd = open(store_path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (c->dirfd < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot open '%s'", store_path);
	if (snap_read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 128, &c->boot_id) < 0)
		return snap_error_new(SNAP_FAILED, "the kernel does not say when it was booted");
	c->boot_id[strcspn(c->boot_id, "\n")] = '\0';
	int r = sd_event_add_time(event, &c->timer, CLOCK_MONOTONIC, UINT64_MAX, 0, on_timer, c);
	if (r >= 0)
		r = sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, -r, "cannot set a timer");
	load(c);
	return NULL;
}

struct snap_error *crashcounts_create(sd_event *event, const char *store_path,
				      struct crashpolicy *policy, const struct config *config,
				      struct crashcounts **ret)
{
	struct crashcounts *c = calloc(1, sizeof(*c));
	if (!c)
		return snap_error_oom();
	c->policy = policy;
	c->max_age_ns = longest_ns(config);
	c->dirfd = -EBADF;
	struct snap_error *err = create(c, event, store_path);
	if (err)
		crashcounts_destroy(c);
	else
		*ret = c;
	return err;
}

static bool is_changed(const struct crashcounts *c)
{
	int enabled = SD_EVENT_OFF;
	return c->timer && sd_event_source_get_enabled(c->timer, &enabled) >= 0 &&
	       enabled != SD_EVENT_OFF;
}

void crashcounts_destroy(struct crashcounts *c)
{
	if (!c)
		return;
	if (is_changed(c))
		save(c);
	sd_event_source_disable_unref(c->timer);
	snap_closep(&c->dirfd);
	free(c->boot_id);
	free(c);
}

void crashcounts_changed(struct crashcounts *c, const struct config *config)
{
	uint64_t now = 0;
	c->max_age_ns = longest_ns(config);
	if (is_changed(c))
		return; // so that many do not put it off for ever
	(void)sd_event_now(sd_event_source_get_event(c->timer), CLOCK_MONOTONIC, &now);
	(void)sd_event_source_set_time(c->timer, now + SAVE_USEC);
	(void)sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}
