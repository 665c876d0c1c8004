#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# snapctl arm and disarm. The judge is the Go program: whether it leaves a core when it dies, and
# whether it works as before when it does not.

load common
load ../tools/arm

# All that matters, for one program.
all_of_it() { # VERSION KIND
	local before
	need_cores
	need_command jq
	start "$@"
	snapctl arm --dry-run --json "$PID"
	expect 0
	[ "$(field .state)" = can-be-armed ]
	before=$(word)
	[ "$before" = "$(field .value)" ]
	((!(before & 1)))
	without_core panic

	start "$@"
	snapctl arm --json "$PID"
	expect 0
	[ "$(field .state)" = armed ]
	[ "$(word)" = $((before | 3)) ]
	unharmed
	with_core panic

	start "$@"
	snapctl arm "$PID"
	expect 0
	with_core nil
	start "$@"
	snapctl arm "$PID"
	expect 0
	with_core SIGQUIT

	start "$@"
	snapctl arm "$PID"
	expect 0
	snapctl disarm --json "$PID"
	expect 0
	[ "$(field .state)" = disarmed ]
	[ "$(word)" = "$before" ]
	unharmed
	without_core panic
}

# bats wants each test by itself.
@test "Go 1.15: armed, it dumps core; disarmed, it does not" { all_of_it 1.15 arm; }
@test "Go 1.15: the same, stripped" { all_of_it 1.15 arm-strip; }
@test "Go 1.15: the same, stripped PIE" { all_of_it 1.15 arm-pie; }
@test "Go 1.15: the same with cgo" { all_of_it 1.15 arm-cgo; }
@test "Go 1.19: armed, it dumps core; disarmed, it does not" { all_of_it 1.19 arm; }
@test "Go 1.19: the same, stripped" { all_of_it 1.19 arm-strip; }
@test "Go 1.19: the same, stripped PIE" { all_of_it 1.19 arm-pie; }
@test "Go 1.19: the same with cgo" { all_of_it 1.19 arm-cgo; }
@test "Go 1.21: armed, it dumps core; disarmed, it does not" { all_of_it 1.21 arm; }
@test "Go 1.21: the same, stripped" { all_of_it 1.21 arm-strip; }
@test "Go 1.21: the same, stripped PIE" { all_of_it 1.21 arm-pie; }
@test "Go 1.21: the same with cgo" { all_of_it 1.21 arm-cgo; }
@test "Go 1.22: armed, it dumps core; disarmed, it does not" { all_of_it 1.22 arm; }
@test "Go 1.22: the same, stripped" { all_of_it 1.22 arm-strip; }
@test "Go 1.22: the same, stripped PIE" { all_of_it 1.22 arm-pie; }
@test "Go 1.22: the same with cgo" { all_of_it 1.22 arm-cgo; }
@test "Go 1.23: armed, it dumps core; disarmed, it does not" { all_of_it 1.23 arm; }
@test "Go 1.23: the same, stripped" { all_of_it 1.23 arm-strip; }
@test "Go 1.23: the same, stripped PIE" { all_of_it 1.23 arm-pie; }
@test "Go 1.23: the same with cgo" { all_of_it 1.23 arm-cgo; }
@test "Go 1.24: armed, it dumps core; disarmed, it does not" { all_of_it 1.24 arm; }
@test "Go 1.24: the same, stripped" { all_of_it 1.24 arm-strip; }
@test "Go 1.24: the same, stripped PIE" { all_of_it 1.24 arm-pie; }
@test "Go 1.24: the same with cgo" { all_of_it 1.24 arm-cgo; }
@test "Go 1.25: armed, it dumps core; disarmed, it does not" { all_of_it 1.25 arm; }
@test "Go 1.25: the same, stripped" { all_of_it 1.25 arm-strip; }
@test "Go 1.25: the same, stripped PIE" { all_of_it 1.25 arm-pie; }
@test "Go 1.25: the same with cgo" { all_of_it 1.25 arm-cgo; }
@test "Go 1.26: armed, it dumps core; disarmed, it does not" { all_of_it 1.26 arm; }
@test "Go 1.26: the same, stripped" { all_of_it 1.26 arm-strip; }
@test "Go 1.26: the same, stripped PIE" { all_of_it 1.26 arm-pie; }
@test "Go 1.26: the same with cgo" { all_of_it 1.26 arm-cgo; }
@test "Go 1.27: armed, it dumps core; disarmed, it does not" { all_of_it 1.27 arm; }
@test "Go 1.27: the same, stripped" { all_of_it 1.27 arm-strip; }
@test "Go 1.27: the same, stripped PIE" { all_of_it 1.27 arm-pie; }
@test "Go 1.27: the same with cgo" { all_of_it 1.27 arm-cgo; }
@test "Go 1.15: the same, not optimised" { all_of_it 1.15 arm-n; }
@test "Go 1.27: the same, not optimised" { all_of_it 1.27 arm-n; }

