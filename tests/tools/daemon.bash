# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2016,SC2034 # tests use what is set here; xargs expands
# A daemon of the test's own, and ways to ask it. For tests that have loaded common.bash.

DAEMON_USER=12345
VARLINK=$TOOLS/varlink-call

# daemon_start [LINE...]: with these lines as its configuration. DAEMON is its process.
daemon_start() {
	need_root
	need_command jq setpriv
	chmod 755 "$DIR"
	chmod 1777 "$OUT"
	STORE=$DIR/store
	export PROCSNAP_SOCKET=$DIR/socket
	daemon_config "$@"
	daemon_again
}

daemon_config() {
	local memory=()
	# AddressSanitizer has memory of its own for all addresses.
	[ -z "${ASAN_OPTIONS-}" ] || memory=('[Limits]' JobMemory=infinity)
	# No machine is too full for the tests.
	printf '%s\n' "${memory[@]}" '[Store]' KeepFree=0 "$@" >"$DIR/conf"
}

# Starts it with the configuration and the store that there are, by whom DAEMON_INSIDE makes of it.
daemon_again() {
	local before=()
	# The dumps of tests are not for the journal of this machine.
	if [ -z "${DAEMON_INSIDE-}" ] && [ -S /run/systemd/journal/socket ]; then
		before=(unshare --mount sh -c
			'mount -t tmpfs tmpfs /run/systemd/journal && exec "$@"' sh)
	fi
	${DAEMON_INSIDE-} "${before[@]}" "$BUILD/procsnapd" --store="$STORE" --socket="$PROCSNAP_SOCKET" --config="$DIR/conf" \
		2>>"$DIR/log" 3>&- 4>&- &
	DAEMON=$!
	STARTED+=("$DAEMON")
	wait_for daemon_answers
}

daemon_answers() {
	gone "$DAEMON" || "$VARLINK" "$PROCSNAP_SOCKET" 2>/dev/null || return 1
	! gone "$DAEMON" || fail "the daemon did not start:" "$(cat "$DIR/log")"
}

# Ends it as systemd would, and says with which status.
daemon_stop() {
	local end=0
	kill -TERM "$DAEMON"
	wait "$DAEMON" || end=$?
	[ "$end" = 0 ] || fail "the daemon ended with $end:" "$(tail "$DIR/log")" || return 1
}

daemon_lives() {
	! gone "$DAEMON" || fail "the daemon has ended:" "$(tail "$DIR/log")" || return 1
}

# never COMMAND...: it fails. (A command with "!" before it does not end a test.)
never() {
	! "$@" || fail "this must not be: $*" || return 1
}

log_has() {
	grep -qF -- "$1" "$DIR/log" || fail "'$1' is not in the log:" "$(tail "$DIR/log")" || return 1
}

# ---- other users -----------------------------------------------------------------------------

# Words to put before a command: a function would be one more process, which kill would hit instead.
AS_USER=(setpriv "--reuid=$DAEMON_USER" "--regid=$DAEMON_USER" --clear-groups --)

as_user() {
	"${AS_USER[@]}" "$@"
}

# user_snapctl ARGUMENT...: as snapctl() of common.bash, but of the user.
user_snapctl() {
	status=0
	as_user "$SNAPCTL" "$@" >"$DIR/stdout" 2>"$DIR/stderr" || status=$?
	output=$(tr -d '\0' <"$DIR/stdout")
	errors=$(tr -d '\0' <"$DIR/stderr")
}

# user_target NAME [ARGUMENT...]: a target that belongs to the user.
user_target() {
	need_target "$1"
	cat >"$DIR/as-user" <<-END
		#!/bin/sh
		exec setpriv --reuid=$DAEMON_USER --regid=$DAEMON_USER --clear-groups -- "\$@"
	END
	chmod 755 "$DIR/as-user"
	target_start "$DIR/as-user" "$BUILD/targets/$1" "${@:2}"
}

# ---- calls -----------------------------------------------------------------------------------

