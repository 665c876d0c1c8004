// SPDX-License-Identifier: LGPL-2.1-or-later
#include "manager.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>

#include "common/str.h"
#include "daemon/api.h"
#include "daemon/leftovers.h"
#include "daemon/listen.h"

// How long workers and clients have to end before we do.
#define STOP_USEC (5 * 1000000ULL)
// MaxAge= is kept with this precision; without it nothing wakes us up.
#define RETENTION_USEC (3600 * 1000000ULL)

// ---- the log -------------------------------------------------------------------------------

void manager_log(int level, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	// Names that others chose are in it.
	_cleanup_free_ char *safe = snap_is_printable(text) ? NULL : snap_escape(text, (size_t)n);
	// The journal understands the level, people at a terminal need not see it.
	if (getenv("JOURNAL_STREAM"))
		fprintf(stderr, "<%d>%s\n", level, safe ? safe : text);
	else
		fprintf(stderr, "procsnapd: %s\n", safe ? safe : text);
}

void manager_log_removals(struct store_removals *removals)
{
	for (size_t i = 0; i < removals->n_items; i++) {
		const struct store_removal *r = &removals->items[i];
		char id[STOREID_SIZE], bytes[16];
		manager_log(LOG_NOTICE, "removed dump %s of user %u, %s, %s: %s",
			    storeid_format(r->id, id), r->uid,
			    snap_format_bytes(r->disk_bytes, bytes), r->name,
			    retention_reason_name(r->reason));
	}
}

void manager_announce(struct manager *manager, uid_t uid, bool owner_reads, struct json *entry)
{
	if (entry)
		ondump_add(manager->ondump, entry);
	events_add(manager->events, uid, owner_reads, entry);
}

void manager_announce_dump(struct manager *manager, const struct store_entry *entry)
{
	struct json *description = NULL;
	struct snap_error *err = store_describe(manager->store, entry, &description);
	if (err)
		manager_log(LOG_WARNING, "%s", err->message);
	snap_error_destroy(err);
	manager_announce(manager, entry->uid, entry->flags & STORE_OWNER_READS, description);
}

// ---- configuration -------------------------------------------------------------------------

static uint64_t limit_or_none(uint64_t value)
{
	return value == CONFIG_INFINITY ? 0 : value;
}

/// The limits of the store, in bytes of its file system.
static struct retention_limits limits_from(const struct config *config, uint64_t fs_bytes)
{
	uint64_t age_ns = config->max_age_ns;
	return (struct retention_limits){
		.max_use = limit_or_none(config_size_bytes(config->max_use, fs_bytes)),
		.keep_free = limit_or_none(config_size_bytes(config->keep_free, fs_bytes)),
		.max_age_usec = age_ns == CONFIG_INFINITY ? 0 : age_ns / 1000,
		.max_per_executable = limit_or_none(config->max_per_executable),
		.max_entries = STORE_MAX_ENTRIES,
	};
}

static struct snap_error *find_group(const struct config *config, gid_t *ret)
{
	const struct group *group = NULL;
	*ret = (gid_t)-1;
	if (!config->group)
		return NULL;
	uint64_t number;
	if (snap_parse_u64(config->group, &number) == 0 && number < (gid_t)-1) {
		*ret = (gid_t)number;
		return NULL;
	}
	group = getgrnam(config->group);
	if (!group)
		return snap_error_new(SNAP_USAGE, "Group=: there is no group '%s'", config->group);
	*ret = group->gr_gid;
	return NULL;
}

/// Those may come with a package that is not installed yet, unlike a group that gives rights.
static void warn_of_users(const struct crashrules *rules)
{
	for (size_t i = 0; i < rules->n; i++)
		if (rules->list[i].kind == CRASHRULE_USER && rules->list[i].uid == (uid_t)-1)
			manager_log(LOG_WARNING, "Rule=%s: there is no such user, ignoring",
				    rules->list[i].text);
}

static struct snap_error *load_config(const struct manager *m, struct config **ret,
				      gid_t *ret_group, struct ondump_user *ret_user)
{
	_cleanup_(config_destroyp) struct config *config = NULL;
	struct snap_error *err = m->config_path ? config_load_file(m->config_path, &config) :
						  config_load("", &config);
	if (!err)
		err = find_group(config, ret_group);
	if (!err)
		err = ondump_find_user(config, ret_user);
	if (err)
		return err;
	if (crashrules_resolve(&config->rules))
		warn_of_users(&config->rules);
	for (size_t i = 0; i < config->n_warnings; i++)
		manager_log(LOG_WARNING, "%s", config->warnings[i]);
	*ret = TAKE_PTR(config);
	return NULL;
}

