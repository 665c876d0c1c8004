// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "common/coreaccess.h"
#include "common/fd.h"
#include "storefile.h"
#include "storeimpl.h"

static struct snap_error *new_id(const struct store *store, uint64_t *ret)
{
	uint64_t id;
	do {
		if (storeid_random(&id) < 0)
			return snap_error_new(SNAP_FAILED, "the kernel has no random bytes");
	} while (store_get(store, id));
	*ret = id;
	return NULL;
}

static struct snap_error *open_files(struct store *store, struct store_draft *draft)
{
	int fd = draft->core = storefile_temp(store->dirfd, draft->id, "core", &draft->core_temp);
	if (fd >= 0 && draft->request.compressed)
		fd = draft->spool =
			storefile_temp(store->dirfd, draft->id, "spool", &draft->spool_temp);
	return fd >= 0 ? NULL :
			 snap_error_errno(snap_code_from_errno(-fd), -fd,
					  "cannot make a file in the folder of dumps '%s'",
					  store->path);
}

struct snap_error *store_begin(struct store *store, const struct store_request *request,
			       struct store_removals *removals, struct store_draft **ret)
{
	_cleanup_(store_dropp) struct store_draft *draft = calloc(1, sizeof(*draft));
	if (!draft)
		return snap_error_oom();
	draft->store = store;
	draft->request = *request;
	draft->core = draft->spool = -EBADF;
	struct snap_error *err = new_id(store, &draft->id);
	const struct store_room room = { .draft = draft };
	if (!err)
		err = store_make_room(store, &room, removals);
	if (!err)
		err = open_files(store, draft);
	if (err)
		return err;
	draft->next = store->drafts;
	store->drafts = draft;
	*ret = TAKE_PTR(draft);
	return NULL;
}

struct json *store_add_binaries(struct store_draft *draft, int folder, const struct json *files,
				bool owner_reads, char **ret_path)
{
	struct store *store = draft->store;
	char id[STOREID_SIZE], *path = NULL;
	const struct storebinaries_dump dump = { .id = draft->id,
						 .usec = snap_clock_ns(CLOCK_REALTIME) / 1000,
						 .uid = draft->request.uid };
	struct json *added = storebinaries_add(store->binaries, &dump,
					       owner_reads && coreaccess_is_person(dump.uid),
					       folder, files, &draft->n_binaries);
	if (draft->n_binaries && asprintf(&path, "%s/" BINARIES_FOLDER "/%s", store->path,
					  storeid_format(draft->id, id)) < 0)
		path = NULL;
	*ret_path = path;
	return added;
}

void store_drop(struct store_draft *draft)
{
	if (!draft)
		return;
	struct store *store = draft->store;
	for (struct store_draft **p = &store->drafts; *p; p = &(*p)->next) {
		if (*p == draft) {
			*p = draft->next;
			break;
		}
	}
	if (draft->n_binaries)
		storebinaries_remove(store->binaries, draft->id);
	storefile_drop_temp(store->dirfd, &draft->core_temp);
	storefile_drop_temp(store->dirfd, &draft->spool_temp);
	snap_closep(&draft->core);
	snap_closep(&draft->spool);
	free(draft);
}
