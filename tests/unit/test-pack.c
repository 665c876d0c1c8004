// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fake.h"
#include "tmpfs.h"

#include <sys/stat.h>
#include <zstd.h>

#include "analyzer/source.h"
#include "common/fd.h"
#include "common/snapnote.h"
#include "dumper/attach.h"
#include "dumper/pack.h"
#include "dumper/repack.h"

/*
 * Packed cores beside those that are made in the ordinary way, with the same layout: they must have
 * the same bytes, for each of their readers.
 */

enum {
	RW = SNAP_MAP_READ | SNAP_MAP_WRITE,
	MIB = 1 << 20,
	MIB_PAGES = MIB / TEST_PAGE,
	ANY = 0x77, ///< a type of notes
};

struct sample {
	struct fake fake;
	struct plan *plan;
};

static void sample_done(struct sample *s)
{
	plan_destroy(s->plan);
	fake_deinit(&s->fake);
}

static void make_plan(struct sample *s)
{
	assert_ok(plan_create(&s->fake.snap, &s->fake.source, FILTER_MASK, PLAN_ALL, &s->plan));
}

static const struct core_facts facts = { .defer_writing = true, .pause_ns = 5 };

/// What the core is to be, in the ordinary way.
static int make_raw(struct sample *s)
{
	_cleanup_(core_destroyp) struct core *core = NULL;
	int fd = test_memfd();
	assert_ok(core_create_packed(&s->fake.snap, s->plan, &core));
	assert_ok(core_copy(core, &s->fake.source, fd, NULL, 2, CORE_KEEP_PARTIAL, NULL));
	assert_ok(core_finish(core, fd, &facts));
	return fd;
}

static struct snap_error *pack(struct sample *s, int out, unsigned int threads, uint64_t max_bytes,
			       uint64_t *ret_lost)
{
	_cleanup_(core_destroyp) struct core *core = NULL;
	assert_ok(core_create_packed(&s->fake.snap, s->plan, &core));
	struct snap_error *err = core_pack(core, &(struct packing){ .source = &s->fake.source,
								    .out = out,
								    .level = 1,
								    .threads = threads,
								    .max_bytes = max_bytes,
								    .facts = &facts });
	if (ret_lost)
		*ret_lost = core_gaps(core)->lost_bytes;
	return err;
}

static uint64_t size_of(int fd)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_size;
}

static uint64_t disk_bytes(int fd)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

/// As a stream, which is how "zstd -d" and coredumpctl read it.
static void same_as_stream(int packed, int raw)
{
	ZSTD_DStream *stream = ZSTD_createDStream();
	char *in_buf = malloc(100000), *out_buf = malloc(77777), *want = malloc(77777);
	uint64_t pos = 0, at = 0;
	ssize_t n;
	size_t left = 1;
	while ((n = snap_pread_full(packed, in_buf, 100000, at)) > 0) {
		ZSTD_inBuffer in = { in_buf, (size_t)n, 0 };
		at += (uint64_t)n;
		bool full = false;
		while (in.pos < in.size || full) {
			ZSTD_outBuffer out = { out_buf, 77777, 0 };
			left = ZSTD_decompressStream(stream, &out, &in);
			assert_false(ZSTD_isError(left));
			assert_int_equal(snap_pread_full(raw, want, out.pos, pos), out.pos);
			assert_memory_equal(out_buf, want, out.pos);
			pos += out.pos;
			full = left && out.pos == out.size;
		}
	}
	assert_int_equal(left, 0);
	assert_int_equal(pos, size_of(raw));
	ZSTD_freeDStream(stream);
	free(in_buf);
	free(out_buf);
	free(want);
}

