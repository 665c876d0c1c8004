#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# From a bare Debian or Ubuntu to a demonstration and to all checks: ./setup.sh help
set -eu

CDPATH='' cd -- "$(dirname -- "$0")"
BUILD=${BUILD:-build}
export LC_ALL=C.UTF-8

# -- What is needed ----------------------------------------------------------------------------
# One word for each: the Debian package, or package:command where a command of that name will do,
# wherever it comes from. NEED is vital, WANT is for the better: without it something is skipped.

BUILD_NEED='gcc make pkg-config libc6-dev libjson-c-dev libzstd-dev libsmartcols-dev
libseccomp-dev libcap-dev libsystemd-dev libacl1-dev nettle-dev libdwarf-dev libdw-dev libelf-dev
zlib1g-dev'
DEMO_NEED='golang-go:go curl:curl'
DEMO_WANT='elfutils:eu-readelf gdb:gdb delve:dlv'
MAN_NEED='scdoc:scdoc'
TEST_NEED='libcmocka-dev bats:bats procps util-linux'
TEST_WANT='gdb:gdb elfutils:eu-readelf binutils:readelf zstd:zstd jq:jq curl:curl golang-go:go
delve:dlv lldb:lldb python3-drgn clang:clang clang-tidy:clang-tidy clang-format:clang-format
cppcheck:cppcheck shellcheck:shellcheck codespell:codespell mandoc:mandoc valgrind:valgrind
panicparse:panicparse python3:python3 runc:runc strace:strace
systemd socat:socat fish:fish zsh:zsh bash-completion
debhelper build-essential dpkg-dev:dpkg-buildpackage lintian:lintian debootstrap:debootstrap
systemd-container:systemd-nspawn e2fsprogs acl bsdextrautils git:git file:file
dbus-daemon:dbus-daemon libxml2-utils:xmllint qemu-user-static:qemu-aarch64-static
redis-tools:redis-benchmark'
if [ "$(uname -m)" = x86_64 ]; then
	TEST_WANT="$TEST_WANT gcc-multilib" # for processes of 32 bits
fi

# -- Helpers -----------------------------------------------------------------------------------

say() {
	printf '%s\n' "$*"
}

die() {
	printf 'setup.sh: %s\n' "$*" >&2
	exit 1
}

have() {
	command -v "$1" >/dev/null 2>&1
}

# Prints a command as one would type it, then runs it.
run() {
	printf '$ %s\n' "$*"
	"$@"
}

# Sets SUDO to what makes root of us, or to nothing when we are root. Fails when there is no way.
find_sudo() {
	SUDO=
	[ "$(id -u)" != 0 ] || return 0
	have sudo || return 1
	if sudo -n true 2>/dev/null; then
		SUDO='sudo -n'
	elif [ -t 0 ] && [ -t 2 ]; then
		sudo -v || return 1
		SUDO=sudo
	else
		return 1
	fi
}

apt() {
	# shellcheck disable=SC2086 # SUDO is one word, two, or none
	$SUDO env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -qq \
		-o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=600 "$@"
}

# The packages of the words of $1 that are not there.
missing() {
	for word in $1; do
		package=${word%%:*}
		case $word in
		*:*) ! have "${word#*:}" || continue ;;
		esac
		dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed &&
			continue
		printf '%s ' "$package"
	done
}

# Can apt install package $1, as far as it knows now?
known() {
	apt-cache policy "$1" 2>/dev/null | grep -q '^  Candidate: [^(]'
}

# The package with the sanitizers of this clang, which has its version in its name.
clang_runtime() {
	version=$(dpkg-query -W -f '${Depends}' clang 2>/dev/null |
		sed -n 's/.*clang-\([0-9][0-9]*\).*/\1/p')
	# Older releases have it in the clang package itself.
	if [ -n "$version" ] && { known "libclang-rt-$version-dev" || lists_are_old; }; then
		printf 'libclang-rt-%s-dev' "$version"
	fi
}

lists_are_old() {
	[ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mmin -1440 2>/dev/null |
		head -n 1)" ]
}

update_lists() {
	[ -z "${updated:-}" ] || return 0
	say "Reading the package lists."
	apt update || die "apt-get update failed"
	updated=yes
}

# Installs the packages named after $1, the name of a log file.
install_packages() {
	log=$1
	shift
	if apt install -y --no-install-recommends "$@" >"$log" 2>&1; then
		return 0
	fi
	# A list that names versions which are no longer served, most likely.
	update_lists
	apt install -y --no-install-recommends "$@" >"$log" 2>&1
}

