// SPDX-License-Identifier: LGPL-2.1-or-later
#include "image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/fd.h"
#include "debuglink.h"

enum {
	PAGE = 4096,
	// Segments of a program; the linkers make fewer than 20.
	PHDRS_MAX = 64,
	NOTES_MAX = 1 << 16,
	// Programs with more libraries than this are not known.
	IMAGES_MAX = 4096,
};

const char *image_state_name(enum image_state state)
{
	static const char *const names[] = {
		[IMAGE_UNKNOWN] = "not-needed",	 [IMAGE_MATCHES] = "matches",
		[IMAGE_UNVERIFIED] = "unverified", [IMAGE_DIFFERS] = "differs",
		[IMAGE_MISSING] = "missing",
	};
	return state < ARRAY_SIZE(names) ? names[state] : "?";
}

/// Reads the program headers of the core's copy of the file, and with them its build ID.
static void read_core_id(struct image *image, struct core *core)
{
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdrs[PHDRS_MAX];
	if (!memory_read(&core->memory, image->start, &ehdr, sizeof(ehdr)) ||
	    memcmp(ehdr.e_ident, ELFMAG, SELFMAG) != 0 || ehdr.e_phentsize != sizeof(*phdrs))
		return;
	size_t n = MIN((size_t)ehdr.e_phnum, (size_t)PHDRS_MAX);
	if (!memory_read(&core->memory, image->start + ehdr.e_phoff, phdrs, n * sizeof(*phdrs)))
		return;
	for (size_t i = 0; i < n; i++) {
		uint8_t notes[NOTES_MAX / 16];
		size_t size = MIN(phdrs[i].p_filesz, (uint64_t)sizeof(notes));
		struct elf_build_id found = { 0 };
		// Notes lie in the first pages, where offsets are addresses.
		if (phdrs[i].p_type != PT_NOTE ||
		    !memory_read(&core->memory, image->start + phdrs[i].p_offset, notes, size))
			continue;
		elf_find_build_id(span_of(notes, size), &found);
		if (found.size && (!image->id.size || found.size < image->id.size))
			image->id = found;
	}
}

static struct image *add_image(struct images *images, const struct core_mapped *mapped)
{
	struct image *bigger = reallocarray(images->list, images->n + 1, sizeof(*bigger));
	if (!bigger)
		return NULL;
	images->list = bigger;
	struct image *image = &images->list[images->n++];
	*image = (struct image){ .fd = -EBADF, .debug_fd = -EBADF, .name = "" };
	if (mapped) {
		image->name = mapped->name;
		image->mapped = mapped;
		image->start = mapped->start;
	}
	return image;
}

struct snap_error *images_init(struct images *images, const struct core *core)
{
	uint64_t phdr = 0;
	struct images list = { 0 };
	(void)core_auxv(core, AT_PHDR, &phdr); // 0 then
	for (size_t i = 0; i < core->n_mapped && list.n < IMAGES_MAX; i++) {
		const struct core_mapped *m = &core->mapped[i];
		struct image *image = list.n ? &list.list[list.n - 1] : NULL;
		// A new image begins with another name, or with the beginning of the same file.
		if (!image || strcmp(image->name, m->name) != 0 || !m->offset)
			image = add_image(&list, m);
		if (!image) {
			images_deinit(&list);
			return snap_error_oom();
		}
		image->n_mapped++;
		image->end = m->end;
		image->is_program |= phdr >= m->start && phdr < m->end;
	}
	struct image *only = list.n ? NULL : add_image(&list, NULL);
	if (only) { // no NT_FILE: whatever the caller names as the program
		only->is_program = true;
		only->start = phdr ? ALIGN_DOWN(phdr, (uint64_t)PAGE) : 0;
	}
	struct core *reader = (struct core *)(uintptr_t)core; // its cache of blocks changes
	for (size_t i = 0; i < list.n; i++)
		read_core_id(&list.list[i], reader);
	*images = list;
	return NULL;
}

void images_deinit(struct images *images)
{
	for (size_t i = 0; i < images->n; i++) {
		elf_deinit(&images->list[i].elf);
		source_destroy(images->list[i].source);
		snap_closep(&images->list[i].fd);
		elf_deinit(&images->list[i].debug);
		source_destroy(images->list[i].debug_source);
		snap_closep(&images->list[i].debug_fd);
	}
	free(images->list);
	*images = (struct images){ 0 };
}

/// Where the file was loaded: the difference between an address and the one that the file says.
static uint64_t find_bias(const struct image *image)
{
	for (size_t i = 0; i < image->elf.n_phdrs; i++) {
		const Elf64_Phdr *p = &image->elf.phdrs[i];
		uint64_t offset = ALIGN_DOWN(p->p_offset, (uint64_t)PAGE);
		if (p->p_type != PT_LOAD)
			continue;
		for (size_t j = 0; j < image->n_mapped; j++) {
			const struct core_mapped *m = &image->mapped[j];
			if (m->offset >= offset && m->offset < p->p_offset + p->p_filesz)
				return m->start - m->offset - (p->p_vaddr - p->p_offset);
		}
		if (!image->n_mapped) // at the address of its program headers
			return image->start ?
				       image->start - ALIGN_DOWN(p->p_vaddr, (uint64_t)PAGE) :
				       0;
	}
	return 0;
}

