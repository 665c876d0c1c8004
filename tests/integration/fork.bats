#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Processes that are made to fork: the core is one instant, nobody notices, and nothing stays behind.
#
# PROCSNAP_KILLS is the number of rounds of each kind that end the worker somewhere (default 20).

load common
load pause

ROUNDS=${PROCSNAP_KILLS:-6}
export MODE=fork

# dump_fork [OPTION...]: of the current target; the core is $CORE, whole.
dump_fork() {
	dump --json --mode=fork "$@"
	[ "$status" = 0 ] || [[ $errors != *"the kernel cannot take descriptors"* ]] || skip "$errors"
	expect 0
	field '.mode == "fork" and .lost_bytes == 0 and .warnings == []' >/dev/null
	has_key table || childless # remap has some of its own
}

# The children of the current target.
children() {
	cat "/proc/$PID/task/"*/children 2>/dev/null | tr -d '\n'
}

childless() {
	[ -z "$(children)" ] || fail "it has children: $(children)" || return 1
}

# But zombies.
no_child_lives() {
	local child
	for child in $(children); do
		grep -q '^State:.Z' "/proc/$child/status" || return 1
	done
}

# rounds N [OPTION...]: N good dumps.
rounds() {
	local n=$1 i
	shift
	for ((i = 0; i < n; i++)); do
		dump_fork "$@"
		well_formed
		[ "$(note mode)" = fork ]
		right_content
	done
	only_files core
	unharmed
}

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
	target_start invariant 4 8192
	rounds 1 --keep-partial
	rounds 1 --with-binaries
	rounds 1 --all
	rounds 1 --max-pause=10s
	PROCSNAP_MASK=process_vm_readv rounds 1
	PROCSNAP_MASK=map_files rounds 1
	dump_fork -z
	zstd -qdf -o "$CORE.raw" "$CORE"
	mv "$CORE.raw" "$CORE"
	right_content
	status=0
	"$SNAPCTL" dump --mode=fork -o - "$PID" 2>"$DIR/stderr" | cat >"$CORE" || status=$?
	expect 0
	[ "$(note mode)" = fork ]
	right_content
	unharmed
	target_quit
}

@test "invariant: through the daemon" {
	load ../tools/daemon
	daemon_start
	target_start invariant 4 8192
	local i
	for i in 1 2 3; do
		snapctl dump --mode=fork --json -f -o "$CORE" "$PID"
		expect 0
		field '.mode == "fork"' >/dev/null
		right_content
		childless
		unharmed
	done
	daemon_stop
}

@test "writers of all speeds" {
	local rate
	for rate in 0 1000 50000 1000000; do
		target_start gap-probe 64 --write $rate --fill random
		remember
		dump_fork
		well_formed
		dump_fork
		as_before
		unharmed
		target_quit
	done
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
	target_start memory no-uring no-sysv
	local mask lost
	for mask in '' pagemap_scan; do
		PROCSNAP_MASK=$mask dump --json --mode=fork --all
		field '.mode == "fork"' >/dev/null
		# Nobody can read what is secret.
		lost=0
		! has_key secret || lost=$(key secret | cut -d: -f2)
		field ".lost_bytes == $lost" >/dev/null
		well_formed
		# All that is reserved takes a minute to look through; pause.bats does.
		verify_content secret noreserve
		# The child had the code that made it. The core does not.
		! LC_ALL=C grep -qaP '\x0f\x05\x48\x89\xc1\xe3\x22\x48\x8b\x05' "$CORE"
		childless
	done
	unharmed
}

@test "swapped out" {
	target_start gap-probe 64 --fill random
	target_cmd pageout
	dump_fork
	verify_content
	unharmed
}

# ---- nobody notices ----------------------------------------------------------------------------

@test "who waits for children, or is told of them, sees none" {
	target_start childless 64
	remember
	local i
	for i in 1 2 3 4 5 6; do
		dump_fork
		verify_content
		unharmed
	done
	as_before
	target_quit
}

