// SPDX-License-Identifier: LGPL-2.1-or-later
#include "head.h"

#include <errno.h>

#include "common/clock.h"

// The kernel takes less than a second for the largest; the process of a smaller one may take as
// long as it likes (dumper/stream.h), and nobody else can crash meanwhile when many do that.
#define LIMIT_NS (30ULL * 1000 * 1000 * 1000)

void head_read(struct head *head, int fd, pid_t pid)
{
	int r = stream_read_head(fd, snap_now_ns() + LIMIT_NS, &head->bytes);
	// What does not come now will not come later either.
	if (r == -ETIMEDOUT)
		strbuf_deinit(&head->bytes);
	if (r < 0)
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
