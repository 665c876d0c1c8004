# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2016,SC2034,SC2119,SC2120,SC2154 # other shells expand; tests use what is set here
# Crashes that procsnap-corehook takes, with a store of the test's own. For tests that have loaded
# common.bash and daemon.bash.
#
# kernel.core_pattern is one for the whole machine: tools/corepattern sets it for as long as one test
# runs, one test at a time, and sets it back whatever becomes of the test.

FACTS='%P %u %g %s %t %c %d %F %I %h'

# What crash_handler and crash_listener have in common.
crash_prepare() {
	need_root
	need_command jq python3 setpriv
	[ -w /proc/sys/kernel/core_pattern ] || skip "core_pattern cannot be written here"
	if [ "$(readlink /proc/self/ns/user)" != 'user:[4026531837]' ] ||
		[ "$(readlink /proc/self/ns/pid)" != 'pid:[4026531836]' ]; then
		skip "this is a container"
	fi
	# The kernel starts the hook where the first process is; which may be hidden from us.
	! [ -d /proc/1/root/proc ] || [ "$DIR" -ef "/proc/1/root$DIR" ] ||
		skip "$DIR cannot be seen from the first mount namespace"
	chmod 755 "$DIR"
	chmod 1777 "$OUT"
	STORE=$DIR/store
	ulimit -c unlimited
}

# crash_handler [PROGRAM]: the hook of the build, or PROGRAM, handles crashes. HOOK is what the kernel
# starts. The store is that of crash_daemon, which may come later, or not at all.
crash_handler() {
	crash_prepare
	# Its name is short: a pattern has 127 bytes.
	HOOK=$DIR/hook
	[ -e "$HOOK" ] || ln -s "${1:-$BUILD/procsnap-corehook}" "$HOOK"
	crash_pattern "|$HOOK $STORE ${PATTERN_FACTS-$FACTS}"
}

# crash_listener: the same behind the coredump socket, $LISTENS. LISTENER waits there.
crash_listener() {
	crash_prepare
	LISTENS=$DIR/coredump
	"$BUILD/procsnap-corehook" --listen "$STORE" "$LISTENS" >"$DIR/listener" 2>&1 3>&- 4>&- &
	LISTENER=$!
	STARTED+=("$LISTENER")
	wait_for test -S "$LISTENS"
	crash_pattern "@@$LISTENS"
}

# crash_daemon [LINE...]: as daemon_start, but the same program may crash as often as it likes.
crash_daemon() {
	daemon_start '[Crash]' DuplicateLimit=infinity "$@"
}

