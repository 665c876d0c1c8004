/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"

/**
 * DOC: Questions to polkit
 *
 * Each is one call of org.freedesktop.PolicyKit1.Authority.CheckAuthorization over a connection to
 * the system bus of its own, which is closed afterwards: an idle daemon has none. Nothing waits; a
 * bus or a polkitd that does not answer is given up at the deadline. The subject is a process by
 * its pidfd, which polkit knows from version 124 on; older ones answer with an error. One by its
 * number is never asked about, since somebody else may have it by then.
 */

enum polkit_answer {
	POLKIT_ALLOWED,
	POLKIT_DENIED,
	POLKIT_CHALLENGE, ///< only after an authentication, for which nobody was asked
	POLKIT_UNAVAILABLE, ///< no bus, no polkit, one that is too old, or no answer in time
};

struct polkit_question {
	const char *action; ///< id, as in systemd/polkit/io.procsnap.policy
	int pidfd; ///< whose, borrowed for the call
	uid_t uid; ///< of that process
	pid_t pid; ///< $(pid) in the message of the action; 0: none
	bool interactive; ///< polkit may ask the user, who takes his time
	/// Called once, from the loop and never from polkit_ask(). @why, borrowed, is for the log.
	/// The question may be destroyed in it.
	void (*answered)(void *userdata, enum polkit_answer answer, const char *why);
	void *userdata;
};

struct polkit;

/// -errno when nobody can be asked. @ret is to be destroyed by the caller.
int polkit_ask(sd_event *event, const struct polkit_question *question, struct polkit **ret);
/// Takes the question back if there is no answer yet.
void polkit_destroy(struct polkit *polkit);
DEFINE_CLEANUP(struct polkit *, polkit_destroy);
