// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <elf.h>

#include "common/elfid.h"
#include "common/fd.h"

enum { NOTES_AT = 0x400, DYNAMIC_AT = 0x600, STRINGS_AT = 0x800, FILE_BYTES = 0x1000 };
enum { ADDRESS = 0x200000 }; // of the first byte in memory

/// A library with notes, and with a name.
struct file {
	uint8_t bytes[FILE_BYTES];
	size_t notes; ///< bytes by now
};

static Elf64_Ehdr *ehdr(struct file *f)
{
	return (Elf64_Ehdr *)f->bytes;
}

static Elf64_Phdr *phdrs(struct file *f)
{
	return (Elf64_Phdr *)(f->bytes + sizeof(Elf64_Ehdr));
}

static Elf64_Dyn *dynamic(struct file *f)
{
	return (Elf64_Dyn *)(f->bytes + DYNAMIC_AT);
}

static void add_note(struct file *f, uint32_t type, const char *owner, const char *desc)
{
	uint32_t head[3] = { (uint32_t)strlen(owner) + 1, (uint32_t)strlen(desc), type };
	uint8_t *at = f->bytes + NOTES_AT + f->notes;
	memcpy(at, head, sizeof(head));
	memcpy(at + 12, owner, head[0]);
	memcpy(at + 12 + ALIGN_UP(head[0], 4), desc, head[1]);
	f->notes += 12 + ALIGN_UP(head[0], 4) + ALIGN_UP(head[1], 4);
	phdrs(f)[1].p_filesz = f->notes;
}

static void init(struct file *f)
{
	memset(f, 0, sizeof(*f));
	*ehdr(f) = (Elf64_Ehdr){
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB },
		.e_type = ET_DYN,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 3,
	};
	phdrs(f)[0] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_vaddr = ADDRESS, .p_filesz = FILE_BYTES };
	phdrs(f)[1] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = NOTES_AT };
	phdrs(f)[2] = (Elf64_Phdr){ .p_type = PT_DYNAMIC,
				    .p_offset = DYNAMIC_AT,
				    .p_filesz = 8 * sizeof(Elf64_Dyn) };
	dynamic(f)[0] = (Elf64_Dyn){ .d_tag = DT_STRTAB, .d_un.d_val = ADDRESS + STRINGS_AT };
	dynamic(f)[1] = (Elf64_Dyn){ .d_tag = DT_SONAME, .d_un.d_val = 1 };
	memcpy(f->bytes + STRINGS_AT + 1, "libthing.so.1", 14);
	add_note(f, NT_GNU_BUILD_ID, "GNU", "12345678901234567890");
}

static int read_bytes(const void *bytes, size_t len, struct elfid *ret)
{
	_cleanup_close_ int fd = test_memfd();
	assert_int_equal(snap_write_all(fd, bytes, len), 0);
	return elfid_read(fd, ret);
}

static int read_file(const struct file *f, struct elfid *ret)
{
	return read_bytes(f->bytes, sizeof(f->bytes), ret);
}

static void test_library(void **state _unused_)
{
	struct file f;
	struct elfid id;
	char text[2 * ELF_BUILD_ID_MAX + 1];
	init(&f);
	assert_int_equal(read_file(&f, &id), 0);
	assert_string_equal(id.soname, "libthing.so.1");
	elf_build_id_format(&id.build_id, text);
	assert_string_equal(text, "3132333435363738393031323334353637383930");
	assert_true(id.build_id.gnu);
}

/// What it says of itself is not read where it is not, and the rest is.
static void test_damaged(void **state _unused_)
{
	struct file f;
	struct elfid id;
	init(&f);
	phdrs(&f)[1].p_offset = UINT64_MAX - 8;
	assert_int_equal(read_file(&f, &id), 0);
	assert_int_equal(id.build_id.size, 0);
	assert_string_equal(id.soname, "libthing.so.1");
	init(&f);
	phdrs(&f)[1].p_filesz = UINT64_MAX;
	assert_int_equal(read_file(&f, &id), 0);
	assert_int_equal(id.build_id.size, 20);
	init(&f);
	dynamic(&f)[0].d_un.d_val = UINT64_MAX;
	assert_int_equal(read_file(&f, &id), 0);
	assert_string_equal(id.soname, "");
	init(&f);
	dynamic(&f)[1].d_un.d_val = FILE_BYTES;
	assert_int_equal(read_file(&f, &id), 0);
	assert_string_equal(id.soname, "");
	init(&f);
	memset(f.bytes + STRINGS_AT, 'x', FILE_BYTES - STRINGS_AT); // without an end
	assert_int_equal(read_file(&f, &id), 0);
	assert_string_equal(id.soname, "");
	init(&f);
	phdrs(&f)[0].p_offset = UINT64_MAX - 4;
	assert_int_equal(read_file(&f, &id), 0);
	assert_string_equal(id.soname, "");
	init(&f);
	ehdr(&f)->e_phnum = UINT16_MAX;
	assert_int_equal(read_file(&f, &id), 0);
	assert_int_equal(id.build_id.size, 20);
	init(&f);
	ehdr(&f)->e_phentsize = 1;
	assert_int_equal(read_file(&f, &id), 0);
	assert_int_equal(id.build_id.size, 0);
}

