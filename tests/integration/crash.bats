#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Crashes, from the signal to the dump in the store and the entry in the journal: real programs, the
# kernel's own core beside ours, a daemon that is there, is not there, or hangs, and what coredumpctl
# makes of it.
# shellcheck disable=SC2012,SC2016,SC2030,SC2031,SC2034,SC2086,SC2153,SC2154 # tools use what is set here

load common
load ../tools/daemon
load ../tools/journal
load ../tools/crash

CRASHER=$TOOLS/crasher

# The core of $ENTRY is a good one, and its program can be debugged.
good_core() {
	get_core
	well_formed
	entry_has '.mode == "crash" and (.partial | not)'
	meta_has '.capture.lost_bytes == 0 and .result.warnings == []'
}

# ---- programs --------------------------------------------------------------------------------

@test "programs crash: their memory, threads and signals are in the core" {
	local name signal
	crash_handler
	crash_daemon
	while read -r name signal; do
		[ -x "$BUILD/targets/$name" ] || continue
		target_start "$name"
		kill_target "$signal"
		recorded
		good_core
		case $name in
		# Money moves between the accounts until the moment of the crash.
		invariant) "$CORECHECK" invariant "$CORE" "$(key accounts)" "$(key slots)" \
			"$(key clock)" "$(key total)" ;;
		*) verify_content ;;
		esac
		entry_has ".signal == $(kill -l "$signal") and (.exe | endswith(\"/$name\"))"
		[ "$("$CORECHECK" threads "$CORE" | head -n 1)" = "$(jq .crash.tid "$META")" ]
		[[ $name == *-32 ]] ||
			"$SNAPCTL" info "$CORE" | grep -E "Signal: +$(kill -l "$signal") \(SIG$signal\)"
	done <<-END
		simple SEGV
		simple-32 ABRT
		bits32-32 BUS
		invariant FPE
		zombie-leader XCPU
	END
	crash_folder_is_empty
}

@test "a hundred threads: all are in the core, the one that crashed first" {
	crash_handler
	crash_daemon
	target_start threads 100
	local tid
	tid=$(ls "/proc/$PID/task" | sort -n | tail -n 1)
	python3 -c 'import ctypes, sys
ctypes.CDLL(None).syscall(234, int(sys.argv[1]), int(sys.argv[2]), 6)' "$PID" "$tid"
	wait "${T_MAIN[CURRENT]}" || true
	recorded
	good_core
	[ "$("$CORECHECK" threads "$CORE" | sort -u | wc -l)" = "$(key threads)" ]
	[ "$("$CORECHECK" threads "$CORE" | head -n 1)" = "$tid" ]
	meta_has ".crash.tid == $tid and .capture.threads == $(key threads)"
	eu-stack -b --core "$CORE" >"$DIR/eu" 2>/dev/null || true
	[ "$(grep -c '^TID' "$DIR/eu")" = "$(key threads)" ]
	gdb -nx -batch -ex 'info threads' "$BUILD/targets/threads" "$CORE" >"$DIR/gdb" 2>&1
	[ "$(grep -cE 'LWP [0-9]+' "$DIR/gdb")" -ge "$(key threads)" ]
}

@test "a null pointer: address, function and reason, in all readers" {
	crash_handler
	crash_daemon
	crash_child "$CRASHER" threads:3 mib:4 null
	[ "$signal" = 11 ]
	recorded
	good_core
	meta_has '.capture.fault_address == 16 and .capture.si_code == 1 and .capture.threads == 4'
	gdb -nx -batch -ex bt -ex 'p $_siginfo._sifields._sigfault.si_addr' "$CRASHER" "$CORE" \
		>"$DIR/gdb" 2>&1
	grep -E '^#0 .* read_null' "$DIR/gdb"
	grep -E '^#[1-3] .* main ' "$DIR/gdb"
	grep -F '0x10' "$DIR/gdb"
	eu-stack --core "$CORE" 2>/dev/null | grep -F read_null
	jq -r '.stacks | tostring' "$META" | grep -F read_null
}

