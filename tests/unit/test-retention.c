// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "daemon/retention.h"

enum { ITEMS_MAX = 256 };
#define MIB (UINT64_C(1) << 20)
#define DAY (UINT64_C(86400) * 1000000)

/// A store on paper.
struct paper {
	struct retention_item items[ITEMS_MAX];
	enum retention_reason reasons[ITEMS_MAX];
	size_t n;
	struct retention_limits limits;
	struct retention_state state;
	struct retention_result result;
};

static void setup(struct paper *paper)
{
	*paper = (struct paper){
		.state = { .now_usec = 1000 * DAY, .free_bytes = INT64_MAX / 2 },
	};
}

/// One more dump, newer than all before it; returns its index.
static size_t add(struct paper *paper, uid_t uid, uint64_t mib)
{
	size_t i = paper->n++;
	assert_true(i < ITEMS_MAX);
	paper->items[i] = (struct retention_item){
		.usec = 990 * DAY + i, .bytes = mib * MIB, .exe_key = uid, .uid = uid
	};
	return i;
}

static void plan(struct paper *paper)
{
	assert_ok(retention_plan(paper->items, paper->n, &paper->limits, &paper->state,
				 paper->reasons, &paper->result));
	size_t n = 0;
	for (size_t i = 0; i < paper->n; i++) {
		n += paper->reasons[i] != RETENTION_KEEP;
		assert_false(paper->items[i].pinned && paper->reasons[i] != RETENTION_KEEP);
	}
	assert_int_equal(n, paper->result.n_removed);
}

/// Removed are just those whose letter in @want, one for each item, is not a dot.
static void assert_removed(const struct paper *paper, const char *want)
{
	static const char letters[RETENTION_REASON_MAX] = {
		[RETENTION_KEEP] = '.',	   [RETENTION_AGE] = 'a',     [RETENTION_EXECUTABLE] = 'x',
		[RETENTION_ENTRIES] = 'n', [RETENTION_MAX_USE] = 'u', [RETENTION_KEEP_FREE] = 'f',
	};
	char got[ITEMS_MAX + 1] = { 0 };
	for (size_t i = 0; i < paper->n; i++)
		got[i] = letters[paper->reasons[i]];
	assert_string_equal(got, want);
}

static void test_nothing(void **state)
{
	(void)state;
	struct paper paper;
	setup(&paper);
	paper.limits = (struct retention_limits){ .max_use = 1, .max_entries = 1, .keep_free = 1 };
	plan(&paper);
	assert_int_equal(paper.result.unmet, RETENTION_KEEP);
	add(&paper, 0, 100);
	paper.limits = (struct retention_limits){ 0 };
	plan(&paper);
	assert_removed(&paper, ".");
}

static void test_defaults(void **state)
{
	(void)state;
	const struct retention_limits limits = { .max_use = RETENTION_DEFAULT,
						 .keep_free = RETENTION_DEFAULT,
						 .max_age_usec = 5 };
	struct retention_limits got = retention_resolve(limits, 1000 * MIB);
	assert_int_equal(got.max_use, 100 * MIB);
	assert_int_equal(got.keep_free, 150 * MIB);
	assert_int_equal(got.max_age_usec, 5);
	got = retention_resolve(limits, 1000000 * MIB);
	assert_int_equal(got.max_use, 4096 * MIB);
	assert_int_equal(got.keep_free, 4096 * MIB);
	// A limit, if a tiny one: 0 would be none.
	assert_int_equal(retention_resolve(limits, 5).max_use, 1);
	assert_int_equal(retention_resolve(limits, 0).max_use, 4096 * MIB);
	got = retention_resolve((struct retention_limits){ .max_use = 7, .keep_free = 0 }, MIB);
	assert_true(got.max_use == 7 && got.keep_free == 0);
}

static void test_age(void **state)
{
	(void)state;
	struct paper paper;
	setup(&paper);
	for (int i = 0; i < 4; i++)
		add(&paper, 1000, 1);
	paper.items[0].usec = 999 * DAY;
	paper.items[1].usec = 997 * DAY;
	paper.items[2].usec = 1500 * DAY; // the clock was set back
	paper.items[3].usec = 0;
	paper.items[3].pinned = true;
	paper.limits.max_age_usec = 2 * DAY;
	plan(&paper);
	assert_removed(&paper, ".a..");
	paper.limits.max_age_usec = 3 * DAY; // just so old
	plan(&paper);
	assert_removed(&paper, "....");
}

