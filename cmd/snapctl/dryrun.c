// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dryrun.h"

#include <libsmartcols/libsmartcols.h>

#include "common/str.h"

enum { COL_CLASS, COL_DUMPED, COL_MAPPINGS, COL_BYTES, COL_DATA };

static int add_line(struct libscols_table *table, const struct json *class)
{
	char bytes[16], data[16], mappings[24];
	const char *name = json_get_text(class, "class");
	struct libscols_line *line = scols_table_new_line(table, NULL);
	if (!line)
		return -1;
	(void)snprintf(mappings, sizeof(mappings), "%llu",
		       (unsigned long long)json_get_u64(class, "mappings", 0));
	int r = scols_line_set_data(line, COL_CLASS, name ? name : "?");
	r |= scols_line_set_data(line, COL_DUMPED,
				 json_get_bool(class, "dumped", false) ? "yes" : "no");
	r |= scols_line_set_data(line, COL_MAPPINGS, mappings);
	r |= scols_line_set_data(line, COL_BYTES,
				 snap_format_bytes(json_get_u64(class, "bytes", 0), bytes));
	r |= scols_line_set_data(line, COL_DATA,
				 snap_format_bytes(json_get_u64(class, "data_bytes", 0), data));
	return r;
}

static void print_table(const struct json *classes, FILE *out)
{
	struct libscols_table *table = scols_new_table();
	if (!table)
		return;
	(void)scols_table_set_stream(table, out);
	bool ok = scols_table_new_column(table, "MEMORY", 0, 0) &&
		  scols_table_new_column(table, "DUMPED", 0, 0) &&
		  scols_table_new_column(table, "MAPPINGS", 0, SCOLS_FL_RIGHT) &&
		  scols_table_new_column(table, "SIZE", 0, SCOLS_FL_RIGHT) &&
		  scols_table_new_column(table, "IN MEMORY", 0, SCOLS_FL_RIGHT);
	for (size_t i = 0; ok && i < json_length(classes); i++)
		ok = add_line(table, json_at(classes, i)) == 0;
	if (ok)
		(void)scols_print_table(table); // a full disk is told by whoever closes stdout
	scols_unref_table(table);
}

void dryrun_print(const struct json *result, FILE *out)
{
	char a[16], b[16], c[16], d[16];
	const char *comm = json_get_text(result, "comm"), *path = json_get_text(result, "path");
	fprintf(out, "Process %llu ('%s'), %llu threads:\n",
		(unsigned long long)json_get_u64(result, "pid", 0), comm ? comm : "?",
		(unsigned long long)json_get_u64(result, "threads", 0));
	print_table(json_get(result, "classes"), out);
	fprintf(out,
		"File '%s': about %s, %s of them on disk; %s are free\n"
		"Expected pause: %s, by %s\n",
		path ? path : "-", snap_format_bytes(json_get_u64(result, "bytes", 0), a),
		snap_format_bytes(json_get_u64(result, "bytes_on_disk", 0), b),
		snap_format_bytes(json_get_u64(result, "free_bytes", 0), c),
		snap_format_ns(json_get_u64(result, "pause_ns", 0), d),
		json_get_text(result, "mode"));
	const struct json *list = json_get(result, "strategies");
	for (size_t i = 0; i < json_length(list); i++) {
		const struct json *one = json_at(list, i);
		const char *mode = json_get_text(one, "mode"), *veto = json_get_text(one, "veto");
		if (veto)
			fprintf(out, "  %-8s not possible: %s\n", mode, veto);
		else
			fprintf(out, "  %-8s %s\n", mode,
				snap_format_ns(json_get_u64(one, "pause_ns", 0), d));
	}
}
