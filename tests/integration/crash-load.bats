#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Many crashes at once, while parts of procsnap are killed, journald is frozen or the disk is full: each
# is recorded, memory is bounded, and nothing is left behind.
#
# PROCSNAP_CRASHES is how many (200; each test takes its share).
# shellcheck disable=SC2012,SC2016,SC2030,SC2031,SC2034,SC2086,SC2153,SC2154 # tools use what is set here

load common
load ../tools/daemon
load ../tools/journal
load ../tools/crash

CRASHES=${PROCSNAP_CRASHES:-200}

# crash_storm N SECONDS: so many crashes, evenly, of C and Go programs and of two users; their pids in
# $DIR/pids. Every parent must get its child's end.
crash_storm() {
	cp "$TOOLS/crasher" "$DIR/crasher"
	[ ! -x "$BUILD/targets/gohttp" ] || cp "$BUILD/targets/gohttp" "$DIR/gohttp"
	chmod 711 "$DIR"
	python3 - "$DIR" "$1" "$2" 3>&- 4>&- <<-'END'
		import os, signal, subprocess, sys, time
		folder, total, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
		go = os.path.join(folder, "gohttp")
		running, begin = [], time.monotonic()
		with open(os.path.join(folder, "pids"), "w") as pids:
		    for i in range(total):
		        time.sleep(max(0, begin + i * seconds / total - time.monotonic()))
		        user = 54321 + i % 2
		        if i % 5 == 4 and os.path.exists(go):
		            child = subprocess.Popen([go, "-n", "20"], user=user, group=user, extra_groups=[],
		                env={"GOTRACEBACK": "crash", "GOMAXPROCS": "2"}, stdin=subprocess.PIPE,
		                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
		            child.stdout.readline()
		            child.send_signal(signal.SIGABRT)
		        else:
		            child = subprocess.Popen([os.path.join(folder, "crasher"), "threads:4",
		                "mib:%d" % (1 + i % 4), "signal:11"], user=user, group=user, extra_groups=[])
		        print(child.pid, file=pids)
		        running.append(child)
		for child in running:
		    child.wait(240)
		    if child.returncode >= 0:
		        sys.exit(f"process {child.pid} ended with {child.returncode}")
	END
}

# Each crash of the storm has a record. MISSING are those of which there is none, CORELESS those with a
# record alone.
all_recorded() {
	"$SNAPCTL" list --json --kind=crash | jq .pid | sort >"$DIR/listed"
	sort "$DIR/pids" >"$DIR/sorted"
	sed -nE 's/.*process ([0-9]+) of user [0-9]+ crashed by signal [0-9]+.*/\1/p' "$DIR/log" | sort -u \
		>"$DIR/logged"
	CORELESS=$(comm -23 "$DIR/sorted" "$DIR/listed" | wc -l)
	MISSING=$(sort -u "$DIR/listed" "$DIR/logged" | comm -23 "$DIR/sorted" - | wc -l)
}

each_is_recorded() {
	wait_for_long crash_folder_is_empty || fail "left:" "$(ls -la "$STORE/crash")" "$(tail -n 20 "$DIR/log")"
	all_recorded
	echo "$(wc -l <"$DIR/pids") crashes, $MISSING lost, $CORELESS without a core"
	[ "$MISSING" = 0 ] || fail "$(sort -u "$DIR/listed" "$DIR/logged" | comm -23 "$DIR/sorted" -)" \
		"$(grep -v 'crashed by signal' "$DIR/log" | tail -n 30)"
	[ -z "$(uniq -d "$DIR/listed")" ] || fail "twice: $(uniq -d "$DIR/listed")"
	wait_for no_hooks
	wait_for no_workers
	# No process of ours waits to be reaped.
	[ -z "$(ps -o pid=,stat= --ppid "$DAEMON" | awk '$2 ~ /^Z/')" ]
	[ -z "$(find "$STORE" -maxdepth 1 -name '.*' ! -name .lock ! -path "$STORE")" ]
}

# What could not be dumped is tried again now, instead of in a minute.
nothing_is_kept() {
	"$SNAPCTL" reload && crash_folder_is_empty
}

only_kept_are_left() {
	local left
	left=$(find "$STORE/crash" -mindepth 1 -maxdepth 1 ! -name socket | wc -l)
	"$SNAPCTL" status --json | jq -e ".crashesKept == $left and .crashesCopying == 0 and
		.crashesWaiting == 0 and .crashesQueued == 0" >/dev/null
}

wait_for_long() {
	wait_for "$@" || wait_for "$@"
}

# Kilobytes at most, of the daemon and of all hooks together without what they share.
watch_memory() {
	python3 - "$BUILD" "$DIR/memory" 3>&- 4>&- <<-'END' &
		import os, sys, time
		build, out = sys.argv[1:]
		most = {"procsnapd": 0, "procsnap-corehook": 0, "procsnap-worker": 0}
		while not os.path.exists(out + ".end"):
		    now = dict.fromkeys(most, 0)
		    for pid in filter(str.isdigit, os.listdir("/proc")):
		        try:
		            name = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
		            if name in now:
		                with open(f"/proc/{pid}/smaps_rollup") as file:
		                    kb = sum(int(line.split()[1]) for line in file if line.startswith("Pss_Anon:"))
		                now[name] = max(now[name], kb) if name != "procsnapd" else kb
		        except (OSError, IndexError):
		            pass
		    most = {name: max(most[name], now[name]) for name in most}
		    time.sleep(0.2)
		with open(out, "w") as file:
		    for name, kb in most.items():
		        print(name, kb, file=file)
	END
	STARTED+=($!)
}

memory_of() {
	[ -e "$DIR/memory" ] || : >"$DIR/memory.end"
	wait_for test -s "$DIR/memory"
	sed -n "s/^$1 //p" "$DIR/memory"
}

@test "crashes of C and Go in ten seconds: each is recorded, and none is lost" {
	crash_handler
	crash_daemon
	watch_memory
	crash_storm "$CRASHES" $((CRASHES / 50 + 1))
	each_is_recorded
	[ "$CORELESS" = 0 ]
	memory_of procsnapd
	[ "$(memory_of procsnapd)" -lt 49152 ]
	[ "$(memory_of procsnap-corehook)" -lt 49152 ]
	never grep -E 'killed|cannot' "$DIR/log"
}

@test "without a daemon: each waits, and is recorded by the next one" {
	crash_handler
	mkdir -m 755 "$STORE"
	crash_storm $((CRASHES / 4)) 1
	wait_for no_hooks
	[ "$(find "$STORE/crash" -maxdepth 1 -name '[0-9]*' | wc -l)" -ge $((CRASHES / 4)) ]
	crash_daemon
	each_is_recorded
	[ "$CORELESS" = 0 ]
}

# killer WHAT SECONDS...: kills one of these every so often until $DIR/killer.end. Of the two processes of
# a hook only ever one: what it has killed is remembered by the folder it worked on.
killer() {
	python3 - "$BUILD/$1" "$2" "$DIR/killer" 3>&- 4>&- <<-'END' &
		import os, random, signal, sys, time
		exe, pause, name = sys.argv[1], float(sys.argv[2]), sys.argv[3]
		random.seed(1)
		hurt, killed = set(), 0
		def crash_of(pid):
		    with open(f"/proc/{pid}/cmdline", "rb") as file:
		        return file.read().split(b"\0")[2]
		while not os.path.exists(name + ".end"):
		    time.sleep(pause)
		    found = []
		    for pid in filter(str.isdigit, os.listdir("/proc")):
		        try:
		            if os.readlink(f"/proc/{pid}/exe") == exe:
		                found.append(int(pid))
		        except (OSError, IndexError):
		            pass
		    random.shuffle(found)
		    for pid in found:
		        try:
		            if exe.endswith("hook"):
		                # Both must be there, or it would be the only one.
		                with open(f"/proc/{pid}/task/{pid}/children") as file:
		                    is_holder = bool(file.read().strip())
		                with open(f"/proc/{pid}/stat") as file:
		                    parent = int(file.read().rsplit(")", 1)[1].split()[1])
		                is_copier = os.readlink(f"/proc/{parent}/exe") == exe if parent > 2 else False
		                if not is_holder and not is_copier or crash_of(pid) in hurt:
		                    continue
		                hurt.add(crash_of(pid))
		            os.kill(pid, signal.SIGKILL)
		            killed += 1
		            break
		        except (OSError, IndexError):
		            pass
		with open(name, "w") as file:
		    print(killed, file=file)
	END
	STARTED+=($!)
}

killed() {
	: >"$DIR/killer.end"
	wait_for test -s "$DIR/killer"
	echo "killed: $(cat "$DIR/killer")"
}

@test "hooks are killed, one of the two of each: no crash is lost, no process is stuck" {
	crash_handler
	crash_daemon
	killer procsnap-corehook 0.005
	crash_storm $((CRASHES / 2)) $((CRASHES / 50 + 1))
	killed
	[ "$(cat "$DIR/killer")" -gt 0 ] || skip "none could be caught"
	each_is_recorded
	[ "$CORELESS" = 0 ]
}

@test "workers are killed: each crash is recorded" {
	crash_handler
	crash_daemon
	killer procsnap-worker 0.3
	crash_storm $((CRASHES / 4)) 2
	sleep 2
	killed
	wait_for_long nothing_is_kept
	each_is_recorded
	[ "$CORELESS" = 0 ]
	[ "$(cat "$DIR/killer")" -gt 0 ]
}

@test "the daemon is killed again and again: no crash is lost, none is there twice" {
	crash_handler
	crash_daemon
	(crash_storm $((CRASHES / 2)) $((CRASHES / 50 + 1)) >"$DIR/storm" 2>&1 || echo bad >>"$DIR/storm") &
	local storm=$!
	STARTED+=("$storm")
	for _ in {1..8}; do
		sleep 0.4
		kill -KILL "$DAEMON"
		wait "$DAEMON" || true
		sleep 0.1
		daemon_again
	done
	wait "$storm"
	[ ! -s "$DIR/storm" ] || fail "$(cat "$DIR/storm")"
	each_is_recorded
	[ "$CORELESS" = 0 ]
}

@test "a daemon that is frozen holds nobody up" {
	crash_handler
	crash_daemon
	kill -STOP "$DAEMON"
	crash_storm $((CRASHES / 8)) 1
	wait_for no_hooks
	kill -CONT "$DAEMON"
	each_is_recorded
	[ "$CORELESS" = 0 ]
}

@test "a frozen journald holds nobody up, nor the next daemon, and gets each record later" {
	need_command journalctl
	crash_handler
	journal_space
	DAEMON_INSIDE="nsenter --mount=/proc/$HOLDER/ns/mnt --wdns=$PWD --"
	crash_daemon
	kill -STOP "$JOURNALD"
	crash_storm $((CRASHES / 8)) 1
	each_is_recorded
	# What sends to it now goes with the daemon, and the next one sends again.
	kill -KILL "$DAEMON"
	wait "$DAEMON" || true
	daemon_again
	kill -CONT "$JOURNALD"
	local n=$((CRASHES / 8))
	wait_for_long has_entries "$n"
}

has_entries() {
	inside journalctl --sync 2>/dev/null || true
	[ "$(inside journalctl -q -o cat --output-fields=COREDUMP_PID \
		MESSAGE_ID=fc2e22bc6ee647b6b90729ab34a250b1 | sort -u | wc -l)" = "$1" ]
}

@test "a disk that gets full: each crash is recorded, and no process is stuck" {
	need_mount
	mkdir -m 755 "$DIR/store"
	mount -t tmpfs -o size=24M,mode=755 tmpfs "$DIR/store" || skip "nothing can be mounted"
	at_end "umount -l $DIR/store"
	crash_handler
	crash_daemon
	crash_storm $((CRASHES / 4)) 1
	# Cores of which no dump can be made within MaxUse= may be kept; nothing else is left.
	wait_for_long only_kept_are_left || fail "$(ls "$STORE/crash")" "$(tail -n 20 "$DIR/log")"
	wait_for no_hooks
	all_recorded
	echo "$MISSING without a record, $CORELESS without a core"
	# Also those for which there was no room for a folder.
	[ "$MISSING" = 0 ] || fail "$(sort -u "$DIR/listed" "$DIR/logged" | comm -23 "$DIR/sorted" -)"
	daemon_lives
}
