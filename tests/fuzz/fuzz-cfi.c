// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tables for unwinding. An input is a header of 32 bytes, then .eh_frame_hdr and .eh_frame as they
 * lie in memory: where that is, where .eh_frame begins in it (0: there is no .eh_frame_hdr), the
 * machine, and of which pcs the callers are asked for. It is also taken for an expression.
 */
#include "analyzer/expression.h"
#include "analyzer/native.h"
#include "gopatch.h"

enum { HEAD = 32, STACK = 0x7f0000000000, STACK_BYTES = 1 << 14, PCS_MAX = 64 };

static void check_entry(const struct eh_entry *e, uint64_t pc)
{
	const struct span spans[] = { e->common, e->own };
	REQUIRE(pc >= e->start && pc < e->end);
	for (size_t i = 0; i < ARRAY_SIZE(spans); i++)
		REQUIRE(!spans[i].bad && spans[i].data >= e->bytes[i] &&
			spans[i].data + spans[i].size <= e->bytes[i] + EH_ENTRY_BYTES);
}

static void check_step(const struct eh_entry *e, const struct cfi_machine *machine,
		       struct memory *mem, uint64_t pc)
{
	struct cfi_regs regs = { .pc = pc };
	for (uint8_t i = 0; i < machine->n; i++)
		cfi_set(&regs, i, STACK + STACK_BYTES / 2 + i * 64U);
	struct cfi_regs before = regs;
	enum cfi_result result = cfi_step(e, machine, mem, pc, &regs);
	REQUIRE(result == CFI_CALLER || !memcmp(&before, &regs, sizeof(regs)));
	REQUIRE(!(regs.known >> machine->n));
	// Once more, with nothing known but the stack pointer.
	regs = (struct cfi_regs){ .pc = pc };
	cfi_set(&regs, machine->sp, STACK);
	(void)cfi_step(e, machine, mem, pc, &regs);
}

static void check_expression(struct memory *mem, const uint8_t *data, size_t size)
{
	const uint64_t values[] = { STACK, STACK + 8, 1, 2, 3, 4, 5, STACK + 64 };
	const struct expression_regs regs = { values, 0xfd, ARRAY_SIZE(values) };
	uint64_t a = 0, b = 0, first = STACK;
	bool known = expression_eval(span_of(data, size), mem, &regs, &first, &a);
	REQUIRE(expression_eval(span_of(data, size), mem, &regs, &first, &b) == known && a == b);
}

static void check_pcs(struct memory *mem, struct span head, uint64_t base, uint64_t bytes)
{
	static struct eh_entry entry;
	const struct native_machine *machine = span_u32(&head, 12) & 1 ? &native_aarch64 :
									 &native_x86_64;
	uint32_t offset = span_u32(&head, 8), step = span_u32(&head, 24);
	uint64_t pc = span_u64(&head, 16);
	struct eh_frame frame = { .start = base + offset, .end = base + bytes };
	if (offset)
		frame = (struct eh_frame){ .hdr = base, .hdr_end = base + MIN(offset, bytes) };
	for (int i = 0; i < PCS_MAX; i++, pc += step)
		if (eh_find(mem, &frame, pc, &entry)) {
			check_entry(&entry, pc);
			check_step(&entry, &machine->cfi, mem, pc);
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < HEAD)
		return 0;
	_cleanup_(source_destroyp) struct source *src = NULL;
	_cleanup_close_ int fd = gocore_memfd(data, size);
	struct snap_error *err = source_create(fd, SOURCE_FILE, &src);
	struct memory mem = { 0 };
	struct span head = span_of(data, HEAD);
	uint64_t base = span_u64(&head, 0) & ((1ULL << 40) - 1);
	snap_error_destroy(err);
	if (err) // it looks compressed
		return 0;
	const struct mem_region regions[] = {
		{ .start = base, .end = base + (size - HEAD), .offset = HEAD, .source = src },
		{ .start = STACK, .end = STACK + MIN(size, (size_t)STACK_BYTES), .source = src },
	};
	for (size_t i = 0; i < ARRAY_SIZE(regions); i++)
		REQUIRE(memory_add(&mem, MEM_CORE, &regions[i]) == 0);
	check_pcs(&mem, head, base, size - HEAD);
	check_expression(&mem, data + HEAD, size - HEAD);
	memory_deinit(&mem);
	return 0;
}
