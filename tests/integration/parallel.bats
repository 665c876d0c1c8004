#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Several dumps at the same time.

load common

# start_dump NUMBER PID [OPTION...]: in the background.
start_dump() {
	local number=$1 pid=$2
	shift 2
	"$SNAPCTL" dump -f -o "$OUT/core.$number" "$@" "$pid" >"$DIR/stdout.$number" \
		2>"$DIR/stderr.$number" 3>&- &
	JOBS[number]=$!
}

# The exit status of dump NUMBER, in $status.
end_dump() {
	status=0
	wait "${JOBS[$1]}" || status=$?
	output=$(cat "$DIR/stdout.$1") errors=$(cat "$DIR/stderr.$1")
}

# Only one can have the process; the other is told, and who lost does not disturb who won.
@test "two dumps of one process" {
	local name round good i
	for name in simple 'threads 200' 'gap-probe 64' zombie-leader; do
		# shellcheck disable=SC2086
		target_start $name
		for ((round = 0; round < 8; round++)); do
			good=0
			start_dump 1 "$PID"
			start_dump 2 "$PID"
			for i in 1 2; do
				end_dump $i
				case $status in
				0) good=$((good + 1)) && well_formed "$OUT/core.$i" ;;
				*)
					expect $EX_TRACED
					error_has "$PID" traced
					;;
				esac
			done
			((good > 0)) || fail "$name: nobody got it in round $round"
			assert_free "$PID"
		done
		target_ok
	done
	wait_for no_workers
}

@test "ten processes at once" {
	local names=(simple 'threads 100' churn signals zombie-leader 'gap-probe 64' memory invariant
		rseq eintr) i
	for i in "${names[@]}"; do
		# shellcheck disable=SC2086
		target_start $i
	done
	for ((i = 0; i < ${#names[@]}; i++)); do
		start_dump $i "${T_PID[i]}"
	done
	for ((i = 0; i < ${#names[@]}; i++)); do
		end_dump $i
		expect_dumped "$OUT/core.$i"
		well_formed "$OUT/core.$i"
	done
	for ((i = 0; i < ${#names[@]}; i++)); do
		target_use $i
		unharmed
	done
	wait_for no_workers
}

@test "the same file from two dumps: one of them, whole" {
	target_start simple
	local first=$PID i
	target_start threads 50
	for ((i = 0; i < 10; i++)); do
		"$SNAPCTL" dump -f -o "$CORE" "$first" >/dev/null 3>&- &
		JOBS[0]=$!
		"$SNAPCTL" dump -f -o "$CORE" "$PID" >/dev/null 3>&- &
		JOBS[1]=$!
		wait "${JOBS[0]}"
		wait "${JOBS[1]}"
		well_formed
		only_files core
	done
	# Without --force exactly one wins.
	local good=0 job
	rm "$CORE"
	"$SNAPCTL" dump -o "$CORE" "$first" >/dev/null 2>&1 3>&- &
	JOBS[0]=$!
	"$SNAPCTL" dump -o "$CORE" "$PID" >/dev/null 2>&1 3>&- &
	JOBS[1]=$!
	for job in 0 1; do
		! wait "${JOBS[job]}" || good=$((good + 1))
	done
	[ $good = 1 ]
	only_files core
	unharmed
}

@test "gdb has the process: exit status 6, and gdb is not disturbed" {
	need_command gdb
	target_start simple --no-spin
	mkfifo "$DIR/gdb"
	gdb -nx -q -p "$PID" <"$DIR/gdb" >"$DIR/said" 2>&1 3>&- &
	STARTED+=($!)
	local gdb=$! to
	exec {to}>"$DIR/gdb"
	echo 'print simple_int' >&$to
	wait_for grep -q '= 42' "$DIR/said"
	dump
	expect $EX_TRACED
	error_has "$gdb" "gdb"
	dump -n
	expect $EX_TRACED
	echo 'print simple_int + 1' >&$to
	wait_for grep -q '= 43' "$DIR/said"
	exec {to}>&-
	wait $gdb || true
	wait_free "$PID"
	dump
	expect 0
	only_files core
}

@test "a dump of snapctl while it dumps" {
	target_start gap-probe 256
	start_dump 1 "$PID"
	local pid=${JOBS[1]}
	snapctl dump -f -o "$CORE" "$pid"
	[ "$status" = 0 ] || [ "$status" = $EX_GONE ] || expect 0
	end_dump 1
	expect 0
	unharmed
}
