#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The Debian package: what `make deb` builds, and what it does in a booted systemd: from the install
# through dumps under the hardened unit to the purge. The tests with "installed:" go on where the one
# before them ended, in one container.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # other shells expand; each test is a process

load common

setup_file() {
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	PLACE=$(mktemp -d "${PROCSNAP_TEST_DIR:-/var/tmp}/procsnap-package.XXXXXX")
	chmod 755 "$PLACE" # users in the container walk through it
	DEB=$PLACE/deb BOX=$PLACE/box NSPAWN='' LEADER='' NO_DEB='' NO_BOX=''
	export ROOT PLACE DEB BOX NSPAWN LEADER NO_DEB NO_BOX
	build_package || return 1
	[ -n "$NO_DEB" ] || boot
	[ -z "$NO_DEB" ] || NO_BOX=$NO_DEB
}

teardown_file() {
	if [ -n "$LEADER" ]; then
		inside systemctl --no-block poweroff </dev/null >/dev/null 2>&1 3>&- || true
		for _ in {1..100}; do
			kill -0 "$NSPAWN" 2>/dev/null || break
			sleep 0.1
		done
	fi
	# Takes all of its pid namespace along.
	[ -z "$LEADER" ] || kill -KILL "$LEADER" 2>/dev/null || true
	[ -z "$NSPAWN" ] || kill -KILL "$NSPAWN" 2>/dev/null || true
	find /sys/fs/cgroup -depth -path "*/${PLACE##*/}*" -type d -exec rmdir {} \; 2>/dev/null || true
	rm -rf "$PLACE"
}

