#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every target is dumped and then says itself whether it was harmed.

load common

# dump_well [OPTION...]: of the current target. Leaves a whole and well-formed core.
dump_well() {
	dump --json "$@"
	case " $*" in
	*\ --compress*) [ "$(id -u)" != 0 ] || expect 0 ;;
	*) expect_dumped ;;
	esac
	assert_free "$PID" "${STATE-}"
	field '(.lost_bytes == 0) == ('"$status"' == 0) and .pause_ns > 0' >/dev/null
}

# Three dumps in a row, then compressed, then without what newer kernels have; then the content.
dump_often() {
	local mask i
	for i in 1 2 3; do
		dump_well
		target_ok
	done
	dump_well --compress=1
	zstd -qdf -o "$CORE.raw" "$CORE"
	well_formed "$CORE.raw"
	rm "$CORE.raw"
	target_ok
	for mask in pagemap_scan process_vm_readv pagemap_scan,process_vm_readv; do
		PROCSNAP_MASK=$mask dump_well
		well_formed
		verify_content "${EXCEPT[@]}"
		target_ok
	done
	PROCSNAP_MASK=map_files dump --json
	[ "$status" = 0 ] || expect $EX_PARTIAL
	well_formed
	target_ok
	dump_well
	well_formed
	verify_content "${EXCEPT[@]}"
	only_files core
	target_ok
}

# dump_target NAME [ARGUMENT...]
dump_target() {
	target_start "$@"
	dump_often
	target_quit
}

threads_in_core() {
	"$CORECHECK" threads "$CORE" | wc -l
}

@test "simple" {
	dump_target simple
	[ "$("$CORECHECK" threads "$CORE" | head -n 1)" = "$PID" ]
	[ "$(threads_in_core)" = 5 ]
}

@test "simple, 32 bits" {
	dump_target simple-32
	[ "$(eu-readelf -h "$CORE" | awk '/Class:/ { print $2 }')" = ELF32 ]
	eu-readelf -h "$CORE" | grep -q 'Machine: *Intel 80386'
}

@test "threads, 2000 of them" {
	dump_target threads 2000
	[ "$(threads_in_core)" = "$(key threads)" ]
}

@test "threads, 32 bits" {
	dump_target threads-32 200
	[ "$(threads_in_core)" = "$(key threads)" ]
}

@test "threads, 4000 of them: each is in the core once" {
	target_start threads 4000
	dump_well
	well_formed
	"$CORECHECK" threads "$CORE" | sort -n >"$DIR/core-tids"
	ls "/proc/$PID/task" | sort -n >"$DIR/tids"
	diff "$DIR/tids" "$DIR/core-tids"
	[ "$(note threads)" = "$(key threads)" ]
	target_ok
	target_quit
}

@test "churn: threads come and go" {
	dump_target churn
}

@test "eintr: no call in 70 notices" {
	dump_target eintr
}

@test "eintr, 32 bits" {
	dump_target eintr-32
}

@test "signals: none is lost or doubled" {
	dump_target signals
}

@test "signals, 32 bits" {
	dump_target signals-32
}

# A call that a signal interrupts must say so, also when the signal comes in the very moment in which
# the process is let go.
@test "signals: in 200 dumps each interrupted call returns EINTR, and no other does" {
	local name i answer bad=0
	for name in signals signals-32; do
		[ -x "$BUILD/targets/$name" ] || continue
		target_start $name
		for ((i = 0; i < 100; i++)); do
			dump -q
			expect 0
			answer=$(target_cmd check)
			[ "${answer##*$'\n'}" = ok ] || bad=$((bad + 1))
			[ "${answer##*$'\n'}" = ok ] || echo "$name, dump $i: $answer"
		done
	done
	[ $bad = 0 ] || fail "$bad of the dumps were noticed"
}

@test "zombie-leader: the leader has ended" {
	target_start zombie-leader
	dump_often
	# The leader has no registers; the three others do.
	"$CORECHECK" threads "$CORE" >"$DIR/threads"
	no grep -qx "$PID" "$DIR/threads"
	[ "$(threads_in_core)" = 3 ]
	[ "$(grep '^State' "/proc/$PID/status" | cut -f 2)" = "Z (zombie)" ]
	target_quit
}

