// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fake.h"
#include "tmpfs.h"

#include <sys/stat.h>

#include "common/fd.h"
#include "common/snapnote.h"
#include "dumper/attach.h"
#include "dumper/core.h"

/*
 * A note that is added to a finished core: read back with structures of <elf.h>.
 */

enum { ANY = 0x77 }; ///< a type of notes

struct sample {
	struct fake fake;
	struct plan *plan;
	int fd;
};

/// A core of @n mappings of one page, of which only the first has something in it.
static void make_core(struct sample *s, unsigned char class, size_t n)
{
	struct fake *fake = &s->fake;
	_cleanup_(core_destroyp) struct core *core = NULL;
	fake_init(fake, class, 2);
	free(fake->snap.mappings);
	fake->snap.mappings = calloc(n, sizeof(*fake->snap.mappings));
	fake->snap.n_mappings = n;
	fake->others = "Z";
	fake->pages[0] = "D";
	for (size_t i = 0; i < n; i++)
		fake->snap.mappings[i] = (struct snap_mapping){
			.start = 0x10000 + i * 2 * TEST_PAGE,
			.end = 0x10000 + (i * 2 + 1) * TEST_PAGE,
			.flags = SNAP_MAP_READ | SNAP_MAP_WRITE,
			.rss_bytes = TEST_PAGE,
			.anon_bytes = TEST_PAGE,
		};
	s->fd = test_memfd();
	assert_ok(plan_create(&fake->snap, &fake->source, FILTER_MASK, PLAN_ALL, &s->plan));
	assert_ok(core_create(&fake->snap, s->plan, 0, &core));
	assert_ok(core_copy(core, &fake->source, s->fd, NULL, 1, 0, NULL));
	assert_ok(core_finish(core, s->fd, &(struct core_facts){ .pause_ns = 1 }));
}

static void sample_done(struct sample *s)
{
	plan_destroy(s->plan);
	fake_deinit(&s->fake);
	(void)close(s->fd);
}

static uint64_t size_of(int fd)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_size;
}

static void read_at(int fd, void *buf, size_t len, uint64_t offset)
{
	assert_int_equal(snap_pread_full(fd, buf, len, offset), len);
}

struct elf {
	uint64_t phnum;
	Elf64_Phdr first, last;
};

static Elf64_Phdr read_phdr(int fd, bool wide, uint64_t i)
{
	Elf64_Phdr phdr;
	Elf32_Phdr narrow;
	if (wide) {
		read_at(fd, &phdr, sizeof(phdr), sizeof(Elf64_Ehdr) + i * sizeof(phdr));
		return phdr;
	}
	read_at(fd, &narrow, sizeof(narrow), sizeof(Elf32_Ehdr) + i * sizeof(narrow));
	return (Elf64_Phdr){ .p_type = narrow.p_type,
			     .p_offset = narrow.p_offset,
			     .p_filesz = narrow.p_filesz,
			     .p_vaddr = narrow.p_vaddr,
			     .p_memsz = narrow.p_memsz,
			     .p_align = narrow.p_align };
}

/// The table of segments ends before the notes, and where it says.
static struct elf read_elf(int fd)
{
	unsigned char ident[EI_NIDENT];
	struct elf elf;
	read_at(fd, ident, sizeof(ident), 0);
	assert_memory_equal(ident, ELFMAG, SELFMAG);
	bool wide = ident[EI_CLASS] == ELFCLASS64;
	uint64_t end;
	if (wide) {
		Elf64_Ehdr ehdr;
		Elf64_Shdr shdr = { .sh_info = 0 };
		read_at(fd, &ehdr, sizeof(ehdr), 0);
		elf.phnum = ehdr.e_phnum;
		if (ehdr.e_phnum == PN_XNUM) {
			assert_int_equal(ehdr.e_shnum, 1);
			assert_int_equal(ehdr.e_shentsize, sizeof(shdr));
			read_at(fd, &shdr, sizeof(shdr), ehdr.e_shoff);
			elf.phnum = shdr.sh_info;
			assert_true(elf.phnum >= PN_XNUM);
		}
		end = sizeof(ehdr) + elf.phnum * sizeof(Elf64_Phdr);
		if (ehdr.e_shoff) {
			assert_true(ehdr.e_shoff >= end);
			end = ehdr.e_shoff + sizeof(shdr);
		}
	} else {
		Elf32_Ehdr ehdr;
		Elf32_Shdr shdr = { .sh_info = 0 };
		read_at(fd, &ehdr, sizeof(ehdr), 0);
		elf.phnum = ehdr.e_phnum;
		if (ehdr.e_phnum == PN_XNUM) {
			assert_int_equal(ehdr.e_shnum, 1);
			assert_int_equal(ehdr.e_shentsize, sizeof(shdr));
			read_at(fd, &shdr, sizeof(shdr), ehdr.e_shoff);
			elf.phnum = shdr.sh_info;
			assert_true(elf.phnum >= PN_XNUM);
		}
		end = sizeof(ehdr) + elf.phnum * sizeof(Elf32_Phdr);
		if (ehdr.e_shoff) {
			assert_true(ehdr.e_shoff >= end);
			end = ehdr.e_shoff + sizeof(shdr);
		}
	}
	elf.first = read_phdr(fd, wide, 0);
	elf.last = read_phdr(fd, wide, elf.phnum - 1);
	assert_int_equal(elf.first.p_type, PT_NOTE);
	assert_true(end <= elf.first.p_offset);
	return elf;
}

