# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # they come from there, and go there
# What both benches share. They set: build (a folder), target_pid (to end when they end).

# start PROGRAM ARGS...: a file, or the name of a target. Sets pid, and ready, the keys of its ready
# line; talk through descriptors of the coprocess.
start() {
	local program=$1
	[[ $program == */* ]] || program=$build/targets/$program
	coproc target { exec "$program" "${@:2}"; }
	# shellcheck disable=SC2154 # coproc sets it
	target_pid=$target_PID
	read -r -u "${target[0]}" _ pid ready
}

# Ends what start started: it has no more to do when its input ends.
finish() {
	eval "exec ${target[1]}>&-"
	wait "$target_pid" 2>/dev/null
	target_pid=
}

ask() {
	echo "$1" >&"${target[1]}"
	read -r -u "${target[0]}" answer
}

# wanted NAME WORD...: is a case meant? All are when there are no words.
wanted() {
	local word
	[ $# -gt 1 ] || return 0
	for word in "${@:2}"; do
		[[ $1 != *"$word"* ]] || return 0
	done
	return 1
}

# The middle one of the words on standard input.
median() {
	tr ' ' '\n' | grep . | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", a / (b > 0 ? b : 1) }'; }

# Microseconds in milliseconds.
ms() { awk -v us="$1" 'BEGIN { printf "%.1f", us / 1000 }'; }
