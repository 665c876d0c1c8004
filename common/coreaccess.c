// SPDX-License-Identifier: LGPL-2.1-or-later
#include "coreaccess.h"

#include <elf.h>
#include <stddef.h>

#include "cleanup.h"

enum {
	// The kernel writes some 25 pairs; AT_VECTOR_SIZE is below that on all machines.
	PAIRS_MAX = 256,
};

/// What is looked for in an auxiliary vector.
enum auxv_key { KEY_UID, KEY_EUID, KEY_GID, KEY_EGID, KEY_SECURE, KEY_PHENT, KEY_MAX };

static const uint64_t types[KEY_MAX] = {
	[KEY_UID] = AT_UID,   [KEY_EUID] = AT_EUID,	[KEY_GID] = AT_GID,
	[KEY_EGID] = AT_EGID, [KEY_SECURE] = AT_SECURE, [KEY_PHENT] = AT_PHENT,
};

bool coreaccess_is_person(uid_t uid)
{
	// From systemd's uid-range.h.
	enum { SYSTEM_LAST = 999, DYNAMIC_FIRST = 61184, DYNAMIC_LAST = 65519, NOBODY = 65534 };
	return uid > SYSTEM_LAST && !(uid >= DYNAMIC_FIRST && uid <= DYNAMIC_LAST) &&
	       uid != NOBODY && uid != 65535 && uid != (uid_t)-1;
}

/// Reads all keys; each must be there once, before AT_NULL.
static bool read_auxv(struct span auxv, bool is_64, uint64_t ret[static KEY_MAX])
{
	uint64_t size = is_64 ? 8 : 4;
	unsigned int seen = 0;
	for (uint64_t pos = 0; pos < 2 * size * PAIRS_MAX; pos += 2 * size) {
		uint64_t type = is_64 ? span_u64(&auxv, pos) : span_u32(&auxv, pos);
		uint64_t value = is_64 ? span_u64(&auxv, pos + size) : span_u32(&auxv, pos + size);
		if (auxv.bad)
			return false;
		if (type == AT_NULL)
			// Read with the wrong width, values are types and all looks equal.
			return seen == (1U << KEY_MAX) - 1 &&
			       ret[KEY_PHENT] == (is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr));
		for (unsigned int i = 0; i < KEY_MAX; i++) {
			if (types[i] != type)
				continue;
			if (seen & 1U << i)
				return false;
			seen |= 1U << i;
			ret[i] = value;
		}
	}
	return false;
}

/// NULL: he may.
static const char *find_reason(int dumpable, uid_t uid, struct span auxv, bool is_64)
{
	uint64_t v[KEY_MAX] = { 0 };
	if (!coreaccess_is_person(uid))
		return "its user is one of the system";
	if (dumpable != 1)
		return dumpable < 0 ? "whether it may be dumped is unknown" :
				      "it may not be dumped (PR_SET_DUMPABLE)";
	if (!read_auxv(auxv, is_64, v))
		return "its auxiliary vector is missing or damaged";
	if (v[KEY_SECURE])
		return "it had more rights than its user when it was executed (AT_SECURE)";
	if (v[KEY_UID] != v[KEY_EUID])
		return "its user ids differ";
	if (v[KEY_GID] != v[KEY_EGID])
		return "its group ids differ";
	return NULL;
}

bool coreaccess_owner_reads(int dumpable, uid_t uid, struct span auxv, bool is_64,
			    const char **ret_why)
{
	const char *why = find_reason(dumpable, uid, auxv, is_64);
	if (why && ret_why)
		*ret_why = why;
	return !why;
}
