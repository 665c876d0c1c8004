#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Arm= in procsnap.conf: Go programs of units that match are armed by the daemon. The judge is the
# Go program: whether it leaves a core when it dies, and whether it works as before.
# shellcheck disable=SC2030,SC2031,SC2154 # each test is a process

load common
load ../tools/daemon
load ../tools/arm

UNIT=procsnaptest$$

# arming LINE...: a daemon with these lines in [Crash], and its folder of what is armed.
arming() {
	need_root
	export PROCSNAP_ARMED=$DIR/armed
	daemon_start '[Crash]' "$@"
}

# The log has this about process $PID.
told() {
	grep -F "process $PID " "$DIR/log" | grep -qF -- "$1"
}

times_told() {
	grep -cF "process $PID " "$DIR/log" || true
}

armed_by_hand() {
	snapctl arm --list --json
	expect 0
	jq -es "map(select(.pid == $PID)) | length == 1 and (.[0] | $1)" <<<"$output" >/dev/null ||
		fail "not so: $1" "$output" || return 1
}

status_counts() { # PATTERNS PROCESSES ARMED
	snapctl status --json
	[ "$(field '[.armPatterns, .armProcesses, .armArmed] | join(" ")')" = "$*" ]
}

@test "what runs already and what starts later is armed, and nothing else" {
	need_cores
	unit_make "$UNIT@a.service" sub
	unit_make "$UNIT-other.service"
	start 1.27 arm
	unit_enter "$UNIT@a.service"
	local before=$PID
	start 1.27 arm
	unit_enter "$UNIT-other.service"
	arming "Arm=$UNIT@*.service"
	start 1.19 arm-strip
	unit_enter "$UNIT@a.service/sub"
	wait_for told "is armed, go1.19"
	unharmed
	with_core panic
	target_use 0
	[ "$PID" = "$before" ]
	wait_for told "of $UNIT@a.service (Arm=$UNIT@*.service) is armed, go1.27"
	unharmed
	armed_by_hand '.state == "armed" and .pattern != null'
	[ "$(times_told)" = 1 ] || fail "$(cat "$DIR/log")" || return 1
	with_core nil
	target_use 1
	never told armed
	without_core panic
}

@test "status, --list, and disarming by hand, which counts for as long as the process lives" {
	unit_make "$UNIT.service"
	arming "Arm=nothing-$$ $UNIT" # without a suffix
	start 1.27 arm
	unit_enter "$UNIT.service"
	wait_for told "is armed"
	status_counts 2 1 1
	snapctl status
	[[ $output == *"Armed: 1 of 1 processes of units of Arm="* ]]
	snapctl arm --list
	[[ $output == *" armed "*" Arm=$UNIT.service"* ]] || fail "$output"
	armed_by_hand ".state == \"armed\" and .unit == \"$UNIT.service\""
	snapctl arm --json "$PID"
	[ "$(field .state)" = already-armed ]
	[ "$(word)" = 7 ]
	snapctl disarm --json "$PID"
	expect 0
	[ "$(field .state)" = disarmed ]
	status_counts 2 1 0
	# Another daemon does not know that it was armed, but sees that it was disarmed.
	daemon_stop
	: >"$DIR/log"
	daemon_again
	wait_for told "it was disarmed"
	status_counts 2 1 0
	snapctl arm -n --json "$PID"
	[ "$(word)" = 4 ]
	snapctl disarm "$PID"
	expect $EX_FAILED
	# By hand it can be armed, and a third daemon finds it so.
	snapctl arm "$PID"
	expect 0
	daemon_stop
	: >"$DIR/log"
	daemon_again
	wait_for told "is armed already"
	status_counts 2 1 1
	unharmed
}

@test "reload: patterns that come, and go; what is armed stays so" {
	unit_make "$UNIT.service"
	arming
	start 1.27 arm
	unit_enter "$UNIT.service"
	snapctl status --json
	[ "$(jq 'has("armPatterns")' <<<"$output")" = false ]
	daemon_config '[Crash]' "Arm=$UNIT.*"
	snapctl reload
	expect 0
	wait_for told "is armed"
	daemon_config '[Crash]' "Arm=$UNIT.*" Arm=
	snapctl reload
	expect 0
	snapctl status --json
	[ "$(jq 'has("armPatterns")' <<<"$output")" = false ]
	armed_by_hand '.state == "armed"'
	daemon_config '[Crash]' "Arm=a/b"
	snapctl reload
	expect $EX_USAGE
	error_has "Arm= takes names of units"
}

