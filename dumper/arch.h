/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/snapshot.h"
#include "common/span.h"
#include "common/strbuf.h"

/**
 * DOC: What differs between architectures in a core
 *
 * What adds to a buffer returns 0 or -ENOMEM, and add nothing when the machine has no such thing.
 */

/// The note that tells where each vector feature lies in NT_X86_XSTATE (Linux 6.12).
int arch_xsave_layout(const struct snap_machine *machine, struct strbuf *buf);
/// The program counter and stack pointer in the general registers of NT_PRSTATUS; unchanged when
/// the machine is not known or they are not there.
void arch_get_pc_sp(const struct snap_machine *machine, struct span regs, uint64_t *ret_pc,
		    uint64_t *ret_sp);
/// gdb's target description, XML: the registers that the notes have.
int arch_target_description(const struct snap_machine *machine, struct strbuf *buf);
