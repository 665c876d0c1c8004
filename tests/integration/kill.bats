#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Whatever happens to snapctl and its worker, the process that they dump lives on as it was.
#
# PROCSNAP_KILLS is the number of rounds of each kind (default 20; 1000 for a long run).

load common
load kill

ROUNDS=${PROCSNAP_KILLS:-20}

# rounds N KIND SIGNAL: disturb's --KIND SIGNAL at random instants of a dump.
rounds() {
	local n=$1 kind=$2 signal=$3 i max during=0 after=0
	max=$(dump_time_us)
	for ((i = 0; i < n; i++)); do
		disturbed_dump "--$kind" "$signal" --random-us "$max" || fail "round $i: $(cat "$DIR/round")"
		case $RESULT in
		*sent=0*) after=$((after + 1)) ;;
		*) during=$((during + 1)) ;;
		esac
	done
	echo "$kind $signal: $during during the dump, $after after it"
	wait_for no_workers
}

# kill_all TARGET...: worker and snapctl are killed at random instants.
kill_all() {
	local kind
	target_start "$@"
	[ "${DUMP_MODE-}" != precopy ] || follows_writes || skip "$errors"
	for kind in worker self; do
		rounds "$ROUNDS" $kind KILL
		dump_undisturbed
		THUNKS=0
		target_ok_but_eintr
		[ $THUNKS = 0 ] || fail "code of ours is left after the next dump"
	done
	LEAKS=0
	target_ok_but_eintr
	[ $LEAKS = 0 ] || fail "a call returned EINTR later"
}

@test "SIGKILL: simple" {
	kill_all simple
}

@test "SIGKILL: simple, 32 bits" {
	kill_all simple-32
}

@test "SIGKILL: 200 threads" {
	kill_all threads 200
}

@test "SIGKILL: signals that fly about" {
	kill_all signals
}

@test "SIGKILL: threads that come and go" {
	kill_all churn
}

@test "SIGKILL: restartable sequences" {
	kill_all rseq
}

@test "SIGKILL: 64 MiB and a writer" {
	kill_all gap-probe 64 --write 10000
}

@test "SIGKILL: 64 MiB and a writer, copied in advance" {
	DUMP_MODE=precopy kill_all gap-probe 64 --write 10000
}

@test "SIGKILL: 200 threads, copied in advance" {
	DUMP_MODE=precopy kill_all threads 200
}

@test "SIGKILL: 64 MiB and a writer, with a child" {
	DUMP_MODE=fork kill_all gap-probe 64 --write 10000
}

@test "SIGKILL: 200 threads, with a child" {
	DUMP_MODE=fork kill_all threads 200
}

@test "SIGKILL: signals that fly about, with a child" {
	DUMP_MODE=fork kill_all signals
}

@test "SIGKILL: a program that execs all the time" {
	kill_all exec-storm 2
}

@test "SIGKILL: a Go server" {
	kill_all gohttp
}

@test "SIGKILL: 70 blocked calls; EINTR is counted, anything else is a failure" {
	target_start eintr
	local i max
	max=$(dump_time_us)
	for ((i = 0; i < ROUNDS; i++)); do
		disturbed_dump --worker KILL --random-us "$max" || fail "round $i: $(cat "$DIR/round")"
		target_ok_but_eintr
	done
	echo "# ${LEAKS:-0} of $ROUNDS rounds had a call that returned EINTR" >&3
}

# ---- a worker that does not go on --------------------------------------------------------------

