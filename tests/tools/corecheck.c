// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * corecheck: looks at ELF cores for the tests. It knows the file format from the ELF specification
 * and procsnap's note from procsnap-core(5), and shares no code with what wrote them.
 *
 *   corecheck segments CORE                  START END FILE-BYTES FLAGS of each PT_LOAD
 *   corecheck notes CORE                     OWNER TYPE BYTES of each note
 *   corecheck threads CORE                   the pr_pid of each NT_PRSTATUS, in their order
 *   corecheck ids CORE                       pr_pid, pr_ppid, pr_pgrp and pr_sid of each NT_PRSTATUS
 *                                            ("thread ...") and of NT_PRPSINFO ("process ...")
 *   corecheck note CORE                      procsnap's own note: key=value, gap and thread lines (the
 *                                            ids outside and inside), the threads as NT_PRSTATUS has
 *                                            them
 *   corecheck files CORE                     START END OFFSET NAME of each entry of NT_FILE
 *   corecheck verify CORE KEY=CONTENT [BYTES [PAGE,...]]
 *                                            content as tests/targets/README.md describes it: BYTES
 *                                            of it count, the PAGEs do not
 *   corecheck disk CORE START BYTES          bytes of this memory that are no hole in the file
 *   corecheck dumped CORE START BYTES        bytes of this memory that the file holds at all
 *   corecheck read CORE ADDRESS BYTES        hexadecimal
 *   corecheck strings CORE ADDRESS           the NUL-terminated text there
 *   corecheck compare A B [START:BYTES...]   memory of both at every address that both contain, but
 *                                            not in these ranges
 *   corecheck invariant CORE ACCOUNTS SLOTS CLOCK TOTAL
 *                                            the sum of the accounts of the target "invariant"
 *   corecheck remap CORE TABLE               the pages of the target "remap"
 *   corecheck maps70k CORE BASE COUNT STEP SEED
 *
 * Exit status: 0 good, 1 not, 2 not a core or wrong usage.
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096, NOTE_PROCSNAP = 0x534e4150, DIFFERENCES_SHOWN = 10 };

struct segment {
	uint64_t start, end, file_bytes, offset;
	uint32_t flags;
};

struct core {
	const char *path;
	int fd;
	const uint8_t *data;
	uint64_t size;
	bool is64;
	struct segment *segments;
	size_t n;
	uint64_t notes, notes_bytes;
};

static void __attribute__((format(printf, 1, 2), noreturn)) die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("corecheck: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	exit(2);
}

/* ---- the file ---- */

static const void *at(const struct core *c, uint64_t offset, uint64_t bytes)
{
	if (offset > c->size || bytes > c->size - offset)
		die("%s: %" PRIu64 " bytes at %" PRIu64 " are outside the file", c->path, bytes,
		    offset);
	return c->data + offset;
}

