// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crashpolicy.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/corelimit.h"
#include "common/fd.h"
#include "common/str.h"

enum counter_kind {
	COUNTER_PLACE = 'p',
	COUNTER_EXE = 'e',
	COUNTER_USER = 'u',
};

struct counter {
	TAILQ_ENTRY(counter) entry;
	struct crash_counter of; ///< its key is the one below
	char key[]; ///< begins with the kind
};

struct crashpolicy {
	TAILQ_HEAD(counters, counter) counters; ///< the one used last is the first
	size_t n;
};

struct snap_error *crashpolicy_create(struct crashpolicy **ret)
{
	struct crashpolicy *policy = calloc(1, sizeof(*policy));
	if (!policy)
		return snap_error_oom();
	TAILQ_INIT(&policy->counters);
	*ret = policy;
	return NULL;
}

static void forget(struct crashpolicy *policy, struct counter *counter)
{
	TAILQ_REMOVE(&policy->counters, counter, entry);
	policy->n--;
	free(counter);
}

void crashpolicy_destroy(struct crashpolicy *policy)
{
	struct counter *counter;
	while (policy && (counter = TAILQ_FIRST(&policy->counters)))
		forget(policy, counter);
	free(policy);
}

size_t crashpolicy_count(const struct crashpolicy *policy)
{
	return policy->n;
}

// ---- counters ------------------------------------------------------------------------------

struct key {
	char text[CRASHPOLICY_KEY_MAX + 64];
	size_t len;
};

/// The path of a program that was replaced while it ran ends in this.
static size_t length_of_exe(const char *exe)
{
	static const char deleted[] = " (deleted)";
	size_t len = strlen(exe), n = sizeof(deleted) - 1;
	return len > n && !strcmp(exe + len - n, deleted) ? len - n : len;
}

/// The end of a path tells more than its beginning.
static void add_name(struct key *key, const char *name, size_t len)
{
	size_t room = CRASHPOLICY_KEY_MAX / 2, cut = len > room ? len - room : 0;
	memcpy(key->text + key->len, name + cut, len - cut);
	key->len += len - cut;
	key->text[key->len++] = '\0';
}

/// Without an executable its name counts, which anybody may choose, as any path.
static void make_key(struct key *key, enum counter_kind kind, const struct crash_facts *facts)
{
	const char *exe = facts->exe ? facts->exe : facts->comm ? facts->comm : "";
	*key = (struct key){ .text = { (char)kind }, .len = 1 };
	if (kind == COUNTER_USER)
		return;
	add_name(key, exe, length_of_exe(exe));
	if (kind == COUNTER_EXE)
		return;
	const char *module = facts->module ? facts->module : "";
	add_name(key, module, length_of_exe(module));
	key->len += (size_t)snprintf(key->text + key->len, sizeof(key->text) - key->len,
				     "%d %" PRIx64 " %" PRIx64, facts->signal, facts->offset,
				     facts->callers);
}

/// Makes room for one more of @uid.
static void make_room(struct crashpolicy *policy, uid_t uid)
{
	struct counter *c, *his = NULL;
	size_t n = 0;
	TAILQ_FOREACH(c, &policy->counters, entry)
	{
		if (c->of.uid != uid)
			continue;
		his = c;
		n++;
	}
	if (n >= CRASHPOLICY_COUNTERS_PER_USER)
		forget(policy, his);
	else if (policy->n >= CRASHPOLICY_COUNTERS_MAX)
		forget(policy, TAILQ_LAST(&policy->counters, counters));
}

/// NULL when out of memory.
static struct counter *new_counter(const struct crash_counter *of)
{
	struct counter *c = calloc(1, sizeof(*c) + of->key_len);
	if (!c)
		return NULL;
	c->of = *of;
	memcpy(c->key, of->key, of->key_len);
	c->of.key = c->key;
	return c;
}

