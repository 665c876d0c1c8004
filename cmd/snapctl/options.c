// SPDX-License-Identifier: LGPL-2.1-or-later
#include "options.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

enum {
	ROWS_MAX = 32, // the largest table has some 15
	HELP_COLUMN = 26,
	LONG_BASE = 256, // values of long options, above every letter
};

static int arg_kind(const struct option_row *row)
{
	if (!row->arg)
		return no_argument;
	return row->arg[0] == '[' ? optional_argument : required_argument;
}

void options_begin(struct option_parser *parser)
{
	parser->first = 0;
	optind = 0; // glibc: start anew, also after an earlier parse of another argv
	opterr = 0; // the messages are ours, with the verb in them
}

static void complain(const struct option_parser *parser, int c)
{
	const char *arg = parser->argv[MAX(optind - 1, 1)];
	_cleanup_free_ char *word = snap_escape(arg, strlen(arg));
	if (c == ':')
		fprintf(stderr, "%s: option '%s' needs an argument\n", parser->prefix, word);
	else
		fprintf(stderr, "%s: unknown option or misplaced argument '%s'\n", parser->prefix,
			word);
	fprintf(stderr, "Try '%s --help'.\n", parser->prefix);
}

int options_next(struct option_parser *parser, struct option_use *ret)
{
	struct option longs[ROWS_MAX + 1] = { 0 };
	char shorts[3 * ROWS_MAX + 2] = ":", *p = shorts + 1;
	size_t n = MIN(parser->n_rows, (size_t)ROWS_MAX);
	for (size_t i = 0; i < n; i++) {
		const struct option_row *row = &parser->rows[i];
		int kind = arg_kind(row);
		longs[i] = (struct option){ row->name, kind, NULL, LONG_BASE + (int)i };
		if (!row->letter)
			continue;
		*p++ = row->letter;
		for (int k = no_argument; k < kind; k++)
			*p++ = ':';
	}
	int c = getopt_long(parser->argc, parser->argv, shorts, longs, NULL);
	if (c < 0) {
		parser->first = optind;
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		if (c != LONG_BASE + (int)i && (c != parser->rows[i].letter || !c))
			continue;
		*ret = (struct option_use){ .row = (int)i, .arg = optarg };
		return 1;
	}
	complain(parser, c);
	return -1;
}

static void print_help(const char *help, FILE *out)
{
	for (const char *line = help;;) {
		size_t len = strcspn(line, "\n");
		fprintf(out, "%.*s\n", (int)len, line);
		if (!line[len])
			return;
		line += len + 1;
		fprintf(out, "%*s", HELP_COLUMN, "");
	}
}

void options_print(const struct option_row *rows, size_t n_rows, FILE *out)
{
	for (size_t i = 0; i < n_rows; i++) {
		char left[64];
		const char *arg = rows[i].arg;
		bool optional = arg && arg[0] == '[';
		if (!rows[i].help)
			continue;
		int len = rows[i].letter ? snprintf(left, sizeof(left), "  -%c, ", rows[i].letter) :
					   snprintf(left, sizeof(left), "      ");
		len += snprintf(left + len, sizeof(left) - (size_t)len, "--%s%s%.*s%s",
				rows[i].name,
				!arg	   ? "" :
				optional ? "[=" :
					   "=",
				arg ? (int)strlen(arg) - 2 * optional : 0,
				arg ? arg + optional : "", optional ? "]" : "");
		if (len < HELP_COLUMN - 1)
			fprintf(out, "%-*s", HELP_COLUMN, left);
		else
			fprintf(out, "%s\n%*s", left, HELP_COLUMN, "");
		print_help(rows[i].help, out);
	}
}