build_package() {
	local c
	[ -z "${PROCSNAP_SANITIZED:-}" ] || NO_DEB="packages are not built with sanitizers"
	for c in dpkg-buildpackage:dpkg-dev dh:debhelper scdoc:scdoc; do
		command -v "${c%:*}" >/dev/null || NO_DEB="${c#*:} is not installed"
	done
	[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || NO_DEB="packages are for amd64 only"
	[ -z "$NO_DEB" ] || return 0
	# Not the options of the make that runs the tests.
	if ! (cd "$ROOT" && unset MAKEFLAGS MFLAGS MAKELEVEL SANITIZE WERROR CFLAGS &&
		make BUILD="$PLACE" deb) >"$PLACE/log" 2>&1 3>&-; then
		cat "$PLACE/log"
		return 1
	fi
	for DEB in "$PLACE"/deb/procsnap_*.deb; do :; done
	mkdir "$PLACE/unpacked"
	dpkg-deb -x "$DEB" "$PLACE/unpacked"
}

# ---- a booted systemd -----------------------------------------------------------------------

# Names of the packages that the package depends on, the first of alternatives.
dependencies() {
	dpkg-deb -f "$DEB" Depends | tr , '\n' | sed -nE 's/^ *([a-z0-9.+-]+).*/\1/p' | sort -u
}

# Sets LEADER, the container's process 1, or NO_BOX to why there is no container.
boot() {
	local c caps base
	caps=$(sed -n 's/^CapEff:\t//p' /proc/self/status)
	if [ "$(id -u)" != 0 ] || ! ((0x$caps >> 21 & 1)); then
		NO_BOX="needs root with CAP_SYS_ADMIN"
		return
	fi
	for c in systemd-nspawn:systemd-container nsenter:util-linux; do
		command -v "${c%:*}" >/dev/null || NO_BOX="${c#*:} is not installed"
	done
	[ -z "$NO_BOX" ] || return 0
	# shellcheck disable=SC2046 # a list of packages
	if ! base=$("$ROOT/tests/tools/sysroot" $(dependencies) 3>&-); then
		NO_BOX="no system to boot: ${base##*$'\n'}"
		return
	fi
	cp -a --reflink=auto "$base" "$BOX"
	mkdir -m 1777 "$BOX/srv/out" # /tmp is a file system that only it sees
	mkdir "$BOX/opt/t"
	cp "$BUILD"/targets/{simple,memory,gap-probe} "$BOX/opt/t"
	[ ! -x "$BUILD/targets/gohttp" ] || cp "$BUILD/targets/gohttp" "$BOX/opt/t"
	cp "$DEB" "$BOX/opt/procsnap.deb"
	cat >"$PLACE/boot" <<-'END'
		#!/bin/sh
		# A manager of its own needs no other: no unit, and a part of the tree of control groups
		# that is not anybody else's. /run is covered, since nspawn writes there.
		if ! [ -d /run/systemd/system ]; then
			for tree in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
				[ -e "$tree/cgroup.procs" ] || continue
				mkdir "$tree/$2" && echo $$ >"$tree/$2/cgroup.procs"
			done
			mount -t tmpfs tmpfs /run
			mkdir -p /run/systemd
			keep=--keep-unit
		fi
		export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
		# The capability is one that hosts have, and containers by default not.
		exec systemd-nspawn --quiet --register=no $keep -D "$1" --boot --console=pipe \
			--capability=CAP_CHECKPOINT_RESTORE
	END
	unshare -m sh "$PLACE/boot" "$BOX" "${PLACE##*/}" </dev/null >"$PLACE/boot.log" 2>&1 3>&- &
	NSPAWN=$!
	disown "$NSPAWN"
	wait_for is_up || { NO_BOX="the container does not boot: $(tail -n 1 "$PLACE/boot.log")" && return; }
	inside useradd -m alice
	inside useradd -m bob
	everything >"$PLACE/before"
}

is_up() {
	kill -0 "$NSPAWN" || return 0
	LEADER=$(cat "/proc/$NSPAWN/task/"*/children | tr -d ' ')
	[ -n "$LEADER" ] && inside systemctl is-system-running | grep -qE 'running|degraded'
}

# Runs a command in the container, with nothing of our environment.
inside() {
	nsenter -t "$LEADER" -m -u -i -n -p -C -r -w -- \
		env -i PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8 "$@" 3>&- 4>&-
}

# Files and folders of the container, but what changes by itself and what dpkg knows of packages.
everything() {
	inside find / -xdev \( -path /proc -o -path /sys -o -path /tmp -o -path /opt -o -path /var/tmp \
		-o -path /var/log -o -path '/var/lib/dpkg' -o -path /var/lib/systemd -o -path /home -o -path /srv \
		-o -path '/etc/*shadow*' -o -path '/etc/*-' -o -path /etc/.pwd.lock -o -path /var/cache \
		\) -prune -o -print | sort
}

need_deb() {
	[ -z "$NO_DEB" ] || skip "$NO_DEB"
}

need_box() {
	[ -z "$NO_BOX" ] || skip "$NO_BOX"
}

need_installed() {
	need_box
	inside test -x /usr/bin/snapctl || fail "the package is not installed"
}

# as USER ARGUMENT...: snapctl in the container; $status, $output, $errors.
as() {
	status=0
	inside runuser -u "$1" -- snapctl "${@:2}" >"$DIR/stdout" 2>"$DIR/stderr" || status=$?
	output=$(tr -d '\0' <"$DIR/stdout")
	errors=$(tr -d '\0' <"$DIR/stderr")
}

# unit NAME 'PROPERTY...' COMMAND...: a target in a unit of the container; PID is its number there.
unit() {
	local property options=()
	for property in $2; do
		options+=(-p "$property")
	done
	cat >"$DIR/unit.$1" <<-END
		#!/bin/bash
		exec nsenter -t $LEADER -m -u -i -n -p -C -r -w -- systemd-run --quiet --pipe --wait --collect \
			--unit=$(printf '%q ' "$1" "${options[@]}") "\$@"
	END
	chmod 755 "$DIR/unit.$1"
	target_start "$DIR/unit.$1" "${@:3}"
}

# Nothing was said that a user would wonder about, such as a summary that could not be made.
quietly() {
	expect 0
	[[ $errors != *warning* ]] || fail "it says: $errors"
}

service() { # PROPERTY
	inside systemctl show -P "$1" procsnapd.service
}

service_pid() {
	service MainPID
}

# ---- the package ----------------------------------------------------------------------------

@test "make deb: lintian has nothing to say" {
	need_deb
	need_command lintian
	run lintian --allow-root --fail-on error,warning "$PLACE"/deb/*.changes
	[ "$status" = 0 ] && [ -z "$output" ] || fail "$output"
}

@test "the version is that of the Makefile and of the changelog" {
	need_deb
	local version
	version=$(sed -n 's/^VERSION := //p' "$ROOT/Makefile")
	[ "$(dpkg-deb -f "$DEB" Version)" = "$version" ]
	[ "$("$PLACE/unpacked/usr/bin/snapctl" --version)" = "snapctl $version" ]
}

@test "what make install installs is in it" {
	need_deb
	local file missing=
	cd "$PLACE/unpacked"
	for file in usr/bin/snapctl \
		usr/libexec/procsnap/procsnap{d,-worker,-analyze,-unwind,-corehook}; do
		[ -x "$file" ] || missing+=" $file"
	done
	for file in "$ROOT"/man/*.scd; do
		file=${file##*/} file=${file%.scd}
		[ -s "usr/share/man/man${file##*.}/$file.gz" ] || missing+=" $file"
	done
	for file in usr/lib/{sysusers.d/procsnap.conf,tmpfiles.d/procsnap.conf,systemd/catalog/procsnap.catalog} \
		usr/share/{bash-completion/completions/snapctl,zsh/vendor-completions/_snapctl} \
		usr/share/fish/vendor_completions.d/snapctl.fish etc/procsnap/procsnap.conf \
		usr/share/polkit-1/actions/io.procsnap.policy; do
		[ -s "$file" ] || missing+=" $file"
	done
	for file in procsnapd.socket procsnapd.service; do
		[ -s "lib/systemd/system/$file" ] || [ -s "usr/lib/systemd/system/$file" ] || missing+=" $file"
	done
	[ -z "$missing" ] || fail "missing:$missing"
	! grep -r @LIBEXECDIR@ . || fail "a name that was not filled in"
}

