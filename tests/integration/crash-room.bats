#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Crashes of processes for whose raw cores the disk has no room: what memory has room for is kept there until
# it is compressed, and what becomes of it when somebody is killed meanwhile.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # other shells expand; each test is a process

load common
load ../tools/daemon
load ../tools/crash
load ../tools/room

# It is in the store, all of it, and was in memory meanwhile.
whole_core() {
	recorded
	record
	record_has '.PROCSNAP_DEGRADED == "memory" and .COREDUMP_TRUNCATED == null'
	record_has '[.PROCSNAP_WARNINGS] | tostring | contains("kept in memory")'
	entry_has '.partial | not'
	meta_has '.capture.in_memory and .capture.lost_bytes == 0'
	get_core
	well_formed
}

# Who has a core in memory, by pid.
holders() {
	find /proc -maxdepth 3 -path '/proc/[0-9]*/fd/*' -lname '*memfd:procsnap-core*' 2>/dev/null |
		cut -d/ -f3 | sort -u
}

nothing_in_memory() {
	[ -z "$(holders)" ]
}

@test "more than the disk has room for raw: memory has it, and the core is whole, byte for byte" {
	tee_handler
	small_store 48M
	daemon_start '[Store]' MaxUse=infinity
	ulimit -c unlimited
	crash_child "$CRASHER" text:200 threads:3 null
	[ "$signal" = 11 ]
	whole_core
	same_as_kernel
	gdb -nx -batch -ex 'info threads' "$CRASHER" "$CORE" >"$DIR/gdb" 2>&1
	[ "$(grep -cE 'LWP [0-9]+' "$DIR/gdb")" -ge 4 ]
	# What there is room for goes to the disk, as ever.
	crash_child "$CRASHER" text:4 null
	recorded
	record
	record_has '.PROCSNAP_DEGRADED == null'
	wait_for nothing_in_memory
	crash_folder_is_empty
	daemon_lives
}

@test "SpoolMemory= says how much, and nothing is in memory where it would not help" {
	room 48M SpoolMemory=64M
	crash_child "$CRASHER" text:32 null
	whole_core
	crash_child "$CRASHER" text:100 null
	packed_core
	daemon_config '[Store]' MaxUse=infinity '[Crash]' SpoolMemory=0
	snapctl reload
	crash_child "$CRASHER" text:32 null
	packed_core
	# The process wants no more than the disk has.
	daemon_config '[Store]' MaxUse=infinity
	snapctl reload
	crash_child bash -c 'ulimit -c 1024; exec "$@"' sh "$CRASHER" text:64 null
	recorded
	record
	record_has '.PROCSNAP_DEGRADED == "partial"'
	meta_has '.capture.why_short == "its limit is 1.0 MiB"'
	nothing_in_memory
}

@test "memory that does not compress: the part on the disk is kept" {
	room 48M
	crash_child "$CRASHER" mib:100 threads:3 null
	[ "$signal" = 11 ]
	part_of_core
	wait_for nothing_in_memory
	crash_folder_is_empty
}

@test "a worker is killed: another one makes the dump of what is in memory, or else of the part" {
	slow_worker
	echo 1 >"$DIR/broken"
	room 48M
	crash_child "$CRASHER" text:100 null
	whole_core
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
	wait_for nothing_in_memory
	left
	[ -s "$FOLDER/core" ]
}

@test "the daemon is killed: the next one makes the dump of the part" {
	slow_worker
	: >"$DIR/slow"
	room 48M
	crash_child "$CRASHER" text:100 null
	# The process is gone, and all of it is with the daemon.
	wait_for tried 1
	holders | grep -qx "$DAEMON"
	left
	kill -KILL "$DAEMON"
	wait "$DAEMON" || true
	rm "$DIR/slow"
	wait_for nothing_in_memory
	BUILD=$BIN daemon_again
	part_of_core
	wait_for crash_folder_is_empty
}

@test "a copier is killed while it copies to memory: the next one compresses while it reads" {
	room 400M
	crash_begin "$CRASHER" text:1024 null
	stop_copier memory
	kill -KILL "$COPIER"
	wait "$PID" || true
	packed_core
	wait_for no_hooks
	wait_for nothing_in_memory
	crash_folder_is_empty
}

@test "the whole hook is killed then: there is a record, and the part" {
	room 400M
	crash_begin "$CRASHER" text:1024 null
	stop_copier memory
	hooks | xargs kill -KILL
	wait "$PID" || true
	wait_for no_hooks
	wait_for nothing_in_memory
	# It looks a minute later who still works on the folder, or at once when it starts.
	daemon_stop
	daemon_again
	part_of_core
	wait_for crash_folder_is_empty
}

# The bytes of all cores in memory, each once.
bytes_in_memory() {
	find /proc -maxdepth 3 -path '/proc/[0-9]*/fd/*' -lname '*memfd:procsnap-core*' \
		-exec stat -L -c '%i %b' {} + 2>/dev/null |
		awk '$2 > max[$1] { max[$1] = $2 } END { for (i in max) sum += max[i] * 512; print sum + 0 }'
}

@test "several crashes at once: all that is in memory is bounded" {
	slow_worker
	: >"$DIR/slow"
	room 300M SpoolMemory=260M
	local pids=() most=0 now whole=0
	truncate -s 200M "$STORE/ballast" && fallocate -l 200M "$STORE/ballast"
	for _ in 1 2 3 4 5 6; do
		crash_begin "$CRASHER" text:100 null
		pids+=("$PID")
	done
	# No dump is made yet, so what was copied to memory stays there, until the last process is gone.
	while kill -0 "${pids[@]}" 2>/dev/null; do
		now=$(bytes_in_memory)
		[ "$now" -le "$most" ] || most=$now
		sleep 0.05
	done
	wait "${pids[@]}" || true
	wait_for no_hooks
	now=$(bytes_in_memory)
	[ "$now" -gt $((100 << 20)) ]
	[ "$now" -le $((260 << 20)) ]
	[ "$most" -le $((260 << 20)) ]
	rm "$DIR/slow" "$STORE/ballast"
	wait_for crash_folder_is_empty
	for PID in "${pids[@]}"; do
		# The parts of all of them may have filled the disk so that there was no room for this, or
		# none for a core.
		! grep -F "crash of process $PID: cannot keep the record" "$DIR/log" || continue
		record
		[ "$(jq -r .PROCSNAP_DEGRADED <<<"$RECORD")" != record ] || continue
		recorded
		! entry_has '.file and (.partial | not)' 2>/dev/null || whole=$((whole + 1))
	done
	# Two fit at most, and parts of the others may take the room that the dump of one needs.
	[ "$whole" -ge 1 ]
	wait_for nothing_in_memory
	# All of it is free again.
	crash_child "$CRASHER" text:200 null
	whole_core
}
