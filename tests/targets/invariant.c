// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * DOC: Theory of operation
 *
 * Threads move money between accounts, each on a page of its own. At every instant, between any
 * two instructions, the total can be computed from memory alone, so a core that is one point in
 * time has it and one that was read while the process ran most likely has not:
 *
 *   balance'[a] = balance[a] for every account a
 *   for every thread slot with odd seq:
 *       balance'[slot.from] = slot.from_was;  balance'[slot.to] = slot.to_was
 *   sum of balance' == total
 *
 * A transfer holds the locks of both accounts, writes the slot with what was before, makes seq
 * odd, writes the two balances, makes seq even. Stores are seen in this order by a reader that
 * stops the thread: x86 retires them in order, elsewhere the release fences order them.
 *
 * As a second witness every thread takes the next value of one counter into slot.stamp: in one
 * point in time no stamp exceeds `clock`, and all stamps but 0 are distinct.
 *
 * Arguments: [THREADS [ACCOUNTS]], default 4 and 4096.
 */
#include "target.h"

enum {
	INVARIANT_START = 1000,		// balance of each account at first
	INVARIANT_MAX_THREADS = 256,
};

struct account {
	int64_t balance;		// at offset 0
	_Atomic uint32_t locked;
	uint8_t rest[TARGET_PAGE - 12];
};

struct slot {				// one page each; the README gives the offsets
	_Atomic uint64_t seq;		// 0
	uint64_t from, to;		// 8, 16
	int64_t from_was, to_was;	// 24, 32
	_Atomic uint64_t stamp;		// 40
	_Atomic uint64_t done;		// 48: transfers
	uint8_t rest[TARGET_PAGE - 56];
};

_Static_assert(sizeof(struct account) == TARGET_PAGE, "one account per page");
_Static_assert(sizeof(struct slot) == TARGET_PAGE, "one slot per page");

static struct account *accounts;
static struct slot *slots;
static uint64_t naccounts = 4096;
static int nthreads = 4;
static _Atomic uint64_t *invariant_clock;
static _Atomic bool invariant_pause;
static _Atomic int invariant_paused;

static bool try_lock(struct account *a)
{
	return !atomic_exchange_explicit(&a->locked, 1, memory_order_acquire);
}

static void unlock(struct account *a)
{
	atomic_store_explicit(&a->locked, 0, memory_order_release);
}

// Plain stores kept in program order: the compiler by the fence, the processor by x86's rules.
static void ordered_store(int64_t *p, int64_t v)
{
	*(volatile int64_t *)p = v;
	atomic_thread_fence(memory_order_release);
}

static void transfer(struct slot *s, uint64_t from, uint64_t to, int64_t amount)
{
	uint64_t seq = s->seq;

	s->from = from;
	s->to = to;
	s->from_was = accounts[from].balance;
	s->to_was = accounts[to].balance;
	atomic_store(&s->seq, seq + 1);
	ordered_store(&accounts[from].balance, s->from_was - amount);
	ordered_store(&accounts[to].balance, s->to_was + amount);
	atomic_store(&s->seq, seq + 2);
	s->stamp = atomic_fetch_add(invariant_clock, 1) + 1;
	s->done++;
}

static void rest_while_paused(void)
{
	if (!invariant_pause)
		return;
	invariant_paused++;
	while (invariant_pause)
		target_sleep_ms(1);
	invariant_paused--;
}

static void *invariant_main(void *arg)
{
	struct slot *s = arg;
	uint64_t random = s - slots + 1;

	pthread_setname_np(pthread_self(), "teller");
	for (;;) {
		uint64_t from, to;

		rest_while_paused();
		random = target_mix(random);
		from = random % naccounts;
		to = (random >> 32) % naccounts;
		if (from == to || !try_lock(&accounts[from]))
			continue;
		if (try_lock(&accounts[to])) {
			transfer(s, from, to, random >> 60);
			unlock(&accounts[to]);
		}
		unlock(&accounts[from]);
	}
	return NULL;
}

static void invariant_check(void)
{
	static uint64_t last_done;
	uint64_t done = 0;
	int64_t sum = 0;

	invariant_pause = true;
	while (invariant_paused < nthreads)
		target_sleep_ms(1);
	for (uint64_t a = 0; a < naccounts; a++)
		sum += accounts[a].balance;
	for (int i = 0; i < nthreads; i++)
		done += slots[i].done;
	if (sum != (int64_t)naccounts * INVARIANT_START)
		target_fail("the total is %" PRId64, sum);
	if (done != *invariant_clock)
		target_fail("%" PRIu64 " transfers, but the clock says %" PRIu64, done,
			    (uint64_t)*invariant_clock);
	if (done == last_done)
		target_fail("no transfer since the last check");
	last_done = done;
	invariant_pause = false;
	while (invariant_paused)
		target_sleep_ms(1);
	printf("note: transfers=%" PRIu64 "\n", done);
}

int main(int argc, char **argv)
{
	static const struct target_ops ops = { .check = invariant_check };

	target_init();
	if (argc > 1)
		nthreads = atoi(argv[1]);
	if (argc > 2)
		naccounts = strtoull(argv[2], NULL, 10);
	if (nthreads < 1 || nthreads > INVARIANT_MAX_THREADS || naccounts < 2)
		target_die(1, "usage: invariant [THREADS [ACCOUNTS]]");
	accounts = target_mmap(naccounts * TARGET_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	slots = target_mmap(nthreads * TARGET_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	invariant_clock = target_mmap(TARGET_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	for (uint64_t a = 0; a < naccounts; a++)
		accounts[a].balance = INVARIANT_START;
	for (int i = 0; i < nthreads; i++)
		target_spawn(invariant_main, &slots[i]);
	target_sleep_ms(50);
	target_ready(0, 0, "accounts=%p:%" PRIu64 ":%lu slots=%p:%d:%lu clock=%p total=%" PRIu64,
		     (void *)accounts, naccounts, TARGET_PAGE, (void *)slots, nthreads,
		     TARGET_PAGE, (void *)invariant_clock, naccounts * INVARIANT_START);
	return target_serve(&ops);
}
