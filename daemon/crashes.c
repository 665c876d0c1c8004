// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crashes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "common/binaries.h"
#include "common/fd.h"
#include "common/ipc.h"
#include "common/turns.h"
#include "daemon/crashask.h"
#include "daemon/crashcounts.h"
#include "daemon/crashfolder.h"
#include "daemon/crashjob.h"
#include "daemon/crashkept.h"
#include "daemon/crashspool.h"
#include "daemon/manager.h"

enum {
	// Two hooks keep the memory of most machines busy; more would only end later together.
	COPYING_MAX = 4,
	COPYING_PER_USER = 3, // one place is left for others
	// Each has a descriptor here, and the kernel starts one for each crash at once.
	HOOKS_MAX = 4096,
	// Dumps that are made at once; the queue of jobs has limits of its own.
	DUMPS_MAX = 2,
	FACTS_MAX = 64 << 10,
};

// A hook that died between two steps, with its lock still held by a copier that then died too.
#define RESCAN_USEC (60 * 1000000ULL)

struct hook {
	TAILQ_ENTRY(hook) entry;
	struct crashes *crashes;
	int sock;
	sd_event_source *io;
	struct turn turn;
	struct json *answer; ///< what it will be told when it is its turn
	uint64_t wants_memory, promised; ///< bytes for a core (daemon/crashspool.h)
	char folder[CRASHFOLDER_NAME_SIZE]; ///< with its dot
};

struct pending {
	TAILQ_ENTRY(pending) entry;
	struct turn turn;
	struct crashjob *job; ///< NULL: not begun
	struct crashjob_whole whole; ///< until it is begun
	uint64_t held; ///< bytes of memory that it has
	char name[CRASHFOLDER_NAME_SIZE];
};

struct crashes {
	struct manager *manager;
	int dirfd; ///< STORE/crash
	int sock;
	sd_event_source *listening, *folders, *rescan;
	TAILQ_HEAD(hook_list, hook) hooks;
	TAILQ_HEAD(, pending) pending;
	size_t n_hooks;
	struct turns copying, dumping;
	struct crashkept *kept;
	struct crashpolicy *policy;
	struct crashspool spool;
	struct crashcounts *counts;
	bool stopped;
};

// ---- folders that are complete -------------------------------------------------------------

/// The user of the crash, from what the kernel said.
static uid_t uid_of(const struct json *facts)
{
	return (uid_t)json_get_u64(facts, "uid", (uid_t)-1);
}

static struct json *read_facts(int folder)
{
	return folder < 0 ? NULL : crashfolder_read_json(folder, "facts", FACTS_MAX);
}

static void forget_pending(struct crashes *c, struct pending *p)
{
	turns_remove(&c->dumping, &p->turn);
	TAILQ_REMOVE(&c->pending, p, entry);
	c->spool.held -= p->held;
	crashjob_whole_deinit(&p->whole);
	free(p);
}

static void begin_dumps(struct crashes *c)
{
	struct turn *turn;
	while (!c->stopped && (turn = turns_next(&c->dumping))) {
		struct pending *p = (struct pending *)((char *)turn -
						       offsetof(struct pending, turn));
		p->job = crashjob_begin(c->manager, c, c->dirfd, p->name, &p->whole);
		if (!p->job)
			forget_pending(c, p);
	}
}

static struct pending *find_pending(const struct crashes *c, const char *name)
{
	struct pending *p;
	TAILQ_FOREACH(p, &c->pending, entry)
	if (!strcmp(p->name, name))
		return p;
	return NULL;
}

/// Has somebody something to say about a folder that is complete?
static bool is_awaited(const struct crashes *c, const char *name)
{
	const struct hook *hook;
	TAILQ_FOREACH(hook, &c->hooks, entry)
	if (hook->promised && !strcmp(hook->folder + 1, name))
		return true;
	return false;
}