/// The last segment is one of notes, with this one in it.
static void check_note(int fd, const struct elf *elf, const char *text)
{
	struct {
		Elf64_Nhdr nhdr;
		char owner[12];
	} head;
	char desc[256];
	assert_int_equal(elf->last.p_type, PT_NOTE);
	assert_int_equal(elf->last.p_vaddr | elf->last.p_memsz, 0);
	assert_int_equal(elf->last.p_align, 4);
	assert_int_equal(elf->last.p_offset % TEST_PAGE, 0);
	assert_int_equal(elf->last.p_offset + elf->last.p_filesz, size_of(fd));
	read_at(fd, &head, sizeof(head), elf->last.p_offset);
	assert_int_equal(head.nhdr.n_type, ANY);
	assert_int_equal(head.nhdr.n_namesz, 9);
	assert_string_equal(head.owner, SNAPNOTE_OWNER);
	assert_int_equal(head.nhdr.n_descsz, strlen(text));
	assert_int_equal(elf->last.p_filesz, sizeof(head) + (strlen(text) + 3) / 4 * 4);
	read_at(fd, desc, strlen(text), elf->last.p_offset + sizeof(head));
	assert_memory_equal(desc, text, strlen(text));
}

static void check(unsigned char class, size_t n)
{
	struct sample s = { .fd = -EBADF };
	make_core(&s, class, n);
	struct elf before = read_elf(s.fd);
	uint64_t size = size_of(s.fd), page[TEST_PAGE / 8];
	Elf64_Phdr load = read_phdr(s.fd, class == ELFCLASS64, n);
	assert_int_equal(before.phnum, n + 1);
	assert_int_equal(load.p_filesz, TEST_PAGE);
	static const char *const texts[] = { "a first one", "longer than the first", "x", "" };
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_ok(attach_note(s.fd, ANY, texts[i], strlen(texts[i])));
		struct elf elf = read_elf(s.fd);
		assert_int_equal(elf.phnum, n + 2);
		assert_true(elf.last.p_offset >= size);
		check_note(s.fd, &elf, texts[i]);
		// All else is as it was.
		Elf64_Phdr now = read_phdr(s.fd, class == ELFCLASS64, n);
		assert_memory_equal(&now, &load, sizeof(now));
		assert_memory_equal(&elf.first, &before.first, sizeof(elf.first));
		now = read_phdr(s.fd, class == ELFCLASS64, 1);
		read_at(s.fd, page, sizeof(page), now.p_offset);
		assert_int_equal(page[1], fake_word(now.p_vaddr + 8));
	}
	sample_done(&s);
}

static void test_wide(void **state _unused_)
{
	check(ELFCLASS64, 1);
	check(ELFCLASS64, 20);
}

static void test_narrow(void **state _unused_)
{
	check(ELFCLASS32, 1);
	check(ELFCLASS32, 20);
}

/// The note is what makes it more than e_phnum can say; and cores that were beyond that before.
static void test_many(void **state _unused_)
{
	for (size_t n = PN_XNUM - 3; n <= PN_XNUM + 1; n++) {
		check(ELFCLASS64, n);
		check(ELFCLASS32, n);
	}
}

/// Leaves a core alone that has no room for one more segment.
static void test_no_room(void **state _unused_)
{
	for (int wide = 0; wide < 2; wide++) {
		struct sample s = { .fd = -EBADF };
		uint64_t now;
		make_core(&s, wide ? ELFCLASS64 : ELFCLASS32, 4);
		uint64_t size = size_of(s.fd);
		uint64_t end = wide ? sizeof(Elf64_Ehdr) + 6 * sizeof(Elf64_Phdr) :
				      sizeof(Elf32_Ehdr) + 6 * sizeof(Elf32_Phdr);
		// The notes begin earlier than ours do, as the kernel has it.
		now = end - 1;
		assert_int_equal(snap_pwrite_all(s.fd, &now, wide ? 8 : 4,
						 wide ? sizeof(Elf64_Ehdr) + 8 :
							sizeof(Elf32_Ehdr) + 4),
				 0);
		char *before = malloc(size), *after = malloc(size);
		read_at(s.fd, before, size, 0);
		assert_ok(attach_note(s.fd, ANY, "text", 4));
		assert_int_equal(size_of(s.fd), size);
		read_at(s.fd, after, size, 0);
		assert_memory_equal(before, after, size);
		free(before);
		free(after);
		sample_done(&s);
	}
}

