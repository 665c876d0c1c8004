#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# procsnapd with many clients, for a long time, killed, on a full disk, and without a journal.
#
# DAEMON_DUMPS is how many dumps are made in a row (1000; 200 with sanitizers), DAEMON_KILLS how often the
# daemon is killed (10), DAEMON_CLIENTS how many ask at once (200). All of it takes 2 to 3 minutes.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # other shells expand; each test is a process

load common
load ../tools/daemon

# ---- many, and long --------------------------------------------------------------------------

@test "many clients at once" {
	daemon_start '[Store]' Compress=1 MaxPerExecutable=infinity '[Limits]' MaxQueue=1024
	target_start simple
	local i clients=${DAEMON_CLIENTS:-200} pids=() bad=0
	for ((i = 0; i < clients; i++)); do
		case $((i % 5)) in
		0) "$SNAPCTL" dump --store -q "$PID" ;;
		1) "$SNAPCTL" dump -n --json "$PID" ;;
		2) "$SNAPCTL" list --json ;;
		3) "$SNAPCTL" status ;;
		4) "$SNAPCTL" dump -q -o "$OUT/core.$i" "$PID" ;;
		esac >"$DIR/out.$i" 2>"$DIR/err.$i" 3>&- &
		pids+=($!)
		STARTED+=($!)
	done
	for ((i = 0; i < clients; i++)); do
		wait "${pids[i]}" || {
			bad=$((bad + 1))
			cat "$DIR/err.$i"
		}
	done
	[ $bad = 0 ] || fail "$bad of $clients failed"
	store_has $(((clients + 4) / 5))
	well_formed "$OUT/core.4"
	well_formed "$OUT/core.$(((clients / 5 - 1) * 5 + 4))"
	[ "$("$SNAPCTL" list --json | jq -r .id | sort -u | wc -l)" = $(((clients + 4) / 5)) ]
	wait_for daemon_idle
	wait_for daemon_status_is connections 1
	unharmed
}

descriptors_of_daemon() {
	find "/proc/$DAEMON/fd" -mindepth 1 | wc -l
}

rss_of_daemon() {
	sed -n 's/^VmRSS:[\t ]*\([0-9]*\).*/\1/p' "/proc/$DAEMON/status"
}

dumps_in_a_row() {
	local i
	for ((i = 0; i < $1; i++)); do
		case $((i % 3)) in
		0) ask Dump "{\"pid\":$PID}" ;;
		1) ask Dump "{\"pid\":$PID,\"fileDescriptor\":0}" "fd=tmp:$OUT" ;;
		2) ask Dump "{\"pid\":$PID,\"fileDescriptor\":0,\"maxPauseNSec\":1}" \
			"fd=tmp:$OUT" ;;
		esac
		jq -e '.parameters.result or .error == "io.procsnap.PauseExceeded"' <<<"$reply" \
			>/dev/null || fail "dump $i: $reply" || return 1
	done
}

@test "many dumps in a row leave nothing in the daemon" {
	daemon_start '[Store]' Compress=1 MaxPerExecutable=5
	target_start simple
	dumps_in_a_row 30
	wait_for daemon_idle
	wait_for daemon_status_is connections 1
	local fds rss now
	fds=$(descriptors_of_daemon)
	rss=$(rss_of_daemon)
	local many=1000
	[ -z "${PROCSNAP_SANITIZED-}" ] || many=200
	dumps_in_a_row "${DAEMON_DUMPS:-$many}"
	wait_for daemon_idle
	wait_for daemon_status_is connections 1
	now=$(descriptors_of_daemon)
	# A record may be on its way to the journal.
	((now <= fds + 2)) || fail "$fds descriptors, then $now:" "$(ls -l "/proc/$DAEMON/fd")"
	now=$(rss_of_daemon)
	# What is not sent to a journal waits in files, of which only the names are kept.
	((now - rss <= ${PROCSNAP_SANITIZED:+65536}+4096)) || fail "$rss KiB, then $now"
	[ "$(children_of_daemon | wc -w)" -le 1 ]
	store_has 5
	unharmed
}

# ---- killed ----------------------------------------------------------------------------------

# Dumps into the store until the daemon is gone; the ids of those that were finished are in $DIR/ids.
keep_dumping() {
	while reply=$("$VARLINK" "$PROCSNAP_SOCKET" \
		"send={\"method\":\"io.procsnap.Dump\",\"parameters\":{\"pid\":$PID}}" recv 2>/dev/null); do
		jq -r '.parameters.id // empty' <<<"$reply" >>"$DIR/ids" 2>/dev/null || true
	done
}

