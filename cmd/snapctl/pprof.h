/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

/**
 * DOC: Profiles for go tool pprof
 *
 * Writes profile.proto (github.com/google/pprof/blob/main/proto/profile.proto) by hand: a protobuf
 * message is a row of tagged fields in any order, so each function below appends what it was told
 * and the whole is there at the end. Strings, functions and locations that are equal are kept once.
 *
 * The first failure is kept, and told by pprof_finish(). Numbers of things count from 1; 0 is none.
 */
struct pprof;

struct pprof_mapping {
	uint64_t start, limit, offset; ///< all 0 when unknown
	const char *file, *build_id; ///< build_id: hexadecimal; both may be NULL
};

struct pprof_line {
	uint64_t function, line;
};

struct pprof_label {
	const char *key, *value;
};

/// A profile that counts things of type @type. NULL when out of memory.
struct pprof *pprof_create(const char *type);
void pprof_destroy(struct pprof *p);
DEFINE_CLEANUP(struct pprof *, pprof_destroy);

/// When the profile was taken, CLOCK_REALTIME.
void pprof_time(struct pprof *p, uint64_t ns);
void pprof_comment(struct pprof *p, const char *text);
/// The first one is the program.
uint64_t pprof_mapping(struct pprof *p, const struct pprof_mapping *mapping);
uint64_t pprof_function(struct pprof *p, const char *name, const char *file);
/// @lines are what was inlined at @address, the innermost first, then the function itself.
uint64_t pprof_location(struct pprof *p, uint64_t address, uint64_t mapping,
			const struct pprof_line *lines, size_t n);
/// @locations from the innermost one on.
void pprof_sample(struct pprof *p, const uint64_t *locations, size_t n, uint64_t value,
		  const struct pprof_label *labels, size_t n_labels);

/// The whole message, borrowed from @p. Returns 0, -ENOMEM, or -EFBIG for more than 1 GiB.
int pprof_finish(struct pprof *p, const void **ret, size_t *ret_len);