static int by_start(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static void add_segment(struct core *c, uint32_t type, const struct segment *s)
{
	if (type == PT_NOTE && !c->notes_bytes) { // another one may hold a summary of goroutines
		c->notes = s->offset;
		c->notes_bytes = s->file_bytes;
	}
	if (type != PT_LOAD)
		return;
	if (s->file_bytes)
		at(c, s->offset, s->file_bytes);
	if (s->file_bytes > s->end - s->start)
		die("%s: segment at %" PRIx64 " is larger in the file than in memory", c->path,
		    s->start);
	c->segments[c->n++] = *s;
}

#define READ_HEADERS(c, Ehdr, Phdr, Shdr)                                                        \
	do {                                                                                     \
		const Ehdr *e = at(c, 0, sizeof(*e));                                            \
		uint64_t n = e->e_phnum;                                                         \
		if (e->e_type != ET_CORE || e->e_phentsize != sizeof(Phdr))                      \
			die("%s: no core", (c)->path);                                           \
		if (n == PN_XNUM)                                                                \
			n = ((const Shdr *)at(c, e->e_shoff, sizeof(Shdr)))->sh_info;            \
		(c)->segments = calloc(n, sizeof(*(c)->segments));                               \
		for (uint64_t i = 0; i < n; i++) {                                               \
			const Phdr *p = at(c, e->e_phoff + i * sizeof(*p), sizeof(*p));          \
			struct segment s = { p->p_vaddr, (uint64_t)p->p_vaddr + p->p_memsz,      \
					     p->p_filesz, p->p_offset, p->p_flags };             \
			add_segment(c, p->p_type, &s);                                           \
		}                                                                                \
	} while (0)

static struct core core_open(const char *path)
{
	struct core c = { .path = path, .fd = open(path, O_RDONLY | O_CLOEXEC) };
	struct stat st;

	if (c.fd < 0 || fstat(c.fd, &st))
		die("%s: %s", path, strerror(errno));
	c.size = (uint64_t)st.st_size;
	c.data = mmap(NULL, c.size ? c.size : 1, PROT_READ, MAP_PRIVATE, c.fd, 0);
	if (c.data == MAP_FAILED)
		die("%s: %s", path, strerror(errno));
	if (c.size < EI_NIDENT || memcmp(c.data, ELFMAG, SELFMAG))
		die("%s: no ELF file", path);
	c.is64 = c.data[EI_CLASS] == ELFCLASS64;
	if (c.is64)
		READ_HEADERS(&c, Elf64_Ehdr, Elf64_Phdr, Elf64_Shdr);
	else
		READ_HEADERS(&c, Elf32_Ehdr, Elf32_Phdr, Elf32_Shdr);
	qsort(c.segments, c.n, sizeof(*c.segments), by_start);
	for (size_t i = 1; i < c.n; i++)
		if (c.segments[i].start < c.segments[i - 1].end)
			die("%s: segments at %" PRIx64 " overlap", path, c.segments[i].start);
	return c;
}

/// The first segment that ends after @addr.
static const struct segment *find(const struct core *c, uint64_t addr)
{
	size_t low = 0, high = c->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (c->segments[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low < c->n ? &c->segments[low] : NULL;
}

/// The memory at @addr, at least @bytes of it in one segment; NULL when the file has it not.
static const void *memory(const struct core *c, uint64_t addr, uint64_t bytes)
{
	const struct segment *s = find(c, addr);

	if (!s || addr < s->start || addr + bytes > s->start + s->file_bytes)
		return NULL;
	return at(c, s->offset + (addr - s->start), bytes);
}

static bool has_segment(const struct core *c, uint64_t addr)
{
	const struct segment *s = find(c, addr);

	return s && s->start <= addr;
}

/* ---- notes ---- */

struct note {
	const char *owner;
	uint32_t type, bytes;
	const uint8_t *desc;
};

static bool next_note(const struct core *c, uint64_t *pos, struct note *ret)
{
	const Elf64_Nhdr *h; // of the same size in 32-bit files

	if (*pos >= c->notes_bytes)
		return false;
	h = at(c, c->notes + *pos, sizeof(*h));
	*pos += sizeof(*h);
	ret->owner = at(c, c->notes + *pos, h->n_namesz);
	if (!h->n_namesz || ret->owner[h->n_namesz - 1])
		die("%s: note without an owner", c->path);
	*pos += (h->n_namesz + 3u) & ~3u;
	ret->type = h->n_type;
	ret->bytes = h->n_descsz;
	ret->desc = at(c, c->notes + *pos, h->n_descsz);
	*pos += (h->n_descsz + 3ull) & ~3ull;
	if (*pos > c->notes_bytes)
		die("%s: the last note does not fit into PT_NOTE", c->path);
	return true;
}

static uint64_t get(const uint8_t *p, unsigned int bytes)
{
	uint64_t v = 0;

	for (unsigned int i = bytes; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}

static int show_notes(const struct core *c)
{
	struct note n;

	for (uint64_t pos = 0; next_note(c, &pos, &n);)
		printf("%s 0x%x %u\n", n.owner, n.type, n.bytes);
	return 0;
}

/// Goes on to the next NT_PRSTATUS; its pr_pid, or -1 at the end.
static int next_thread(const struct core *c, uint64_t *pos)
{
	struct note n;

	while (next_note(c, pos, &n))
		if (!strcmp(n.owner, "CORE") && n.type == NT_PRSTATUS)
			return (int)get(n.desc + (c->is64 ? 32 : 24), 4);
	return -1;
}

static int show_threads(const struct core *c)
{
	uint64_t pos = 0;

	for (int pid; (pid = next_thread(c, &pos)) >= 0;)
		printf("%d\n", pid);
	return 0;
}

static int show_ids(const struct core *c)
{
	struct note n;

	for (uint64_t pos = 0; next_note(c, &pos, &n);) {
		const uint8_t *p;

		if (strcmp(n.owner, "CORE") || (n.type != NT_PRSTATUS && n.type != NT_PRPSINFO))
			continue;
		if (n.type == NT_PRSTATUS)
			p = n.desc + (c->is64 ? 32 : 24);
		else
			p = n.desc + (c->is64 ? 24 : 12);
		printf("%s %d %d %d %d\n", n.type == NT_PRSTATUS ? "thread" : "process",
		       (int)get(p, 4), (int)get(p + 4, 4), (int)get(p + 8, 4), (int)get(p + 12, 4));
	}
	return 0;
}

static int show_files(const struct core *c)
{
	unsigned int word = c->is64 ? 8 : 4;
	struct note n;

	for (uint64_t pos = 0; next_note(c, &pos, &n);) {
		if (strcmp(n.owner, "CORE") || n.type != NT_FILE)
			continue;
		uint64_t count = get(n.desc, word), unit = get(n.desc + word, word);
		const uint8_t *p = n.desc + 2 * word;
		const char *name = (const char *)p + count * 3 * word;

		for (uint64_t i = 0; i < count; i++, p += 3 * word) {
			printf("%" PRIx64 " %" PRIx64 " %" PRIx64 " %s\n", get(p, word),
			       get(p + word, word), get(p + 2 * word, word) * unit, name);
			name += strlen(name) + 1;
		}
		if (name != (const char *)n.desc + n.bytes)
			die("%s: NT_FILE has the wrong size", c->path);
	}
	return 0;
}

static const char *reason_name(uint64_t reason)
{
	static const char *const names[] = { "?", "unreadable", "guard", "past-eof",
					     "not-resident", "aborted" };

	return reason < sizeof(names) / sizeof(names[0]) ? names[reason] : "?";
}

static int show_own_note(const struct core *c)
{
	struct note n;

	for (uint64_t pos = 0; next_note(c, &pos, &n);) {
		if (strcmp(n.owner, "procsnap") || n.type != NOTE_PROCSNAP)
			continue;
		const uint8_t *d = n.desc;
		uint64_t head = get(d + 4, 4), gap_size = get(d + 12, 4), gaps = get(d + 16, 4),
			 thread_size = get(d + 20, 4), threads = get(d + 24, 4);

		if (head + gaps * gap_size + threads * thread_size != n.bytes)
			die("%s: procsnap's note has the wrong size", c->path);
		printf("version=%" PRIu64 "\npartial=%d\ngaps_cut=%d\ngaps=%" PRIu64
		       "\nthreads=%" PRIu64 "\nfilter=0x%" PRIx64 "\nrealtime_ns=%" PRIu64
		       "\nmonotonic_ns=%" PRIu64 "\npause_ns=%" PRIu64 "\ngap_bytes=%" PRIu64
		       "\nmode=%.16s\n",
		       get(d, 4), (int)(get(d + 8, 4) & 1), (int)(get(d + 8, 4) >> 1 & 1), gaps,
		       threads, get(d + 28, 4), get(d + 32, 8), get(d + 40, 8), get(d + 48, 8),
		       get(d + 56, 8), (const char *)d + 64);
		printf("predicted_pause_ns=%" PRIu64 "\n", head >= 88 ? get(d + 80, 8) : 0);
		d += head;
		for (uint64_t i = 0; i < gaps; i++, d += gap_size)
			printf("gap %" PRIx64 " %" PRIx64 " %s\n", get(d, 8), get(d + 8, 8),
			       reason_name(get(d + 16, 4)));
		uint64_t status = 0;

		for (uint64_t i = 0; i < threads; i++, d += thread_size) {
			int inside = (int)get(d + 4, 4), pid = next_thread(c, &status);

			printf("thread %d %d %s %c\n", (int)get(d, 4), inside,
			       get(d + 8, 4) & 1 ? "partial" : "complete", d[12]);
			if (pid != inside)
				die("%s: thread %d of the note has pr_pid %d", c->path, inside, pid);
		}
		if (next_thread(c, &status) >= 0)
			die("%s: more threads than in procsnap's note", c->path);
		return 0;
	}
	fprintf(stderr, "%s: no note of procsnap\n", c->path);
	return 1;
}

/* ---- memory ---- */

static uint64_t mix(uint64_t z)
{
	z += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint64_t word(uint64_t seed, uint64_t page, uint64_t j)
{
	return mix((seed << 40) + page * 512 + j);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t v = strtoull(text, &end, 0);

	if (!*text || *end)
		die("'%s' is no number", text);
	return v;
}

struct content {
	char name[64];
	uint64_t addr, bytes, seed, step, seed2, step2;
};

static struct content parse_content(const char *text)
{
	struct content k = { .step = 1 };

	if (sscanf(text, "%63[^=]=%" SCNx64 ":%" SCNu64 ":%" SCNu64 ":%" SCNu64 ":%" SCNu64
		   ":%" SCNu64, k.name, &k.addr, &k.bytes, &k.seed, &k.step, &k.seed2,
		   &k.step2) < 4)
		die("'%s' is no content", text);
	return k;
}

static uint64_t content_word(const struct content *k, uint64_t page, uint64_t j)
{
	if (k->step2 && page % k->step2 == 1)
		return word(k->seed2, page, j);
	if (k->step && page % k->step == 0)
		return word(k->seed, page, j);
	return 0;
}

static bool in_list(const char *list, uint64_t page)
{
	for (const char *p = list; p && *p; p += *p == ',') {
		char *end;

		if (strtoull(p, &end, 10) == page)
			return true;
		p = end;
	}
	return false;
}

/// Every word of the content must be in the file. Says how much is a hole there.
static int verify(const struct core *c, const char *text, const char *limit, const char *except)
{
	struct content k = parse_content(text);
	uint64_t bytes = limit ? number(limit) : k.bytes, bad = 0;

	for (uint64_t pos = 0; pos < bytes; pos += 8) {
		uint64_t page = pos / PAGE, want = content_word(&k, page, pos % PAGE / 8);
		const uint8_t *p;

		if (in_list(except, page)) {
			pos += PAGE - 8;
			continue;
		}
		p = memory(c, k.addr + pos, 8);
		// Memory that was never written may be left out of the file.
		if (p && get(p, 8) == want)
			continue;
		if (!p && !k.step && has_segment(c, k.addr + pos)) {
			pos = find(c, k.addr + pos)->end - k.addr - 8;
			continue;
		}
		if (bad++ < DIFFERENCES_SHOWN && p)
			printf("%s: page %" PRIu64 ", word %" PRIu64 " is %" PRIx64 ", not %" PRIx64
			       "\n", k.name, page, pos % PAGE / 8, get(p, 8), want);
		else if (!p)
			printf("%s: page %" PRIu64 " is not in the core\n", k.name, page);
		if (bad >= DIFFERENCES_SHOWN)
			break;
		pos = (page + 1) * PAGE - 8;
	}
	if (!bad)
		printf("%s: %" PRIu64 " bytes as they must be\n", k.name, bytes);
	return bad != 0;
}

/// Bytes of [@start, @start + @bytes) that are in the file; @data: and no hole.
static uint64_t count(const struct core *c, uint64_t start, uint64_t bytes, bool data)
{
	uint64_t sum = 0, end = start + bytes;

	for (uint64_t addr = start; addr < end;) {
		const struct segment *s = find(c, addr);
		uint64_t from, to;

		if (!s || s->start >= end)
			break;
		from = addr > s->start ? addr : s->start;
		to = s->start + s->file_bytes < end ? s->start + s->file_bytes : end;
		addr = s->end;
		if (from >= to)
			continue;
		if (!data) {
			sum += to - from;
			continue;
		}
		off_t pos = (off_t)(s->offset + (from - s->start)), stop = pos + (off_t)(to - from);

		while (pos < stop) {
			off_t d = lseek(c->fd, pos, SEEK_DATA), h;

			if (d < 0 || d >= stop)
				break;
			h = lseek(c->fd, d, SEEK_HOLE);
			if (h > stop)
				h = stop;
			sum += (uint64_t)(h - d);
			pos = h;
		}
	}
	return sum;
}

static int show_bytes(const struct core *c, uint64_t addr, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i++) {
		const uint8_t *p = memory(c, addr + i, 1);

		if (!p)
			die("%s: %" PRIx64 " is not in the core", c->path, addr + i);
		printf("%02x", *p);
	}
	putchar('\n');
	return 0;
}

static int show_string(const struct core *c, uint64_t addr)
{
	for (;; addr++) {
		const uint8_t *p = memory(c, addr, 1);

		if (!p)
			die("%s: %" PRIx64 " is not in the core", c->path, addr);
		if (!*p)
			break;
		putchar(*p);
	}
	putchar('\n');
	return 0;
}

static bool excepted(char **ranges, uint64_t addr)
{
	for (; *ranges; ranges++) {
		uint64_t start, bytes;

		if (sscanf(*ranges, "%" SCNx64 ":%" SCNu64, &start, &bytes) != 2)
			die("'%s' is no range", *ranges);
		if (addr >= start && addr < start + bytes)
			return true;
	}
	return false;
}

static int compare(const struct core *a, const struct core *b, char **except)
{
	uint64_t both = 0, different = 0;

	for (size_t i = 0; i < a->n; i++) {
		const struct segment *s = &a->segments[i];

		for (uint64_t addr = s->start; addr < s->start + s->file_bytes; addr += PAGE) {
			uint64_t len = s->start + s->file_bytes - addr;
			const void *p, *q;

			if (len > PAGE)
				len = PAGE;
			p = memory(a, addr, len);
			q = memory(b, addr, len);
			if (!q || excepted(except, addr))
				continue;
			both += len;
			if (!memcmp(p, q, len))
				continue;
			if (different++ < DIFFERENCES_SHOWN) {
				uint64_t j = 0;

				while (((const char *)p)[j] == ((const char *)q)[j])
					j++;
				printf("differs at %" PRIx64 "\n", addr + j);
			}
		}
	}
	printf("same=%" PRIu64 " different_pages=%" PRIu64 "\n", both, different);
	return different || !both;
}

/* ---- particular targets ---- */

struct list {
	uint64_t addr, count, stride;
};

static struct list parse_list(const char *text)
{
	struct list l;

	if (sscanf(text, "%" SCNx64 ":%" SCNu64 ":%" SCNu64, &l.addr, &l.count, &l.stride) != 3)
		die("'%s' is no list", text);
	return l;
}

static uint64_t need(const struct core *c, uint64_t addr)
{
	const uint8_t *p = memory(c, addr, 8);

	if (!p)
		die("%s: %" PRIx64 " is not in the core", c->path, addr);
	return get(p, 8);
}

static int invariant(const struct core *c, char **argv)
{
	struct list accounts = parse_list(argv[0]), slots = parse_list(argv[1]);
	uint64_t clock = need(c, number(argv[2])), sum = 0;
	int64_t *balances = calloc(accounts.count, sizeof(*balances));
	int bad = 0;

	for (uint64_t i = 0; i < accounts.count; i++)
		balances[i] = (int64_t)need(c, accounts.addr + i * accounts.stride);
	for (uint64_t i = 0; i < slots.count; i++) {
		uint64_t slot = slots.addr + i * slots.stride;

		if (need(c, slot + 40) > clock) {
			printf("slot %" PRIu64 " is from after the clock\n", i);
			bad = 1;
		}
		if (!(need(c, slot) & 1))
			continue;
		balances[need(c, slot + 8)] = (int64_t)need(c, slot + 24);
		balances[need(c, slot + 16)] = (int64_t)need(c, slot + 32);
	}
	for (uint64_t i = 0; i < accounts.count; i++)
		sum += (uint64_t)balances[i];
	if (sum != number(argv[3])) {
		printf("the sum is %" PRIu64 ", not %s\n", sum, argv[3]);
		bad = 1;
	}
	return bad;
}

static int maps70k(const struct core *c, char **argv)
{
	uint64_t base = number(argv[0]), n = number(argv[1]), step = number(argv[2]),
		 seed = number(argv[3]);

	for (uint64_t i = 0; i < n; i++) {
		uint64_t want = i % step ? 0 : word(seed, i, 0), addr = base + i * PAGE;
		const uint8_t *p = memory(c, addr, 8);
		const struct segment *s = find(c, addr);

		if (!s || s->start > addr) {
			printf("page %" PRIu64 " has no segment\n", i);
			return 1;
		}
		if (p ? get(p, 8) != want : want) {
			printf("page %" PRIu64 " is wrong\n", i);
			return 1;
		}
	}
	return 0;
}

enum remap_kind { NOTHING, ZEROS, NUMBERED, NUMBERED_OR_ZEROS, GUARDED };

/// May word @j of a page be @got, if the page is to be @value?
static bool remap_word(uint64_t value, uint64_t j, uint64_t got)
{
	switch (value & 0xff) {
	case NUMBERED: return got == word(value >> 8, 0, j);
	case NUMBERED_OR_ZEROS: return !got || got == word(value >> 8, 0, j);
	default: return !got;
	}
}

/// Is page @addr, with its row in the table at @row, as it must be? Says why not.
static const char *remap_page(const struct core *c, uint64_t row, bool *ret_changing)
{
	uint64_t addr = need(c, row), is = need(c, row + 16);
	bool odd = need(c, row + 8) & 1;
	uint64_t will = odd ? need(c, row + 24) : is;
	const uint8_t *p = memory(c, addr, PAGE);
	bool as_is = true, as_will = true;

	*ret_changing = odd;
	if (need(c, row + 32))
		return NULL;
	if (has_segment(c, addr) && !p && ((is & 0xff) == NUMBERED && !odd))
		return find(c, addr)->flags & PF_W ? "has no contents, though it is writable" :
						     "has no contents";
	if (!has_segment(c, addr))
		return (is & 0xff) == NOTHING || (will & 0xff) == NOTHING ? NULL : "is missing";
	if ((is & 0xff) == NOTHING && (will & 0xff) == NOTHING)
		return "should not be there";
	for (uint64_t j = 0; j < PAGE / 8; j++) {
		uint64_t got = p ? get(p + j * 8, 8) : 0;
		bool a = remap_word(is, j, got), b = remap_word(will, j, got);

		if (!a && !b)
			return "has something else";
		as_is &= a;
		as_will &= b;
	}
	// Freed pages are taken as a whole; only a write is done word by word.
	if ((is & 0xff) == NUMBERED_OR_ZEROS && !odd && p && get(p, 8) &&
	    !get(p + PAGE - 8, 8))
		return "is half of what it was";
	return as_is || as_will || (will & 0xff) == NUMBERED ? NULL : "is a mixture";
}

static int remap(const struct core *c, const char *text)
{
	struct list table = parse_list(text);
	uint64_t bad = 0, changing = 0, numbered = 0;

	for (uint64_t i = 0; i < table.count; i++) {
		uint64_t row = table.addr + i * table.stride;
		bool odd;
		const char *why = remap_page(c, row, &odd);

		changing += odd;
		numbered += (need(c, row + 16) & 0xff) == NUMBERED;
		if (why && bad++ < DIFFERENCES_SHOWN)
			printf("page %" PRIu64 " at %" PRIx64 " %s: was %" PRIx64 ", seq %" PRIu64
			       ", is to be %" PRIx64 ", found %" PRIx64 "\n",
			       i, need(c, row), why, need(c, row + 16), need(c, row + 8),
			       need(c, row + 24),
			       memory(c, need(c, row), 8) ? need(c, need(c, row)) : 0);
	}
	printf("%" PRIu64 " pages, %" PRIu64 " with contents, %" PRIu64 " changing, %" PRIu64
	       " bad\n", table.count, numbered, changing, bad);
	return bad || numbered < table.count / 10;
}

static int show_segments(const struct core *c)
{
	for (size_t i = 0; i < c->n; i++)
		printf("%" PRIx64 " %" PRIx64 " %" PRIu64 " %c%c%c\n", c->segments[i].start,
		       c->segments[i].end, c->segments[i].file_bytes,
		       c->segments[i].flags & PF_R ? 'r' : '-',
		       c->segments[i].flags & PF_W ? 'w' : '-',
		       c->segments[i].flags & PF_X ? 'x' : '-');
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";

	if (argc < 3)
		die("usage: corecheck WHAT CORE [ARGUMENT...]");
	struct core c = core_open(argv[2]);

	if (!strcmp(what, "segments"))
		return show_segments(&c);
	if (!strcmp(what, "notes"))
		return show_notes(&c);
	if (!strcmp(what, "threads"))
		return show_threads(&c);
	if (!strcmp(what, "ids"))
		return show_ids(&c);
	if (!strcmp(what, "files"))
		return show_files(&c);
	if (!strcmp(what, "note"))
		return show_own_note(&c);
	if (!strcmp(what, "verify") && argc >= 4)
		return verify(&c, argv[3], argc > 4 ? argv[4] : NULL, argc > 5 ? argv[5] : NULL);
	if ((!strcmp(what, "disk") || !strcmp(what, "dumped")) && argc == 5) {
		printf("%" PRIu64 "\n", count(&c, number(argv[3]), number(argv[4]),
					      !strcmp(what, "disk")));
		return 0;
	}
	if (!strcmp(what, "read") && argc == 5)
		return show_bytes(&c, number(argv[3]), number(argv[4]));
	if (!strcmp(what, "strings") && argc == 4)
		return show_string(&c, number(argv[3]));
	if (!strcmp(what, "compare") && argc >= 4) {
		struct core b = core_open(argv[3]);

		return compare(&c, &b, argv + 4);
	}
	if (!strcmp(what, "invariant") && argc == 7)
		return invariant(&c, argv + 3);
	if (!strcmp(what, "remap") && argc == 4)
		return remap(&c, argv[3]);
	if (!strcmp(what, "maps70k") && argc == 7)
		return maps70k(&c, argv + 3);
	die("wrong usage of '%s'", what);
}
