// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <systemd/sd-id128.h>

#include "common/analysis.h"
#include "common/coreaccess.h"
#include "common/str.h"
#include "common/strbuf.h"
#include "message.h"
#include "sender.h"

enum {
	FIELDS_MAX = 96, // there are some 70; journald takes 1024
	NAME_MAX_BYTES = 64, // of a field's name; journald's own limit
	RECORD_VERSION = 1,
};

/// record.h says why these.
static const struct {
	const char *message_id, *name, *priority;
} kinds[RECORD_KIND_MAX] = {
	[RECORD_LIVE] = { "1f4e0a44a88649939aaea34fc6da8c95", "live", "6" },
	[RECORD_CRASH] = { "fc2e22bc6ee647b6b90729ab34a250b1", "crash", "2" },
};

struct record {
	struct iovec fields[FIELDS_MAX]; ///< "NAME=value", owned
	size_t n;
	struct sender_identity identity;
	int r; ///< the first error while it is made
};

void record_destroy(struct record *record)
{
	if (!record)
		return;
	for (size_t i = 0; i < record->n; i++)
		free(record->fields[i].iov_base);
	free(record);
}

// ---- fields ------------------------------------------------------------------------------------

static void add_bytes(struct record *record, const char *name, const void *data, size_t len)
{
	_cleanup_strbuf_ struct strbuf field = { 0 };
	if (record->r < 0)
		return;
	if (record->n == FIELDS_MAX) {
		record->r = -E2BIG;
		return;
	}
	record->r = strbuf_reserve(&field, strlen(name) + 1 + len);
	if (record->r < 0)
		return;
	(void)strbuf_addf(&field, "%s=", name); // there is room
	(void)strbuf_add(&field, data, len);
	record->fields[record->n++] =
		(struct iovec){ .iov_base = field.data, .iov_len = field.len };
	field = (struct strbuf){ 0 };
}

static void add_text(struct record *record, const char *name, const char *text)
{
	if (text)
		add_bytes(record, name, text, strlen(text));
}

static void add_u64(struct record *record, const char *name, uint64_t value)
{
	char digits[24];
	(void)snprintf(digits, sizeof(digits), "%" PRIu64, value);
	add_text(record, name, digits);
}

/// Does it move a terminal? What is not UTF-8 does not.
static bool has_control(const char *s, size_t len)
{
	const unsigned char *u = (const unsigned char *)s;
	for (size_t i = 0; i < len; i++)
		if (u[i] < 0x20 || u[i] == 0x7f ||
		    (u[i] == 0xc2 && i + 1 < len && u[i + 1] >= 0x80 && u[i + 1] < 0xa0))
			return true;
	return false;
}

/**
 * Adds a name as it is, since coredumpctl opens and compares what is in the field; but coredumpctl
 * and others print it as it is, too, so one with control characters is escaped. systemd does so
 * with COMM.
 */
static void add_name(struct record *record, const char *name, const char *data, size_t len)
{
	if (!data)
		return;
	if (!has_control(data, len)) {
		add_bytes(record, name, data, len);
		return;
	}
	_cleanup_free_ char *escaped = snap_escape(data, len);
	if (escaped)
		add_text(record, name, escaped);
	else
		record->r = -ENOMEM;
}

