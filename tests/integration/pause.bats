#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Memory that is copied in advance: the core is one instant, and nothing stays behind.
#
# PROCSNAP_KILLS is the number of rounds of each kind that end the worker somewhere (default 20).

load common
load pause

ROUNDS=${PROCSNAP_KILLS:-20}

export MODE=precopy

# dump_ahead [OPTION...]: of the current target, in advance; the core is $CORE, whole.
dump_ahead() {
	dump --json --mode=precopy "$@"
	[ "$status" = 0 ] || [[ $errors != *"cannot follow writes"* ]] || skip "$errors"
	expect 0
	field '.mode == "precopy" and .lost_bytes == 0' >/dev/null
}

# rounds N [OPTION...]: N good dumps in advance.
rounds() {
	local n=$1 i
	shift
	for ((i = 0; i < n; i++)); do
		dump_ahead "$@"
		well_formed
		[ "$(note mode)" = precopy ]
		right_content
	done
	only_files core
	unharmed
}

# ---- one instant -------------------------------------------------------------------------------

@test "invariant: the core is one instant" {
	local args
	for args in '1 2' '4 4096' '16 20000'; do
		# shellcheck disable=SC2086
		target_start invariant $args
		rounds 4
		PROCSNAP_MASK=written_holes rounds 2
		target_quit
	done
}

@test "invariant: all ways to write a core" {
	target_start invariant 4 8192
	rounds 1 --keep-partial
	rounds 1 --with-binaries
	rounds 1 --all
	rounds 1 --max-pause=10s
	local mask
	for mask in process_vm_readv map_files; do
		PROCSNAP_MASK=$mask rounds 1
	done
	dump_ahead -z
	zstd -qdf -o "$CORE.raw" "$CORE"
	mv "$CORE.raw" "$CORE"
	right_content
	status=0
	"$SNAPCTL" dump --mode=precopy -o - "$PID" 2>"$DIR/stderr" | cat >"$CORE" || status=$?
	expect 0
	[ "$(note mode)" = precopy ]
	right_content
	unharmed
	target_quit
}

@test "invariant: through the daemon" {
	load ../tools/daemon
	daemon_start
	target_start invariant 4 8192
	local i
	for i in 1 2 3; do
		snapctl dump --mode=precopy --json -f -o "$CORE" "$PID"
		expect 0
		field '.mode == "precopy"' >/dev/null
		right_content
		unharmed
	done
	daemon_stop
}

@test "writers of all speeds" {
	local rate
	for rate in 0 1000 50000 1000000; do
		target_start gap-probe 64 --write $rate --fill random
		remember
		dump_ahead
		# Word 0 of each page is the writer's.
		well_formed
		dump_ahead
		as_before
		unharmed
		target_quit
	done
}

@test "memory that is mapped, moved, discarded and protected all the time" {
	local mask
	target_start remap
	rounds 10
	PROCSNAP_MASK=written_holes rounds 5
	target_quit
}

@test "the same at full speed, in little memory" {
	target_start remap --us 0 --pages 1024 --ballast 8
	rounds 10
	PROCSNAP_MASK=written_holes rounds 5
	target_quit
}

@test "the same with huge pages" {
	target_start remap --huge
	rounds 6
	PROCSNAP_MASK=written_holes rounds 6
	target_quit
}

@test "each kind of memory" {
	target_start memory no-uring
	local mask lost
	for mask in '' written_holes; do
		PROCSNAP_MASK=$mask dump --json --mode=precopy --all
		field '.mode == "precopy"' >/dev/null
		# Nobody can read what is secret.
		lost=0
		! has_key secret || lost=$(key secret | cut -d: -f2)
		field ".lost_bytes == $lost" >/dev/null
		well_formed
		verify_content secret
	done
	unharmed
}

# ---- what forbids it -------------------------------------------------------------------------------

# refuses WHY [STATUS]: in advance only, that is; nothing happens to the target.
refuses() {
	remember
	dump --mode=precopy
	expect "${2-$EX_FAILED}"
	error_has "$PID" "$1"
	only_files
	as_before
	! has_key mem || unharmed
}

# falls_back: without being told how, it is copied while it stands still.
falls_back() {
	PROCSNAP_MASK=${PROCSNAP_MASK:+$PROCSNAP_MASK,}copy dump --json
	expect 0
	field '.mode == "copy" or .mode == "fork"' >/dev/null
	verify_content
	rm "$CORE"
	as_before
	unharmed
}

@test "nothing forbids it: auto, and by force" {
	target_start veto none
	dump --json
	expect 0
	verify_content
	PROCSNAP_MASK=copy dump --json
	expect 0
	field '.mode == "precopy"' >/dev/null
	verify_content
	dump --json --mode=copy
	field '.mode == "copy"' >/dev/null
	unharmed
}

@test "a file open for direct I/O" {
	target_start veto direct
	refuses "direct I/O"
	falls_back
}

@test "io_uring" {
	target_start veto uring
	refuses io_uring
	falls_back
}

@test "a userfaultfd of its own, which goes on to work" {
	target_start veto uffd
	refuses "userfaultfd itself"
	falls_back
}

@test "a filter that kills for userfaultfd()" {
	target_start seccomp
	refuses "seccomp"
	PROCSNAP_MASK=copy dump --json
	expect 0
	field '.mode == "copy"' >/dev/null
	unharmed
}

@test "a filter that refuses userfaultfd(), as that of containers" {
	need_root
	target_start veto errno
	remember
	local i
	for i in 1 2 3; do
		dump_ahead
		verify_content
		as_before
	done
	unharmed
}

