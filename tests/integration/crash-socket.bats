#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The coredump socket of Linux 6.17: what is refused before the kernel has written a byte, and what comes
# through it otherwise.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # other shells expand; each test is a process

load common
load ../tools/daemon
load ../tools/crash

CRASHER=$TOOLS/crasher

# policy LINE...: the daemon, with these lines in [Crash].
policy() {
	crash_listener
	daemon_start '[Crash]' "$@"
	ulimit -c unlimited
}

# crash_counted COMMAND...: as crash_child, and counts what was written meanwhile by the process and, in
# its name, by the kernel: SENT bytes. STATUS is what wait() tells.
crash_counted() {
	python3 - "$@" >"$DIR/counted" 2>"$DIR/child.err" 3>&- 4>&- <<-'END'
		import os, sys
		def written():
		    with open("/proc/self/io") as io: # with those of children that were waited for
		        return int(io.read().split("wchar:")[1].split()[0])
		before = written()
		pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ,
		    file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
		status = os.waitpid(pid, 0)[1]
		print(pid, status, written() - before)
	END
	read -r PID STATUS SENT <"$DIR/counted"
}

with_core() {
	recorded
	record
	get_core
	well_formed
}

# Hooks that work, but not who waits for crashes.
at_work() {
	hooks | grep -vx "$LISTENER"
}

no_hook_works() {
	[ -z "$(at_work)" ]
}

@test "what policy refuses is recorded, and the kernel writes no byte of it" {
	policy 'Rule=comm:none none' 'Rule=comm:thin stacks'
	# That the bytes are counted is seen of one that is kept.
	crash_counted "$CRASHER" mib:64 null
	[ "$STATUS" -eq $((11 | 128)) ]
	[ "$SENT" -gt 4096 ]
	with_core
	record_has '.PROCSNAP_DEGRADED == null and .PROCSNAP_MODE == "crash"'
	# More than a socket, or anybody's buffer, could hold.
	crash_counted "$CRASHER" mib:256 comm:none null
	[ "$STATUS" -eq 11 ]
	[ "$SENT" -eq 0 ]
	without_core 'Rule=comm:none none'
	record_has '.PROCSNAP_MODE == "rejected" and .COREDUMP_SIGNAL == "11" and .COREDUMP_COMM == "none"'
	record_has '.COREDUMP_BY_PIDFD == "1" and (.COREDUMP_EXE | endswith("/crasher"))'
	record_has '.COREDUMP_CMDLINE | contains("mib:256")'
	# As much as is wanted is still taken, by the same rules.
	crash_counted "$CRASHER" mib:8 threads:3 comm:thin signal:6
	[ "$((STATUS & 127))" -eq 6 ]
	with_core
	record_has '.PROCSNAP_DEGRADED == "stacks" and .COREDUMP_SIGNAL == "6"'
	# Several threads, and another signal.
	crash_counted "$CRASHER" threads:3 comm:none signal:8
	[ "$STATUS" -eq 8 ]
	[ "$SENT" -eq 0 ]
	without_core 'Rule=comm:none none'
	record_has '.COREDUMP_SIGNAL == "8"'
	wait_for no_hook_works
	crash_folder_is_empty
	daemon_lives
}

@test "RLIMIT_CORE refuses with a daemon and without" {
	policy
	crash_counted bash -c 'ulimit -c 0; exec "$@"' sh "$CRASHER" mib:16 null
	[ "$STATUS" -eq 11 ]
	[ "$SENT" -eq 0 ]
	without_core 'RLIMIT_CORE, ulimit -c) is 0 bytes'
	daemon_stop
	crash_counted bash -c 'ulimit -c 3; exec "$@"' sh "$CRASHER" mib:16 null
	[ "$STATUS" -eq 11 ]
	[ "$SENT" -eq 0 ]
	left
	[ ! -e "$FOLDER/core" ]
	local first=$PID
	# Nobody else decides now.
	crash_counted "$CRASHER" mib:1 null
	left
	[ -e "$FOLDER/core" ]
	daemon_again
	with_core
	PID=$first
	without_core 'RLIMIT_CORE, ulimit -c) is 3072 bytes'
}