# Programs that nobody here wrote, of versions that Debian lacks: 1.13, 1.14, 1.16, 1.17, 1.18, 1.20.
esbuild() { # VERSION
	local said
	said=$("$GOLANG/fetch" --offline "esbuild-$1")
	case $said in
	*": missing: "*) skip "Go $said" ;;
	esac
	need_cores
	export PROCSNAP_ARMED=$DIR/armed
	unset GOTRACEBACK
	mkfifo "$DIR/in.js"
	exec 6<>"$DIR/in.js"
	launch "${said#*, in }/esbuild" --bundle --outfile=bundle.js "$DIR/in.js"
	PID=${T_MAIN[CURRENT]}
	T_PID[CURRENT]=$PID
	prlimit --pid "$PID" --core=unlimited
	wait_for grep -q '^State:.S' "/proc/$PID/status"
	# Until its runtime is there and has read GOTRACEBACK.
	wait_for "$SNAPCTL" arm --quiet "$PID"
	with_core SIGQUIT
	exec 6>&-
}

@test "esbuild 0.1.0, of Go 1.13" { esbuild 0.1.0; }
@test "esbuild 0.3.0, of Go 1.14" { esbuild 0.3.0; }
@test "esbuild 0.9.0, of Go 1.16" { esbuild 0.9.0; }
@test "esbuild 0.13.0, of Go 1.17" { esbuild 0.13.0; }
@test "esbuild 0.14.40, of Go 1.18" { esbuild 0.14.40; }
@test "esbuild 0.17.10, of Go 1.20" { esbuild 0.17.10; }

@test "arm --dry-run changes nothing" {
	need_command jq
	start 1.27 arm-strip
	snapctl arm -n --json "$PID"
	expect 0
	[ "$(word)" = 4 ]
	[ "$(field .symbol)" = false ] || fail "a stripped program has symbols" || return 1
	snapctl arm --list --json
	expect 0
	[ -z "$output" ]
	[ -z "$(ls "$DIR/armed")" ]
	unharmed
}

@test "arm twice, --list, disarm twice" {
	need_command jq
	start 1.27 arm
	snapctl arm -q "$PID"
	expect 0
	[ -z "$output" ]
	snapctl arm --json "$PID"
	expect 0
	[ "$(field .state)" = already-armed ]
	snapctl arm --list --json
	expect 0
	[ "$(field '[.pid, .state, .before, .value, .comm] | join(" ")')" = "$PID armed 4 7 arm" ]
	snapctl disarm "$PID"
	expect 0
	snapctl disarm "$PID"
	expect $EX_FAILED
	error_has "$PID" "was not armed"
	snapctl arm --list
	expect 0
	[ -z "$output" ]
}

@test "--list drops processes that have ended" {
	start 1.27 arm
	snapctl arm "$PID"
	expect 0
	[ -e "$DIR/armed/$PID" ]
	kill -KILL "$PID"
	wait "${T_MAIN[CURRENT]}" || true
	snapctl arm --list
	expect 0
	[ -z "$output" ]
	[ ! -e "$DIR/armed/$PID" ]
	snapctl disarm "$PID"
	expect $EX_GONE
}

@test "a record of another process of that number is not believed" {
	need_command jq
	start 1.27 arm
	local change
	for change in '.start_time += 1' '.pid += 1'; do
		snapctl arm "$PID"
		expect 0
		jq -c "$change" "$DIR/armed/$PID" >"$DIR/changed"
		cp "$DIR/changed" "$DIR/armed/$PID"
		snapctl disarm "$PID"
		expect $EX_FAILED
		error_has "was not armed"
		snapctl arm --json "$PID"
		[ "$(field .state)" = always ]
		[ "$(word)" = 7 ]
		printf '\4' | dd of="/proc/$PID/mem" bs=1 seek=$(($(field .address))) conv=notrunc 2>/dev/null
	done
	unharmed
}