# Makes sure of the words of NEED ($1) and, where the distribution has them, of WANT ($2).
ensure() {
	need=$(missing "$1")
	want=$(missing "$2")
	[ -n "$need$want" ] || return 0
	have apt-get || die "apt-get is not there: this script knows Debian and Ubuntu only. Needed: $need$want"
	if ! find_sudo; then
		[ -z "$need" ] || die "cannot install ${need% }: we are not root, and sudo is not there or" \
			"does not let us; run this as root"
		say "Not installed, as we are not root and sudo does not let us:" "$want"
		say "What needs them will be skipped."
		return 0
	fi
	for package in $need $want; do
		if ! known "$package" && lists_are_old; then
			update_lists
			break
		fi
	done
	able=
	for package in $want; do
		if known "$package"; then
			able="$able $package"
		else
			say "This distribution has no package $package; what needs it will be skipped."
		fi
	done
	aptlog=$(mktemp)
	if [ -n "$need" ]; then
		say "Installing" "$need"
		# shellcheck disable=SC2086 # a list of packages
		install_packages "$aptlog" $need || {
			tail -n 20 "$aptlog" >&2
			rm -f "$aptlog"
			die "cannot install what is needed"
		}
	fi
	if [ -n "$able" ]; then
		say "Installing$able"
		# shellcheck disable=SC2086 # a list of packages
		install_packages "$aptlog" $able || one_by_one "$able"
	fi
	rm -f "$aptlog"
}

# One package that cannot be installed must not keep the others out.
one_by_one() {
	for package in $1; do
		install_packages "$aptlog" "$package" ||
			say "Cannot install $package; what needs it will be skipped."
	done
}

# Go keeps its cache below HOME, which not every build machine sets.
prepare_environment() {
	if [ -z "${HOME:-}" ] || [ ! -w "${HOME:-/}" ]; then
		mkdir -p "$BUILD/home"
		HOME=$(cd -- "$BUILD/home" && pwd)
		export HOME
	fi
}

build() {
	prepare_environment
	make -j "$(nproc)" BUILD="$BUILD" "$@" >"$demo_dir/make.log" 2>&1 || {
		cat "$demo_dir/make.log" >&2
		die "the build failed"
	}
}

# -- demo --------------------------------------------------------------------------------------

server=
demo_dir=

demo_end() {
	status=$?
	trap - EXIT INT TERM HUP
	if [ -n "$server" ]; then
		kill "$server" 2>/dev/null || true
		wait "$server" 2>/dev/null || true
	fi
	[ -z "$demo_dir" ] || rm -rf "$demo_dir"
	exit "$status"
}

# Waits until the server has written a line that begins with $1, and prints it. 30 s at most.
server_line() {
	tries=0
	until grep -m 1 "^$1" "$demo_dir/out"; do
		tries=$((tries + 1))
		if [ "$tries" -gt 300 ] || ! kill -0 "$server" 2>/dev/null; then
			cat "$demo_dir/out" >&2
			return 1
		fi
		sleep 0.1
	done
}

start_server() {
	mkfifo "$demo_dir/in"
	exec 3<>"$demo_dir/in"
	"$BUILD/targets/gohttp" <"$demo_dir/in" >"$demo_dir/out" 3>&- &
	server=$!
	ready=$(server_line ready) || die "the server did not start"
	address=${ready#*addr=}
	address=${address%% *}
}

show_core() {
	if have eu-readelf; then
		say
		say "The notes in it, by owner and type:"
		eu-readelf -n "$1" | awk '/^  [A-Z][A-Za-z]* +[0-9]+ / || /^  procsnap / {
				type = $3 == "<unknown>:" ? names[$4] : $3
				if (!n[$1 " " type]++) order[++kinds] = $1 " " type
			}
			BEGIN { # what older elfutils do not know
				names["517"] = "X86_XSAVE_LAYOUT"
				names["4278190080"] = "TDESC"
				names["1397637456"] = "SNAPSHOT"
				names["1397637457"] = "SUMMARY"
			}
			END { for (i = 1; i <= kinds; i++) printf "  %3d x %s\n", n[order[i]], order[i] }'
	fi
	if have gdb; then
		say
		say "The threads that gdb finds in it (the first 6):"
		DEBUGINFOD_URLS='' gdb -nx -batch -ex 'info threads' "$BUILD/targets/gohttp" "$1" \
			2>/dev/null </dev/null | sed -n '/Target Id/,$p' | head -n 7 | cut -c 1-100
	fi
	if have dlv; then
		say
		say "The goroutines that delve finds in it:"
		printf 'goroutines\nexit\n' | dlv core "$BUILD/targets/gohttp" "$1" \
			--allow-non-terminal-interactive=true --check-go-version=false 2>/dev/null |
			sed -n 's/^.*\(Goroutine [0-9]* - \)/  \1/p' |
			awk '{ if (++n <= 5) print substr($0, 1, 100) }
				END { printf "  ... %d in all\n", n }'
	fi
}

