/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * DOC: What the seccomp filters of a thread would say
 *
 * Before a thread is made to do a system call it would not have done, its filters are asked,
 * without running them in the thread: one that kills for that call must never see it, not even if
 * we are killed at the worst moment and can no longer hold the filters off.
 *
 * The programs are classic BPF over struct seccomp_data, in the subset that seccomp allows
 * (kernel/seccomp.c seccomp_check_filter()). They come from the kernel but were made by the
 * process, so nothing in them is believed.
 */

/**
 * Runs one filter of @n instructions over @data.
 *
 * Returns 0 with its answer in @ret (SECCOMP_RET_*), or -EBADMSG for a program that no kernel would
 * have accepted.
 */
int seccomp_run(const struct sock_filter *filter, size_t n, const struct seccomp_data *data,
		uint32_t *ret);
/// Does a thread that gets this answer go on, with the call done or refused?
bool seccomp_harmless(uint32_t answer);
/**
 * Asks all filters of the stopped tracee @tid whether it may be given @data without harm.
 *
 * Returns 0 when all let it go on, -EPERM when one does not, or another negative errno when they
 * cannot be asked: that needs CAP_SYS_ADMIN. For the tracer thread.
 */
int seccomp_ask(pid_t tid, const struct seccomp_data *data);