@test "a program that sets the word itself, after it was armed" {
	need_command jq
	start 1.27 arm
	snapctl arm "$PID"
	expect 0
	[ "$(target_cmd "set system")" = ok ]
	snapctl arm --list --json
	expect 0
	[ "$(field .state)" = changed ]
	snapctl disarm --json "$PID"
	expect 0
	[ "$(field .state)" = changed ]
	[ "$(word)" = 14 ] # with what GOTRACEBACK said at the start
	[ "$(target_cmd "set crash")" = ok ]
	snapctl arm --json "$PID"
	expect 0
	[ "$(field .state)" = always ]
	[ "$(word)" = 15 ]
	snapctl disarm "$PID"
	expect $EX_FAILED
}

@test "a process that has executed another program is not armed, and is left alone" {
	need_command jq
	start 1.27 arm
	snapctl arm "$PID"
	expect 0
	[ "$(target_cmd exec)" = "ready $PID" ]
	snapctl disarm --json "$PID"
	expect 0
	[ "$(field .state)" = other-program ]
	[ "$(word)" = 4 ]
	snapctl arm --list
	[ -z "$output" ]
	unharmed
}

@test "GOTRACEBACK=crash: nothing to do" {
	need_command jq
	program 1.27 arm
	export PROCSNAP_ARMED=$DIR/armed
	GOTRACEBACK=crash target_start "$PROGRAM"
	snapctl arm --json "$PID"
	expect 0
	[ "$(field .state)" = always ]
	[ "$(word)" = 11 ]
	[ ! -e "$DIR/armed/$PID" ]
}

@test "what is no Go program is left alone, and so is one of 32 bits" {
	export PROCSNAP_ARMED=$DIR/armed
	target_start simple
	snapctl arm "$PID"
	expect $EX_FAILED
	error_has "$PID" "no Go program"
	unharmed
	need_target simple-32
	target_start simple-32
	snapctl arm "$PID"
	expect $EX_FAILED
	error_has "$PID" "32 bits"
	unharmed
	[ -z "$(ls "$DIR/armed")" ]
}

# The same length, so that everything else of the program stays in place.
@test "a version of Go that is not known is left alone" {
	start 1.27 arm # for the program
	local other
	for other in go1.28.4 go1.12.4; do
		sed "s/go1\.27\.4/$other/g" "$PROGRAM" >"$DIR/$other"
		chmod +x "$DIR/$other"
		cmp -s "$PROGRAM" "$DIR/$other" && fail "Go 1.27 is not 1.27.4"
		target_start "$DIR/$other"
		snapctl arm "$PID"
		expect $EX_FAILED
		error_has "$PID" "was left alone"
		# With the structures of 1.12 no runtime is found at all.
		[ $other = go1.12.4 ] || error_has "tried with Go 1.13 to 1.27"
		unharmed
	done
}