static void retain(struct manager *m)
{
	_cleanup_store_removals_ struct store_removals removals = { 0 };
	struct snap_error *err = m->store ? store_retain(m->store, &removals) : NULL;
	manager_log_removals(&removals);
	if (err)
		manager_log(LOG_WARNING, "%s", err->message);
	snap_error_destroy(err);
}

static int on_retention(sd_event_source *source, uint64_t usec, void *userdata)
{
	retain(userdata);
	(void)sd_event_source_set_time(source, usec + RETENTION_USEC);
	(void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

static void schedule_retention(struct manager *m)
{
	uint64_t now;
	m->retention = sd_event_source_disable_unref(m->retention);
	if (!m->store || m->config->max_age_ns == CONFIG_INFINITY)
		return;
	(void)sd_event_now(m->event, CLOCK_BOOTTIME, &now);
	(void)sd_event_add_time(m->event, &m->retention, CLOCK_BOOTTIME, now + RETENTION_USEC,
				RETENTION_USEC / 4, on_retention, m);
}

static void tell_hooks(const struct manager *m)
{
	static const char *const words[] = { [CONFIG_CAPTURE_NO] = NULL,
					     [CONFIG_CAPTURE_CONTAINERS] = "containers",
					     [CONFIG_CAPTURE_YES] = "yes" };
	if (m->crashes)
		crashes_set_wanted(m->crashes, words[m->config->capture_binaries]);
}

/// Puts the configuration into force.
static void apply_config(struct manager *m)
{
	struct store_usage usage;
	jobs_configure(m->jobs, m->config);
	server_configure(m->server, m->config);
	authorizer_configure(m->authorizer, m->config);
	ondump_configure(m->ondump, m->config, m->ondump_user);
	armer_configure(m->armer, m->config);
	struct snap_error *err = m->store ? store_usage(m->store, &usage) : NULL;
	if (m->store && !err) {
		const struct retention_limits limits = limits_from(m->config, usage.fs_bytes);
		store_set_limits(m->store, &limits);
		store_set_binaries_limit(
			m->store, config_size_bytes(m->config->capture_max_use, usage.fs_bytes));
		retain(m);
	}
	tell_hooks(m);
	snap_error_destroy(err);
	schedule_retention(m);
}

struct snap_error *manager_reload(struct manager *manager)
{
	struct config *config = NULL;
	gid_t group;
	struct ondump_user user = { 0 };
	struct snap_error *err = load_config(manager, &config, &group, &user);
	if (err) {
		manager_log(LOG_ERR, "the configuration stays as it was: %s", err->message);
		return err;
	}
	config_destroy(manager->config);
	manager->config = config;
	manager->group = group;
	manager->ondump_user = user;
	apply_config(manager);
	manager_log(LOG_INFO, "the configuration was read anew");
	if (manager->crashes)
		crashes_try_again(manager->crashes);
	return NULL;
}

// ---- the beginning -------------------------------------------------------------------------

/// Without a store, dumps still go to descriptors.
static void open_store(struct manager *m, const char *path)
{
	const struct retention_limits none = { .max_entries = STORE_MAX_ENTRIES };
	struct store_report report;
	struct snap_error *err = store_create(path, &none, &report, &m->store);
	if (err) {
		manager_log(LOG_ERR, "no dump can be stored: %s", err->message);
		m->store_why = strdup(err->message);
		snap_error_destroy(err);
		return;
	}
	_cleanup_free_ char *text = store_report_text(&report);
	manager_log(LOG_INFO, "%s: %s", path, text ? text : "");
}

static struct snap_error *open_recorder(struct manager *m, const char *store_path)
{
	_cleanup_free_ char *path = NULL;
	if (asprintf(&path, "%s/records", store_path) < 0) {
		path = NULL;
		return snap_error_oom();
	}
	return recorder_create(m->event, m->store ? path : NULL, &m->recorder);
}

/// Without it hooks leave crashes for another time.
static void watch_crashes(struct manager *m, const char *store_path)
{
	struct snap_error *err = crashes_create(m, store_path, &m->crashes);
	if (err)
		manager_log(LOG_ERR, "crashes are not handled: %s", err->message);
	snap_error_destroy(err);
	tell_hooks(m);
}

static int on_hangup(sd_event_source *source _unused_, const struct signalfd_siginfo *si _unused_,
		     void *userdata)
{
	(void)sd_notify(0, "RELOADING=1");
	snap_error_destroy(manager_reload(userdata));
	(void)sd_notify(0, "READY=1");
	return 0;
}

static void end_when_idle(const struct manager *m)
{
	struct jobs_counts counts = jobs_count(m->jobs);
	if (!counts.running && !counts.waiting && !server_connections(m->server))
		(void)sd_event_exit(m->event, 0);
}

static int on_idle(sd_event_source *source _unused_, void *userdata)
{
	end_when_idle(userdata);
	return 0;
}

static int on_too_late(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
	const struct manager *m = userdata;
	return sd_event_exit(m->event, 0); // workers end with us, and let go
}

static int on_terminate(sd_event_source *source _unused_,
			const struct signalfd_siginfo *si _unused_, void *userdata)
{
	struct manager *m = userdata;
	uint64_t now;
	if (m->stopping)
		return sd_event_exit(m->event, 0);
	m->stopping = true;
	(void)sd_notify(0, "STOPPING=1");
	if (m->crashes)
		crashes_stop(m->crashes);
	authorizer_stop(m->authorizer);
	armer_stop(m->armer);
	jobs_stop(m->jobs);
	events_stop(m->events);
	server_stop(m->server);
	(void)sd_event_now(m->event, CLOCK_MONOTONIC, &now);
	(void)sd_event_add_time(m->event, NULL, CLOCK_MONOTONIC, now + STOP_USEC, 0, on_too_late,
				m);
	// After each turn of the loop: is there anything left?
	(void)sd_event_add_post(m->event, &m->ending, on_idle, m);
	end_when_idle(m);
	return 0;
}

static struct snap_error *add_signals(struct manager *m)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD); // sd-event insists
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	int r = sd_event_add_signal(m->event, NULL, SIGTERM, on_terminate, m);
	if (r >= 0)
		r = sd_event_add_signal(m->event, NULL, SIGINT, on_terminate, m);
	if (r >= 0)
		r = sd_event_add_signal(m->event, NULL, SIGHUP, on_hangup, m);
	return r < 0 ? snap_error_errno(SNAP_FAILED, -r, "cannot watch for signals") : NULL;
}

