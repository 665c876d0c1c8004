// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Build information, somewhere in the memory of an image. An input is three bytes that say where
 * the image begins and ends, and the memory.
 */
#include "analyzer/go/version.h"
#include "gopatch.h"

enum { ADDRESS = 0x10000, HEAD_BYTES = 3 };

static void check_version(const char *text)
{
	int minor = -1, patch = -1;
	if (!go_version_parse(text, &minor, &patch))
		return;
	REQUIRE(minor >= 0 && patch >= 0);
	char again[32];
	int minor2, patch2;
	(void)snprintf(again, sizeof(again), "go1.%d.%d", minor, patch);
	REQUIRE(go_version_parse(again, &minor2, &patch2) && minor == minor2 && patch == patch2);
}

static void check_memory(struct source *src, const uint8_t *head, size_t size, bool headers)
{
	struct core core = { .machine = EM_X86_64 };
	Elf64_Phdr phdr = { .p_type = PT_LOAD,
			    .p_flags = PF_R | PF_W,
			    .p_vaddr = ADDRESS + head[0],
			    .p_filesz = size };
	struct image image = { .name = "", .start = ADDRESS + head[1] * 8UL,
			       .end = ADDRESS + size - head[2] };
	if (headers) {
		image.elf.phdrs = &phdr;
		image.elf.n_phdrs = 1;
	}
	struct go_runtime rt = { .core = &core, .mem = &core.memory, .image = &image };
	const struct mem_region region = { .start = ADDRESS,
					   .end = ADDRESS + size,
					   .source = src,
					   .flags = MEM_READ | MEM_WRITE };
	REQUIRE(memory_add(&core.memory, MEM_CORE, &region) == 0);
	bool found = go_version_read(&rt);
	REQUIRE(found == !!rt.version[0]);
	REQUIRE(memchr(rt.version, 0, sizeof(rt.version)));
	REQUIRE(!rt.modinfo || strlen(rt.modinfo) <= size);
	check_version(rt.version);
	free(rt.modinfo);
	memory_deinit(&core.memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < HEAD_BYTES)
		return 0;
	_cleanup_free_ char *text = fuzz_text(data, size);
	check_version(text);
	_cleanup_close_ int fd = gocore_memfd(data + HEAD_BYTES, size - HEAD_BYTES);
	_cleanup_(source_destroyp) struct source *src = NULL;
	struct snap_error *err = source_create(fd, SOURCE_FILE, &src);
	if (!err) {
		check_memory(src, data, size - HEAD_BYTES, false);
		check_memory(src, data, size - HEAD_BYTES, true);
	}
	snap_error_destroy(err);
	return 0;
}
