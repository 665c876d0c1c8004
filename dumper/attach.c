// SPDX-License-Identifier: LGPL-2.1-or-later
#include "attach.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/snapnote.h"
#include "notes.h"

enum { PAGE = 4096 };

static struct snap_error *write_error(int errnum)
{
	return snap_error_errno(snap_code_from_errno(errnum), errnum, "cannot write the core");
}

static bool read_all(int fd, void *buf, size_t len, uint64_t offset)
{
	return snap_pread_full(fd, buf, len, offset) == (ssize_t)len;
}

/// Where the segment goes; the structures of both widths have the same member names.
#define ADD_SEGMENT(Ehdr, Phdr, Shdr, fd, start, len, ret)                                       \
	do {                                                                                     \
		(ret) = -ENOBUFS;                                                                \
		Ehdr ehdr;                                                                       \
		Phdr notes, last;                                                                \
		Shdr shdr = { .sh_type = SHT_NULL, .sh_size = 1 };                               \
		if (!read_all(fd, &ehdr, sizeof(ehdr), 0) || ehdr.e_phentsize != sizeof(Phdr) || \
		    ehdr.e_phoff != sizeof(Ehdr) ||                                              \
		    !read_all(fd, &notes, sizeof(notes), sizeof(Ehdr)))                          \
			break;                                                                   \
		uint64_t count = ehdr.e_phnum;                                                   \
		if (count == PN_XNUM && !read_all(fd, &shdr, sizeof(shdr), ehdr.e_shoff))        \
			break;                                                                   \
		if (count == PN_XNUM)                                                            \
			count = shdr.sh_info;                                                    \
		uint64_t at = sizeof(Ehdr) + count * sizeof(Phdr);                               \
		if (count > 1 && read_all(fd, &last, sizeof(last), at - sizeof(Phdr)) &&         \
		    last.p_type == PT_NOTE)                                                      \
			at -= sizeof(Phdr);                                                      \
		else                                                                             \
			count++;                                                                 \
		bool many = count >= PN_XNUM;                                                    \
		uint64_t end = at + sizeof(Phdr);                                                \
		if (end + (many ? sizeof(Shdr) : 0) > notes.p_offset)                            \
			break;                                                                   \
		Phdr phdr = { .p_type = PT_NOTE, .p_align = 4 };                                 \
		phdr.p_offset = (__typeof__(phdr.p_offset))(start);                              \
		phdr.p_filesz = (__typeof__(phdr.p_filesz))(len);                                \
		shdr.sh_info = (__typeof__(shdr.sh_info))count;                                  \
		if (many) {                                                                      \
			ehdr.e_shoff = (__typeof__(ehdr.e_shoff))end;                            \
			ehdr.e_shentsize = sizeof(Shdr);                                         \
			ehdr.e_shnum = 1;                                                        \
		}                                                                                \
		ehdr.e_phnum = many ? PN_XNUM : (uint16_t)count;                                 \
		/* the ELF header last: it says that there is one more */                        \
		(ret) = snap_pwrite_all(fd, &phdr, sizeof(phdr), at);                            \
		if ((ret) >= 0 && many)                                                          \
			(ret) = snap_pwrite_all(fd, &shdr, sizeof(shdr), end);                   \
		if ((ret) >= 0)                                                                  \
			(ret) = snap_pwrite_all(fd, &ehdr, sizeof(ehdr), 0);                     \
	} while (0)

struct snap_error *attach_note(int fd, uint32_t type, const void *data, size_t len)
{
	struct note_writer writer;
	struct stat st;
	uint8_t ident[EI_NIDENT];
	if (fstat(fd, &st) < 0)
		return write_error(errno);
	uint64_t start = ALIGN_UP((uint64_t)st.st_size, (uint64_t)PAGE);
	if (!read_all(fd, ident, sizeof(ident), 0) || memcmp(ident, ELFMAG, SELFMAG) != 0)
		return snap_error_new(SNAP_FAILED, "a note can only be added to a finished core");
	note_writer_init(&writer, fd, start);
	note_write(&writer, SNAPNOTE_OWNER, type, data, len, len);
	int r = note_writer_flush(&writer);
	uint64_t bytes = writer.offset - start;
	if (r >= 0 && ident[EI_CLASS] == ELFCLASS64)
		ADD_SEGMENT(Elf64_Ehdr, Elf64_Phdr, Elf64_Shdr, fd, start, bytes, r);
	else if (r >= 0 && writer.offset > UINT32_MAX)
		r = -ENOBUFS;
	else if (r >= 0)
		ADD_SEGMENT(Elf32_Ehdr, Elf32_Phdr, Elf32_Shdr, fd, start, bytes, r);
	if (r >= 0)
		return NULL;
	// The core is whole without it.
	if (ftruncate(fd, st.st_size) < 0)
		return write_error(errno);
	return r == -ENOBUFS ? NULL : write_error(-r);
}
