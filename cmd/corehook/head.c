// SPDX-License-Identifier: LGPL-2.1-or-later
#include "head.h"

void head_read(struct head *head, int fd, pid_t pid)
{
	if (stream_read_head(fd, &head->bytes) < 0)
		return;
	struct snap_error *err =
		stream_parse(&head->bytes, pid, &head->snap, &head->plan, &head->facts);
	if (err)
		snapshot_deinit(&head->snap);
	snap_error_destroy(err);
}

void head_deinit(struct head *head)
{
	plan_destroy(head->plan);
	snapshot_deinit(&head->snap);
	strbuf_deinit(&head->bytes);
	*head = (struct head){ 0 };
}

void head_describe_place(const struct head *head, struct json *json)
{
	uint64_t pc = head->facts.pc;
	json_set_u64(json, "signal", (uint64_t)head->facts.signal);
	for (size_t i = 0; i < head->snap.n_mappings; i++) {
		const struct snap_mapping *map = &head->snap.mappings[i];
		if (pc < map->start || pc >= map->end || !map->inode)
			continue;
		json_set_text(json, "module", snap_mapping_name(&head->snap, map));
		json_set_u64(json, "offset", pc - map->start + map->offset);
		return;
	}
}
