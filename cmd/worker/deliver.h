/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "common/job.h"
#include "dumper/repack.h"

/// A raw core on its way to its final form.
struct delivery {
	const struct job *job;
	int spool, output; ///< as the job has them
	unsigned int threads;
	void (*phase)(void *userdata, const char *phase, uint64_t total); ///< one begins
	void (*progress)(void *userdata, uint64_t done);
	void *userdata;
};

/// Compresses or streams the core, and syncs it, as the job says.
struct snap_error *deliver(const struct delivery *delivery) _must_check_;
/// The same for one that is packed, @repack. The input gives its room to the output where the disk
/// has not enough for both.
struct snap_error *deliver_packed(const struct delivery *delivery, struct repack *repack)
	_must_check_;
