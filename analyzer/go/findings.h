/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/strbuf.h"
#include "report.h"

/**
 * DOC: Findings
 *
 * What somebody who looks at all these goroutines would notice first. Each says how certain it is:
 * "fact" is what the runtime itself says, "likely" and "hint" are conclusions, and the evidence is
 * in numbers beside it. Who holds a mutex is not recorded by Go, so nothing is said about holders.
 */

/// Returns 0 or the negative errno of the sink.
int go_findings_report(struct go_goroutines *gs, const struct report_sink *sink);
