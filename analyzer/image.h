/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "core.h"

/**
 * DOC: Programs and libraries of the process
 *
 * Cores usually lack the code and read-only data of programs, since the files have them. An image
 * is one such file: where it was mapped, and, once it was opened, whether it is still the same
 * file. That is decided by the build ID in the core's copy of its first page; a file with another
 * build ID is never read from.
 *
 * The analyzer has no file system: whoever started it opens files for it (image_opener).
 */

enum image_state {
	IMAGE_UNKNOWN, ///< nobody has looked for it yet
	IMAGE_MATCHES, ///< opened, the build IDs are equal
	IMAGE_UNVERIFIED, ///< opened, but one of both has no build ID
	IMAGE_DIFFERS, ///< there is a file, of another build
	IMAGE_MISSING, ///< there is none
};

struct image {
	const char *name; ///< as in NT_FILE, borrowed from the core; "" when the core does not say
	const struct core_mapped *mapped; ///< its lines of NT_FILE
	size_t n_mapped;
	uint64_t start, end; ///< addresses from first to last mapping
	uint64_t bias; ///< address minus the address in the file
	bool is_program; ///< what AT_PHDR points into
	enum image_state state;
	struct elf_build_id id; ///< of the core's copy
	struct elf_file elf; ///< valid when it was opened
	struct source *source;
	int fd;
	const struct image_opener *opener; ///< borrowed; NULL before it was opened
	// of a separate file with debugging information
	struct elf_file debug;
	struct source *debug_source;
	int debug_fd;
	bool debug_tried;
};

struct images {
	struct image *list;
	size_t n;
};

/**
 * Opens the file called @name, for which a file with @id is preferred; NULL @id when unknown.
 *
 * Returns a descriptor that the caller owns, or a negative errno.
 */
struct image_opener {
	int (*open)(void *userdata, const char *name, const struct elf_build_id *id,
		    bool is_program);
	void *userdata;
};

/// Lists the images of @core, which must outlive them.
struct snap_error *images_init(struct images *images, const struct core *core) _must_check_;
void images_deinit(struct images *images);
/// Looks for the file of @image; its bytes then stand behind those of the core. -ENOMEM. @opener
/// must live as long as the image.
int image_open(struct image *image, struct core *core, const struct image_opener *opener);
/// The file with the debugging information of @image, which may be itself; NULL when there is none.
const struct elf_file *image_debug(struct image *image);
/// "matches", "unverified", ...; never NULL.
const char *image_state_name(enum image_state state);
