# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # they come from common.bash, and go to the tests
# Dumps of which snapctl or the worker is killed or stopped half-way, and what must be true afterwards.

# The time that a dump of the current target takes, in microseconds, and then some.
dump_time_us() {
	dump --json
	expect 0
	rm "$CORE"
	echo $(($(field .wall_ns) / 800))
}

# disturbed_dump OPTION...: one dump of the current target with these options of disturb. status is
# disturb's, RESULT its last line; all it said is in $DIR/round. JOB is "stopped" where job control has
# stopped the target. Fails when the process is not as before, or a file is left or is no good.
disturbed_dump() {
	status=0
	"$TOOLS/disturb" "$@" -- "$SNAPCTL" dump -f ${DUMP_MODE:+"--mode=$DUMP_MODE"} -o "$CORE" "$PID" \
		>"$DIR/round" 2>&1 || status=$?
	RESULT=$(tail -n 1 "$DIR/round")
	[ "$status" != 0 ] || well_formed || return 1
	rm -f "$CORE" # also one that was published, and then snapctl was killed before it could say so
	wait_for worker_gone && wait_free "$PID" "${JOB-}" && only_files
}

# With its last thread its descriptors are gone, and with them what it had set up.
worker_gone() {
	local pid=${RESULT#*worker=}
	pid=${pid%% *}
	[ -z "$(find "/proc/$pid/task" -mindepth 1 -maxdepth 1 ! -name "$pid" 2>/dev/null)" ] && gone "$pid"
}

# A dump that nobody disturbs, which clears away what killed workers have left in the target: zombies,
# if it is by fork, and code. The target may be in the middle of something each time.
dump_undisturbed() {
	local i
	for ((i = 0; i < 10; i++)); do
		dump
		[ "$status" != 0 ] || break
	done
	expect 0
	rm "$CORE"
}