@test "a huge sparse mapping costs neither time nor space" {
	crash_handler
	crash_daemon
	crash_child "$CRASHER" sparse:64 null
	[ "$signal" = 11 ]
	recorded
	get_core
	[ "$(stat -c %s "$CORE")" -gt $((64 << 30)) ]
	[ "$(du -k "$CORE" | cut -f1)" -lt 20000 ]
	local at bytes
	IFS='=:' read -r _ at bytes <"$DIR/child.out"
	[ "$("$CORECHECK" strings "$CORE" "$at")" = MARK ]
	[ "$("$CORECHECK" strings "$CORE" $((at + bytes - 4096)))" = MARK ]
	never grep -q . <("$CORECHECK" read "$CORE" $((at + bytes / 2)) 64 | tr -d '0\n ')
}

@test "what a program keeps out of cores stays out, and its filter is heeded" {
	crash_handler
	crash_daemon
	local filter
	for filter in 0x33 0x0 0x1 0x7f; do
		crash_child sh -c 'echo "$1" >/proc/self/coredump_filter && shift && exec "$@"' sh \
			$filter "$CRASHER" dontdump mib:1 null
		[ "$signal" = 11 ]
		recorded
		get_core
		never grep -qa SECRETSECRET "$CORE"
		never grep -qa "$(printf 'SECRET\0SECRET' | tr '\0' '.')" "$CORE"
		well_formed
		case $filter in
		0x0) [ "$(jq .capture.bytes "$META")" -lt 200000 ] ;;
		*) [ "$(jq .capture.bytes "$META")" -gt 1048576 ] ;;
		esac
	done
}

@test "a process that stands still crashes when it goes on" {
	crash_handler
	crash_daemon
	target_start simple
	kill -STOP "$PID"
	wait_for grep -q '^State:.T' "/proc/$PID/status"
	kill -SEGV "$PID"
	kill -CONT "$PID"
	wait "${T_MAIN[CURRENT]}" || true
	recorded
	good_core
	verify_content
}

@test "every signal that dumps core: the parent sees it, and the record has it" {
	crash_handler
	crash_daemon
	local name number
	for name in QUIT ILL TRAP ABRT BUS FPE SEGV XCPU XFSZ SYS; do
		number=$(kill -l $name)
		python3 - "$CRASHER" "signal:$number" >"$DIR/said" <<-'END'
			import os, sys
			# Python ignores some, and so would its children.
			pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ,
			                     setsigdef=[int(sys.argv[2].partition(":")[2])])
			_, status = os.waitpid(pid, 0)
			print(pid, os.WIFSIGNALED(status), os.WTERMSIG(status))
		END
		read -r PID signaled signal <"$DIR/said"
		[ "$signaled $signal" = "True $number" ]
		recorded
		entry_has ".signal == $number"
	done
}

@test "a Go program panics: its core opens in delve, and the record tells its goroutines" {
	need_target gohttp
	crash_handler
	crash_daemon
	GOTRACEBACK=crash target_start gohttp
	kill_target SEGV
	recorded
	good_core
	entry_has '.signal == 6'
	meta_has '.result.go.user_goroutine_count >= 100'
	"$SNAPCTL" goroutines "$CORE" | grep -F 'net/http'
	if command -v dlv >/dev/null; then
		printf 'goroutines\nexit\n' >"$DIR/init"
		HOME=$DIR dlv core "$BUILD/targets/gohttp" "$CORE" --init "$DIR/init" \
			--allow-non-terminal-interactive </dev/null >"$DIR/dlv" 2>&1 || true
		grep -E '^\[1[0-9][0-9] goroutines\]' "$DIR/dlv" || fail "$(tail "$DIR/dlv")"
	fi
}

# ---- the kernel's own core -------------------------------------------------------------------

@test "a core is what the kernel would have written: headers, notes and every byte" {
	local name
	tee_handler
	crash_daemon
	for name in simple simple-32 memory 'threads 100' gap-probe; do
		# shellcheck disable=SC2086 # words
		[ -x "$BUILD/targets/${name% *}" ] || continue
		# shellcheck disable=SC2086 # words
		target_start $name
		kill_target SEGV
		recorded
		same_as_kernel
	done
}

@test "so it is with more segments than a header can count" {
	tee_handler
	crash_daemon
	target_start maps70k
	kill_target SEGV
	recorded
	same_as_kernel
}

@test "so it is with other filters" {
	local filter
	tee_handler
	crash_daemon
	for filter in 0x0 0x1 0x7f 0x1ff; do
		target_start memory
		echo $filter >"/proc/$PID/coredump_filter"
		kill_target ABRT
		recorded
		same_as_kernel
	done
}

