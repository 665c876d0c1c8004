/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Opening files of which others have said the name
 *
 * Whoever crashed may have a file system of his own (FUSE) that never answers, and may have put a
 * link to it anywhere. Nothing that lies there is looked at, links included.
 */

/**
 * Opens the absolute @path with O_PATH, following links. A negative errno, -ENOTSUP for what lies
 * below a mount of FUSE, and when that cannot be told. Any process may call it.
 */
int wary_open(const char *path);