/// NULL when out of memory.
static struct counter *find(struct crashpolicy *policy, enum counter_kind kind,
			    const struct crash_facts *facts, uint64_t now_ns)
{
	struct key key;
	struct counter *c;
	make_key(&key, kind, facts);
	TAILQ_FOREACH(c, &policy->counters, entry)
	if (c->of.uid == facts->uid && c->of.key_len == key.len &&
	    !memcmp(c->key, key.text, key.len)) {
		TAILQ_REMOVE(&policy->counters, c, entry);
		TAILQ_INSERT_HEAD(&policy->counters, c, entry);
		c->of.used_ns = now_ns;
		return c;
	}
	make_room(policy, facts->uid);
	c = new_counter(&(struct crash_counter){ .uid = facts->uid,
						 .begin_ns = now_ns,
						 .used_ns = now_ns,
						 .key = key.text,
						 .key_len = key.len });
	if (!c)
		return NULL;
	TAILQ_INSERT_HEAD(&policy->counters, c, entry);
	policy->n++;
	return c;
}

/// Has there been as much as there may be?
static bool is_full(struct crashpolicy *policy, enum counter_kind kind,
		    const struct config_rate *rate, const struct crash_facts *facts,
		    uint64_t now_ns)
{
	if (rate->max == CONFIG_INFINITY)
		return false;
	struct counter *c = find(policy, kind, facts, now_ns);
	// A clock that went back all the same begins anew.
	if (c && (now_ns < c->of.begin_ns || now_ns - c->of.begin_ns >= rate->interval_ns)) {
		c->of.begin_ns = now_ns;
		c->of.count = 0;
	}
	return c && c->of.count >= rate->max;
}

static void count(struct crashpolicy *policy, enum counter_kind kind,
		  const struct config_rate *rate, const struct crash_facts *facts, uint64_t now_ns)
{
	struct counter *c =
		rate->max == CONFIG_INFINITY ? NULL : find(policy, kind, facts, now_ns);
	if (c)
		c->of.count++;
}

// ---- the decision --------------------------------------------------------------------------

static bool fits(const struct crashrule *rule, const struct crash_facts *facts)
{
	switch (rule->kind) {
	case CRASHRULE_EXE: {
		_cleanup_free_ char *exe =
			facts->exe ? strndup(facts->exe, length_of_exe(facts->exe)) : NULL;
		return crashrule_fits(rule->pattern, exe);
	}
	case CRASHRULE_COMM:
		return crashrule_fits(rule->pattern, facts->comm);
	case CRASHRULE_UNIT:
		return crashrule_fits(rule->pattern, facts->unit) ||
		       crashrule_fits(rule->pattern, facts->user_unit);
	case CRASHRULE_CGROUP:
		return crashrule_fits(rule->pattern, facts->cgroup);
	case CRASHRULE_USER:
		return rule->uid != (uid_t)-1 && rule->uid == facts->uid;
	case CRASHRULE_KIND_MAX:
		break;
	}
	return false;
}

static void decide(struct crash_verdict *verdict, enum crash_action action, const char *fmt, ...)
	_printf_(3, 4);
static void decide(struct crash_verdict *verdict, enum crash_action action, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(verdict->reason, sizeof(verdict->reason), fmt, ap);
	va_end(ap);
	verdict->action = action;
}

/// What the process itself has asked for.
static bool is_unwanted(const struct crash_facts *facts, struct crash_verdict *ret)
{
	if (facts->dumpable == 0)
		decide(ret, CRASH_NONE, "the process is not to be dumped (PR_SET_DUMPABLE)");
	else if (!corelimit_allows(facts->rlimit))
		decide(ret, CRASH_NONE,
		       "the limit of its core (RLIMIT_CORE, ulimit -c) is %" PRIu64 " bytes",
		       facts->rlimit);
	return ret->action == CRASH_NONE;
}

static void apply_rules(const struct config *config, const struct crash_facts *facts,
			struct crash_verdict *ret)
{
	for (size_t i = 0; i < config->rules.n; i++) {
		const struct crashrule *rule = &config->rules.list[i];
		if (!fits(rule, facts))
			continue;
		decide(ret, rule->action, "Rule=%s", rule->action == CRASH_KEEP ? "" : rule->text);
		if (rule->action == CRASH_KEEP)
			*ret->reason = '\0';
		return;
	}
	if (config->storage != CRASH_KEEP)
		decide(ret, (enum crash_action)config->storage, "Storage=%s",
		       crash_action_name((enum crash_action)config->storage));
}