/// By address, as the analyzer reads it.
static void same_by_address(int packed, int raw)
{
	struct source *source = NULL;
	uint64_t size = size_of(raw), random = 3;
	char got[5000], want[5000];
	assert_ok(source_create(packed, SOURCE_FILE, &source));
	assert_int_equal(source_size(source), size);
	for (int i = 0; i < 500; i++) {
		uint64_t pos = (i < 3 ? (uint64_t)i * MIB - (i ? 100 : 0) : test_random(&random)) %
			       size;
		size_t len = MIN(size - pos, sizeof(got));
		assert_int_equal(source_read(source, pos, got, len), len);
		assert_int_equal(snap_pread_full(raw, want, len, pos), len);
		assert_memory_equal(got, want, len);
	}
	source_destroy(source);
}

static void same(int packed, int raw)
{
	same_as_stream(packed, raw);
	same_by_address(packed, raw);
}

/// The final form: no room is left over, and no frame but the last is short.
static void is_regular(int fd)
{
	_cleanup_zsttable_ struct zsttable table = { 0 };
	uint64_t end;
	assert_ok(zsttable_read(fd, &table, &end));
	for (size_t i = 0; i < table.n; i++)
		assert_true(table.entries[i].raw == MIB || (i + 1 == table.n && table.entries[i].raw));
}

/// The packed core in its final form, with a note of @note_bytes, if any.
static void check_repack(int packed, int raw, size_t note_bytes, uint32_t flags)
{
	_cleanup_close_ int in = test_memfd(), want = test_memfd(), out = test_memfd();
	_cleanup_repack_ struct repack rp = { .head = -EBADF };
	char *note = malloc(note_bytes + 1);
	memset(note, 'n', note_bytes);
	assert_int_equal(copy_file_range(packed, &(off_t){ 0 }, in, NULL, size_of(packed), 0),
			 size_of(packed));
	uint64_t pos = 0, size = size_of(raw);
	char buf[TEST_PAGE];
	for (ssize_t n; (n = snap_pread_full(raw, buf, sizeof(buf), pos)) > 0; pos += (uint64_t)n)
		assert_int_equal(snap_pwrite_all(want, buf, (size_t)n, pos), 0);
	assert_int_equal(pos, size);
	assert_ok(repack_init(&rp, in));
	assert_int_equal(rp.size, size);
	assert_int_equal(size_of(rp.head), size);
	if (note_bytes) {
		assert_ok(attach_note(want, ANY, note, note_bytes));
		assert_ok(attach_note(rp.head, ANY, note, note_bytes));
	}
	assert_ok(repack_write(&rp, out, 3, flags, NULL));
	is_regular(out);
	same(out, want);
	bool copies = rp.n_before < rp.table.n && rp.table.entries[rp.n_before].raw == MIB;
	if (flags & SINK_CONSUME && copies) {
		struct repack again;
		// All but the last frame, which became a part of another one.
		assert_true(disk_bytes(in) < MIB + MIB / 4);
		assert_code(repack_init(&again, in), SNAP_FAILED); // it is none any more
		repack_deinit(&again);
	} else { // or there was nothing to consume
		same(in, raw);
	}
	free(note);
}

static void check(struct sample *s, uint64_t lost)
{
	_cleanup_close_ int raw = make_raw(s);
	for (unsigned int threads = 1; threads <= 4; threads += 3) {
		_cleanup_close_ int out = test_memfd();
		uint64_t got;
		assert_ok(pack(s, out, threads, 0, &got));
		assert_int_equal(got, lost);
		same(out, raw);
		check_repack(out, raw, 0, 0);
		check_repack(out, raw, 100, 0);
		check_repack(out, raw, 3 * MIB, SINK_CONSUME);
	}
}

static void test_plain(void **state _unused_)
{
	struct sample s = { 0 };
	fake_init(&s.fake, ELFCLASS64, 3);
	fake_map(&s.fake, 0x100000, 5 * MIB_PAGES, RW, NULL, "D");
	make_plan(&s);
	check(&s, 0);
	sample_done(&s);
}

