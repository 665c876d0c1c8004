# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What debuggers make of a core, in a form that can be compared.

# gdb_on PROGRAM CORE COMMAND...: PROGRAM may be '' and CORE "-p PID".
gdb_on() {
	local program=$1 core=$2 args=(-nx -batch -iex 'set debuginfod enabled off'
		-iex 'set auto-load off' -ex 'set width 0'
		-ex 'set print frame-arguments all' -ex 'set print entry-values no') c
	shift 2
	for c; do
		args+=(-ex "$c")
	done
	if [[ $core == -p* ]]; then
		gdb "${args[@]}" ${program:+"$program"} -p "${core#-p }" 2>"$DIR/gdb-err"
	elif [ -n "$program" ]; then
		gdb "${args[@]}" "$program" "$core" 2>"$DIR/gdb-err"
	else
		gdb "${args[@]}" -c "$core" 2>"$DIR/gdb-err"
	fi
}

# Reads "thread apply all ..." and puts the number of the LWP before each line.
by_lwp() {
	awk '/^Thread [0-9]+ .*LWP/ { match($0, /LWP [0-9]+/); lwp = substr($0, RSTART + 4, RLENGTH - 4); next }
		lwp && NF && !/^warning:/ && !/No such file or directory/ { print lwp, $0 }'
}

# Frames as "LWP NUMBER FUNCTION (ARGUMENTS)", without addresses and places.
frames() { # PROGRAM CORE
	gdb_on "$1" "$2" 'thread apply all bt' | by_lwp | sed -nE \
		's/^([0-9]+) #([0-9]+) +(0x[0-9a-f]+ in )?/\1 #\2 /; s/ (at|from) [^ ]*$//; / #/p' | sort
}

# The threads that gdb lists, without the numbers it gives them: "Thread 0x... (LWP NUMBER)  FRAME".
listed() { # PROGRAM CORE
	gdb_on "$1" "$2" 'info threads' | sed -nE 's/^[* ] +[0-9]+ +(.*LWP)/\1/p' | sort
}

registers() { # PROGRAM CORE
	gdb_on "$1" "$2" 'thread apply all info all-registers' | by_lwp | sort
}

# A core of the current target by gdb's own gcore, in $DIR/gdb.PID.
gcore_peer() {
	PEER=$DIR/gdb.$PID
	gcore -o "$DIR/gdb" "$PID" >"$DIR/gcore.log" 2>&1 || fail "gcore: $(cat "$DIR/gcore.log")"
	[ -s "$PEER" ] || fail "gcore made no core: $(cat "$DIR/gcore.log")"
}

# Stops the current target as a shell does with ^Z, so that two dumps see the same.
hold_still() {
	kill -STOP "$PID"
	all_stopped() {
		! grep -hs '^State' "/proc/$PID/task/"*/status | grep -qv 'T (stopped)'
	}
	wait_for all_stopped
}

go_on() {
	kill -CONT "$PID"
}
