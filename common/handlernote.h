/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "handler.h"

/// For the files handler*.c: adds a line, with what is not fit for a terminal escaped. More than
/// there is room for are left out, and so is one that there is no memory for.
void handler_note(struct handler_notes *notes, const char *fmt, ...) _printf_(2, 3);
/// Is @pattern one whose program cannot be run, or on whose socket nobody listens?
bool handler_points_to_nothing(const char *root, const char *pattern);
/// Adds a line when a service is enabled that becomes the handler after sysctl.d was read: that of
/// systemd 262 and later (systemd pull request 43330).
void handler_note_rival(const char *root, struct handler_notes *notes);
