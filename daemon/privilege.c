// SPDX-License-Identifier: LGPL-2.1-or-later
#include "privilege.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/capability.h>
#include <sys/prctl.h>

#ifndef CAP_CHECKPOINT_RESTORE
#define CAP_CHECKPOINT_RESTORE 40 // linux/capability.h, since Linux 5.9
#endif

static const cap_value_t kept[] = {
	CAP_SYS_PTRACE, CAP_CHECKPOINT_RESTORE, CAP_DAC_READ_SEARCH, CAP_SETUID, CAP_SETGID,
	CAP_KILL,
};

DEFINE_CLEANUP(cap_t, cap_free);

static bool is_kept(cap_value_t cap)
{
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if (kept[i] == cap)
			return true;
	return false;
}

/// Those that we may not even have; without CAP_SETPCAP they stay possible, and we without them.
static void drop_bounding(void)
{
	for (cap_value_t cap = 0; cap < cap_max_bits(); cap++)
		if (!is_kept(cap))
			(void)cap_drop_bound(cap);
}

struct snap_error *privilege_drop(void)
{
	_cleanup_(cap_freep) cap_t had = cap_get_proc(), caps = cap_init();
	if (!had || !caps)
		return snap_error_oom();
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		cap_flag_value_t value = CAP_CLEAR;
		if (cap_get_flag(had, kept[i], CAP_PERMITTED, &value) < 0 || value != CAP_SET)
			continue;
		(void)cap_set_flag(caps, CAP_PERMITTED, 1, &kept[i], CAP_SET);
		(void)cap_set_flag(caps, CAP_EFFECTIVE, 1, &kept[i], CAP_SET);
	}
	drop_bounding();
	if (cap_set_proc(caps) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot give up capabilities");
	return NULL;
}

int privilege_drop_all(void)
{
	_cleanup_(cap_freep) cap_t none = cap_init();
	if (!none)
		return -ENOMEM;
	return cap_set_proc(none) < 0 ? -errno : 0;
}
