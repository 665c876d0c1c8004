# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # tests use what is set here
# Go programs that are armed, and groups that look like units. For tests that have loaded common.bash.

GOLANG=$BATS_TEST_DIRNAME/../golang

# program VERSION KIND: sets PROGRAM.
program() {
	local said status=0
	said=$("$GOLANG/matrix" --build "$1" "$2" 2>&1 3>&- 4>&-) || status=$?
	[ $status != 77 ] || skip "$(sed -n 's/^skip: //p' <<<"$said")"
	[ $status = 0 ] || fail "$said" || return 1
	PROGRAM=$said/arm
}

# Starts it as target, with cores.
start() { # VERSION KIND
	export PROCSNAP_ARMED=$DIR/armed PROCSNAP_SOCKET=${PROCSNAP_SOCKET-$DIR/none}
	unset GOTRACEBACK
	program "$@" || return 1
	target_start "$PROGRAM"
	prlimit --pid "$PID" --core=unlimited
}

# The same as DAEMON_USER, for tests that have loaded daemon.bash; by root without CAP_SYS_RESOURCE.
start_of_user() { # VERSION KIND
	unset GOTRACEBACK
	program "$@" || return 1
	install -m 755 "$PROGRAM" "$DIR/arm"
	ulimit -c unlimited
	target_start "$(command -v setpriv)" "--reuid=$DAEMON_USER" "--regid=$DAEMON_USER" --clear-groups \
		-- "$DIR/arm"
}

# dies COMMAND: makes the current target die; its exit status is in DEATH, its core in DEATH_CORE.
dies() {
	case $1 in
	SIG*) kill -"${1#SIG}" "$PID" ;;
	*) printf '%s\n' "$1" >&"${T_IN[CURRENT]}" ;;
	esac
	DEATH=0
	wait "${T_MAIN[CURRENT]}" || DEATH=$?
	DEATH_CORE=$(find "$OUT" -name 'core*' -print -quit)
}

with_core() { # COMMAND
	dies "$1"
	[ "$DEATH" = 134 ] || fail "it ended with $DEATH and not by SIGABRT after $1" || return 1
	[ -s "$DEATH_CORE" ] || fail "there is no core after $1" || return 1
	rm "$DEATH_CORE"
}

without_core() { # COMMAND
	dies "$1"
	[ "$DEATH" = 2 ] || fail "it ended with $DEATH and not 2 after $1" || return 1
	[ -z "$DEATH_CORE" ] || fail "there is a core after $1" || return 1
}

need_cores() {
	plain_cores || skip "core_pattern cannot be set"
}

# The word as the process has it, read by another program than ours.
word() {
	local address
	address=$(field .address)
	dd if="/proc/$PID/mem" bs=1 skip=$((address)) count=4 2>/dev/null | od -An -tu4 | tr -d ' '
}

# ---- units ----------------------------------------------------------------------------------

# unit_make UNIT [GROUP]: a group that looks like a unit's, with one below; nobody but the kernel has to
# know it. All targets end before it goes.
unit_make() {
	local root
	root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
	[ -n "$root" ] || skip "there is no cgroup v2"
	UNITS=$root/procsnaptest$$.slice
	mkdir -p "$UNITS/$1${2:+/$2}" 2>/dev/null || skip "$root cannot be written to"
	[[ " ${AT_END[*]} " == *units_remove* ]] || at_end units_remove
}

# unit_enter UNIT[/GROUP] [PID]
unit_enter() {
	echo "${2-$PID}" >"$UNITS/$1/cgroup.procs"
}

units_remove() {
	local pid
	for pid in "${T_MAIN[@]}" "${STARTED[@]}"; do
		end_child "$pid"
	done
	wait_for find "$UNITS" -depth -type d -exec rmdir {} +
}