@test "snapd, which has a snapctl too, cannot be there at the same time" {
	need_deb
	[ "$(dpkg-deb -f "$DEB" Conflicts)" = snapd ]
}

@test "procsnap.conf has every key with its default, and is a configuration file to dpkg" {
	need_deb
	[ "$(dpkg-deb -I "$DEB" conffiles)" = /etc/procsnap/procsnap.conf ]
	# KEY("Store", "MaxUse", ..., "10%"), over one or two lines
	diff -u --label daemon/config.c --label procsnap.conf \
		<(tr -d '\n' <"$ROOT/daemon/config.c" | grep -oE '\sKEY\("[^;]*,\s*"[^"]*"\)' |
			sed 's/\(KEY("\)/\n\1/g' |
			sed -nE 's/^KEY\("(\w+)", "(\w+)",.*"([^"]*)"\).*/[\1] #\2=\3/p') \
		<(awk '/^\[/ { section = $0 } /^#[A-Z][A-Za-z]+=/ { print section, $0 }' \
			"$PLACE/unpacked/etc/procsnap/procsnap.conf")
	no grep -vE '^(#.*|\[[A-Z][a-z]+\]|)$' "$PLACE/unpacked/etc/procsnap/procsnap.conf"
}

@test "the unit: openat2() stays, without which no program of a process is opened" {
	need_deb
	no grep '^RestrictSUIDSGID=yes' "$(find "$PLACE/unpacked" -name procsnapd.service)"
}

@test "the unit: exposure at most 3.0" {
	need_deb
	need_command systemd-analyze
	local unit
	unit=$(find "$PLACE/unpacked" -name procsnapd.service)
	systemd-analyze --help | grep -q -- --offline || skip "this systemd-analyze has no --offline"
	run systemd-analyze security --no-pager --offline=yes --threshold=30 "$unit"
	[ "$status" = 0 ] || fail "$output"
}

# ---- installed ------------------------------------------------------------------------------

@test "installed: the socket listens, the service waits for somebody to ask" {
	need_box
	inside dpkg -i /opt/procsnap.deb
	inside systemctl is-active procsnapd.socket
	inside systemctl is-enabled procsnapd.socket
	[ "$(service ActiveState)" = inactive ]
	no inside systemctl is-enabled procsnapd.service
	inside getent group procsnap
	inside journalctl --list-catalog 1f4e0a44a88649939aaea34fc6da8c95
	[ "$(inside stat -c '%a %U %G' /var/lib/procsnap)" = "755 root root" ]
}

@test "installed: systemd-analyze verify is silent" {
	need_installed
	run inside systemd-analyze verify --man=no procsnapd.service procsnapd.socket
	[ "$status" = 0 ] && [ -z "$(grep procsnap <<<"$output")" ] || fail "$output"
}

@test "installed: a dump of root's starts the service, and the target does not notice" {
	need_installed
	unit t-first '' /opt/t/simple
	as root dump -o /srv/out/core "$PID"
	quietly
	target_ok
	[ "$(service ActiveState)" = active ]
	CORE=$BOX/srv/out/core
	well_formed
	verify_content
	# By the service indeed.
	inside journalctl -q -u procsnapd.service | grep -q "asks for a dump of process $PID, as root"
}