/// Fields that take a text of the process.
static const struct {
	const char *name;
	enum procid_field field;
	bool is_name; ///< else it has lines, or is binary
} texts[] = {
	{ "COREDUMP_COMM", PROCID_COMM, true },
	{ "COREDUMP_EXE", PROCID_EXE, true },
	{ "COREDUMP_CMDLINE", PROCID_CMDLINE, true },
	{ "COREDUMP_ENVIRON", PROCID_ENVIRON, false },
	{ "COREDUMP_CWD", PROCID_CWD, true },
	{ "COREDUMP_ROOT", PROCID_ROOT, true },
	{ "COREDUMP_CGROUP", PROCID_CGROUP, true },
	{ "COREDUMP_UNIT", PROCID_UNIT, true },
	{ "COREDUMP_USER_UNIT", PROCID_USER_UNIT, true },
	{ "COREDUMP_SLICE", PROCID_SLICE, true },
	{ "COREDUMP_SESSION", PROCID_SESSION, true },
	{ "COREDUMP_CONTAINER_CMDLINE", PROCID_CONTAINER_CMDLINE, true },
	{ "COREDUMP_OPEN_FDS", PROCID_OPEN_FDS, false },
	{ "COREDUMP_PROC_STATUS", PROCID_PROC_STATUS, false },
	{ "COREDUMP_PROC_MAPS", PROCID_PROC_MAPS, false },
	{ "COREDUMP_PROC_LIMITS", PROCID_PROC_LIMITS, false },
	{ "COREDUMP_PROC_CGROUP", PROCID_PROC_CGROUP, false },
	{ "COREDUMP_PROC_MOUNTINFO", PROCID_PROC_MOUNTINFO, false },
	{ "COREDUMP_PROC_AUXV", PROCID_PROC_AUXV, false },
	// journalctl -u UNIT and --user-unit=UNIT show the MESSAGE_ID of crashes by COREDUMP_UNIT,
	// and any entry by these two.
	{ "OBJECT_SYSTEMD_UNIT", PROCID_UNIT, true },
	{ "OBJECT_SYSTEMD_USER_UNIT", PROCID_USER_UNIT, true },
};
_Static_assert(ARRAY_SIZE(texts) == PROCID_FIELD_MAX + 2, "each field has its line");

static void add_process(struct record *record, const struct procid *id,
			const struct record_crash *crash)
{
	const char *hostname = crash && crash->hostname ? crash->hostname : id->hostname;
	add_u64(record, "COREDUMP_PID", (uint64_t)id->pid);
	// coredumpctl leaves out entries without them; nobody is right for what is not known.
	add_u64(record, "COREDUMP_UID", id->ids_known ? id->uid : 65534);
	add_u64(record, "COREDUMP_GID", id->ids_known ? id->gid : 65534);
	add_u64(record, "COREDUMP_RLIMIT", crash ? crash->rlimit_core : id->rlimit_core);
	if (*hostname)
		add_name(record, "COREDUMP_HOSTNAME", hostname, strlen(hostname));
	if (id->owner_uid != (uid_t)-1)
		add_u64(record, "COREDUMP_OWNER_UID", id->owner_uid);
	if (id->start_ticks)
		add_u64(record, "PROCSNAP_START_TICKS", id->start_ticks);
	if (!id->fields[PROCID_COMM].data)
		add_text(record, "COREDUMP_COMM", "?");
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const struct procid_text *text = &id->fields[texts[i].field];
		if (texts[i].is_name)
			add_name(record, texts[i].name, text->data, text->len);
		else if (text->data)
			add_bytes(record, texts[i].name, text->data, text->len);
	}
}

static void add_container(struct record *record, const struct procid *id)
{
	const struct container *c = &id->container;
	const struct {
		const char *name, *value;
	} names[] = {
		{ "PROCSNAP_CONTAINER_ID", c->id },
		{ "PROCSNAP_CONTAINER_RUNTIME", c->runtime },
		{ "PROCSNAP_CONTAINER_NAME", c->name },
		{ "PROCSNAP_MACHINE", c->machine },
		{ "PROCSNAP_POD_UID", c->pod_uid },
		{ "PROCSNAP_POD", c->pod },
		{ "PROCSNAP_NAMESPACE", c->pod_namespace },
		{ "PROCSNAP_IMAGE", c->image },
	};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (*names[i].value)
			add_text(record, names[i].name, names[i].value);
	if (id->ns_pid && id->ns_pid != id->pid)
		add_u64(record, "PROCSNAP_NS_PID", (uint64_t)id->ns_pid);
}

static void add_requester(struct record *record, const struct record_requester *by)
{
	add_u64(record, "PROCSNAP_REQUESTER_UID", by->uid);
	add_u64(record, "PROCSNAP_REQUESTER_GID", by->gid);
	if (by->pid)
		add_u64(record, "PROCSNAP_REQUESTER_PID", (uint64_t)by->pid);
	if (by->comm)
		add_name(record, "PROCSNAP_REQUESTER_COMM", by->comm, strlen(by->comm));
}