/// Segments that begin and end anywhere within frames, with all kinds of memory.
static void test_kinds(void **state _unused_)
{
	struct sample s = { 0 };
	fake_init(&s.fake, ELFCLASS64, 2);
	fake_map(&s.fake, 0x100000, 3, RW, NULL, "DZd");
	fake_map(&s.fake, 0x200000, 700, RW, NULL, "DDZZZDdDZ");
	fake_map(&s.fake, 0x800000, 1, RW, NULL, "U");
	fake_map(&s.fake, 0x900000, 2 * MIB_PAGES + 5, RW | SNAP_MAP_SHARED, "/file", "FFEDFFUD");
	fake_map(&s.fake, 0x2000000, 20, RW, NULL, "DUUDGGND");
	fake_map(&s.fake, 0x3000000, 9 * MIB_PAGES, RW, NULL, "Z");
	fake_map(&s.fake, 0x4000000, 300, RW, NULL, "D");
	make_plan(&s);
	check(&s, 4 * TEST_PAGE + TEST_PAGE);
	sample_done(&s);
	// A source that is slow, and leaves something where it could not read.
	fake_init(&s.fake, ELFCLASS64, 1);
	fake_map(&s.fake, 0x100000, 3 * MIB_PAGES, RW, NULL, "DUUZUDDDDUZZDDUD");
	s.fake.dirty = true;
	s.fake.read_max = 3 * TEST_PAGE;
	s.fake.scan_max = 2;
	make_plan(&s);
	check(&s, 5 * TEST_PAGE);
	sample_done(&s);
}

static void test_many_segments(void **state _unused_)
{
	struct sample s = { 0 };
	fake_init(&s.fake, ELFCLASS64, 300); // whose registers take more than one frame
	s.fake.others = "D";
	for (uint64_t i = 0; i < 5000; i++)
		fake_map(&s.fake, 0x100000 + i * 8 * TEST_PAGE, 1 + i % 3, RW, NULL, NULL);
	make_plan(&s);
	check(&s, 0);
	sample_done(&s);
}

static void test_no_memory(void **state _unused_)
{
	struct sample s = { 0 };
	fake_init(&s.fake, ELFCLASS64, 1);
	make_plan(&s);
	check(&s, 0);
	sample_done(&s);
}

static void test_narrow(void **state _unused_)
{
	struct sample s = { 0 };
	fake_init(&s.fake, ELFCLASS32, 2);
	fake_map(&s.fake, 0x100000, 2 * MIB_PAGES + 1, RW, NULL, "D");
	make_plan(&s);
	check(&s, 0);
	sample_done(&s);
}

/// What was never touched costs nothing.
static void test_sparse(void **state _unused_)
{
	struct sample s = { 0 };
	_cleanup_close_ int out = test_memfd();
	fake_init(&s.fake, ELFCLASS64, 1);
	fake_map(&s.fake, 0x100000000, 64 * 1024UL * MIB_PAGES, RW, NULL, "Z");
	make_plan(&s);
	s.fake.reads = 0;
	assert_ok(pack(&s, out, 2, 0, NULL));
	assert_int_equal(s.fake.reads, 0);
	assert_true(disk_bytes(out) < 16 * MIB);
	sample_done(&s);
}

/// The room that headers did not need is none on the disk.
static void test_room_is_given_back(void **state _unused_)
{
	struct sample s = { 0 };
	_cleanup_close_ int out = test_memfd();
	fake_init(&s.fake, ELFCLASS64, 1);
	fake_map(&s.fake, 0x100000, 1, RW, NULL, "D");
	make_plan(&s);
	assert_ok(pack(&s, out, 1, 0, NULL));
	assert_true(size_of(out) > MIB);
	assert_true(disk_bytes(out) < 64 << 10);
	sample_done(&s);
}

