#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Crashes of processes for whose raw cores neither disk nor memory has room: they are compressed while they
# are read, and what becomes of them when somebody is killed meanwhile.
# shellcheck disable=SC2030,SC2031,SC2154 # each test is a process

load common
load ../tools/daemon
load ../tools/crash
load ../tools/room

# packed_room SIZE [LINE...]: as room, and no memory for cores.
packed_room() {
	need_command zstd gdb
	room "$1" SpoolMemory=0 "${@:2}"
}

# What the crash of PID has left is a packed core that is complete, and the part.
left_packed() {
	left
	zstd -tq "$FOLDER/core.zst"
	jq -e '.packed and .lost_bytes == 0' "$FOLDER/packed"
	jq -e '.lost_bytes > 0' "$FOLDER/result"
	"$CORECHECK" note "$FOLDER/core"
}

@test "no room anywhere: the core is compressed at once, and is whole, byte for byte" {
	need_command zstd gdb
	tee_handler
	small_store 48M
	daemon_start '[Store]' MaxUse=infinity '[Crash]' SpoolMemory=0 DuplicateLimit=infinity
	ulimit -c unlimited
	crash_child "$CRASHER" text:200 threads:3 null
	[ "$signal" = 11 ]
	packed_core
	same_as_kernel
	gdb -nx -batch -ex 'info threads' "$CRASHER" "$CORE" >"$DIR/gdb" 2>&1
	[ "$(grep -cE 'LWP [0-9]+' "$DIR/gdb")" -ge 4 ]
	backtrace
	record_has '[.MESSAGE] | tostring | contains("read_null")'
	# What there is room for is copied as ever.
	crash_child "$CRASHER" text:4 null
	recorded
	record
	record_has '.PROCSNAP_DEGRADED == null'
	crash_folder_is_empty
	daemon_lives
}

@test "compressed it takes more than half of the room: the dump takes its place" {
	tee_handler
	need_command zstd gdb
	small_store 48M
	daemon_start '[Store]' MaxUse=infinity '[Crash]' SpoolMemory=0
	ulimit -c unlimited
	crash_child "$CRASHER" mib:16 text:150 null
	packed_core
	# As large as what there was.
	[ "$(stat -c %b "$FILE")" -gt $((16 * 2048)) ]
	same_as_kernel
	backtrace
	crash_folder_is_empty
}

@test "a Go program: its goroutines are in core and record" {
	need_target gohttp
	packed_room 24M
	GOTRACEBACK=crash target_start gohttp -n 10000
	kill_target SEGV
	packed_core
	meta_has '.result.go.user_goroutine_count >= 10000 and .result.warnings == []'
	record_has '.PROCSNAP_GO_GOROUTINES | tonumber >= 10000'
	"$SNAPCTL" goroutines "$CORE" | grep -F 'net/http'
	# Attached to the core, as to every other one.
	eu-readelf -l "$CORE" | grep -c NOTE | grep -qx 2
}

@test "memory that does not compress: the part on the disk is kept" {
	packed_room 48M
	crash_child "$CRASHER" mib:100 threads:3 null
	[ "$signal" = 11 ]
	part_of_core
	crash_folder_is_empty
	[ "$(df --output=used -k "$STORE" | tail -n 1)" -lt $((26 << 10)) ]
}

@test "who wants no compressed cores, or has a limit, has the part" {
	# Nor is the dump compressed then, so there has to be room for it, and none for two of them.
	packed_room 195M
	daemon_config '[Store]' MaxUse=infinity KeepFree=0 Compress=0 '[Crash]' SpoolMemory=0
	snapctl reload
	crash_child "$CRASHER" text:98 null
	part_of_core
	"$SNAPCTL" remove "$(jq -r .id <<<"$ENTRY")"
	daemon_config '[Store]' MaxUse=infinity '[Crash]' SpoolMemory=0
	snapctl reload
	crash_child bash -c 'ulimit -c 120000; exec "$@"' sh "$CRASHER" text:200 null
	part_of_core
	daemon_stop
	# Nobody has said that they are wanted.
	crash_child "$CRASHER" text:200 null
	left
	[ ! -e "$FOLDER/core.zst" ]
	daemon_again
	part_of_core
}

