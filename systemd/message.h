/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/strbuf.h"
#include "systemd/record.h"

/**
 * The text of a journal entry, for people: who was dumped, for whom, how long it stood still, and
 * what the goroutines of a Go program did.
 *
 * Adds at most 32 KiB to @buf; what is from outside is escaped. Both arguments are borrowed. 0 or
 * -ENOMEM. Any process may call it.
 */
int message_format(const struct procid *id, const struct record_dump *dump, struct strbuf *buf);
