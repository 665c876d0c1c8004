// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "common/fd.h"
#include "common/str.h"
#include "configdir.h"
#include "configvalue.h"

enum {
	FILE_MAX_BYTES = 256 << 10, // all keys with their explanations have a hundredth of it
	WARNINGS_MAX = 64, // a file of something else has as many as it has lines
	SUMMARY_MAX = 16 << 20, // RECORD_SUMMARY_MAX
};

enum value_type {
	VALUE_BOOL, ///< bool
	VALUE_LEVEL, ///< unsigned int
	VALUE_NUMBER, ///< uint64_t
	VALUE_SIZE, ///< struct config_size
	VALUE_BYTES, ///< uint64_t
	VALUE_TIME, ///< uint64_t
	VALUE_GROUP, ///< char *
	VALUE_RATE, ///< struct config_rate
	VALUE_RULES, ///< struct crashrules: each one is added
	VALUE_UNITS, ///< struct unitpatterns: they are added
	VALUE_WORD, ///< unsigned int: index into words[] from min on, up to max
	VALUE_CHOICE, ///< enum config_choice
	VALUE_PATH, ///< char *
};

/// What keys of VALUE_WORD take, in the order of their enums.
static const char *const words[] = { "no", "pipe", "socket", "keep", "restore",
				     "keep", "stacks", "none",	 "no",	 "containers",
				     "yes" };

#define SIZES "a size such as 500M or 2G, a share such as 10%, or infinity"
#define TIMES "a time such as 90s, 1h 30min or 2w, or infinity"

#define RATES "a number and a time such as 5/1min, or infinity"

