/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/strbuf.h"
#include "systemd/record.h"

/**
 * The text of a journal entry, for people: who was dumped, for whom, how long it stood still, or
 * that it crashed, and with which stacks; then what a Go program died of, and what its goroutines
 * did.
 *
 * Adds at most 48 KiB to @buf besides the native stacks of a crash (RECORD_STACKS_MAX); what is
 * from outside is escaped. Both arguments are borrowed. 0 or
 * -ENOMEM. Any process may call it.
 */
int message_format(const struct procid *id, const struct record_dump *dump, struct strbuf *buf);