@test "installed: a dump of a user's, of his own process and of no other" {
	need_installed
	unit t-alice User=alice /opt/t/simple
	as alice dump -o /home/alice/core "$PID"
	quietly
	target_ok
	[ "$(inside stat -c '%a %U' /home/alice/core)" = "600 alice" ]
	CORE=$BOX/home/alice/core
	well_formed
	verify_content
	inside journalctl -q -u procsnapd.service |
		grep -q "asks for a dump of process $PID, in his own name"
	as bob dump -o /home/bob/core "$PID"
	expect $EX_DENIED
	inside test ! -e /home/bob/core
	target_ok
}

@test "installed: shared memory that nobody has mapped in is in the core" {
	need_installed
	unit t-memory '' /opt/t/memory
	as root dump -o /srv/out/core.memory "$PID"
	quietly
	target_ok
	CORE=$BOX/srv/out/core.memory
	verify_content dontdump secret past_eof file_shared hugetlb_shared # see memory.bats
}

# Where the program is in a /tmp that only its unit has, or in a home that its unit may not see.
confined='PrivateTmp=yes ProtectSystem=strict ProtectHome=read-only PrivateDevices=yes
	NoNewPrivileges=yes ProtectProc=invisible RestrictNamespaces=yes'

@test "installed: processes of confined units, of root and of a user" {
	need_installed
	local user
	for user in root alice; do
		unit "t-confined-$user" "User=$user $confined" \
			/bin/sh -c 'cp /opt/t/simple /tmp/program; exec /tmp/program'
		as "$user" dump --force -o "/srv/out/core.$user" "$PID"
		quietly
		target_ok
		CORE=$BOX/srv/out/core.$user
		well_formed
		verify_content
	done
}

@test "installed: goroutines of processes and in dumps, in plain and confined units" {
	need_installed
	need_target gohttp
	local user asker how
	for user in root alice; do
		for how in '' "$confined"; do
			unit "t-go-$user-${#how}" "User=$user $how" \
				/bin/sh -c 'cp /opt/t/gohttp /tmp/$$.go; exec /tmp/$$.go'
			for asker in root "$user"; do
				as "$asker" goroutines "$PID"
				expect 0
				[[ $output == *"main.parkMany"* ]] ||
					fail "$asker, $user, '$how':" "$output" "$errors"
				as "$asker" dump --force -o "/srv/out/core.go.$asker" "$PID"
				quietly
				[[ $output$errors == *" goroutines: "* ]] ||
					fail "no summary for $asker, $user, '$how':" "$output" "$errors"
			done
			target_ok
		done
	done
}

@test "installed: Arm= arms the Go programs of units, and users arm their own" {
	need_installed
	need_target gohttp
	inside sh -c 'mkdir -p /run/procsnap/procsnap.conf.d &&
		printf "[Crash]\nArm=t-arm-*\n" >/run/procsnap/procsnap.conf.d/arm.conf'
	as root reload
	quietly
	local user
	for user in root alice; do
		unit "t-arm-$user" "User=$user" /opt/t/gohttp
		wait_for is_armed || fail "$output" "$errors" \
			"$(inside journalctl -q --no-pager -n 20 -u procsnapd.service)"
		as "$user" disarm "$PID"
		expect 0
		as "$user" arm "$PID"
		expect 0
		as "$user" arm --list
		[[ $output == *" $PID "*" armed "* ]] || fail "$output" "$errors"
		as root disarm "t-arm-$user"
		expect 0
		target_ok
	done
	as bob arm "$PID"
	expect $EX_DENIED
	inside rm -r /run/procsnap/procsnap.conf.d
	as root reload
	quietly
}

is_armed() {
	as root arm --list
	[[ $output == *" $PID "*" armed "*" Arm=t-arm-*.service"* ]]
}

@test "installed: the store, the journal and the catalog" {
	need_installed
	local id
	unit t-store User=alice /opt/t/simple
	as alice dump --store "$PID"
	quietly
	as root list --json
	expect 0
	id=$(sed -nE 's/.*"id": *"([a-z0-9]+)".*/\1/p' <<<"$output" | tail -n 1)
	[ -n "$id" ] || fail "$output"
	as alice list
	[[ $output == *"$id"* ]] || fail "$output"
	as bob list
	[[ $output != *"$id"* ]] || fail "bob sees alice's dump"
	as alice get "$id" -o /home/alice/got
	quietly
	CORE=$BOX/home/alice/got
	verify_content
	recorded() {
		inside journalctl -q -u t-store.service | grep -q 'was dumped while it ran'
	}
	wait_for recorded
	[[ $(inside journalctl -q -x -u t-store.service) == *"snapctl get $id"* ]] ||
		fail "journalctl -x does not explain it"
	target_ok
}