@test "32 bits" {
	target_start simple-32
	remember
	dump --mode=precopy
	expect $EX_FAILED
	error_has "$PID" "in advance"
	as_before
	PROCSNAP_MASK=copy dump --json
	expect 0
	unharmed
}

@test "one that is traced already" {
	target_start traced
	dump --mode=precopy
	expect $EX_TRACED
	target_ok
}

@test "one that is stopped" {
	target_start veto none
	stopped() { grep -q '^State:.T' "/proc/$PID/status"; }
	kill -STOP "$PID"
	wait_for stopped
	dump --mode=precopy
	expect $EX_FAILED
	error_has "it is stopped"
	PROCSNAP_MASK=copy dump --json
	expect 0
	field '.mode == "copy"' >/dev/null
	stopped
	kill -CONT "$PID"
	target_ok
}

@test "a kernel without" {
	target_start veto none
	local feature
	for feature in userfaultfd pagemap_scan; do
		PROCSNAP_MASK=$feature refuses "cannot follow writes"
		PROCSNAP_MASK=$feature falls_back
	done
}

@test "no descriptor left in the process" {
	target_start veto none
	local n=0 limit
	limit=$(prlimit --pid "$PID" --nofile --noheadings --output SOFT,HARD | tr -s ' ' :)
	while [ -e "/proc/$PID/fd/$n" ]; do
		n=$((n + 1))
	done
	prlimit --pid "$PID" --nofile="$n:"
	dump --mode=precopy
	expect $EX_FAILED
	error_has "no descriptor left"
	PROCSNAP_MASK=copy dump --json
	field '.mode == "copy"' >/dev/null
	prlimit --pid "$PID" --nofile="${limit#:}"
	unharmed
}

# ---- what comes in between ------------------------------------------------------------------------

# Whatever was left in the vDSO, the next dump is good.
killed_well() {
	as_before thunk
	rm -f "$CORE"
	dump_ahead
	as_before thunk
	answer=$(target_cmd check)
	unharmed_but_thunk "$answer"
}

@test "SIGKILL of the worker before each request: the process goes on, and the next dump works" {
	[ -z "${ASAN_OPTIONS-}" ] || skip "nothing can be preloaded"
	target_start veto none
	remember
	each_step kill killed_well
	dump_ahead
	verify_content
	as_before thunk
}

@test "the same with system calls that do not stand still" {
	[ -z "${ASAN_OPTIONS-}" ] || skip "nothing can be preloaded"
	target_start invariant 4 8192
	remember
	each_step kill killed_well 3
	dump_ahead
	right_content
	as_before thunk
}

@test "bytes of a thunk that were left do not keep the next dump from its work" {
	[ -z "${ASAN_OPTIONS-}" ] || skip "nothing can be preloaded"
	target_start veto none
	remember
	local n left=0 sum
	for ((n = 1; n <= 60 && left < 8; n++)); do
		rm -f "$DIR/stepped"
		step $n kill
		stepped || break
		sum=$(vdso_sum)
		[ "$sum" = "$VDSO" ] || left=$((left + 1))
		VDSO=$sum
	done
	((left > 0))
	dump_ahead
	verify_content
	as_before thunk
}

@test "a signal with a handler before each request" {
	[ -z "${ASAN_OPTIONS-}" ] || skip "nothing can be preloaded"
	target_start handler
	remember
	each_step 10 signalled_well
	dump_ahead
	as_before thunk
}

@test "SIGKILL of the worker at any time" {
	local max i names=('veto none' 'invariant 4 4096' 'remap --pages 1024 --ballast 8' signals) name
	for name in "${names[@]}"; do
		# shellcheck disable=SC2086
		target_start $name
		dump_ahead
		max=$(($(field .wall_ns) / 800))
		for ((i = 0; i < ROUNDS; i++)); do
			"$TOOLS/disturb" --worker KILL --random-us "$max" -- \
				"$SNAPCTL" dump --mode=precopy -f -o "$CORE" "$PID" \
				>"$DIR/round" 2>&1 || true
			rm -f "$CORE"
			wait_free "$PID"
		done
		target_ok_but_eintr
		dump_ahead
		right_content
		[ "$(grep -cE '^VmFlags:.* u[mw]\b' "/proc/$PID/smaps")" = 0 ]
	done
	wait_for no_workers
}

@test "SIGSTOP of the worker in the middle: it ends itself" {
	[ -z "${ASAN_OPTIONS-}" ] || skip "nothing can be preloaded"
	target_start veto none
	remember
	local n
	for n in 5 12 16 18; do
		rm -f "$DIR/stepped"
		step $n stop
		stepped
		as_before thunk
		unharmed_but_thunk "$(target_cmd check)"
		rm -f "$CORE"
	done
	dump_ahead
	as_before thunk
}

@test "two dumps of one process at once" {
	target_start veto none
	remember
	local i k pids good=0
	for ((i = 0; i < 8; i++)); do
		pids=()
		for k in 1 2 3; do
			"$SNAPCTL" dump --mode=precopy --json -f -o "$DIR/core.$k" "$PID" \
				>"$DIR/json.$k" 2>"$DIR/err.$k" 3>&- &
			pids+=($!)
		done
		for k in 1 2 3; do
			status=0
			wait "${pids[k - 1]}" || status=$?
			errors=$(cat "$DIR/err.$k")
			[[ $status =~ ^[016]$ ]] || expect 0
			if [ "$status" = 0 ]; then
				CORE=$DIR/core.$k verify_content
				good=$((good + 1))
			fi
		done
		as_before
		unharmed
	done
	echo "$good of 24 were good"
	((good > 0))
	dump_ahead
}
