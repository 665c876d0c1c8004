# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What all integration tests share: targets to dump, the dump itself, and what must be true after it.
#
# A target is driven as tests/targets/README.md says. Several may run at once: target_start makes a
# new one the current one, target_use goes back to another. Everything that was started ends in
# teardown(), by its pid, also when a test failed half-way.

: "${BUILD:?is set by tests/run}"
: "${SNAPCTL:=$BUILD/snapctl}"
TOOLS=$BUILD/tests/tools
CORECHECK=$TOOLS/corecheck

# Exit statuses of snapctl, from snapctl(1).
# shellcheck disable=SC2034
EX_FAILED=1 EX_USAGE=2 EX_GONE=3 EX_DENIED=4 EX_PARTIAL=5 EX_TRACED=6 EX_SPACE=7 EX_PAUSE=8 \
	EX_CANCELLED=9

setup() {
	# A disk and not a tmpfs: holes and O_TMPFILE are part of what is tested.
	DIR=$(mktemp -d "${PROCSNAP_TEST_DIR:-/var/tmp}/procsnap-test.XXXXXX")
	OUT=$DIR/out
	mkdir "$OUT"
	CORE=$OUT/core
	cd "$OUT" || return 1
	declare -ga T_MAIN=() T_PID=() T_IN=() T_OUT=() T_READY=()
	declare -ga STARTED=() AT_END=()
}

