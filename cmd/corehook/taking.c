// SPDX-License-Identifier: LGPL-2.1-or-later
#include "taking.h"

#include <elf.h>
#include <stdio.h>

#include "common/str.h"
#include "patientmem.h"

const char taking_no_room[] = "the disk has room for";
const char taking_stalled[] = "a file or somebody behind it did not answer";

struct memsource *taking_memory(const struct taking *t)
{
	// As long-lived as the threads that may never come back.
	static struct patientmem mem;
	patientmem_init(&mem, livemem_source(t->mem), t->hook->share);
	return &mem.source;
}

static void note_gaps(const struct taking *t, struct json *result)
{
	const struct gaps *gaps = core_gaps(t->core);
	json_set_u64(result, "gap_bytes", gaps->bytes);
	json_set_u64(result, "lost_bytes", gaps->lost_bytes);
}

void taking_note_limit(const struct taking *t, struct json *result)
{
	char text[64], bytes[16];
	(void)snprintf(text, sizeof(text), "%s %s", t->why_max,
		       snap_format_bytes(t->max_bytes, bytes));
	json_set_text(result, "why_short", text);
}

/// Does something that it was waited for in vain lack in the core?
bool taking_has_stalled(const struct taking *t)
{
	return t->stream_stalled || t->hook->share->n_avoided;
}

/// Why something is missing; of a core that nobody has cut it is the process that was killed.
static void note_shortage(const struct taking *t, struct json *result)
{
	if (taking_has_stalled(t))
		json_set_text(result, "why_short", taking_stalled);
	else if (t->why_max && (t->stacks_only || core_gaps(t->core)->lost_bytes))
		taking_note_limit(t, result);
}

void taking_describe(const struct taking *t, struct json *result)
{
	const struct snap_machine *machine = &t->head->snap.process.machine;
	json_set_text(result, "mode", t->head->snap.mode);
	json_set_u64(result, "bits", machine->elf_class == ELFCLASS64 ? 64 : 32);
	json_set_u64(result, "threads", t->head->snap.n_threads);
	json_set_u64(result, "mappings", t->head->snap.n_mappings);
	json_set_u64(result, "signal", (uint64_t)t->head->facts.signal);
	json_set_u64(result, "si_code", (uint64_t)(uint32_t)t->head->facts.si_code);
	json_set_u64(result, "fault_address", t->head->facts.fault_address);
	json_set_u64(result, "pc", t->head->facts.pc);
	json_set_u64(result, "realtime_ns", t->head->snap.realtime_ns);
	json_set_u64(result, "copy_ns", t->copy_ns);
	json_set_u64(result, "bytes", core_size(t->core));
	if (t->why_stream)
		json_set_text(result, "why_stream", t->why_stream);
	if (t->stacks_only)
		json_set_bool(result, "stacks_only", true);
	note_gaps(t, result);
	note_shortage(t, result);
}
