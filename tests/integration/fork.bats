#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Processes that are made to fork: the core is one instant, nobody notices, and nothing stays behind.
#
# PROCSNAP_KILLS is the number of rounds of each kind that end the worker somewhere (default 20).

load common
load pause

ROUNDS=${PROCSNAP_KILLS:-6}
export MODE=fork

# ---- one instant -------------------------------------------------------------------------------

@test "invariant: the core is one instant" {
	local args
	for args in '1 2' '4 4096' '16 20000'; do
		# shellcheck disable=SC2086
		target_start invariant $args
		remember
		rounds 5
		PROCSNAP_MASK=pagemap_scan rounds 2
		as_before
		target_quit
	done
}

@test "invariant: all ways to write a core" {
	all_ways_to_write
}

@test "invariant: through the daemon" {
	through_the_daemon
}

@test "writers of all speeds" {
	writers_of_all_speeds
}

@test "memory that is mapped, moved, discarded and protected all the time" {
	local args
	for args in '' '--us 0 --pages 1024 --ballast 8' --huge; do
		# shellcheck disable=SC2086
		target_start remap $args
		rounds 3
		PROCSNAP_MASK=pagemap_scan rounds 2
		target_quit
	done
}

@test "each kind of memory" {
	target_start memory no-uring no-sysv no-hugetlb
	all_but_secret '' pagemap_scan
}

@test "swapped out" {
	target_start gap-probe 64 --fill random
	target_cmd pageout
	dump_so
	verify_content
	unharmed
}

# ---- nobody notices ----------------------------------------------------------------------------

@test "who waits for children, or is told of them, sees none" {
	target_start childless 64
	remember
	local i
	for i in 1 2 3 4 5 6; do
		dump_so
		verify_content
		unharmed
	done
	as_before
	target_quit
}

@test "the first of a pid namespace's processes to be dumped: its own numbers count" {
	target_start_inside childless 64
	remember
	dump_so
	verify_content
	as_before
	unharmed
}

@test "whoever is made to fork: its system call goes on" {
	[ -z "${ASAN_OPTIONS-}" ] || skip "nothing can be preloaded"
	target_start eintr -io_uring -io_uring+t
	local name names answer done=0
	answer=$(
		printf 'list\n' >&"${T_IN[CURRENT]}"
		while IFS= read -r -t 60 name <&"${T_OUT[CURRENT]}" && [ "$name" != end ]; do
			# shellcheck disable=SC2086 # its words
			set -- $name
			echo "$2"
		done
	)
	mapfile -t names <<<"$answer"
	snapctl dump -f -o "$CORE" --mode=fork "$PID"
	expect 0
	target_ok
	target_quit
	for name in "${names[@]}"; do
		target_start eintr "$name"
		LD_PRELOAD=$STEP PTRACE_REFUSE=$PID snapctl dump --mode=fork -f -o "$CORE" "$PID"
		expect 0
		target_ok || fail "$name" || return 1
		target_quit
		done=$((done + 1))
	done
	echo "$done calls"
	((done > 50))
}