static void test_executable(void **state)
{
	(void)state;
	struct paper paper;
	setup(&paper);
	for (size_t i = 0; i < 4; i++) {
		add(&paper, 1000, 1);
		add(&paper, 2000, 1);
		paper.items[2 * i].exe_key = paper.items[2 * i + 1].exe_key = 7;
	}
	add(&paper, 1000, 1); // another program
	paper.limits.max_per_executable = 2;
	plan(&paper);
	assert_removed(&paper, "xxxx.....");
	paper.items[0].pinned = true;
	plan(&paper);
	assert_removed(&paper, ".xxxx....");
}

/// The oldest of the heaviest goes, and no more than needed.
static void test_heaviest_pays(void **state)
{
	(void)state;
	struct paper paper;
	setup(&paper);
	add(&paper, 1000, 10);
	add(&paper, 2000, 20);
	add(&paper, 2000, 20);
	add(&paper, 2000, 20);
	paper.limits.max_use = 50 * MIB;
	plan(&paper);
	assert_removed(&paper, ".u..");
	assert_int_equal(paper.result.removed_bytes, 20 * MIB);
	paper.limits.max_use = 70 * MIB;
	plan(&paper);
	assert_removed(&paper, "....");
}

/// Level by level: who is the heaviest changes as dumps go.
static void test_levels(void **state)
{
	(void)state;
	struct paper paper;
	setup(&paper);
	for (int i = 0; i < 4; i++)
		add(&paper, 1000, 10);
	for (int i = 0; i < 3; i++)
		add(&paper, 2000, 10);
	add(&paper, 3000, 5);
	paper.limits.max_use = 45 * MIB;
	plan(&paper);
	// 40, 30, 5 -> 30, 30, 5 -> 20, 30, 5 (the older one) -> 20, 20, 5
	assert_removed(&paper, "uu..u...");
}

/// One user's many dumps never push out another's.
static void test_flood(void **state)
{
	(void)state;
	struct paper paper;
	setup(&paper);
	size_t victim = add(&paper, 1000, 40);
	for (int i = 0; i < 200; i++)
		add(&paper, 2000, 1);
	paper.items[paper.n - 1].pinned = true;
	paper.limits.max_use = 100 * MIB;
	plan(&paper);
	assert_int_equal(paper.reasons[victim], RETENTION_KEEP);
	assert_int_equal(paper.result.n_removed, 140);
	// Not with a limit by number either.
	paper.limits = (struct retention_limits){ .max_entries = 2 };
	plan(&paper);
	assert_int_equal(paper.reasons[victim], RETENTION_KEEP);
	assert_int_equal(paper.result.n_removed, 199);
}

/// A new dump too large for its user's part is what does not fit, not what others have.
static void test_too_large(void **state)
{
	(void)state;
	struct paper paper;
	setup(&paper);
	add(&paper, 1000, 45);
	add(&paper, 2000, 10);
	size_t fresh = add(&paper, 2000, 70);
	paper.items[fresh].pinned = true;
	paper.limits.max_use = 100 * MIB;
	plan(&paper);
	assert_removed(&paper, ".u.");
	assert_int_equal(paper.result.unmet, RETENTION_MAX_USE);
	assert_int_equal(paper.result.short_bytes, 15 * MIB);
}

/// Who has more than the fair share gives way to a user who has none yet.
static void test_newcomer(void **state)
{
	(void)state;
	struct paper paper;
	setup(&paper);
	for (int i = 0; i < 10; i++)
		add(&paper, 1000, 10);
	size_t fresh = add(&paper, 2000, 30);
	paper.items[fresh].pinned = true;
	paper.limits.max_use = 100 * MIB;
	plan(&paper);
	assert_removed(&paper, "uuu........");
	assert_int_equal(paper.result.unmet, RETENTION_KEEP);
	// Also when the new dump alone is heavier than the others together, down to the share.
	paper.items[fresh].bytes = 60 * MIB;
	plan(&paper);
	assert_int_equal(paper.result.unmet, RETENTION_MAX_USE);
	assert_removed(&paper, "uuuuu......");
}

/// Two who are equally heavy: the one who wants the room pays.
static void test_tie(void **state)
{
	(void)state;
	struct paper paper;
	setup(&paper);
	add(&paper, 1000, 10);
	add(&paper, 1000, 10);
	add(&paper, 2000, 10);
	size_t fresh = add(&paper, 2000, 10);
	paper.items[fresh].pinned = true;
	paper.limits.max_use = 30 * MIB;
	plan(&paper);
	assert_removed(&paper, "..u.");
}