@test "stopped: it stays stopped and then continues" {
	target_start stopped
	STATE=stopped dump_often
	local status
	for status in /proc/"$PID"/task/*/status; do
		grep -q '^State:.T (stopped)' "$status"
	done
	[ "$(target_cmd cont)" = ok ]
	target_quit
}

@test "vfork-parent: a thread in vfork is waited for" {
	dump_target vfork-parent
}

@test "vfork-parent, long: only its system call is known" {
	target_start vfork-parent long
	dump_often
	[ "$(note "thread $(key vfork_tid) .* partial D" | wc -l)" = 1 ] ||
		"$CORECHECK" note "$CORE" | grep -q "^thread $(key vfork_tid) [0-9]* partial D"
	error_has "$(key vfork_tid)" "vfork"
	target_quit
}

@test "dstate: a thread in uninterruptible sleep is partial, and the note says so" {
	local way tid
	for way in uffd fsfreeze; do
		[ $way = uffd ] || need_mount
		target_start dstate $way
		tid=$(key d_tid)
		dump --json
		expect 0
		well_formed
		"$CORECHECK" note "$CORE" | grep -q "^thread $tid $tid partial D"
		error_has "$tid" "uninterruptible"
		field '.warnings | length > 0' >/dev/null
		# Not all of its registers, but where it is in the program: /proc/TID/syscall.
		[ "$("$CORECHECK" note "$CORE" | grep -c ' complete ')" -ge 1 ]
		gdb -nx -batch -ex 'info threads' "$BUILD/targets/dstate" "$CORE" 2>&1 |
			grep -q "LWP $tid"
		unharmed
		dump
		expect 0
		unharmed
		target_quit
	done
}

@test "bits32: 32-bit system calls, 32-bit code and an LDT in a 64-bit process" {
	dump_target bits32
	[ "$(eu-readelf -h "$CORE" | awk '/Class:/ { print $2 }')" = ELF64 ]
}

@test "bits32, 32 bits" {
	dump_target bits32-32
	[ "$(eu-readelf -h "$CORE" | awk '/Class:/ { print $2 }')" = ELF32 ]
}

@test "nsenter: pid 1 of its own namespaces" {
	need_mount
	dump_target nsenter
	"$CORECHECK" note "$CORE" | grep -q "^thread $PID $(key inner) "
	# Its parent, process group and session are outside.
	"$CORECHECK" ids "$CORE" | sort -n -k 2 >"$DIR/ids"
	diff <(printf '%s\n' 'process 1 0 0 0' "thread "{1,2,3}" 0 0 0") "$DIR/ids"
}

@test "nsenter second: pid 2 of its own namespaces" {
	need_mount
	dump_target nsenter second
	"$CORECHECK" note "$CORE" | grep -q "^thread $PID $(key inner) "
	"$CORECHECK" ids "$CORE" | sort -n -k 2 >"$DIR/ids"
	diff <(printf '%s\n' 'process 2 1 0 0' "thread "{2,3,4}" 1 0 0") "$DIR/ids"
}

# What is said goes by the numbers out here, as the command line does; the core by those inside.
@test "in a pid namespace: messages, names and JSON have the numbers outside" {
	local inside outside
	target_start_inside vfork-parent long
	inside=$(key vfork_tid)
	outside=$(grep -l "^NSpid:.*	$inside\$" "/proc/$PID/task/"*/status)
	outside=${outside%/status}
	outside=${outside##*/}
	[ "$outside" != "$inside" ]
	snapctl dump "$PID"
	expect 0
	only_files "core.$PID"
	[[ $output == "core.$PID: "* ]]
	[[ $errors == "snapctl: warning: process $PID: thread $outside "*vfork* ]]
	"$CORECHECK" note "core.$PID" | grep -q "^thread $outside $inside partial D"
	"$CORECHECK" threads "core.$PID" | grep -qx "$inside"
	rm "core.$PID"
	dump --json
	expect 0
	[ "$(field .pid)" = "$PID" ]
	field ".warnings | length == 1 and (.[0] | test(\"thread $outside \"))" >/dev/null
	snapctl dump -n "$PID"
	[[ $output == "Process $PID "* ]]
	snapctl gcore -o "$OUT/gcore" "$PID"
	expect 0
	[ -s "$OUT/gcore.$PID" ]
	snapctl dump --max-pause=1ns -f -o "$CORE" "$PID"
	expect $EX_PAUSE
	error_has "process $PID"
	assert_free "$PID"
	target_ok
}