# ask METHOD PARAMETERS [ACTION...]: the actions of varlink-call come first. $reply.
ask() {
	ask_as env "$@"
}

# ask_as COMMAND METHOD PARAMETERS [ACTION...]: by whom COMMAND makes of it.
ask_as() {
	local method=$2
	[[ $method == *.*.* ]] || method=io.procsnap.$method
	reply=$($1 "$VARLINK" "$PROCSNAP_SOCKET" "${@:4}" \
		"send={\"method\":\"$method\",\"parameters\":$3}" recv) ||
		fail "cannot ask" || return 1
}

# answered [EXPRESSION]: it was no error, and jq finds EXPRESSION true of its parameters.
answered() {
	jq -e "(.error == null) and (.parameters | ${1-true})" <<<"$reply" >/dev/null ||
		fail "not so: ${1-no error}" "$reply" || return 1
}

# refused NAME [TEXT]: with this error, and TEXT somewhere in its parameters.
refused() {
	local name=$1
	[[ $name == *.*.* ]] || name=io.procsnap.$name
	jq -e --arg name "$name" --arg text "${2-}" \
		'.error == $name and (.parameters | tostring | contains($text))' \
		<<<"$reply" >/dev/null || fail "not refused with $1 '${2-}':" "$reply" || return 1
}

daemon_status() {
	ask Status '{}'
	jq -r ".parameters.$1" <<<"$reply"
}

daemon_status_is() {
	[ "$(daemon_status "$1")" = "$2" ]
}

# How many dumps, files and folders the store has.
store_has() {
	local there
	there=$(find "$STORE" -name 'core.*' ! -name '*.json' | wc -l)
	[ "$there" = "$1" ] || fail "$there dumps in the store instead of $1" || return 1
	there=$(find "$STORE" -name '*.json' ! -path '*/records/*' | wc -l)
	[ "$there" = "$1" ] || fail "$there files of metadata instead of $1" || return 1
	[ -z "$(find "$STORE" -name '.*' ! -name .lock)" ] ||
		fail "left in the store:" "$(find "$STORE" -name '.*')" || return 1
}

# ---- jobs that do not end --------------------------------------------------------------------

# occupy [COMMAND...]: has a job of the current target begin, by whom COMMAND makes of it, which cannot
# end: it writes to $DIR/stuck.N, which nobody reads. OCCUPIER is its client.
occupy() {
	local n=${#STARTED[@]}
	mkfifo -m 666 "$DIR/stuck.$n"
	"$@" "$VARLINK" "$PROCSNAP_SOCKET" "pidfd=$PID" "fd=tmp:$OUT" "fd=rw:$DIR/stuck.$n" \
		'send={"method":"io.procsnap.Dump","more":true,"parameters":{"pid":1,
			"pidFileDescriptor":0,"spoolFileDescriptor":1,"fileDescriptor":2,
			"stream":true}}' last say=end >"$DIR/occupied.$n" 2>&1 3>&- &
	OCCUPIER=$!
	OCCUPIED=$DIR/occupied.$n
	STARTED+=("$OCCUPIER")
	wait_for stuck_since_long
}

# It runs, and its process is not held any more.
stuck_since_long() {
	daemon_status_is runningJobs 1 && [ -n "$(find "/proc/$DAEMON/task" -path '*/children' \
		-exec cat {} +)" ] && assert_free "$PID" && worker_writes
}

worker_writes() {
	local exe
	for exe in $(workers); do
		[[ $(cat "${exe%/exe}/task/"*/wchan 2>/dev/null) != *pipe_write* ]] || return 0
	done
	return 1
}

children_of_daemon() {
	cat "/proc/$DAEMON/task/"*/children
}

# Nothing runs and nothing waits, and no process is left of what did.
daemon_idle() {
	daemon_status_is runningJobs 0 && daemon_status_is waitingJobs 0 &&
		[ -z "$(children_of_daemon | xargs -rn1 sh -c 'grep -sq ^procsnap-worker \
			/proc/$0/comm && echo $0')" ]
}
