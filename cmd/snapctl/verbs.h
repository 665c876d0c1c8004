/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/error.h"

/**
 * DOC: Verbs of snapctl
 *
 * A verb gets its arguments with its own name at index 0 and returns the exit status, one of
 * enum snap_code. It has said why on stderr when that is not 0.
 */

int verb_dump(int argc, char *argv[]);
int verb_gcore(int argc, char *argv[]);
int verb_goroutines(int argc, char *argv[]);
int verb_info(int argc, char *argv[]);
int verb_list(int argc, char *argv[]);
int verb_wait(int argc, char *argv[]);
int verb_get(int argc, char *argv[]);
int verb_debug(int argc, char *argv[]);
int verb_remove(int argc, char *argv[]);
int verb_handler(int argc, char *argv[]);
int verb_status(int argc, char *argv[]);
int verb_reload(int argc, char *argv[]);
int verb_arm(int argc, char *argv[]);
int verb_disarm(int argc, char *argv[]);

/// Says @err, which it takes, and returns its exit status; 0 for none.
int verb_finish(struct snap_error *err);
/// Prints "PREFIX: message" on stderr; what is not fit for a terminal is escaped.
void print_message(const char *prefix, const char *message);
