// SPDX-License-Identifier: LGPL-2.1-or-later
#include "authorizer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <syslog.h>

#include "common/fd.h"
#include "daemon/manager.h"
#include "daemon/polkit.h"

enum {
	// Questions at once. The system bus lets a user, and we are root, have 256 connections.
	QUESTIONS_MAX = 16,
	QUESTIONS_PER_USER = 2,
};

struct question {
	LIST_ENTRY(question) entry;
	struct authorizer *authorizer;
	struct connection *connection; ///< waits for us
	struct authorizer_request request;
	struct snap_error *refusal;
	struct polkit *polkit;
	sd_event_source *cancelled; ///< nobody waits for it any more
	uid_t uid;
};

struct authorizer {
	sd_event *event;
	const struct config *config;
	LIST_HEAD(, question) questions;
	bool stopped;
};

static void question_destroy(struct question *q)
{
	LIST_REMOVE(q, entry);
	polkit_destroy(q->polkit);
	sd_event_source_disable_unref(q->cancelled);
	snap_error_destroy(q->refusal);
	free(q);
}

/// Ends it with @refusal, which is passed on.
static void decide(struct question *q, struct snap_error *refusal)
{
	struct authorizer_request request = q->request;
	question_destroy(q);
	request.decided(request.userdata, refusal);
}

static void on_answer(void *userdata, enum polkit_answer answer, const char *why)
{
	struct question *q = userdata;
	const struct peer *peer = connection_peer(q->connection);
	struct snap_error *refusal = answer == POLKIT_ALLOWED ? NULL : TAKE_PTR(q->refusal);
	int level = answer == POLKIT_UNAVAILABLE && q->authorizer->config->polkit == CONFIG_YES ?
			    LOG_WARNING :
			    LOG_INFO;
	manager_log(level, "user %u (%s[%d]), %s: polkit: %s", peer->uid, peer->comm, peer->pid,
		    q->request.action, why);
	if (answer == POLKIT_CHALLENGE)
		refusal = snap_error_wrap(refusal,
					  "polkit would allow it after authentication (%s)",
					  q->request.action);
	decide(q, refusal);
}

static int on_cancelled(sd_event_source *source _unused_, void *userdata)
{
	struct question *q = userdata;
	decide(q, TAKE_PTR(q->refusal));
	return 0;
}

/// The client is gone. The connection is still in the middle of finding that out.
static void on_cancel(void *userdata)
{
	struct question *q = userdata;
	polkit_destroy(TAKE_PTR(q->polkit));
	if (sd_event_add_defer(q->authorizer->event, &q->cancelled, on_cancelled, q) < 0)
		decide(q, TAKE_PTR(q->refusal));
}

bool authorizer_may_ask(const struct authorizer *authorizer, const struct connection *connection)
{
	const struct question *q;
	size_t n = 0, n_user = 0;
	LIST_FOREACH(q, &authorizer->questions, entry)
	{
		n++;
		n_user += q->uid == connection_peer(connection)->uid;
	}
	return !authorizer->stopped && authorizer->config->polkit != CONFIG_NO &&
	       n < QUESTIONS_MAX && n_user < QUESTIONS_PER_USER;
}

struct snap_error *authorizer_ask(struct authorizer *authorizer, struct connection *connection,
				  const struct authorizer_request *request,
				  struct snap_error *refusal)
{
	const struct peer *peer = connection_peer(connection);
	_cleanup_close_ int pidfd = -EBADF;
	if (!authorizer_may_ask(authorizer, connection) ||
	    (pidfd = connection_peer_pidfd(connection)) < 0)
		return refusal;
	struct question *q = calloc(1, sizeof(*q));
	if (!q)
		return refusal;
	*q = (struct question){ .authorizer = authorizer,
				.connection = connection,
				.request = *request,
				.refusal = refusal,
				.uid = peer->uid };
	const struct polkit_question question = { .action = request->action,
						  .pidfd = pidfd,
						  .uid = peer->uid,
						  .pid = request->pid,
						  .interactive = request->interactive,
						  .answered = on_answer,
						  .userdata = q };
	LIST_INSERT_HEAD(&authorizer->questions, q, entry);
	int r = polkit_ask(authorizer->event, &question, &q->polkit);
	if (r < 0) {
		if (authorizer->config->polkit == CONFIG_YES)
			manager_log(LOG_WARNING, "polkit cannot be asked: %s", strerror(-r));
		q->refusal = NULL;
		question_destroy(q);
		return refusal;
	}
	connection_wait(connection, on_cancel, q);
	return NULL;
}

// ---- from the beginning to the end ---------------------------------------------------------

struct snap_error *authorizer_create(sd_event *event, struct authorizer **ret)
{
	struct authorizer *authorizer = calloc(1, sizeof(*authorizer));
	if (!authorizer)
		return snap_error_oom();
	authorizer->event = sd_event_ref(event);
	*ret = authorizer;
	return NULL;
}

void authorizer_configure(struct authorizer *authorizer, const struct config *config)
{
	authorizer->config = config;
}

void authorizer_stop(struct authorizer *authorizer)
{
	struct question *q;
	authorizer->stopped = true;
	while ((q = LIST_FIRST(&authorizer->questions)))
		decide(q, TAKE_PTR(q->refusal));
}

void authorizer_destroy(struct authorizer *authorizer)
{
	if (!authorizer)
		return;
	authorizer_stop(authorizer);
	sd_event_unref(authorizer->event);
	free(authorizer);
}