# All that were finished are there, and nothing of the others.
expect_all_ids() {
	"$SNAPCTL" list --json | jq -r .id | sort >"$DIR/listed"
	sort -u "$DIR/ids" | comm -23 - "$DIR/listed" >"$DIR/lost"
	[ ! -s "$DIR/lost" ] || fail "lost:" "$(cat "$DIR/lost")" "$(tail "$DIR/log")" || return 1
	store_has "$(wc -l <"$DIR/listed")"
}

@test "the daemon is killed at any time: no dump is lost, and no process harmed" {
	daemon_start '[Store]' Compress=1 MaxPerExecutable=infinity
	target_start simple
	: >"$DIR/ids"
	local i delay
	for ((i = 0; i < ${DAEMON_KILLS:-10}; i++)); do
		keep_dumping &
		local dumper=$!
		STARTED+=("$dumper")
		keep_dumping &
		local second=$!
		STARTED+=("$second")
		delay=$(printf '0.%03d' $((RANDOM % 700)))
		sleep "$delay"
		kill -KILL "$DAEMON"
		wait "$DAEMON" || true
		wait "$dumper" "$second" || true
		wait_for no_workers_of_mine
		wait_free "$PID"
		target_ok_but_eintr
		daemon_again
		expect_all_ids
	done
	[ -s "$DIR/ids" ] || fail "not one dump was finished in all this time"
	# Any of them is whole.
	snapctl get -o "$CORE" "$(tail -n 1 "$DIR/ids")"
	expect 0
	well_formed
	verify_content
}

# No worker whose target is ours is left; other tests may have some.
no_workers_of_mine() {
	local exe
	for exe in $(workers); do
		! grep -sq "^Pid:.$PID$" "${exe%/exe}/fdinfo/"* || return 1
	done
}

@test "the daemon is told to end at any time" {
	daemon_start '[Store]' Compress=1 MaxPerExecutable=infinity
	target_start simple
	: >"$DIR/ids"
	local i
	for ((i = 0; i < ${DAEMON_KILLS:-10} / 2; i++)); do
		keep_dumping &
		local dumper=$!
		STARTED+=("$dumper")
		sleep "$(printf '0.%03d' $((RANDOM % 500)))"
		daemon_stop
		wait "$dumper" || true
		assert_free "$PID"
		target_ok
		daemon_again
		expect_all_ids
	done
}

# ---- a full disk -----------------------------------------------------------------------------

small_store() { # SIZE
	need_mount
	mkdir "$DIR/store" "$DIR/small"
	mount -t tmpfs -o "size=$1,mode=755" tmpfs "$DIR/store" || skip "tmpfs cannot be mounted"
	at_end "umount -l '$DIR/store'"
	mount -t tmpfs -o "size=$1" tmpfs "$DIR/small"
	at_end "umount -l '$DIR/small'"
}

used_bytes() {
	df --output=used -B1 "$DIR/$1" | tail -n 1 | tr -d ' '
}

# Nothing is taken in a folder, and nobody has a file without a name there.
nothing_used() {
	[ "$(used_bytes "$1")" = 0 ]
}

