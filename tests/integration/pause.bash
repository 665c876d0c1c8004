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