/// Takes @whole, which may be NULL, and @held with it.
static void add_pending_whole(struct crashes *c, const char *name, struct crashjob_whole *whole,
			      uint64_t held)
{
	if (find_pending(c, name) || crashkept_waits(c->kept, name) || is_awaited(c, name))
		return;
	_cleanup_close_ int folder = crashfolder_open(c->dirfd, name);
	_cleanup_(json_destroyp) struct json *facts = read_facts(folder);
	struct pending *p = calloc(1, sizeof(*p));
	if (!p || turns_add(&c->dumping, &p->turn, uid_of(facts)) < 0) {
		free(p);
		return; // found again by the next scan
	}
	(void)snprintf(p->name, sizeof(p->name), "%s", name);
	TAILQ_INSERT_TAIL(&c->pending, p, entry);
	p->whole = CRASHJOB_WHOLE_NULL;
	if (whole) {
		p->whole = *whole;
		p->held = held;
		c->spool.held += held;
		*whole = CRASHJOB_WHOLE_NULL;
	}
	begin_dumps(c);
}

static void add_pending(struct crashes *c, const char *name)
{
	add_pending_whole(c, name, NULL, 0);
}

void crashes_ended(struct crashes *c, const char *name)
{
	struct pending *p = find_pending(c, name);
	if (p)
		forget_pending(c, p);
	begin_dumps(c);
}

void crashes_set_wanted(const struct crashes *c, const char *wanted)
{
	static const char fresh[] = "." BINARIES_WANTED; // no name of a folder of a crash
	if (!wanted) {
		if (unlinkat(c->dirfd, BINARIES_WANTED, 0) < 0 && errno != ENOENT)
			manager_log(LOG_WARNING, "hooks still keep programs: %s", strerror(errno));
		return;
	}
	const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC;
	_cleanup_close_ int fd = openat(c->dirfd, fresh, flags, 0600);
	int r = fd < 0 ? -errno : snap_write_all(fd, wanted, strlen(wanted));
	if (r == 0 && renameat(c->dirfd, fresh, c->dirfd, BINARIES_WANTED) < 0)
		r = -errno;
	if (r < 0)
		manager_log(LOG_WARNING, "hooks are not told which programs to keep: %s",
			    strerror(-r));
}

bool crashes_keep(struct crashes *c, const struct crashkept_core *core, uint64_t max_bytes)
{
	return crashkept_add(c->kept, core, max_bytes);
}

bool crashes_keeps(const struct crashes *c, const char *name)
{
	return crashkept_has(c->kept, name);
}

void crashes_forget(struct crashes *c, const char *name)
{
	crashkept_forget(c->kept, name);
}

void crashes_try_again(struct crashes *c)
{
	crashkept_try_all(c->kept);
}

static void on_kept(void *userdata, const char *name)
{
	add_pending(userdata, name);
}

struct json *crashes_decide(struct crashes *c, int folder, const struct json *facts,
			    const struct json *place)
{
	struct json *answer = crashask(c->policy, c->manager->config, folder, facts, place);
	crashcounts_changed(c->counts, c->manager->config);
	return answer;
}

static void rescan_later(const struct crashes *c)
{
	uint64_t now;
	int enabled = SD_EVENT_OFF;
	(void)sd_event_source_get_enabled(c->rescan, &enabled);
	if (enabled != SD_EVENT_OFF)
		return; // many that ask must not put it off for ever
	(void)sd_event_now(c->manager->event, CLOCK_MONOTONIC, &now);
	(void)sd_event_source_set_time(c->rescan, now + RESCAN_USEC);
	(void)sd_event_source_set_enabled(c->rescan, SD_EVENT_ONESHOT);
}

/// A folder whose hook may have died: complete it, unless somebody still works on it.
static void adopt(struct crashes *c, const char *name)
{
	char published[CRASHFOLDER_NAME_SIZE];
	_cleanup_close_ int fd = crashfolder_open(c->dirfd, name);
	if (fd < 0)
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		rescan_later(c); // it may have asked another daemon, and will tell nobody
		return;
	}
	manager_log(LOG_WARNING, "the hook of crash %s was killed; what it left is recorded",
		    name + 1);
	(void)snprintf(published, sizeof(published), "%s", name + 1);
	if (renameat(c->dirfd, name, c->dirfd, published) == 0)
		add_pending(c, published);
}

