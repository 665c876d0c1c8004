/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Who else has to do with the memory of a process
 *
 * Devices, virtual machines and rings of io_uring read and write memory by its physical address,
 * and a userfaultfd is asked about it: neither following writes (track.h) nor a fork (twin.h) goes
 * well with that.
 */

enum devices_purpose {
	DEVICES_FOLLOW, ///< may its memory change without a fault?
	DEVICES_FORK, ///< would a fork copy memory at once, or wait for somebody?
};

/// Why the process must be left alone, "it ...", a constant; or NULL. @procfd is /proc/PID.
const char *devices_obstacle(int procfd, enum devices_purpose purpose);
