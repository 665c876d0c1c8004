// SPDX-License-Identifier: LGPL-2.1-or-later
#include "when.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"

enum { MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

const char *when_format(uint64_t realtime_ns, char buf[static 64])
{
	char day[32], zone[16];
	time_t s = (time_t)(realtime_ns / 1000000000);
	struct tm tm;
	if (!localtime_r(&s, &tm) || !strftime(day, sizeof(day), "%a %Y-%m-%d %H:%M:%S", &tm) ||
	    !strftime(zone, sizeof(zone), "%Z", &tm)) {
		(void)snprintf(buf, 64, "%" PRIu64 " ns after 1970", realtime_ns);
		return buf;
	}
	(void)snprintf(buf, 64, "%s.%03u %s", day, (unsigned int)(realtime_ns / 1000000 % 1000),
		       zone);
	return buf;
}

const char *when_span(uint64_t ns, char buf[static 32])
{
	uint64_t s = ns / 1000000000;
	if (s < MINUTE)
		(void)snprintf(buf, 32, "%" PRIu64 " s", s);
	else if (s < HOUR)
		(void)snprintf(buf, 32, "%" PRIu64 " min", s / MINUTE);
	else if (s < DAY)
		(void)snprintf(buf, 32, "%" PRIu64 " h %" PRIu64 " min", s / HOUR,
			       s % HOUR / MINUTE);
	else
		(void)snprintf(buf, 32, "%" PRIu64 " d %" PRIu64 " h", s / DAY, s % DAY / HOUR);
	return buf;
}

const char *when_ago(uint64_t realtime_ns, char buf[static 32])
{
	char span[32];
	uint64_t now = snap_clock_ns(CLOCK_REALTIME);
	buf[0] = '\0';
	if (realtime_ns <= now)
		(void)snprintf(buf, 32, "%.26s ago", when_span(now - realtime_ns, span));
	return buf;
}