@test "nodump: root dumps what is not dumpable" {
	need_root
	dump_target nodump
}

@test "nodump setuid: and what gave up root" {
	need_root
	dump_target nodump setuid 65534
	[ "$(stat -c %u "$CORE")" = 0 ]
}

# What execs may be caught between two programs: it is dumped, or it ended first; never anything else.
@test "exec-storm: every dump ends, and the process goes on" {
	target_start exec-storm 2
	local i good=0
	for ((i = 0; i < 150; i++)); do
		dump --json
		case $status in
		0) good=$((good + 1)) && well_formed ;;
		*) fail "dump $i: exit status $status" "$errors" ;;
		esac
		assert_free "$PID"
	done
	only_files core
	target_ok
	target_quit
}

@test "exit-storm: processes that end while they are dumped" {
	target_start exit-storm
	local i child answer good=0 ended=0
	for ((i = 0; i < 60; i++)); do
		answer=$(target_cmd child)
		child=${answer#child }
		snapctl dump -f -o "$CORE" "$child"
		case $status in
		0) good=$((good + 1)) && well_formed ;;
		"$EX_GONE") ended=$((ended + 1)) ;;
		*) fail "dump $i of $child: exit status $status" "$errors" ;;
		esac
	done
	echo "$good dumps, $ended ended first"
	snapctl dump -f -o "$CORE" "$PID"
	expect 0
	only_files core
	unharmed
	target_quit
}

@test "traced: exit status 6, and the tracer is named" {
	target_start traced
	dump
	expect $EX_TRACED
	error_has "$PID" "$(key tracer)" "traced"
	dump --json
	expect $EX_TRACED
	[ "$(field .error.code)" = already-traced ]
	target_ok
	only_files
	target_quit
}

@test "memory" {
	target_start memory
	EXCEPT=(dontdump secret past_eof file_shared hugetlb_shared) # see memory.bats
	dump_often
	target_quit
}

@test "maps70k: more program headers than e_phnum holds" {
	need_root
	local was
	was=$(cat /proc/sys/vm/max_map_count)
	if ((was < 80000)); then
		[ -w /proc/sys/vm/max_map_count ] || skip "vm.max_map_count is $was and cannot be set"
		at_end "echo $was >/proc/sys/vm/max_map_count"
		echo 80000 >/proc/sys/vm/max_map_count
	fi
	target_start maps70k 70000
	dump_well
	well_formed
	[ "$(eu-readelf -h "$CORE" | grep -c 'Number of program headers entries:.*65535')" = 1 ]
	local headers
	headers=$(eu-readelf -l "$CORE" | grep -c '^  LOAD')
	[ "$headers" = "$("$CORECHECK" segments "$CORE" | wc -l)" ]
	((headers > 70000))
	"$CORECHECK" maps70k "$CORE" "$(key base)" "$(key count)" "$(key step)" "$(key seed)"
	# gdb 13 takes its time, but reads it.
	gdb -nx -batch -ex "x/1gx $(key base)" "$BUILD/targets/maps70k" "$CORE" 2>/dev/null |
		grep -q "^$(key base):"
	target_ok
	PROCSNAP_MASK=pagemap_scan dump_well
	"$CORECHECK" maps70k "$CORE" "$(key base)" "$(key count)" "$(key step)" "$(key seed)"
	target_ok
	target_quit
}

@test "gap-probe: 256 MiB with a writer" {
	target_start gap-probe 256 --write 20000
	dump_well
	dump_well --compress
	unharmed
	target_quit
}

@test "invariant: the core is one point in time" {
	target_start invariant 4
	local i
	for i in 1 2 3 4 5; do
		dump_well
		well_formed
		"$CORECHECK" invariant "$CORE" "$(key accounts)" "$(key slots)" "$(key clock)" \
			"$(key total)"
		target_ok
	done
	target_quit
}

@test "rseq: restartable sequences" {
	dump_target rseq
}

@test "seccomp: under a filter that kills" {
	dump_target seccomp
}

@test "gohttp: a Go server" {
	dump_target gohttp
}

# ---- the process that is not there -------------------------------------------------------------

