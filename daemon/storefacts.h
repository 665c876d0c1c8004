/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "common/json.h"
#include "dumpname.h"
#include "store.h"

/**
 * DOC: Who a dump is about, beside its core
 *
 * Twice: as extended attributes, which list and retention read, and as the member "dump" of the
 * metadata, for file systems without them. user.procsnap.version is set last: without it the
 * attributes are not all there (ext4 has room for 4 KiB of them, a path alone may be that long),
 * and the metadata counts. For the daemon only.
 */

/// The facts as JSON, the member "dump" of the metadata; NULL when out of memory.
struct json *storefacts_to_json(uint64_t id, const struct dumpname *name,
				const struct store_facts *facts);
/// Writes the attributes as far as the file system takes them. A negative errno for anything else
/// than lack of room or support.
int storefacts_write(int fd, uint64_t id, const struct store_facts *facts);
/**
 * What the file's name and its attributes say, like storefacts_to_json().
 *
 * @metadata is what the metadata has as "dump", or NULL; it wins when attributes are missing.
 */
struct json *storefacts_read(int fd, const struct dumpname *name, const struct json *metadata);
/// Are the attributes all there, so that no metadata is needed?
bool storefacts_complete(int fd);
/// The key for retention of a dump with these facts: its executable, or else its comm.
uint64_t storefacts_exe_key(const struct json *facts);
/// FNV-1a. Whoever makes it collide only mixes up his own dumps.
uint64_t storefacts_hash(const char *text);