@test "a process that executes a Go program later is armed then; and what is no Go program is told once" {
	need_cores
	unit_make "$UNIT.service"
	arming "Arm=$UNIT"
	program 1.27 arm
	launch bash -c 'echo "ready $$"; read -r line; ulimit -c unlimited; exec "$0"' "$PROGRAM"
	IFS= read -r -t 120 line <&"${T_OUT[CURRENT]}"
	PID=${T_MAIN[CURRENT]}
	T_PID[CURRENT]=$PID
	unit_enter "$UNIT.service"
	wait_for told "is not armed: it runs no Go program"
	[ "$(times_told)" = 1 ] || fail "$(cat "$DIR/log")" || return 1
	printf 'go\n' >&"${T_IN[CURRENT]}"
	IFS= read -r -t 120 line <&"${T_OUT[CURRENT]}"
	[ "$line" = "ready $PID" ]
	wait_for told "is armed, go1.27"
	unharmed
	# And the one after that, with the same number.
	[ "$(target_cmd exec)" = "ready $PID" ]
	wait_for eval '[ "$(grep -cF "process $PID " "$DIR/log")" = 3 ]'
	with_core panic
}

@test "a program that sets the word itself is not armed again" {
	need_command jq
	unit_make "$UNIT.service"
	arming "Arm=$UNIT"
	start 1.27 arm
	unit_enter "$UNIT.service"
	wait_for told "is armed"
	[ "$(target_cmd "set system")" = ok ]
	armed_by_hand '.state == "changed"'
	# Another one is armed after that, so there was time for this one.
	start 1.27 arm
	unit_enter "$UNIT.service"
	wait_for told "is armed"
	target_use 0
	armed_by_hand '.state == "changed"'
	[ "$(times_told)" = 1 ]
}

@test "processes of other users, by a daemon that may not write to their files" {
	need_cores
	unit_make "$UNIT.service"
	arming "Arm=$UNIT"
	start_of_user 1.27 arm
	# CAP_DAC_OVERRIDE, without which root is anybody to /proc/PID/mem.
	((!(0x$(sed -n 's/^CapPrm:\t//p' "/proc/$DAEMON/status") & 2)))
	unit_enter "$UNIT.service"
	wait_for told "is armed, go1.27"
	unharmed
	with_core panic
}

@test "RLIMIT_CORE in the way is told" {
	plain_cores || skip "core_pattern cannot be set"
	unit_make "$UNIT.service"
	arming "Arm=$UNIT"
	start 1.27 arm
	prlimit --pid "$PID" --core=0:unlimited
	unit_enter "$UNIT.service"
	wait_for told "is armed, go1.27"
	told "but its limit on cores (RLIMIT_CORE) is 0"
}

@test "daemons and workers that are killed in the middle do no harm, and the next one arms it" {
	need_command jq
	unit_make "$UNIT.service"
	arming "Arm=$UNIT"
	start 1.27 arm-strip
	snapctl arm -n --json "$PID"
	local found=$output i value
	for ((i = 0; i < ${PROCSNAP_KILLS:-3}; i++)); do
		unit_enter "$UNIT.service"
		# Just when the job begins, or a little later; on a busy machine it may have ended.
		until [ -n "$(children_of_daemon)" ] || [ -e "$DIR/armed/$PID" ]; do :; done
		sleep "0.0$((RANDOM % 3))$((RANDOM % 10))"
		kill -KILL "$DAEMON"
		wait "$DAEMON" || true
		wait_for no_workers
		output=$found
		value=$(word)
		[ "$value" = 4 ] || [ "$value" = 7 ] || fail "the word is $value" || return 1
		[ "$value" = 4 ] || [ -e "$DIR/armed/$PID" ] || fail "armed without a record" || return 1
		"$SNAPCTL" disarm "$PID" >/dev/null 2>&1 || true
		rm -f "$DIR/armed/$PID"
		[ "$(word)" = 4 ]
		daemon_again
	done
	wait_for told "is armed"
	unharmed
}