static void test_process_ends(void **state _unused_)
{
	struct sample s = { 0 };
	_cleanup_close_ int out = test_memfd();
	uint64_t lost;
	fake_init(&s.fake, ELFCLASS64, 1);
	fake_map(&s.fake, 0x100000, 6 * MIB_PAGES, RW, NULL, "D");
	make_plan(&s);
	s.fake.fail_addr = 0x100000 + 2 * MIB + 5 * TEST_PAGE;
	s.fake.fail_errno = ESRCH;
	assert_ok(pack(&s, out, 1, 0, &lost));
	assert_int_equal(lost, 4 * MIB - 5 * TEST_PAGE);
	_cleanup_close_ int raw = make_raw(&s);
	same(out, raw);
	s.fake.fail_errno = ENOMEM;
	assert_code(pack(&s, out, 1, 0, NULL), SNAP_FAILED);
	sample_done(&s);
}

static void test_limits(void **state _unused_)
{
	struct sample s = { 0 };
	fake_init(&s.fake, ELFCLASS64, 1);
	fake_map(&s.fake, 0x100000, 4 * MIB_PAGES, RW, NULL, "D");
	make_plan(&s);
	_cleanup_close_ int whole = test_memfd();
	assert_ok(pack(&s, whole, 1, 0, NULL));
	for (uint64_t max = 1; max < 6 * MIB; max += MIB / 3) {
		_cleanup_close_ int out = test_memfd();
		struct snap_error *err = pack(&s, out, 2, max, NULL);
		assert_true(err ? err->code == SNAP_NO_SPACE : size_of(out) <= max);
		assert_true(disk_bytes(out) <= MAX(max, (uint64_t)2 * MIB));
		assert_true(err || max >= size_of(whole));
		snap_error_destroy(err);
	}
	// No more memory than this.
	_cleanup_(core_destroyp) struct core *core = NULL;
	_cleanup_close_ int out = test_memfd();
	assert_ok(core_create_packed(&s.fake.snap, s.plan, &core));
	assert_ok(core_set_limit(core, 3 * MIB));
	assert_code(core_pack(core, &(struct packing){ .source = &s.fake.source, .out = out,
						       .threads = 2, .facts = &facts }),
		    SNAP_NO_SPACE);
	sample_done(&s);
}

static int fill_disk(void *userdata)
{
	struct sample *s = userdata;
	for (size_t mib = 1; mib < 8; mib++) {
		_cleanup_(core_destroyp) struct core *core = NULL;
		_cleanup_zsttable_ struct zsttable table = { 0 };
		uint64_t end;
		_cleanup_close_ int out = tmpfs_file(mib * MIB);
		if (out < 0)
			return EXIT_SKIP;
		struct snap_error *err = core_create_packed(&s->fake.snap, s->plan, &core);
		if (!err)
			err = core_pack(core, &(struct packing){ .source = &s->fake.source,
								 .out = out,
								 .threads = 2,
								 .facts = &facts });
		// Others are left something, too.
		if (!err) {
			_cleanup_close_ int second = tmpfs_file((mib + 1) * MIB);
			_cleanup_(core_destroyp) struct core *again = NULL;
			err = core_create_packed(&s->fake.snap, s->plan, &again);
			if (!err)
				err = core_pack(again, &(struct packing){
							       .source = &s->fake.source,
							       .out = second,
							       .threads = 1,
							       .keep_free_bytes = (mib - 2) * MIB,
							       .facts = &facts });
			if (!err || err->code != SNAP_NO_SPACE)
				return 20;
			snap_error_destroy(err);
			err = NULL;
		}
		bool full = err && err->code == SNAP_NO_SPACE;
		struct snap_error *none = zsttable_read(out, &table, &end);
		// All of it, or nothing that could be taken for it.
		bool good = full == (mib < 6) && (!err || full) && !err == !none;
		snap_error_destroy(err);
		snap_error_destroy(none);
		if (!good)
			return 1 + (int)mib;
	}
	return 0;
}

static void test_full_disk(void **state _unused_)
{
	struct sample s = { 0 };
	fake_init(&s.fake, ELFCLASS64, 1);
	fake_map(&s.fake, 0x100000, 4 * MIB_PAGES, RW, NULL, "D");
	make_plan(&s);
	int r = test_wait(test_fork(fill_disk, &s));
	sample_done(&s);
	if (r == EXIT_SKIP)
		skip_test("a file system cannot be mounted here");
	assert_int_equal(r, 0);
}

