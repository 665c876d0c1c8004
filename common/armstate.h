/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "error.h"
#include "job.h"
#include "json.h"

/**
 * DOC: What a look at a process says about arming it
 *
 * @found is the result of a job JOB_ARM (cmd/worker/arm.h), @record what was kept of the process
 * (common/armed.h) or NULL. snapctl and the daemon decide by the same rules. Functions of JSON, but
 * for armstate_warn(), which reads kernel.core_pattern; any process may call them.
 */
enum armstate {
	ARMSTATE_CAN_BE_ARMED, ///< of --dry-run
	ARMSTATE_ARMED,
	ARMSTATE_ALREADY, ///< armed before
	ARMSTATE_ALWAYS, ///< dumps core of itself
	ARMSTATE_DISARMED,
	ARMSTATE_CHANGED, ///< was armed; the program has set the word itself since
	ARMSTATE_OTHER_PROGRAM, ///< was armed; the process runs another program since
	ARMSTATE_SKIPPED, ///< of a unit: no Go program
	ARMSTATE_NOT_ARMED, ///< nothing to disarm
	ARMSTATE_REFUSED, ///< a Go program that is left alone; @found says why
	ARMSTATE_MAX,
};

/// In JSON: "can-be-armed", "armed" ...; never NULL.
const char *armstate_name(enum armstate state);
/// For people, behind the name of the process; never NULL.
const char *armstate_text(enum armstate state);
/// ARMSTATE_MAX when there is none of that name. Accepts NULL.
enum armstate armstate_from_name(const char *name);

/// Before arming: ARMSTATE_ARMED when it has to be written to, else what it is.
enum armstate armstate_before(const struct json *record, const struct json *found);
/// Of one that was armed: ARMSTATE_ARMED when it still is.
enum armstate armstate_since(const struct json *record, const struct json *found);
/// Why a process was left alone, as an error.
struct snap_error *armstate_refusal(const struct json *found, pid_t pid) _must_check_;

/// What is to be kept of a process before it is armed; owned by the caller, NULL: out of memory.
struct json *armstate_record(const struct json *found);
/// What job.arm is for arming, and, with what was kept, for disarming; as above.
struct json *armstate_to_arm(const struct json *found);
struct json *armstate_to_disarm(const struct json *record);

/// Adds to the array @warnings why there may be no core, although it is armed.
void armstate_warn(const struct json *found, struct json *warnings);