static void scan(struct crashes *c)
{
	int fd = openat(c->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;
	while (dir && (d = readdir(dir))) {
		if (crashfolder_is_name(d->d_name))
			add_pending(c, d->d_name);
		else if (d->d_name[0] == '.' && crashfolder_is_name(d->d_name + 1))
			adopt(c, d->d_name);
		else if (crashfolder_is_leftover(d->d_name))
			(void)crashfolder_remove(c->dirfd, d->d_name);
	}
	if (dir)
		(void)closedir(dir);
	else
		snap_closep(&fd);
}

static int on_rescan(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
	scan(userdata);
	return 0;
}

/// What a hook has completed is taken up, also when it never spoke to us. What it begins is looked
/// at later, if it has not ended by then.
static int on_folder(sd_event_source *source _unused_, const struct inotify_event *event,
		     void *userdata)
{
	struct crashes *c = userdata;
	if (event->mask & IN_MOVED_TO && event->len && crashfolder_is_name(event->name))
		add_pending(c, event->name);
	else if (event->mask & IN_Q_OVERFLOW)
		scan(c);
	else
		rescan_later(c);
	return 0;
}

/// Without it a crash whose hook never spoke to us waits for the next daemon.
static void watch_folders(struct crashes *c)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", c->dirfd);
	int r = sd_event_add_inotify(c->manager->event, &c->folders, path,
				     IN_CREATE | IN_MOVED_TO | IN_ONLYDIR, on_folder, c);
	if (r < 0)
		manager_log(LOG_WARNING, "cannot watch the folders of crashes: %s", strerror(-r));
}

// ---- hooks ---------------------------------------------------------------------------------

static void hook_destroy(struct hook *hook)
{
	struct crashes *c = hook->crashes;
	turns_remove(&c->copying, &hook->turn);
	TAILQ_REMOVE(&c->hooks, hook, entry);
	c->n_hooks--;
	c->spool.promised -= hook->promised;
	json_destroy(hook->answer);
	sd_event_source_disable_unref(hook->io);
	snap_closep(&hook->sock);
	free(hook);
}

