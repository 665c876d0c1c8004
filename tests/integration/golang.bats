#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# What snapctl says of goroutines is what the Go runtime says of them itself; see tests/golang.

load common

GOLANG=$BATS_TEST_DIRNAME/../golang

# To see minutes, processes must be a minute old. They grow old while other tests run.
setup_file() {
	local version
	export LATE=$BATS_FILE_TMPDIR
	for version in 1.15 1.27; do
		# In a process group of its own, which teardown_file can end.
		# shellcheck disable=SC2016 # expanded in there
		setsid bash -c '"$0" "$1" minutes >"$2/$1" 2>&1; echo $? >"$2/$1.status"' \
			"$GOLANG/matrix" $version "$LATE" </dev/null >/dev/null 2>&1 3>&- 4>&- &
		echo $! >"$LATE/$version.pid"
	done
}

teardown_file() {
	local version
	for version in 1.15 1.27; do
		[ -e "$LATE/$version.status" ] || kill -KILL -- "-$(cat "$LATE/$version.pid")" || true
	done
}

# verdict STATUS TEXT
verdict() {
	[ "$1" != 77 ] || skip "$(sed -n 's/^skip: //p' <<<"$2")"
	[ "$1" = 0 ] || fail "$2"
}

agree() { # VERSION KIND...
	local said status=0
	need_command python3
	said=$("$GOLANG/matrix" "$@" 2>&1 3>&- 4>&-) || status=$?
	verdict $status "$said"
}

# The kernel's cores are plain files in the working folder for as long as this test runs: whoever
# dies, what holds the other end of the pipe then puts the old setting back.
plain_cores() {
	local pattern=/proc/sys/kernel/core_pattern old guard
	old=$(cat $pattern)
	case $old in
	*[!a-z.%ptseh-]*) ;;
	*) return 0 ;;
	esac
	need_root
	[ -w $pattern ] || skip "$pattern cannot be written, and is '$old'"
	exec {guard}> >(
		trap '' INT TERM HUP
		cat >/dev/null
		printf '%s\n' "$old" >$pattern
	)
	at_end "printf '%s\n' $(printf %q "$old") >$pattern; exec $guard>&-"
	echo core >$pattern
}

crash() { # VERSION [KIND...]
	local said status=0
	need_command python3 jq
	plain_cores
	said=$("$GOLANG/crash" "$@" 2>&1 3>&- 4>&-) || status=$?
	verdict $status "$said"
}

# Of each version that has something of its own. The others differ in nothing but tables.
few=(string wrapped custom lines nilderef index repanic another nested deferred goexit mapwrite
	deadlock overflow csegv cabort sigquit sigabrt)

late() {
	wait_for [ -e "$LATE/$1.status" ]
	verdict "$(cat "$LATE/$1.status")" "$(cat "$LATE/$1")"
}

@test "what compares finds every difference" {
	need_command python3
	"$BATS_TEST_DIRNAME/../tools/gotrace" self-test
}

@test "Go 1.15: default" { agree 1.15 default; }
@test "Go 1.15: w" { agree 1.15 w; }
@test "Go 1.15: s-w" { agree 1.15 s-w; }
@test "Go 1.15: strip" { agree 1.15 strip; }
@test "Go 1.15: pie" { agree 1.15 pie; }
@test "Go 1.15: all" { agree 1.15 all; }
@test "Go 1.15: cgo" { agree 1.15 cgo; }
@test "Go 1.15: cgo-strip" { agree 1.15 cgo-strip; }
@test "Go 1.15: cshared" { agree 1.15 cshared; }
@test "Go 1.15: race" { agree 1.15 race; }
@test "Go 1.15: spin" { agree 1.15 spin; }
@test "Go 1.15: spin-one" { agree 1.15 spin-one; }

@test "Go 1.19: default" { agree 1.19 default; }
@test "Go 1.19: s-w" { agree 1.19 s-w; }
@test "Go 1.19: pie" { agree 1.19 pie; }
@test "Go 1.19: cgo" { agree 1.19 cgo; }
@test "Go 1.19: cshared" { agree 1.19 cshared; }
@test "Go 1.19: spin" { agree 1.19 spin; }

@test "Go 1.21: default" { agree 1.21 default; }
@test "Go 1.21: w" { agree 1.21 w; }
@test "Go 1.21: s-w" { agree 1.21 s-w; }
@test "Go 1.21: strip" { agree 1.21 strip; }
@test "Go 1.21: pie" { agree 1.21 pie; }
@test "Go 1.21: all" { agree 1.21 all; }
@test "Go 1.21: cgo" { agree 1.21 cgo; }
@test "Go 1.21: cgo-strip" { agree 1.21 cgo-strip; }
@test "Go 1.21: cshared" { agree 1.21 cshared; }
@test "Go 1.21: race" { agree 1.21 race; }
@test "Go 1.21: spin" { agree 1.21 spin; }
@test "Go 1.21: spin-one" { agree 1.21 spin-one; }

