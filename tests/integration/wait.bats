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

# ---- OnDump= ---------------------------------------------------------------------------------

# hook LINE...: a shell script that the daemon runs, as a user who may write to $OUT.
hook() {
	printf '%s\n' '#!/bin/sh' "$@" >"$DIR/hook"
	chmod 755 "$DIR/hook"
}

# The log has that line by now.
logged() {
	grep -q -- "$1" "$DIR/log"
}

@test "OnDump= runs after each record, as somebody without privileges, with a clean environment" {
	hook "env | sort >$OUT/env.tmp" "{ id -u; id -G; cat /proc/self/status; ls -l /proc/self/fd; pwd
		cat; } >$OUT/who" "mv $OUT/env.tmp $OUT/env"
	SECRET=x daemon_start '[Hook]' "OnDump=$DIR/hook"
	sleep 300 3>&- &
	PID=$!
	STARTED+=("$PID")
	snapctl dump --store --json "$PID"
	wait_for test -e "$OUT/env"
	# A shell adds the first four itself; a process need not be in a unit.
	[ "$(cut -d= -f1 "$OUT/env" | grep -Ev '^(_|PWD|OLDPWD|SHLVL|PROCSNAP_UNIT)$' | tr '\n' ' ')" = \
		"PATH $(printf 'PROCSNAP_%s ' COMM EXE FILENAME GID HOSTNAME ID KIND PARTIAL PID \
			SIGNAL TIMESTAMP_USEC UID)" ]
	grep -Fx "PROCSNAP_ID=$(field .id)" "$OUT/env"
	grep -Fx "PROCSNAP_FILENAME=$(field .path)" "$OUT/env"
	grep -Fx "PROCSNAP_PID=$PID" "$OUT/env"
	grep -Fx PROCSNAP_KIND=live "$OUT/env"
	grep -Fx PROCSNAP_COMM=sleep "$OUT/env"
	[ "$(head -1 "$OUT/who")" = "$(id -u nobody)" ]
	[ "$(sed -n 2p "$OUT/who")" = "$(id -g nobody)" ]
	grep -E '^CapPrm:\s0+$' "$OUT/who"
	grep -E '^CapEff:\s0+$' "$OUT/who"
	grep -E '^NoNewPrivs:\s1$' "$OUT/who"
	grep -E '^SigBlk:\s0+$' "$OUT/who"
	[ "$(tail -1 "$OUT/who")" = / ]
}

@test "OnDump=: names of others have no newlines" {
	hook "env >>$OUT/env; echo end >>$OUT/env"
	daemon_start '[Hook]' "OnDump=$DIR/hook" "OnDumpUser=$(id -un "$(id -u nobody)")"
	mkdir -p "$OUT/e"
	cp /bin/sleep "$OUT/e/"$'a\nPROCSNAP_X=1'
	"$OUT/e/"$'a\nPROCSNAP_X=1' 300 3>&- &
	STARTED+=($!)
	snapctl dump --store -q $!
	expect 0
	wait_for grep -qx end "$OUT/env"
	! grep -q ^PROCSNAP_X "$OUT/env" || fail "$(cat "$OUT/env")"
	grep -F 'PROCSNAP_EXE=' "$OUT/env" | grep -F 'a\x0aPROCSNAP_X=1'
}

@test "OnDump=: one at a time, killed when its time is up, and its failure is only logged" {
	hook "[ ! -e $OUT/running ] || echo two >>$OUT/wrong" ": >$OUT/running" \
		"[ \$(wc -l <$OUT/ran) != 1 ] || { sleep 300 & echo \$! >$OUT/child; wait; }" \
		"rm $OUT/running" "echo x >>$OUT/ran" "exit 3"
	: >"$OUT/ran"
	chmod 666 "$OUT/ran"
	daemon_start '[Hook]' "OnDump=$DIR/hook" OnDumpTimeout=1
	target_start simple
	snapctl dump --store -q "$PID"
	expect 0
	wait_for logged 'hook ended with status 3'
	snapctl dump --store -q "$PID" # hangs
	snapctl dump --store -q "$PID"
	wait_for logged 'its time was up'
	wait_for gone "$(cat "$OUT/child")"
	daemon_lives
	# What it left behind is not our lock.
	[ ! -e "$OUT/wrong" ] || [ "$(wc -l <"$OUT/wrong")" = 1 ]
	daemon_config '[Hook]' OnDump=/nonexistent/hook
	snapctl reload
	expect 0
	snapctl dump --store -q "$PID"
	expect 0
	wait_for logged 'could not be started'
	daemon_config '[Hook]' OnDump=/bin/true OnDumpUser=no-such-user
	snapctl reload
	expect 2
	[[ $errors == *"no user 'no-such-user'"* ]]
	daemon_config
	snapctl reload
	snapctl dump --store -q "$PID"
	expect 0
}

@test "OnDump= ends with the daemon" {
	hook "sleep 300 & echo \$! >$OUT/child; wait"
	daemon_start '[Hook]' "OnDump=$DIR/hook"
	target_start simple
	snapctl dump --store -q "$PID"
	wait_for test -s "$OUT/child"
	daemon_stop
	wait_for gone "$(cat "$OUT/child")"
}
