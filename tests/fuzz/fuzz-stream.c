// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The core that the kernel streams: an input is what comes out of the pipe, head and memory. What is
 * made of it is a core that has what its plan says, and takes a note.
 */
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "dumper/attach.h"
#include "dumper/core.h"
#include "dumper/stream.h"
#include "fuzz.h"

// A core is sparse; but a file has an end, and time is short.
enum { DUMP_MAX = 64 << 20 };

static int make_file(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	REQUIRE(fd >= 0 && snap_write_all(fd, data, size) == 0 && lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

static void check_snapshot(const struct snapshot *snap, const struct strbuf *head)
{
	const char *begin = head->data, *end = head->data + head->len;
	REQUIRE(snap->n_threads);
	for (size_t i = 0; i < snap->n_threads; i++) {
		const struct snap_regset *regs = &snap->threads[i].regsets[0];
		const char *data = regs->data;
		REQUIRE(regs->stored == regs->size && data >= begin && data + regs->size <= end);
	}
	REQUIRE((const char *)snap->notes >= begin &&
		(const char *)snap->notes + snap->notes_size <= end);
	REQUIRE(memchr(snap->process.comm, 0, sizeof(snap->process.comm)));
	REQUIRE(memchr(snap->process.psargs, 0, sizeof(snap->process.psargs)));
	for (size_t i = 0; i < snap->n_mappings; i++) {
		const struct snap_mapping *map = &snap->mappings[i];
		REQUIRE(map->start <= map->end);
		REQUIRE(!i || map->start >= map[-1].end);
		REQUIRE(map->name < snap->names.len);
		REQUIRE(strlen(snap_mapping_name(snap, map)) < snap->names.len);
	}
}

static void check_plan(const struct plan *plan, const struct snapshot *snap)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < plan->n; i++) {
		const struct plan_segment *seg = &plan->segments[i];
		REQUIRE(seg->start >= seg->map->start && seg->end <= seg->map->end);
		REQUIRE(seg->dump_bytes <= seg->stream_bytes || !seg->dump_bytes);
		REQUIRE(seg->stream_bytes <= seg->end - seg->start);
		sum += seg->dump_bytes;
	}
	REQUIRE(sum == plan->dump_bytes);
	REQUIRE(plan->n >= snap->n_mappings);
}

static void check_core(int fd, const struct core *core)
{
	static const char note[] = "{\"runtimes\": []}";
	const struct gaps *gaps = core_gaps(core);
	uint64_t sum = 0, size = core_size(core);
	for (size_t i = 0; i < gaps->n; i++) {
		REQUIRE(gaps->list[i].start < gaps->list[i].end);
		REQUIRE(!i || gaps->list[i - 1].end <= gaps->list[i].start);
		sum += gaps->list[i].end - gaps->list[i].start;
	}
	REQUIRE(gaps->dropped || sum == gaps->bytes);
	REQUIRE(sum <= core_plan(core)->dump_bytes);
	REQUIRE((uint64_t)lseek(fd, 0, SEEK_END) == size);
	struct snap_error *err = attach_note(fd, 1, note, sizeof(note));
	REQUIRE(!err);
	REQUIRE((uint64_t)lseek(fd, 0, SEEK_END) > size); // there is room for it in our cores
}

static void copy(int stream, const struct strbuf *head, struct snapshot *snap, struct plan *plan,
		 const struct stream_facts *facts)
{
	_cleanup_(core_destroyp) struct core *core = NULL;
	snap->mode = strdup("stream");
	REQUIRE(snap->mode);
	struct snap_error *err = core_create(snap, plan, 0, &core);
	if (err) { // 32 bits, too large
		REQUIRE(snap->process.machine.elf_class == ELFCLASS32);
		snap_error_destroy(err);
		return;
	}
	_cleanup_close_ int fd = memfd_create("core", MFD_CLOEXEC);
	REQUIRE(fd >= 0);
	bool stalled;
	const struct stream_body body = { .fd = stream, .position = head->len, .patience_ms = -1 };
	err = stream_copy(&body, facts, core, fd, CORE_KEEP_PARTIAL, &stalled);
	REQUIRE(!err);
	err = core_finish(core, fd, &(struct core_facts){ .pause_ns = 1 });
	REQUIRE(!err);
	check_core(fd, core);
}

/// Also a head that was not read, but is all of the input.
static void parse_whole(const uint8_t *data, size_t size)
{
	struct strbuf head = { .data = fuzz_text(data, size), .len = size };
	struct snapshot snap = { 0 };
	struct plan *plan = NULL;
	struct stream_facts facts;
	struct snap_error *err = stream_parse(&head, 1, &snap, &plan, &facts);
	REQUIRE(!err == !!plan);
	if (!err)
		check_snapshot(&snap, &head);
	snap_error_destroy(err);
	plan_destroy(plan);
	snapshot_deinit(&snap);
	strbuf_deinit(&head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int stream = make_file(data, size);
	_cleanup_strbuf_ struct strbuf head = { 0 };
	struct snapshot snap = { 0 };
	struct plan *plan = NULL;
	struct stream_facts facts;
	parse_whole(data, size);
	int r = stream_read_head(stream, UINT64_MAX, &head);
	REQUIRE(r == 0 || r == -EBADMSG || r == -EFBIG || r == -ENODATA);
	REQUIRE(head.len <= size && (!head.len || !memcmp(head.data, data, head.len)));
	REQUIRE((size_t)lseek(stream, 0, SEEK_CUR) == head.len);
	struct snap_error *err = r == 0 ? stream_parse(&head, 1, &snap, &plan, &facts) : NULL;
	REQUIRE(!err || err->code == SNAP_FAILED);
	snap_error_destroy(err);
	if (plan) {
		check_snapshot(&snap, &head);
		check_plan(plan, &snap);
		bool stacks = size % 2;
		err = stacks ? plan_keep_stacks(plan, &snap) : NULL;
		REQUIRE(!err);
		check_plan(plan, &snap);
		if (plan->dump_bytes <= DUMP_MAX)
			copy(stream, &head, &snap, plan, &facts);
	}
	plan_destroy(plan);
	snapshot_deinit(&snap);
	return 0;
}