/// All keys. procsnap.conf(5) has the same, in the same order; a test compares them.
static const struct {
	struct config_key key;
	enum value_type type;
	size_t offset;
	uint64_t min, max;
} keys[] = {
#define KEY(section, name, field, type, min, max, allowed, fallback)                    \
	{ { section, name, allowed, fallback }, type, offsetof(struct config, field), min, max }
	// A tenth, as systemd-coredump keeps.
	KEY("Store", "MaxUse", max_use, VALUE_SIZE, 0, CONFIG_INFINITY, SIZES, "10%"),
	KEY("Store", "KeepFree", keep_free, VALUE_SIZE, 0, CONFIG_INFINITY, SIZES, "5%"),
	KEY("Store", "MaxAge", max_age_ns, VALUE_TIME, 1, CONFIG_INFINITY, TIMES, "2w"),
	KEY("Store", "MaxPerExecutable", max_per_executable, VALUE_NUMBER, 1, CONFIG_INFINITY,
	    "a number from 1, or infinity", "infinity"),
	// zstd's own default; higher levels cost more time than they save space on cores.
	KEY("Store", "Compress", compress, VALUE_LEVEL, 0, 19,
	    "a level from 1 to 19, or 0 for none", "3"),
	KEY("Store", "KeepPartial", keep_partial, VALUE_BOOL, 0, 1, "yes or no", "no"),

	// Whoever may dump everything may read every password: nobody, unless it is said.
	KEY("Access", "Group", group, VALUE_GROUP, 0, 0, "the name or number of a group", ""),
	KEY("Access", "Polkit", polkit, VALUE_CHOICE, 0, 0, "yes, no or auto", "auto"),

	KEY("Limits", "MaxJobs", max_jobs, VALUE_LEVEL, 1, 64, "a number from 1 to 64", "2"),
	KEY("Limits", "MaxJobsPerUser", max_jobs_per_user, VALUE_LEVEL, 1, 64,
	    "a number from 1 to 64", "1"),
	KEY("Limits", "MaxQueue", max_queue, VALUE_LEVEL, 0, 4096, "a number from 0 to 4096",
	    "256"),
	KEY("Limits", "MaxConnections", max_connections, VALUE_LEVEL, 1, 4096,
	    "a number from 1 to 4096", "512"),
	// Half of them, so that one user leaves room for all others.
	KEY("Limits", "MaxConnectionsPerUser", max_connections_per_user, VALUE_LEVEL, 1, 4096,
	    "a number from 1 to 4096", "256"),
	// Compressing takes 1 s for some 300 MB; this is for 100 GB and more.
	KEY("Limits", "JobTimeout", job_timeout_ns, VALUE_TIME, 1, CONFIG_INFINITY, TIMES, "15min"),
	// What the analyzer may have; a dump itself needs much less.
	KEY("Limits", "JobMemory", job_memory, VALUE_SIZE, 64 << 20, CONFIG_INFINITY,
	    "a size from 64M, a share such as 10%, or infinity", "2G"),

	KEY("Record", "CommandLine", command_line, VALUE_BOOL, 0, 1, "yes or no", "yes"),
	KEY("Record", "Environment", environment, VALUE_BOOL, 0, 1, "yes or no", "no"),
	KEY("Record", "SummaryBytes", summary_bytes, VALUE_BYTES, 0, SUMMARY_MAX,
	    "a size from 0 to 16M", "1M"),

	// Whoever installs procsnap may have another handler, and knows why.
	KEY("Crash", "Handler", handler, VALUE_WORD, 0, 2, "no, pipe or socket", "no"),
	KEY("Crash", "HandlerOnStop", handler_on_stop, VALUE_WORD, 3, 4, "keep or restore", "keep"),
	KEY("Crash", "Storage", storage, VALUE_WORD, 5, 7, "keep, stacks or none", "keep"),
	KEY("Crash", "Rule", rules, VALUE_RULES, 0, 0,
	    "exe:, comm:, unit:, cgroup: or user:, what is meant, and keep, stacks or none", ""),
	KEY("Crash", "MaxCoreSize", max_core_size, VALUE_BYTES, 1 << 20, CONFIG_INFINITY,
	    "a size from 1M, or infinity", "infinity"),
	// As much as all dumps may have of the disk.
	KEY("Crash", "SpoolMemory", spool_memory, VALUE_SIZE, 0, CONFIG_INFINITY, SIZES, "10%"),
	// The tenth core of one mistake tells what the first nine did; by then they may have
	// pushed others out of the store.
	KEY("Crash", "DuplicateLimit", duplicates, VALUE_RATE, 1, CONFIG_INFINITY, RATES,
	    "10/10min"),
	KEY("Crash", "RateLimit", rate_limit, VALUE_RATE, 1, CONFIG_INFINITY, RATES, "infinity"),
	KEY("Crash", "UserRateLimit", user_rate_limit, VALUE_RATE, 1, CONFIG_INFINITY, RATES,
	    "infinity"),
	KEY("Crash", "Arm", arm, VALUE_UNITS, 0, 0, "names of units, with * and ?", ""),
	// They take space, and tell what runs on the machine: whoever wants that says so.
	KEY("Crash", "CaptureBinaries", capture_binaries, VALUE_WORD, 8, 10,
	    "no, containers or yes", "no"),
	// The programs and libraries of some ten containers.
	KEY("Crash", "CaptureMaxUse", capture_max_use, VALUE_SIZE, 0, CONFIG_INFINITY, SIZES, "1G"),

	// What is run is not ours, so it is nobody's business unless it is said whose.
	KEY("Hook", "OnDump", on_dump, VALUE_PATH, 0, 0, "the absolute path of a program", ""),
	KEY("Hook", "OnDumpUser", on_dump_user, VALUE_GROUP, 0, 0, "the name or number of a user",
	    "nobody"),
	// Sending a mail takes seconds; what takes longer should not keep the next one waiting.
	KEY("Hook", "OnDumpTimeout", on_dump_timeout_ns, VALUE_TIME, 1, CONFIG_INFINITY, TIMES,
	    "30s"),
#undef KEY
};

const struct config_key *config_key_at(size_t index)
{
	return index < ARRAY_SIZE(keys) ? &keys[index].key : NULL;
}

