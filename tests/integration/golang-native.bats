#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Frames of C between Go frames are those that gdb finds; see tests/golang/src/native.

load common

GOLANG=$BATS_TEST_DIRNAME/../golang
NATIVETRACE=$BATS_TEST_DIRNAME/../tools/nativetrace

# Sets FOLDER to that of a program, built by a version as some kind; see tests/golang/README.md.
built() { # VERSION KIND
	local said status=0
	need_command gdb python3 jq
	said=$("$GOLANG/matrix" --build "$1" "$2" 2>&1 3>&- 4>&-) || status=$?
	[ $status != 77 ] || skip "$(sed -n 's/^skip: //p' <<<"$said")"
	[ $status = 0 ] || fail "$said"
	FOLDER=$said
}

# Starts a program, waits until it is ready, and takes its core.
core_of() { # PROGRAM [ARGUMENT...]
	rm -f "$CORE" "$DIR/said" "$DIR/in"
	mkfifo "$DIR/in"
	"$@" >"$DIR/said" 2>&1 <>"$DIR/in" 3>&- 4>&- &
	STARTED+=($!)
	wait_for grep -q '^ready ' "$DIR/said"
	"$SNAPCTL" dump -f -o "$CORE" $!
}

show() {
	snapctl goroutines "$@" "$CORE"
	expect 0
}

# What gdb finds in the core, and besides what it has recorded.
agree() { # PROGRAM ROWS [RECORDED]
	local said
	"$NATIVETRACE" threads "$DIR/threads" "$1" "$CORE"
	show --json --system
	said=$("$NATIVETRACE" compare "$DIR/stdout" "$DIR/threads" "${@:3}") || fail "$said"
	[ "$(sed -n '$s/ rows.*//p' <<<"$said")" -ge "$2" ] || fail "$said"
}

# A core of gdb's own, and what gdb saw on the way there.
recorded() { # VERSION KIND
	built "$1" "$2"
	"$NATIVETRACE" record "$DIR/calls" "$CORE" goReady goBlock goAgain goThread -- "$FOLDER/native"
	agree "$FOLDER/native" 22 "$DIR/calls"
}

recorded_library() { # VERSION
	built "$1" cshared
	"$NATIVETRACE" record "$DIR/calls" "$CORE" fflush LibraryBlock LibraryStart -- \
		"$FOLDER/host" "$FOLDER/library.so"
	agree "$FOLDER/host" 2 "$DIR/calls"
}

dumped() { # VERSION KIND
	built "$1" "$2"
	core_of "$FOLDER/native"
	agree "$FOLDER/native" 11
}

@test "Go 1.15: gdb finds the same C" { recorded 1.15 native; }
@test "Go 1.19: gdb finds the same C" { recorded 1.19 native; }
@test "Go 1.21: gdb finds the same C" { recorded 1.21 native; }
@test "Go 1.27: gdb finds the same C" { recorded 1.27 native; }
@test "Go 1.15: gdb finds the same C, stripped" { recorded 1.15 native-strip; }
@test "Go 1.27: gdb finds the same C, stripped" { recorded 1.27 native-strip; }
@test "Go 1.15: gdb finds the same C around a library in Go" { recorded_library 1.15; }
@test "Go 1.27: gdb finds the same C around a library in Go" { recorded_library 1.27; }
@test "Go 1.27: gdb finds the same C in a core of ours" { dumped 1.27 native; }
@test "Go 1.27: gdb finds the same C in a core of ours, stripped" { dumped 1.27 native-strip; }

# What lies above a callback, by the names of its functions.
callers() { # FUNCTION
	jq -r --arg f "$1" '.runtimes[0].goroutines[].frames | map(.function) |
		select(index($f)) | .[index($f):] | join(" ")' "$DIR/stdout"
}

@test "callbacks: C is between the Go that was called and the Go that called" {
	built 1.27 native
	core_of "$FOLDER/native"
	show --json
	[[ $(callers goBlock) == *"goBlock with_room runtime.systemstack_switch runtime.cgocall main._Cfunc_with_room "* ]]
	[[ $(callers compare) == "compare "*" qsort_r through_sort runtime.systemstack_switch runtime.cgocall "* ]]
	[[ $(callers goThread) == "goThread run start_thread "*" runtime.goexit" ]]
	[ "$(callers goAgain | grep -o 'goAgain again runtime' | wc -l)" = 3 ]
	[ "$(field '[.runtimes[0].goroutines[].frames[] | .gap, .guessed | values] | length')" = 0 ]
	[ "$(field '[.runtimes[0].goroutines[].frames[] | select(.native and .signal)] | length')" = 1 ]
}

@test "groups: the same functions of C are the same stack" {
	built 1.27 native
	core_of "$FOLDER/native"
	show --json --function=main.paused
	[ "$(field '.runtimes[0].groups | length')" = 1 ]
	[ "$(field '.runtimes[0].groups[0].count')" = 2 ]
	[ "$(field '[.runtimes[0].goroutines[].frames[] | select(.function == "in_pause").offset] |
		unique | length')" = 2 ]
	show --function=in_pause # functions of C count too
	grep -q '^2 goroutines \[syscall\]$' "$DIR/stdout"
	grep -qE '^    pause\+0x[0-9a-f]+ +libc\.so\.6$' "$DIR/stdout"
	grep -qE '^    in_pause\+0x[0-9a-f]+ +native$' "$DIR/stdout"
	grep -qE '^    in_pause\+0x[0-9a-f]+ +native$' "$DIR/stdout"
}

@test "all, folded, pprof: tracebacks have no C, profiles have" {
	built 1.27 native
	core_of "$FOLDER/native"
	show --all --system
	no grep -E 'wait_for_signal|in_pause\+|libc\.so' "$DIR/stdout"
	grep -q '^main._Cfunc_in_pause(' "$DIR/stdout"
	show --folded
	grep -q '^main.paused;main._Cfunc_in_pause;runtime.cgocall;.*in_pause;wait_for_signal;pause 2$' "$DIR/stdout"
	need_command go
	show --pprof="$DIR/profile"
	go tool pprof -traces "$DIR/profile" 2>/dev/null | grep -q '^ *wait_for_signal$'
}

@test "stripped: addresses with the name of the file" {
	built 1.27 native-strip
	core_of "$FOLDER/native"
	show
	grep -qE '^    0x[0-9a-f]+ +native$' "$DIR/stdout"
	show --folded
	grep -q ';\[native\];' "$DIR/stdout"
}

@test "assembly without tables: guessed, or said to be missing" {
	built 1.27 native
	core_of "$FOLDER/native" odd
	show
	grep -A 1 '^    without_table+' "$DIR/stdout" |
		grep -qx '    (C functions are missing here: nothing tells how to unwind them)'
	show --json
	[ "$(field '[.runtimes[0].goroutines[].frames[] | select(.gap)] | map(.function, .gap) |
		join(" ")')" = 'without_table no-unwind-info' ]
	[[ $(callers without_table) == "without_table runtime.cgocall "* ]]
	[[ $(callers with_pointer) == "with_pointer above_pointer runtime.cgocall "* ]]
	[ "$(field '[.runtimes[0].goroutines[].frames[] | select(.guessed)] | length')" = 1 ]
}

@test "a process: the same as of its core" {
	built 1.27 native
	core_of "$FOLDER/native"
	local frames='[.runtimes[0].goroutines[] | [.id, [.frames[] | select(.native) | .pc, .sp]]] | sort'
	show --json
	field "$frames" >"$DIR/of-core"
	snapctl goroutines --json "${STARTED[-1]}"
	expect 0
	field "$frames" | diff "$DIR/of-core" -
}
