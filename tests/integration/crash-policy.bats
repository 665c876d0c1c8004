#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# What is kept of a crash: rules, limits of the process and of the configuration, a disk that is too
# small. The records are read where the daemon keeps them as long as there is no journald.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # other shells expand; each test is a process

load common
load ../tools/daemon
load ../tools/crash

CRASHER=$TOOLS/crasher

# policy LINE...: the daemon, with these lines in [Crash].
policy() {
	crash_handler
	daemon_start '[Crash]' "$@"
	ulimit -c unlimited
}

# The core of the last crash, which is wanted.
with_core() {
	recorded
	record
	get_core
	well_formed
}

# What debuggers show of the thread that crashed.
backtrace() {
	gdb -nx -batch -ex bt "$CRASHER" "$CORE" >"$DIR/gdb" 2>&1
	grep -E '#[0-9]+ .* main ' "$DIR/gdb" || fail "$(cat "$DIR/gdb")"
}

data_of() {
	echo $(($(stat -c '%b * %B' "$CORE")))
}

@test "rules say what is kept, and records why; reload changes them" {
	policy 'Rule=exe:*/crasher-none none' 'Rule=comm:thin stacks' "Rule=user:$DAEMON_USER stacks"
	local name
	for name in crasher-none crasher-all; do
		cp "$CRASHER" "$DIR/$name"
	done
	chmod 755 "$DIR"/crasher-*
	crash_child "$DIR/crasher-none" mib:1 comm:thin null
	[ "$signal" = 11 ]
	without_core "Rule=exe:*/crasher-none none"
	crash_child "$DIR/crasher-all" mib:8 null
	with_core
	record_has '.PROCSNAP_DEGRADED == null'
	[ "$(data_of)" -gt 8000000 ]
	crash_child "$CRASHER" mib:8 threads:3 comm:thin null
	with_core
	record_has '.PROCSNAP_DEGRADED == "stacks"'
	meta_has '.capture.stacks_only and .capture.lost_bytes == 0 and .capture.threads == 4'
	[ "$(data_of)" -lt 1000000 ]
	backtrace
	eu-stack -b --core "$CORE" >"$DIR/eu" 2>/dev/null || true
	[ "$(grep -c '^TID' "$DIR/eu")" = 4 ]
	crash_child "${AS_USER[@]}" "$CRASHER" mib:8 null
	with_core
	record_has '.PROCSNAP_DEGRADED == "stacks"'

	daemon_config '[Crash]' Storage=none
	snapctl reload
	expect 0
	crash_child "$DIR/crasher-all" mib:1 null
	without_core Storage=none
	crash_folder_is_empty
	daemon_lives
}

@test "RLIMIT_CORE: none below a page, and never more than it says; with and without a daemon" {
	policy
	local limit
	for limit in 0 3; do # in KiB
		crash_child bash -c "ulimit -c $limit; exec \"\$@\"" sh "$CRASHER" mib:1 null
		without_core "RLIMIT_CORE, ulimit -c) is $((limit * 1024)) bytes"
		record_has ".COREDUMP_RLIMIT == \"$((limit * 1024))\""
	done
	crash_child bash -c 'ulimit -c 1024; exec "$@"' sh "$CRASHER" mib:64 threads:2 null
	with_core
	record_has '.PROCSNAP_DEGRADED == "partial" and .COREDUMP_TRUNCATED == "1"'
	entry_has .partial
	meta_has '.capture.lost_bytes > 60000000 and .capture.why_short == "its limit is 1.0 MiB"'
	[ "$(data_of)" -le $((1024 * 1024)) ]
	backtrace
	crash_child bash -c 'ulimit -c 100000; exec "$@"' sh "$CRASHER" mib:16 null
	with_core
	record_has '.PROCSNAP_DEGRADED == null'

	daemon_stop
	crash_child bash -c 'ulimit -c 0; exec "$@"' sh "$CRASHER" mib:1 null
	left
	[ ! -e "$FOLDER/core" ]
	local first=$PID
	crash_child bash -c 'ulimit -c 1024; exec "$@"' sh "$CRASHER" mib:64 null
	left
	[ $(($(stat -c '%b * %B' "$FOLDER/core"))) -le $((1024 * 1024)) ]
	daemon_again
	with_core
	record_has '.PROCSNAP_DEGRADED == "partial"'
	PID=$first
	without_core 'RLIMIT_CORE, ulimit -c) is 0 bytes'
}