/// A disk with room for one of them, and a bit: the output takes the place of the input.
static int repack_in_place(void *userdata)
{
	const int *packed = userdata;
	char options[64], dir[] = "/tmp/procsnap-unit-XXXXXX", path[64];
	uint64_t size = size_of(*packed);
	int r;
	(void)snprintf(options, sizeof(options), "size=%zu", (size_t)disk_bytes(*packed) + 2 * MIB);
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
	    !mkdtemp(dir) || mount("tmpfs", dir, "tmpfs", 0, options) < 0)
		return EXIT_SKIP;
	(void)snprintf(path, sizeof(path), "%s/in", dir);
	int in = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	(void)snprintf(path, sizeof(path), "%s/out", dir);
	int out = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char buf[TEST_PAGE];
	static const char zeros[TEST_PAGE];
	for (uint64_t pos = 0; pos < size; pos += sizeof(buf)) {
		size_t len = MIN(size - pos, sizeof(buf));
		if (snap_pread_full(*packed, buf, len, pos) != (ssize_t)len ||
		    (memcmp(buf, zeros, len) != 0 && snap_pwrite_all(in, buf, len, pos) < 0))
			return 1;
	}
	_cleanup_repack_ struct repack rp = { .head = -EBADF };
	struct snap_error *err = repack_init(&rp, in);
	if (!err)
		err = repack_write(&rp, out, 1, SINK_CONSUME, NULL);
	if (err)
		fprintf(stderr, "%s\n", err->message);
	(void)umount2(dir, MNT_DETACH);
	(void)rmdir(dir);
	r = err ? 2 : 0;
	snap_error_destroy(err);
	return r;
}

static void test_in_place(void **state _unused_)
{
	struct sample s = { 0 };
	_cleanup_close_ int packed = test_memfd();
	fake_init(&s.fake, ELFCLASS64, 1);
	fake_map(&s.fake, 0x100000, 12 * MIB_PAGES, RW, NULL, "D");
	make_plan(&s);
	assert_ok(pack(&s, packed, 2, 0, NULL));
	int r = test_wait(test_fork(repack_in_place, &packed));
	sample_done(&s);
	if (r == EXIT_SKIP)
		skip_test("a file system cannot be mounted here");
	assert_int_equal(r, 0);
}

/// A file that is none, or is damaged, is not repacked.
static void test_damage(void **state _unused_)
{
	struct sample s = { 0 };
	_cleanup_close_ int packed = test_memfd(), plain = test_memfd(), out = test_memfd();
	struct repack rp;
	fake_init(&s.fake, ELFCLASS64, 1);
	fake_map(&s.fake, 0x100000, 2 * MIB_PAGES, RW, NULL, "D");
	make_plan(&s);
	assert_ok(pack(&s, packed, 2, 0, NULL));
	assert_int_equal(ftruncate(plain, 5), 0);
	assert_ok(sink_zstd(plain, 5, out, 1, 1, 0, NULL));
	assert_code(repack_init(&rp, out), SNAP_FAILED);
	repack_deinit(&rp);
	assert_int_equal(snap_pwrite_all(packed, "damage", 6, 100), 0); // in the head
	assert_code(repack_init(&rp, packed), SNAP_FAILED);
	repack_deinit(&rp);
	assert_int_equal(ftruncate(packed, (off_t)size_of(packed) - 1), 0);
	assert_code(repack_init(&rp, packed), SNAP_FAILED);
	repack_deinit(&rp);
	sample_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),	     cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_many_segments), cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_narrow),	     cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_room_is_given_back),
		cmocka_unit_test(test_process_ends), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_full_disk),    cmocka_unit_test(test_in_place),
		cmocka_unit_test(test_damage),
	};
	return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
