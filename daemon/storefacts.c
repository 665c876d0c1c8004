// SPDX-License-Identifier: LGPL-2.1-or-later
#include "storefacts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "common/str.h"

enum {
	VALUE_MAX = 4096, // PATH_MAX, and what ext4 has room for
};

static const char version_attr[] = "user.procsnap.version";

enum fact_type { FACT_TEXT, FACT_NUMBER, FACT_BOOL };

/// Which attribute is which member; those that the name of the file tells are not here.
static const struct fact {
	const char *attr, *key;
	enum fact_type type;
} fact_table[] = {
	{ "user.procsnap.id", "id", FACT_TEXT },
	{ "user.procsnap.kind", "kind", FACT_TEXT },
	{ "user.coredump.gid", "gid", FACT_NUMBER },
	{ "user.coredump.exe", "exe", FACT_TEXT },
	{ "user.procsnap.unit", "unit", FACT_TEXT },
	{ "user.coredump.hostname", "hostname", FACT_TEXT },
	{ "user.coredump.signal", "signal", FACT_NUMBER },
	{ "user.coredump.rlimit", "rlimit", FACT_NUMBER },
	{ "user.procsnap.mode", "mode", FACT_TEXT },
	{ "user.procsnap.partial", "partial", FACT_BOOL },
	{ "user.procsnap.owner_reads", "owner_reads", FACT_BOOL },
	{ "user.procsnap.binaries", "binaries", FACT_NUMBER },
};

// -- As JSON ---------------------------------------------------------------------------------

static uint64_t signal_of(const struct store_facts *facts)
{
	return facts->signal > 0 ? (uint64_t)facts->signal : 0;
}

static void set_known_text(struct json *json, const char *key, const char *value)
{
	if (value)
		json_set_text(json, key, value);
}

/// What the name of the file tells.
static void set_name(struct json *json, const struct dumpname *name)
{
	json_set_u64(json, "pid", (uint64_t)name->pid);
	json_set_u64(json, "uid", name->uid);
	json_set_text(json, "comm", name->comm);
	json_set_text(json, "boot_id", name->boot_id);
	json_set_u64(json, "timestamp_usec", name->usec);
	json_set_bool(json, "compressed", name->compressed);
}

struct json *storefacts_to_json(uint64_t id, const struct dumpname *name,
				const struct store_facts *facts)
{
	char text[STOREID_SIZE];
	struct json *json = json_new_object();
	json_set_text(json, "id", storeid_format(id, text));
	json_set_text(json, "kind", store_kind_name(facts->kind));
	set_name(json, name);
	json_set_u64(json, "gid", facts->gid);
	set_known_text(json, "exe", facts->exe);
	set_known_text(json, "unit", facts->unit);
	set_known_text(json, "hostname", facts->hostname);
	json_set_u64(json, "signal", signal_of(facts));
	json_set_u64(json, "rlimit", facts->rlimit);
	set_known_text(json, "mode", facts->mode);
	json_set_bool(json, "partial", facts->flags & STORE_PARTIAL);
	json_set_bool(json, "owner_reads", facts->flags & STORE_OWNER_READS);
	if (facts->n_binaries)
		json_set_u64(json, "binaries", facts->n_binaries);
	return json;
}

// -- As attributes ---------------------------------------------------------------------------

/// Sets one attribute; 1 when there is no room or no support for it.
static int set_attr(int fd, const char *attr, const char *value)
{
	if (!value)
		return 0;
	if (strlen(value) > VALUE_MAX)
		return 1;
	if (fsetxattr(fd, attr, value, strlen(value), 0) == 0)
		return 0;
	return errno == EOPNOTSUPP || errno == ENOSPC || errno == EDQUOT || errno == E2BIG ||
			       errno == ERANGE ?
		       1 :
		       -errno;
}

static int set_number(int fd, const char *attr, uint64_t value)
{
	char text[24];
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return set_attr(fd, attr, text);
}

