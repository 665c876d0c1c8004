#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# snapctl handler, and Handler= of procsnapd: what is written in which order, what is remembered and
# restored, who wins at boot. Most of it happens below a folder with files like those of /proc/sys; the
# tests that begin with "kernel:" change the settings of this machine, which are restored whatever
# happens, also when the tests are killed.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154 # other shells expand; each test is a process

load common

FACTS='%P %u %g %s %t %c %d %F %I %h'
SYSTEMD='|/bin/cat /lib/systemd/systemd-coredump %P %u %g %s %t 9223372036854775808 %h'
BEFORE=$SYSTEMD

# A machine with systemd-coredump, below $R; and programs, of which the hook is one for tests.
machine() {
	need_root
	R=$DIR/root BIN=$DIR/bin HOOK=$DIR/bin/procsnap-corehook
	mkdir -p "$BIN" "$R"/{etc,usr/lib}/sysctl.d "$R/var/lib" "$R"/proc/{net,sys/fs,sys/kernel}
	cp "$BUILD/snapctl" "$BUILD/procsnapd" "$BIN"
	hook 'exit 0'
	kernel "$BEFORE" 16 0
	echo 6.18.0 >"$R/proc/sys/kernel/osrelease"
	printf 'file\npipe\nsocket\n' >"$R/proc/sys/kernel/core_modes"
	echo 'Num RefCount Protocol Flags Type St Inode Path' >"$R/proc/net/unix"
	printf 'kernel.core_pattern=%s\nkernel.core_pipe_limit=16\nfs.suid_dumpable=2\n' "$SYSTEMD" \
		>"$R/usr/lib/sysctl.d/50-coredump.conf"
	OURS="|$HOOK /var/lib/procsnap $FACTS"
	MEMORY=$R/var/lib/procsnap/handler.json FILE=$R/etc/sysctl.d/90-procsnap.conf
}

hook() {
	rm -f "$HOOK"
	printf '#!/bin/sh\n[ "$1" = --version ] || exit 1\n%s\n' "$1" >"$HOOK"
	chmod 755 "$HOOK"
}

kernel() { # PATTERN LIMIT SUID_DUMPABLE
	printf '%s\n' "$1" >"$R/proc/sys/kernel/core_pattern"
	echo "$2" >"$R/proc/sys/kernel/core_pipe_limit"
	echo "$3" >"$R/proc/sys/fs/suid_dumpable"
}

kernel_has() { # PATTERN LIMIT SUID_DUMPABLE
	diff -u <(printf '%s\n' "$@") <(cat "$R"/proc/sys/kernel/core_{pattern,pipe_limit} \
		"$R/proc/sys/fs/suid_dumpable")
}

listens() { # PATH
	echo "0000000000000000: 00000002 00000000 00010000 0001 01  4711 $1" >>"$R/proc/net/unix"
}

# handler ACTION...: $status and $output.
handler() {
	run "$BIN/snapctl" handler --root="$R" "$@"
}

good() {
	[ "$status" = 0 ] || fail "status $status:" "$output"
}

bad() { # STATUS TEXT
	[ "$status" = "$1" ] || fail "status $status instead of $1:" "$output"
	[[ $output == *"$2"* ]] || fail "no '$2' in:" "$output"
}

nothing_changed() {
	kernel_has "$BEFORE" 16 0
	[ ! -e "$MEMORY" ] && [ ! -e "$FILE" ] || fail "something is left"
}

status_has() { # FILTER of jq
	handler status --json
	jq -e "$1" <<<"$output" >/dev/null || fail "not so: $1" "$output"
}

# ---- install and uninstall -------------------------------------------------------------------

