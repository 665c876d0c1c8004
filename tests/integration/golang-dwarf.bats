#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the debugging information of Go programs says: structures of the runtime like our tables, and
# arguments like the source and like delve.

load common

GOLANG=$BATS_TEST_DIRNAME/../golang
GOARGS=$BATS_TEST_DIRNAME/../tools/goargs
SOURCE=$GOLANG/src/values/main.go

# Sets PROGRAM, built by a version as some kind; see tests/golang/README.md.
built() { # VERSION KIND NAME
	local said status=0
	said=$("$GOLANG/matrix" --build "$1" "$2" 2>&1 3>&- 4>&-) || status=$?
	[ $status != 77 ] || skip "$(sed -n 's/^skip: //p' <<<"$said")"
	[ $status = 0 ] || fail "$said"
	PROGRAM=$said/$3
}

# Starts a program, waits until it is ready, and takes its core.
core_of() { # PROGRAM
	rm -f "$CORE" "$DIR/said" "$DIR/in"
	mkfifo "$DIR/in"
	"$1" >"$DIR/said" 2>&1 <>"$DIR/in" 3>&- 4>&- &
	STARTED+=($!)
	wait_for grep -q '^ready ' "$DIR/said"
	"$SNAPCTL" dump -o "$CORE" $!
}

list() { # CORE OPTION...
	"$SNAPCTL" goroutines --json --values "${@:2}" "$1" >"$DIR/json"
}

structures() { # VERSION
	built "$1" default states
	"$BUILD/tests/test-dwarf" compare "$PROGRAM" "${1#1.}"
}

# Without optimisation every value is known; with it some are not, and all others are right.
values() { # VERSION
	local said
	need_command python3
	built "$1" values-n values
	core_of "$PROGRAM"
	list "$CORE"
	said=$("$GOARGS" expected "$DIR/json" "$SOURCE") || fail "$said"
	[[ $said == *', 0 unknown' ]] || fail "$said"
	built "$1" values values
	core_of "$PROGRAM"
	list "$CORE"
	said=$("$GOARGS" expected "$DIR/json" "$SOURCE") || fail "$said"
	[[ $said == *', '[0-9]' unknown' ]] || fail "$said"
}

delve() { # KIND NAME
	need_command python3 dlv
	built 1.19 "$1" "$2"
	core_of "$PROGRAM"
	list "$CORE" --system
	"$GOARGS" delve "$DIR/json" "$PROGRAM" "$CORE"
}

# The program says to be of another version. All its goroutines and arguments are found.
pretending() { # VERSION
	local said
	need_command python3 jq
	built 1.27 values values
	sed "s/go1\\.27\\.[0-9]/$1/g" "$PROGRAM" >"$DIR/pretending"
	chmod +x "$DIR/pretending"
	core_of "$DIR/pretending"
	list "$CORE"
	jq -e '.runtimes[0].layout_from_debug_info' "$DIR/json"
	[ "$(jq '.runtimes[0].user_goroutine_count' "$DIR/json")" = 12 ]
	said=$("$GOARGS" expected "$DIR/json" "$SOURCE") || fail "$said"
}

@test "Go 1.15: structures" { structures 1.15; }
@test "Go 1.19: structures" { structures 1.19; }
@test "Go 1.21: structures" { structures 1.21; }
@test "Go 1.22: structures" { structures 1.22; }
@test "Go 1.23: structures" { structures 1.23; }
@test "Go 1.24: structures" { structures 1.24; }
@test "Go 1.25: structures" { structures 1.25; }
@test "Go 1.26: structures" { structures 1.26; }
@test "Go 1.27: structures" { structures 1.27; }

@test "Go 1.15: arguments" { values 1.15; }
@test "Go 1.19: arguments" { values 1.19; }
@test "Go 1.21: arguments" { values 1.21; }
@test "Go 1.22: arguments" { values 1.22; }
@test "Go 1.23: arguments" { values 1.23; }
@test "Go 1.24: arguments" { values 1.24; }
@test "Go 1.25: arguments" { values 1.25; }
@test "Go 1.26: arguments" { values 1.26; }
@test "Go 1.27: arguments" { values 1.27; }

@test "arguments as delve has them: values" { delve values values; }
@test "arguments as delve has them: values, not optimised" { delve values-n values; }
@test "arguments as delve has them: states" { delve default states; }

@test "a version that is not known: the debugging information has the layout" {
	pretending go1.99.4
}

@test "a version that is a lie: what the table leads to is checked" {
	pretending go1.24.4
}

@test "a version that says nothing" {
	pretending goX.27.4
}

@test "no debugging information: no arguments, and no layout from it" {
	need_command jq
	built 1.27 values values
	strip -o "$DIR/stripped" "$PROGRAM"
	core_of "$DIR/stripped"
	list "$CORE"
	jq -e '[.. | objects | select(has("arguments"))] == []' "$DIR/json"
	jq -e '.runtimes[0] | .user_goroutine_count == 12 and (has("layout_from_debug_info") | not)' \
		"$DIR/json"
}