# ---- without reading memory ------------------------------------------------------------------

@test "memory that may not be read comes from the stream, byte for byte" {
	cat >"$DIR/hook" <<-END
		#!/bin/sh
		tee -p "$DIR/kernel.\$2" |
			setpriv --bounding-set=-sys_ptrace -- "$BUILD/procsnap-corehook" "\$@"
	END
	chmod 755 "$DIR/hook"
	crash_handler
	crash_daemon
	user_target simple
	kill_target SEGV
	recorded
	entry_has '.mode == "stream"'
	meta_has '.capture.why_stream | contains("memory")'
	same_as_kernel
	verify_content
}

# ---- the daemon ------------------------------------------------------------------------------

@test "no daemon: the crash waits in a folder, and is recorded when one starts" {
	crash_handler
	local i pids=()
	for i in 1 2 3; do
		crash_child "$CRASHER" null
		[ "$signal" = 11 ]
		left
		[ "$(stat -c '%a %u' "$STORE/crash" "$FOLDER" | tr '\n' ' ')" = "700 0 700 0 " ]
		[ -s "$FOLDER/core" ] && [ -s "$FOLDER/facts" ] && [ -s "$FOLDER/result" ]
		[ -z "$(find "$FOLDER" -perm /077)" ]
		pids+=("$PID")
	done
	wait_for no_hooks
	crash_daemon
	for PID in "${pids[@]}"; do
		recorded
		good_core
		entry_has '.comm == "crasher" and .signal == 11'
	done
	wait_for crash_folder_is_empty
	store_has_crashes 3
}

@test "no daemon, but somebody who would start it: he is asked to" {
	[ ! -e /run/procsnap/io.procsnap ] || skip "a daemon of this machine has /run/procsnap"
	crash_handler
	no_door() {
		rm -f /run/procsnap/io.procsnap
		rmdir /run/procsnap 2>/dev/null || true # unless somebody else has something there
	}
	at_end no_door
	mkdir -p /run/procsnap
	python3 -c 'import socket
s = socket.socket(socket.AF_UNIX)
s.bind("/run/procsnap/io.procsnap")
s.listen()
print("ready", flush=True)
s.accept()
print("asked", flush=True)' >"$DIR/door" 3>&- 4>&- &
	STARTED+=($!)
	says() {
		[ "$(tail -n 1 "$DIR/door")" = "$1" ]
	}
	wait_for says ready
	crash_child "$CRASHER" null
	wait_for says asked
	left # and not taken away by whoever came
	[ -s "$FOLDER/core" ]
}

store_has_crashes() {
	[ "$("$SNAPCTL" list --json --kind=crash | wc -l)" = "$1" ] || fail "$("$SNAPCTL" list)" || return 1
}

@test "a daemon that hangs holds no crash up, and records it when it goes on" {
	crash_handler
	crash_daemon
	kill -STOP "$DAEMON"
	crash_child "$CRASHER" null
	[ "$signal" = 11 ]
	left
	wait_for no_hooks
	kill -CONT "$DAEMON"
	recorded
	good_core
}

@test "a daemon that starts while a process is being copied records that" {
	slow_hook
	crash_handler
	# The hook finds nobody; when it is done, there is somebody.
	target_start simple
	kill -SEGV "$PID"
	wait_for hook_waits
	mkdir -m 755 "$STORE"
	mkdir -m 700 "$STORE/crash"
	python3 - "$STORE/crash/socket" "$DIR/took" <<-'END' 3>&- 4>&- &
		import os, socket, sys, time
		server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
		server.bind(sys.argv[1])
		server.listen()
		client, _ = server.accept()
		client.recv(65536)
		client.send(b'{"wait": true}')
		open(sys.argv[2], "w").close()
		while not os.path.exists(sys.argv[2] + ".end"):
		    time.sleep(0.05)
	END
	STARTED+=($!)
	wait_for test -S "$STORE/crash/socket"
	let_hooks
	wait_for test -e "$DIR/took"
	# Another daemon takes over; it finds a folder that is being worked on, and its hook does not
	# know it.
	crash_daemon
	sleep 0.5
	[ "$(find "$STORE/crash" -name '.[0-9]*' | wc -l)" = 1 ]
	: >"$DIR/took.end"
	wait "${T_MAIN[CURRENT]}" || true
	recorded
	good_core
}

