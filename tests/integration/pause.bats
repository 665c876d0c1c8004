#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Memory that is copied in advance: the core is one instant, and nothing stays behind.
#
# PROCSNAP_KILLS is the number of rounds of each kind that end the worker somewhere (default 20).

load common
load pause

ROUNDS=${PROCSNAP_KILLS:-20}

export MODE=precopy

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
	all_ways_to_write
}

@test "invariant: through the daemon" {
	through_the_daemon
}

@test "writers of all speeds" {
	writers_of_all_speeds
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
	all_but_secret '' written_holes
}

# ---- what forbids it -------------------------------------------------------------------------------

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
}

@test "io_uring" {
	target_start veto uring
	refuses io_uring
}

@test "a userfaultfd of its own, which goes on to work" {
	target_start veto uffd
	refuses "userfaultfd itself"
}

@test "a filter that kills for userfaultfd()" {
	target_start seccomp
	refuses "seccomp" unforeseen
	unharmed
}

@test "a filter that refuses userfaultfd(), as that of containers" {
	need_root
	target_start veto errno
	remember
	local i
	for i in 1 2 3; do
		dump_so
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

@test "SIGKILL of the worker before each request: the process goes on, and the next dump works" {
	killed_before_each_request 1 veto none
}

@test "the same with system calls that do not stand still" {
	killed_before_each_request 3 invariant 4 8192
}

@test "bytes of a thunk that were left do not keep the next dump from its work" {
	[ -z "${ASAN_OPTIONS-}" ] || skip "nothing can be preloaded"
	target_start veto none
	remember
	local n left=0 sum clean=$VDSO
	for ((n = 1; n <= 60 && left < 8; n++)); do
		rm -f "$DIR/stepped"
		step $n kill
		stepped || break
		sum=$(vdso_sum)
		[ "$sum" = "$VDSO" ] || left=$((left + 1))
		VDSO=$sum
	done
	((left > 0))
	VDSO=$clean
	dump_so
	verify_content
	as_before
	unharmed
}

@test "bytes of a thunk that were left go with a dump of any kind" {
	target_start veto none
	remember
	leave_thunk kill
	snapctl dump --mode=copy -o "$CORE" "$PID"
	expect 0
	as_before
	unharmed
}

@test "bytes of a thunk that were left go when the daemon starts" {
	load ../tools/daemon
	target_start veto none
	remember
	leave_thunk kill
	daemon_start
	wait_for log_has "code that a killed worker has left behind the vDSO of process $PID (veto) was erased"
	wait_for no_workers
	as_before
	unharmed
	# A process that has been dumped since is one that nothing was left in.
	snapctl dump -f -o "$CORE" "$PID"
	expect 0
	daemon_stop
	: >"$DIR/log"
	daemon_again
	snapctl status
	wait_for no_workers
	no log_has "left"
	no log_has "$PID"
	daemon_stop
}

@test "bytes of a thunk that a handler of a signal returns to stay until it has" {
	target_start handler
	remember
	export PTRACE_TARGET=$PID
	leave_thunk 10
	target_quit
	target_start handler 5000
	remember
	export PTRACE_TARGET=$PID
	step $N 10
	unset PTRACE_TARGET
	dump --mode=copy
	expect 0
	[ "$(vdso_sum)" != "$VDSO" ]
	sleep 6
	dump --mode=copy
	as_before
	unharmed
}

@test "a signal with a handler before each request" {
	signalled_before_each_request
}

@test "SIGKILL of the worker at any time" {
	killed_at_any_time
}

@test "SIGSTOP of the worker in the middle: it ends itself" {
	stopped_before_requests 5 12 16 18
}

@test "several dumps of one process at once" {
	target_start veto none
	several_at_once 8
}