free_again() {
	wait_for nothing_used "$1" ||
		fail "$(df "$DIR/$1")" "$(ls -laR "$DIR/$1")" "who has a file there:" \
			"$(find /proc/[0-9]*/fd /proc/[0-9]*/map_files -lname "$DIR/$1/*" \
				-printf '%p %l\n' 2>/dev/null)" || return 1
}

@test "a full disk" {
	small_store 4m
	daemon_start '[Store]' MaxUse=infinity KeepFree=0 Compress=1
	local before
	before=$(used_bytes store)
	target_start gap-probe 16
	snapctl dump --store "$PID"
	expect "$EX_SPACE"
	store_has 0
	[ "$(used_bytes store)" -le "$before" ]
	snapctl dump -o "$DIR/small/core" "$PID"
	expect "$EX_SPACE"
	[ -z "$(ls -A "$DIR/small")" ]
	free_again small
	snapctl dump -z -o "$DIR/small/core" "$PID"
	expect "$EX_SPACE"
	[ -z "$(ls -A "$DIR/small")" ]
	free_again small
	"$SNAPCTL" dump -q -o - "$PID" >/dev/full && fail "it was written to a full device"
	# What is small enough still goes in.
	sleep 300 3>&- &
	STARTED+=($!)
	local tiny=$!
	wait_for grep -q sleep "/proc/$tiny/comm"
	snapctl dump --store "$tiny"
	expect 0
	store_has 1
	daemon_lives
	wait_for daemon_idle
	unharmed
}

# The client believes that there is room, so it is the worker that finds out in the middle.
@test "a full disk that does not say so" {
	[ -z "${PROCSNAP_SANITIZED-}" ] || skip "a preloaded library and a sanitizer exclude each other"
	small_store 4m
	daemon_start
	target_start gap-probe 16
	local i options
	for ((i = 0; i < 10; i++)); do
		for options in '' -z '--max-pause=1s'; do
			# shellcheck disable=SC2086 # one option, or none
			LD_PRELOAD=$TOOLS/much-space.so snapctl dump $options -o "$DIR/small/core" "$PID"
			expect "$EX_SPACE"
			error_has 'No space'
			[ -z "$(ls -A "$DIR/small")" ]
			free_again small
		done
	done
	wait_for daemon_idle
	unharmed
}

# Full by what others write, where it looked as if there was room: nothing of it is kept, or what is
# most useful.
@test "a disk that fills up meanwhile" {
	small_store 4m
	daemon_start '[Store]' MaxUse=infinity KeepFree=0 Compress=0
	target_start gap-probe 2
	local i
	fallocate -l 2500k "$DIR/store/.others" || skip "nothing can be allocated on a tmpfs here"
	for i in no yes; do
		daemon_config MaxUse=infinity Compress=0 KeepPartial=$i
		snapctl reload
		expect 0
		snapctl dump --store "$PID"
		[ "$status" = "$EX_SPACE" ] || { [ "$i" = yes ] && [ "$status" = "$EX_PARTIAL" ]; } ||
			[ "$status" = 0 ] || fail "status $status" "$errors"
		snapctl list --json
		[ -z "$output" ] || snapctl remove "$(field .id)"
	done
	rm "$DIR/store/.others"
	store_has 0
	unharmed
}

# ---- the clock -------------------------------------------------------------------------------

clock_is_ahead() { # SECONDS
	echo "$1" >"$DIR/jump.new"
	mv "$DIR/jump.new" "$DIR/jump"
}

stored() {
	snapctl dump --store -q --json "$PID"
	expect 0
	id=$(field .id)
	"$SNAPCTL" info --json "$id" >/dev/null
}

@test "the clock jumps: no job ends early, no dump is lost, and the daemon stays as it is" {
	[ -z "${PROCSNAP_SANITIZED-}" ] || skip "a preloaded library and a sanitizer exclude each other"
	local day=86400 id first second third ahead
	clock_is_ahead 0
	LD_PRELOAD=$TOOLS/clock-jump.so CLOCK_JUMP=$DIR/jump daemon_start '[Store]' Compress=1 \
		MaxAge=infinity '[Limits]' JobTimeout=1min
	target_start gap-probe 64
	stored
	first=$id
	for ahead in 400 -400 0; do
		# In the middle of a job, which has a deadline.
		"$SNAPCTL" dump --store -q --json "$PID" >"$DIR/slow" 3>&- &
		local job=$!
		STARTED+=("$job")
		wait_for daemon_status_is runningJobs 1
		clock_is_ahead $((ahead * day))
		wait "$job"
		jq -e '.lost_bytes == 0' "$DIR/slow"
		stored
		wait_for daemon_idle
	done
	"$SNAPCTL" list --json | jq -es 'length == 7 and (map(.id) | unique | length == 7)' ||
		fail "$("$SNAPCTL" list)"
	store_has 7
	# Two weeks are two weeks of the wall clock: what is from before a jump of a day stays.
	daemon_config MaxAge=2w Compress=1
	snapctl reload
	expect 0
	stored
	second=$id
	clock_is_ahead $day
	stored
	third=$id
	"$SNAPCTL" list --json | jq -r .id >"$DIR/listed"
	grep -qx "$first" "$DIR/listed"
	grep -qx "$second" "$DIR/listed"
	grep -qx "$third" "$DIR/listed"
	"$SNAPCTL" list --json | jq -es --arg a "$second" --arg b "$third" \
		'(map({(.id): .timestamp_usec}) | add) as $t | $t[$b] - $t[$a] > 86e9' ||
		fail "the clock did not jump: $("$SNAPCTL" list)"
	# Of the future, but not too old.
	clock_is_ahead -$day
	stored
	"$SNAPCTL" list --json | jq -r .id | grep -qx "$third"
	# And all of it again after a start in that time.
	daemon_stop
	LD_PRELOAD=$TOOLS/clock-jump.so CLOCK_JUMP=$DIR/jump daemon_again
	"$SNAPCTL" list --json | jq -r .id | grep -qx "$third"
	daemon_lives
	unharmed
}

# ---- without a journal -----------------------------------------------------------------------

inside() {
	nsenter --mount="/proc/$HOLDER/ns/mnt" --wdns="$PWD" -- "$@"
}

own_namespace() {
	[ "$(readlink "/proc/$HOLDER/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]
}

# A /run without a journald, for a daemon of ours.
journal_namespace() {
	need_mount
	need_command unshare nsenter journalctl
	[ -x /lib/systemd/systemd-journald ] || skip "systemd-journald is not installed"
	[ -s /etc/machine-id ] || skip "this machine has no /etc/machine-id"
	unshare --mount --propagation private sleep 600 3>&- &
	HOLDER=$!
	STARTED+=("$HOLDER")
	wait_for own_namespace
	inside sh -ec '
		mount -t tmpfs -o mode=755 tmpfs /run
		mkdir -p /run/systemd/journal /run/systemd/journald.conf.d /run/log/journal
		mkdir -p /var/log/journal
		mount -t tmpfs -o mode=755 tmpfs /var/log/journal
		printf "[Journal]\nStorage=persistent\nAudit=no\nReadKMsg=no\nRateLimitBurst=0\n" \
			>/run/systemd/journald.conf.d/test.conf
		>/run/systemd/journal/flushed' || skip "nothing can be mounted over /run here"
	DAEMON_INSIDE="nsenter --mount=/proc/$HOLDER/ns/mnt --wdns=$PWD --"
}

journald_start() {
	# shellcheck disable=SC2086 # words
	$DAEMON_INSIDE /lib/systemd/systemd-journald 2>"$DIR/journald" 3>&- &
	JOURNALD=$!
	STARTED+=("$JOURNALD")
	wait_for inside test -S /run/systemd/journal/socket
}

records() {
	find "$STORE/records" -name '*.json' | wc -l
}

no_records() {
	[ "$(records)" = 0 ]
}

entries() {
	inside journalctl -q --all -o json MESSAGE_ID=1f4e0a44a88649939aaea34fc6da8c95
}

has_entries() {
	[ "$(entries | wc -l)" = "$1" ]
}

@test "records wait for a journal, beyond the end of the daemon, and are sent once" {
	journal_namespace
	daemon_start
	target_start simple
	snapctl dump --store -q --json "$PID"
	expect 0
	local id
	id=$(field .id)
	dump
	expect 0
	snapctl dump -n "$PID"
	expect 0
	[ "$(records)" = 2 ]
	daemon_status_is unsentRecords 2
	[ "$(stat -c %a "$STORE/records")" = 700 ]
	kill -KILL "$DAEMON"
	wait "$DAEMON" || true
	: >"$STORE/records/.0123456789abcdef.json"
	echo nonsense >"$STORE/records/0123456789abcdef.json"
	ln -s /etc/passwd "$STORE/records/0123456789abcde0.json"
	echo mine >"$STORE/records/notes"
	daemon_again
	journald_start
	wait_for no_records
	wait_for has_entries 2
	[ "$(cat "$STORE/records/notes")" = mine ]
	[ ! -e "$STORE/records/.0123456789abcdef.json" ]
	[ -s /etc/passwd ]
	entries | jq -es --arg id "$id" --arg pid "$PID" \
		'map(select(.PROCSNAP_ID == $id and .COREDUMP_PID == $pid)) | length == 1' ||
		fail "$(entries | head -c 3000)"
	# With a journal it is told at once; without, it waits again.
	snapctl dump --store -q "$PID"
	expect 0
	wait_for has_entries 3
	wait_for no_records
	end_child "$JOURNALD"
	snapctl dump --store -q "$PID"
	expect 0
	[ "$(records)" = 1 ]
	journald_start
	wait_for no_records
	wait_for has_entries 4
	daemon_stop
	unharmed
}
