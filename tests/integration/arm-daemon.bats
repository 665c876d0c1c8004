#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# snapctl arm and disarm through the daemon: who may, what is kept, and that it is the same as
# without it.
# shellcheck disable=SC2030,SC2031,SC2154 # each test is a process

load common
load ../tools/daemon
load ../tools/arm

arming() {
	need_root
	export PROCSNAP_ARMED=$DIR/armed
	daemon_start "$@"
}

armed_folder_is_empty() {
	[ -z "$(ls "$DIR/armed")" ] || fail "in the folder:" "$(ls "$DIR/armed")" || return 1
}

@test "root: the same as without the daemon, which does it" {
	need_cores
	arming
	start 1.27 arm
	snapctl arm --dry-run --json "$PID"
	expect 0
	[ "$(field .state)" = can-be-armed ]
	[ "$(word)" = 4 ]
	armed_folder_is_empty
	snapctl arm --json "$PID"
	expect 0
	[ "$(field '[.state, .before, .value] | join(" ")')" = "armed 4 7" ]
	[ "$(word)" = 7 ]
	log_has "has armed process $PID"
	snapctl arm --list --json
	[ "$(field '[.pid, .state, .uid] | join(" ")')" = "$PID armed " ]
	snapctl arm --json "$PID"
	[ "$(field .state)" = already-armed ]
	unharmed
	ask Disarm "{\"pid\":$PID}"
	answered '.state == "disarmed" and .result.value == 4'
	[ "$(word)" = 4 ]
	ask Disarm "{\"pid\":$PID}"
	answered '.state == "not-armed"'
	snapctl disarm "$PID"
	expect $EX_FAILED
	error_has "$PID" "was not armed"
	snapctl arm -q "$PID"
	expect 0
	unharmed
	with_core panic
	daemon_idle
}

@test "--direct goes around the daemon, and what was armed so is found by both" {
	arming
	start 1.27 arm
	snapctl arm --direct "$PID"
	expect 0
	never grep -q "process $PID" "$DIR/log"
	ask Arm "{\"pid\":$PID}"
	answered '.state == "already-armed"'
	ask ListArmed '{}'
	answered ".entries | map(.pid) == [$PID]"
	snapctl disarm --direct "$PID"
	expect 0
	[ "$(snapctl arm --direct -n --json "$PID" && field .state)" = can-be-armed ]
	ask ListArmed '{}'
	answered '.entries == []'
}

@test "a user: his own processes, and no others; without a folder of his own" {
	need_cores
	arming
	start 1.27 arm
	local root=$PID
	snapctl arm "$root"
	expect 0
	start_of_user 1.27 arm
	chmod 711 "$DIR"
	user_snapctl arm --json "$PID"
	expect 0
	[ "$(field .state)" = armed ]
	[ "$(word)" = 7 ]
	user_snapctl arm --list --json
	expect 0
	[ "$(field '[.pid, .state] | join(" ")')" = "$PID armed" ]
	snapctl arm --list
	[[ $output == *" user $DAEMON_USER"* ]] || fail "$output"
	user_snapctl disarm --json "$PID"
	expect 0
	[ "$(word)" = 4 ]
	user_snapctl arm "$PID"
	expect 0
	unharmed
	with_core panic

	target_use 0
	local what
	for what in "arm -n" arm disarm; do
		# shellcheck disable=SC2086 # words
		user_snapctl $what "$root"
		expect $EX_DENIED
		error_has "$root"
	done
	user_snapctl arm --list --json
	expect 0
	[ -z "$output" ]
	snapctl arm --list --json
	[ "$(field .state)" = armed ]
	unharmed
	log_has "user $DAEMON_USER"
}

@test "what a user has armed without the daemon is his to disarm, in his own folder" {
	arming
	start_of_user 1.27 arm
	mkdir "$DIR/his"
	chown $DAEMON_USER "$DIR/his"
	chmod 711 "$DIR"
	PROCSNAP_ARMED=$DIR/his/armed user_snapctl arm --direct "$PID"
	expect 0
	ask ListArmed '{}'
	answered '.entries == []'
	PROCSNAP_ARMED=$DIR/his/armed user_snapctl arm --list --json
	[ "$(field .state)" = armed ]
	PROCSNAP_ARMED=$DIR/his/armed user_snapctl disarm "$PID"
	expect 0
	never grep -q "disarm process $PID" "$DIR/log"
	unharmed
}

@test "a unit through the daemon: all its Go programs, and no others" {
	need_command jq
	arming
	unit_make "procsnaptest$$.service" sub
	start 1.27 arm
	unit_enter "procsnaptest$$.service"
	local first=$PID
	target_start simple
	unit_enter "procsnaptest$$.service/sub"
	snapctl arm --json "procsnaptest$$"
	expect 0
	[ "$(jq -r '"\(.pid) \(.state)"' <<<"$output" | sort)" = \
		"$(printf '%s\n' "$first armed" "$PID skipped" | sort)" ]
	snapctl disarm --json "procsnaptest$$"
	expect 0
	[ "$(jq -r '"\(.pid) \(.state)"' <<<"$output" | sort)" = \
		"$(printf '%s\n' "$first disarmed" "$PID not-armed" | sort)" ]
	snapctl disarm "procsnaptest$$"
	expect $EX_FAILED
}

@test "calls that make no sense, processes that are not there, and one that somebody else works on" {
	need_command python3
	arming
	start 1.27 arm
	ask Arm '{}'
	refused InvalidRequest "'pid' is missing"
	ask Arm "{\"pid\":$PID,\"value\":7}"
	refused InvalidRequest "knows no parameter 'value'"
	ask Disarm "{\"pid\":$PID,\"dryRun\":true}"
	refused InvalidRequest "knows no parameter 'dryRun'"
	ask Arm '{"pid":0}'
	refused NoSuchProcess
	ask Arm "{\"pid\":$PID,\"pidFileDescriptor\":7}"
	refused InvalidRequest 'no pidfd'
	ask Arm "{\"pid\":$DAEMON}"
	answered '.state == "skipped" and (.result.refused | contains("no Go program"))'
	armed_folder_is_empty
	# Whoever it is that holds the lock: the daemon waits for nobody.
	: >"$DIR/armed/.lock"
	python3 - "$DIR/armed/.lock" "$PID" >"$DIR/locked" <<-'END' &
		import fcntl, struct, sys, time
		with open(sys.argv[1], "r+") as file:
		    lock = struct.pack("hhqqi", fcntl.F_WRLCK, 0, int(sys.argv[2]), 1, 0)
		    fcntl.fcntl(file, 37, lock)  # F_OFD_SETLK
		    print("locked", flush=True)
		    time.sleep(1000)
	END
	local holder=$!
	STARTED+=("$holder")
	wait_for grep -q locked "$DIR/locked"
	ask Arm "{\"pid\":$PID}"
	refused Failed "somebody else"
	kill -KILL $holder
	wait $holder || true
	ask Arm "{\"pid\":$PID}"
	answered '.state == "armed"'
	unharmed
}
