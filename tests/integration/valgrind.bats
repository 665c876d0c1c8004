#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# A few dumps of each kind, for tests/run --valgrind: what valgrind says about the worker counts there.

load common

# dump_all NAME...: raw, compressed, all memory, as JSON, and a dry run.
dump_all() {
	target_start "$@"
	local options
	for options in '' -z --all --with-binaries --json '--filter 0xff' -n; do
		# shellcheck disable=SC2086
		dump $options
		[ "$status" = 0 ] || expect $EX_PARTIAL
	done
	unharmed
}

@test "simple" {
	dump_all simple
}

@test "simple, 32 bits" {
	dump_all simple-32
}

@test "threads" {
	dump_all threads 20
}

@test "memory" {
	dump_all memory
}

@test "zombie-leader" {
	dump_all zombie-leader
}

@test "stopped" {
	target_start stopped
	dump
	expect 0
	target_ok
}

@test "eintr" {
	dump_all eintr
}

@test "errors" {
	target_start traced
	dump
	expect $EX_TRACED
	snapctl dump 4194303
	expect $EX_GONE
	target_start simple
	dump --max-pause 1ns
	expect $EX_PAUSE
	(ulimit -f 64 && dump && expect $EX_FAILED)
	snapctl dump -o - "$PID"
	expect 0
	unharmed
}

@test "partial" {
	need_mount
	mkdir "$DIR/small"
	mount -t tmpfs -o size=6m tmpfs "$DIR/small" || skip "tmpfs cannot be mounted"
	at_end "umount -l '$DIR/small'"
	target_start "$TOOLS/shmfill" 16
	snapctl dump --keep-partial -o "$DIR/small/core" "$PID"
	expect $EX_PARTIAL
	unharmed
}
