/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strbuf.h"

/**
 * What a process has open, as systemd-coredump writes it: for each descriptor "NUMBER:TARGET" and
 * the lines of its fdinfo, with empty lines between them.
 *
 * @procfd is /proc/PID. Returns 1 when the process has more than is told, or -ENOMEM; what cannot
 * be read is left out. Nothing is opened but files of /proc, so no device or pipe notices. Called
 * by any process with the rights to read those files.
 */
int openfds_read(int procfd, struct strbuf *buf);