@test "the process is killed during the dump: exit status 3, nothing left" {
	local i began good=0 ended=0
	for ((i = 0; i < 12; i++)); do
		target_start gap-probe 128
		"$SNAPCTL" dump -o "$CORE.$i" "$PID" >"$DIR/stdout" 2>"$DIR/stderr" 3>&- &
		began=$!
		sleep "0.0$((i * 8 + 4))"
		kill -KILL "$PID"
		status=0
		wait $began || status=$?
		errors=$(cat "$DIR/stderr")
		case $status in
		0) good=$((good + 1)) && well_formed "$CORE.$i" && rm "$CORE.$i" ;;
		"$EX_GONE")
			ended=$((ended + 1))
			error_has "$PID"
			# Before the first look at it, or after.
			grep -qE 'ended|there is no process' <<<"$errors"
			;;
		*) fail "round $i: exit status $status" "$errors" ;;
		esac
		only_files
		wait_for gone "$PID"
	done
	echo "$good dumps, $ended ended first"
	wait_for no_workers
}

@test "the process is killed while it is frozen: --keep-partial keeps a marked core" {
	local i
	for ((i = 0; i < 30; i++)); do
		target_start gap-probe 256
		status=0
		"$TOOLS/disturb" --when-frozen "$PID" --delay-us $((20000 + i * 2000)) \
			--kill-target KILL -- \
			"$SNAPCTL" dump --mode=copy --keep-partial --json -f -o "$CORE" "$PID" \
			>"$DIR/stdout" 2>"$DIR/stderr" || status=$?
		output=$(grep '^{' "$DIR/stdout")
		errors=$(cat "$DIR/stderr")
		[ "$status" != "$EX_PARTIAL" ] || break
		[ "$status" = 0 ] || [ "$status" = $EX_GONE ] || expect $EX_PARTIAL
	done
	expect $EX_PARTIAL
	field '.lost_bytes > 0' >/dev/null
	[ "$(note partial)" = 1 ]
	"$CORECHECK" note "$CORE" | grep -q '^gap .* aborted$'
	well_formed
	gdb -nx -batch -ex 'thread apply all bt 3' "$BUILD/targets/gap-probe" "$CORE" 2>&1 |
		grep -q 'LWP'
	only_files core
}

@test "no process, a thread, a kernel thread, nonsense" {
	snapctl dump -o "$CORE" 4194303
	expect $EX_GONE
	error_has 4194303
	target_start simple
	snapctl dump -o "$CORE" "$(key futex_tid)"
	expect $EX_GONE
	error_has "thread"
	unharmed
	local kthread
	for kthread in /proc/[0-9]*; do
		[ -z "$(tr -d '\0' <"$kthread/cmdline" 2>/dev/null)" ] || continue
		grep -qs '^PPid:.2$' "$kthread/status" && break
		kthread=
	done
	if [ -n "$kthread" ]; then
		snapctl dump -o "$CORE" "${kthread#/proc/}"
		expect $EX_FAILED
		error_has "kernel thread" "${kthread#/proc/}"
	fi
	local bad
	for bad in 0 -1 99999999999999999999 '' ' ' 1x 0x10 1.5 "$PID," "$PID/.." "+$PID"; do
		snapctl dump -o "$CORE" -- "$bad"
		expect $EX_USAGE
	done
	snapctl dump -o "$CORE" -1
	expect $EX_USAGE
	only_files
}

@test "a zombie, and a process of which snapctl is the child" {
	sh -c 'sleep 0 & exec sleep 60' 3>&- &
	STARTED+=($!)
	local zombie= parent=$!
	has_zombie() {
		zombie=$(awk '$4 == '"$parent"' && $3 == "Z" { print $1 }' /proc/[0-9]*/stat 2>/dev/null)
		[ -n "$zombie" ]
	}
	wait_for has_zombie
	snapctl dump -o "$CORE" "$zombie"
	expect $EX_GONE
	error_has "$zombie"
	only_files
	# $$ is bats' own shell, which waits for snapctl meanwhile.
	snapctl dump -f -o "$CORE" $BASHPID
	expect 0
	well_formed
	assert_free $BASHPID
}

@test "several processes: the status is that of the first failure" {
	target_start simple
	local first=$PID
	target_start threads 10
	snapctl dump -o "$OUT/" "$first" 4194303 "$PID"
	expect $EX_GONE
	only_files "core.$first" "core.$PID"
	well_formed "core.$first"
	well_formed "core.$PID"
	unharmed
	target_use 0
	unharmed
}