@test "Go 1.22: default" { agree 1.22 default; }
@test "Go 1.22: s-w" { agree 1.22 s-w; }
@test "Go 1.22: pie" { agree 1.22 pie; }
@test "Go 1.22: cgo" { agree 1.22 cgo; }
@test "Go 1.22: cshared" { agree 1.22 cshared; }
@test "Go 1.22: spin" { agree 1.22 spin; }

@test "Go 1.23: default" { agree 1.23 default; }
@test "Go 1.23: s-w" { agree 1.23 s-w; }
@test "Go 1.23: pie" { agree 1.23 pie; }
@test "Go 1.23: cgo" { agree 1.23 cgo; }
@test "Go 1.23: cshared" { agree 1.23 cshared; }
@test "Go 1.23: spin" { agree 1.23 spin; }

@test "Go 1.24: default" { agree 1.24 default; }
@test "Go 1.24: s-w" { agree 1.24 s-w; }
@test "Go 1.24: pie" { agree 1.24 pie; }
@test "Go 1.24: cgo" { agree 1.24 cgo; }
@test "Go 1.24: cshared" { agree 1.24 cshared; }
@test "Go 1.24: spin" { agree 1.24 spin; }

@test "Go 1.25: default" { agree 1.25 default; }
@test "Go 1.25: s-w" { agree 1.25 s-w; }
@test "Go 1.25: pie" { agree 1.25 pie; }
@test "Go 1.25: cgo" { agree 1.25 cgo; }
@test "Go 1.25: cshared" { agree 1.25 cshared; }
@test "Go 1.25: spin" { agree 1.25 spin; }

@test "Go 1.26: default" { agree 1.26 default; }
@test "Go 1.26: s-w" { agree 1.26 s-w; }
@test "Go 1.26: pie" { agree 1.26 pie; }
@test "Go 1.26: cgo" { agree 1.26 cgo; }
@test "Go 1.26: cshared" { agree 1.26 cshared; }
@test "Go 1.26: spin" { agree 1.26 spin; }

@test "Go 1.27: default" { agree 1.27 default; }
@test "Go 1.27: w" { agree 1.27 w; }
@test "Go 1.27: s-w" { agree 1.27 s-w; }
@test "Go 1.27: strip" { agree 1.27 strip; }
@test "Go 1.27: pie" { agree 1.27 pie; }
@test "Go 1.27: all" { agree 1.27 all; }
@test "Go 1.27: cgo" { agree 1.27 cgo; }
@test "Go 1.27: cgo-strip" { agree 1.27 cgo-strip; }
@test "Go 1.27: cshared" { agree 1.27 cshared; }
@test "Go 1.27: race" { agree 1.27 race; }
@test "Go 1.27: spin" { agree 1.27 spin; }
@test "Go 1.27: spin-one" { agree 1.27 spin-one; }

@test "Go 1.13: esbuild 0.1.0, bundle" { agree esbuild-0.1.0 bundle; }
@test "Go 1.14: esbuild 0.3.0, bundle" { agree esbuild-0.3.0 bundle; }
@test "Go 1.16: esbuild 0.9.0, bundle" { agree esbuild-0.9.0 bundle; }
@test "Go 1.16: esbuild 0.9.0, service" { agree esbuild-0.9.0 service; }
@test "Go 1.17: esbuild 0.13.0, bundle" { agree esbuild-0.13.0 bundle; }
@test "Go 1.17: esbuild 0.13.0, service" { agree esbuild-0.13.0 service; }
@test "Go 1.18: esbuild 0.14.40, bundle" { agree esbuild-0.14.40 bundle; }
@test "Go 1.18: esbuild 0.14.40, service" { agree esbuild-0.14.40 service; }
@test "Go 1.20: esbuild 0.17.10, bundle" { agree esbuild-0.17.10 bundle; }
@test "Go 1.20: esbuild 0.17.10, service" { agree esbuild-0.17.10 service; }

@test "Go 1.15: crashes" { crash 1.15; }
@test "Go 1.19: crashes" { crash 1.19 "${few[@]}"; }
@test "Go 1.21: crashes" { crash 1.21; }
@test "Go 1.22: crashes" { crash 1.22 "${few[@]}"; }
@test "Go 1.23: crashes" { crash 1.23 "${few[@]}"; }
@test "Go 1.24: crashes" { crash 1.24 "${few[@]}"; }
@test "Go 1.25: crashes" { crash 1.25 "${few[@]}"; }
@test "Go 1.26: crashes" { crash 1.26 "${few[@]}"; }
@test "Go 1.27: crashes" { crash 1.27; }

@test "Go 1.15: minutes" { late 1.15; }
@test "Go 1.27: minutes" { late 1.27; }