# crash_pattern PATTERN [PIPE-LIMIT [SUID-DUMPABLE]]
crash_pattern() {
	local line fd test=$BASHPID # in a child it would be that child's
	[ ${#1} -le 127 ] || skip "the path of the tests is too long for core_pattern"
	mkfifo "$DIR/pattern.in" "$DIR/pattern.out"
	setsid "$BATS_TEST_DIRNAME/../tools/corepattern" \
		"${PROCSNAP_TEST_DIR:-/var/tmp}/.procsnap-corepattern" "$test" \
		"$1" "${2-1024}" "${3-2}" \
		<"$DIR/pattern.in" >"$DIR/pattern.out" 2>"$DIR/pattern.err" 3>&- 4>&- &
	disown $!
	exec {fd}>"$DIR/pattern.in" {PATTERN_SAYS}<"$DIR/pattern.out"
	PATTERN_HOLD=$fd
	at_end crash_pattern_back
	IFS= read -r -t 280 line <&"$PATTERN_SAYS" || fail "$(cat "$DIR/pattern.err")"
	[ "$line" = ready ] || skip "core_pattern cannot be set: ${line#skip: }"
}

# As it was before this test. What a process of this test has open does not matter: it waits for a line.
crash_pattern_back() {
	local line
	[ -n "${PATTERN_HOLD-}" ] || return 0
	echo end >&"$PATTERN_HOLD"
	exec {PATTERN_HOLD}>&-
	PATTERN_HOLD=
	IFS= read -r -t 30 line <&"$PATTERN_SAYS" || fail "the settings are not as they were"
	exec {PATTERN_SAYS}<&-
	rm -f "$DIR/pattern.in" "$DIR/pattern.out"
}

# slow_hook: each hook waits at its very start, until let_hooks.
slow_hook() {
	cat >"$DIR/hook" <<-END
		#!/bin/sh
		: >"$DIR/slow.\$\$"
		until [ -e "$DIR/go" ]; do sleep 0.05; done
		exec "$BUILD/procsnap-corehook" "\$@"
	END
	chmod 755 "$DIR/hook"
}

hook_waits() {
	compgen -G "$DIR/slow.*" >/dev/null
}

let_hooks() {
	: >"$DIR/go"
}

# The hooks that waited have ended.
slow_hooks_end() {
	local file
	for file in "$DIR"/slow.*; do
		wait_for gone "${file##*.}"
	done
}

# Hooks of this build that run now, by their pids.
hooks() {
	find /proc -maxdepth 2 -path '/proc/[0-9]*/exe' -lname "$BUILD/procsnap-corehook" 2>/dev/null |
		cut -d/ -f3
}

no_hooks() {
	[ -z "$(hooks)" ]
}

# by USER COMMAND...: as another user.
by() {
	setpriv --reuid="$1" --regid="$1" --clear-groups -- "${@:2}"
}

# crash_begin [by USER] COMMAND...: starts what will crash, as PID.
crash_begin() {
	# A function would be one more process, whose number this would be.
	[ "$1" != by ] || set -- setpriv --reuid="$2" --regid="$2" --clear-groups -- "${@:3}"
	"$@" >"$DIR/child.out" 2>"$DIR/child.err" 3>&- 4>&- &
	PID=$!
	STARTED+=("$PID")
}

# crash_child [by USER] COMMAND...: the same, and waits for its end. $signal is what ended it.
crash_child() {
	local end=0
	crash_begin "$@"
	wait "$PID" || end=$?
	signal=$((end > 128 ? end - 128 : 0))
}

# kill_target SIGNAL: ends the current target by a signal.
kill_target() {
	remove_files_of "$PID"
	kill "-$1" "$PID"
	wait "${T_MAIN[CURRENT]}" || true
}

# ---- what has become of a crash -------------------------------------------------------------

# recorded [PID]: waits until the daemon has made a dump, or a record without one, of the crash. $ENTRY
# is what snapctl list says, $FILE the core in the store, $META its metadata.
recorded() {
	wait_for is_recorded "${1-$PID}" || fail "$(tail "$DIR/log")" "$(ls -lR "$STORE")"
	wait_for crash_is_forgotten "${1-$PID}"
	# Not before: a dump whose daemon was killed before it had said so is made again.
	ENTRY=$("$SNAPCTL" list --json --kind=crash --pid="${1-$PID}" | tail -n 1)
	FILE=$(echo "$STORE"/core.*."${1-$PID}".*[!n])
	META=$FILE.json
}

is_recorded() {
	[ -n "$("$SNAPCTL" list --json --kind=crash --pid="$1")" ]
}

crash_is_forgotten() {
	! compgen -G "$STORE/crash/*.$1" >/dev/null && ! compgen -G "$STORE/crash/.*.$1" >/dev/null
}

# The folder of the crash of PID, complete; FOLDER.
left() {
	wait_for is_left "${1-$PID}"
	FOLDER=$(echo "$STORE/crash/"[0-9]*".${1-$PID}")
}

is_left() {
	compgen -G "$STORE/crash/[0-9]*.$1" >/dev/null
}

# Nothing of any crash is left.
crash_folder_is_empty() {
	[ -z "$(find "$STORE/crash" -mindepth 1 ! -name socket)" ]
}

# Waits for the record of the crash of PID. RECORD has its fields.
record() {
	wait_for has_record "$PID" || fail "$(tail "$DIR/log")" "$(ls -lR "$STORE")"
}

has_record() {
	RECORD=$(cat "$STORE"/records/*.json 2>/dev/null |
		jq -c "select(.fields.COREDUMP_PID == \"$1\") | .fields")
	[ -n "$RECORD" ]
}

record_has() {
	jq -e "$1" <<<"$RECORD" >/dev/null || fail "not so: $1" \
		"$(jq -c 'with_entries(select(.key | test("PROCSNAP|FILENAME|SIGNAL|RLIMIT|MESSAGE")))' \
			<<<"$RECORD")" || return 1
}

# without_core WHY: the last crash has a record that says so, and no core.
without_core() {
	record
	record_has '.PROCSNAP_DEGRADED == "record" and .COREDUMP_FILENAME == null'
	record_has "[.PROCSNAP_WARNINGS] | flatten | map(if type == \"object\" then .lines[] else . end) |
		any(contains(\"$1\"))"
	log_has "process $PID of user"
	wait_for crash_is_forgotten "$PID"
	never is_recorded "$PID"
}

# entry_has FILTER: of jq, true of the entry of the list.
entry_has() {
	jq -e "$1" <<<"$ENTRY" >/dev/null || fail "not so: $1" "$ENTRY" || return 1
}

meta_has() {
	jq -e "$1" "$META" >/dev/null || fail "not so: $1" "$(jq -c 'del(.result.go, .stacks)' "$META")" ||
		return 1
}

# The core of the crash, decompressed, in $CORE.
get_core() {
	"$SNAPCTL" get -q -f -o "$CORE" "$(jq -r .id <<<"$ENTRY")"
}

# ---- the kernel's own core -------------------------------------------------------------------

# Kernel's core of each crash in $DIR/kernel.PID: its stream goes there, and to the hook.
tee_handler() {
	cat >"$DIR/hook" <<-END
		#!/bin/sh
		tee -p "$DIR/kernel.\$2" | "$BUILD/procsnap-corehook" "\$@"
	END
	chmod 755 "$DIR/hook"
	crash_handler
}

# The notes of the kernel are in our core byte for byte, and first.
same_notes() {
	python3 - "$1" "$2" <<-'END'
		import struct, sys
		def notes(path):
		    with open(path, "rb") as f:
		        head = f.read(64)
		        wide = head[4] == 2
		        phoff = struct.unpack_from("<Q" if wide else "<I", head, 32 if wide else 28)[0]
		        f.seek(phoff)
		        first = f.read(56 if wide else 32)
		        if wide:
		            offset, size = struct.unpack_from("<Q", first, 8)[0], struct.unpack_from("<Q", first, 32)[0]
		        else:
		            offset, size = struct.unpack_from("<I", first, 4)[0], struct.unpack_from("<I", first, 16)[0]
		        f.seek(offset)
		        return f.read(size)
		kernel, ours = notes(sys.argv[1]), notes(sys.argv[2])
		sys.exit(0 if len(kernel) > 500 and ours.startswith(kernel) else "the notes differ")
	END
}

same_as_kernel() {
	local kernel=$DIR/kernel.$PID
	get_core
	same_notes "$kernel" "$CORE"
	# Of [vsyscall], the last one, only the kernel has the bytes, if anybody.
	diff -u <("$CORECHECK" segments "$kernel" | grep -v ^ffffffffff600000) \
		<("$CORECHECK" segments "$CORE" | grep -v ^ffffffffff600000)
	"$CORECHECK" compare "$kernel" "$CORE" 0xffffffffff600000:4096
	rm -f "$kernel"
}