int storefacts_write(int fd, uint64_t id, const struct store_facts *facts)
{
	char text[STOREID_SIZE];
	// What is needed most comes first, the longest last.
	const int results[] = {
		set_attr(fd, "user.procsnap.id", storeid_format(id, text)),
		set_attr(fd, "user.procsnap.kind", store_kind_name(facts->kind)),
		set_number(fd, "user.coredump.pid", (uint64_t)facts->pid),
		set_number(fd, "user.coredump.uid", facts->uid),
		set_number(fd, "user.coredump.gid", facts->gid),
		set_number(fd, "user.coredump.signal", signal_of(facts)),
		set_number(fd, "user.coredump.timestamp", facts->usec),
		set_number(fd, "user.coredump.rlimit", facts->rlimit),
		set_attr(fd, "user.coredump.comm", facts->comm),
		set_attr(fd, "user.procsnap.partial", facts->flags & STORE_PARTIAL ? "1" : "0"),
		set_attr(fd, "user.procsnap.owner_reads",
			 facts->flags & STORE_OWNER_READS ? "1" : "0"),
		set_attr(fd, "user.procsnap.mode", facts->mode),
		facts->n_binaries ? set_number(fd, "user.procsnap.binaries", facts->n_binaries) : 0,
		set_attr(fd, "user.coredump.hostname", facts->hostname),
		set_attr(fd, "user.procsnap.unit", facts->unit),
		set_attr(fd, "user.coredump.exe", facts->exe),
	};
	bool complete = true;
	for (size_t i = 0; i < ARRAY_SIZE(results); i++) {
		if (results[i] < 0)
			return results[i];
		complete &= !results[i];
	}
	int r = complete ? set_attr(fd, version_attr, "1") : 0;
	return MIN(r, 0);
}

/// The value as text, cut at a NUL; NULL when there is none, or one that is too long.
static const char *get_attr(int fd, const char *attr, char buf[static VALUE_MAX + 1])
{
	ssize_t n = fgetxattr(fd, attr, buf, VALUE_MAX);
	if (n < 0)
		return NULL;
	buf[n] = '\0';
	return buf;
}

static void read_fact(int fd, const struct fact *fact, struct json *json)
{
	char buf[VALUE_MAX + 1];
	const char *value = get_attr(fd, fact->attr, buf);
	uint64_t number;
	if (!value)
		return;
	if (fact->type == FACT_TEXT)
		json_set_text(json, fact->key, value);
	else if (snap_parse_u64(value, &number) == 0 && fact->type == FACT_NUMBER)
		json_set_u64(json, fact->key, number);
	else if (fact->type == FACT_BOOL)
		json_set_bool(json, fact->key, !strcmp(value, "1"));
}

/// Takes over one member of the metadata, if it is of the right type.
static void copy_fact(const struct json *from, const struct fact *fact, struct json *json)
{
	const char *key = fact->key;
	if (fact->type == FACT_TEXT && json_get_text(from, key))
		json_set_shared(json, key, json_get(from, key));
	else if (fact->type == FACT_NUMBER &&
		 json_get_u64(from, key, 0) == json_get_u64(from, key, 1))
		json_set_u64(json, key, json_get_u64(from, key, 0));
	else if (fact->type == FACT_BOOL &&
		 json_get_bool(from, key, false) == json_get_bool(from, key, true))
		json_set_bool(json, key, json_get_bool(from, key, false));
}

struct json *storefacts_read(int fd, const struct dumpname *name, const struct json *metadata)
{
	struct json *json = json_new_object();
	set_name(json, name);
	for (size_t i = 0; i < ARRAY_SIZE(fact_table); i++) {
		read_fact(fd, &fact_table[i], json);
		if (metadata)
			copy_fact(metadata, &fact_table[i], json);
	}
	return json;
}

bool storefacts_complete(int fd)
{
	return fgetxattr(fd, version_attr, NULL, 0) >= 0;
}

// -- For retention ---------------------------------------------------------------------------

uint64_t storefacts_hash(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325;
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
	return hash;
}

uint64_t storefacts_exe_key(const struct json *facts)
{
	const char *exe = json_get_text(facts, "exe");
	if (!exe || !*exe)
		exe = json_get_text(facts, "comm");
	return storefacts_hash(exe ? exe : "");
}
