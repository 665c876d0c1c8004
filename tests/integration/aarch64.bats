#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Cores of Go programs for aarch64, read on x86-64: goroutine by goroutine and frame by frame what the
# runtime itself has said. The programs are those of tests/golang/src. QEMU runs them, and when one
# dies of a signal it writes the core of the program, not of itself.

load common

GOLANG=$BATS_TEST_DIRNAME/../golang
CACHE=${PROCSNAP_GO_CACHE:-/var/cache/procsnap-tests}

# toolchain VERSION: sets goroot and release. Without a version, or without that one in the cache, it
# is the Go that is installed.
toolchain() {
	local said='Go is not installed'
	if [ -n "${1-}" ]; then
		said=$("$GOLANG/fetch" --offline "$1")
		goroot=${said#*, in } release=${said#*: } release=${release%%,*}
		[[ $said == *": missing: "* ]] || return 0
	fi
	command -v go >/dev/null || skip "$said"
	release=$(GOTOOLCHAIN=local go env GOVERSION)
	goroot=$(GOTOOLCHAIN=local go env GOROOT)
	[ -z "${1-}" ] || [[ $release. == "go$1."* ]] || skip "Go $said"
}

go_for_arm64() {
	GOOS=linux GOARCH=arm64 GOROOT=$goroot GOTOOLCHAIN=local GOFLAGS=-mod=mod GOENV=off \
		GO111MODULE=on GOPROXY=off GOSUMDB=off GOPATH=$CACHE/gopath GOCACHE=$CACHE/gocache \
		CGO_ENABLED=0 "$goroot/bin/go" "$@"
}

# build NAME KIND: sets program. Kept in the cache, by what it is made of.
build() {
	local source=$GOLANG/src/$1 flags=() hash folder minor lock
	minor=$(sed -E 's/^go(1\.[0-9]+).*/\1/' <<<"$release")
	case $2 in
	s-w) flags=('-ldflags=-s -w') ;;
	strip) need_command eu-strip ;;
	esac
	hash=$({ find "$source" -type f | sort | xargs cat && echo "$release $2"; } | sha256sum)
	folder=$CACHE/built/arm64-$release-$2-$1
	program=$folder.${hash:0:16}/$1
	mkdir -p "$CACHE" 2>/dev/null || true
	[ -w "$CACHE" ] || skip "$CACHE cannot be written"
	exec {lock}>"$CACHE/lock"
	flock "$lock"
	if ! [ -x "$program" ]; then
		rm -rf "$folder".*
		cp -r "$source" "$DIR/source"
		printf 'module %s\n\ngo %s\n' "$1" "$minor" >"$DIR/source/go.mod"
		(cd "$DIR/source" && go_for_arm64 build -o "$DIR/built" "${flags[@]}" .)
		[ "$2" != strip ] || eu-strip "$DIR/built"
		mkdir -p "${program%/*}"
		mv "$DIR/built" "$program"
		rm -rf "$DIR/source"
	fi
	exec {lock}>&-
}

# Under QEMU, with a core when it dies of a signal. What timeout says of that is not the program's.
emulate() { # ARGUMENT...
	ulimit -c unlimited
	# shellcheck disable=SC2016 # expanded in there
	GOTRACEBACK=crash exec timeout -k 1 60 sh -c 'exec "$@" >said 2>trace' sh "$QEMU" "$@"
}

# The program dies by itself of $1.
die_of() {
	build crash "$kind"
	(emulate "$program" "$1" </dev/null) 2>/dev/null || true
}

# About 90 goroutines wait, on channels, locks, select, time and input, when SIGQUIT comes.
quit_while_waiting() {
	local runner emulator input
	build states "$kind"
	mkfifo "$OUT/input"
	exec {input}<>"$OUT/input"
	(emulate "$program" <&"$input" 3>&- 4>&-) 2>/dev/null &
	runner=$!
	STARTED+=("$runner")
	wait_for grep -q ^ready "$OUT/said"
	# Itself below timeout: that has the number of the shell which it took the place of.
	emulator=$(only_child_of "$runner")
	wait_for sleeps "$emulator"
	kill -QUIT "$emulator"
	wait "$runner" || true
	exec {input}>&-
}

