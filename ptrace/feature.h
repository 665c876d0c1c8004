/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

/**
 * Is a feature of the kernel to be treated as if it were not there?
 *
 * The environment variable PROCSNAP_MASK has the names of such features, comma-separated, so that
 * tests see what older kernels would do: pagemap_scan, process_vm_readv, map_files, userfaultfd
 * (no watching of writes), written_holes (a scan for written pages leaves out discarded ones) and
 * fork (a child cannot be made to share no descriptors).
 * copy is no such feature: without it, memory is copied in advance wherever that is possible.
 */
bool feature_masked(const char *feature);