@test "MaxCoreSize= cuts what is too large, the most useful memory comes first" {
	policy MaxCoreSize=4M
	crash_child "$CRASHER" mib:64 threads:3 null
	with_core
	record_has '.PROCSNAP_DEGRADED == "partial"'
	[ "$(data_of)" -le $((4 << 20)) ]
	[ "$(data_of)" -gt $((3 << 20)) ]
	backtrace
}

@test "the same crash again and again: some cores, and records that count" {
	policy DuplicateLimit=2/1h
	local i
	for i in 1 2; do
		crash_child "$CRASHER" null
		with_core
		record_has '.PROCSNAP_SUPPRESSED == null'
	done
	for i in 1 2 3; do
		crash_child "$CRASHER" null
		without_core 'DuplicateLimit=2/1h'
		record_has ".PROCSNAP_SUPPRESSED == \"$i\""
	done
	# Another place, and another user; the first of the same user tells of the others.
	crash_child "${AS_USER[@]}" "$CRASHER" null
	with_core
	record_has '.PROCSNAP_SUPPRESSED == null'
	crash_child "$CRASHER" signal:6
	with_core
	record_has '.PROCSNAP_SUPPRESSED == "3"'
	record_has '[.MESSAGE] | flatten | tostring | contains("3 more crashes like this one")'
	crash_child "$CRASHER" null
	without_core 'DuplicateLimit=2/1h'
	record_has '.PROCSNAP_SUPPRESSED == "1"'
}

# An upgrade, and a daemon that was killed a while after it counted.
@test "a daemon that is started anew goes on counting" {
	policy DuplicateLimit=2/1h
	local n
	for n in 1 2; do
		crash_child "$CRASHER" null
		with_core
	done
	for n in 1 2; do
		crash_child "$CRASHER" null
		without_core 'DuplicateLimit=2/1h'
		record_has ".PROCSNAP_SUPPRESSED == \"$n\""
		if [ "$n" = 1 ]; then
			daemon_stop
		else
			wait_for grep -q '"suppressed":2' "$STORE/crash.counts"
			kill -KILL "$DAEMON"
			wait "$DAEMON" || true
		fi
		daemon_again
	done
	crash_child "$CRASHER" null
	without_core 'DuplicateLimit=2/1h'
	record_has '.PROCSNAP_SUPPRESSED == "3"'
	[ "$(stat -c '%a %u' "$STORE/crash.counts")" = '600 0' ]
	# It is told with the next core, and only once.
	daemon_stop
	daemon_again
	crash_child "$CRASHER" signal:6
	with_core
	record_has '.PROCSNAP_SUPPRESSED == "3"'
	daemon_stop
	# What nobody could have written does no harm.
	echo '{"boot_id":7,"counters":[{}]}' >"$STORE/crash.counts"
	daemon_again
	crash_child "$CRASHER" null
	with_core
	record_has '.PROCSNAP_SUPPRESSED == null'
}

@test "abort() is told by its callers" {
	policy DuplicateLimit=1/1h
	local call
	cat >"$DIR/abort.c" <<-END
		#include <assert.h>
		#include <stdlib.h>
		__attribute__((noinline)) static void one(int n) { assert(n); }
		__attribute__((noinline)) static void two(int n) { assert(n != 7); }
		__attribute__((noinline)) static void three(void) { abort(); }
		int main(int argc, char **argv)
		{
			void (*volatile null)(void) = 0;
			switch (argc > 1 ? *argv[1] : 0) {
			case '1': one(argc > 5); break;
			case '2': two(argc + 5); break;
			case '3': three(); break;
			case '4': null(); break;
			}
			return 0;
		}
	END
	cc -O1 -o "$DIR/abort" "$DIR/abort.c"
	chmod 755 "$DIR/abort"
	for call in 1 2 3 4; do
		crash_child "$DIR/abort" "$call"
		with_core
	done
	for call in 1 2 3 4; do
		crash_child "$DIR/abort" "$call"
		without_core 'DuplicateLimit=1/1h'
	done
}