# Stopped workers wait for their dead-man timer, so all targets go at the same time.
@test "SIGSTOP of the worker: it ends itself, and the process goes on" {
	local names=(simple 'threads 200' signals churn 'gap-probe 128' rseq) name i jobs=() round frozen=0
	for name in "${names[@]}"; do
		# shellcheck disable=SC2086
		target_start $name
	done
	# Until one was stopped while it held its target; mostly that is so after one round.
	for ((round = 0; round < 3 || (frozen == 0 && round < 20); round++)); do
		jobs=()
		for ((i = 0; i < ${#names[@]}; i++)); do
			target_use $i
			mkdir -p "$DIR/out.$i.d"
			"$TOOLS/disturb" --worker STOP --when-frozen "$PID" --random-us 3000 -- \
				"$SNAPCTL" dump -f -o "$DIR/out.$i.d/core" "$PID" >"$DIR/round.$i" 2>&1 3>&- &
			jobs+=($!)
		done
		for ((i = 0; i < ${#names[@]}; i++)); do
			status=0
			wait "${jobs[i]}" || status=$?
			target_use $i
			# 99: it was stopped when it held nobody any more, and so may stay for ever.
			[[ $status =~ ^(0|1|99)$ ]] || fail "${names[i]}: $(cat "$DIR/round.$i")"
			wait_free "$PID"
			! grep -q 'frozen=1' "$DIR/round.$i" || frozen=$((frozen + 1))
			rm -f "$DIR/out.$i.d/core"
			[ -z "$(ls -A "$DIR/out.$i.d")" ]
			target_ok_but_eintr
		done
	done
	[ "$frozen" -gt 0 ]
	wait_for no_workers
}

@test "SIGSTOP of a worker that holds the process: the dead-man timer kills it" {
	target_start gap-probe 256
	local i
	for ((i = 0; i < 20; i++)); do
		status=0
		"$TOOLS/disturb" --worker STOP --when-frozen "$PID" -- \
			"$SNAPCTL" dump --mode=copy -o "$CORE" "$PID" >"$DIR/round" 2>"$DIR/stderr" || status=$?
		errors=$(cat "$DIR/stderr")
		! grep -q 'sent=1.*frozen=1' "$DIR/round" || break
		rm -f "$CORE"
	done
	expect $EX_FAILED
	error_has "$PID" "killed" "unharmed"
	only_files
	unharmed
	wait_for no_workers
}

@test "SIGSTOP and SIGCONT of snapctl: the dump is completed, and the process waits for nobody" {
	target_start gap-probe 64
	local i max
	max=$(dump_time_us)
	for ((i = 0; i < 10; i++)); do
		status=0
		"$TOOLS/disturb" --self STOP --random-us "$max" --resume -- \
			"$SNAPCTL" dump -f -o "$CORE" "$PID" >"$DIR/round" 2>"$DIR/stderr" || status=$?
		errors=$(cat "$DIR/stderr")
		expect 0
		well_formed
		assert_free "$PID"
	done
	unharmed
}

@test "snapctl that is stopped for good does not hold the process" {
	target_start gap-probe 64
	local pid
	"$SNAPCTL" dump -f -o "$CORE" "$PID" >/dev/null 2>&1 3>&- &
	pid=$!
	STARTED+=($pid)
	kill -STOP $pid
	# A worker that has its job ends with it, and meanwhile the memory of the process may be tracked;
	# one that has none yet waits for it.
	wait_for target_ok
	wait_free "$PID"
	target_ok
}

# ---- signals for the process -------------------------------------------------------------------

# A shell with a trap is a target of its own: it says "got" before it answers the next line.
@test "a signal that comes while the process is frozen is delivered, also when the worker is killed" {
	local i line caught=0 frozen
	# shellcheck disable=SC2016
	launch bash -c 'trap "echo got" USR1; mem=$(head -c 60000000 /dev/zero | tr "\0" x)
		echo ready $$; while :; do read -r line || [ $? -gt 128 ] || exit; echo "$line"; done'
	IFS= read -r -t 60 line <&"${T_OUT[CURRENT]}"
	PID=${line#ready }
	for ((i = 0; i < 40 && caught < 10; i++)); do
		"$TOOLS/disturb" --worker STOP --when-frozen "$PID" --then "$PID:USR1" \
			--then-worker KILL -- "$SNAPCTL" dump -f -o "$CORE" "$PID" \
			>"$DIR/round" 2>&1 || true
		grep -q sent=1 "$DIR/round" || continue
		frozen=$(grep -c frozen=1 "$DIR/round" || true)
		caught=$((caught + frozen))
		wait_free "$PID"
		printf 'line %d\n' "$i" >&"${T_IN[CURRENT]}"
		IFS= read -r -t 60 line <&"${T_OUT[CURRENT]}"
		[ "$line" = got ] || fail "round $i: '$line' instead of the signal"
		while [ "$line" != "line $i" ]; do
			IFS= read -r -t 60 line <&"${T_OUT[CURRENT]}"
		done
	done
	((caught > 0)) || fail "the process was never frozen when the signal came"
}

@test "SIGKILL of the process while it is frozen" {
	local i
	for ((i = 0; i < 10; i++)); do
		target_start threads 200
		status=0
		"$TOOLS/disturb" --kill-target KILL --when-frozen "$PID" --random-us 3000 -- \
			"$SNAPCTL" dump -f -o "$CORE" "$PID" >"$DIR/round" 2>&1 || status=$?
		[ "$status" = 0 ] || expect $EX_GONE
		rm -f "$CORE"
		only_files
		# On a busy machine the dump may be over before it was seen to be frozen.
		grep -q sent=1 "$DIR/round" || kill -KILL "$PID"
		wait_for gone "$PID"
	done
}

@test "SIGSTOP of the process while it is frozen takes effect afterwards" {
	target_start simple
	local i
	for ((i = 0; i < 20; i++)); do
		status=0
		"$TOOLS/disturb" --kill-target STOP --when-frozen "$PID" -- \
			"$SNAPCTL" dump -f -o "$CORE" "$PID" >"$DIR/round" 2>&1 || status=$?
		grep -q sent=1 "$DIR/round" || continue
		expect 0
		stopped() { grep -q '^State:.T' "/proc/$PID/status"; }
		wait_for stopped
		wait_free "$PID" stopped
		kill -CONT "$PID"
		wait_free "$PID"
		target_ok
	done
}

# ---- cancelling --------------------------------------------------------------------------------

@test "SIGINT, SIGTERM and SIGHUP: exit status 9, nothing left" {
	target_start gap-probe 256
	local signal i cancelled
	for signal in INT TERM HUP; do
		cancelled=0
		for ((i = 0; i < 10; i++)); do
			status=0
			"$TOOLS/disturb" --self $signal --when-frozen "$PID" --random-us 30000 -- \
				"$SNAPCTL" dump --mode=copy -f -o "$CORE" "$PID" >"$DIR/round" \
				2>"$DIR/stderr" || status=$?
			errors=$(cat "$DIR/stderr")
			assert_free "$PID"
			if [ "$status" = 0 ]; then
				rm "$CORE"
				continue
			fi
			expect $EX_CANCELLED
			error_has "$PID" "cancelled"
			only_files
			cancelled=$((cancelled + 1))
		done
		((cancelled > 0))
	done
	unharmed
	wait_for no_workers
}

@test "SIGINT with --keep-partial: a core that is marked" {
	target_start gap-probe 256
	local i
	for ((i = 0; i < 20; i++)); do
		status=0
		"$TOOLS/disturb" --self INT --when-frozen "$PID" --delay-us 20000 -- \
			"$SNAPCTL" dump --mode=copy --keep-partial -f -o "$CORE" "$PID" >"$DIR/round" \
			2>"$DIR/stderr" || status=$?
		errors=$(cat "$DIR/stderr") output=
		[ "$status" = 0 ] || break
	done
	expect $EX_PARTIAL
	[ "$(note partial)" = 1 ]
	"$CORECHECK" note "$CORE" | grep -q '^gap .* aborted$'
	well_formed
	only_files core
	unharmed
}

@test "SIGINT at the beginning: cancelled, also by a worker that knows nothing of it yet" {
	target_start simple
	local i cancelled=0
	for ((i = 0; i < 60; i++)); do
		status=0
		"$TOOLS/disturb" --self INT --random-us 5000 -- "$SNAPCTL" dump -f -o "$OUT/core" "$PID" \
			>"$DIR/round" 2>"$DIR/stderr" || status=$?
		# 130: snapctl did not know of it either; 0: it has come too late.
		[[ $status =~ ^(0|$EX_CANCELLED|130)$ ]] || fail "$status: $(cat "$DIR/stderr")"
		[ "$status" != $EX_CANCELLED ] || cancelled=$((cancelled + 1))
		assert_free "$PID"
		[ "$status" != 0 ] || rm "$OUT/core"
		only_files
	done
	((cancelled > 0))
	unharmed
	wait_for no_workers
}

@test "SIGINT while memory is copied in advance: exit status 9, nothing left" {
	target_start gap-probe 512
	local i cancelled=0
	for ((i = 0; i < 10; i++)); do
		status=0
		"$TOOLS/disturb" --self INT --random-us 300000 -- \
			"$SNAPCTL" dump --mode=precopy -f -o "$OUT/" "$PID" "$PID" >"$DIR/round" \
			2>"$DIR/stderr" || status=$?
		errors=$(cat "$DIR/stderr")
		[ "$status" != 130 ] || continue # snapctl had hardly begun
		expect $EX_CANCELLED # after the first one, if not before
		error_has "cancelled"
		[ -e "$OUT/core.$PID" ] || cancelled=$((cancelled + 1))
		assert_free "$PID"
		rm -f "$OUT/core.$PID"
		only_files
	done
	((cancelled > 0))
	unharmed
	wait_for no_workers
}

@test "a second process is not begun after SIGINT" {
	target_start gap-probe 256
	local first=$PID
	target_start simple
	local i
	for ((i = 0; i < 10; i++)); do
		status=0
		"$TOOLS/disturb" --self INT --when-frozen "$first" --delay-us 1000 -- \
			"$SNAPCTL" dump --mode=copy -f -o "$OUT/" "$first" "$PID" >"$DIR/round" 2>&1 || status=$?
		[ "$status" = 0 ] || break
		rm -f "$OUT"/*
	done
	expect $EX_CANCELLED
	only_files
	unharmed
}

@test "SIGINT from the terminal reaches the worker through snapctl only" {
	target_start gap-probe 256
	# The worker has a session of its own.
	"$SNAPCTL" dump -f -o "$CORE" "$PID" >/dev/null 2>&1 3>&- &
	local pid=$! worker=
	STARTED+=($pid)
	has_worker() {
		worker=$(cat "/proc/$pid/task/$pid/children")
		[ -n "${worker// /}" ]
	}
	wait_for has_worker
	worker=${worker// /}
	own_session() { [ "$(awk '{ print $6 }' "/proc/$worker/stat")" = "$worker" ] || gone "$worker"; }
	wait_for own_session
	wait $pid
	unharmed
}
