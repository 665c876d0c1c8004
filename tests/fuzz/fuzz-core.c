// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Notes and segments of a core, and the memory that comes of it. An input that begins like ELF is
 * the core itself; any other tells what is in it.
 */
#include "analyzer/image.h"
#include "gopatch.h"

enum { SEGMENTS_MAX = 24, NOTES_MAX = 24, PAGE = 64, ADDRESS = 0x10000 };

struct ranges {
	uint64_t end;
	size_t n, max;
};

/// Regions come in order and do not overlap.
static bool check_region(void *userdata, const struct mem_region *region)
{
	struct ranges *r = userdata;
	REQUIRE(region->start < region->end);
	REQUIRE(!r->n || region->start >= r->end);
	r->end = region->end;
	return ++r->n == r->max;
}

struct edges {
	uint64_t list[64];
	size_t n;
};

static bool take_edges(void *userdata, const struct mem_region *region)
{
	struct edges *e = userdata;
	e->list[e->n++] = region->start;
	e->list[e->n++] = region->end;
	return e->n + 2 > ARRAY_SIZE(e->list);
}

/// Whatever is read at once can be read byte by byte, and the other way round.
static void check_read(struct memory *mem, uint64_t addr, size_t len)
{
	uint8_t whole[256], byte;
	memset(whole, 0xa5, sizeof(whole));
	size_t n = memory_read_some(mem, addr, whole, len);
	REQUIRE(n <= len);
	REQUIRE(memory_read(mem, addr, whole, len) == (n == len));
	for (size_t i = 0; i < n; i++)
		REQUIRE(memory_u8(mem, addr + i, &byte) && byte == whole[i]);
	REQUIRE(n == len || !memory_has(mem, addr + n));
	for (size_t i = n; i < len; i++)
		REQUIRE(whole[i] == 0xa5);
}

static void check_memory(struct memory *mem)
{
	for (int layer = 0; layer < MEM_LAYER_MAX; layer++) {
		struct ranges all = { .max = SIZE_MAX };
		struct edges edges = { .n = 0 };
		(void)memory_each(mem, layer, 0, UINT64_MAX, check_region, &all);
		(void)memory_each(mem, layer, 0, UINT64_MAX, take_edges, &edges);
		for (size_t i = 0; i < edges.n; i++)
			for (int64_t d = -9; d <= 9; d += 3)
				check_read(mem, edges.list[i] + (uint64_t)d, 1 + (i + 7) % 200);
	}
}

static int open_image(void *userdata, const char *name, const struct elf_build_id *id,
		      bool is_program _unused_)
{
	const struct strbuf *file = userdata;
	REQUIRE(name && (!id || id->size));
	return name[0] == 'n' ? -ENOENT : gocore_memfd(file->data, file->len);
}

static void check_images(struct core *core, struct strbuf *file)
{
	const struct image_opener opener = { open_image, file };
	struct images images;
	struct snap_error *err = images_init(&images, core);
	REQUIRE(!err);
	REQUIRE(images.n);
	for (size_t i = 0; i < images.n && i < 20; i++) {
		struct image *image = &images.list[i];
		REQUIRE(image_open(image, core, &opener) == 0);
		REQUIRE(image->state != IMAGE_UNKNOWN && *image_state_name(image->state) != '?');
		REQUIRE(image->name && image->id.size <= ELF_BUILD_ID_MAX);
	}
	check_memory(&core->memory);
	images_deinit(&images);
}

static void check_core(const struct core *core)
{
	uint64_t v;
	for (size_t i = 0; i < core->n_threads; i++) {
		const struct core_thread *t = &core->threads[i];
		const struct go_arch *arch = go_arch_of(core->machine);
		struct go_regs regs;
		REQUIRE(!t->regs.bad);
		if (arch->thread_regs(t, &regs))
			(void)arch->thread_g(t, (struct memory *)(uintptr_t)&core->memory);
	}
	for (size_t i = 0; i < core->n_mapped; i++)
		REQUIRE(core->mapped[i].name && core->mapped[i].start < core->mapped[i].end);
	for (uint64_t type = 0; type < 40; type++)
		(void)core_auxv(core, type, &v);
	(void)core_pid(core);
	REQUIRE(core->note.version || !core->n_gaps);
	REQUIRE(memchr(core->note.mode, 0, sizeof(core->note.mode)));
}