// ---- values ------------------------------------------------------------------------------------

/// Reads a size of bytes only.
static int parse_bytes(const char *value, uint64_t *ret)
{
	struct config_size size;
	int r = configvalue_size(value, &size);
	if (r < 0)
		return r;
	if (size.percent)
		return -EINVAL;
	*ret = size.bytes;
	return 0;
}

/// Reads the value of a key that is one number, of whatever unit.
static int parse_number(size_t key, const char *value, uint64_t *ret)
{
	uint64_t v = 0;
	int r = keys[key].type == VALUE_TIME  ? configvalue_time(value, &v) :
		keys[key].type == VALUE_BYTES ? parse_bytes(value, &v) :
						configvalue_number(value, &v);
	if (r < 0 && keys[key].type == VALUE_NUMBER && !strcmp(value, "infinity")) {
		v = CONFIG_INFINITY;
		r = 0;
	}
	if (r < 0)
		return r;
	if (v < keys[key].min || v > keys[key].max)
		return -ERANGE;
	*ret = v;
	return 0;
}

static int set_size(size_t key, const char *value, struct config_size *ret)
{
	struct config_size size;
	int r = configvalue_size(value, &size);
	if (r < 0)
		return r;
	if (!size.percent && size.bytes < keys[key].min)
		return -ERANGE;
	*ret = size;
	return 0;
}

static int set_group(const char *value, char **ret)
{
	char *copy = NULL;
	if (*value && !configvalue_is_group(value))
		return -EINVAL;
	if (*value && !(copy = strdup(value)))
		return -ENOMEM;
	free(*ret);
	*ret = copy;
	return 0;
}

static int set_word(size_t key, const char *value, unsigned int *ret)
{
	for (uint64_t i = keys[key].min; i <= keys[key].max; i++)
		if (!strcmp(words[i], value)) {
			*ret = (unsigned int)(i - keys[key].min);
			return 0;
		}
	return -EINVAL;
}

static int set_choice(const char *value, enum config_choice *ret)
{
	bool yes;
	if (!strcmp(value, "auto")) {
		*ret = CONFIG_AUTO;
		return 0;
	}
	int r = configvalue_bool(value, &yes);
	if (r == 0)
		*ret = yes ? CONFIG_YES : CONFIG_NO;
	return r;
}

/// An absolute path without ".." and without anything that a log would escape; "" for none.
static int set_path(const char *value, char **ret)
{
	char *copy = NULL;
	if (*value && (*value != '/' || strstr(value, "/../") || !snap_is_printable(value)))
		return -EINVAL;
	if (*value && !(copy = strdup(value)))
		return -ENOMEM;
	free(*ret);
	*ret = copy;
	return 0;
}

static int set_rate(size_t key, const char *value, struct config_rate *ret)
{
	struct config_rate rate = { CONFIG_INFINITY, CONFIG_INFINITY };
	int r = strcmp(value, "infinity") != 0 ? configvalue_rate(value, &rate) : 0;
	if (r < 0)
		return r;
	if (rate.max < keys[key].min)
		return -ERANGE;
	*ret = rate;
	return 0;
}

/// No rule means none of those before, either.
static int add_rule(const char *value, struct crashrules *rules)
{
	if (*value)
		return crashrules_add(rules, value);
	crashrules_deinit(rules);
	return 0;
}

/// The same for units.
static int add_units(const char *value, struct unitpatterns *patterns)
{
	if (*value)
		return unitpatterns_add(patterns, value);
	unitpatterns_deinit(patterns);
	return 0;
}

