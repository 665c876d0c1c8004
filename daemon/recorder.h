/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "common/error.h"
#include "systemd/record.h"

/**
 * DOC: Sending records to the journal
 *
 * A record is a file in a folder of its own until journald has it, so it is neither lost when
 * journald is down nor when we are. One is sent at a time; after a failure all of them wait.
 */
struct recorder;

/// Uses the folder @path, made when it is missing, and sends what is left in it. Without one (NULL,
/// or one that cannot be used) records are kept in memory only.
struct snap_error *recorder_create(sd_event *event, const char *path,
				   struct recorder **ret) _must_check_;
/// Leaves what was not sent to the next daemon.
void recorder_destroy(struct recorder *recorder);
DEFINE_CLEANUP(struct recorder *, recorder_destroy);
/// Takes ownership of @record and sends it soon. An error means that it may not survive us.
struct snap_error *recorder_add(struct recorder *recorder, struct record *record) _must_check_;
/// Records that wait.
size_t recorder_waiting(const struct recorder *recorder);