/// As it is written in a file, in one unit.
static const char *format_span(uint64_t ns, char buf[static 32])
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = {
		{ "d", 86400000000000 }, { "h", 3600000000000 }, { "min", 60000000000 },
		{ "s", 1000000000 },	 { "ms", 1000000 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (ns >= units[i].ns && ns % units[i].ns == 0) {
			(void)snprintf(buf, 32, "%" PRIu64 "%s", ns / units[i].ns, units[i].unit);
			return buf;
		}
	(void)snprintf(buf, 32, "%" PRIu64 "us", ns / 1000);
	return buf;
}

static bool has_place(const struct crash_facts *facts)
{
	return facts->module || facts->callers;
}

/// The three limits, the one that is closest to the mistake first.
static bool is_too_much(struct crashpolicy *policy, const struct config *config,
			const struct crash_facts *facts, uint64_t now_ns,
			struct crash_verdict *ret)
{
	const struct {
		enum counter_kind kind;
		const struct config_rate *rate;
		const char *name, *of;
	} limits[] = {
		{ COUNTER_PLACE, &config->duplicates, "DuplicateLimit",
		  "this executable at this place" },
		{ COUNTER_EXE, &config->rate_limit, "RateLimit", "this executable" },
		{ COUNTER_USER, &config->user_rate_limit, "UserRateLimit", "this user" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		char time[32];
		const struct config_rate *rate = limits[i].rate;
		if (limits[i].kind == COUNTER_PLACE && !has_place(facts))
			continue;
		if (!is_full(policy, limits[i].kind, rate, facts, now_ns))
			continue;
		decide(ret, CRASH_NONE, "%s=%" PRIu64 "/%s: there are as many cores of %s",
		       limits[i].name, rate->max, format_span(rate->interval_ns, time),
		       limits[i].of);
		return true;
	}
	for (size_t i = has_place(facts) ? 0 : 1; !facts->early && i < ARRAY_SIZE(limits); i++)
		count(policy, limits[i].kind, limits[i].rate, facts, now_ns);
	return false;
}

void crashpolicy_decide(struct crashpolicy *policy, const struct config *config,
			const struct crash_facts *facts, uint64_t now_ns,
			struct crash_verdict *ret)
{
	*ret = (struct crash_verdict){ .action = CRASH_KEEP, .max_bytes = UINT64_MAX };
	if (is_unwanted(facts, ret))
		return;
	ret->max_bytes = MIN(facts->rlimit, config->max_core_size);
	apply_rules(config, facts, ret);
	if (ret->action == CRASH_NONE)
		return;
	bool too_much = is_too_much(policy, config, facts, now_ns, ret);
	if (facts->early && !too_much)
		return;
	struct counter *c = find(policy, COUNTER_EXE, facts, now_ns);
	if (!c)
		return;
	c->of.suppressed += too_much;
	ret->suppressed = c->of.suppressed;
	if (!too_much)
		c->of.suppressed = 0;
}

// ---- for the next daemon -------------------------------------------------------------------

void crashpolicy_each(const struct crashpolicy *policy,
		      void (*fn)(void *userdata, const struct crash_counter *counter),
		      void *userdata)
{
	const struct counter *c;
	TAILQ_FOREACH(c, &policy->counters, entry)
	fn(userdata, &c->of);
}

static bool makes_sense(const struct crash_counter *counter, uint64_t now_ns)
{
	const size_t max = sizeof(((struct key *)NULL)->text);
	if (!counter->key_len || counter->key_len > max || counter->begin_ns > counter->used_ns ||
	    counter->used_ns > now_ns)
		return false;
	char kind = *counter->key;
	return kind == COUNTER_USER ? counter->key_len == 1 :
				      kind == COUNTER_EXE || kind == COUNTER_PLACE;
}

bool crashpolicy_restore(struct crashpolicy *policy, const struct crash_counter *counter,
			 uint64_t now_ns)
{
	struct counter *c;
	size_t own = 0;
	if (!makes_sense(counter, now_ns) || policy->n >= CRASHPOLICY_COUNTERS_MAX)
		return false;
	TAILQ_FOREACH(c, &policy->counters, entry)
	{
		if (c->of.uid != counter->uid)
			continue;
		own++;
		if (c->of.key_len == counter->key_len &&
		    !memcmp(c->key, counter->key, counter->key_len))
			return false;
	}
	c = own < CRASHPOLICY_COUNTERS_PER_USER ? new_counter(counter) : NULL;
	if (!c)
		return false;
	TAILQ_INSERT_TAIL(&policy->counters, c, entry);
	policy->n++;
	return true;
}