static int set_value(struct config *config, size_t key, const char *value)
{
	void *field = (char *)config + keys[key].offset;
	uint64_t v;
	int r;
	switch (keys[key].type) {
	case VALUE_BOOL:
		return configvalue_bool(value, field);
	case VALUE_SIZE:
		return set_size(key, value, field);
	case VALUE_GROUP:
		return set_group(value, field);
	case VALUE_WORD:
		return set_word(key, value, field);
	case VALUE_RATE:
		return set_rate(key, value, field);
	case VALUE_RULES:
		return add_rule(value, field);
	case VALUE_UNITS:
		return add_units(value, field);
	case VALUE_CHOICE:
		return set_choice(value, field);
	case VALUE_PATH:
		return set_path(value, field);
	case VALUE_LEVEL:
		r = parse_number(key, value, &v);
		if (r == 0)
			*(unsigned int *)field = (unsigned int)v; // at most keys[].max
		return r;
	case VALUE_NUMBER:
	case VALUE_BYTES:
	case VALUE_TIME:
		return parse_number(key, value, field);
	}
	return -EINVAL;
}

struct snap_error *config_create(struct config **ret)
{
	_cleanup_(config_destroyp) struct config *config = calloc(1, sizeof(*config));
	for (size_t i = 0; config && i < ARRAY_SIZE(keys); i++)
		if (set_value(config, i, keys[i].key.fallback) < 0)
			return snap_error_new(SNAP_FAILED, "the default of %s= is wrong",
					      keys[i].key.name);
	if (!config)
		return snap_error_oom();
	*ret = TAKE_PTR(config);
	return NULL;
}

void config_destroy(struct config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->n_warnings; i++)
		free(config->warnings[i]);
	free(config->warnings);
	free(config->group);
	free(config->on_dump);
	free(config->on_dump_user);
	crashrules_deinit(&config->rules);
	unitpatterns_deinit(&config->arm);
	free(config);
}

uint64_t config_size_bytes(struct config_size size, uint64_t total_bytes)
{
	if (!size.percent)
		return size.bytes;
	return total_bytes / 100 * size.percent + total_bytes % 100 * size.percent / 100;
}

// ---- text --------------------------------------------------------------------------------------

/// Where in which file one is.
struct place {
	const char *name; ///< of the file, escaped
	size_t line;
	const char *section; ///< of keys[]; "" before the first; NULL: one that is not known
};

/// Only out of memory is an error.
static struct snap_error *warn(struct config *config, const struct place *at, const char *what,
			       const char *name)
{
	if (config->n_warnings >= WARNINGS_MAX)
		return NULL;
	_cleanup_free_ char *shown = snap_escape(name, strlen(name));
	char **more = realloc(config->warnings, (config->n_warnings + 1) * sizeof(*more));
	if (more)
		config->warnings = more;
	char *line;
	if (!more || !shown ||
	    asprintf(&line, "%s:%zu: unknown %s '%s', ignoring", at->name, at->line, what,
		     shown) < 0)
		return snap_error_oom();
	config->warnings[config->n_warnings++] = line;
	return NULL;
}

static struct snap_error *mistake(const struct place *at, const char *what, const char *line)
{
	_cleanup_free_ char *shown = snap_escape(line, strnlen(line, 80));
	return shown ? snap_error_new(SNAP_USAGE, "%s:%zu: %s: '%s'", at->name, at->line, what,
				      shown) :
		       snap_error_oom();
}

static struct snap_error *enter_section(struct config *config, struct place *at, char *line)
{
	size_t len = strlen(line);
	if (line[len - 1] != ']')
		return mistake(at, "a section is written [Name]", line);
	line[len - 1] = '\0';
	at->section = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (!strcmp(keys[i].key.section, line + 1))
			at->section = keys[i].key.section;
	return at->section ? NULL : warn(config, at, "section", line + 1);
}

/// Cuts blanks off both ends of a text, in place.
static char *strip(char *s)
{
	static const char blanks[] = " \t\r";
	s += strspn(s, blanks);
	size_t len = strlen(s);
	while (len && strchr(blanks, s[len - 1]))
		len--;
	s[len] = '\0';
	return s;
}