/// "SIGSEGV", or "SIGRTMIN+3"; nothing for what is no signal.
static void add_signal_name(struct record *record, int signal)
{
	char name[24];
	const char *known = sigabbrev_np(signal);
	if (known)
		(void)snprintf(name, sizeof(name), "SIG%s", known);
	else if (signal >= SIGRTMIN && signal <= SIGRTMAX)
		(void)snprintf(name, sizeof(name), "SIGRTMIN+%d", signal - SIGRTMIN);
	else
		return;
	add_text(record, "COREDUMP_SIGNAL_NAME", name);
}

static void add_packages(struct record *record, const struct record_crash *crash)
{
	const char *text = json_length(crash->packages) ? json_text(crash->packages) : NULL;
	if (text && strlen(text) <= RECORD_STACKS_MAX)
		add_text(record, "COREDUMP_PACKAGE_JSON", text);
	if (crash->package_name)
		add_name(record, "COREDUMP_PACKAGE_NAME", crash->package_name,
			 strlen(crash->package_name));
	if (crash->package_version)
		add_name(record, "COREDUMP_PACKAGE_VERSION", crash->package_version,
			 strlen(crash->package_version));
}

/// A line for each: its build ID and its name.
static void add_binaries(struct record *record, const struct json *binaries)
{
	enum { LINES_MAX = 64 << 10 }; // some hundreds
	_cleanup_strbuf_ struct strbuf lines = { 0 };
	for (size_t i = 0; i < json_length(binaries) && lines.len < LINES_MAX; i++) {
		const struct json *file = json_at(binaries, i);
		const char *name = json_get_text(file, "name");
		const char *id = json_get_text(file, "build_id");
		if (name && !json_get(file, "why"))
			(void)strbuf_addf(&lines, "%s%s %s", lines.len ? "\n" : "", id ? id : "-",
					  name);
	}
	if (lines.len)
		add_bytes(record, "PROCSNAP_BINARIES", lines.data, lines.len);
}

static void add_crash(struct record *record, const struct record_crash *crash)
{
	add_u64(record, "COREDUMP_SIGNAL", (uint64_t)MAX(crash->signal, 0));
	add_signal_name(record, crash->signal);
	if (crash->dumpable >= 0)
		add_u64(record, "COREDUMP_DUMPABLE", (uint64_t)crash->dumpable);
	add_text(record, "COREDUMP_BY_PIDFD", crash->by_pidfd ? "1" : "0");
	add_packages(record, crash);
	if (crash->suppressed)
		add_u64(record, "PROCSNAP_SUPPRESSED", crash->suppressed);
	add_text(record, "PROCSNAP_DEGRADED", crash->degraded);
	add_binaries(record, crash->binaries);
}

static void add_dump(struct record *record, const struct record_dump *dump)
{
	add_text(record, "MESSAGE_ID", kinds[dump->kind].message_id);
	add_text(record, "PRIORITY", kinds[dump->kind].priority);
	add_text(record, "SYSLOG_IDENTIFIER", "procsnap");
	if (dump->kind == RECORD_CRASH)
		add_crash(record, dump->crash);
	else
		add_text(record, "COREDUMP_SIGNAL", "live snapshot"); // record.h says why
	add_u64(record, "COREDUMP_TIMESTAMP", dump->realtime_ns / 1000);
	add_text(record, "COREDUMP_FILENAME", dump->filename);
	if (dump->partial)
		add_text(record, "COREDUMP_TRUNCATED", "1");
	add_text(record, "PROCSNAP_ID", dump->id);
	add_text(record, "PROCSNAP_KIND", kinds[dump->kind].name);
	add_text(record, "PROCSNAP_MODE", dump->mode);
	add_u64(record, "PROCSNAP_PAUSE_NSEC", dump->pause_ns);
	if (dump->predicted_pause_ns)
		add_u64(record, "PROCSNAP_PREDICTED_PAUSE_NSEC", dump->predicted_pause_ns);
	if (dump->size_bytes)
		add_u64(record, "PROCSNAP_SIZE", dump->size_bytes);
	if (dump->kind == RECORD_LIVE)
		add_requester(record, &dump->requester);
}

