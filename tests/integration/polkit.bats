#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Those who may more than their user because polkit says so: a polkit of the test's own, on a bus of the
# test's own, and none.
# shellcheck disable=SC2034 # daemon.bash looks at what is set here

load common
load ../tools/daemon
load ../tools/arm

# A system bus for whoever is started from here on.
bus_start() {
	need_root
	need_command dbus-daemon jq
	chmod 755 "$DIR"
	cat >"$DIR/bus.conf" <<-END
		<busconfig>
		<type>system</type>
		<listen>unix:path=$DIR/bus</listen>
		<auth>EXTERNAL</auth>
		<policy context="default">
		<allow own="*"/><allow user="*"/><allow send_destination="*" eavesdrop="false"/>
		<allow receive_sender="*"/>
		</policy>
		</busconfig>
	END
	dbus-daemon --config-file="$DIR/bus.conf" --nofork --nopidfile 2>"$DIR/bus.log" 3>&- 4>&- &
	BUS=$!
	STARTED+=("$BUS")
	wait_for test -S "$DIR/bus"
	export DBUS_SYSTEM_BUS_ADDRESS=unix:path=$DIR/bus
}

# polkit_start MODE: as tests/tools/fake-polkit.c has them. What it is asked is in $DIR/asked.
polkit_start() {
	"$TOOLS/fake-polkit" "$1" >"$DIR/asked" 2>"$DIR/polkit.log" 3>&- 4>&- &
	POLKIT=$!
	STARTED+=("$POLKIT")
	wait_for grep -qx ready "$DIR/asked"
}

polkit_stop() {
	end_child "$POLKIT"
}

# with_polkit MODE [LINE...]: bus, polkit and daemon.
with_polkit() {
	bus_start
	polkit_start "$1"
	daemon_start "${@:2}"
	peer_pidfds
}

peer_pidfds() {
	local major minor
	IFS=.- read -r major minor _ < <(uname -r)
	((major > 6 || (major == 6 && minor >= 5))) || skip "SO_PEERPIDFD is there from Linux 6.5 on"
}

# Asks as the user for a dump of the target, which is root's. $reply.
ask_for_dump() { # [MORE PARAMETERS]
	ask_as "${AS_USER[*]}" Dump "{\"pid\":$PID,\"fileDescriptor\":0${1-}}" "fd=tmp:$OUT"
}

asked() { # LINE
	grep -q "^$1" "$DIR/asked" || fail "polkit was not asked '$1':" "$(cat "$DIR/asked")" || return 1
}

never_asked() {
	[ "$(cat "$DIR/asked")" = ready ] || fail "polkit was asked:" "$(cat "$DIR/asked")" || return 1
}

@test "polkit says yes: a dump of a process of somebody else" {
	with_polkit yes
	target_start simple
	ask_for_dump
	answered '.result.threads > 1'
	asked "io.procsnap.dump unix-process [1-9][0-9]* uid=$DAEMON_USER flags=0 pid=$PID\$"
	log_has 'io.procsnap.dump: polkit: yes'
	# Who may by himself, is not asked about.
	polkit_stop
	polkit_start yes
	ask Dump "{\"pid\":$PID,\"fileDescriptor\":0}" "fd=tmp:$OUT"
	answered .result
	local root=$PID
	user_target simple
	ask_for_dump
	answered .result
	never_asked
	# With somebody to ask, polkit may ask him. It is about whoever asks, not about what he asks for.
	PID=$root ask_for_dump ',"allowInteractiveAuthentication":true'
	answered .result
	asked "io.procsnap.dump unix-process [1-9][0-9]* uid=$DAEMON_USER flags=1 pid=$root\$"
	never grep -q "unix-process $root " "$DIR/asked"
	unharmed
}

@test "polkit says yes: into the store, and the goroutines" {
	with_polkit yes '[Store]' Compress=1
	target_start goprof
	ask_as "${AS_USER[*]}" Dump "{\"pid\":$PID}"
	answered .id
	store_has 1
	ask_as "${AS_USER[*]}" Goroutines "{\"pid\":$PID,\"fileDescriptor\":0,\"request\":{}}" \
		"fd=tmp:$OUT"
	answered '.result.comm == "goprof"'
	[ "$(grep -c '^io.procsnap.dump' "$DIR/asked")" = 2 ]
	# The dump is still root's.
	ask_as "${AS_USER[*]}" List '{}'
	answered '.entries == []'
	target_ok
}

@test "arming is an action of its own" {
	export PROCSNAP_ARMED=$DIR/armed
	with_polkit yes
	start 1.27 arm
	ask_as "${AS_USER[*]}" Arm "{\"pid\":$PID}"
	answered '.state == "armed"'
	asked "io.procsnap.arm unix-process [1-9][0-9]* uid=$DAEMON_USER flags=0 pid=$PID\$"
	ask_as "${AS_USER[*]}" ListArmed '{}'
	answered ".entries | map(.pid) == [$PID]"
	ask_as "${AS_USER[*]}" Disarm "{\"pid\":$PID}"
	answered '.state == "disarmed"'
	[ "$(grep -c '^io.procsnap.arm ' "$DIR/asked")" = 2 ]
	never grep -q '^io.procsnap.dump' "$DIR/asked"
	polkit_stop
	polkit_start no
	ask_as "${AS_USER[*]}" Arm "{\"pid\":$PID}"
	refused NotPermitted
	asked 'io.procsnap.arm '
	ask ListArmed '{}'
	answered '.entries == []'
	# His own needs no polkit.
	polkit_stop
	polkit_start no
	start_of_user 1.27 arm
	ask_as "${AS_USER[*]}" Arm "{\"pid\":$PID}"
	answered '.state == "armed"'
	never_asked
	target_ok
}