/// It is seen by its end if it is gone.
static void tell(const struct hook *hook, const struct json *message)
{
	(void)ipc_send(hook->sock, message, NULL, 0, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/// All that it wants, or nothing: a part would be what it has on the disk already.
static void promise_memory(struct hook *hook)
{
	struct crashes *c = hook->crashes;
	const struct crashspool_memory memory = crashspool_look();
	if (hook->wants_memory > crashspool_room(&c->spool, c->manager->config, &memory))
		hook->wants_memory = 0;
	hook->promised = hook->wants_memory;
	c->spool.promised += hook->promised;
	// A copier before may have been promised some, and tells us.
	json_set_u64(hook->answer, "memory_bytes", hook->promised);
}

static void give_turns(struct crashes *c)
{
	struct turn *turn;
	while ((turn = turns_next(&c->copying))) {
		struct hook *hook = (struct hook *)((char *)turn - offsetof(struct hook, turn));
		promise_memory(hook);
		tell(hook, hook->answer);
	}
}

/// Before there is a core. A hook that has to ask again does so over another connection.
static void on_early(struct hook *hook, const char *folder)
{
	struct crashes *c = hook->crashes;
	_cleanup_close_ int fd = crashfolder_open(c->dirfd, folder);
	_cleanup_(json_destroyp) struct json *facts = read_facts(fd);
	_cleanup_(json_destroyp) struct json *answer =
		crashask_early(c->policy, c->manager->config, fd, facts);
	if (crashask_drops(answer)) {
		(void)snprintf(hook->folder, sizeof(hook->folder), "%s", folder);
		crashcounts_changed(c->counts, c->manager->config);
	}
	tell(hook, answer);
}

static void on_hello(struct hook *hook, const char *folder, const struct json *message)
{
	struct crashes *c = hook->crashes;
	(void)snprintf(hook->folder, sizeof(hook->folder), "%s", folder);
	_cleanup_close_ int fd = crashfolder_open(c->dirfd, folder);
	_cleanup_(json_destroyp) struct json *facts = read_facts(fd);
	// One that was killed has asked before: that crash is counted.
	const struct json *before = json_get(message, "answer");
	hook->answer = json_get_text(before, "action") ?
			       json_share(before) :
			       crashes_decide(c, fd, facts, json_get(message, "place"));
	json_set_u64(hook->answer, "memory_bytes", 0);
	// It is compressed from the beginning, so whoever wants that not has none of it.
	json_set_bool(hook->answer, "pack", c->manager->config->compress != 0);
	hook->wants_memory = json_get_u64(message, "memory_bytes", 0);
	// Who copies nothing need not wait, and without memory nobody.
	if (crashask_drops(hook->answer) ||
	    turns_add(&c->copying, &hook->turn, uid_of(facts)) < 0) {
		tell(hook, hook->answer);
		return;
	}
	give_turns(c);
	if (hook->turn.running)
		return;
	_cleanup_(json_destroyp) struct json *wait = json_new_object();
	json_set_bool(wait, "wait", true);
	json_set_shared(wait, "answer", hook->answer);
	tell(hook, wait);
}

/// It has gone: is its folder complete, or is it for us to complete? Takes @whole.
static void on_gone(struct hook *hook, struct crashjob_whole *whole)
{
	struct crashes *c = hook->crashes;
	char folder[CRASHFOLDER_NAME_SIZE];
	struct stat st;
	uint64_t promised = hook->promised;
	memcpy(folder, hook->folder, sizeof(folder));
	hook_destroy(hook);
	// What nobody was promised is not counted, so it is not kept.
	if (*folder && fstatat(c->dirfd, folder + 1, &st, AT_SYMLINK_NOFOLLOW) == 0)
		add_pending_whole(c, folder + 1, promised && whole->fd >= 0 ? whole : NULL,
				  promised);
	else if (*folder)
		rescan_later(c); // the other one of the two may still be at work
	crashjob_whole_deinit(whole);
	give_turns(c);
}

/// There was no room for a folder. @elsewhere, which stays the caller's, is what the hook has in
/// its place, or negative.
static void on_record(const struct hook *hook, const struct json *message, int elsewhere)
{
	struct crashes *c = hook->crashes;
	const char *why = json_get_text(message, "why");
	crashjob_record(c->manager, c, elsewhere, json_get(message, "record"),
			why ? why : "there was no room for it");
	_cleanup_(json_destroyp) struct json *answer = json_new_object();
	json_set_bool(answer, "recorded", true);
	tell(hook, answer);
}

static int on_message(sd_event_source *source _unused_, int fd, uint32_t events _unused_,
		      void *userdata)
{
	struct hook *hook = userdata;
	_cleanup_(json_destroyp) struct json *message = NULL;
	int fds[IPC_MAX_FDS];
	int r = ipc_recv(fd, &message, fds);
	if (r == -EAGAIN)
		return 0;
	const struct json *record = r == 0 ? json_get(message, "record") : NULL;
	if (json_is_object(record) && !*hook->folder)
		on_record(hook, message, fds[0]);
	struct crashjob_whole whole = CRASHJOB_WHOLE_NULL;
	if (r == 0 && json_is_object(json_get(message, "whole"))) {
		whole.fd = TAKE_FD(fds[0]);
		whole.result = json_share(json_get(message, "whole"));
	}
	for (int i = 0; r == 0 && i < IPC_MAX_FDS; i++)
		snap_closep(&fds[i]);
	const char *folder = r == 0 ? json_get_text(message, "folder") : NULL;
	if (*hook->folder && r == 0 && json_get_bool(message, "copied", false)) {
		turns_remove(&hook->crashes->copying, &hook->turn);
		give_turns(hook->crashes);
		return 0;
	}
	bool named = folder && !*hook->folder && folder[0] == '.' &&
		     crashfolder_is_name(folder + 1);
	if (named && json_get_bool(message, "early", false))
		on_early(hook, folder);
	else if (named)
		on_hello(hook, folder, message);
	else // it has done, or died, or says what is no hook's word
		on_gone(hook, &whole);
	crashjob_whole_deinit(&whole);
	return 0;
}

static int on_connect(sd_event_source *source _unused_, int fd, uint32_t events _unused_,
		      void *userdata)
{
	struct crashes *c = userdata;
	struct ucred cred = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(cred);
	_cleanup_close_ int sock = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	// The folder is root's alone; this is for a store that was made otherwise.
	if (sock < 0 || getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 ||
	    cred.uid != geteuid() || c->n_hooks >= HOOKS_MAX)
		return 0;
	struct hook *hook = calloc(1, sizeof(*hook));
	if (!hook)
		return 0; // it goes on without us
	hook->crashes = c;
	hook->sock = TAKE_FD(sock);
	TAILQ_INSERT_TAIL(&c->hooks, hook, entry);
	c->n_hooks++;
	if (sd_event_add_io(c->manager->event, &hook->io, hook->sock, EPOLLIN, on_message, hook) <
	    0)
		hook_destroy(hook);
	return 0;
}

// ---- the beginning -------------------------------------------------------------------------

static struct snap_error *cannot(const char *what, const char *store_path)
{
	return snap_error_errno(SNAP_FAILED, errno, "cannot %s %s/crash", what, store_path);
}

static struct snap_error *listen_for_hooks(struct crashes *c, const char *store_path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	c->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	// The store has one daemon (store_create() sees to that), so the socket is nobody's.
	(void)unlinkat(c->dirfd, "socket", 0);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/socket", c->dirfd);
	if (c->sock < 0 || bind(c->sock, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    fchmodat(c->dirfd, "socket", 0600, 0) < 0 || listen(c->sock, SOMAXCONN) < 0)
		return cannot("listen in", store_path);
	int r = sd_event_add_io(c->manager->event, &c->listening, c->sock, EPOLLIN, on_connect, c);
	if (r >= 0)
		r = sd_event_add_time(c->manager->event, &c->rescan, CLOCK_MONOTONIC, 0, 0,
				      on_rescan, c);
	if (r >= 0)
		watch_folders(c);
	return r < 0 ? snap_error_errno(SNAP_FAILED, -r, "cannot watch for crashes") : NULL;
}

static struct snap_error *create(struct crashes *c, const char *store_path)
{
	_cleanup_close_ int store =
		open(store_path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (store < 0 || (mkdirat(store, "crash", 0700) < 0 && errno != EEXIST))
		return cannot("make", store_path);
	c->dirfd = openat(store, "crash", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (c->dirfd < 0 || fstat(c->dirfd, &st) < 0)
		return cannot("open", store_path);
	if (st.st_uid != geteuid() || st.st_mode & 0077)
		return snap_error_new(SNAP_FAILED, "%s/crash is not ours alone", store_path);
	return listen_for_hooks(c, store_path);
}

struct snap_error *crashes_create(struct manager *manager, const char *store_path,
				  struct crashes **ret)
{
	struct crashes *c = calloc(1, sizeof(*c));
	if (!c)
		return snap_error_oom();
	c->manager = manager;
	c->dirfd = c->sock = -EBADF;
	TAILQ_INIT(&c->hooks);
	TAILQ_INIT(&c->pending);
	turns_init(&c->copying, COPYING_MAX, COPYING_PER_USER);
	turns_init(&c->dumping, DUMPS_MAX, DUMPS_MAX);
	struct snap_error *err = crashpolicy_create(&c->policy);
	if (!err)
		err = crashcounts_create(manager->event, store_path, c->policy, manager->config,
					 &c->counts);
	if (!err)
		err = crashkept_create(manager->event, NULL, 0, on_kept, c, &c->kept);
	if (!err)
		err = create(c, store_path);
	if (err) {
		crashes_destroy(c);
		return err;
	}
	*ret = c;
	return NULL;
}

void crashes_destroy(struct crashes *crashes)
{
	struct hook *hook;
	struct pending *p;
	if (!crashes)
		return;
	while ((hook = TAILQ_FIRST(&crashes->hooks)))
		hook_destroy(hook);
	while ((p = TAILQ_FIRST(&crashes->pending))) {
		crashjob_destroy(p->job);
		forget_pending(crashes, p);
	}
	crashcounts_destroy(crashes->counts);
	crashpolicy_destroy(crashes->policy);
	crashkept_destroy(crashes->kept);
	sd_event_source_disable_unref(crashes->listening);
	sd_event_source_disable_unref(crashes->folders);
	sd_event_source_disable_unref(crashes->rescan);
	snap_closep(&crashes->sock);
	snap_closep(&crashes->dirfd);
	free(crashes);
}

void crashes_stop(struct crashes *crashes)
{
	crashes->stopped = true;
	crashes->listening = sd_event_source_disable_unref(crashes->listening);
	snap_closep(&crashes->sock); // from now on hooks find nobody, and do it alone
	crashes->sock = -EBADF;
}

struct crashes_counts crashes_count(const struct crashes *crashes)
{
	struct crashkept_counts kept = crashkept_count(crashes->kept);
	struct crashes_counts counts = {
		.copying = crashes->copying.running,
		.waiting = crashes->copying.waiting,
		.queued = crashes->dumping.running + crashes->dumping.waiting,
		.kept = kept.n,
		.kept_bytes = kept.disk_bytes,
	};
	return counts;
}
