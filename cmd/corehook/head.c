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