@test "the daemon is killed: the next one makes the dump of what is packed" {
	slow_worker
	: >"$DIR/slow"
	packed_room 48M
	crash_child "$CRASHER" text:100 null
	wait_for tried 1
	left_packed
	kill -KILL "$DAEMON"
	wait "$DAEMON" || true
	# It stays compressed.
	daemon_config '[Store]' MaxUse=infinity Compress=0 '[Crash]' SpoolMemory=0
	rm "$DIR/slow"
	BUILD=$BIN daemon_again
	packed_core
	backtrace
	wait_for crash_folder_is_empty
}

@test "workers are killed: another one makes the dump of what is packed, or else of the part" {
	slow_worker
	echo 1 >"$DIR/broken"
	packed_room 48M
	crash_child "$CRASHER" text:100 null
	packed_core
	: >"$DIR/tries"
	echo 2 >"$DIR/broken"
	crash_child "$CRASHER" text:100 null
	part_of_core
	# None at all: the part waits, and the record is there.
	: >"$DIR/tries"
	echo 4 >"$DIR/broken"
	crash_child "$CRASHER" text:100 null
	record
	record_has '.PROCSNAP_DEGRADED == "later"'
	left
	[ -s "$FOLDER/core" ]
	[ ! -e "$FOLDER/core.zst" ]
}

@test "a worker is killed that has used up a part of what is packed: the part is kept" {
	slow_worker
	sed -i "s#|| kill.*#|| { truncate -s -1 '$DIR/store/crash/'*/core.zst; kill -KILL \$\$; }#" \
		"$BIN/procsnap-worker"
	grep truncate "$BIN/procsnap-worker"
	echo 1 >"$DIR/broken"
	packed_room 48M
	crash_child "$CRASHER" text:100 null
	part_of_core
	log_has 'not written to its end'
	wait_for crash_folder_is_empty
}

@test "a disk that is full when the dump is made: it is made later" {
	slow_worker
	: >"$DIR/slow"
	packed_room 48M
	crash_child "$CRASHER" mib:4 text:100 null
	wait_for tried 1
	left_packed
	dd if=/dev/zero of="$STORE/ballast" bs=64k 2>/dev/null || true
	rm "$DIR/slow"
	wait_for log_has 'its dump is made later'
	[ -s "$FOLDER/core.zst" ]
	rm "$STORE/ballast"
	snapctl reload
	wait_for is_recorded "$PID"
	recorded
	entry_has '(.partial | not) and .compressed'
	get_core
	well_formed
	backtrace
	wait_for crash_folder_is_empty
}

@test "a copier is killed while it compresses: the next one does without" {
	packed_room 400M
	crash_begin "$CRASHER" text:1024 null
	stop_copier packed
	kill -KILL "$COPIER"
	wait "$PID" || true
	part_of_core
	wait_for no_hooks
	crash_folder_is_empty
}

@test "the whole hook is killed then: there is a record, and the part" {
	packed_room 400M
	crash_begin "$CRASHER" text:1024 null
	stop_copier packed
	hooks | xargs kill -KILL
	wait "$PID" || true
	wait_for no_hooks
	# Nothing but the part takes room: less than half of it.
	[ "$(df --output=used -k "$STORE" | tail -n 1)" -lt $((210 << 10)) ]
	daemon_stop
	daemon_again
	part_of_core
	wait_for crash_folder_is_empty
}

@test "a file system without files that have no names" {
	need_command zstd gdb
	cat >"$DIR/plain" <<-END
		#!/bin/sh
		LD_PRELOAD=$TOOLS/no-tmpfile.so exec "$BUILD/procsnap-corehook" "\$@"
	END
	chmod 755 "$DIR/plain"
	crash_handler "$DIR/plain"
	small_store 48M
	daemon_start '[Store]' MaxUse=infinity '[Crash]' SpoolMemory=0 DuplicateLimit=infinity
	ulimit -c unlimited
	crash_child "$CRASHER" text:100 null
	packed_core
	crash_child "$CRASHER" mib:100 null
	part_of_core
	crash_folder_is_empty
}