@test "the first of a pid namespace's processes to be dumped: its own numbers count" {
	target_start_inside childless 64
	remember
	dump_fork
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

# ---- what forbids it -------------------------------------------------------------------------------

# refuses WHY: nothing happens to the target.
refuses() {
	remember
	dump --mode=fork
	expect $EX_FAILED
	error_has "$PID" "$1"
	only_files
	as_before
	childless
	snapctl dump --direct -n "$PID"
	[[ $output == *"fork "*"not possible: "*"$1"* ]] || fail "$output" || return 1
}

@test "what would be noticed, or not go well: io_uring, userfaultfd, System V memory, namespaces" {
	local pair
	for pair in uring:io_uring 'uffd:userfaultfd itself' 'sysv:System V' 'pidns:namespaces of their own'; do
		target_start veto "${pair%%:*}"
		refuses "${pair#*:}"
		unharmed
		target_quit
	done
}

@test "files open for direct I/O are no reason" {
	target_start veto direct
	dump_fork
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

@test "real-time scheduling" {
	need_command chrt
	target_start veto none
	chrt --fifo -p 1 "$PID" || skip "no real-time scheduling"
	refuses "real-time"
	chrt --other -p 0 "$PID"
	dump_fork
}

@test "no more processes for its group, or for its user" {
	local group=/sys/fs/cgroup/pids/procsnaptest$$
	target_start veto none
	if mkdir "$group" 2>/dev/null; then
		at_end "echo $PID >/sys/fs/cgroup/pids/cgroup.procs 2>/dev/null; rmdir $group"
		echo "$PID" >"$group"/cgroup.procs
		echo 2 >"$group"/pids.max
		refuses "its control group may not have more processes"
		echo max >"$group"/pids.max
		dump_fork
	fi
}

@test "too little memory for its group" {
	local group=/sys/fs/cgroup/memory/procsnaptest$$
	target_start veto none
	mkdir "$group" 2>/dev/null || skip "no memory groups"
	at_end "echo $PID >/sys/fs/cgroup/memory/cgroup.procs 2>/dev/null; rmdir $group"
	echo "$PID" >"$group"/cgroup.procs
	echo $((128 << 20)) >"$group"/memory.limit_in_bytes || skip "no memory groups"
	dump_fork
	rm "$CORE"
	echo $((64 << 20)) >"$group"/memory.limit_in_bytes
	refuses "of memory left"
}

@test "memory becomes scarce in its group: the child ends, and the process does not" {
	local group=/sys/fs/cgroup/memory/procsnaptest$$
	target_start childless 512
	mkdir "$group" 2>/dev/null || skip "no memory groups"
	at_end "echo $PID >/sys/fs/cgroup/memory/cgroup.procs 2>/dev/null; rmdir $group"
	echo "$PID" >"$group"/cgroup.procs
	echo 1 >"$group"/memory.move_charge_at_immigrate 2>/dev/null || true
	echo $((2 << 30)) >"$group"/memory.limit_in_bytes || skip "no memory groups"
	dump_slowly
	# It had its memory before it came here, so that is not counted; what is left counts.
	echo $((48 << 20)) >"$group"/memory.limit_in_bytes
	status=0
	wait "$SLOW" || status=$?
	echo $((2 << 30)) >"$group"/memory.limit_in_bytes
	cat "$DIR/slow"
	expect $EX_SPACE
	grep -q 'was given up' "$DIR/slow"
	only_files
	wait_for childless
	dump_fork
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
	dump --mode=fork
	expect $EX_FAILED
	error_has "seccomp"
	unharmed
}

@test "a filter that says no to something else" {
	need_root
	target_start veto errno
	remember
	local i
	for i in 1 2 3; do
		dump_fork
		verify_content
		as_before
	done
	unharmed
}

# ---- what comes in between ------------------------------------------------------------------------

# Whatever was left in the vDSO, the next dump is good. A zombie may be left by the killed worker.
killed_well() {
	as_before thunk
	wait_for no_child_lives
	rm -f "$CORE"
	dump --json --mode=fork
	expect 0
	field '.mode == "fork"' >/dev/null
	as_before thunk
	unharmed_but_thunk "$(target_cmd check)"
}

@test "SIGKILL of the worker before each request: the process goes on, and the next dump works" {
	[ -z "${ASAN_OPTIONS-}" ] || skip "nothing can be preloaded"
	target_start veto none
	remember
	each_step kill killed_well
	verify_content
}

@test "the same with system calls that do not stand still" {
	[ -z "${ASAN_OPTIONS-}" ] || skip "nothing can be preloaded"
	target_start invariant 4 8192
	remember
	each_step kill killed_well 5
	right_content
}

@test "a signal with a handler before each request" {
	[ -z "${ASAN_OPTIONS-}" ] || skip "nothing can be preloaded"
	target_start handler
	remember
	export PTRACE_TARGET=$PID
	each_step 10 signalled_well
	dump --mode=fork
	childless
	as_before thunk
}

@test "SIGKILL of the worker at any time" {
	local max i names=('veto none' 'invariant 4 4096' 'remap --pages 1024 --ballast 8' signals) name
	for name in "${names[@]}"; do
		# shellcheck disable=SC2086
		target_start $name
		dump_fork
		max=$(($(field .wall_ns) / 800))
		for ((i = 0; i < ROUNDS; i++)); do
			"$TOOLS/disturb" --worker KILL --random-us "$max" -- \
				"$SNAPCTL" dump --mode=fork -f -o "$CORE" "$PID" >"$DIR/round" 2>&1 || true
			rm -f "$CORE"
			wait_free "$PID"
			wait_for no_child_lives
		done
		# With it goes what the killed ones have left.
		dump --mode=fork
		expect 0
		right_content
		has_key table || childless
		target_ok_but_eintr
	done
	wait_for no_workers
}

@test "SIGSTOP of the worker in the middle: it ends itself" {
	[ -z "${ASAN_OPTIONS-}" ] || skip "nothing can be preloaded"
	target_start veto none
	remember
	local n
	for n in 5 25 31 35; do
		rm -f "$DIR/stepped"
		step "$n" stop
		stepped
		as_before thunk
		wait_for no_child_lives
		dump --mode=fork
		expect 0
		unharmed_but_thunk "$(target_cmd check)"
		rm -f "$CORE"
	done
}

@test "several dumps of one process at once" {
	target_start childless 64
	local i k pids good=0
	for ((i = 0; i < 6; i++)); do
		pids=()
		for k in 1 2 3; do
			"$SNAPCTL" dump --mode=fork --json -f -o "$DIR/core.$k" "$PID" \
				>"$DIR/json.$k" 2>"$DIR/err.$k" 3>&- &
			pids+=($!)
		done
		for k in 1 2 3; do
			status=0
			wait "${pids[k - 1]}" || status=$?
			errors=$(cat "$DIR/err.$k")
			[[ $status =~ ^[016]$ ]] || expect 0
			if [ "$status" = 0 ]; then
				CORE=$DIR/core.$k verify_content
				good=$((good + 1))
			fi
		done
		childless
		unharmed
	done
	echo "$good of 18 were good"
	((good > 0))
}
