// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "analyzer/memory.h"
#include "common/fd.h"

/*
 * Two files, of which each byte tells where it is: capital letters in the core, small ones in a
 * file that was mapped.
 */

enum { SIZE = 26 * 8 };

struct world {
	struct memory mem;
	int fds[MEM_LAYER_MAX];
	struct source *sources[MEM_LAYER_MAX];
};

static void setup(struct world *w)
{
	*w = (struct world){ 0 };
	for (int layer = 0; layer < MEM_LAYER_MAX; layer++) {
		char bytes[SIZE];
		for (int i = 0; i < SIZE; i++)
			bytes[i] = (char)((layer == MEM_CORE ? 'A' : 'a') + i / 8);
		w->fds[layer] = test_memfd();
		assert_int_equal(snap_pwrite_all(w->fds[layer], bytes, SIZE, 0), 0);
		assert_ok(source_create(w->fds[layer], SOURCE_FILE, &w->sources[layer]));
	}
}

static void teardown(struct world *w)
{
	memory_deinit(&w->mem);
	for (int layer = 0; layer < MEM_LAYER_MAX; layer++) {
		source_destroy(w->sources[layer]);
		(void)close(w->fds[layer]);
	}
}

static void add(struct world *w, enum mem_layer layer, uint64_t start, uint64_t end,
		uint64_t offset)
{
	const struct mem_region r = { .start = start, .end = end, .offset = offset,
				      .source = w->sources[layer], .flags = MEM_READ };
	assert_int_equal(memory_add(&w->mem, layer, &r), 0);
}