static void add_warnings(struct record *record, const struct record_dump *dump)
{
	_cleanup_strbuf_ struct strbuf lines = { 0 };
	size_t n = MIN(dump->n_warnings, (size_t)RECORD_WARNINGS_MAX);
	for (size_t i = 0; i < n && record->r == 0; i++)
		record->r = strbuf_addf(&lines, "%s%s", i ? "\n" : "", dump->warnings[i]);
	if (lines.len)
		add_bytes(record, "PROCSNAP_WARNINGS", lines.data, lines.len);
}

/// Adds the summary of a Go program; false when it is too long to be added.
static bool add_summary(struct record *record, const struct record_dump *dump)
{
	const struct json *go = json_at(json_get(dump->summary, "runtimes"), 0);
	if (!go)
		return true;
	const char *version = json_get_text(go, "version");
	if (version)
		add_name(record, "PROCSNAP_GO_VERSION", version, strlen(version));
	add_u64(record, "PROCSNAP_GO_GOROUTINES", json_get_u64(go, "user_goroutine_count", 0));
	add_u64(record, "PROCSNAP_GO_GOROUTINES_ALL", json_get_u64(go, "goroutine_count", 0));
	add_u64(record, "PROCSNAP_GO_GROUPS", json_length(json_get(go, "groups")));
	add_u64(record, "PROCSNAP_GO_THREADS", json_get_u64(go, "thread_count", 0));
	add_u64(record, "PROCSNAP_GO_FINDINGS", json_length(json_get(go, "findings")));
	const char *text = json_text(dump->summary);
	if (!text)
		record->r = -ENOMEM;
	else if (strlen(text) > MIN(dump->summary_bytes, (size_t)RECORD_SUMMARY_MAX))
		return false;
	add_text(record, "PROCSNAP_SUMMARY", text);
	return true;
}

/// Says which fields have less than there was.
static void add_cuts(struct record *record, uint32_t cut, bool summary_cut)
{
	_cleanup_strbuf_ struct strbuf names = { 0 };
	for (size_t i = 0; i < PROCID_FIELD_MAX && record->r == 0; i++)
		if (cut & 1U << texts[i].field)
			record->r =
				strbuf_addf(&names, "%s%s", names.len ? " " : "", texts[i].name);
	if (summary_cut && record->r == 0)
		record->r = strbuf_addf(&names, "%sPROCSNAP_SUMMARY", names.len ? " " : "");
	if (names.len)
		add_bytes(record, "PROCSNAP_CUT", names.data, names.len);
}

static void add_message(struct record *record, const struct procid *id,
			const struct record_dump *dump)
{
	_cleanup_strbuf_ struct strbuf message = { 0 };
	if (record->r == 0)
		record->r = message_format(id, dump, &message);
	if (record->r == 0)
		add_bytes(record, "MESSAGE", message.data, message.len);
}

// ---- who sends ---------------------------------------------------------------------------------

static struct sender_identity choose_identity(const struct procid *id,
					      const struct record_dump *dump)
{
	bool readable = id->plain && (dump->kind != RECORD_CRASH || dump->crash->owner_reads);
	bool his = id->owner_uid == id->uid ||
		   (id->owner_uid == (uid_t)-1 && !id->fields[PROCID_UNIT].data);
	if (!id->ids_known || !readable || !coreaccess_is_person(id->uid) || !his)
		return (struct sender_identity){ .is_user = false };
	return (struct sender_identity){ .is_user = true, .uid = id->uid, .gid = id->gid };
}

struct snap_error *record_create(const struct procid *id, const struct record_dump *dump,
				 struct record **ret)
{
	_cleanup_(record_destroyp) struct record *record = calloc(1, sizeof(*record));
	if (!record)
		return snap_error_oom();
	record->identity = choose_identity(id, dump);
	add_message(record, id, dump);
	add_dump(record, dump);
	add_process(record, id, dump->kind == RECORD_CRASH ? dump->crash : NULL);
	add_container(record, id);
	add_warnings(record, dump);
	bool whole = add_summary(record, dump);
	add_cuts(record, id->cut, !whole);
	if (record->r < 0)
		return record->r == -ENOMEM ?
			       snap_error_oom() :
			       snap_error_errno(SNAP_FAILED, -record->r,
						"cannot make a journal entry of process %d",
						id->pid);
	*ret = TAKE_PTR(record);
	return NULL;
}