@test "polkit says no, or not yet" {
	with_polkit no
	target_start simple
	ask_for_dump
	refused NotPermitted
	asked io.procsnap.dump
	ask_as "${AS_USER[*]}" Reload '{}'
	refused NotPermitted 'only root'
	asked "io.procsnap.reload unix-process [1-9][0-9]* uid=$DAEMON_USER flags=0\$"
	polkit_stop
	polkit_start challenge
	ask_for_dump
	refused NotPermitted 'authentication (io.procsnap.dump)'
	unharmed
}

@test "remove and reload" {
	with_polkit yes '[Store]' Compress=1
	target_start simple
	snapctl dump --store --json "$PID"
	local id
	id=$(field .id)
	ask_as "${AS_USER[*]}" Remove '{"id":"0000000000000"}'
	refused Failed
	ask_as "${AS_USER[*]}" Remove '{"id":"?"}'
	refused InvalidRequest
	polkit_stop
	polkit_start no
	ask_as "${AS_USER[*]}" Remove "{\"id\":\"$id\"}"
	refused Failed 'no dump here'
	asked "io.procsnap.remove unix-process [1-9][0-9]* uid=$DAEMON_USER flags=0\$"
	store_has 1
	polkit_stop
	polkit_start yes
	ask_as "${AS_USER[*]}" Remove "{\"id\":\"$id\"}"
	answered
	store_has 0
	ask_as "${AS_USER[*]}" Reload '{}'
	answered
	log_has 'the configuration was read anew'
	asked io.procsnap.reload
}

@test "no polkit, an old one, a strange one, none that may be asked: as without" {
	bus_start
	daemon_start
	peer_pidfds
	target_start simple
	ask_for_dump
	refused NotPermitted
	local mode
	for mode in old strange; do
		polkit_start "$mode"
		ask_for_dump
		refused NotPermitted
		asked io.procsnap.dump
		polkit_stop
	done
	polkit_start yes
	daemon_config '[Access]' Polkit=no
	snapctl reload
	expect 0
	ask_for_dump
	refused NotPermitted
	never_asked
	daemon_config '[Access]' Polkit=yes
	snapctl reload
	ask_for_dump
	answered .result
	end_child "$BUS"
	ask_for_dump
	refused NotPermitted
	log_has 'polkit cannot be asked'
	unharmed
}

@test "a polkit that hangs costs nobody else anything" {
	with_polkit hang
	target_start simple
	local i
	# Two questions for a user, and more are refused at once.
	for i in 1 2; do
		"${AS_USER[@]}" "$VARLINK" "$PROCSNAP_SOCKET" "fd=tmp:$OUT" \
			"send={\"method\":\"io.procsnap.Dump\",\"parameters\":{\"pid\":$PID,\"fileDescriptor\":0}}" \
			recv >"$DIR/reply.$i" 3>&- &
		STARTED+=($!)
	done
	has_questions() { [ "$(grep -c '^io.procsnap.dump' "$DIR/asked")" = "$1" ]; }
	wait_for has_questions 2
	ask_for_dump
	refused NotPermitted
	has_questions 2
	# Others go on.
	dump
	expect 0
	[ ! -s "$DIR/reply.1" ]
	wait "${STARTED[@]: -2:1}" "${STARTED[@]: -1:1}"
	for i in 1 2; do
		reply=$(cat "$DIR/reply.$i")
		refused NotPermitted
	done
	log_has 'polkit: no answer in time'
	# Whoever goes away takes his question with him, and the end of the daemon does not wait for it.
	"${AS_USER[@]}" "$VARLINK" "$PROCSNAP_SOCKET" "fd=tmp:$OUT" \
		"send={\"method\":\"io.procsnap.Dump\",\"parameters\":{\"pid\":$PID,\"fileDescriptor\":0,\"allowInteractiveAuthentication\":true}}" \
		recv >"$DIR/reply.3" 3>&- &
	local asker=$!
	STARTED+=("$asker")
	wait_for has_questions 3
	end_child "$asker"
	wait_for daemon_status_is connections 1
	"${AS_USER[@]}" "$VARLINK" "$PROCSNAP_SOCKET" \
		'send={"method":"io.procsnap.Reload","parameters":{"allowInteractiveAuthentication":true}}' \
		recv >"$DIR/reply.4" 3>&- &
	STARTED+=($!)
	wait_for grep -q '^io.procsnap.reload' "$DIR/asked"
	daemon_stop
	unharmed
}

@test "the actions that are asked for are those that polkit is told of" {
	local root policy actions
	root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	policy=$root/systemd/polkit/io.procsnap.policy
	actions=$(grep -oh '"io\.procsnap\.[a-z]*"' "$root"/daemon/api*.c | tr -d '"' | sort -u)
	[ "$(sed -n 's/.*<action id="\(.*\)">/\1/p' "$policy" | sort)" = "$actions" ] || fail "$actions"
	local action
	for action in $actions; do
		grep -qF "$action" "$root/man/procsnapd.8.scd" || fail "$action is not in the manual"
	done
	need_command xmllint
	xmllint --noout --nonet "$policy"
}