@test "the daemon ends with crashes half done: the next one makes their dumps" {
	crash_handler
	crash_daemon
	local pids=() i
	for i in 1 2 3 4 5 6; do
		crash_child "$CRASHER" mib:8 null
		pids+=("$PID")
		[ $((i % 2)) = 0 ] || kill -KILL "$DAEMON"
		[ $((i % 2)) = 0 ] || wait "$DAEMON" || true
		[ $((i % 2)) = 0 ] || daemon_again
	done
	daemon_stop
	daemon_again
	for PID in "${pids[@]}"; do
		recorded
		good_core
	done
	wait_for crash_folder_is_empty
	store_has_crashes 6
}

# ---- snapctl ---------------------------------------------------------------------------------

@test "snapctl list, info, get and debug of crashes" {
	need_command gdb
	crash_handler
	crash_daemon
	crash_child "$CRASHER" null
	recorded
	local id core=$PID
	id=$(jq -r .id <<<"$ENTRY")
	target_start simple
	"$SNAPCTL" dump -q "$PID" -o "$DIR/live"
	unharmed
	snapctl list
	expect 0
	grep -F "$id" <<<"$output" | grep -F "$core" | grep -F crash
	snapctl list --kind=live
	[[ $output != *"$id"* ]]
	snapctl list --comm='crash*' --exe="*/crasher" -1
	[[ $output == *"$id"* ]]
	snapctl info "$id"
	expect 0
	[[ $output == *"SIGSEGV"* ]] && [[ $output == *"0x10"* ]]
	snapctl get -o "$DIR/got" "$id"
	expect 0
	get_core
	cmp "$DIR/got" "$CORE"
	# shellcheck disable=SC2030
	printf 'bt\nquit\n' | "$SNAPCTL" debug "$id" gdb >"$DIR/gdb" 2>&1
	grep -F read_null "$DIR/gdb"
	snapctl remove "$id"
	expect 0
	store_has_crashes 0
}

# ---- the journal -----------------------------------------------------------------------------

journal_crashes() {
	need_command zstd gdb
	crash_handler
	journal_space
	find_coredumpctl
	READER=${READERS[0]}
	DAEMON_INSIDE="nsenter --mount=/proc/$HOLDER/ns/mnt --wdns=$PWD --"
	crash_daemon
}

# The entry of the crash of PID, as JSON, in $DIR/entry.
journal_has() {
	wait_for is_in_journal "$PID"
	inside journalctl -q --all -o json MESSAGE_ID=fc2e22bc6ee647b6b90729ab34a250b1 \
		COREDUMP_PID="$PID" >"$DIR/entry"
	[ "$(wc -l <"$DIR/entry")" = 1 ]
}

is_in_journal() {
	inside journalctl --sync 2>/dev/null || true
	[ -n "$(inside journalctl -q -o cat MESSAGE_ID=fc2e22bc6ee647b6b90729ab34a250b1 \
		COREDUMP_PID="$1")" ]
}

@test "the entry has what systemd-coredump's has" {
	journal_crashes
	crash_child env -i A=secret "$CRASHER" files:300 threads:2 null
	recorded
	journal_has
	local field
	for field in MESSAGE PRIORITY COREDUMP_{PID,UID,GID,SIGNAL,SIGNAL_NAME,TIMESTAMP,RLIMIT,HOSTNAME} \
		COREDUMP_{DUMPABLE,BY_PIDFD,COMM,EXE,CMDLINE,CGROUP,OPEN_FDS,PROC_STATUS,PROC_MAPS} \
		COREDUMP_{PROC_LIMITS,PROC_CGROUP,PROC_MOUNTINFO,PROC_AUXV,CWD,ROOT,FILENAME} \
		COREDUMP_PACKAGE_JSON PROCSNAP_{ID,KIND,MODE,PAUSE_NSEC,SIZE}; do
		jq -e "has(\"$field\")" "$DIR/entry" >/dev/null || fail "no $field" "$(cat "$DIR/entry")"
	done
	jq -e --arg file "$FILE" --arg exe "$(realpath "$CRASHER")" --arg pid "$PID" '
		.COREDUMP_FILENAME == $file and .COREDUMP_EXE == $exe and .COREDUMP_PID == $pid and
		.COREDUMP_SIGNAL == "11" and .COREDUMP_SIGNAL_NAME == "SIGSEGV" and
		.COREDUMP_DUMPABLE == "1" and .COREDUMP_BY_PIDFD == "1" and .PRIORITY == "2" and
		(.COREDUMP_CMDLINE | endswith("files:300 threads:2 null")) and
		(has("COREDUMP_ENVIRON") | not) and (has("COREDUMP_TRUNCATED") | not)' "$DIR/entry"
	[ "$(jq -r .COREDUMP_OPEN_FDS "$DIR/entry" | grep -c ':/dev/null$')" -ge 300 ]
	jq -r .MESSAGE "$DIR/entry" >"$DIR/message"
	grep -Fx "Process $PID (crasher) of user 0 dumped core." "$DIR/message"
	grep -Fx "Stack trace of thread $PID:" "$DIR/message"
	grep -E '^#0 .* read_null \(.*crasher' "$DIR/message"
	# Libraries by the names that the program knows them by, which are links, too.
	grep -E '^#[0-9]+ .* \(libc\.so\.6 \+ 0x' "$DIR/message"
	[ "$(grep -c '^Stack trace of thread' "$DIR/message")" = 3 ]
}

