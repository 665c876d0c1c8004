#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Cores that cannot or need not have everything: the most useful first, and nothing but stacks.
# shellcheck disable=SC2030,SC2031 # each test is a process

load common

small_file_system() { # SIZE: a mounted tmpfs at $SMALL
	need_mount
	SMALL=$DIR/small
	mkdir "$SMALL"
	mount -t tmpfs -o "size=$1" tmpfs "$SMALL" || skip "tmpfs cannot be mounted"
	at_end "umount -l '$SMALL'"
}

# As the preloaded library tells it, the small file system is large when it is asked.
believing() {
	[ -z "${PROCSNAP_SANITIZED-}" ] || skip "a preloaded library and a sanitizer exclude each other"
	LD_PRELOAD=$TOOLS/much-space.so "$@"
}

# Threads of a target with memory that compresses by nothing between their stacks and that of the
# first one.
threads_and_memory() { # MIB
	need_command gdb
	target_start gap-probe "$1" --threads 5
}

# gdb finds main() or the start of a thread below each of @1 threads.
expect_backtraces() { # CORE PROGRAM THREADS
	gdb -nx -batch -ex 'thread apply all backtrace' "$2" "$1" >"$DIR/gdb" 2>&1
	[ "$(grep -c '^Thread ' "$DIR/gdb")" = "$3" ] || fail "$(cat "$DIR/gdb")" || return 1
	awk '/^Thread /{ n++; bottom[n] = "" } /^#/{ bottom[n] = $0 }
		END { for (i = 1; i <= n; i++) if (bottom[i] !~ /main|clone|_start/) exit 1; exit !n }' \
		"$DIR/gdb" || fail "$(cat "$DIR/gdb")" || return 1
	! grep -q 'Backtrace stopped' "$DIR/gdb" || fail "$(cat "$DIR/gdb")"
}

expect_partial() {
	expect $EX_PARTIAL
	well_formed
	[ "$(note partial)" = 1 ]
}

@test "too little space: backtraces of all threads in what is kept" {
	small_file_system 3m
	threads_and_memory 64
	local n
	n=$(find "/proc/$PID/task" -mindepth 1 -maxdepth 1 | wc -l)
	CORE=$SMALL/core
	snapctl dump --keep-partial -o "$CORE" "$PID"
	expect_partial
	expect_backtraces "$CORE" "$BUILD/targets/gap-probe" "$n"
	# The small mappings that nobody looks at first are there, too; what is missing is the large one.
	[ "$("$CORECHECK" note "$CORE" | grep -c '^gap .* aborted$')" -le 4 ] ||
		fail "$("$CORECHECK" note "$CORE" | grep '^gap')"
	unharmed
}

@test "space that ends unexpectedly: backtraces of all threads in what is kept" {
	small_file_system 3m
	threads_and_memory 64
	local n
	n=$(find "/proc/$PID/task" -mindepth 1 -maxdepth 1 | wc -l)
	CORE=$SMALL/core
	believing snapctl dump --keep-partial -o "$CORE" "$PID"
	expect_partial
	expect_backtraces "$CORE" "$BUILD/targets/gap-probe" "$n"
	unharmed
}

@test "too little space, compressed: the room for the raw core is enough" {
	small_file_system 6m
	threads_and_memory 64
	local n
	n=$(find "/proc/$PID/task" -mindepth 1 -maxdepth 1 | wc -l)
	snapctl dump --keep-partial -z -o "$SMALL/core.zst" "$PID"
	expect $EX_PARTIAL
	zstd -dq -o "$CORE" "$SMALL/core.zst"
	well_formed
	[ "$(note partial)" = 1 ]
	expect_backtraces "$CORE" "$BUILD/targets/gap-probe" "$n"
	# Nothing that is not in the file is still taken.
	(($(df --output=used -B1 "$SMALL" | tail -n 1) <= $(stat -c %s "$SMALL/core.zst") + 8192))
	unharmed
}

@test "room for the raw core only, compressed: whole with --keep-partial" {
	small_file_system 12m
	target_start gap-probe 8
	dump_small() { snapctl dump -z -f -o "$SMALL/core.zst" "$@" "$PID"; }
	dump_small
	expect $EX_SPACE
	[ -z "$(ls -A "$SMALL")" ]
	dump_small --keep-partial
	expect 0
	zstd -dq -o "$CORE" "$SMALL/core.zst"
	well_formed
	[ "$(note partial)" = 0 ]
	verify_content
	unharmed
}

@test "too little space: the goroutines of a Go program" {
	small_file_system 8m
	target_start goprof -ballast 64
	CORE=$SMALL/core
	snapctl dump --keep-partial -o "$CORE" "$PID"
	expect_partial
	snapctl goroutines --json "$CORE"
	expect 0
	local found
	found=$(field '[.runtimes[0].groups[].count] | add')
	[ "$found" = "$(key goroutines)" ] || fail "$found goroutines, not $(key goroutines)"
	target_ok
}

@test "--stacks: backtraces of all threads, and nothing else" {
	threads_and_memory 16
	local n
	n=$(find "/proc/$PID/task" -mindepth 1 -maxdepth 1 | wc -l)
	snapctl dump --stacks --json -o "$CORE" "$PID"
	expect 0
	well_formed
	[ "$(note partial)" = 0 ]
	[ "$(field .lost_bytes)" = 0 ]
	(($(field .bytes_on_disk) < 2 << 20)) || fail "$output"
	expect_backtraces "$CORE" "$BUILD/targets/gap-probe" "$n"
	gdb -nx -batch -ex 'info sharedlibrary' "$BUILD/targets/gap-probe" "$CORE" 2>&1 |
		grep -q 'Yes.*libc\.so' || fail "gdb does not find the libraries"
	# What is there is what is in the process.
	verify_stack_data
	unharmed
}

# The word that AT_RANDOM points to, on the first stack, as gdb reads it.
verify_stack_data() {
	gdb -nx -batch -ex 'info auxv' "$BUILD/targets/gap-probe" "$CORE" >"$DIR/auxv" 2>&1
	local addr
	addr=$(sed -n 's/^25 .* \(0x[0-9a-f]*\)$/\1/p' "$DIR/auxv")
	[ -n "$addr" ]
	[ "$(gdb -nx -batch -ex "x/2gx $addr" "$BUILD/targets/gap-probe" "$CORE" 2>&1 | tail -n 1 |
		grep -o '0x[0-9a-f]*' | tail -n 2)" = \
		"$(dd if="/proc/$PID/mem" bs=1 skip=$((addr)) count=16 iflag=skip_bytes status=none |
			od -An -v -tx8 | tr -s ' ' '\n' | sed '/^$/d;s/^/0x/')" ]
}

@test "--stacks: what it says beforehand, and what it excludes" {
	target_start gap-probe 16
	snapctl dump --stacks --all "$PID"
	expect $EX_USAGE
	snapctl dump --stacks --filter 3 "$PID"
	expect $EX_USAGE
	snapctl dump --stacks --with-binaries "$PID"
	expect $EX_USAGE
	snapctl dump --stacks -n --json "$PID"
	expect 0
	field '.classes[] | select(.class == "not needed for stacks") | .data_bytes > 15000000' >/dev/null
	(($(field .bytes_on_disk) < 2 << 20)) || fail "$output"
	unharmed
}