const char *record_field(const struct record *record, const char *name, size_t *ret_len)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < record->n; i++) {
		const struct iovec *field = &record->fields[i];
		const char *text = field->iov_base;
		if (field->iov_len <= len || strncmp(text, name, len) != 0 || text[len] != '=')
			continue;
		if (ret_len)
			*ret_len = field->iov_len - len - 1;
		return text + len + 1;
	}
	return NULL;
}

bool record_is_for_user(const struct record *record, uid_t *ret_uid, gid_t *ret_gid)
{
	if (!record->identity.is_user)
		return false;
	*ret_uid = record->identity.uid;
	*ret_gid = record->identity.gid;
	return true;
}

// ---- as JSON -----------------------------------------------------------------------------------

/// The lines of a text as an array; NULL when one of them is not fit for common/json.h, which would
/// escape it.
static struct json *lines_to_json(const char *text, size_t len)
{
	_cleanup_(json_destroyp) struct json *lines = json_new_array();
	for (const char *p = text, *end = text + len; p <= end;) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		_cleanup_free_ char *line = strndup(p, (size_t)((newline ? newline : end) - p));
		if (!line || !snap_is_printable(line))
			return NULL;
		json_add_message(lines, line);
		p = newline ? newline + 1 : end + 1;
	}
	return TAKE_PTR(lines);
}

/// A value as text, as {"lines": [...]}, or as {"hex": ...}, whatever gives the same bytes back.
static void set_value(struct json *fields, const char *name, const char *value, size_t len)
{
	bool text = !memchr(value, 0, len);
	if (text && snap_is_printable(value)) {
		json_set_message(fields, name, value);
		return;
	}
	struct json *wrapped = json_new_object();
	struct json *lines = text ? lines_to_json(value, len) : NULL;
	if (lines) {
		json_set(wrapped, "lines", lines);
	} else {
		_cleanup_free_ char *hex = analysis_to_hex(value, len);
		if (hex)
			json_set_message(wrapped, "hex", hex);
		else
			json_set(wrapped, "hex", NULL);
	}
	json_set(fields, name, wrapped);
}

struct json *record_to_json(const struct record *record)
{
	struct json *root = json_new_object(), *fields = json_new_object();
	json_set_u64(root, "version", RECORD_VERSION);
	if (record->identity.is_user) {
		json_set_u64(root, "uid", record->identity.uid);
		json_set_u64(root, "gid", record->identity.gid);
	}
	for (size_t i = 0; i < record->n; i++) {
		const char *text = record->fields[i].iov_base;
		size_t len = (size_t)(strchr(text, '=') - text);
		char name[NAME_MAX_BYTES + 1];
		(void)snprintf(name, sizeof(name), "%.*s", (int)len, text);
		set_value(fields, name, text + len + 1, record->fields[i].iov_len - len - 1);
	}
	json_set(root, "fields", fields);
	if (json_text(root))
		return root;
	json_destroy(root);
	return NULL;
}

/// Names that the protocol allows; those that begin with _ are journald's.
static bool is_field_name(const char *name)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
	size_t len = strspn(name, allowed);
	return len && len <= NAME_MAX_BYTES && !name[len] && name[0] >= 'A' && name[0] <= 'Z';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/// analysis_from_hex() is for text and does not tell where it ends.
static int add_hex(struct record *record, const char *name, const char *hex)
{
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	int r = hex ? strbuf_reserve(&bytes, strlen(hex) / 2) : -EBADMSG;
	for (const char *p = hex; r == 0 && *p; p += 2) {
		int high = hex_digit(p[0]), low = high < 0 ? -1 : hex_digit(p[1]);
		if (low < 0)
			return -EBADMSG;
		char byte = (char)((unsigned int)high << 4 | (unsigned int)low);
		r = strbuf_add(&bytes, &byte, 1);
	}
	if (r == 0)
		add_bytes(record, name, bytes.data, bytes.len);
	return r;
}

static int add_lines(struct record *record, const char *name, const struct json *lines)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	int r = json_length(lines) ? 0 : -EBADMSG;
	for (size_t i = 0; r == 0 && i < json_length(lines); i++) {
		const char *line = json_text_value(json_at(lines, i));
		r = line ? strbuf_addf(&text, "%s%s", i ? "\n" : "", line) : -EBADMSG;
	}
	if (r == 0)
		add_bytes(record, name, text.data, text.len);
	return r;
}