# One instruction that names another word is enough: in the function that sets the word, or in one
# that reads it.
@test "a program whose functions do not agree about the word is left alone" {
	need_command objdump
	start 1.27 arm
	local function at text address other
	text=$(readelf -SW "$PROGRAM" | sed -nE 's/.* \.text +PROGBITS +([0-9a-f]+) ([0-9a-f]+) .*/\1 \2/p')
	for function in runtime/debug.SetTraceback runtime.dopanic_m runtime.sighandler; do
		# The last byte but three of the instruction is the lowest of the displacement.
		read -r address at < <(objdump -dw --insn-width=15 --disassemble=$function "$PROGRAM" |
			awk -F '\t' '/traceback_cache/ { sub(/:/, "", $1); print $1, split($2, bytes, " ") }')
		other=$DIR/${function##*.}
		cp "$PROGRAM" "$other"
		at=$((0x$address - 0x${text% *} + 0x${text#* } + at - 4))
		printf '\x04' | dd of="$other" bs=1 seek=$at conv=notrunc 2>/dev/null
		cmp -s "$PROGRAM" "$other" && fail "nothing was changed"
		target_start "$other"
		snapctl arm "$PID"
		expect $EX_FAILED
		error_has "$PID" "was left alone"
	done
}

@test "symbols that name another word: left alone" {
	need_command objcopy
	start 1.27 arm
	local address
	address=$(nm "$PROGRAM" | awk '$3 == "runtime.traceback_cache" { print $1 }')
	cp "$PROGRAM" "$DIR/other"
	# The value of the symbol, wherever it is in the table: the name stands for itself, so the two
	# are exchanged by their words in .symtab.
	python3 - "$DIR/other" "$address" <<-'END' || skip "python3 is not installed"
		import struct, sys
		data = bytearray(open(sys.argv[1], 'rb').read())
		word = struct.pack('<QQ', int(sys.argv[2], 16), 4)
		at = data.rfind(word)
		assert at > 0
		data[at:at + 8] = struct.pack('<Q', int(sys.argv[2], 16) + 4)
		open(sys.argv[1], 'wb').write(data)
	END
	target_start "$DIR/other"
	snapctl arm "$PID"
	expect $EX_FAILED
	error_has "$PID" "symbols name another word"
	unharmed
}

@test "who may not trace the process may not arm it" {
	need_root
	need_command setpriv
	start 1.27 arm
	mkdir "$DIR/run"
	chown nobody "$DIR/run"
	chmod 755 "$DIR"
	status=0
	errors=$(setpriv --reuid=nobody --clear-groups env PROCSNAP_ARMED="$DIR/run/armed" \
		"$SNAPCTL" arm "$PID" 2>&1) || status=$?
	expect $EX_DENIED
	error_has "$PID" "root"
	# And a record that somebody else can write to is not gone by.
	mkdir "$DIR/open"
	chmod 777 "$DIR/open"
	PROCSNAP_ARMED=$DIR/open snapctl arm "$PID"
	expect $EX_FAILED
	[ -z "$(ls "$DIR/open")" ]
}

@test "RLIMIT_CORE in the way: a warning" {
	plain_cores || skip "core_pattern cannot be set"
	start 1.27 arm
	prlimit --pid "$PID" --core=0:unlimited
	snapctl arm -n "$PID"
	expect 0
	error_has "$PID" "RLIMIT_CORE" "is 0"
	prlimit --pid "$PID" --core=unlimited
	snapctl arm -n "$PID"
	expect 0
	[ -z "$errors" ]
}

# A group that looks like a unit's; nobody but the kernel has to know it.
@test "a unit: all its Go programs" {
	need_root
	need_command jq
	unit_make "procsnaptest$$.service" sub
	start 1.27 arm
	unit_enter "procsnaptest$$.service"
	local first=$PID
	start 1.15 arm-pie
	unit_enter "procsnaptest$$.service/sub"
	local second=$PID
	target_start simple
	unit_enter "procsnaptest$$.service"
	snapctl arm --json "procsnaptest$$"
	expect 0
	[ "$(jq -r '"\(.pid) \(.state)"' <<<"$output" | sort)" = "$(printf '%s\n' "$first armed" \
		"$second armed" "$PID skipped" | sort)" ]
	assert_free "$PID"
	target_use 0
	unharmed
	snapctl disarm "procsnaptest$$.service"
	expect 0
	snapctl disarm "procsnaptest$$.service"
	expect $EX_FAILED
	snapctl arm procsnaptest$$-there-is-none
	expect $EX_GONE
}

# Whatever moment it is: the word is what it was or what it shall be, and the process works.
@test "workers that are killed in the middle do no harm" {
	need_command jq
	start 1.27 arm-strip
	local i value
	snapctl arm -n --json "$PID"
	for ((i = 0; i < ${PROCSNAP_KILLS:-40}; i++)); do
		"$SNAPCTL" arm "$PID" >/dev/null 2>&1 3>&- 4>&- &
		STARTED=($!)
		sleep "0.0$((RANDOM % 3))$((RANDOM % 10))"
		kill -KILL "$!" 2>/dev/null || true
		wait "$!" 2>/dev/null || true
		wait_for no_workers
		output=$(jq -c . <<<"$output") # keeps .address for word()
		value=$(word)
		[ "$value" = 4 ] || [ "$value" = 7 ] || fail "the word is $value" || return 1
		[ "$value" = 4 ] || "$SNAPCTL" arm --list | grep -q " armed " ||
			fail "armed without a record" || return 1
		"$SNAPCTL" disarm "$PID" >/dev/null 2>&1 || true
		[ "$(word)" = 4 ]
	done
	unharmed
}