@test "install and uninstall: all is as before, and no file is left" {
	machine
	local before
	before=$(cd "$R" && find . -type f -exec md5sum {} + | sort)
	handler install
	good
	kernel_has "$OURS" 1024 2
	[ "$(stat -c '%a %u' "$MEMORY")" = "600 0" ]
	[ "$(grep -v '^#' "$FILE")" = "kernel.core_pattern=$OURS
kernel.core_pipe_limit=1024
fs.suid_dumpable=2" ]
	[ "$(stat -c %a "$FILE")" = 644 ]
	status_has '.installed and .problems == [] and .runtime == false'
	handler uninstall
	good
	diff -u - <(cd "$R" && find . -type f -exec md5sum {} + | sort) <<<"$before"
	handler uninstall
	good
	[[ $output == *"nothing is changed"* ]]
	kernel_has "$BEFORE" 16 0
}

@test "installed twice: what was there before is not ourselves" {
	machine
	handler install
	handler install
	good
	handler install --runtime --store="$DIR"
	good
	kernel_has "|$HOOK $DIR $FACTS" 1024 2
	[ ! -e "$FILE" ]
	status_has ".runtime and .before.\"kernel.core_pattern\" == \"$BEFORE\""
	handler uninstall
	good
	nothing_changed
}

@test "byte for byte: patterns that are no text" {
	machine
	local pattern
	for pattern in '' ' core %e ' $'\xff\xfe\\x41\t"core' "$(printf '%0127d' 0)"; do
		kernel "$pattern" 0 1
		handler install
		good
		handler uninstall
		good
		kernel_has "$pattern" 0 1
	done
}

@test "a limit in systemd-coredump's pattern is taken over, also by a second install" {
	machine
	kernel '|/lib/systemd/systemd-coredump %P %u %g %s %t 9223372036854775808 %h %d' 16 2
	OURS="|$HOOK /var/lib/procsnap ${FACTS/\%c/9223372036854775808}"
	local _
	for _ in 1 2; do
		handler install
		good
		kernel_has "$OURS" 1024 2
		grep -qxF "kernel.core_pattern=$OURS" "$FILE"
	done
	handler uninstall
	good
	kernel '|/usr/lib/systemd/systemd-coredump %P %u %g %s %t %c %h %d %F' 16 2
	handler install
	good
	kernel_has "|$HOOK /var/lib/procsnap $FACTS" 1024 2
}

@test "somebody else has become the handler: told, left alone, --force" {
	machine
	handler install
	kernel '|/bin/true %P' 1024 2
	handler status
	bad 1 'somebody else has set kernel.core_pattern since'
	handler uninstall
	bad 1 "'|/bin/true %P'"
	kernel_has '|/bin/true %P' 1024 2
	[ ! -e "$FILE" ] # it would come back at the next boot
	handler uninstall --force
	good
	nothing_changed
}

@test "somebody else has changed another value: it stays" {
	machine
	handler install
	kernel "$OURS" 64 2
	handler uninstall
	good
	[[ $output == *"core_pipe_limit has been changed to '64'"* ]]
	kernel_has "$BEFORE" 64 0
}

@test "installed over somebody who came in between: he is who is remembered" {
	machine
	handler install
	kernel '|/bin/true %P' 7 1
	handler install
	good
	handler uninstall
	good
	kernel_has '|/bin/true %P' 7 1
}

@test "the handler from before is gone: that of sysctl.d, or the kernel's own" {
	machine
	kernel "|$DIR/gone %P" 16 0
	handler install
	handler uninstall
	good
	[[ $output == *"is not there any more"* ]]
	kernel_has "$SYSTEMD" 16 0
	rm "$R/usr/lib/sysctl.d/50-coredump.conf"
	kernel "|$DIR/gone %P" 16 0
	handler install
	handler uninstall
	good
	kernel_has core 16 0
}

@test "what was there before got lost: that of sysctl.d" {
	machine
	handler install
	rm "$MEMORY"
	handler uninstall
	good
	kernel_has "$SYSTEMD" 16 2
	[ ! -e "$FILE" ]
}

@test "installed until the next boot: forgotten after it" {
	machine
	handler install --runtime
	sed -i 's/"boot_id":"[^"]*"/"boot_id":"another"/' "$MEMORY"
	kernel '|/bin/true boot' 3 1
	handler uninstall
	good
	kernel_has '|/bin/true boot' 3 1
	[ ! -e "$MEMORY" ]
}

@test "a damaged memory is an error that names the file" {
	machine
	handler install
	echo '{' >"$MEMORY"
	handler uninstall
	bad 1 "$MEMORY"
	kernel_has "$OURS" 1024 2
	handler status
	bad 1 "$MEMORY"
}

# ---- what is checked before -------------------------------------------------------------------

@test "no hook, or one that cannot be run: nothing is changed" {
	machine
	hook 'exit 3'
	handler install
	bad 1 'fails with status 3'
	hook 'kill -9 $$'
	handler install
	bad 1 'ended by signal 9'
	chmod 644 "$HOOK"
	handler install
	bad 1 'procsnap-corehook'
	rm "$HOOK"
	handler install
	bad 1 'procsnap-corehook'
	nothing_changed
}

@test "a hook that others can replace: nothing is changed" {
	machine
	chmod o+w "$HOOK"
	handler install
	bad 1 "others than root can write to '$HOOK'"
	chmod 755 "$HOOK"
	chmod g+w "$BIN"
	handler install
	bad 1 "others than root can write to '$BIN'"
	chmod 755 "$BIN"
	chown 1 "$HOOK"
	handler install
	bad 1 "others than root can write to '$HOOK'"
	nothing_changed
	handler status
	[[ $output == *"others than root can write"* ]]
}

@test "a pattern that is too long, a store that others can write to" {
	machine
	local long=$DIR/sssssssssssssssssssssssssssssssssssssssssssssssss
	mkdir "$long"
	handler install --store="$long"
	bad 1 'takes 127 bytes'
	mkdir -m 777 "$DIR/open"
	handler install --store="$DIR/open"
	bad 1 'writable for nobody else'
	handler install --store=relative
	bad 1 relative
	mkdir "$DIR/a b"
	handler install --store="$DIR/a b"
	bad 1 'without blanks'
	nothing_changed
}

@test "the socket: only where the kernel has it and somebody listens" {
	machine
	handler install --socket
	bad 1 'nobody listens'
	listens /run/procsnap/coredump.socket2
	handler install --socket
	bad 1 'nobody listens'
	listens /run/procsnap/coredump.socket
	local release
	for release in 6.16.9 5.19.0 x ''; do
		echo "$release" >"$R/proc/sys/kernel/osrelease"
		handler install --socket
		bad 1 'no coredump socket'
	done
	echo 7.0-rc1 >"$R/proc/sys/kernel/osrelease"
	printf 'file\npipe\n' >"$R/proc/sys/kernel/core_modes"
	handler install --socket
	bad 1 'no coredump socket'
	nothing_changed
	printf 'file\npipe\nsocket\n' >"$R/proc/sys/kernel/core_modes"
	handler install --socket
	good
	kernel_has '@@/run/procsnap/coredump.socket' 1024 2
	grep -qxF "kernel.core_pattern=$OURS" "$FILE" # nobody listens at boot
	status_has '.handler == "procsnap-socket" and .problems == []'
	sed -i '$d' "$R/proc/net/unix"
	handler status
	bad 1 'crashes are lost: nobody listens'
	handler uninstall
	good
	nothing_changed
}

@test "the kernel keeps another pattern than was written: all goes back" {
	machine
	ln -sf /dev/null "$R/proc/sys/kernel/core_pattern"
	handler install
	bad 1 'does not take'
	[ "$(cat "$R/proc/sys/kernel/core_pipe_limit")" = 16 ]
	[ "$(cat "$R/proc/sys/fs/suid_dumpable")" = 0 ]
	[ ! -e "$MEMORY" ] && [ ! -e "$FILE" ]
}

@test "sysctl.d cannot be written: all goes back" {
	machine
	rm -r "$R/etc/sysctl.d"
	handler install
	bad 1 90-procsnap.conf
	nothing_changed
}

@test "read-only settings, as in a container: told, nothing is changed" {
	machine
	need_mount
	run unshare -m sh -c 'mount --bind "$1/proc" "$1/proc" && mount -o remount,bind,ro "$1/proc" &&
		exec "$2" handler --root="$1" install' sh "$R" "$BIN/snapctl"
	bad $EX_DENIED 'read-only here'
	nothing_changed
}

@test "killed at any write, rename or unlink: no pattern points to nothing, uninstall restores" {
	machine
	need_command strace
	local call n pattern killed=0
	for call in write rename unlink; do
		for ((n = 1; n <= 8; n++)); do
			run strace -f -qq -o "$DIR/trace" -e "inject=$call:signal=KILL:when=$n" \
				"$BIN/snapctl" handler --root="$R" install
			[ "$status" = 0 ] || killed=$((killed + 1))
			pattern=$(cat "$R/proc/sys/kernel/core_pattern")
			[ "$pattern" = "$BEFORE" ] || [ "$pattern" = "$OURS" ] || fail "$call $n: $pattern"
			[ "$pattern" = "$BEFORE" ] || [ -e "$MEMORY" ] || fail "$call $n: forgotten"
			# Half of the time once more, which must not remember what we wrote.
			((n % 2)) || handler install
			run strace -f -qq -o "$DIR/trace" -e "inject=$call:signal=KILL:when=$n" \
				"$BIN/snapctl" handler --root="$R" uninstall
			handler uninstall
			good
			nothing_changed
		done
	done
	[ "$killed" -ge 4 ] || fail "only $killed were killed"
}

@test "several at once wait for one another" {
	machine
	local i pids=()
	for i in {1..8}; do
		"$BIN/snapctl" handler --root="$R" install 2>/dev/null 3>&- &
		pids+=("$!")
	done
	for i in "${pids[@]}"; do
		wait "$i"
	done
	handler uninstall
	good
	nothing_changed
}

@test "only root" {
	machine
	need_command setpriv
	chmod 755 "$DIR"
	run setpriv --reuid=65534 --regid=65534 --clear-groups "$BIN/snapctl" handler install
	bad $EX_DENIED 'only root'
	run setpriv --reuid=65534 --regid=65534 --clear-groups "$BIN/snapctl" handler uninstall
	bad $EX_DENIED 'only root'
	run setpriv --reuid=65534 --regid=65534 --clear-groups "$BIN/snapctl" handler --root="$R" status
	good
}

# ---- who wins at boot ----------------------------------------------------------------------------

@test "sysctl.d: ours wins over that of systemd-coredump, a later one over ours" {
	machine
	handler install
	[[ $output != *'at the next boot'* ]]
	status_has '[.boot[] | select(.wins).file] == ["/etc/sysctl.d/90-procsnap.conf"]'
	status_has '[.boot[].file] == ["/usr/lib/sysctl.d/50-coredump.conf", "/etc/sysctl.d/90-procsnap.conf"]'
	printf '# mine\nkernel.core_pattern = core\n' >"$R/etc/sysctl.d/99-sysctl.conf"
	handler status
	bad 1 "'/etc/sysctl.d/99-sysctl.conf', line 2"
	handler install
	good
	[[ $output == *"'/etc/sysctl.d/99-sysctl.conf', line 2"* ]]
	rm "$R/etc/sysctl.d/99-sysctl.conf" "$FILE"
	handler status
	bad 1 'at the next boot'
}

@test "a service that becomes the handler after sysctl.d was read: told, if it is enabled" {
	machine
	local service=systemd-coredumpd.service
	handler install
	mkdir -p "$R/usr/lib/systemd/system/sysinit.target.wants" "$R/etc/systemd/system/multi-user.target.wants"
	: >"$R/usr/lib/systemd/system/$service"
	handler status
	good
	ln -s /usr/lib/systemd/system/$service "$R/etc/systemd/system/multi-user.target.wants/$service"
	handler status
	bad 1 "at the next boot procsnap is not the handler: $service"
	handler install
	good
	[[ $output == *"systemctl disable --now $service"* ]]
	mv "$R/etc/systemd/system/multi-user.target.wants/$service" \
		"$R/usr/lib/systemd/system/sysinit.target.wants"
	handler status
	bad 1 "$service"
	ln -s /dev/null "$R/etc/systemd/system/$service"
	handler status
	good
	rm "$R/etc/systemd/system/$service"
	handler uninstall
	handler status
	[[ $output != *"$service"* ]]
}

@test "sysctl.d: systemd-sysctl itself takes ours" {
	machine
	local sysctl=/lib/systemd/systemd-sysctl
	[ -x $sysctl ] || skip "systemd-sysctl is not installed"
	$sysctl --help | grep -q -- --cat-config || skip "this systemd-sysctl has no --cat-config"
	need_mount
	handler install
	# The folders of the machine are covered with those of the test, and only read.
	run unshare -m sh -c 'mount --bind "$1/etc/sysctl.d" /etc/sysctl.d &&
		mount --bind "$1/usr/lib/sysctl.d" /usr/lib/sysctl.d && exec "$2" --cat-config' \
		sh "$R" $sysctl
	good
	[ "$(grep '^kernel.core_pattern' <<<"$output" | tail -n 1)" = "kernel.core_pattern=$OURS" ]
}

@test "status: whose it is, and what is wrong" {
	machine
	status_has '.handler == "other-pipe" and .installed == false and .before == null'
	kernel 'core' 0 0
	status_has '.handler == "file"'
	kernel '|/nonexistent/apport %P' 0 0
	handler status
	bad 1 "there is no program '/nonexistent/apport'"
	status_has '.handler == "apport"'
	kernel "$OURS" 0 0
	handler status
	bad 1 'core_pipe_limit is 0'
	status_has '.daemon_listens == false'
	kernel $'|/bin/true \e[31m' 0 0
	handler status
	[[ $output != *$'\e'* ]]
}

@test "status: whether somebody listens for hooks" {
	machine
	need_command python3
	mkdir -p "$R/var/lib/procsnap/crash"
	local socket=$R/var/lib/procsnap/crash/socket
	python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind(sys.argv[1])
s.listen()
time.sleep(1000)' "$socket" 3>&- 4>&- &
	STARTED+=($!)
	heard() {
		status_has '.daemon_listens'
	}
	wait_for heard
	end_child "${STARTED[-1]}"
	status_has '.daemon_listens == false and .daemon_starts == false'
	handler status
	[[ $output == *"Daemon: does not listen; crashes wait in the store"* ]]
	listens /run/procsnap/io.procsnap
	status_has '.daemon_listens == false and .daemon_starts'
	handler status
	[[ $output == *"Daemon: does not run; the next crash starts it"* ]]
}

# ---- the service ---------------------------------------------------------------------------------

service() { # start|stop HANDLER ON-STOP
	printf '[Crash]\nHandler=%s\nHandlerOnStop=%s\n' "$2" "$3" >"$DIR/conf"
	run "$BIN/procsnapd" --root="$R" --config="$DIR/conf" --handler="$1"
	good
}

@test "Handler=no: what there is stays" {
	machine
	service start no restore
	service stop no restore
	nothing_changed
	handler install
	service stop no restore
	kernel_has "$OURS" 1024 2
}

@test "Handler=pipe: kept or restored when the service stops" {
	machine
	service start pipe keep
	kernel_has "$OURS" 1024 2
	[ -e "$FILE" ]
	service stop pipe keep
	kernel_has "$OURS" 1024 2
	service start pipe restore
	kernel_has "$OURS" 1024 2
	[ ! -e "$FILE" ]
	service stop pipe restore
	nothing_changed
}

@test "Handler=socket: the pipe where there is no socket, and when nobody listens any more" {
	machine
	service start socket keep
	[[ $output == *'so it is the pipe'* ]]
	kernel_has "$OURS" 1024 2
	listens /run/procsnap/coredump.socket
	service start socket keep
	kernel_has '@@/run/procsnap/coredump.socket' 1024 2
	service stop socket keep # the unit of the socket still has it
	kernel_has '@@/run/procsnap/coredump.socket' 1024 2
	sed -i '$d' "$R/proc/net/unix"
	service stop socket keep
	kernel_has "$OURS" 1024 2
	handler uninstall
	nothing_changed
}

@test "Handler=: an error is told" {
	machine
	rm "$HOOK"
	printf '[Crash]\nHandler=pipe\n' >"$DIR/conf"
	run "$BIN/procsnapd" --root="$R" --config="$DIR/conf" --handler=start
	bad 1 procsnap-corehook
	run "$BIN/procsnapd" --handler=bogus
	bad $EX_USAGE handler
	nothing_changed
}

# ---- the kernel of this machine ------------------------------------------------------------------

KEYS='/proc/sys/kernel/core_pattern /proc/sys/kernel/core_pipe_limit /proc/sys/fs/suid_dumpable'

# Saves the settings. They are written back when this test ends, by a process that waits for the end of
# it, in a session of its own: whatever kills the test does not kill that.
guard_kernel() {
	local key lock
	machine
	# The lock of tests/tools/corepattern; whoever writes the settings back has it until then.
	exec {lock}>>"${PROCSNAP_TEST_DIR:-/var/tmp}/.procsnap-corepattern"
	flock -w 280 "$lock" || skip "another test has the settings of this machine"
	for key in $KEYS; do
		[ -w "$key" ] && cat "$key" >>"$DIR/saved" || skip "$key cannot be written here"
	done
	if [ "$(readlink /proc/self/ns/user)" != 'user:[4026531837]' ] ||
		[ "$(readlink /proc/self/ns/pid)" != 'pid:[4026531836]' ]; then
		skip "this is a container"
	fi
	# The kernel starts the hook where the first process is; which may be hidden from us.
	! [ -d /proc/1/root/proc ] || [ "$DIR" -ef "/proc/1/root$DIR" ] ||
		skip "$DIR cannot be seen from the first mount namespace"
	[[ $(readlink /proc/self/ns/mnt) =~ ^mnt:\[40265318(32|40|41)\]$ ]] ||
		[ "$(readlink /proc/self/ns/mnt)" = "$(readlink /proc/1/ns/mnt)" ] ||
		skip "this is not the first mount namespace"
	! grep -q procsnap /proc/sys/kernel/core_pattern || skip "procsnap handles crashes of this machine"
	[ ! -e /var/lib/procsnap/handler.json ] || skip "procsnap was installed on this machine"
	SAVED=$(cat "$DIR/saved") MADE=
	[ -d /var/lib/procsnap ] || MADE=/var/lib/procsnap
	mkfifo "$DIR/alive"
	# shellcheck disable=SC2086 # three words
	setsid bash -c 'read -r _ <"$1"
		for key in "${@:4}"; do
			read -r value && printf "%s\n" "$value" >"$key"
		done <<<"$2"
		rm -f /var/lib/procsnap/handler.json
		[ -z "$3" ] || rmdir "$3"' bash "$DIR/alive" "$SAVED" "$MADE" $KEYS \
		</dev/null >/dev/null 2>&1 3>&- 4>&- &
	GUARD=$!
	disown "$GUARD"
	exec {lock}>&- {ALIVE}>"$DIR/alive"
	at_end 'end_guard'
}

end_guard() {
	exec {ALIVE}>&-
	for _ in {1..200}; do
		[ -d "/proc/$GUARD" ] || break
		sleep 0.05
	done
	# shellcheck disable=SC2086 # three words
	[ "$(cat $KEYS)" = "$SAVED" ] || fail "the settings are not as they were"
}

@test "kernel: a crash starts the hook with all its facts; uninstall restores" {
	guard_kernel
	printf '%s\n' '#!/bin/sh' '[ "$1" != --version ] || exit 0' 'cd "${0%/*}"' 'cat >core.tmp' \
		'printf "%s\n" "$@" >facts.tmp' 'mv core.tmp core' 'mv facts.tmp facts' >"$HOOK"
	run "$BIN/snapctl" handler install --runtime
	good
	[ "$(cat /proc/sys/kernel/core_pattern)" = "$OURS" ]
	[ "$(cat /proc/sys/kernel/core_pipe_limit)" = 1024 ]
	[ "$(cat /proc/sys/fs/suid_dumpable)" = 2 ]
	run "$BIN/snapctl" handler status
	good
	sh -c 'ulimit -c 0; kill -SEGV $$; sleep 1000' 3>&- &
	local pid=$!
	wait "$pid" || true
	wait_for test -s "$BIN/facts"
	run cat "$BIN/facts"
	[ "${#lines[@]}" -ge 10 ]
	[ "${lines[0]}" = /var/lib/procsnap ]
	[ "${lines[1]}" = "$pid" ] && [ "${lines[2]}" = 0 ] && [ "${lines[4]}" = 11 ]
	[ "${lines[6]}" = 0 ] && [ "${lines[7]}" = 1 ] && [ "${lines[9]}" = "$pid" ]
	[ "$(head -c 4 "$BIN/core" | tr -d '\177')" = ELF ]
	run "$BIN/snapctl" handler uninstall
	good
	# shellcheck disable=SC2086 # three words
	[ "$(cat $KEYS)" = "$SAVED" ] || fail "the settings are not as they were"
	[ ! -e /var/lib/procsnap/handler.json ]
}

@test "kernel: the hook of this build has the crash in the store" {
	guard_kernel
	need_command jq
	mkdir "$DIR/s"
	run "$BUILD/snapctl" handler install --runtime --store="$DIR/s"
	[[ $output != *'takes 127 bytes'* ]] || skip "the build is too deep in the tree: $output"
	[[ $output != *'others than root can write'* ]] || skip "$output"
	good
	target_start simple
	prlimit --pid "$PID" --core=unlimited
	kill -ABRT "$PID"
	wait "${T_MAIN[CURRENT]}" || true
	there() {
		compgen -G "$DIR/s/crash/[0-9]*.$PID" >/dev/null
	}
	wait_for there
	local folder
	folder=$(echo "$DIR/s/crash/"[0-9]*."$PID")
	[ "$(head -c 4 "$folder/core" | tr -d '\177')" = ELF ] || fail "$(ls -la "$folder")"
	run "$BUILD/snapctl" handler uninstall
	good
	# shellcheck disable=SC2086 # three words
	[ "$(cat $KEYS)" = "$SAVED" ] || fail "the settings are not as they were"
}

@test "kernel: not from a container, nor for one" {
	guard_kernel
	need_mount
	local option
	for option in '--pid --fork --mount-proc' '--user --map-root-user'; do
		# shellcheck disable=SC2086 # several words
		run unshare $option "$BIN/snapctl" handler install --runtime
		[[ $output != unshare:* ]] || skip "$output"
		bad $EX_DENIED 'run this on the host'
	done
	run "$BIN/snapctl" handler install --runtime
	good
	# What the host's handler is stays when a package is removed in a container.
	run unshare --pid --fork --mount-proc sh -c 'mount -t tmpfs -o mode=755 tmpfs /var/lib/procsnap &&
		exec "$1" handler uninstall' sh "$BIN/snapctl"
	good
	[[ $output == *'it is the host'* ]] || fail "$output"
	[ "$(cat /proc/sys/kernel/core_pattern)" = "$OURS" ]
}
