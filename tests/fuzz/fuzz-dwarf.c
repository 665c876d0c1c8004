// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Debugging information of anybody's making: the structures of the runtime, and what all functions
 * were called with.
 *
 *   input: sections until the end, each a byte for which one and how it is packed, two bytes for
 *   its size, and what is in it
 */
#include "analyzer/go/dwarf.h"
#include "analyzer/go/dwparams.h"
#include "common/str.h"
#include "fuzz.h"
#include "tests/unit/godwarf.h"

enum {
	PACKING_SHIFT = 4,
	PACKING_MASK = 3,
	LIE = 0x40,
	STACK_BYTES = 4096,
	FUNCTIONS_STEP = 16, ///< functions are looked for at every such address after GODWARF_PC
	FUNCTIONS = 32,
};

static const char *const names[] = {
	"debug_info",	  "debug_abbrev", "debug_str",	  "debug_line_str", "debug_addr",
	"debug_loc",	  "debug_loclists", "debug_ranges", "debug_rnglists",
};

/// What is left of the input is cut to sections; returns how many.
static size_t take_sections(const uint8_t *data, size_t size, struct godwarf_section *ret)
{
	size_t n = 0;
	for (; size > 3 && n < GODWARF_SECTIONS_MAX; n++) {
		size_t bytes = (size_t)data[1] | (size_t)data[2] << 8;
		bytes = bytes < size - 3 ? bytes : size - 3;
		ret[n] = (struct godwarf_section){
			.name = names[(data[0] & 15) % ARRAY_SIZE(names)],
			.data = data + 3,
			.size = bytes,
			.packing = data[0] >> PACKING_SHIFT & PACKING_MASK,
			.lie = data[0] & LIE ? bytes * 2 + 1 : 0,
		};
		data += bytes + 3;
		size -= bytes + 3;
	}
	return n;
}

static void check_layout(struct go_dwarf *dw)
{
	struct go_layout layout;
	REQUIRE(go_layout_init(&layout, GO_MINOR_MAX, 0));
	if (!go_dwarf_layout(dw, &layout))
		return;
	for (int i = 0; i < GO_FIELD_MAX; i++)
		REQUIRE(layout.offset[i] >= GO_NONE);
}

static void check_frame(struct go_params *params, const struct go_frame *frame)
{
	size_t n;
	const struct go_param *list = go_params_of(params, frame->func, &n);
	for (size_t i = 0; list && i < n; i++) {
		struct strbuf text = { 0 };
		REQUIRE(list[i].name && list[i].type);
		REQUIRE(strlen(list[i].name) + strlen(list[i].type) < SIZE_MAX / 2); // reads them
		if (go_param_text(params, &list[i], frame, &text) == 0)
			REQUIRE(text.len && text.len < 1 << 10 && snap_is_printable(text.data));
		strbuf_deinit(&text);
	}
}

static void check_params(struct go_dwarf *dw, struct memory *mem)
{
	struct image image = { .end = UINT64_MAX };
	struct go_runtime rt = { .mem = mem, .image = &image };
	struct go_params *params = go_params_create(&rt, dw);
	REQUIRE(params);
	for (uint64_t i = 0; i < FUNCTIONS; i++) {
		struct go_func func = { .entry = GODWARF_PC + i * FUNCTIONS_STEP };
		struct go_frame frame = { .pc = func.entry + 20, .fp = 1024, .func = &func };
		check_frame(params, &frame);
	}
	go_params_destroy(params);
}

/// Some memory with words that lead back into it.
static struct source *make_memory(struct memory *mem, int *fd)
{
	uint64_t words[STACK_BYTES / 8];
	struct source *source = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = i % 3 ? i : i * 5 % STACK_BYTES;
	*fd = gocore_memfd(words, sizeof(words));
	REQUIRE(!source_create(*fd, SOURCE_FILE, &source));
	const struct mem_region region = { 0, STACK_BYTES, 0, source, MEM_READ };
	REQUIRE(memory_add(mem, MEM_CORE, &region) == 0);
	return source;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct godwarf_section list[GODWARF_SECTIONS_MAX];
	struct strbuf bytes = { 0 };
	struct memory mem = { 0 };
	struct source *source = NULL, *stack;
	struct elf_file elf = { 0 };
	int stack_fd;
	godwarf_file(list, take_sections(data, size, list), &bytes);
	_cleanup_close_ int fd = gocore_memfd(bytes.data, bytes.len);
	REQUIRE(!source_create(fd, SOURCE_FILE, &source) && !elf_init(&elf, source));
	stack = make_memory(&mem, &stack_fd);
	struct go_dwarf *dw = go_dwarf_open(&elf);
	if (dw) {
		check_layout(dw);
		check_params(dw, &mem);
	}
	go_dwarf_close(dw);
	memory_deinit(&mem);
	elf_deinit(&elf);
	source_destroy(stack);
	source_destroy(source);
	snap_closep(&stack_fd);
	strbuf_deinit(&bytes);
	return 0;
}