/// What every eighth byte from @addr on is; a space ends it.
static void check(struct world *w, uint64_t addr, const char *want)
{
	uint8_t buf[SIZE] = { 0 };
	size_t len = strlen(want) * 8, n = memory_read_some(&w->mem, addr, buf, len + 8);
	assert_int_equal(n, len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(buf[i], want[i / 8]);
	assert_false(memory_read(&w->mem, addr, buf, len + 8));
	if (len)
		assert_true(memory_read(&w->mem, addr, buf, len));
}

static void test_empty(void **state _unused_)
{
	struct memory mem = { 0 };
	uint64_t v;
	assert_false(memory_has(&mem, 0));
	assert_false(memory_u64(&mem, 0x1000, &v));
	assert_int_equal(memory_read_some(&mem, UINT64_MAX, &v, 8), 0);
	assert_true(memory_read(&mem, 0x1000, &v, 0));
	memory_deinit(&mem);
}

static void test_gaps(void **state _unused_)
{
	struct world w;
	setup(&w);
	add(&w, MEM_CORE, 0x1040, 0x1048, 16); // C, added in disorder
	add(&w, MEM_CORE, 0x1000, 0x1010, 0); // A B
	add(&w, MEM_CORE, 0x2000, 0x2000, 0); // nothing
	add(&w, MEM_CORE, 0x2010, 0x2000, 0); // less than nothing
	check(&w, 0x1000, "AB");
	check(&w, 0x1008, "B");
	check(&w, 0x1040, "C");
	check(&w, 0x1010, "");
	check(&w, 0xfff, "");
	check(&w, 0x2000, "");
	// Added later, when it was sorted already.
	add(&w, MEM_CORE, 0x1010, 0x1040, 3 * 8);
	check(&w, 0x1000, "ABDEFGHIC");
	teardown(&w);
}

/// Files answer where the core has nothing, and only there.
static void test_layers(void **state _unused_)
{
	struct world w;
	setup(&w);
	add(&w, MEM_FILES, 0x1000, 0x1050, 0);
	check(&w, 0x1000, "abcdefghij");
	add(&w, MEM_CORE, 0x1010, 0x1018, 0);
	add(&w, MEM_CORE, 0x1030, 0x1040, 8);
	check(&w, 0x1000, "abAdefBCij");
	check(&w, 0x1038, "Cij");
	uint8_t buf[2];
	assert_true(memory_read(&w.mem, 0x100f, buf, 2)); // across a border
	assert_memory_equal(buf, "bA", 2);
	assert_true(memory_read(&w.mem, 0x1017, buf, 2));
	assert_memory_equal(buf, "Ad", 2);
	teardown(&w);
}

/// The file ends before the region does.
static void test_short_file(void **state _unused_)
{
	struct world w;
	setup(&w);
	add(&w, MEM_CORE, 0x1000, 0x2000, SIZE - 8);
	add(&w, MEM_CORE, 0x3000, 0x3008, SIZE);
	add(&w, MEM_CORE, 0x4000, 0x4008, UINT64_MAX - 3);
	add(&w, MEM_FILES, 0x1000, 0x1100, 0);
	check(&w, 0x1000, "Z"); // what is cut off is not made up from files
	check(&w, 0x1008, "");
	check(&w, 0x3000, "");
	check(&w, 0x4000, "");
	teardown(&w);
}

/// Every byte comes once, from a region that has it, and no region is before another's beginning.
static void test_overlap(void **state _unused_)
{
	struct world w;
	setup(&w);
	add(&w, MEM_CORE, 0x1000, 0x1020, 0); // A B C D
	add(&w, MEM_CORE, 0x1010, 0x1030, 64); // from its third word on: I J K L
	add(&w, MEM_CORE, 0x1018, 0x1020, 200); // all inside others
	check(&w, 0x1000, "ABCDKL");
	check(&w, 0x1020, "KL");
	teardown(&w);
}

static void test_same_start(void **state _unused_)
{
	struct world w;
	setup(&w);
	add(&w, MEM_CORE, 0x1000, 0x1008, 80);
	add(&w, MEM_CORE, 0x1000, 0x1018, 0);
	check(&w, 0x1000, "ABC"); // the longer one
	teardown(&w);
}

static void test_top(void **state _unused_)
{
	struct world w;
	uint8_t byte;
	setup(&w);
	add(&w, MEM_CORE, UINT64_MAX - 15, UINT64_MAX, 0);
	assert_true(memory_u8(&w.mem, UINT64_MAX - 15, &byte));
	assert_true(memory_u8(&w.mem, UINT64_MAX - 1, &byte));
	assert_int_equal(byte, 'B');
	assert_false(memory_u8(&w.mem, UINT64_MAX, &byte));
	uint8_t buf[32];
	assert_int_equal(memory_read_some(&w.mem, UINT64_MAX - 15, buf, 32), 15);
	teardown(&w);
}

static void test_numbers(void **state _unused_)
{
	struct world w;
	uint8_t v8;
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;
	setup(&w);
	add(&w, MEM_CORE, 0x1000, 0x1010, 0);
	assert_true(memory_u8(&w.mem, 0x100f, &v8) && v8 == 'B');
	assert_true(memory_u16(&w.mem, 0x1007, &v16) && v16 == 0x4241);
	assert_true(memory_u32(&w.mem, 0x1005, &v32) && v32 == 0x42414141);
	assert_true(memory_u64(&w.mem, 0x1001, &v64) && v64 == 0x4241414141414141);
	assert_false(memory_u16(&w.mem, 0x100f, &v16));
	assert_false(memory_u32(&w.mem, 0x100d, &v32));
	assert_false(memory_u64(&w.mem, 0x1009, &v64));
	assert_true(memory_has(&w.mem, 0x100f));
	assert_false(memory_has(&w.mem, 0x1010));
	teardown(&w);
}

struct visit {
	uint64_t starts[8];
	size_t n, stop;
};

static bool visit(void *userdata, const struct mem_region *region)
{
	struct visit *v = userdata;
	v->starts[v->n++] = region->start;
	return v->n == v->stop;
}

static void test_each(void **state _unused_)
{
	struct world w;
	struct visit v = { .stop = 99 };
	setup(&w);
	add(&w, MEM_CORE, 0x3000, 0x3008, 0);
	add(&w, MEM_CORE, 0x1000, 0x1008, 0);
	add(&w, MEM_CORE, 0x2000, 0x2008, 0);
	assert_false(memory_each(&w.mem, MEM_CORE, 0, UINT64_MAX, visit, &v));
	assert_int_equal(v.n, 3);
	assert_true(v.starts[0] == 0x1000 && v.starts[1] == 0x2000 && v.starts[2] == 0x3000);
	v = (struct visit){ .stop = 99 };
	assert_false(memory_each(&w.mem, MEM_CORE, 0x1008, 0x3000, visit, &v));
	assert_int_equal(v.n, 1);
	v = (struct visit){ .stop = 2 };
	assert_true(memory_each(&w.mem, MEM_CORE, 0x1007, 0x3001, visit, &v));
	assert_int_equal(v.n, 2);
	v = (struct visit){ .stop = 99 };
	assert_false(memory_each(&w.mem, MEM_FILES, 0, UINT64_MAX, visit, &v));
	assert_int_equal(v.n, 0);
	teardown(&w);
}

/// Compares with an array, in which regions are painted from the last one to the first.
static void test_painted(void **state _unused_)
{
	enum { SPACE = 2048, REGIONS = 60, READS = 4000 };
	uint64_t random = 42;
	for (int round = 0; round < 20; round++) {
		struct world w;
		bool there[SPACE] = { false };
		setup(&w);
		for (int i = 0; i < REGIONS; i++) {
			uint64_t start = test_random(&random) % SPACE;
			uint64_t len = MIN(test_random(&random) % 64, SPACE - start);
			add(&w, i & 1 ? MEM_CORE : MEM_FILES, start, start + len,
			    test_random(&random) % 64);
			memset(there + start, 1, len);
		}
		for (int i = 0; i < READS; i++) {
			uint64_t addr = test_random(&random) % SPACE;
			uint8_t buf[80];
			size_t want = test_random(&random) % sizeof(buf), n = 0;
			while (n < want && addr + n < SPACE && there[addr + n])
				n++;
			assert_int_equal(memory_read_some(&w.mem, addr, buf, want), n);
		}
		teardown(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),	   cmocka_unit_test(test_gaps),
		cmocka_unit_test(test_layers),	   cmocka_unit_test(test_short_file),
		cmocka_unit_test(test_overlap),	   cmocka_unit_test(test_same_start),
		cmocka_unit_test(test_top),	   cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_each),	   cmocka_unit_test(test_painted),
	};
	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