/// A core made of what the input tells.
static void make_core(struct patches *in, struct strbuf *file)
{
	static const char *const owners[] = { "CORE", "LINUX", SNAPNOTE_OWNER, "" };
	static const uint32_t types[] = { NT_PRSTATUS, NT_PRPSINFO,	     NT_AUXV,
					  NT_SIGINFO,  NT_FILE,		     NT_PROCSNAP_SNAPSHOT,
					  0x401,       NT_PROCSNAP_SUMMARY };
	struct strbuf notes[2] = { { 0 }, { 0 } };
	Elf64_Phdr phdrs[SEGMENTS_MAX + 2] = { 0 };
	Elf64_Ehdr ehdr = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
					 ELFDATA2LSB, EV_CURRENT },
			    .e_type = ET_CORE,
			    .e_machine = patches_take(in, 1) & 1 ? EM_AARCH64 : EM_X86_64,
			    .e_phoff = sizeof(ehdr),
			    .e_phentsize = sizeof(*phdrs) };
	size_t n = 2;
	uint64_t at = sizeof(ehdr) + sizeof(phdrs);
	for (size_t i = patches_below(in, NOTES_MAX); i; i--) {
		uint8_t head = (uint8_t)patches_take(in, 1), kind = (uint8_t)patches_take(in, 1);
		size_t len = patches_take(in, 2) % 2000;
		len = MIN(len, in->left);
		gocore_note(&notes[head >> 7], owners[head % ARRAY_SIZE(owners)],
			    types[kind % ARRAY_SIZE(types)], in->data, len);
		in->data += len;
		in->left -= len;
	}
	for (int i = 0; i < 2; i++) {
		phdrs[i] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = at,
					 .p_filesz = notes[i].len };
		at += notes[i].len;
	}
	for (size_t i = patches_below(in, SEGMENTS_MAX); i; i--) {
		uint64_t vaddr = patches_take(in, 1), len = patches_take(in, 2);
		phdrs[n] = (Elf64_Phdr){ .p_type = PT_LOAD,
					 .p_flags = (uint32_t)patches_take(in, 1),
					 .p_vaddr = ADDRESS + vaddr * PAGE,
					 .p_offset = at + patches_take(in, 1) * PAGE,
					 .p_filesz = len,
					 .p_memsz = len };
		if (phdrs[n].p_flags & 0x80) // from the end of the address space
			phdrs[n].p_vaddr = 0 - vaddr * PAGE;
		n++;
	}
	ehdr.e_phnum = (uint16_t)n;
	gocore_add(file, &ehdr, sizeof(ehdr));
	gocore_add(file, phdrs, sizeof(phdrs));
	for (int i = 0; i < 2; i++) {
		gocore_add(file, notes[i].data, notes[i].len);
		strbuf_deinit(&notes[i]);
	}
	gocore_add(file, in->data, in->left);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_strbuf_ struct strbuf file = { 0 };
	struct patches in = { data, size };
	if (size && *data == ELFMAG0)
		gocore_add(&file, data, size);
	else
		make_core(&in, &file);
	_cleanup_close_ int fd = gocore_memfd(file.data, file.len);
	_cleanup_(source_destroyp) struct source *src = NULL;
	_cleanup_(core_closep) struct core *core = NULL;
	struct snap_error *err = source_create(fd, SOURCE_FILE, &src);
	if (!err)
		err = core_open(src, NULL, &core);
	if (!err) {
		check_core(core);
		check_memory(&core->memory);
		check_images(core, &file);
	}
	snap_error_destroy(err);
	return 0;
}
