# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # other shells expand; tests use what is set here
# Crashes of processes for whose raw cores the disk has no room. For tests that have loaded common.bash,
# daemon.bash and crash.bash.

CRASHER=$TOOLS/crasher

unmount_store() {
	umount -l "$STORE"
}

# A store of this size, before anything else looks for it.
small_store() {
	need_mount
	mkdir -m 755 "$STORE"
	mount -t tmpfs -o size="$1",mode=755 tmpfs "$STORE" || skip "no tmpfs can be mounted here"
	at_end unmount_store
	local available
	available=$(awk '$1 == "MemTotal:" { t = $2 } $1 == "MemAvailable:" { a = $2 }
		END { print int((a - t / 8) / 1024) }' /proc/meminfo)
	[ "$available" -gt 2000 ] || skip "this machine has no memory to spare"
}

# room SIZE [LINE...]: a store of that size, and the daemon with these lines in [Crash].
room() {
	crash_handler
	small_store "$1"
	BUILD=${BIN-$BUILD} daemon_start '[Store]' MaxUse=infinity '[Crash]' DuplicateLimit=infinity "${@:2}"
	ulimit -c unlimited
}

# Only what the disk had room for.
part_of_core() {
	recorded
	record
	record_has '(.PROCSNAP_DEGRADED | startswith("partial")) and .COREDUMP_TRUNCATED == "1"'
	meta_has '.capture.lost_bytes > 0 and (.capture.why_short | startswith("the disk has room for"))'
	get_core
	backtrace
}

# All of it, compressed while it was read.
packed_core() {
	recorded
	record
	record_has '.PROCSNAP_DEGRADED == "packed" and .COREDUMP_TRUNCATED == null'
	record_has '[.PROCSNAP_WARNINGS] | tostring | contains("compressed while the process waited")'
	entry_has '(.partial | not) and .compressed'
	meta_has '.capture.packed and .capture.lost_bytes == 0'
	get_core
	well_formed
	# Not only by us.
	zstd -dcq "$FILE" | cmp - "$CORE"
}

backtrace() {
	gdb -nx -batch -ex bt "$CRASHER" "$CORE" >"$DIR/gdb" 2>&1
	grep -E '#[0-9]+ .* main ' "$DIR/gdb" || fail "$(cat "$DIR/gdb")"
}

# slow_worker: a daemon's programs, in BIN, of which the worker waits as long as $DIR/slow is there, and is
# killed as long as $DIR/broken is.
slow_worker() {
	BIN=$DIR/bin
	mkdir -p "$BIN"
	cp "$BUILD"/procsnapd "$BUILD"/procsnap-analyze "$BUILD"/procsnap-unwind "$BIN"
	cat >"$BIN/procsnap-worker" <<-END
		#!/bin/sh
		echo try >>"$DIR/tries"
		while [ -e "$DIR/slow" ]; do sleep 0.05; done
		[ "\$(wc -l <"$DIR/tries")" -gt "\$(cat "$DIR/broken")" ] || kill -KILL \$\$
		exec "$BUILD/procsnap-worker" "\$@"
	END
	chmod 755 "$BIN/procsnap-worker"
	: >"$DIR/tries"
	echo 0 >"$DIR/broken"
}

tried() {
	[ "$(wc -l <"$DIR/tries")" -ge "$1" ]
}

# stop_copier memory|packed: the crash of PID, when its copier makes a core in memory, or packs one; COPIER
# stands still then.
stop_copier() {
	python3 - "$BUILD/procsnap-corehook" "$1" >"$DIR/copier" <<-'END'
		import os, signal, sys, time
		def has_core(pid):
		    try:
		        if os.readlink(f"/proc/{pid}/exe") != sys.argv[1]:
		            return False
		        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
		        if sys.argv[2] == "memory":
		            return any("memfd:procsnap-core" in link for link in links)
		        # The part, to which a name does not matter here, and the other one.
		        return sum("/crash/" in link and link.endswith(" (deleted)") for link in links) == 2
		    except OSError:
		        return False
		end = time.monotonic() + 60
		while time.monotonic() < end:
		    for pid in filter(str.isdigit, os.listdir("/proc")):
		        if has_core(pid):
		            os.kill(int(pid), signal.SIGSTOP)
		            print(pid)
		            sys.exit(0)
		sys.exit("nobody makes such a core")
	END
	COPIER=$(cat "$DIR/copier")
}