static int add_value(struct record *record, const char *name, const struct json *value)
{
	if (!is_field_name(name))
		return -EBADMSG;
	if (json_get(value, "lines"))
		return add_lines(record, name, json_get(value, "lines"));
	if (!json_text_value(value))
		return add_hex(record, name, json_get_text(value, "hex"));
	add_text(record, name, json_text_value(value));
	return 0;
}

static int add_fields(struct record *record, const struct json *fields)
{
	int r = json_is_object(fields) ? 0 : -EBADMSG;
	for (size_t i = 0; r == 0 && i < json_length(fields); i++) {
		const char *name = json_key_at(fields, i);
		r = add_value(record, name, json_get(fields, name));
		if (r == 0)
			r = record->r;
	}
	return r;
}

static int set_identity(struct record *record, const struct json *json)
{
	if (!json_get(json, "uid"))
		return 0;
	uint64_t uid = json_get_u64(json, "uid", UINT64_MAX);
	uint64_t gid = json_get_u64(json, "gid", UINT64_MAX);
	if (uid > UINT32_MAX || gid >= UINT32_MAX || !coreaccess_is_person((uid_t)uid))
		return -EBADMSG;
	record->identity =
		(struct sender_identity){ .is_user = true, .uid = (uid_t)uid, .gid = (gid_t)gid };
	return 0;
}

struct snap_error *record_from_json(const struct json *json, struct record **ret)
{
	_cleanup_(record_destroyp) struct record *record = calloc(1, sizeof(*record));
	if (!record)
		return snap_error_oom();
	int r = json_get_u64(json, "version", 0) == RECORD_VERSION ? 0 : -EBADMSG;
	if (r == 0)
		r = set_identity(record, json);
	if (r == 0)
		r = add_fields(record, json_get(json, "fields"));
	if (r == 0 && !record_field(record, "MESSAGE_ID", NULL))
		r = -EBADMSG;
	if (r == -ENOMEM)
		return snap_error_oom();
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, -r, "not the record of a journal entry");
	*ret = TAKE_PTR(record);
	return NULL;
}

// ---- sending -----------------------------------------------------------------------------------

struct snap_error *record_start_sending(const struct record *record, struct pidref *ret)
{
	int r = sender_start(record->fields, record->n, record->identity, ret);
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, -r, "cannot start what sends a journal entry");
	return NULL;
}

struct snap_error *record_reap(struct pidref *child)
{
	siginfo_t info = { 0 };
	_cleanup_pidref_ struct pidref ref = *child;
	*child = PIDREF_NULL;
	int r = waitid(P_PID, (id_t)ref.pid, &info, WEXITED | WNOHANG);
	bool late = r == 0 && info.si_pid == 0;
	if (late) {
		(void)kill(ref.pid, SIGKILL); // ours, and not reaped
		do {
			r = waitid(P_PID, (id_t)ref.pid, &info, WEXITED);
		} while (r < 0 && errno == EINTR);
	}
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, errno,
					"cannot wait for what sends a journal entry");
	if (info.si_code == CLD_EXITED && info.si_status == 0)
		return NULL;
	if (late)
		return snap_error_new(SNAP_FAILED, "journald does not take the journal entry");
	if (info.si_code == CLD_EXITED)
		return snap_error_errno(SNAP_FAILED, info.si_status,
					"cannot send the journal entry");
	return snap_error_new(SNAP_FAILED, "what sends a journal entry was killed by signal %d",
			      info.si_status);
}

struct snap_error *record_send(const struct record *record, uint64_t timeout_ns)
{
	struct pidref child = PIDREF_NULL;
	struct snap_error *err = record_start_sending(record, &child);
	if (err)
		return err;
	struct pollfd fd = { .fd = child.pidfd, .events = POLLIN };
	uint64_t ms = timeout_ns / 1000000;
	(void)poll(&fd, 1, ms > INT_MAX ? INT_MAX : (int)ms); // whatever happened, it is reaped
	return record_reap(&child);
}