static void test_keep_free(void **state)
{
	(void)state;
	struct paper paper;
	setup(&paper);
	for (int i = 0; i < 5; i++)
		add(&paper, 1000, 10);
	paper.limits.keep_free = 100 * MIB;
	paper.state.free_bytes = 75 * (int64_t)MIB;
	plan(&paper);
	assert_removed(&paper, "fff..");
	assert_int_equal(paper.result.unmet, RETENTION_KEEP);
	// What goes for MaxUse is free then.
	paper.limits.max_use = 30 * MIB;
	plan(&paper);
	assert_removed(&paper, "uuf..");
	paper.state.free_bytes = -1000 * (int64_t)MIB; // promised to drafts
	plan(&paper);
	assert_removed(&paper, "uufff");
	assert_int_equal(paper.result.unmet, RETENTION_KEEP_FREE);
	assert_int_equal(paper.result.short_bytes, 1050 * MIB);
	// The disk itself is a limit, too.
	paper.limits = (struct retention_limits){ 0 };
	paper.state.free_bytes = -5 * (int64_t)MIB;
	plan(&paper);
	assert_removed(&paper, "f....");
}

static void test_extremes(void **state)
{
	(void)state;
	struct paper paper;
	setup(&paper);
	for (int i = 0; i < 3; i++) {
		size_t item = add(&paper, 1000, 1);
		paper.items[item].bytes = UINT64_MAX;
		paper.items[item].usec = UINT64_MAX;
	}
	add(&paper, 1000, 0);
	paper.limits = (struct retention_limits){ .max_use = 1,
						  .keep_free = UINT64_MAX - 1,
						  .max_age_usec = UINT64_MAX,
						  .max_entries = 3,
						  .max_per_executable = UINT64_MAX };
	paper.state.free_bytes = INT64_MIN;
	plan(&paper);
	assert_int_not_equal(paper.result.unmet, RETENTION_ENTRIES);
}

static uint64_t held_by(const struct paper *paper, uid_t uid, bool afterwards)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < paper->n; i++)
		if (paper->items[i].uid == uid &&
		    (!afterwards || paper->reasons[i] == RETENTION_KEEP))
			sum += paper->items[i].bytes;
	return sum;
}

static uint64_t oldest_kept(const struct paper *paper, uid_t uid)
{
	uint64_t usec = UINT64_MAX;
	for (size_t i = 0; i < paper->n; i++)
		if (paper->items[i].uid == uid && !paper->items[i].pinned &&
		    paper->reasons[i] == RETENTION_KEEP)
			usec = MIN(usec, paper->items[i].usec);
	return usec;
}

/// The promises of the header, for stores made at random.
static void check_promises(const struct paper *paper, uid_t n_users)
{
	uint64_t total = 0, users = 0;
	for (uid_t uid = 0; uid < n_users; uid++) {
		total += held_by(paper, uid, true);
		users += held_by(paper, uid, false) > 0;
	}
	uint64_t share = paper->limits.max_use / MAX(users, UINT64_C(1));
	assert_int_equal(total > paper->limits.max_use, paper->result.unmet != RETENTION_KEEP);
	for (uid_t uid = 0; uid < n_users; uid++) {
		uint64_t before = held_by(paper, uid, false), after = held_by(paper, uid, true);
		if (before <= share)
			assert_true(after == before);
		// Unmet: whoever is still above the share has nothing that may go.
		if (paper->result.unmet != RETENTION_KEEP && after > share)
			assert_true(oldest_kept(paper, uid) == UINT64_MAX);
	}
	for (size_t i = 0; i < paper->n; i++) // oldest first
		if (paper->reasons[i] != RETENTION_KEEP)
			assert_true(paper->items[i].usec < oldest_kept(paper, paper->items[i].uid));
}

static void test_promises(void **state)
{
	(void)state;
	uint64_t seed = 1;
	for (int round = 0; round < 500; round++) {
		struct paper paper;
		setup(&paper);
		uid_t n_users = (uid_t)(1 + test_random(&seed) % 20);
		size_t n = 1 + test_random(&seed) % 100;
		for (size_t i = 0; i < n; i++) {
			size_t item = add(&paper, (uid_t)(test_random(&seed) % n_users),
					  1 + test_random(&seed) % 50);
			paper.items[item].pinned = test_random(&seed) % 16 == 0;
		}
		paper.limits.max_use = (1 + test_random(&seed) % 2000) * MIB;
		plan(&paper);
		check_promises(&paper, n_users);
	}
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(retention_reason_name(RETENTION_MAX_USE), "MaxUse");
	for (unsigned int i = 0; i <= RETENTION_REASON_MAX; i++)
		assert_non_null(retention_reason_name(i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),	      cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_age),	      cmocka_unit_test(test_executable),
		cmocka_unit_test(test_heaviest_pays), cmocka_unit_test(test_levels),
		cmocka_unit_test(test_flood),	      cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_newcomer),      cmocka_unit_test(test_tie),
		cmocka_unit_test(test_keep_free),     cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_promises),      cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
