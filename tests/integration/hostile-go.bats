#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Cores and programs that somebody has changed to harm whoever reads them, from beginning to end: there
# is an answer, in a time and in memory that have limits, and nothing of it moves a terminal. What is
# changed, tests/tools/gospoil says; the unit tests and the fuzz targets do much more of it, in parts.

load common

SPOIL=$BATS_TEST_DIRNAME/../tools/gospoil
GOLANG=$BATS_TEST_DIRNAME/../golang

# A core of the server, and a program to be changed.
setup_victim() { # TARGET [ARGUMENT...]
	need_command python3 jq
	target_start "$@"
	dump -q
	expect_dumped
	cp "$BUILD/targets/$1" "$DIR/program"
}

# It answers, by itself and in time: well (0), or that there is nothing (1). With less memory than
# the core may make the analyzer want.
answers() { # OPTION...
	status=0
	(
		[ -n "${PROCSNAP_SANITIZED-}" ] || ulimit -S -v $((1 << 20))
		exec timeout 60 "$SNAPCTL" goroutines "$@" "$CORE" >"$DIR/stdout" 2>"$DIR/stderr"
	) || status=$?
	[ $status -le 1 ] || fail "exit status $status of $*" "$(tail -n 5 "$DIR/stderr")" || return 1
	[ $status = 0 ] || [ -s "$DIR/stderr" ] || fail "it fails and does not say why" || return 1
	! LC_ALL=C grep -l $'[\x01-\x08\x0b-\x1f\x7f]' "$DIR/stdout" "$DIR/stderr" ||
		fail "there are control characters" || return 1
}

# All the ways in which one can ask.
answers_all() { # OPTION...
	local profile=$DIR/profile
	answers "$@"
	answers --all --system "$@"
	answers --folded=states "$@"
	answers --pprof="$profile" "$@"
	rm -f "$profile"
	answers --json --values --system "$@"
	[ "$(jq -cn '[inputs | type]' "$DIR/stdout")" = '["object"]' ] ||
		fail "no JSON object:" "$(head -c 300 "$DIR/stdout")" || return 1
}

has() { # TEXT
	grep -qF -- "$1" "$DIR/stdout" || fail "'$1' is missing in:" "$(head -n 20 "$DIR/stdout")" || return 1
}

@test "ten million goroutines, and more that are not looked at" {
	local n=11000000
	[ -z "${PROCSNAP_SANITIZED-}" ] || n=500000
	setup_victim gohttp
	"$SPOIL" goroutines "$CORE" "$DIR/program" $n
	answers
	[ $status = 0 ]
	# Those that had ended are not counted.
	[ "$(sed -nE 's/^States of all ([0-9]+): .*/\1/p' "$DIR/stdout")" -gt $((n / 10 * 9)) ]
	[ $n = 500000 ] || has ' goroutines beyond the limit were not looked at.'
}

@test "a list that says to be longer than all memory, or than it is" {
	local n
	setup_victim gohttp
	for n in 0xffffffffffffffff 0x4000000000000000 0x2000000000000001 100000000 9000000; do
		"$SPOIL" length "$CORE" "$DIR/program" $n
		answers_all
	done
}

@test "what goroutines wait in follows itself" {
	local goroutines changed
	need_command gdb
	setup_victim gohttp
	snapctl goroutines --json --system "$CORE"
	mapfile -t goroutines < <(jq -r '.runtimes[0].goroutines[].g' "$DIR/stdout")
	changed=$("$SPOIL" sudogs "$CORE" "$DIR/program" "${goroutines[@]}")
	[ "$changed" -gt 100 ]
	answers_all
	[ $status = 0 ]
	[ "$(jq '.runtimes[0].goroutines | length' "$DIR/stdout")" = ${#goroutines[@]} ]
}

@test "a table of functions that is out of order" {
	local which
	setup_victim gohttp
	for which in pairs all; do
		cp "$BUILD/targets/gohttp" "$DIR/program"
		"$SPOIL" functab "$DIR/program" $which
		answers_all --exe "$DIR/program"
	done
}

@test "names of functions that would move a terminal" {
	setup_victim gohttp
	"$SPOIL" names "$DIR/program" main.parkMany '\x1b]0;x\x07\n\xff"'
	"$SPOIL" names "$DIR/program" main.park '\r\x1b[2J'
	answers --exe "$DIR/program"
	has '\x1b]0;x\x07\x0a\xff"'
	answers_all --exe "$DIR/program"
	[ $status = 0 ]
	jq -e '[.. | .function? // empty] | any(. == "\\x1b]0;x\\x07\\x0a\\xff\"")' "$DIR/stdout"
}

@test "labels that would move a terminal, of 4 GB" {
	setup_victim goprof -hostile
	answers_all
	[ $status = 0 ]
	"$SPOIL" strings "$CORE" "$DIR/program" checkout 0x100000000
	answers_all
	[ $status = 0 ]
	"$SPOIL" strings "$CORE" "$DIR/program" request 0xffffffffffffffff
	answers_all
	[ $status = 0 ]
}

@test "arguments of 4 GB" {
	local said status=0
	need_command python3 jq
	said=$("$GOLANG/matrix" --build 1.19 values-n 2>&1 3>&- 4>&-) || status=$?
	[ $status != 77 ] || skip "$(sed -n 's/^skip: //p' <<<"$said")"
	target_start "$said/values"
	dump -q
	expect_dumped
	"$SPOIL" strings "$CORE" "$said/values" "$(printf '0123456789%.0s' {1..10})" 0x100000000
	answers_all
	[ $status = 0 ]
	has '+4294967232 more'
}

@test "a panic value of 4 GB" {
	local said status=0
	need_root
	need_command python3 jq
	plain_cores || skip "/proc/sys/kernel/core_pattern cannot be written"
	said=$("$GOLANG/matrix" --build 1.19 crash 2>&1 3>&- 4>&-) || status=$?
	[ $status != 77 ] || skip "$(sed -n 's/^skip: //p' <<<"$said")"
	(
		ulimit -c unlimited
		# shellcheck disable=SC2016 # expanded in there
		GOTRACEBACK=crash exec sh -c 'exec "$0" error >/dev/null 2>&1' "$said/crash"
	) 2>/dev/null || true
	mv "$OUT"/core* "$DIR/crashed"
	CORE=$DIR/crashed
	answers
	has 'panic: '
	has 'an error'
	"$SPOIL" strings "$CORE" "$said/crash" 'an error' 0x100000000
	answers_all
	[ $status = 0 ]
}
