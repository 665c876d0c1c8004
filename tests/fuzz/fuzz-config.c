// SPDX-License-Identifier: LGPL-2.1-or-later
#include "daemon/config.h"

#include "common/str.h"
#include "fuzz.h"

static void check_rate(const struct config_rate *rate)
{
	REQUIRE(rate->max >= 1 && rate->interval_ns >= 1);
	REQUIRE(rate->max == CONFIG_INFINITY || rate->interval_ns <= UINT64_MAX / 4);
}

static void check_rules(const struct crashrules *rules)
{
	REQUIRE(rules->n <= CRASHRULES_MAX);
	for (size_t i = 0; i < rules->n; i++) {
		const struct crashrule *rule = &rules->list[i];
		REQUIRE(rule->kind < CRASHRULE_KIND_MAX && rule->action < CRASH_ACTION_MAX);
		REQUIRE(*rule->pattern && strlen(rule->pattern) <= CRASHRULE_PATTERN_MAX);
		REQUIRE(snap_is_printable(rule->text) && rule->uid == (uid_t)-1);
		// Each fits itself, and a star fits all.
		REQUIRE(crashrule_fits(rule->pattern, rule->pattern));
		REQUIRE(crashrule_fits("*", rule->pattern));
	}
}

static void check(const struct config *c)
{
	REQUIRE(c->max_use.percent <= 100 && c->keep_free.percent <= 100);
	REQUIRE(c->job_memory.percent <= 100);
	REQUIRE(c->job_memory.percent || c->job_memory.bytes >= 64 << 20);
	REQUIRE(c->max_age_ns >= 1 && c->job_timeout_ns >= 1);
	REQUIRE(c->max_age_ns == CONFIG_INFINITY || c->max_age_ns <= UINT64_MAX / 4);
	REQUIRE(c->max_per_executable >= 1);
	REQUIRE(c->compress <= 19);
	REQUIRE(c->max_jobs >= 1 && c->max_jobs <= 64);
	REQUIRE(c->max_jobs_per_user >= 1 && c->max_jobs_per_user <= 64);
	REQUIRE(c->max_queue <= 4096);
	REQUIRE(c->max_connections >= 1 && c->max_connections <= 4096);
	REQUIRE(c->max_connections_per_user >= 1 && c->max_connections_per_user <= 4096);
	REQUIRE(c->summary_bytes <= 16 << 20);
	REQUIRE(!c->group || (*c->group && strlen(c->group) <= 31 && !strchr(c->group, '/')));
	REQUIRE(c->handler <= CONFIG_HANDLER_SOCKET);
	REQUIRE(c->handler_on_stop <= CONFIG_ON_STOP_RESTORE);
	REQUIRE(c->storage < CRASH_ACTION_MAX && c->max_core_size >= 1 << 20);
	check_rate(&c->duplicates);
	check_rate(&c->rate_limit);
	check_rate(&c->user_rate_limit);
	check_rules(&c->rules);
	REQUIRE(c->n_warnings <= 64);
	for (size_t i = 0; i < c->n_warnings; i++)
		REQUIRE(snap_is_printable(c->warnings[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(config_destroyp) struct config *config = NULL;
	struct snap_error *err = config_create(&config);
	REQUIRE(!err);
	// A copy of exactly this size, so that reading beyond it is seen.
	_cleanup_free_ char *text = malloc(size ? size : 1);
	memcpy(text, data, size);
	err = config_parse(config, "fuzz.conf", text, size);
	if (err) {
		REQUIRE(err->code == SNAP_USAGE);
		REQUIRE(!strncmp(err->message, "fuzz.conf:", strlen("fuzz.conf:")));
		REQUIRE(snap_is_printable(err->message));
		snap_error_destroy(err);
	} else {
		check(config);
	}
	return 0;
}