/// A core of the kernel that was cut has what follows nowhere.
static void test_damaged(void **state _unused_)
{
	struct sample s = { .fd = -EBADF };
	make_core(&s, ELFCLASS64, 4);
	const struct {
		size_t at;
		uint64_t value, size;
	} lies[] = {
		{ offsetof(Elf64_Ehdr, e_phentsize), 57, 2 },
		{ offsetof(Elf64_Ehdr, e_phoff), 65, 8 },
		{ offsetof(Elf64_Ehdr, e_phnum), PN_XNUM, 2 }, // and no section header
	};
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		char before[sizeof(Elf64_Ehdr)], after[sizeof(before)];
		uint64_t size = size_of(s.fd), shoff = UINT64_MAX / 2;
		read_at(s.fd, before, sizeof(before), 0);
		assert_int_equal(snap_pwrite_all(s.fd, &lies[i].value, lies[i].size, lies[i].at),
				 0);
		assert_int_equal(snap_pwrite_all(s.fd, &shoff, 8, offsetof(Elf64_Ehdr, e_shoff)),
				 0);
		read_at(s.fd, after, sizeof(after), 0);
		assert_ok(attach_note(s.fd, ANY, "text", 4));
		assert_int_equal(size_of(s.fd), size);
		char now[sizeof(before)];
		read_at(s.fd, now, sizeof(now), 0);
		assert_memory_equal(now, after, sizeof(now));
		assert_int_equal(snap_pwrite_all(s.fd, before, sizeof(before), 0), 0);
	}
	assert_int_equal(ftruncate(s.fd, 40), 0);
	assert_ok(attach_note(s.fd, ANY, "text", 4));
	assert_int_equal(size_of(s.fd), 40);
	assert_int_equal(ftruncate(s.fd, 3), 0);
	assert_code(attach_note(s.fd, ANY, "text", 4), SNAP_FAILED);
	assert_int_equal(size_of(s.fd), 3);
	sample_done(&s);
}

/// Without room on the disk the core stays as it was.
static int attach_to_full_disk(void)
{
	static char big[1 << 20];
	char page[TEST_PAGE];
	int fd = tmpfs_file(256 << 10);
	struct sample s = { .fd = -EBADF };
	if (fd < 0)
		return EXIT_SKIP;
	make_core(&s, ELFCLASS64, 4);
	uint64_t size = size_of(s.fd);
	for (uint64_t pos = 0; pos < size; pos += sizeof(page)) {
		ssize_t n = snap_pread_full(s.fd, page, sizeof(page), pos);
		if (snap_pwrite_all(fd, page, (size_t)n, pos) < 0)
			return 1;
	}
	struct snap_error *err = attach_note(fd, ANY, big, sizeof(big));
	bool right = err && err->code == SNAP_NO_SPACE && size_of(fd) == size &&
		     read_elf(fd).phnum == 5;
	snap_error_destroy(err);
	sample_done(&s);
	return right ? 0 : 2;
}

static void test_full_disk(void **state _unused_)
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(attach_to_full_disk());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP)
		skip_test("cannot mount a tmpfs");
	assert_int_equal(status, 0);
}

/// A 32-bit file can say where things are only up to 4 GiB.
static void test_far(void **state _unused_)
{
	struct sample s = { .fd = -EBADF };
	make_core(&s, ELFCLASS32, 2);
	assert_int_equal(ftruncate(s.fd, UINT32_MAX - 20), 0);
	assert_ok(attach_note(s.fd, ANY, "text", 4));
	assert_int_equal(size_of(s.fd), UINT32_MAX - 20);
	assert_int_equal(read_elf(s.fd).phnum, 3);
	sample_done(&s);
	make_core(&s, ELFCLASS64, 2);
	assert_int_equal(ftruncate(s.fd, UINT32_MAX - 20), 0);
	assert_ok(attach_note(s.fd, ANY, "text", 4));
	struct elf elf = read_elf(s.fd);
	assert_int_equal(elf.phnum, 4);
	check_note(s.fd, &elf, "text");
	sample_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wide),	  cmocka_unit_test(test_narrow),
		cmocka_unit_test(test_many),	  cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_damaged),	  cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_far),
	};
	return cmocka_run_group_tests_name("attach", tests, NULL, NULL);
}