# As somebody else than root one may not attach to a process that is not one's child, where Yama
# is set so: Ubuntu's default.
find_tracer() {
	tracer=
	[ "$(id -u)" != 0 ] || return 0
	if [ "$(cat /proc/sys/kernel/yama/ptrace_scope 2>/dev/null || echo 0)" != 0 ]; then
		find_sudo || die "kernel.yama.ptrace_scope forbids users to attach: run this as root"
		tracer=$SUDO
	fi
}

demo() {
	ensure "$BUILD_NEED $DEMO_NEED" "$DEMO_WANT"
	trap demo_end EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	demo_dir=$(mktemp -d)
	say "Building snapctl and a Go HTTP server."
	build "$BUILD/snapctl" "$BUILD/procsnap-worker" "$BUILD/procsnap-analyze" "$BUILD/targets/gohttp"
	find_tracer
	start_server
	mkdir -p "$BUILD/demo"
	core=$BUILD/demo/core.gohttp

	say
	say "A Go server runs as process $server:"
	run curl -s "http://$address/"
	say
	say "What a dump would hold, and how long it would take:"
	# shellcheck disable=SC2086 # tracer is one word, two, or none
	run $tracer "$BUILD/snapctl" dump --dry-run -o "$core" "$server"
	say
	say "The dump:"
	# shellcheck disable=SC2086
	run $tracer "$BUILD/snapctl" dump --force -o "$core" "$server"
	# shellcheck disable=SC2086
	[ -z "$tracer" ] || $tracer chown "$(id -u):$(id -g)" "$core"

	say
	say "The server is still there, and serves:"
	run curl -s "http://$address/"
	kill -0 "$server" 2>/dev/null || die "process $server is gone"
	echo check >&3
	verdict=$(server_line '\(ok\|FAIL\)') || die "the server does not answer"
	[ "$verdict" = ok ] || die "the server complains: $verdict"
	say "It has the same pid, $server, and its own check of threads, timers and data says: $verdict"

	say
	run ls -lsh "$core"
	show_core "$core"
	say
	say "The core stays in $core; it holds the memory of the server."
	say "Remove it with: rm -r $BUILD/demo"
}

# -- check -------------------------------------------------------------------------------------

deps() {
	ensure "$BUILD_NEED $MAN_NEED $TEST_NEED" "$TEST_WANT"
	ensure '' "$(clang_runtime)"
}

# Runs `make check` and prints what it prints, but keeps its closing line for the end. Leaves the
# exit status in the file $1 and that line in $1.summary.
make_check() {
	{
		status=0
		make BUILD="$BUILD" check 2>&1 </dev/null || status=$?
		echo "$status" >"$1"
	} | {
		summary=
		while IFS= read -r line || [ -n "$line" ]; do
			case $line in
			[0-9]*' passed, '[0-9]*' failed'*) summary=$line ;;
			*) printf '%s\n' "$line" ;;
			esac
		done
		printf '%s\n' "$summary" >"$1.summary"
	}
}

check() {
	deps
	prepare_environment
	mkdir -p "$BUILD"
	# Go of other versions, for tests that are skipped without. Says itself what it cannot get.
	timeout 600 tests/golang/fetch || say "tests/golang/fetch: not all is there"
	timeout 120 tests/tools/fetch-coredumpctl
	lint=0
	make -j "$(nproc)" BUILD="$BUILD" WERROR=1 all || die "the build failed"
	if have clang-tidy && have cppcheck && have shellcheck && have codespell && have mandoc; then
		make BUILD="$BUILD" lint || lint=$?
	else
		say "make lint: skipped, for want of the programs it runs"
	fi
	make_check "$BUILD/check.status"
	status=$(cat "$BUILD/check.status")
	summary=$(cat "$BUILD/check.status.summary")
	rm -f "$BUILD/check.status" "$BUILD/check.status.summary"
	[ "$lint" = 0 ] || say "make lint has failed, see above"
	[ -n "$summary" ] || die "make check came to no end"
	say "$summary"
	[ "$lint" = 0 ] && [ "$status" = 0 ]
}

# -- Verbs -------------------------------------------------------------------------------------

usage() {
	cat <<'EOF'
Usage: ./setup.sh VERB

On Debian 12 or later and Ubuntu 22.04 or later, as root or with sudo:

  demo   Install what it takes, build, start a Go HTTP server, dump it while it
         runs, and show that it still runs and what is in the core
  check  Install what it takes, build, and run all checks and tests
  deps   Only install what building and testing take
  help   Show this help

Only packages that are missing are installed, with apt-get. BUILD=DIR builds
into DIR instead of build.
EOF
}

case ${1:-} in
deps | demo | check)
	[ $# = 1 ] || die "'$1' takes no arguments; see './setup.sh help'"
	"$1"
	;;
help | -h | --help)
	usage
	;;
'')
	usage >&2
	exit 2
	;;
*)
	die "there is no verb '$1'; see './setup.sh help'"
	;;
esac
