#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# snapctl wait, and programs that run after each record. Live dumps stand for crashes here: what is
# told, and to whom, does not depend on the kind.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154 # other shells expand; each test is a process

load common
load ../tools/daemon

# waiter NAME [OPTION...]: waits in the background, with its output in $DIR/NAME.
waiter() {
	local name=$1
	shift
	"$SNAPCTL" wait --json "$@" >"$DIR/$name" 2>"$DIR/$name.err" 3>&- &
	WAITER=$!
	STARTED+=("$WAITER")
}

# Do that many connections wait? One more is the one that asks.
connections_are() {
	ask Status '{}'
	[ "$(jq .parameters.connections <<<"$reply")" = $(($1 + 1)) ]
}

# Waits for WAITER: its status is that.
waiter_ends() {
	local end=0
	wait "$WAITER" || end=$?
	[ "$end" = "$1" ] || fail "snapctl wait ended with $end"
}

@test "wait prints the next dump that fits, and only that" {
	daemon_start
	target_start simple
	snapctl dump --store -q "$PID"
	waiter one --kind live --comm 'sim*'
	wait_for connections_are 1
	# Neither of these is it.
	sleep 300 3>&- &
	STARTED+=($!)
	snapctl dump --store -q $!
	wait_for connections_are 1
	[ ! -s "$DIR/one" ]
	snapctl dump --store --json "$PID"
	local id
	id=$(field .id)
	waiter_ends 0
	[ "$(jq -r .id "$DIR/one")" = "$id" ]
	[ "$(jq -r .kind "$DIR/one")" = live ]
	[ -f "$(jq -r .file "$DIR/one")" ]
	[ "$(wc -l <"$DIR/one")" = 1 ]
}

@test "wait waits for crashes unless it is told otherwise, and no longer than --timeout" {
	daemon_start
	target_start simple
	waiter crash
	wait_for connections_are 1
	local crash=$WAITER
	waiter any --kind any
	wait_for connections_are 2
	snapctl dump --store -q "$PID"
	waiter_ends 0
	[ -s "$DIR/any" ]
	! gone "$crash" || fail "a live dump is no crash"
	snapctl wait --timeout 200ms
	expect 9
	[ -z "$output" ]
	[[ $errors == *'nothing came in time'* ]]
	snapctl wait --timeout 0
	expect 2
	snapctl wait --kind nothing
	expect 2
	snapctl wait --pid x
	expect 2
	snapctl wait 1
	expect 2
}

@test "users wait for what is theirs" {
	daemon_start
	user_target simple
	local his=$PID
	target_start simple
	as_user "$SNAPCTL" wait --json --kind any >"$DIR/his" 2>&1 3>&- &
	WAITER=$!
	STARTED+=("$WAITER")
	wait_for connections_are 1
	snapctl dump --store -q "$PID"
	wait_for connections_are 1
	[ ! -s "$DIR/his" ]
	user_snapctl dump --store --json "$his"
	expect 0
	waiter_ends 0
	[ "$(jq -r .id "$DIR/his")" = "$(field .id)" ]
}

@test "nothing is lost between two calls of Wait" {
	daemon_start
	target_start simple
	ask Wait '{}'
	answered '.entries == []'
	local first second
	first=$(jq -r .parameters.position <<<"$reply")
	snapctl dump --store -q "$PID"
	snapctl dump --store -q "$PID"
	ask Wait "{\"position\":\"$first\"}"
	answered '.entries | length == 2'
	second=$(jq -r .parameters.position <<<"$reply")
	[ "$first" != "$second" ]
	# From another daemon, and from the future.
	ask Wait '{"position":"0000000000000000.7"}'
	answered '.entries | length == 2'
	ask Wait "{\"position\":\"${first%.*}.99\"}"
	answered '.entries | length == 2'
	local wrong
	for wrong in '"x"' '""' '"0000000000000000."' '"0000000000000000.-1"' 7 '"0000000000000000.99999999999999999999"'; do
		ask Wait "{\"position\":$wrong}"
		refused io.procsnap.InvalidRequest
	done
}

@test "those who wait go with the daemon, and come back with it" {
	daemon_start
	target_start simple
	waiter patient --kind live
	wait_for connections_are 1
	daemon_stop
	daemon_again
	wait_for connections_are 1
	snapctl dump --store -q "$PID"
	waiter_ends 0
	[ -s "$DIR/patient" ]
	# One that is killed leaves nothing.
	waiter killed
	wait_for connections_are 1
	kill -KILL "$WAITER"
	wait_for connections_are 0
	snapctl dump --store -q "$PID"
	daemon_lives
}