@test "rates of executables and users" {
	policy RateLimit=1/1h UserRateLimit=2/1h DuplicateLimit=infinity
	cp "$CRASHER" "$DIR/second"
	cp "$CRASHER" "$DIR/third"
	chmod 755 "$DIR/second" "$DIR/third"
	crash_child "$CRASHER" null
	with_core
	crash_child "$CRASHER" signal:8
	without_core 'RateLimit=1/1h'
	crash_child "$DIR/second" null
	with_core
	crash_child "$DIR/third" null
	without_core 'UserRateLimit=2/1h'
	crash_child "${AS_USER[@]}" "$CRASHER" null
	with_core
}

@test "what came without a daemon: it decides when it is back" {
	policy 'Rule=comm:none none' DuplicateLimit=1/1h
	daemon_stop
	crash_child "$CRASHER" comm:none null
	left
	[ -e "$FOLDER/core" ]
	local first=$PID pids=() with=0
	for _ in 1 2 3; do
		crash_child "$CRASHER" null
		left
		pids+=("$PID")
	done
	daemon_again
	PID=$first
	without_core 'Rule=comm:none none'
	for PID in "${pids[@]}"; do
		record
		! jq -e '.COREDUMP_FILENAME' <<<"$RECORD" >/dev/null || with=$((with + 1))
	done
	[ "$with" = 1 ]
	wait_for crash_folder_is_empty
}

unmount_store() {
	umount -l "$STORE"
}

@test "a disk that is too small: the most useful memory is kept, and what is lost is said" {
	crash_handler
	mkdir -m 755 "$STORE"
	mount -t tmpfs -o size=24m,mode=755 tmpfs "$STORE" || skip "no tmpfs can be mounted here"
	at_end unmount_store
	daemon_start '[Store]' MaxUse=infinity
	ulimit -c unlimited
	crash_child "$CRASHER" mib:64 threads:3 null
	[ "$signal" = 11 ]
	record
	record_has '.PROCSNAP_DEGRADED | startswith("partial")'
	meta=("$STORE"/core.*.json)
	jq -e '.capture.why_short | startswith("the disk has room for")' "${meta[0]}"
	recorded
	get_core
	backtrace
}

# ---- when no dump can be made ----------------------------------------------------------------

# failing_worker: a daemon's programs, in BIN, of which the worker fails as long as $DIR/broken is there.
failing_worker() {
	BIN=$DIR/bin
	mkdir -p "$BIN"
	cp "$BUILD"/procsnapd "$BUILD"/procsnap-analyze "$BUILD"/procsnap-unwind "$BIN"
	cat >"$BIN/procsnap-worker" <<-END
		#!/bin/sh
		echo try >>"$DIR/tries"
		[ ! -e "$DIR/broken" ] || kill -KILL \$\$
		exec "$BUILD/procsnap-worker" "\$@"
	END
	chmod 755 "$BIN/procsnap-worker"
	: >"$DIR/broken"
	: >"$DIR/tries"
}

tries() {
	wc -l <"$DIR/tries"
}

tried() {
	[ "$(tries)" -ge "$1" ]
}

status_has() {
	"$SNAPCTL" status --json | jq -e "$1" >/dev/null || fail "$("$SNAPCTL" status --json)" || return 1
}

