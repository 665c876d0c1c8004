// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Packed cores, whole, damaged, or no such thing: what is made of one can be read as one.
 */
#include "common/fd.h"
#include "dumper/attach.h"
#include "dumper/repack.h"
#include "fuzz.h"

#include <sys/mman.h>

enum { FRAMES_MAX = 64 }; // each is a MiB

static void destroy(struct snap_error *err)
{
	if (err)
		REQUIRE(err->message && *err->message);
	snap_error_destroy(err);
}

/// Every frame of what was written is where its table says.
static void check(int fd, uint64_t size)
{
	_cleanup_zsttable_ struct zsttable table = { 0 };
	uint64_t end, sum = 0;
	struct snap_error *err = zsttable_read(fd, &table, &end);
	REQUIRE(!err);
	for (size_t i = 0; i < table.n; i++)
		sum += table.entries[i].raw;
	REQUIRE(sum >= size);
}

static void repack(struct repack *rp, bool attach, uint32_t flags)
{
	_cleanup_close_ int out = memfd_create("out", MFD_CLOEXEC);
	REQUIRE(out >= 0);
	uint64_t size = rp->size;
	if (attach)
		destroy(attach_note(rp->head, 1, "note", 4));
	struct snap_error *err = repack_write(rp, out, 1, flags, NULL);
	if (!err)
		check(out, size);
	destroy(err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (int i = 0; i < 2; i++) {
		_cleanup_repack_ struct repack rp = { .head = -EBADF };
		_cleanup_close_ int in = memfd_create("in", MFD_CLOEXEC);
		REQUIRE(in >= 0 && snap_pwrite_all(in, data, size, 0) == 0);
		struct snap_error *err = repack_init(&rp, in);
		if (!err && rp.table.n <= FRAMES_MAX)
			repack(&rp, i, i ? SINK_CONSUME : 0U);
		destroy(err);
	}
	return 0;
}
