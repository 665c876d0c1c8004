// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "common/turns.h"

/// The uid is what tells them apart here.
struct item {
	struct turn turn;
	uid_t uid;
	int number;
};

static struct item *next(struct turns *turns)
{
	struct turn *turn = turns_next(turns);
	return turn ? (struct item *)((char *)turn - offsetof(struct item, turn)) : NULL;
}

static void add(struct turns *turns, struct item *item, uid_t uid, int number)
{
	*item = (struct item){ .uid = uid, .number = number };
	assert_int_equal(turns_add(turns, &item->turn, uid), 0);
}

static void test_one_user(void **state _unused_)
{
	struct turns turns;
	struct item items[5];
	turns_init(&turns, 4, 3);
	assert_null(next(&turns));
	for (int i = 0; i < 5; i++)
		add(&turns, &items[i], 1000, i);
	for (int i = 0; i < 3; i++)
		assert_ptr_equal(next(&turns), &items[i]);
	assert_null(next(&turns)); // the fourth place is for others
	assert_int_equal(turns.running, 3);
	assert_int_equal(turns.waiting, 2);
	turns_remove(&turns, &items[4].turn); // gone before its turn
	turns_remove(&turns, &items[1].turn);
	assert_ptr_equal(next(&turns), &items[3]);
	assert_null(next(&turns));
	for (int i = 0; i < 5; i++)
		turns_remove(&turns, &items[i].turn); // also those that are not in it any more
	assert_int_equal(turns.running, 0);
	assert_int_equal(turns.waiting, 0);
	assert_true(TAILQ_EMPTY(&turns.users));
}

/// Others have all places and hundreds waiting before him.
static void test_many_before(void **state _unused_)
{
	enum { USERS = 6, EACH = 300 };
	static struct item items[USERS][EACH];
	struct turns turns;
	struct item late, *running[4];
	turns_init(&turns, 4, 3);
	for (int i = 0; i < EACH; i++)
		for (int u = 0; u < USERS; u++)
			add(&turns, &items[u][i], (uid_t)u, i);
	for (size_t i = 0; i < 4; i++)
		running[i] = next(&turns);
	assert_null(next(&turns));
	add(&turns, &late, 4711, 0);
	size_t turns_before = 0;
	for (;;) {
		turns_remove(&turns, &running[turns_before % 4]->turn);
		running[turns_before % 4] = next(&turns);
		if (running[turns_before % 4] == &late)
			break;
		turns_before++;
	}
	// One of each that waits.
	assert_in_range(turns_before, 0, USERS);
	for (int i = 0; i < EACH; i++)
		for (int u = 0; u < USERS; u++)
			turns_remove(&turns, &items[u][i].turn);
	turns_remove(&turns, &late.turn);
	assert_true(TAILQ_EMPTY(&turns.users));
}

/// Who comes again and again is not before who waits.
static void test_comes_again(void **state _unused_)
{
	struct turns turns;
	struct item again[2], patient[2], *running;
	turns_init(&turns, 1, 1);
	add(&turns, &again[0], 1, 0);
	running = next(&turns);
	add(&turns, &patient[0], 2, 0);
	add(&turns, &patient[1], 2, 1);
	for (int i = 0; i < 2; i++) {
		turns_remove(&turns, &running->turn);
		add(&turns, &again[1], 1, 1);
		running = next(&turns);
		assert_ptr_equal(running, &patient[i]);
		turns_remove(&turns, &running->turn);
		running = next(&turns);
		assert_ptr_equal(running, &again[1]);
	}
	turns_remove(&turns, &running->turn);
	assert_true(TAILQ_EMPTY(&turns.users));
}

static void test_fewest(void **state _unused_)
{
	struct turns turns;
	struct item a[4], b[2];
	turns_init(&turns, 4, 3);
	for (int i = 0; i < 4; i++)
		add(&turns, &a[i], 1, i);
	assert_ptr_equal(next(&turns), &a[0]);
	assert_ptr_equal(next(&turns), &a[1]);
	for (int i = 0; i < 2; i++)
		add(&turns, &b[i], 2, i);
	assert_ptr_equal(next(&turns), &b[0]);
	assert_ptr_equal(next(&turns), &b[1]);
	assert_null(next(&turns));
	for (int i = 0; i < 4; i++)
		turns_remove(&turns, &a[i].turn);
	for (int i = 0; i < 2; i++)
		turns_remove(&turns, &b[i].turn);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_user),
		cmocka_unit_test(test_many_before),
		cmocka_unit_test(test_comes_again),
		cmocka_unit_test(test_fewest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
