# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # they come from common.bash, and go to the tests
# Dumps of which most is copied while the process runs, as $MODE says, and what is true afterwards.

STEP=$TOOLS/ptrace-step.so

# What is in the core of a target that says so.
right_content() {
	! has_key table || "$CORECHECK" remap "$CORE" "$(key table)"
	! has_key ballast || "$CORECHECK" verify "$CORE" "ballast=$(key ballast)"
	! has_key clock || "$CORECHECK" invariant "$CORE" "$(key accounts)" "$(key slots)" \
		"$(key clock)" "$(key total)"
}

# ---- dumps in the way that is tested ----------------------------------------------------------

# dump_so [OPTION...]: of the current target, in the way of $MODE; the core is $CORE, whole.
dump_so() {
	dump --json --mode="$MODE" "$@"
	case $status:$errors in
	0:*) ;;
	*"cannot follow writes"* | *"the kernel cannot take descriptors"*) skip "$errors" ;;
	esac
	expect 0
	field ".mode == \"$MODE\" and .lost_bytes == 0" >/dev/null
	[ "$MODE" != fork ] || left_no_child
}

# rounds N [OPTION...]: N good dumps.
rounds() {
	local n=$1 i
	shift
	for ((i = 0; i < n; i++)); do
		dump_so "$@"
		well_formed
		[ "$(note mode)" = "$MODE" ]
		right_content
	done
	only_files core
	unharmed
}

# The children of the current target.
children() {
	cat "/proc/$PID/task/"*/children 2>/dev/null | tr -d '\n'
}

childless() {
	[ -z "$(children)" ] || fail "it has children: $(children)" || return 1
}

left_no_child() {
	field '.warnings == []' >/dev/null
	has_key table || childless # remap has some of its own
}

# ---- one instant, in each way ---------------------------------------------------------------------

# The core is one instant, whichever way it is written.
all_ways_to_write() {
	local mask
	target_start invariant 4 8192
	rounds 1 --keep-partial
	rounds 1 --with-binaries
	rounds 1 --all
	rounds 1 --max-pause=10s
	for mask in process_vm_readv map_files; do
		PROCSNAP_MASK=$mask rounds 1
	done
	dump_so -z
	zstd -qdf -o "$CORE.raw" "$CORE"
	mv "$CORE.raw" "$CORE"
	right_content
	status=0
	"$SNAPCTL" dump --mode="$MODE" -o - "$PID" 2>"$DIR/stderr" | cat >"$CORE" || status=$?
	expect 0
	[ "$(note mode)" = "$MODE" ]
	right_content
	unharmed
	target_quit
}

through_the_daemon() {
	local i
	load ../tools/daemon
	daemon_start
	target_start invariant 4 8192
	for i in 1 2 3; do
		snapctl dump --mode="$MODE" --json -f -o "$CORE" "$PID"
		expect 0
		field ".mode == \"$MODE\"" >/dev/null
		right_content
		[ "$MODE" != fork ] || childless
		unharmed
	done
	daemon_stop
}

writers_of_all_speeds() {
	local rate
	for rate in 0 1000 50000 1000000; do
		target_start gap-probe 64 --write $rate --fill random
		remember
		dump_so
		# Word 0 of each page is the writer's.
		well_formed
		dump_so
		as_before
		unharmed
		target_quit
	done
}

# all_but_secret MASK...: all of each kind of memory, with each of these features masked; secret is what
# nobody can read.
all_but_secret() {
	local mask lost
	for mask; do
		PROCSNAP_MASK=$mask dump --json --mode="$MODE" --all
		field ".mode == \"$MODE\"" >/dev/null
		lost=0
		! has_key secret || lost=$(key secret | cut -d: -f2)
		field ".lost_bytes == $lost" >/dev/null
		well_formed
		# All that is reserved takes a minute to look through: once is enough.
		if [ "$MODE" = fork ]; then
			verify_content secret noreserve
			# The child had the code that made it. The core does not. (Without its zeros, which
			# grep would take for one long line.)
			if tr -d '\0' <"$CORE" | LC_ALL=C grep -qaP '\x0f\x05\x48\x89\xc1\xe3\x22\x48\x8b\x05'; then
				fail "the code that forks is in the core"
			fi
			childless
		else
			verify_content secret
		fi
	done
	unharmed
}