@test "rates refuse, duplicates are told by their cores, and each crash counts once" {
	policy RateLimit=2/1h DuplicateLimit=1/1h
	crash_counted "$CRASHER" null
	with_core
	# Whether it is the same is known from the core.
	crash_counted "$CRASHER" null
	[ "$SENT" -gt 0 ]
	without_core 'DuplicateLimit=1/1h'
	record_has '.PROCSNAP_SUPPRESSED == "1" and .PROCSNAP_MODE == null'
	crash_counted "$CRASHER" signal:8
	with_core
	record_has '.PROCSNAP_SUPPRESSED == "1"'
	local i
	for i in 1 2; do
		crash_counted "$CRASHER" signal:6
		[ "$SENT" -eq 0 ]
		without_core 'RateLimit=2/1h'
		record_has ".PROCSNAP_SUPPRESSED == \"$i\" and .PROCSNAP_MODE == \"rejected\""
	done
}

@test "a daemon that hangs refuses nothing, and holds nobody up for long" {
	policy 'Rule=comm:none none'
	kill -STOP "$DAEMON"
	crash_counted "$CRASHER" comm:none null
	[ "$SENT" -gt 4096 ]
	left
	[ -e "$FOLDER/core" ]
	kill -CONT "$DAEMON"
	without_core 'Rule=comm:none none'
	wait_for no_hook_works
}

@test "many that are refused leave records, and no hook, folder or descriptor behind" {
	policy 'Rule=comm:none none'
	local before pids=() i
	crash_counted "$CRASHER" comm:none null
	without_core 'Rule=comm:none none'
	wait_for no_hook_works
	before=$(find "/proc/$LISTENER/fd" | wc -l)
	for ((i = 0; i < 100; i++)); do
		crash_begin "$CRASHER" mib:1 comm:none null
		pids+=("$PID")
	done
	for i in "${pids[@]}"; do
		wait "$i" || true
	done
	wait_for no_hook_works
	wait_for crash_folder_is_empty
	[ "$(find "/proc/$LISTENER/fd" | wc -l)" = "$before" ]
	[ "$(cat "$STORE"/records/*.json | jq -r 'select(.fields.PROCSNAP_MODE == "rejected") |
		.fields.COREDUMP_PID' | sort -u | wc -l)" = 101 ]
	daemon_lives
}

@test "a hook that is killed before it has answered: the process ends, and there is a record" {
	policy
	kill -STOP "$DAEMON"
	crash_begin "$CRASHER" mib:64 null
	wait_for hook_has_folder
	at_work | xargs kill -KILL
	wait "$PID" || signal=$(($? - 128))
	[ "$signal" = 11 ]
	kill -CONT "$DAEMON"
	# It looks a minute later who still works on the folder, or at once when it starts.
	daemon_stop
	daemon_again
	record
	record_has '.PROCSNAP_DEGRADED == "record" and .COREDUMP_SIGNAL == "11"'
	wait_for no_hook_works
}

hook_has_folder() {
	[ -n "$(find "$STORE/crash" -name facts -size +0)" ]
}

@test "who connects and is no crash gets no answer, and leaves nothing" {
	policy
	python3 - "$LISTENS" <<-'END'
		import socket, struct, sys
		request = struct.pack("=IIQ", 16, 16, 15)
		for words in (b"", request, request + b"\x7fELF" * 1000):
		    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
		    client.connect(sys.argv[1])
		    try:
		        client.sendall(words)
		        got = client.recv(4096)
		    except ConnectionError:
		        got = b""
		    assert got == b"", got
	END
	wait_for no_hook_works
	crash_folder_is_empty
	[ $((0$(stat -c %a "$LISTENS") & 077)) = 0 ]
	never by 54321 python3 -c 'import socket, sys
socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).connect(sys.argv[1])' "$LISTENS" 2>/dev/null
	# Whoever comes next is served.
	crash_counted "$CRASHER" null
	with_core
}