@test "a Go program in the journal: what it died of and its goroutines" {
	need_target gohttp
	journal_crashes
	GOTRACEBACK=crash target_start gohttp
	kill_target SEGV
	recorded
	journal_has
	jq -e '.PROCSNAP_GO_GOROUTINES | tonumber >= 100' "$DIR/entry"
	coredumpctl info "$PID" >"$DIR/info"
	grep -F 'Signal: 6 (ABRT)' "$DIR/info"
	grep -E 'goroutines' "$DIR/info"
	grep -F '100 goroutines [chan receive]' "$DIR/info"
	grep -F 'SIGSEGV' "$DIR/info" || fail "$(cat "$DIR/info")"
}

# What systemd's own test of coredumpctl asks (test/units/TEST-87-AUX-UTILS-VM.coredump.sh), of crashes of
# root and of a user.
@test "coredumpctl: the questions of systemd's own test" {
	journal_crashes
	local bin=$DIR/test-dump usr=$DIR/test-usr-dump signal args
	local debug="-this --does --not 'do anything' -a -t --all"
	cp /bin/sleep "$bin"
	cp /bin/sleep "$usr"
	for signal in TRAP ABRT TRAP ABRT; do
		crash_sleeper "$bin" $signal
		crash_sleeper "$usr" $signal "${AS_USER[@]}"
	done
	inside journalctl --sync
	inside journalctl --rotate
	[ "$(coredumpctl list --no-legend "$bin" | wc -l)" = 4 ]
	for args in '' --no-legend --all -1 '-n 1' --reverse '-F COREDUMP_EXE' --json=off \
		--directory=/var/log/journal --since=@0 '--since=yesterday --until=tomorrow'; do
		# shellcheck disable=SC2086 # words
		coredumpctl $args >"$DIR/out.list"
		[ -s "$DIR/out.list" ] || fail "nothing from: $args"
	done
	[ "$(coredumpctl -n 3 --no-legend | wc -l)" = 3 ]
	[ "$(coredumpctl -1 --no-legend | wc -l)" = 1 ]
	coredumpctl --json=short | jq -e 'length == 8 and all(.[]; .pid > 0 and .sig > 0 and .exe != null)'
	coredumpctl --json=pretty | jq -e 'length == 8'
	coredumpctl --file="$(inside sh -c 'echo /var/log/journal/*/system@*.journal' | cut -d' ' -f1)" >/dev/null
	[ "$(coredumpctl --field=COREDUMP_FILENAME | grep -c "^$STORE/core\.")" -ge 1 ]
	for args in '' "$bin" "/foo /bar/ /baz $bin" "${bin##*/}" "foo bar baz ${bin##*/}" \
		"COREDUMP_EXE=$bin" "COREDUMP_EXE=aaaaa COREDUMP_EXE= COREDUMP_EXE=$bin"; do
		# shellcheck disable=SC2086 # words
		coredumpctl info $args >"$DIR/out.info" || fail "info $args"
		[ -z "$args" ] || [ "$(grep -c 'PID: .*(test-dump)' "$DIR/out.info")" = 4 ] || fail "info $args"
	done
	grep -F 'Signal: 5 (TRAP)' "$DIR/out.info"
	grep -F '(present)' "$DIR/out.info"
	coredumpctl debug --debugger=/bin/true "$bin"
	inside env SYSTEMD_DEBUGGER=/bin/true $READER -q debug "$bin"
	coredumpctl debug --debugger=/bin/true --debugger-arguments="$debug" "${bin##*/}"
	coredumpctl dump "$bin" >"$DIR/redirected"
	coredumpctl dump -o "$DIR/output" "${bin##*/}"
	cmp "$DIR/redirected" "$DIR/output"
	eu-readelf -h "$DIR/output" | grep -F CORE
	# A user sees his own and no others.
	chmod 711 "$DIR"
	inside "${AS_USER[@]}" $READER -q --no-pager info "$usr" >/dev/null
	[ "$(inside "${AS_USER[@]}" $READER -q --no-pager --no-legend list | wc -l)" = 4 ]
	never inside "${AS_USER[@]}" $READER -q --no-pager info --all "$bin"
	never inside "${AS_USER[@]}" $READER -q --no-pager dump "$bin" -o "$OUT/stolen"
	inside "${AS_USER[@]}" $READER -q --no-pager dump "$usr" >"$DIR/own"
	[ -s "$DIR/own" ]
	inside "${AS_USER[@]}" $READER -q debug --debugger=/bin/true "$usr"
	for args in --hello-world '-n 0' '-n -1' --file=/dev/null --since=0 \
		'--since=today --until=yesterday' --json=foo '-F foo -F bar' 'list 0' 'list -- -1' \
		'info /../.~=' "dump --output=/dev/full $bin" 'debug --debugger=/bin/false'; do
		# shellcheck disable=SC2086 # words
		never coredumpctl $args >/dev/null 2>&1
	done
}

