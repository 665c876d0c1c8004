// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fuzz.h"
#include "ptrace/procfs.h"

/// Is there a line that begins with @key?
static bool has_line(const char *text, const char *key)
{
	if (!strncmp(text, key, strlen(key)))
		return true;
	for (const char *p = text; (p = strchr(p, '\n'));)
		if (!strncmp(++p, key, strlen(key)))
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);
	struct procfs_status st, before;
	memset(&st, 0xa5, sizeof(st));
	before = st;
	int r = procfs_parse_status(text, &st);
	if (r < 0) {
		REQUIRE(r == -EBADMSG);
		REQUIRE(!memcmp(&st, &before, sizeof(st)));
		return 0;
	}
	REQUIRE(r == 0);
	REQUIRE(has_line(text, "Uid:") && has_line(text, "Gid:"));
	REQUIRE(has_line(text, "TracerPid:") && has_line(text, "Threads:"));
	REQUIRE(st.tracer_pid >= 0);
	REQUIRE(st.threads <= INT64_MAX);
	REQUIRE(st.rss_bytes <= INT64_MAX && st.rss_bytes % 1024 == 0);
	REQUIRE(!st.rss_bytes || has_line(text, "VmRSS:"));
	REQUIRE(!st.ns_levels || has_line(text, "NSpid:"));
	REQUIRE(st.ns_levels <= 33 && (st.ns_levels || !st.ns_pid));
	REQUIRE(!st.ns_pgrp || has_line(text, "NSpgid:"));
	REQUIRE(!st.ns_sid || has_line(text, "NSsid:"));
	REQUIRE(st.ns_pid >= 0 && st.ns_pgrp >= 0 && st.ns_sid >= 0);
	REQUIRE(!st.sig_pending || has_line(text, "SigPnd:"));
	REQUIRE(!st.sig_shared_pending || has_line(text, "ShdPnd:"));
	REQUIRE(!st.sig_blocked || has_line(text, "SigBlk:"));
	REQUIRE(!st.sig_ignored || has_line(text, "SigIgn:"));
	return 0;
}