# The child while it lives, once it has no descriptors.
settled_child() {
	local child
	child=$(children)
	child=${child// /}
	[ -n "$child" ] && [ "$(cat "/proc/$child/comm")" = procsnap-copy ] &&
		[ -z "$(ls "/proc/$child/fd")" ] && CHILD=$child
}

# dump_slowly: in the background, with plenty of time to look at it.
dump_slowly() {
	"$SNAPCTL" dump --mode=fork --json -f -o "$CORE" "$PID" >"$DIR/slow" 2>&1 3>&- &
	SLOW=$!
	local i
	for ((i = 0; i < 5000; i++)); do
		! settled_child 2>/dev/null || return 0
		sleep 0.002
	done
	fail "no child: $(cat "$DIR/slow")"
}

@test "a process that is killed meanwhile leaves its port at once, and the core is whole" {
	target_start childless 768
	local port killed=$PID
	port=$(key port)
	dump_slowly
	kill -KILL "$killed"
	last_thread() { [ -z "$(ls "/proc/$killed/task" 2>/dev/null | grep -vx "$killed")" ] && gone "$killed"; }
	wait_for last_thread
	status=0
	[ ! -e "/proc/$CHILD" ] || target_start childless 1 "$port"
	unharmed
	wait "$SLOW" || status=$?
	expect 0
	PID=$killed READY=${T_READY[0]} verify_content
	! [ -e "/proc/$CHILD" ] || gone "$CHILD"
}

@test "its memory is not doubled" {
	target_start childless 512
	dump_slowly
	local most=0 now
	while now=$(awk '/^Private_/ { sum += $2 } END { print sum + 0 }' \
		"/proc/$CHILD/smaps_rollup" 2>/dev/null) && [ "$now" != 0 ]; do
		((most >= now)) || most=$now
		sleep 0.02
	done
	status=0
	wait "$SLOW" || status=$?
	expect 0
	echo "$most KiB of the child's own"
	((most < 65536))
	unharmed
}

@test "a child that somebody kills: the dump fails, and the process does not notice" {
	target_start childless 1024
	remember
	dump_slowly
	kill -KILL "$CHILD"
	status=0
	wait "$SLOW" || status=$?
	if [ $status = 0 ]; then # it had been read by then
		verify_content
	else
		grep -q 'runs on unharmed' "$DIR/slow" || fail "$(cat "$DIR/slow")"
		only_files
	fi
	as_before
	childless
	unharmed
}

@test "a service that is stopped meanwhile is not kept from starting again" {
	target_start childless 1024
	local stopped=$PID
	dump_slowly
	# As systemd does.
	kill -TERM "$CHILD"
	kill -KILL "$stopped"
	wait_for gone "$CHILD"
	status=0
	wait "$SLOW" || status=$?
	if [ $status = 0 ]; then # it had been read by then
		PID=$stopped READY=${T_READY[0]} verify_content
	else
		grep -q 'was told to end' "$DIR/slow" || fail "$(cat "$DIR/slow")"
		only_files
	fi
}

@test "Ctrl-C: the child ends" {
	target_start childless 512
	remember
	dump_slowly
	kill -TERM "$SLOW"
	status=0
	wait "$SLOW" || status=$?
	[ $status != 0 ]
	wait_for no_workers
	wait_for no_child_lives
	as_before
	only_files
}

# left_by_killed_worker: the current target has a zombie of one, ZOMBIE, and nothing else.
left_by_killed_worker() {
	local worker i
	for ((i = 0; i < 20; i++)); do
		dump_slowly
		ZOMBIE=$CHILD
		# On a quick machine it may have come to its end.
		worker=$(sed -n 's/^TracerPid:\t//p' "/proc/$ZOMBIE/status" 2>/dev/null) &&
			worker=$(sed -n 's/^Tgid:\t//p' "/proc/$worker/status" 2>/dev/null) &&
			kill -KILL "$worker" || worker=
		wait "$SLOW" || true
		[ -z "$worker" ] || [ -z "$(children)" ] || break
	done
	wait_for no_child_lives
	[ "$(children)" = "$ZOMBIE " ] || fail "no zombie, but '$(children)'" || return 1
	wait_free "$PID"
}

# Zombies that are called so, and ones that nobody is told of, in $DIR/others: none of them is ours.
other_zombies() {
	python3 -c '
import ctypes, os, signal, time
libc = ctypes.CDLL(None)
def child(name, exit_signal):
    pid = libc.syscall(56, exit_signal, 0, 0, 0, 0)  # clone(): nothing else sets the signal
    if pid == 0:
        libc.prctl(15, name.encode(), 0, 0, 0)
        os._exit(0)
    return pid
print(child("procsnap-copy", signal.SIGCHLD), child("another", 0), child("procsnap-copies", 0),
      flush=True)
time.sleep(600)' >"$DIR/others" 3>&- &
	STARTED+=($!)
	wait_for test -s "$DIR/others"
}

@test "a zombie of a killed worker goes when the daemon starts, and no other does" {
	load ../tools/daemon
	need_command python3
	[ "$(uname -m)" = x86_64 ] || skip "numbers of system calls"
	other_zombies
	target_start childless 768
	remember
	left_by_killed_worker
	daemon_start
	zombie_gone() { [ ! -e "/proc/$ZOMBIE" ]; }
	wait_for zombie_gone
	wait_for log_has "process $PID (childless) was made to reap 1 zombies"
	wait_for no_workers
	as_before
	childless
	unharmed
	local other
	for other in $(cat "$DIR/others"); do
		grep -q '^State:.Z' "/proc/$other/status"
	done
	[ "$(grep -c 'killed worker' "$DIR/log")" = 1 ]
	daemon_stop
}

@test "a zombie of a killed worker that cannot be reaped now: the daemon says so" {
	load ../tools/daemon
	target_start childless 768
	left_by_killed_worker
	kill -STOP "$PID"
	daemon_start
	wait_for log_has "process $PID cannot be made to reap a zombie that a killed worker has left: it is stopped"
	kill -CONT "$PID"
	daemon_stop
	daemon_again
	wait_for childless
	unharmed
	daemon_stop
}

# ---- what forbids it -------------------------------------------------------------------------------

@test "io_uring" {
	target_start veto uring
	refuses "io_uring"
}

@test "a userfaultfd of its own" {
	target_start veto uffd
	refuses "userfaultfd itself"
}

@test "System V shared memory" {
	target_start veto sysv
	refuses "System V"
}

@test "children that begin a pid namespace" {
	target_start veto pidns
	refuses "namespaces of their own"
}

@test "a virtual machine" {
	target_start veto kvm
	refuses "it runs a virtual machine"
}

# veto_with DEVICE: a target that has a file of that name open.
veto_with() {
	cat >"$DIR/with-device" <<-END
		#!/bin/sh
		exec unshare --mount sh -c 'mount -t tmpfs tmpfs /dev && mkdir -p "\$1" && rmdir "\$1" &&
			shift && exec "\$@" 9>"\$0"' $1 $1 "\$@"
	END
	chmod 755 "$DIR/with-device"
	target_start "$DIR/with-device" "$BUILD/targets/veto" none
	ls -l "/proc/$PID/fd" | grep -q -- "-> $1\$" || fail "it has no $1" || return 1
}

@test "a GPU, or what else writes to memory by its address" {
	need_mount
	local device
	for device in /dev/nvidia0 /dev/kfd /dev/vfio/7 /dev/infiniband/uverbs0; do
		veto_with $device
		refuses "a device writes to its memory"
		target_quit
	done
	# Screens are no reason.
	veto_with /dev/dri/card0
	dump_so
}

@test "private huge pages of hugetlbfs, of which there are no more" {
	need_root
	local pool=/proc/sys/vm/nr_hugepages
	[ "$(cat $pool)" = 0 ] || skip "this machine has huge pages that others may need"
	set_sysctl vm/nr_hugepages 2
	[ "$(cat $pool)" = 2 ] || skip "there is no memory for huge pages"
	target_start veto hugetlb
	grep -q '^HugePages_Free: *0$' /proc/meminfo || skip "there are more of them"
	refuses "huge pages of hugetlbfs"
	target_quit
	# What is shared stays so.
	target_start veto hugeshared
	dump_so
	verify_content
	unharmed
}

@test "files open for direct I/O are no reason" {
	target_start veto direct
	dump_so
	verify_content
	unharmed
}

@test "auto: where it saves milliseconds and nothing else does" {
	target_start childless 64
	PROCSNAP_MASK=userfaultfd dump --json
	expect 0
	field '.mode == "fork"' >/dev/null
	verify_content
	childless
	PROCSNAP_MASK=userfaultfd,fork dump --json
	field '.mode == "copy"' >/dev/null
	target_quit
	target_start childless 8
	PROCSNAP_MASK=userfaultfd dump --json
	field '.mode == "copy"' >/dev/null
	target_quit
	target_start veto sysv
	PROCSNAP_MASK=userfaultfd dump --json
	field '.mode == "copy"' >/dev/null
	unharmed
}

@test "auto: where it turns out that the process writes faster than can be copied in advance" {
	local i
	target_start invariant 4 65536
	follows_writes || skip "$errors"
	snapctl dump --direct -n "$PID"
	[[ $output == *"by precopy"* ]] || fail "$output" || return 1
	remember
	for i in '' --keep-partial --with-binaries; do
		dump --json $i
		expect 0
		field '.mode == "fork" and .lost_bytes == 0 and .warnings == []' >/dev/null
		well_formed
		right_content
		childless
		as_before
		unharmed
	done
	# Not where it was said how, or that cannot be.
	dump --json --mode=precopy
	field '.mode == "precopy"' >/dev/null
	right_content
	PROCSNAP_MASK=fork dump --json
	field '.mode == "precopy"' >/dev/null
	right_content
	unharmed
}

@test "real-time scheduling" {
	need_command chrt
	target_start veto none
	chrt --fifo -p 1 "$PID" || skip "no real-time scheduling"
	CHANGED=yes
	refuses "real-time"
	chrt --other -p 0 "$PID"
	dump_so
}

# in_group CONTROLLER: the target is in a group of its own, $GROUP.
in_group() {
	local root=/sys/fs/cgroup/$1
	GROUP=$root/procsnaptest$$
	[ -d "$root" ] && mkdir "$GROUP" 2>/dev/null || skip "no $1 groups"
	at_end "echo $PID >$root/cgroup.procs 2>/dev/null; rmdir $GROUP"
	echo "$PID" >"$GROUP/cgroup.procs"
	CHANGED=yes
}

@test "no more processes for its group" {
	target_start veto none
	in_group pids
	echo 2 >"$GROUP/pids.max"
	refuses "its control group may not have more processes"
	echo max >"$GROUP/pids.max"
	dump_so
}

@test "no more processes for its user" {
	load ../tools/daemon
	need_root
	need_command setpriv
	local most
	user_target veto none
	most=$(as_user prlimit --pid "$PID" --nproc --noheadings --output HARD)
	as_user prlimit --pid "$PID" --nproc=1:
	CHANGED=yes
	refuses "its user may not have more processes"
	as_user prlimit --pid "$PID" --nproc="$most:"
	dump_so
	verify_content
	# Those of root are not counted.
	target_start veto none
	prlimit --pid "$PID" --nproc=1:
	dump_so
}

@test "a kernel that promises no more memory than it has" {
	need_root
	[ "$(cat /proc/sys/vm/overcommit_memory)" != 2 ] || skip "it is one"
	[ "$(cat /proc/sys/vm/overcommit_kbytes)" = 0 ] || skip "vm.overcommit_kbytes is set"
	target_start veto promised
	dump_so
	rm "$CORE"
	# As much again as this target has cannot be promised; half of that can, to everybody else.
	set_sysctl vm/overcommit_ratio "$(awk '/^MemTotal:/ { all = $2 } /^Committed_AS:/ { now = $2 }
		END { printf "%d", (now + all * 3 / 2) * 100 / all }' /proc/meminfo)" ||
		skip "settings of the kernel cannot be changed"
	set_sysctl vm/overcommit_memory 2
	refuses "vm.overcommit_memory"
	# Others are not concerned.
	target_start veto none
	dump_so
}

@test "a mapping larger than the machine" {
	[ "$(cat /proc/sys/vm/overcommit_memory)" = 0 ] || skip "the kernel does not guess"
	target_start veto vast
	refuses "vm.overcommit_memory"
}

@test "too little memory for its group" {
	target_start veto none
	in_group memory
	echo $((128 << 20)) >"$GROUP/memory.limit_in_bytes" || skip "no memory groups"
	dump_so
	rm "$CORE"
	echo $((64 << 20)) >"$GROUP/memory.limit_in_bytes"
	refuses "of memory left"
}

# with_groups: snapctl sees files of control groups, version 2, that are made up: those of the group of
# the target, with $1 as its memory.oom.group, inside one that has $2 bytes left beyond what must stay.
with_groups() {
	local inner
	inner=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$PID/cgroup")
	cat >"$DIR/snapctl" <<-END
		#!/bin/sh
		exec unshare --mount sh -c 'mount -t tmpfs tmpfs /sys/fs/cgroup && mkdir -p "$inner" &&
			cd "$inner" && echo $1 >memory.oom.group && echo max >memory.max && cd .. &&
			echo 0 >memory.oom.group && echo 1073741824 >memory.max &&
			echo \$((1073741824 - (64 << 20) - $2)) >memory.current && echo >memory.stat &&
			exec "\$@"' sh "$BUILD/snapctl" "\$@"
	END
	chmod 755 "$DIR/snapctl"
	SNAPCTL=$DIR/snapctl
}

@test "a group that is killed as a whole: for its processes there must be memory for all of the copy" {
	need_mount
	target_start veto none
	local group=/sys/fs/cgroup/unified
	[ -d $group ] || group=/sys/fs/cgroup
	in_group "${group#/sys/fs/cgroup}"
	with_groups 0 $((20 << 20))
	dump_so
	rm "$CORE"
	with_groups 1 $((20 << 20))
	refuses "of memory left"
	with_groups 1 $((200 << 20))
	dump_so
}

@test "memory becomes scarce in its group: the child ends, and the process does not" {
	target_start childless 512
	in_group memory
	echo 1 >"$GROUP/memory.move_charge_at_immigrate" 2>/dev/null || true
	echo $((2 << 30)) >"$GROUP/memory.limit_in_bytes" || skip "no memory groups"
	dump_slowly
	# It had its memory before it came here, so that is not counted; what is left counts.
	echo $((48 << 20)) >"$GROUP/memory.limit_in_bytes"
	status=0
	wait "$SLOW" || status=$?
	echo $((2 << 30)) >"$GROUP/memory.limit_in_bytes"
	cat "$DIR/slow"
	expect $EX_SPACE
	grep -q 'was given up' "$DIR/slow"
	only_files
	wait_for childless
	dump_so
	verify_content
}

@test "32 bits; one that is traced, or stopped; a kernel without" {
	if [ -x "$BUILD/targets/simple-32" ]; then
		target_start simple-32
		dump --mode=fork
		expect $EX_FAILED
		error_has "32-bit"
		target_quit
	fi
	target_start veto none
	PROCSNAP_MASK=fork refuses "the kernel"
	kill -STOP "$PID"
	stopped() { grep -q '^State:.T' "/proc/$PID/status"; }
	wait_for stopped
	dump --mode=fork
	expect $EX_FAILED
	error_has "it is stopped"
	kill -CONT "$PID"
	target_start traced
	dump --mode=fork
	expect $EX_TRACED
	target_ok
}

@test "a filter that kills for it" {
	target_start seccomp
	refuses "seccomp" unforeseen
	unharmed
}

@test "a filter, and nobody who may hold it off" {
	load ../tools/daemon
	need_root
	need_command setpriv
	chmod 755 "$DIR"
	chmod 1777 "$OUT"
	user_target veto errno
	cat >"$DIR/snapctl" <<-END
		#!/bin/sh
		exec ${AS_USER[*]} "$BUILD/snapctl" "\$@"
	END
	chmod 755 "$DIR/snapctl"
	SNAPCTL=$DIR/snapctl refuses "seccomp filter cannot be held off"
}

@test "a filter that says no to something else" {
	need_root
	target_start veto errno
	remember
	local i
	for i in 1 2 3; do
		dump_so
		verify_content
		as_before
	done
	unharmed
}

# ---- what comes in between ------------------------------------------------------------------------

@test "SIGKILL of the worker before each request: the process goes on, and the next dump works" {
	killed_before_each_request 1 veto none
}

@test "the same with system calls that do not stand still" {
	killed_before_each_request 5 invariant 4 8192
}

@test "a signal with a handler before each request" {
	signalled_before_each_request
}

@test "SIGKILL of the worker at any time" {
	killed_at_any_time
}

@test "SIGSTOP of the worker in the middle: it ends itself" {
	stopped_before_requests 5 25 31 35
}

@test "several dumps of one process at once" {
	target_start childless 64
	several_at_once 6
}