# crash_sleeper PROGRAM SIGNAL [COMMAND...]: by whom COMMAND makes of it.
crash_sleeper() {
	"${@:3}" "$1" infinity 3>&- 4>&- &
	PID=$!
	wait_for sh -c '[ "$(readlink /proc/$1/exe)" = "$2" ] && grep -q ^State:.S /proc/$1/status' \
		sh "$PID" "$1"
	kill "-$2" "$PID"
	wait "$PID" || true
	recorded
	journal_has
}

@test "journalctl -u and systemctl show the crash of a service" {
	local tree=/sys/fs/cgroup/unified
	[ -w $tree/cgroup.procs ] && [ ! -d /proc/1/root/run/systemd/system ] ||
		skip "needs a tree of control groups that is not systemd's"
	journal_crashes
	mkdir -p $tree/system.slice/procsnap-crash.service
	at_end "rmdir $tree/system.slice/procsnap-crash.service; rmdir $tree/system.slice || true"
	crash_child sh -c 'echo $$ >"$1" && exec "$2" null' sh \
		$tree/system.slice/procsnap-crash.service/cgroup.procs "$CRASHER"
	recorded
	journal_has
	jq -e '.COREDUMP_UNIT == "procsnap-crash.service" and .COREDUMP_SLICE == "system.slice" and
		._UID == "0"' "$DIR/entry"
	inside journalctl -q -o cat -u procsnap-crash.service | grep -F "Process $PID (crasher)"
}

# ---- the settings of the machine -------------------------------------------------------------

@test "what core_pattern was comes back when a test is killed" {
	crash_handler
	crash_pattern_back
	local before=$DIR/before
	cat /proc/sys/kernel/core_{pattern,pipe_limit} /proc/sys/fs/suid_dumpable >"$before"
	mkfifo "$DIR/hold"
	sleep 300 3>&- 4>&- &
	local victim=$!
	STARTED+=("$victim")
	setsid "$BATS_TEST_DIRNAME/../tools/corepattern" "$DIR/lock" "$victim" "|$HOOK x" 7 1 \
		<"$DIR/hold" >"$DIR/says" 2>&1 3>&- 4>&- &
	local keeper=$!
	disown "$keeper"
	exec {hold}>"$DIR/hold"
	wait_for grep -q ready "$DIR/says"
	[ "$(cat /proc/sys/kernel/core_pattern)" = "|$HOOK x" ]
	kill -KILL "$victim"
	wait_for grep -q restored "$DIR/says"
	cat /proc/sys/kernel/core_{pattern,pipe_limit} /proc/sys/fs/suid_dumpable | cmp - "$before"
}