records_of() {
	cat "$STORE"/records/*.json | jq -c "select(.fields.COREDUMP_PID == \"$1\")" | wc -l
}

@test "a worker that is killed: the record comes at once, the core stays, and becomes a dump later" {
	failing_worker
	crash_handler
	BUILD=$BIN daemon_start
	ulimit -c unlimited
	target_start simple
	kill_target SEGV
	record
	record_has '.PROCSNAP_DEGRADED == "later" and .COREDUMP_SIGNAL == "11"'
	record_has '[.PROCSNAP_WARNINGS] | tostring | contains("the core is kept")'
	never is_recorded "$PID"
	left
	[ -s "$FOLDER/core" ]
	wait_for status_has '.crashesKept == 1 and .crashesKeptBytes > 0'
	"$SNAPCTL" status | grep -E 'Kept: 1 cores'
	[ "$(tries)" = 2 ]
	# Again, and by another daemon: still no dump, still one record.
	snapctl reload
	expect 0
	wait_for tried 4
	kill -KILL "$DAEMON"
	wait "$DAEMON" || true
	BUILD=$BIN daemon_again
	wait_for tried 6
	wait_for status_has '.crashesKept == 1'
	[ -s "$FOLDER/core" ]
	rm "$DIR/broken"
	snapctl reload
	expect 0
	recorded
	[ "$(records_of "$PID")" = 1 ]
	[ "$FILE" = "$(jq -r .COREDUMP_FILENAME <<<"$RECORD")" ]
	get_core
	well_formed
	verify_content
	wait_for crash_folder_is_empty
	status_has '.crashesKept == 0'
}

@test "cores are kept as long as MaxUse= has room for their dumps, and what will never be a dump is not" {
	failing_worker
	crash_handler
	BUILD=$BIN daemon_start '[Store]' MaxUse=4M '[Crash]' DuplicateLimit=infinity
	ulimit -c unlimited
	crash_child "$CRASHER" mib:1 null
	record
	record_has '.PROCSNAP_DEGRADED == "later"'
	local first=$PID
	crash_child "$CRASHER" mib:16 null
	record
	record_has '.PROCSNAP_DEGRADED == "record" and .COREDUMP_FILENAME == null'
	wait_for crash_is_forgotten "$PID"
	is_left "$first"
	# Not a core.
	daemon_stop
	crash_child "$CRASHER" mib:1 null
	left
	echo nothing >"$FOLDER/core"
	BUILD=$BIN daemon_again
	record
	record_has '.PROCSNAP_DEGRADED == "record"'
	wait_for crash_is_forgotten "$PID"
	is_left "$first"
}

# ---- a hook of two processes -----------------------------------------------------------------

@test "a copier that is killed: the next one tells what was decided, and the crash counts once" {
	crash_handler
	mkdir -m 755 "$STORE"
	mkdir -m 700 "$STORE/crash"
	# A daemon that has the copier killed while it waits for its turn.
	python3 - "$STORE/crash/socket" "$DIR/hello" <<-'END' 3>&- 4>&- &
		import json, os, signal, socket, struct, sys, time
		server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
		server.bind(sys.argv[1])
		server.listen()
		answer = {"decided": True, "action": "stacks", "reason": "it was decided once"}
		client, _ = server.accept()
		first = json.loads(client.recv(65536))
		client.send(json.dumps({"wait": True, "answer": answer}).encode())
		pid, _, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
		time.sleep(0.5)  # it writes down what it was told
		os.kill(pid, signal.SIGKILL)
		client.recv(65536)
		client, _ = server.accept()
		second = json.loads(client.recv(65536))
		client.send(json.dumps(second["answer"]).encode())
		client.recv(65536)
		with open(sys.argv[2], "w") as file:
		    json.dump([first, second], file)
	END
	STARTED+=($!)
	wait_for test -S "$STORE/crash/socket"
	crash_child "$CRASHER" mib:8 null
	[ "$signal" = 11 ]
	wait_for test -s "$DIR/hello"
	jq -e '.[0].answer == null and .[1].answer.reason == "it was decided once" and
		.[0].folder == .[1].folder' "$DIR/hello"
	rm "$STORE/crash/socket"
	daemon_start '[Crash]' DuplicateLimit=2/1h
	with_core
	record_has '.PROCSNAP_DEGRADED == "stacks"'

	# The daemon's side of it: two crashes at one place are kept, though the first has asked twice.
	mkdir -m 700 "$STORE/crash/.1.1" "$STORE/crash/.2.2"
	echo '{"pid":1,"uid":77,"gid":77,"signal":11,"usec":1}' |
		tee "$STORE/crash/.1.1/facts" >"$STORE/crash/.2.2/facts"
	python3 - "$STORE/crash" <<-'END'
		import fcntl, json, os, socket, sys
		for name in (".1.1", ".2.2"):
		    fcntl.flock(os.open(f"{sys.argv[1]}/{name}", os.O_RDONLY), fcntl.LOCK_EX)
		def ask(**hello):
		    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
		    s.connect(sys.argv[1] + "/socket")
		    hello["place"] = {"signal": 11, "module": "/some/where", "offset": 4096}
		    s.send(json.dumps(hello).encode())
		    return json.loads(s.recv(65536))
		first = ask(folder=".1.1")
		again = ask(folder=".1.1", answer=first)
		second = ask(folder=".2.2")
		third = ask(folder=".2.2")
		actions = [x["action"] for x in (first, again, second, third)]
		sys.exit(0 if actions == ["keep", "keep", "keep", "drop"] else str(actions))
	END
}
