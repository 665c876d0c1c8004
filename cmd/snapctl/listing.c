// SPDX-License-Identifier: LGPL-2.1-or-later
#include "listing.h"

#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "common/str.h"
#include "when.h"

const char *listing_signal(uint64_t number, char buf[static 24])
{
	const char *name = number < 64 ? sigabbrev_np((int)number) : NULL;
	if (!number)
		return "-";
	if (name)
		(void)snprintf(buf, 24, "SIG%s", name);
	else
		(void)snprintf(buf, 24, "%" PRIu64, number);
	return buf;
}

enum column { COL_TIME, COL_PID, COL_UID, COL_KIND, COL_SIGNAL, COL_SIZE, COL_ID, COL_EXE };

static bool add_columns(struct libscols_table *table)
{
	return scols_table_new_column(table, "TIME", 0, 0) &&
	       scols_table_new_column(table, "PID", 0, SCOLS_FL_RIGHT) &&
	       scols_table_new_column(table, "UID", 0, SCOLS_FL_RIGHT) &&
	       scols_table_new_column(table, "KIND", 0, 0) &&
	       scols_table_new_column(table, "SIGNAL", 0, 0) &&
	       scols_table_new_column(table, "SIZE", 0, SCOLS_FL_RIGHT) &&
	       scols_table_new_column(table, "ID", 0, 0) &&
	       scols_table_new_column(table, "EXE", 0, 0);
}

static bool add_line(struct libscols_table *table, const struct json *entry)
{
	char time[64], pid[24], uid[24], size[16], signal[24];
	struct libscols_line *line = scols_table_new_line(table, NULL);
	const char *exe = json_get_text(entry, "exe"), *comm = json_get_text(entry, "comm");
	const char *id = json_get_text(entry, "id"), *kind = json_get_text(entry, "kind");
	if (!line)
		return false;
	(void)snprintf(pid, sizeof(pid), "%" PRIu64, json_get_u64(entry, "pid", 0));
	(void)snprintf(uid, sizeof(uid), "%" PRIu64, json_get_u64(entry, "uid", 0));
	int r = scols_line_set_data(
		line, COL_TIME, when_format(json_get_u64(entry, "timestamp_usec", 0) * 1000, time));
	r |= scols_line_set_data(line, COL_PID, pid);
	r |= scols_line_set_data(line, COL_UID, uid);
	r |= scols_line_set_data(line, COL_KIND, kind ? kind : "");
	r |= scols_line_set_data(line, COL_SIGNAL,
				 listing_signal(json_get_u64(entry, "signal", 0), signal));
	r |= scols_line_set_data(line, COL_SIZE,
				 snap_format_bytes(json_get_u64(entry, "disk_bytes", 0), size));
	r |= scols_line_set_data(line, COL_ID, id ? id : "");
	r |= scols_line_set_data(line, COL_EXE, exe ? exe : comm ? comm : "");
	return r == 0;
}

void listing_print(const struct json *const *entries, size_t n, bool no_legend)
{
	struct libscols_table *table = scols_new_table();
	bool ok = table && add_columns(table);
	(void)scols_table_enable_noheadings(table, no_legend);
	for (size_t i = 0; ok && i < n; i++)
		ok = add_line(table, entries[i]);
	if (ok)
		(void)scols_print_table(table); // a full disk is told by whoever closes stdout
	scols_unref_table(table);
}

void listing_print_json(const struct json *const *entries, size_t n)
{
	for (size_t i = 0; i < n; i++)
		printf("%s\n", json_text(entries[i]) ? json_text(entries[i]) : "");
}