static struct snap_error *assign(struct config *config, const struct place *at, char *line)
{
	char *equals = strchr(line, '=');
	if (!equals)
		return mistake(at, "neither a section nor Key=value", line);
	if (at->section && !*at->section)
		return mistake(at, "a key before the first section", line);
	*equals = '\0';
	const char *name = strip(line), *value = strip(equals + 1);
	size_t i = 0;
	while (i < ARRAY_SIZE(keys) && !(at->section && !strcmp(keys[i].key.section, at->section) &&
					 !strcmp(keys[i].key.name, name)))
		i++;
	if (!at->section)
		return NULL; // the section was warned of
	if (i == ARRAY_SIZE(keys))
		return warn(config, at, "key", name);

	int r = set_value(config, i, *value ? value : keys[i].key.fallback);
	if (r == 0)
		return NULL;
	if (r == -ENOMEM)
		return snap_error_oom();
	_cleanup_free_ char *shown = snap_escape(value, strnlen(value, 80));
	return shown ? snap_error_new(SNAP_USAGE, "%s:%zu: %s= takes %s, not '%s'", at->name,
				      at->line, name, keys[i].key.allowed, shown) :
		       snap_error_oom();
}

static struct snap_error *parse_line(struct config *config, struct place *at, char *line)
{
	line = strip(line);
	if (!*line || *line == '#' || *line == ';')
		return NULL;
	return *line == '[' ? enter_section(config, at, line) : assign(config, at, line);
}

struct snap_error *config_parse(struct config *config, const char *name, const char *text,
				size_t len)
{
	_cleanup_free_ char *shown = snap_escape(name, strlen(name)), *copy = malloc(len + 1);
	if (!shown || !copy)
		return snap_error_oom();
	memcpy(copy, text, len);
	copy[len] = '\0';
	struct place at = { .name = shown, .section = "" };
	struct snap_error *err = NULL;
	for (char *p = copy, *end = copy + len; !err && p < end;) {
		char *newline = memchr(p, '\n', (size_t)(end - p));
		char *stop = newline ? newline : end;
		at.line++;
		*stop = '\0';
		err = strlen(p) == (size_t)(stop - p) ?
			      parse_line(config, &at, p) :
			      snap_error_new(SNAP_USAGE, "%s:%zu: a zero byte", shown, at.line);
		p = stop + 1;
	}
	return err;
}

// ---- files -------------------------------------------------------------------------------------

/// Reads a file that is regular, or /dev/null. -EINVAL for others, which may never end.
static ssize_t read_file(const char *path, char **ret)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !(S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)))
		return -EINVAL;
	char proc[40];
	(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	return snap_read_file_at(AT_FDCWD, proc, FILE_MAX_BYTES, ret);
}

static struct snap_error *parse_file(struct config *config, const char *path)
{
	_cleanup_free_ char *text = NULL;
	ssize_t n = read_file(path, &text);
	if (n == -ENOMEM)
		return snap_error_oom();
	if (n < 0) {
		_cleanup_free_ char *shown = snap_escape(path, strlen(path));
		return shown ? snap_error_errno(SNAP_FAILED, (int)-n, "cannot read '%s'", shown) :
			       snap_error_oom();
	}
	return config_parse(config, path, text, (size_t)n);
}

struct snap_error *config_load_file(const char *path, struct config **ret)
{
	_cleanup_(config_destroyp) struct config *config = NULL;
	struct snap_error *err = config_create(&config);
	if (!err)
		err = parse_file(config, path);
	if (!err)
		*ret = TAKE_PTR(config);
	return err;
}

struct snap_error *config_load(const char *root, struct config **ret)
{
	_cleanup_(config_destroyp) struct config *config = NULL;
	_cleanup_(configdir_deinit) struct configdir dir = { 0 };
	struct snap_error *err = config_create(&config);
	if (!err)
		err = configdir_list(root, &dir);
	for (size_t i = 0; !err && i < dir.n; i++)
		err = parse_file(config, dir.paths[i]);
	if (!err)
		*ret = TAKE_PTR(config);
	return err;
}