static struct snap_error *create(struct manager *m, const struct manager_options *options)
{
	const struct server_callbacks callbacks = { api_call, m };
	int r = sd_event_default(&m->event);
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, -r, "cannot make an event loop");
	m->config_path = options->config_path ? strdup(options->config_path) : NULL;
	struct snap_error *err = load_config(m, &m->config, &m->group, &m->ondump_user);
	if (!err)
		err = add_signals(m);
	if (!err)
		err = events_create(&m->events);
	if (!err)
		err = ondump_create(m->event, &m->ondump);
	if (!err)
		err = jobs_create(m->event, &m->jobs);
	if (!err)
		err = armer_create(m->event, m->jobs, &m->armer);
	if (!err)
		err = server_create(m->event, &callbacks, &m->server);
	if (!err)
		err = authorizer_create(m->event, &m->authorizer);
	if (err)
		return err;
	open_store(m, options->store_path);
	err = open_recorder(m, options->store_path);
	if (!err)
		apply_config(m);
	if (!err && m->store)
		watch_crashes(m, options->store_path);
	if (!err)
		err = listen_all(m->server, options->socket_path);
	if (!err)
		leftovers_begin(m->jobs);
	return err;
}

struct snap_error *manager_create(const struct manager_options *options, struct manager **ret)
{
	_cleanup_(manager_destroyp) struct manager *m = calloc(1, sizeof(*m));
	struct snap_error *err = m ? create(m, options) : snap_error_oom();
	if (!err)
		*ret = TAKE_PTR(m);
	return err;
}

void manager_destroy(struct manager *manager)
{
	if (!manager)
		return;
	// Questions and jobs first: they hold connections and drafts.
	authorizer_destroy(manager->authorizer);
	jobs_destroy(manager->jobs);
	armer_destroy(manager->armer);
	crashes_destroy(manager->crashes);
	server_destroy(manager->server);
	events_destroy(manager->events);
	ondump_destroy(manager->ondump);
	recorder_destroy(manager->recorder);
	store_destroy(manager->store);
	sd_event_source_disable_unref(manager->retention);
	sd_event_source_disable_unref(manager->ending);
	config_destroy(manager->config);
	sd_event_unref(manager->event);
	free(manager->config_path);
	free(manager->store_why);
	free(manager);
}

struct snap_error *manager_run(struct manager *manager)
{
	(void)sd_event_set_watchdog(manager->event, 1);
	(void)sd_notify(0, "READY=1");
	int r = sd_event_loop(manager->event);
	return r < 0 ? snap_error_errno(SNAP_FAILED, -r, "the event loop failed") : NULL;
}