# ---- what forbids it -------------------------------------------------------------------------------

# refuses WHY [unforeseen]: nothing happens to the target, and auto takes another way. What can be seen
# only when a thread has stopped, --dry-run does not know.
refuses() {
	remember
	dump --mode="$MODE"
	expect $EX_FAILED
	error_has "$PID" "$1"
	only_files
	as_before
	snapctl dump --direct -n "$PID"
	[ "${2-}" = unforeseen ] || [[ $output == *"$MODE "*"not possible: "*"$1"* ]] ||
		fail "$output" || return 1
	falls_back
}

# Without being told how, by whom this way would be taken if nothing were against it.
falls_back() {
	local better=copy
	[ "$MODE" != fork ] || better=userfaultfd
	PROCSNAP_MASK=${PROCSNAP_MASK:+$PROCSNAP_MASK,}$better dump --json
	expect 0
	field ".mode == \"copy\" or (.mode == \"fork\" and \"$MODE\" != \"fork\")" >/dev/null
	! has_key mem || verify_content
	rm "$CORE"
	as_before
	[ "$MODE" != fork ] || childless
	! has_key mem || unharmed_but_changed
}

# Where this test has changed something about the target, CHANGED, it says so, and nothing else.
unharmed_but_changed() {
	local answer
	if [ -z "${CHANGED-}" ]; then
		unharmed
		return
	fi
	assert_free "$PID"
	answer=$(target_cmd check | grep '^- ') || true
	[ "$answer" = '- limits, cgroup, oom_score_adj, name or dumpable flag changed' ] ||
		fail "the target was harmed:" "$answer" || return 1
}

# ---- nothing left behind -----------------------------------------------------------------------