@test "debugging information that nobody asked for is not read" {
	need_command jq
	built 1.27 values values
	core_of "$PROGRAM"
	"$SNAPCTL" goroutines --json "$CORE" >"$DIR/json"
	jq -e '[.. | objects | select(has("arguments"))] == []' "$DIR/json"
	jq -e '.runtimes[0] | has("layout_from_debug_info") | not' "$DIR/json"
}

@test "a separate file with debugging information, by its build ID" {
	local id folder=/usr/lib/debug/.build-id said
	need_root
	need_command python3 readelf objcopy
	built 1.27 values values
	id=$(readelf -n "$PROGRAM" | sed -n 's/.*Build ID: //p')
	[ -n "$id" ] || skip "Go made no GNU build ID"
	[ ! -e "$folder/${id::2}/${id:2}.debug" ] || skip "there is such a file already"
	strip -o "$DIR/stripped" "$PROGRAM"
	[ -d "$folder/${id::2}" ] || at_end "rmdir -p $folder/${id::2} 2>/dev/null || true"
	mkdir -p "$folder/${id::2}"
	at_end "rm -f $folder/${id::2}/${id:2}.debug"
	objcopy --only-keep-debug "$PROGRAM" "$folder/${id::2}/${id:2}.debug"
	core_of "$DIR/stripped"
	list "$CORE"
	said=$("$GOARGS" expected "$DIR/json" "$SOURCE") || fail "$said"
}

@test "debugging information that is compressed, in every way that objcopy knows" {
	local how none='' type
	need_command python3 objcopy readelf
	built 1.27 values values
	for how in none zlib zstd; do
		objcopy "--compress-debug-sections=$how" "$PROGRAM" "$DIR/prog" 2>/dev/null ||
			{ none+=" $how" && continue; }
		type=$(readelf -tW "$DIR/prog" | grep -A 4 ' \.debug_info$' | sed -nE 's/^ +(ZLIB|ZSTD).*/\1/p')
		[ "${type,,}" = "${how#none}" ] || fail "$how: '$type'"
		core_of "$DIR/prog"
		all_arguments
	done
	[ -z "$none" ] || skip "objcopy does not know$none"
}

# A program without build ID, what was taken from it in FILE, and a link to that.
linked() { # PROGRAM FILE
	objcopy --only-keep-debug "$PROGRAM" "$2"
	objcopy --strip-all -R .note.gnu.build-id --add-gnu-debuglink="$2" "$PROGRAM" "$1"
	core_of "$1"
	mv "$2" "$2.away"
	list "$CORE"
	jq -e '[.. | objects | select(has("arguments"))] == []' "$DIR/json"
}

all_arguments() { # SNAPCTL-OPTION...
	local said
	list "$CORE" "$@"
	said=$("$GOARGS" expected "$DIR/json" "$SOURCE") || fail "$said"
}

@test "a separate file with debugging information, by the program's link to it" {
	need_command python3 jq objcopy
	built 1.27 values values
	mkdir -p "$DIR/a/.debug" "$DIR/b/.debug"
	linked "$DIR/a/prog" "$DIR/prog.debug"
	cp "$DIR/prog.debug.away" "$DIR/a/prog.debug"
	all_arguments
	mv "$DIR/a/prog.debug" "$DIR/a/.debug"
	all_arguments
	# Beside the program that the user names.
	mv "$DIR/a/prog" "$DIR/b"
	all_arguments --exe "$DIR/b/prog" # where it was, there is still the file
	mv "$DIR/a/.debug/prog.debug" "$DIR/b"
	all_arguments --exe "$DIR/b/prog"
	(cd "$DIR/b" && all_arguments --exe prog)
	mv "$DIR/b/prog.debug" "$DIR/b/.debug"
	all_arguments --exe "$DIR/b/prog"
}

@test "a separate file with debugging information, by the link, below /usr/lib/debug" {
	need_root
	need_command python3 jq objcopy
	built 1.27 values values
	linked "$DIR/prog" "$DIR/prog.debug"
	mkdir -p "/usr/lib/debug$DIR"
	at_end "rm -f '/usr/lib/debug$DIR/prog.debug'; rmdir -p '/usr/lib/debug$DIR' 2>/dev/null || true"
	cp "$DIR/prog.debug.away" "/usr/lib/debug$DIR/prog.debug"
	all_arguments
}

@test "a separate file that the link does not mean is not used" {
	need_command jq objcopy
	built 1.27 values values
	linked "$DIR/prog" "$DIR/prog.debug"
	cp "$DIR/prog.debug.away" "$DIR/prog.debug"
	printf x >>"$DIR/prog.debug"
	list "$CORE"
	jq -e '[.. | objects | select(has("arguments"))] == []' "$DIR/json"
}

@test "damaged debugging information costs the arguments only" {
	local offset
	need_command jq readelf
	built 1.27 values values
	cp "$PROGRAM" "$DIR/damaged"
	offset=$(readelf -SW "$PROGRAM" | sed -nE 's/.* \.debug_info +PROGBITS +[0-9a-f]+ ([0-9a-f]+) .*/\1/p')
	printf 'damaged' | dd of="$DIR/damaged" bs=1 seek=$((0x$offset + 100)) conv=notrunc status=none
	core_of "$DIR/damaged"
	list "$CORE"
	jq -e '.runtimes[0].user_goroutine_count == 12' "$DIR/json"
}
