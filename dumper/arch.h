/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/snapshot.h"
#include "common/strbuf.h"

/**
 * DOC: What differs between architectures in a core
 *
 * Both return 0 or -ENOMEM and add nothing when the machine has no such thing.
 */

/// The note that tells where each vector feature lies in NT_X86_XSTATE (Linux 6.12).
int arch_xsave_layout(const struct snap_machine *machine, struct strbuf *buf);
/// gdb's target description, XML: the registers that the notes have.
int arch_target_description(const struct snap_machine *machine, struct strbuf *buf);
