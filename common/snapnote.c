// SPDX-License-Identifier: LGPL-2.1-or-later
#include "snapnote.h"

const char *gap_reason_name(uint32_t reason)
{
	static const char *const names[GAP_REASON_MAX] = {
		[GAP_UNREADABLE] = "unreadable",     [GAP_GUARD] = "guard",
		[GAP_PAST_EOF] = "past-eof",	     [GAP_NOT_RESIDENT] = "not-resident",
		[GAP_ABORTED] = "aborted",	     [GAP_LATER] = "later",
	};
	return reason > 0 && reason < GAP_REASON_MAX ? names[reason] : "unknown";
}