@test "installed: coredumpctl has it" {
	need_installed
	inside test -x /usr/bin/coredumpctl || skip "coredumpctl is not in the container"
	unit t-ctl '' /opt/t/simple
	as root dump --store "$PID"
	quietly
	listed() {
		inside coredumpctl --no-pager list "$PID" 2>/dev/null | grep -q 'present .*/opt/t/simple'
	}
	wait_for listed
	output=$(inside coredumpctl --no-pager info "$PID")
	[[ $output == *"Unit: t-ctl.service"* && $output == *"/var/lib/procsnap/core.simple.0."* ]] ||
		fail "$output"
	inside coredumpctl --no-pager -o /srv/out/ctl dump "$PID" >/dev/null 2>&1
	CORE=$BOX/srv/out/ctl
	verify_content
}

@test "installed: every line of procsnap.conf is one that the daemon takes" {
	need_installed
	inside sh -c 'mkdir -p /run/procsnap/procsnap.conf.d &&
		sed -E "s/^#([A-Z][A-Za-z]+=)/\1/" /etc/procsnap/procsnap.conf >/run/procsnap/procsnap.conf.d/all.conf'
	as root reload
	inside rm -r /run/procsnap/procsnap.conf.d
	quietly
	[ -z "$(inside journalctl -q -u procsnapd.service | grep -F all.conf)" ]
}

@test "installed: a restart in the middle of a dump, and the target lives" {
	need_installed
	local client old
	unit t-big '' /opt/t/gap-probe 400 --touch --fill random
	as root status
	old=$(service_pid)
	inside snapctl dump --store "$PID" >"$DIR/client" 2>&1 &
	client=$!
	STARTED+=("$client")
	busy() {
		[ -n "$(inside pgrep -f '[p]rocsnap-worker')" ]
	}
	wait_for busy
	inside systemctl restart procsnapd.service
	! wait "$client" || fail "the dump was complete before the restart: $(cat "$DIR/client")"
	target_ok
	[ "$(service_pid)" != "$old" ]
	! busy || fail "a worker is left over"
	as root dump --store "$PID"
	quietly
	target_ok
}

@test "installed: an upgrade replaces the service, and keeps socket, dumps and configuration" {
	need_installed
	local old socket before
	unit t-upgrade '' /opt/t/simple
	as root dump --store "$PID"
	quietly
	as root list
	before=$output
	old=$(service_pid)
	socket=$(inside systemctl show -P ActiveEnterTimestampMonotonic procsnapd.socket)
	inside sed -i 's/^#MaxAge=.*/MaxAge=3w/' /etc/procsnap/procsnap.conf
	inside dpkg -i /opt/procsnap.deb </dev/null
	[ "$(service ActiveState)" = active ]
	[ "$(service_pid)" != "$old" ]
	[ "$(inside systemctl show -P ActiveEnterTimestampMonotonic procsnapd.socket)" = "$socket" ]
	inside grep -qx MaxAge=3w /etc/procsnap/procsnap.conf
	as root list
	[ "$output" = "$before" ] || fail "$output" "instead of" "$before"
	target_ok
}

@test "installed: an upgrade does not start a service that nobody uses" {
	need_installed
	inside systemctl stop procsnapd.service 2>/dev/null
	inside dpkg -i /opt/procsnap.deb </dev/null
	[ "$(service ActiveState)" = inactive ]
	inside systemctl is-active procsnapd.socket
}

# The settings of the kernel are those of the host, so the container gets files in their place.
fake_kernel() {
	inside sh -c 'mkdir -p /srv/k && cd /srv/k && printf "%s\n" "$1" >core_pattern &&
		echo 16 >core_pipe_limit && echo 2 >suid_dumpable &&
		for f in kernel/core_pattern kernel/core_pipe_limit fs/suid_dumpable; do
			umount "/proc/sys/$f" 2>/dev/null
			mount --bind "${f#*/}" "/proc/sys/$f" || exit 1
		done' sh "$1"
}