# No thread of $1 runs.
sleeps() {
	! grep -h '^State:' "/proc/$1/task/"*/status | grep -qv 'S (sleeping)'
}

# compare HOW OPTION...: with the runtime's own words, in $OUT/trace
compare() {
	local said options=(--crash)
	[[ $release != go1.15* ]] || options+=(--no-args)
	[ "$1" != json ] || options+=(--json)
	snapctl goroutines "$CORE" --exe "$program" --system "${@:2}"
	expect 0
	said=$("$GOLANG/../tools/gotrace" compare "${options[@]}" "$OUT/trace" "$DIR/stdout") ||
		fail "$kind, $death, $1:" "$said" || return 1
	[[ $said =~ ^[1-9][0-9]*\ goroutines,\ 0\ differences$ ]] || fail "it says: $said" || return 1
}

# How each of them must be told, besides the stacks.
declare -gA TOLD=(
	[string]='.panics[0].value == "a string"'
	[nilderef]='(.panics[0].value | contains("nil pointer")) and .signal == 11'
	[deadlock]='.fatal_error | startswith("all goroutines are asleep")'
	[sigquit]='.signal == 3'
	[sigabrt]='.signal == 6'
	[waiting]='.signal == 3'
)

agree() { # VERSION KIND DEATH...
	local kind=$2 goroot release program death
	need_command python3 jq
	QEMU=$(command -v qemu-aarch64-static || command -v qemu-aarch64) ||
		skip "qemu-aarch64-static is not installed"
	[ "$(uname -m)" = x86_64 ] || skip "is about x86-64"
	toolchain "$1"
	for death in "${@:3}"; do
		rm -rf "${OUT:?}"/*
		case $death in
		waiting) quit_while_waiting ;;
		*) die_of "$death" ;;
		esac
		mv "$OUT"/qemu_*.core "$CORE" || fail "$death left no core" "$(head -n 5 "$OUT/trace")"
		compare text --all
		compare json --json
		jq -e '.core.machine == "aarch64" and .core.signal == 6' "$DIR/stdout" >/dev/null ||
			fail "$kind, $death: $(jq -c .core "$DIR/stdout")"
		jq -e ".runtimes[0].crash | ${TOLD[$death]}" "$DIR/stdout" >/dev/null ||
			fail "$kind, $death: $(jq -c '.runtimes[0].crash' "$DIR/stdout")"
	done
}

all=(string nilderef deadlock sigquit sigabrt waiting)
few=(nilderef waiting)

@test "aarch64, Go 1.15: default" { agree 1.15 default "${all[@]}"; }
@test "aarch64, Go 1.15: s-w" { agree 1.15 s-w "${few[@]}"; }
@test "aarch64, Go 1.15: strip" { agree 1.15 strip "${few[@]}"; }

@test "aarch64, Go 1.19: default" { agree 1.19 default "${all[@]}"; }
@test "aarch64, Go 1.19: s-w" { agree 1.19 s-w "${few[@]}"; }
@test "aarch64, Go 1.19: strip" { agree 1.19 strip "${few[@]}"; }

@test "aarch64, Go 1.21: default" { agree 1.21 default "${all[@]}"; }
@test "aarch64, Go 1.21: s-w" { agree 1.21 s-w "${few[@]}"; }
@test "aarch64, Go 1.21: strip" { agree 1.21 strip "${few[@]}"; }

@test "aarch64, Go 1.24: default" { agree 1.24 default "${all[@]}"; }
@test "aarch64, Go 1.24: s-w" { agree 1.24 s-w "${few[@]}"; }
@test "aarch64, Go 1.24: strip" { agree 1.24 strip "${few[@]}"; }

@test "aarch64, Go 1.27: default" { agree 1.27 default "${all[@]}"; }
@test "aarch64, Go 1.27: s-w" { agree 1.27 s-w "${few[@]}"; }
@test "aarch64, Go 1.27: strip" { agree 1.27 strip "${few[@]}"; }

@test "aarch64, the Go that is installed: default" { agree '' default "${few[@]}"; }
