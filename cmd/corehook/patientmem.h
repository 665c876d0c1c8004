/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "common/memsource.h"
#include "share.h"

/**
 * DOC: Memory that is read with patience
 *
 * A memsource before another one. Of a mapping from which a call has not come back in time nothing
 * more is read (-EIO); all others are read on.
 *
 * What belongs to files is read by others (patience.h): there a call may wait beyond SIGKILL. What
 * does not is read directly, since it is most of all and has to be fast. Such a call waits for
 * others only when somebody takes pages away just now (userfaultfd), and then a signal ends it: the
 * holder sees in @share that it does not come back, kills this process, and the next one leaves
 * that mapping out.
 */
struct patientmem {
	struct memsource source;
	struct memsource *from; ///< borrowed; must live as long as the process
	struct share *share; ///< borrowed, as long
	unsigned int patience_ms; ///< PATIENCE_MS, unless changed
};

void patientmem_init(struct patientmem *mem, struct memsource *from, struct share *share);
