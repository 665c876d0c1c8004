/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/**
 * DOC: Calls that may never come back
 *
 * A process can have memory behind which somebody stands who does not answer: a file of FUSE, of a
 * server that is down. Whoever reads that waits, mostly beyond SIGKILL. So others do it, threads,
 * and who has waited long enough leaves them where they are: they end with the process, or, when
 * even that does not end them, after it.
 */
enum {
	/// How long a call may take. A disk that works takes less, also a slow one.
	PATIENCE_MS = 10 * 1000,
};

/// What a thread is asked to do. Embedded as the first member, on the heap.
struct errand {
	void (*run)(struct errand *errand);
	void (*destroy)(struct errand *errand);
};

/**
 * Has @errand run. True when it has come back: then it is the caller's again.
 *
 * Else it has taken longer than @ms, or no thread could be had; it belongs to that thread
 * from now on, which destroys it when it comes back after all. Any thread may call it, also in a
 * process that was forked after calls that did not come back. What @errand points to must live as
 * long as the process.
 */
bool patience_run(struct errand *errand, unsigned int ms);
