// SPDX-License-Identifier: LGPL-2.1-or-later
#include "traceback.h"

#include <stdlib.h>

#include "globals.h"

enum {
	CODE_MAX_BYTES = 16 << 10, // the largest, sighandler, has 2 KiB
	ACCESSES_MAX = 256,
	// GOTRACEBACK may be any number; one beyond 255 nobody would set.
	VALUE_MAX = 256 << 2,
};

struct code {
	bool found; ///< there is such a function
	bool known; ///< all of it was read and decoded
	struct go_access list[ACCESSES_MAX];
	size_t n;
};

static void read_code(struct go_runtime *rt, const char *name, struct code *ret)
{
	const struct go_func *f = go_func_named(&rt->symtab, name);
	ret->found = f;
	ret->known = false;
	ret->n = 0;
	if (!f || f->module != &rt->symtab.modules[0] || f->end <= f->entry ||
	    f->end - f->entry > CODE_MAX_BYTES)
		return;
	size_t len = f->end - f->entry;
	_cleanup_free_ uint8_t *bytes = malloc(len);
	ret->known = bytes && memory_read(rt->mem, f->entry, bytes, len) &&
		     rt->arch->accesses(bytes, len, f->entry, ret->list, ACCESSES_MAX, &ret->n);
}

/// How many accesses of this kind there are, and to what.
static size_t count(const struct code *code, enum go_access_kind kind, uint64_t *ret_addr)
{
	size_t n = 0;
	for (size_t i = 0; i < code->n; i++)
		if (code->list[i].kind == kind) {
			*ret_addr = code->list[i].addr;
			n++;
		}
	return n;
}

static bool loads(struct go_runtime *rt, const char *name, uint64_t addr, struct code *code)
{
	read_code(rt, name, code);
	for (size_t i = 0; code->known && i < code->n; i++)
		if (code->list[i].kind == GO_ACCESS_LOAD && code->list[i].addr == addr)
			return true;
	return false;
}

static const char *check_version(const struct go_runtime *rt)
{
	if (!rt->version[0])
		return "it does not say which version of Go made it";
	if (rt->newer || rt->minor < GO_TRACEBACK_MINOR_MIN)
		return "this was tried with Go 1.13 to 1.27 only";
	if (!rt->arch->accesses)
		return "this was not tried on its machine";
	return NULL;
}

static bool is_writable_region(void *userdata, const struct mem_region *region)
{
	const struct go_traceback *t = userdata;
	return region->flags & MEM_WRITE && t->addr >= region->start && t->addr + 4 <= region->end;
}

static const char *check_word(struct go_runtime *rt, struct go_traceback *t, uint64_t env_addr)
{
	uint64_t symbol = rt->globals.traceback_cache;
	uint32_t env;
	t->has_symbol = symbol;
	if (symbol && symbol != t->addr)
		return "its symbols name another word than its code";
	if (t->addr & 3 || !go_globals_in_data(rt, t->addr) ||
	    !memory_each(rt->mem, MEM_CORE, t->addr, t->addr + 4, is_writable_region, t))
		return "the word is not in the data of the program";
	if (!memory_u32(rt->mem, t->addr, &t->value) || !memory_u32(rt->mem, env_addr, &env))
		return "the word cannot be read";
	// A word that has never been set has the level 1 or 2.
	if (t->value >= VALUE_MAX || (t->value & env) != env)
		return "the word has a value that Go would not set";
	return NULL;
}

bool go_traceback_find(struct go_runtime *rt, struct go_traceback *ret, const char **ret_why)
{
	struct go_traceback t = { 0 };
	uint64_t env = 0;
	*ret_why = check_version(rt);
	_cleanup_free_ struct code *code = *ret_why ? NULL : calloc(1, sizeof(*code));
	if (!code) {
		*ret_why = *ret_why ? *ret_why : "memory ran out";
		return false;
	}
	read_code(rt, "runtime/debug.SetTraceback", code);
	if (!code->known || count(code, GO_ACCESS_STORE, &t.addr) != 1 ||
	    count(code, GO_ACCESS_OR, &env) != 1 || env == t.addr)
		*ret_why = code->found ? "its runtime/debug.SetTraceback is not as expected" :
					 "it has no function runtime/debug.SetTraceback";
	else if (!loads(rt, "runtime.gotraceback", t.addr, code) &&
		 (code->found || !loads(rt, "runtime.dopanic_m", t.addr, code) ||
		  !loads(rt, "runtime.sighandler", t.addr, code)))
		*ret_why = "the functions of its runtime do not read the same word";
	else
		*ret_why = check_word(rt, &t, env);
	if (!*ret_why)
		*ret = t;
	return !*ret_why;
}
