// SPDX-License-Identifier: LGPL-2.1-or-later
#include "symbols.h"

#include <stdlib.h>
#include <string.h>

enum {
	BATCH = 256, // entries read at a time
	ALIASES_MAX = 32, // names of one address that are compared; libc has 10
	DYNAMIC_MAX = 1024, // entries of a dynamic section; linkers make 40
};

/// Reads at an offset of the file, or at an address.
static size_t read_some(const struct symbols *s, uint64_t at, void *buf, size_t len)
{
	return s->source ? source_read(s->source, at, buf, len) :
			   memory_read_some(s->mem, at, buf, len);
}

static bool is_code(const struct elf_file *elf, const Elf64_Sym *sym)
{
	unsigned int type = ELF64_ST_TYPE(sym->st_info);
	if (sym->st_shndx == SHN_UNDEF || !sym->st_value)
		return false;
	if (!elf)
		return type == STT_FUNC || type == STT_GNU_IFUNC;
	// Labels in assembly have no type, but those of data have none either.
	return (type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE) &&
	       sym->st_shndx < elf->n_shdrs &&
	       elf->shdrs[sym->st_shndx].sh_flags & SHF_EXECINSTR;
}

static int by_start(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return (x->name > y->name) - (x->name < y->name);
}

/// The symbol as it is kept; false when it is no function.
static bool take_symbol(const struct elf_file *elf, const Elf64_Sym *sym, struct symbol *ret)
{
	uint64_t size = sym->st_size;
	if (!is_code(elf, sym))
		return false;
	if (!size && elf) {
		const Elf64_Shdr *section = &elf->shdrs[sym->st_shndx];
		uint64_t into = sym->st_value - section->sh_addr;
		size = into < section->sh_size ? section->sh_size - into : 0;
	}
	size = MIN(size, (uint64_t)INT32_MAX);
	*ret = (struct symbol){
		.start = sym->st_value,
		.size = (uint32_t)(size & INT32_MAX),
		.is_label = !sym->st_size,
		.name = sym->st_name,
	};
	return size != 0;
}

/// Reads the @n entries at @at. @elf is NULL when they are in memory.
static void read_table(struct symbols *s, const struct elf_file *elf, uint64_t at, uint64_t n)
{
	Elf64_Sym batch[BATCH];
	size_t max = 0;
	n = MIN(n, (uint64_t)SYMBOLS_MAX);
	for (uint64_t i = 0; i < n; i += BATCH) {
		size_t want = (size_t)MIN(n - i, (uint64_t)BATCH) * sizeof(*batch);
		size_t got = read_some(s, at + i * sizeof(*batch), batch, want) / sizeof(*batch);
		for (size_t j = 0; j < got; j++) {
			struct symbol symbol;
			if (!take_symbol(elf, &batch[j], &symbol))
				continue;
			if (s->n == max) {
				max = MAX(max * 2, (size_t)BATCH);
				struct symbol *more = reallocarray(s->list, max, sizeof(*more));
				if (!more)
					return;
				s->list = more;
			}
			s->list[s->n++] = symbol;
		}
		if (got < want / sizeof(*batch))
			break;
	}
	if (s->n)
		qsort(s->list, s->n, sizeof(*s->list), by_start);
}

static const Elf64_Shdr *section_of_type(const struct elf_file *elf, uint32_t type)
{
	for (size_t i = 0; i < elf->n_shdrs; i++)
		if (elf->shdrs[i].sh_type == type && elf->shdrs[i].sh_link < elf->n_shdrs)
			return &elf->shdrs[i];
	return NULL;
}

void symbols_read(struct symbols *symbols, const struct elf_file *elf)
{
	const Elf64_Shdr *table = section_of_type(elf, SHT_SYMTAB);
	if (!table)
		table = section_of_type(elf, SHT_DYNSYM);
	*symbols = (struct symbols){ .source = elf->source };
	if (!table)
		return;
	const Elf64_Shdr *strings = &elf->shdrs[table->sh_link];
	symbols->strings = strings->sh_offset;
	symbols->strings_size = strings->sh_size;
	read_table(symbols, elf, table->sh_offset, table->sh_size / sizeof(Elf64_Sym));
}

void symbols_read_loaded(struct symbols *symbols, struct memory *mem, uint64_t dynamic,
			 uint64_t bytes, uint64_t bias)
{
	uint64_t table = 0, strings = 0, size = 0;
	*symbols = (struct symbols){ .mem = mem };
	for (uint64_t i = 0; i < DYNAMIC_MAX && (i + 1) * sizeof(Elf64_Dyn) <= bytes; i++) {
		Elf64_Dyn d;
		if (!memory_read(mem, dynamic + i * sizeof(d), &d, sizeof(d)) || !d.d_tag)
			break;
		// The loader replaces these by addresses, except in the vDSO.
		uint64_t addr = d.d_un.d_ptr < bias ? d.d_un.d_ptr + bias : d.d_un.d_ptr;
		if (d.d_tag == DT_SYMTAB)
			table = addr;
		else if (d.d_tag == DT_STRTAB)
			strings = addr;
		else if (d.d_tag == DT_STRSZ)
			size = d.d_un.d_val;
	}
	// Nothing says how many there are, but linkers put the strings behind them.
	if (!table || strings <= table)
		return;
	symbols->strings = strings;
	symbols->strings_size = size;
	read_table(symbols, NULL, table, (strings - table) / sizeof(Elf64_Sym));
}

void symbols_deinit(struct symbols *symbols)
{
	free(symbols->list);
	*symbols = (struct symbols){ 0 };
}

/// Without the version behind an @. NULL for none, and for what marks code and data on aarch64.
static char *read_name(const struct symbols *s, const struct symbol *symbol)
{
	char name[SYMBOL_NAME_MAX + 1];
	if (symbol->name >= s->strings_size)
		return NULL;
	size_t room = (size_t)MIN(s->strings_size - symbol->name, (uint64_t)SYMBOL_NAME_MAX);
	size_t n = read_some(s, s->strings + symbol->name, name, room);
	name[n] = '\0';
	char *version = name[0] ? strchr(name + 1, '@') : NULL;
	if (version)
		*version = '\0';
	return name[0] && name[0] != '$' ? strdup(name) : NULL;
}

/// Is @a what people call the function, rather than @b? "read" and not "__read".
static bool is_better(const char *a, const char *b)
{
	size_t x = strspn(a, "_"), y = strspn(b, "_");
	if (x != y)
		return x < y;
	if (strlen(a) != strlen(b))
		return strlen(a) < strlen(b);
	return strcmp(a, b) < 0;
}

/// The last symbol that begins at @addr or before; n for none.
static size_t find_index(const struct symbols *s, uint64_t addr)
{
	size_t low = 0, high = s->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (s->list[mid].start <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low ? low - 1 : s->n;
}

char *symbols_find(const struct symbols *symbols, uint64_t addr, uint64_t entry,
		   uint64_t *ret_start)
{
	size_t last = find_index(symbols, addr);
	char *best = NULL;
	if (last == symbols->n)
		return NULL;
	uint64_t start = symbols->list[last].start;
	for (size_t i = last, n = 0; n < ALIASES_MAX; i--, n++) {
		const struct symbol *s = &symbols->list[i];
		if (s->start != start)
			break;
		bool inside = addr - s->start < s->size &&
			      (!s->is_label || !entry || entry <= s->start);
		char *name = inside ? read_name(symbols, s) : NULL;
		if (name && (!best || is_better(name, best))) {
			free(best);
			best = TAKE_PTR(name);
		}
		free(name);
		if (!i)
			break;
	}
	*ret_start = start;
	return best;
}