teardown() {
	local i fd command
	for ((i = 0; i < ${#T_MAIN[@]}; i++)); do
		remove_files_of "${T_MAIN[i]}"
		end_child "${T_MAIN[i]}"
		for fd in "${T_IN[i]}" "${T_OUT[i]}"; do
			exec {fd}>&-
		done
	done
	for i in "${STARTED[@]}"; do
		end_child "$i"
	done
	for ((i = ${#AT_END[@]} - 1; i >= 0; i--)); do
		command=${AT_END[i]}
		eval "$command" || echo "cannot undo: $command"
	done
	cd /
	[ -z "$DIR" ] || rm -rf "$DIR"
}

# The target "memory" has files with a name, which it removes only when it may end by itself.
remove_files_of() {
	sed -nE 's|.* (/var/tmp/target-memory\.[A-Za-z0-9]{6})$|\1|p' "/proc/$1/maps" 2>/dev/null |
		sort -u | xargs -r rm -f
}

# Kills and reaps a child of this shell. Its number is its own until it is reaped.
end_child() {
	kill -KILL "$1" 2>/dev/null || true
	kill -CONT "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}

# Something to undo when the test ends, last one first.
at_end() {
	AT_END+=("$1")
}

fail() {
	printf '%s\n' "$@" >&2
	return 1
}

# no COMMAND...: that fails. (An exclamation mark before a command lets no test fail.)
no() {
	if "$@"; then
		fail "it should have failed: $*"
	fi
}

# ---- what a test needs -----------------------------------------------------------------------

need_root() {
	[ "$(id -u)" = 0 ] || skip "needs root"
}

need_command() {
	local c
	for c; do
		command -v "$c" >/dev/null || skip "$c is not installed"
	done
}

need_target() {
	[ -x "$BUILD/targets/$1" ] || skip "target $1 is not built (gcc-multilib, Go?)"
}

# Capability number, for root in a container.
need_cap() {
	local caps
	caps=$(sed -n 's/^CapEff:\t//p' /proc/self/status)
	((0x$caps >> $1 & 1)) || skip "capability $2 is missing"
}

need_mount() {
	need_root
	need_cap 21 CAP_SYS_ADMIN
}

# ---- targets ---------------------------------------------------------------------------------

# target_start NAME [ARGUMENT...]: sets PID (the one to dump) and READY (its keys).
target_start() {
	local name=$1 line
	shift
	[ -x "$name" ] || need_target "$name"
	[ -x "$name" ] || name=$BUILD/targets/$name
	launch "$name" "$@"
	while IFS= read -r -t 120 line <&"${T_OUT[CURRENT]}"; do
		case $line in
		ready\ *)
			READY=${line#ready }
			PID=${READY%% *}
			READY="${READY#"$PID"} "
			T_PID[CURRENT]=$PID
			T_READY[CURRENT]=$READY
			return 0
			;;
		skip:*) skip "target ${name##*/}: ${line#skip: }" ;;
		*) echo "$name says: $line" ;;
		esac
	done
	fail "$name does not get ready"
}

# target_start_inside NAME [ARGUMENT...]: the same in a pid namespace of its own, as process 2 there,
# which leads a session. PID is the number out here; the keys of the target have those inside.
target_start_inside() {
	need_mount
	need_command unshare setsid
	need_target "$1"
	cat >"$DIR/inside" <<-'END'
		#!/bin/sh
		exec unshare --fork --kill-child --pid --mount-proc sh -c 'setsid "$@"; exit $?' sh "$@"
	END
	chmod 755 "$DIR/inside"
	target_start "$DIR/inside" "$BUILD/targets/$1" "${@:2}"
	[ "$PID" = 2 ] || fail "it is process $PID inside"
	PID=$(only_child_of "$(only_child_of "${T_MAIN[CURRENT]}")")
	T_PID[CURRENT]=$PID
}

only_child_of() {
	tr -d ' ' <"/proc/$1/task/$1/children"
}

# The number inside its pid namespace of each thread of process $1.
tids_inside() {
	sed -nE 's/^NSpid:.*\t([0-9]+)$/\1/p' "/proc/$1/task/"*/status | sort -n
}

# Starts a program on two fifos, as target number CURRENT.
launch() {
	local in out
	CURRENT=${#T_MAIN[@]}
	mkfifo "$DIR/in.$CURRENT" "$DIR/out.$CURRENT"
	# 3 is bats' own, which waits until nobody has it open any more.
	"$@" <"$DIR/in.$CURRENT" >"$DIR/out.$CURRENT" 2>"$DIR/err.$CURRENT" 3>&- 4>&- &
	T_MAIN[CURRENT]=$!
	exec {in}>"$DIR/in.$CURRENT" {out}<"$DIR/out.$CURRENT"
	T_IN[CURRENT]=$in
	T_OUT[CURRENT]=$out
}

target_use() {
	CURRENT=$1
	PID=${T_PID[$1]}
	READY=${T_READY[$1]}
}

# The value of a key of the ready line.
key() {
	local rest=${READY#* "$1"=}
	[ "$rest" != "$READY" ] || fail "the target has no key '$1':$READY" || return 1
	printf '%s\n' "${rest%% *}"
}

has_key() {
	[[ $READY == *" $1="* ]]
}

# Sends a command and prints the answer up to the verdict, or the one line it has.
target_cmd() {
	local line
	printf '%s\n' "$1" >&"${T_IN[CURRENT]}"
	while IFS= read -r -t 120 line <&"${T_OUT[CURRENT]}"; do
		printf '%s\n' "$line"
		case $line in
		note:* | -*) ;;
		*) return 0 ;;
		esac
	done
	fail "target ${T_PID[CURRENT]} does not answer '$1'"
}

target_ok() {
	local answer
	answer=$(target_cmd check)
	[ "${answer##*$'\n'}" = ok ] || fail "the target was harmed:" "$answer" || return 1
}

# The same after a worker was killed. What procsnap cannot do: when that happens in the moment between
# the interruption of a call and its rewinding, the call returns EINTR, as every debugger makes it do
# (signal(7)). LEAKS counts them. And when it happens in the moment in which a thread does a call for
# us, the code for that stays in the vDSO, where nobody executes it: THUNKS. Any other complaint is a
# failure.
target_ok_but_eintr() {
	local answer others
	answer=$(target_cmd check)
	[ "${answer##*$'\n'}" != ok ] || return 0
	others=$(grep '^- ' <<<"$answer" | grep -vE -e '^- .* (came back|returned) .*EINTR' \
		-e '^- [0-9]+ errors, first: (sigwaitinfo: EINTR|epoll_pwait: EINTR with 0 handler)' \
		-e '^- some text of the process changed' \
		-e '^- sent/seen: queue ([0-9]+)/\1, sigwaitinfo ([0-9]+)/\2, epoll ([0-9]+)/\3 .*, restart ([0-9]+)/\4' ||
		true)
	# Fewer EINTR than signals: one was swallowed.
	if [[ $answer =~ epoll\ ([0-9]+)/[0-9]+\ \(EINTR\ ([0-9]+)\) ]] &&
		((BASH_REMATCH[2] < BASH_REMATCH[1])); then
		others=$answer
	fi
	[ -z "$others" ] || fail "the target was harmed:" "$answer" || return 1
	! grep -q '^- .*EINTR' <<<"$answer" || LEAKS=$((${LEAKS:-0} + 1))
	if grep -q '^- some text' <<<"$answer"; then
		others=$(own_text "$PID")
		[ -z "$others" ] || fail "text of files was written to:" "$others" || return 1
		THUNKS=$((${THUNKS:-0} + 1))
	fi
}

# Text of programs and libraries of which process $1 has copies of its own: somebody wrote to it.
own_text() {
	awk '/^[0-9a-f]+-/ { text = $2 == "r-xp" && $6 ~ "^/" ? $0 : "" }
		text && /^Anonymous:/ && $2 > 0 { print text }' "/proc/$1/smaps"
}

# target_quit: it ends by itself and says whether any check ever failed.
target_quit() {
	printf 'quit\n' >&"${T_IN[CURRENT]}"
	wait "${T_MAIN[CURRENT]}"
}

# Nobody traces any thread of $1, and none is stopped (but by job control where $2 is "stopped").
assert_free() {
	local bad=tT said
	[ "${2-}" != stopped ] || bad=t
	said=$(grep -sE "^(TracerPid:.[1-9]|State:.[$bad])" "/proc/$1/task/"*/status || true)
	[ -z "$said" ] || fail "not free:" "$said" || return 1
}

# The same, but it may take a while: a worker that was killed is gone when the kernel got to it.
wait_free() {
	local i
	for ((i = 0; i < 600; i++)); do
		! assert_free "$@" 2>/dev/null || return 0
		sleep 0.05
	done
	assert_free "$@"
}

unharmed() {
	assert_free "$PID"
	target_ok
}

# wait_for COMMAND...: until it succeeds. Far longer than anything takes that works.
wait_for() {
	local i
	for ((i = 0; i < 2400; i++)); do
		! "$@" 2>/dev/null || return 0
		sleep 0.05
	done
	fail "in vain waited for: $*"
}

gone() {
	! [ -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"
}

# Workers of this build that run now.
workers() {
	local exe found
	for exe in /proc/[0-9]*/exe; do
		found=$(readlink "$exe" 2>/dev/null) || continue
		[ "${found% (deleted)}" != "$BUILD/procsnap-worker" ] || echo "$exe"
	done
}

no_workers() {
	[ -z "$(workers)" ]
}

# ---- the kernel's settings -------------------------------------------------------------------

# set_sysctl NAME VALUE: for as long as this test runs. Whoever dies, what holds the other end of the
# pipe then puts the old value back. Fails where it cannot be set.
set_sysctl() {
	local file=/proc/sys/$1 old guard
	old=$(cat "$file")
	[ -w "$file" ] || return 1
	exec {guard}> >(
		trap '' INT TERM HUP
		cat >/dev/null
		printf '%s\n' "$old" >"$file"
	)
	at_end "printf '%s\n' $(printf %q "$old") >$file; exec $guard>&-"
	printf '%s\n' "$2" >"$file"
}

# ---- the kernel's own cores -----------------------------------------------------------------

# They are plain files in the working folder for as long as this test runs. Fails where that cannot be set.
plain_cores() {
	case $(cat /proc/sys/kernel/core_pattern) in
	'' | *[!a-z.%ptseh-]*) set_sysctl kernel/core_pattern core ;;
	esac
}

# Ends the current target by a signal, after plain_cores; its core becomes $DIR/kernel.PID, in PEER.
# $OUT must be empty, and the folder the target works in.
kernel_peer() {
	remove_files_of "$PID"
	prlimit --pid "$PID" --core=unlimited
	kill -ABRT "$PID"
	wait "${T_MAIN[CURRENT]}" || true
	PEER=$DIR/kernel.$PID
	mv "$OUT"/core* "$PEER"
}

# ---- dumping ---------------------------------------------------------------------------------

# dump [OPTION...]: the current target into $CORE. $status, $output (standard output), $errors.
dump() {
	snapctl dump -f -o "$CORE" ${DUMP_MODE:+"--mode=$DUMP_MODE"} "$@" "$PID"
}

snapctl() {
	status=0
	"$SNAPCTL" "$@" >"$DIR/stdout" 2>"$DIR/stderr" || status=$?
	output=$(tr -d '\0' <"$DIR/stdout")
	errors=$(tr -d '\0' <"$DIR/stderr")
}

# Can this kernel tell what the current target writes to, so that its memory can be copied in advance?
follows_writes() {
	snapctl dump --direct --mode=precopy --dry-run "$PID"
	[[ $errors != *"cannot follow writes"* ]]
}

# expect STATUS: of the last snapctl.
expect() {
	[ "$status" = "$1" ] || fail "exit status $status instead of $1" "$output" "$errors" || return 1
}

# The dump is good. Without CAP_CHECKPOINT_RESTORE shared memory that is not mapped in may be missing
# from it, and nothing else may.
expect_dumped() {
	if [ "$status" = $EX_PARTIAL ] && [ "$(id -u)" != 0 ]; then
		[ -z "$("$CORECHECK" note "${1-$CORE}" | grep '^gap ' |
			grep -vE ' (not-resident|guard|past-eof)$')" ] ||
			fail "gaps that must not be" "$errors" || return 1
		return 0
	fi
	expect 0
}

# error_has TEXT...: each of them stands in what snapctl said on standard error.
error_has() {
	local text
	for text; do
		[[ $errors == *"$text"* ]] || fail "'$text' is missing in:" "$errors" || return 1
	done
}

# field EXPRESSION: of the JSON that snapctl printed.
field() {
	jq -er "$1" <<<"$output" || fail "no $1 in: $output" || return 1
}

note() {
	"$CORECHECK" note "${2-$CORE}" | sed -n "s/^$1=//p"
}

# The output folder holds these files and nothing else.
only_files() {
	local there
	there=$(find "$OUT" -mindepth 1 -printf '%P\n' | sort | tr '\n' ' ')
	[ "$there" = "${*:+$* }" ] || fail "in the output folder: '$there' instead of '$*'" || return 1
}

# A core that independent readers accept; $1 defaults to $CORE.
well_formed() {
	local core=${1-$CORE} said
	said=$(eu-readelf -h -l -n "$core" 2>&1 >/dev/null) || fail "eu-readelf fails: $said" || return 1
	[ -z "$said" ] || fail "eu-readelf: $said" || return 1
	"$CORECHECK" segments "$core" >/dev/null
	"$CORECHECK" note "$core" >/dev/null
}

# All the content that the ready line promises, from the core alone; but not the keys given.
verify_content() {
	local pair name
	for pair in $READY; do
		[[ $pair =~ ^[a-z_]+=0x[0-9a-f]+:[0-9]+:[0-9]+ ]] || continue
		name=${pair%%=*}
		[[ " $* " != *" $name "* ]] || continue
		"$CORECHECK" verify "$CORE" "$pair" \
			"$(key "${name}_readable" 2>/dev/null || cut -d: -f2 <<<"$pair")" \
			"$(key "${name}_guards" 2>/dev/null || true)"
	done
}

# rss PID: kilobytes of all mappings that are resident, and swapped out.
smaps_sum() {
	awk -v what="$2:" '$1 == what { sum += $2 } END { print sum + 0 }' "/proc/$1/smaps"
}