/// A name is one of a file, or none.
static void test_names(void **state _unused_)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "/etc/passwd", "a\nb", "\xff" };
	struct file f;
	struct elfid id;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		init(&f);
		memcpy(f.bytes + STRINGS_AT + 1, bad[i], strlen(bad[i]) + 1);
		assert_int_equal(read_file(&f, &id), 0);
		assert_string_equal(id.soname, "");
	}
}

/// The same of 32 bits.
static void test_narrow(void **state _unused_)
{
	struct file f;
	struct elfid id;
	init(&f);
	Elf32_Ehdr *head = (Elf32_Ehdr *)f.bytes;
	*head = (Elf32_Ehdr){
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB },
		.e_phoff = sizeof(Elf32_Ehdr),
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 3,
	};
	Elf32_Phdr *p = (Elf32_Phdr *)(head + 1);
	p[0] = (Elf32_Phdr){ .p_type = PT_LOAD, .p_vaddr = ADDRESS, .p_filesz = FILE_BYTES };
	p[1] = (Elf32_Phdr){ .p_type = PT_NOTE, .p_offset = NOTES_AT, .p_filesz = (Elf32_Word)f.notes };
	p[2] = (Elf32_Phdr){ .p_type = PT_DYNAMIC, .p_offset = DYNAMIC_AT, .p_filesz = 64 };
	Elf32_Dyn *d = (Elf32_Dyn *)(f.bytes + DYNAMIC_AT);
	d[0] = (Elf32_Dyn){ .d_tag = DT_SONAME, .d_un.d_val = 1 };
	d[1] = (Elf32_Dyn){ .d_tag = DT_STRTAB, .d_un.d_val = ADDRESS + STRINGS_AT };
	d[2] = (Elf32_Dyn){ .d_tag = DT_NULL };
	assert_int_equal(read_file(&f, &id), 0);
	assert_int_equal(id.build_id.size, 20);
	assert_string_equal(id.soname, "libthing.so.1");
}

/// GNU's, and without one the one of Go.
static void test_go(void **state _unused_)
{
	struct file f;
	struct elfid id;
	init(&f);
	f.notes = 0;
	add_note(&f, 4, "Go", "abcdefghijklmnopqrstuvwxyz0123456789");
	assert_int_equal(read_file(&f, &id), 0);
	assert_int_equal(id.build_id.size, 36);
	assert_false(id.build_id.gnu);
	add_note(&f, NT_GNU_BUILD_ID, "GNU", "12345678901234567890");
	assert_int_equal(read_file(&f, &id), 0);
	assert_true(id.build_id.gnu);
}

static void test_no_elf(void **state _unused_)
{
	struct file f;
	struct elfid id = { .soname = "as it was" };
	assert_int_equal(read_bytes("#!/bin/sh\n", 10, &id), -EBADMSG);
	init(&f);
	assert_int_equal(read_bytes(f.bytes, 40, &id), -EBADMSG);
	f.bytes[EI_DATA] = ELFDATA2MSB;
	assert_int_equal(read_file(&f, &id), -EBADMSG);
	f.bytes[EI_DATA] = ELFDATA2LSB;
	f.bytes[EI_CLASS] = 3;
	assert_int_equal(read_file(&f, &id), -EBADMSG);
	assert_string_equal(id.soname, "as it was");
	_cleanup_close_ int fd = test_memfd();
	assert_int_equal(elfid_is_elf(fd), 0);
	assert_int_equal(snap_write_all(fd, ELFMAG, SELFMAG), 0);
	assert_int_equal(elfid_is_elf(fd), 1);
	assert_int_equal(elfid_is_elf(-EBADF), -EBADF);
}

/// The program that runs has what its linker gave it.
static void test_ourselves(void **state _unused_)
{
	struct elfid id;
	_cleanup_close_ int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_int_equal(elfid_is_elf(fd), 1);
	assert_int_equal(elfid_read(fd, &id), 0);
	assert_string_equal(id.soname, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_library), cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_narrow),	cmocka_unit_test(test_names),	cmocka_unit_test(test_go),
		cmocka_unit_test(test_no_elf),	cmocka_unit_test(test_ourselves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