kernel_has() { # PATTERN LIMIT SUID_DUMPABLE
	diff -u <(printf '%s\n' "$@") <(inside sh -c 'cd /proc/sys && head -n 1 kernel/core_pattern &&
		cat kernel/core_pipe_limit fs/suid_dumpable')
}

SYSTEMD='|/lib/systemd/systemd-coredump %P %u %g %s %t 9223372036854775808 %h'
OURS='|/usr/libexec/procsnap/procsnap-corehook /var/lib/procsnap %P %u %g %s %t %c %d %F %I %h'

@test "installed: nobody has made it the handler of crashes, and in a container nobody can" {
	need_installed
	inside test ! -e /etc/sysctl.d/90-procsnap.conf
	inside test ! -e /var/lib/procsnap/handler.json
	as root handler install
	expect $EX_DENIED
	[[ $errors == *'run this on the host'* ]] || fail "$errors"
	as root handler uninstall
	expect 0
	as alice handler install
	expect $EX_DENIED
}

@test "installed: a service that cannot become the handler of crashes runs all the same" {
	need_installed
	inside sh -c 'mkdir -p /run/procsnap/procsnap.conf.d &&
		printf "[Crash]\nHandler=pipe\n" >/run/procsnap/procsnap.conf.d/handler.conf'
	inside systemctl restart procsnapd.service
	[ "$(service ActiveState)" = active ]
	inside rm -r /run/procsnap/procsnap.conf.d
	said() {
		inside journalctl -q -u procsnapd.service | grep -q 'run this on the host'
	}
	wait_for said
}

@test "installed: beside systemd-coredump, whose file in sysctl.d procsnap's wins over" {
	need_installed
	# Debian's pattern has a number instead of the limit of the process, and ours takes it over.
	local limit ours
	limit=$(cut -d' ' -f7 <<<"$SYSTEMD")
	ours=${OURS/\%c/$limit}
	inside test -x /lib/systemd/systemd-coredump || skip "systemd-coredump is not in the container"
	fake_kernel "$SYSTEMD"
	inside sh -c 'printf "kernel.core_pattern=%s\nkernel.core_pipe_limit=16\n" "$1" \
		>/usr/lib/sysctl.d/50-coredump.conf' sh "$SYSTEMD"
	as root handler status --root=/
	expect 0
	[[ $output == *'Handler: systemd-coredump'* ]] || fail "$output"
	as root handler install --root=/
	expect 0
	kernel_has "$ours" 1024 2
	# The next boot: another value first, then what sysctl.d says.
	fake_kernel '|/bin/false'
	inside /lib/systemd/systemd-sysctl
	kernel_has "$ours" 1024 2
	as root handler status --root=/
	expect 0
	as root handler uninstall --root=/
	expect 0
	kernel_has "$SYSTEMD" 16 2
	fake_kernel '|/bin/false'
	inside /lib/systemd/systemd-sysctl
	kernel_has "$SYSTEMD" 16 2
	inside rm /usr/lib/sysctl.d/50-coredump.conf
}

@test "installed: an upgrade keeps the handler of crashes, removal restores" {
	need_installed
	fake_kernel '|/bin/cat before procsnap %P'
	as root handler install --root=/
	expect 0
	inside dpkg -i /opt/procsnap.deb </dev/null
	kernel_has "$OURS" 1024 2
	inside test -e /etc/sysctl.d/90-procsnap.conf
	inside sh /var/lib/dpkg/info/procsnap.prerm upgrade 9.9
	kernel_has "$OURS" 1024 2
}

@test "installed: removed, it keeps dumps and configuration, and nothing runs" {
	need_installed
	as root status # starts it
	expect 0
	inside dpkg -r procsnap
	kernel_has '|/bin/cat before procsnap %P' 16 2
	inside test ! -e /etc/sysctl.d/90-procsnap.conf
	inside test ! -e /var/lib/procsnap/handler.json
	[ -z "$(inside pgrep -f '[p]rocsnap')" ]
	[ "$(service LoadState)" = not-found ]
	no inside systemctl is-active procsnapd.socket
	inside test ! -e /run/procsnap
	inside test -e /etc/procsnap/procsnap.conf
	[ -n "$(inside find /var/lib/procsnap -name 'core.*')" ]
}

@test "installed: purged, it leaves nothing" {
	need_box
	inside dpkg -P procsnap
	diff -u "$PLACE/before" <(everything)
	[ -z "$(inside systemctl list-unit-files --no-legend 'procsnap*')" ]
	[ -z "$(inside systemctl --failed --no-legend 'procsnap*')" ]
	[ -z "$(inside find /var/lib/systemd -name '*procsnap*')" ]
	no inside journalctl --list-catalog 1f4e0a44a88649939aaea34fc6da8c95 2>/dev/null
}
