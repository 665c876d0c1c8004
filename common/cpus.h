/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/// How many threads copy memory fastest: one for each processor that this process may use, but not
/// more than eight, where the page cache of one file is the limit. Any process.
unsigned int cpus_to_copy(void);