static int add_bytes(struct image *image, struct core *core)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < image->n_mapped; i++) {
		const struct core_mapped *m = &image->mapped[i];
		r = memory_add(&core->memory, MEM_FILES,
			       &(struct mem_region){ .start = m->start,
						     .end = m->end,
						     .offset = m->offset,
						     .source = image->source,
						     .flags = MEM_READ });
	}
	for (size_t i = 0; r == 0 && !image->n_mapped && i < image->elf.n_phdrs; i++) {
		const Elf64_Phdr *p = &image->elf.phdrs[i];
		uint64_t start = image->bias + p->p_vaddr;
		if (p->p_type != PT_LOAD || start + p->p_filesz < start)
			continue;
		r = memory_add(&core->memory, MEM_FILES,
			       &(struct mem_region){ .start = start,
						     .end = start + p->p_filesz,
						     .offset = p->p_offset,
						     .source = image->source,
						     .flags = MEM_READ });
		image->end = MAX(image->end, start + p->p_memsz);
	}
	return r;
}

int image_open(struct image *image, struct core *core, const struct image_opener *opener)
{
	if (image->state != IMAGE_UNKNOWN)
		return 0;
	image->state = IMAGE_MISSING;
	image->opener = opener;
	image->fd = opener->open(opener->userdata, image->name,
				 image->id.size ? &image->id : NULL, image->is_program);
	if (image->fd < 0)
		return 0;
	struct snap_error *err = source_create(image->fd, SOURCE_FILE, &image->source);
	if (!err)
		err = elf_init(&image->elf, image->source);
	if (err) {
		snap_error_destroy(err);
		return 0;
	}
	struct elf_build_id id;
	elf_build_id(&image->elf, &id);
	image->state = IMAGE_UNVERIFIED;
	if (id.size && image->id.size)
		image->state = elf_build_id_equal(&id, &image->id) ? IMAGE_MATCHES : IMAGE_DIFFERS;
	if (image->elf.ehdr.e_machine != core->machine)
		image->state = IMAGE_DIFFERS;
	if (image->state == IMAGE_DIFFERS) { // its tables are those of another program
		elf_deinit(&image->elf);
		return 0;
	}
	image->bias = find_bias(image);
	return add_bytes(image, core);
}

static bool has_debug(const struct elf_file *elf)
{
	return elf_section(elf, ".debug_info") || elf_section(elf, ".zdebug_info");
}

/// The GNU build ID, by which debug packages name their files. Go's linker has it in a section that
/// no segment has.
static void read_gnu_id(const struct elf_file *elf, struct elf_build_id *ret)
{
	const Elf64_Shdr *section = elf_section(elf, ".note.gnu.build-id");
	size_t size = section ? MIN(section->sh_size, (uint64_t)NOTES_MAX) : 0;
	_cleanup_free_ uint8_t *notes = section ? elf_copy(elf, section->sh_offset, &size) : NULL;
	*ret = (struct elf_build_id){ 0 };
	if (notes)
		elf_find_build_id(span_of(notes, size), ret);
	if (!ret->size)
		elf_build_id(elf, ret);
}

static void close_debug(struct image *image)
{
	elf_deinit(&image->debug);
	source_destroy(image->debug_source);
	snap_closep(&image->debug_fd);
	image->debug_source = NULL;
	image->debug_fd = -EBADF;
}

/// Takes @fd as the file with debugging information if it is an ELF file and the right one: its
/// build ID is @want, or it is what @link says and has no other one of the same kind.
static bool take_debug(struct image *image, int fd, const struct elf_build_id *want,
		       const struct debuglink *link)
{
	struct elf_build_id id = { 0 };
	if (fd < 0)
		return false;
	image->debug_fd = fd;
	struct snap_error *err = source_create(image->debug_fd, SOURCE_FILE, &image->debug_source);
	if (!err)
		err = elf_init(&image->debug, image->debug_source);
	if (!err)
		read_gnu_id(&image->debug, &id);
	bool same = want->size && elf_build_id_equal(&id, want);
	if (link)
		same = (same || !want->size || !id.size || id.gnu != want->gnu) && !err &&
		       debuglink_fits(link, image->debug_source);
	if (err || !same)
		close_debug(image);
	snap_error_destroy(err);
	return image->debug_source != NULL;
}

/// What debug packages have for this program, or what it has a link to. What is no such file counts
/// as none.
static void open_debug(struct image *image)
{
	const struct image_opener *opener = image->opener;
	struct elf_build_id want;
	struct debuglink link;
	read_gnu_id(&image->elf, &want);
	if (want.size && take_debug(image, opener->open(opener->userdata, "", &want, false), &want,
				    NULL))
		return;
	if (!debuglink_read(&image->elf, &link))
		return;
	for (size_t i = 0; i < DEBUGLINK_PLACES; i++) {
		_cleanup_free_ char *name = debuglink_place(&link, image->name, i);
		if (!name || (name[0] == '.' && !image->is_program))
			continue;
		if (take_debug(image, opener->open(opener->userdata, name, NULL, name[0] == '.'),
			       &want, &link))
			return;
	}
}

const struct elf_file *image_debug(struct image *image)
{
	if (image->state != IMAGE_MATCHES && image->state != IMAGE_UNVERIFIED)
		return NULL;
	if (has_debug(&image->elf))
		return &image->elf;
	if (!image->debug_tried)
		open_debug(image);
	image->debug_tried = true;
	return image->debug.source && has_debug(&image->debug) ? &image->debug : NULL;
}