vdso_sum() {
	local range start
	range=$(sed -n 's/ .*\[vdso\]$//p' "/proc/$PID/maps")
	start=$((0x${range%-*}))
	dd if="/proc/$PID/mem" bs=4096 iflag=skip_bytes,count_bytes skip=$start \
		count=$((0x${range#*-} - start)) status=none | sha256sum
}

# The registrations, descriptors and mappings of the process.
traces() {
	echo "registered: $(grep -cE '^VmFlags:.* u[mw]\b' "/proc/$PID/smaps")"
	echo "descriptors: $(find "/proc/$PID/fd" -mindepth 1 -printf '%P ' | tr ' ' '\n' | sort -n | tr '\n' ' ')"
	echo "mappings: $(cut -d ' ' -f 1,2 "/proc/$PID/maps" | sha256sum)"
}

remember() {
	VDSO=$(vdso_sum)
	TRACES=$(traces)
}

# as_before [thunk]: with "thunk" the bytes of one may have been left in the vDSO.
as_before() {
	wait_free "$PID"
	wait_for same_traces || fail "before:" "$TRACES" "now:" "$(traces)" || return 1
	[ "${1-}" = thunk ] || [ "$(vdso_sum)" = "$VDSO" ] || fail "the vDSO is another" || return 1
}

same_traces() {
	[ "$(traces)" = "$TRACES" ]
}

# ---- what comes in between --------------------------------------------------------------------

# step N WHAT [FILE]: WHAT just before the worker's N-th request to ptrace (ptrace-step.so).
step() {
	status=0
	LD_PRELOAD=$STEP PTRACE_STEP=$1 PTRACE_DO=$2 PTRACE_LOG=$DIR/stepped \
		"$SNAPCTL" dump --mode="$MODE" -f -o "$CORE" "$PID" >"$DIR/stdout" 2>"$DIR/stderr" ||
		status=$?
}

stepped() {
	[ -e "$DIR/stepped" ]
}

# each_step WHAT CHECK [STRIDE]: for every STRIDEth N until there are no more requests, or until 200.
each_step() {
	local n done=0
	for ((n = 1; n <= 200; n += ${3-1})); do
		rm -f "$DIR/stepped"
		step $n "$1"
		stepped || break
		"$2" $n || fail "at request $n of ptrace: $(cat "$DIR/stepped")" "$(cat "$DIR/stderr")" ||
			return 1
		rm -f "$CORE"
		done=$n
	done
	echo "$done requests"
	((done > 20)) # or it was not preloaded
}

# target_ok, though its vDSO may have the bytes of a thunk that nobody needs.
unharmed_but_thunk() {
	[ "${1##*$'\n'}" = ok ] || [ "$(grep -c '^- ' <<<"$1")$(grep -c '^- some text' <<<"$1")" = 11 ] ||
		fail "the target was harmed:" "$1" || return 1
}

# It was handled, and only once.
signalled_well() {
	local answer
	as_before thunk
	answer=$(target_cmd check)
	unharmed_but_thunk "$answer"
	[[ $answer == *"handled=$1"$'\n'* ]] || fail "not handled once: $answer" || return 1
}

# After each kill the next dump is good, and clears away what was left in the vDSO.
killed_well() {
	as_before thunk
	[ "$MODE" != fork ] || wait_for no_child_lives
	rm -f "$CORE"
	dump --json --mode="$MODE"
	expect 0
	field ".mode == \"$MODE\" and .lost_bytes == 0" >/dev/null
	as_before
	unharmed
}

# leave_thunk WHAT: that (step) where it leaves the bytes of a thunk, before request N.
leave_thunk() {
	[ -z "${ASAN_OPTIONS-}" ] || skip "nothing can be preloaded"
	for ((N = 1; N <= 60; N++)); do
		rm -f "$DIR/stepped"
		step $N "$1"
		stepped || break
		rm -f "$CORE"
		wait_free "$PID"
		[ "$(vdso_sum)" = "$VDSO" ] || return 0
	done
	fail "no thunk is left"
}

# But zombies.
no_child_lives() {
	local child
	for child in $(children); do
		grep -q '^State:.Z' "/proc/$child/status" || return 1
	done
}

# killed_before_each_request STRIDE TARGET...: the worker is killed there, and the next dump works.
killed_before_each_request() {
	local stride=$1
	[ -z "${ASAN_OPTIONS-}" ] || skip "nothing can be preloaded"
	shift
	target_start "$@"
	remember
	each_step kill killed_well "$stride"
	dump_so
	! has_key mem || verify_content
	right_content
	as_before thunk
}

signalled_before_each_request() {
	[ -z "${ASAN_OPTIONS-}" ] || skip "nothing can be preloaded"
	target_start handler
	remember
	export PTRACE_TARGET=$PID
	each_step 10 signalled_well
	unset PTRACE_TARGET
	dump_so
	as_before thunk
}

killed_at_any_time() {
	local max i names=('veto none' 'invariant 4 4096' 'remap --pages 1024 --ballast 8' signals) name
	for name in "${names[@]}"; do
		# shellcheck disable=SC2086
		target_start $name
		dump_so
		max=$(($(field .wall_ns) / 800))
		for ((i = 0; i < ROUNDS; i++)); do
			"$TOOLS/disturb" --worker KILL --random-us "$max" -- \
				"$SNAPCTL" dump --mode="$MODE" -f -o "$CORE" "$PID" >"$DIR/round" 2>&1 || true
			rm -f "$CORE"
			wait_free "$PID"
			[ "$MODE" != fork ] || wait_for no_child_lives
		done
		# A fork takes with it what the killed ones have left.
		dump_so
		right_content
		target_ok_but_eintr
		[ "$(grep -cE '^VmFlags:.* u[mw]\b' "/proc/$PID/smaps")" = 0 ]
	done
	wait_for no_workers
}

# stopped_before_requests N...: the worker stops there for good, and ends itself.
stopped_before_requests() {
	local n
	[ -z "${ASAN_OPTIONS-}" ] || skip "nothing can be preloaded"
	target_start veto none
	remember
	for n; do
		rm -f "$DIR/stepped"
		step "$n" stop
		stepped
		as_before thunk
		[ "$MODE" != fork ] || wait_for no_child_lives
		dump_so
		as_before thunk
		unharmed_but_thunk "$(target_cmd check)"
		rm -f "$CORE"
	done
}

# several_at_once ROUNDS: three dumps of the current target at a time.
several_at_once() {
	local rounds=$1 i k pids good=0
	remember
	for ((i = 0; i < rounds; i++)); do
		pids=()
		for k in 1 2 3; do
			"$SNAPCTL" dump --mode="$MODE" --json -f -o "$DIR/core.$k" "$PID" \
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
		[ "$MODE" != fork ] || childless
		as_before
		unharmed
	done
	echo "$good of $((3 * rounds)) were good"
	((good > 0))
	dump_so
}
