// SPDX-License-Identifier: LGPL-2.1-or-later
#include "polkit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <time.h>

// polkitd answers within milliseconds, also when the bus has to start it first.
#define ANSWER_USEC (5 * 1000000ULL)
// To find the window and type a password. It is the caller who waits, nobody else.
#define USER_USEC (90 * 1000000ULL)

struct polkit {
	sd_bus *bus;
	sd_bus_slot *slot;
	sd_event_source *deadline;
	void (*answered)(void *userdata, enum polkit_answer answer, const char *why);
	void *userdata;
};

void polkit_destroy(struct polkit *polkit)
{
	if (!polkit)
		return;
	sd_event_source_disable_unref(polkit->deadline);
	sd_bus_slot_unref(polkit->slot);
	if (polkit->bus)
		(void)sd_bus_detach_event(polkit->bus);
	sd_bus_close_unref(polkit->bus); // without a flush, which might wait
	free(polkit);
}

static void answer(const struct polkit *polkit, enum polkit_answer what, const char *why)
{
	polkit->answered(polkit->userdata, what, why);
}

static int on_deadline(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
	answer(userdata, POLKIT_UNAVAILABLE, "no answer in time");
	return 0;
}

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_)
{
	const sd_bus_error *failed = sd_bus_message_get_error(reply);
	int allowed = 0, challenge = 0;
	if (failed) {
		answer(userdata, POLKIT_UNAVAILABLE,
		       failed->message ? failed->message : failed->name);
		return 0;
	}
	int r = sd_bus_message_enter_container(reply, SD_BUS_TYPE_STRUCT, "bba{ss}");
	if (r >= 0)
		r = sd_bus_message_read(reply, "bb", &allowed, &challenge);
	if (r < 0)
		answer(userdata, POLKIT_UNAVAILABLE, "an answer that is none");
	else
		answer(userdata,
		       allowed	 ? POLKIT_ALLOWED :
		       challenge ? POLKIT_CHALLENGE :
				   POLKIT_DENIED,
		       allowed	 ? "yes" :
		       challenge ? "not without authentication" :
				   "no");
	return 0;
}

static int open_bus(sd_event *event, sd_bus **ret)
{
	sd_bus *bus = NULL;
	// Connects without waiting; what has to be said first is said from the loop.
	int r = sd_bus_open_system(&bus);
	if (r >= 0)
		r = sd_bus_attach_event(bus, event, SD_EVENT_PRIORITY_NORMAL);
	if (r < 0) {
		sd_bus_close_unref(bus);
		return r;
	}
	*ret = bus;
	return 0;
}

static int append_details(sd_bus_message *call, pid_t pid)
{
	char number[16];
	if (pid <= 0)
		return sd_bus_message_append(call, "a{ss}", 0);
	(void)snprintf(number, sizeof(number), "%d", pid);
	return sd_bus_message_append(call, "a{ss}", 1, "pid", number);
}

static int send_question(struct polkit *polkit, const struct polkit_question *q)
{
	enum { ALLOW_USER_INTERACTION = 1 };
	sd_bus_message *call = NULL;
	int r = sd_bus_message_new_method_call(polkit->bus, &call, "org.freedesktop.PolicyKit1",
					       "/org/freedesktop/PolicyKit1/Authority",
					       "org.freedesktop.PolicyKit1.Authority",
					       "CheckAuthorization");
	if (r >= 0)
		r = sd_bus_message_append(call, "(sa{sv})s", "unix-process", 2, "pidfd", "h",
					  q->pidfd, "uid", "i", (int32_t)q->uid, q->action);
	if (r >= 0)
		r = append_details(call, q->pid);
	if (r >= 0)
		r = sd_bus_message_append(
			call, "us", q->interactive ? (uint32_t)ALLOW_USER_INTERACTION : 0U, "");
	if (r >= 0) // its own deadline is ours
		r = sd_bus_call_async(polkit->bus, &polkit->slot, call, on_reply, polkit,
				      UINT64_MAX);
	sd_bus_message_unref(call);
	return r;
}

int polkit_ask(sd_event *event, const struct polkit_question *question, struct polkit **ret)
{
	_cleanup_(polkit_destroyp) struct polkit *polkit = calloc(1, sizeof(*polkit));
	if (!polkit)
		return -ENOMEM;
	polkit->answered = question->answered;
	polkit->userdata = question->userdata;
	int r = open_bus(event, &polkit->bus);
	if (r >= 0)
		r = send_question(polkit, question);
	uint64_t now;
	if (r >= 0)
		r = sd_event_now(event, CLOCK_MONOTONIC, &now);
	if (r >= 0)
		r = sd_event_add_time(event, &polkit->deadline, CLOCK_MONOTONIC,
				      now + (question->interactive ? USER_USEC : ANSWER_USEC), 0,
				      on_deadline, polkit);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(polkit);
	return 0;
}
