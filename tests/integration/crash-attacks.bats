#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Crashes of those who want more than the core of their own process: programs with rights that their user
# has not, a process number that changes hands, names that are made to be misread, things planted in the
# store, and users who crash to hurt others. Each time: who may read the dump, and what the record says.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154 # other shells expand; each test is a process

load common
load ../tools/daemon
load ../tools/journal
load ../tools/crash

USER_ID=54321 OTHER_ID=54322

attacked() {
	crash_handler
	crash_daemon
	chmod 711 "$DIR"
	# Where file capabilities and set-user-ID count, readable for users.
	cp "$TOOLS/crasher" "$DIR/crasher"
	CRASHER=$DIR/crasher
	! findmnt -no OPTIONS -T "$DIR" | grep -qw nosuid || skip "$DIR is on a file system without setuid"
}

# The user's own dump: he reads file and metadata, and sees it in the list; nobody else does.
belongs_to() {
	local user=$1 id
	id=$(jq -r .id <<<"$ENTRY")
	entry_has '.owner_reads'
	by "$user" cat "$FILE" >/dev/null
	by "$user" cat "$META" >/dev/null
	[ -n "$(by "$user" "$SNAPCTL" list --json --pid="$PID")" ]
	by "$user" "$SNAPCTL" get -q -f -o - "$id" >/dev/null
	nobody_reads "$OTHER_ID"
}

# nobody_reads [USER...]: neither the file nor what the daemon tells.
nobody_reads() {
	local user id
	id=$(jq -r .id <<<"$ENTRY")
	for user in "${@:-$USER_ID}"; do
		never by "$user" cat "$FILE" >/dev/null 2>&1
		never by "$user" cat "$META" >/dev/null 2>&1
		[ -z "$(by "$user" "$SNAPCTL" list --json --pid="$PID")" ]
		never by "$user" "$SNAPCTL" get -q -f -o - "$id" >/dev/null 2>&1
		never by "$user" "$SNAPCTL" remove "$id" >/dev/null 2>&1
	done
	[ -e "$FILE" ]
}

# Only root reads it.
is_roots() {
	entry_has '.owner_reads | not'
	[ "$(stat -c '%u %a' "$FILE")" = "0 640" ]
	! getfacl -cpE "$FILE" | grep -qE '^(user|group):[^:]' || fail "$(getfacl "$FILE")"
	nobody_reads "$USER_ID" "$OTHER_ID"
}

# ---- rights ----------------------------------------------------------------------------------

@test "a user reads the core of his own process, and nobody else's" {
	attacked
	crash_child by "$USER_ID" "$CRASHER" null
	[ "$signal" = 11 ]
	recorded
	belongs_to "$USER_ID"
	crash_child by "$OTHER_ID" "$CRASHER" null
	recorded
	entry_has .owner_reads
	nobody_reads "$USER_ID"
	crash_child "$CRASHER" null
	recorded
	is_roots
}

@test "CVE-2022-4415: set-user-ID, set-group-ID and file capabilities" {
	attacked
	local mode
	need_command setcap getfacl
	for mode in 4755 2755 6755 caps; do
		cp "$TOOLS/crasher" "$DIR/special"
		if [ "$mode" = caps ]; then
			chmod 755 "$DIR/special"
			setcap cap_net_raw+ep "$DIR/special"
		else
			chown 0:0 "$DIR/special"
			chmod "$mode" "$DIR/special"
		fi
		crash_child by "$USER_ID" "$DIR/special" null
		[ "$signal" = 11 ]
		recorded
		is_roots
		# Whose process it was is told all the same.
		entry_has ".uid == $USER_ID"
	done
	# Not root's, but another user's.
	chown "$OTHER_ID" "$DIR/special"
	chmod 4755 "$DIR/special"
	crash_child by "$USER_ID" "$DIR/special" null
	recorded
	is_roots
	# It becomes the user again, for good: its memory may still have what it read before.
	chown 0 "$DIR/special"
	chmod 4755 "$DIR/special"
	crash_child by "$USER_ID" "$DIR/special" user:"$USER_ID" null
	recorded
	is_roots
}

@test "rights that were given up, and PR_SET_DUMPABLE" {
	attacked
	crash_child "$CRASHER" group:"$USER_ID" user:"$USER_ID" null
	[ "$signal" = 11 ]
	recorded
	entry_has ".uid == $USER_ID"
	is_roots
	crash_child "$CRASHER" group:"$USER_ID" effective:"$USER_ID" null
	recorded
	is_roots
	# What asks for it is given it: after exec it is an ordinary process.
	crash_child "$CRASHER" group:"$USER_ID" user:"$USER_ID" exec null
	recorded
	belongs_to "$USER_ID"
	# The kernel dumps no such process, and so does nobody.
	crash_child by "$USER_ID" "$CRASHER" dumpable:0 null
	[ "$signal" = 11 ]
	wait_for no_hooks
	if is_recorded "$PID"; then
		recorded
		is_roots
	fi
}

a_crasher_is_listed() {
	[ -n "$("$SNAPCTL" list --json --kind=crash --comm=crasher)" ]
}

@test "a user namespace: its root is a user here" {
	attacked
	crash_child by "$USER_ID" unshare --user --map-root-user --pid --fork --kill-child \
		"$CRASHER" null
	! grep -q 'unshare failed' "$DIR/child.err" || skip "users may make no namespaces"
	wait_for a_crasher_is_listed
	PID=$("$SNAPCTL" list --json --kind=crash --comm=crasher | tail -n 1 | jq .pid)
	recorded
	entry_has ".uid == $USER_ID and .gid == $USER_ID"
	belongs_to "$USER_ID"
	# With a file of root's in its own mounts as the program.
	crash_child by "$USER_ID" unshare --user --map-root-user --mount "$CRASHER" comm:evil null
	recorded
	entry_has ".uid == $USER_ID and .comm == \"evil\""
	belongs_to "$USER_ID"
}

# ---- another process with the same number ----------------------------------------------------

# Another process gets the number $1; PID_THIEF is what runs there.
take_number() {
	local i
	for ((i = 0; i < 400; i++)); do
		echo $(($1 - 1)) >/proc/sys/kernel/ns_last_pid
		"${@:2}" >/dev/null 2>&1 3>&- 4>&- &
		PID_THIEF=$!
		STARTED+=("$PID_THIEF")
		[ "$PID_THIEF" != "$1" ] || return 0
		end_child "$PID_THIEF"
	done
	skip "the number of a process could not be had again"
}

# CVE-2025-4598, CVE-2025-5054: a setuid program crashes, is killed, and an ordinary process of the user
# has its number when the handler looks.
steal_number() {
	[ -w /proc/sys/kernel/ns_last_pid ] || skip "ns_last_pid cannot be written"
	slow_hook
	attacked
	cp "$TOOLS/crasher" "$DIR/special"
	chmod 4755 "$DIR/special"
	crash_begin by "$USER_ID" "$DIR/special" null
	wait_for hook_waits
	kill -KILL "$PID"
	wait "$PID" || true
	take_number "$PID" setpriv --reuid="$USER_ID" --regid="$USER_ID" --clear-groups -- \
		env STOLEN=yes sleep 1234
	[ "$PID_THIEF" = "$PID" ]
	let_hooks
	slow_hooks_end
	wait_for grep -q "process $PID of user $USER_ID crashed" "$DIR/log"
	wait_for crash_is_forgotten "$PID"
}

the_thief_has_nothing() {
	local id
	kill -0 "$PID_THIEF"
	assert_free "$PID_THIEF"
	never grep -rqsa -e STOLEN -e 'sleep.1234' "$STORE"
	for id in $("$SNAPCTL" list --json --kind=crash | jq -r .id); do
		never by "$USER_ID" "$SNAPCTL" get -q -f -o - "$id" >/dev/null 2>&1
	done
	[ -z "$(by "$USER_ID" "$SNAPCTL" list --json)" ]
}

# The other way round: his own process crashes, is killed, and one of root's has its number.
@test "who killed his own crash learns nothing of the process that has its number" {
	local facts
	[ -w /proc/sys/kernel/ns_last_pid ] || skip "ns_last_pid cannot be written"
	for facts in '%P %u %g %s %t %c %d %F %I %h' '%P %u %g %s %t %c %d 0 %I %h'; do
		rm -rf "$DIR"/slow.* "$DIR/go" "$DIR/hook" "$STORE"
		PATTERN_FACTS=$facts
		slow_hook
		attacked
		crash_begin by "$USER_ID" "$CRASHER" null
		wait_for hook_waits
		kill -KILL "$PID"
		wait "$PID" || true
		take_number "$PID" env STOLEN=yes sleep 1234
		let_hooks
		slow_hooks_end
		wait_for grep -q "process $PID of user $USER_ID crashed" "$DIR/log"
		wait_for crash_is_forgotten "$PID"
		never grep -rqsa -e STOLEN -e 'sleep.1234' -e '/sleep"' "$STORE"
		end_child "$PID_THIEF"
		daemon_stop
		crash_pattern_back
	done
}

@test "CVE-2025-4598: the number of a dead process is somebody else's" {
	steal_number
	the_thief_has_nothing
	grep -E "$PID|cannot be|gone|crashed" "$DIR/log" || true
}

@test "the same on kernels that give no pidfd" {
	# What they leave out of the pattern is an empty word; a number that is no descriptor does, too.
	PATTERN_FACTS='%P %u %g %s %t %c %d 0 %I %h'
	steal_number
	the_thief_has_nothing
}

@test "no pidfd, and nobody steals: the stream proves who it is" {
	PATTERN_FACTS='%P %u %g %s %t %c %d 0 %I %h'
	attacked
	crash_child by "$USER_ID" "$CRASHER" null
	recorded
	meta_has '.crash.by_pidfd == false and .capture.mode == "crash"'
	belongs_to "$USER_ID"
}

@test "neither pidfd nor %d: root's alone" {
	PATTERN_FACTS='%P %u %g %s %t %c - 0 %I %h'
	attacked
	crash_child by "$USER_ID" "$CRASHER" null
	recorded
	entry_has ".uid == $USER_ID"
	is_roots
}

@test "a process that is killed while it is copied is recorded, and holds nothing up" {
	attacked
	kill -STOP "$DAEMON"
	crash_begin by "$USER_ID" "$CRASHER" mib:64 null
	wait_for sh -c 'ls -d "$1"/crash/.*."$2"' sh "$STORE" "$PID"
	kill -KILL "$PID"
	wait "$PID" || true
	kill -CONT "$DAEMON"
	wait_for crash_is_forgotten "$PID"
	wait_for no_hooks
	grep -F "process $PID of user $USER_ID crashed" "$DIR/log"
}

# ---- what is planted in the store ------------------------------------------------------------

@test "links, FIFOs and folders in place of the store's folder of crashes" {
	crash_handler
	local what
	mkdir -m 755 "$STORE"
	mkdir -m 777 "$DIR/elsewhere"
	for what in link file fifo other writable; do
		rm -rf "$STORE/crash"
		case $what in
		link) ln -s "$DIR/elsewhere" "$STORE/crash" ;;
		file) : >"$STORE/crash" ;;
		fifo) mkfifo "$STORE/crash" ;;
		other) mkdir -m 700 "$STORE/crash" && chown "$USER_ID" "$STORE/crash" ;;
		writable) mkdir "$STORE/crash" && chmod 777 "$STORE/crash" ;;
		esac
		crash_child "$TOOLS/crasher" null
		[ "$signal" = 11 ] # not held up
		wait_for no_hooks
		[ -z "$(ls -A "$DIR/elsewhere")" ]
		[ ! -d "$STORE/crash" ] || [ -z "$(ls -A "$STORE/crash")" ]
	done
	# Nor does the daemon start on it.
	rm -rf "$STORE/crash"
	ln -s "$DIR/elsewhere" "$STORE/crash"
	daemon_config
	never timeout 20 "$BUILD/procsnapd" --store="$STORE" --socket="$DIR/socket" \
		--config="$DIR/conf" 2>"$DIR/err"
	[ -s "$DIR/err" ]
	[ -z "$(ls -A "$DIR/elsewhere")" ]
}

@test "what looks like folders of crashes, and is not" {
	crash_handler
	mkdir -m 755 "$STORE"
	mkdir -m 700 "$STORE/crash" "$DIR/target"
	: >"$DIR/target/facts"
	echo precious >"$DIR/precious"
	ln -s "$DIR/target" "$STORE/crash/1.1"
	ln -s "$DIR/target" "$STORE/crash/.1.2"
	mkfifo "$STORE/crash/1.3" "$STORE/crash/.1.4"
	: >"$STORE/crash/1.5"
	mkdir "$STORE/crash/1.6" "$STORE/crash/1.7" "$STORE/crash/..1.8" "$STORE/crash/1.9" \
		"$STORE/crash/1.10" "$STORE/crash/1.11"
	mkfifo "$STORE/crash/1.6/facts" "$STORE/crash/1.6/core" "$STORE/crash/1.6/auxv"
	ln -s "$DIR/precious" "$STORE/crash/1.7/core"
	ln "$DIR/precious" "$STORE/crash/1.10/core"
	ln -s / "$STORE/crash/1.7/proc"
	head -c 100000 /dev/zero | tr '\0' '[' >"$STORE/crash/1.9/facts"
	echo '{"pid":-1,"uid":"root","signal":1e300,"usec":18446744073709551615}' >"$STORE/crash/1.11/facts"
	head -c 5000 /dev/urandom >"$STORE/crash/1.11/core"
	crash_daemon
	crash_child "$TOOLS/crasher" null
	recorded
	daemon_lives
	sleep 1
	daemon_lives
	[ "$(cat "$DIR/precious")" = precious ]
	[ -d "$DIR/target" ] && [ -e "$DIR/target/facts" ]
	never grep -rqs precious "$STORE"/core.*
}

@test "a store that is a link, or somebody's, gets nothing" {
	crash_handler
	mkdir -m 777 "$DIR/elsewhere"
	ln -s "$DIR/elsewhere" "$STORE"
	crash_child "$TOOLS/crasher" null
	[ "$signal" = 11 ]
	wait_for no_hooks
	[ -z "$(ls -A "$DIR/elsewhere")" ]
	rm "$STORE"
	mkdir -m 755 "$STORE"
	chown "$USER_ID" "$STORE"
	crash_child "$TOOLS/crasher" null
	wait_for no_hooks
	[ -z "$(ls -A "$STORE")" ] || fail "in a folder of user $USER_ID:" "$(ls -lAR "$STORE")"
}

@test "nobody but root comes near folder and socket; nonsense to the socket harms nobody" {
	attacked
	[ "$(stat -c '%a %u' "$STORE/crash")" = "700 0" ]
	[ "$(stat -c '%a %u' "$STORE/crash/socket")" = "600 0" ]
	never by "$USER_ID" ls "$STORE/crash" 2>/dev/null
	cat >"$DIR/liar" <<-'END'
		import os, socket, sys
		for text in (b"", b"\0" * 60000, b"{", b'{"folder":"../../etc"}', b'{"folder":".1.1/../x"}',
		             b'{"folder":".%s.1"}' % (b"1" * 60), b'{"folder":".1.1"}',
		             b'{"folder":".1.1","place":' + b"[" * 20000, b'{"done":"1.1"}'):
		    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
		    s.settimeout(5)
		    s.connect(sys.argv[1])
		    try:
		        if text:
		            s.send(text)
		            s.recv(1000)
		    except OSError:
		        pass
		# Descriptors, many, and one that stays and says nothing.
		s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
		s.connect(sys.argv[1])
		try:
		    socket.send_fds(s, [b'{"folder":".1.2"}'], [0] * 200)
		except OSError:
		    pass
		silent = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for i in range(50)]
		for s in silent:
		    s.connect(sys.argv[1])
		print("held", flush=True)
		os.read(0, 1)
	END
	never by "$USER_ID" python3 "$DIR/liar" "$STORE/crash/socket" </dev/null >/dev/null 2>&1
	# Also by root, and also a user who was given the socket.
	mkfifo "$DIR/liar.in"
	python3 "$DIR/liar" "$STORE/crash/socket" <"$DIR/liar.in" >"$DIR/liar.out" 3>&- 4>&- &
	STARTED+=($!)
	exec {liar}>"$DIR/liar.in"
	wait_for grep -q held "$DIR/liar.out"
	local fds
	fds=$(find "/proc/$DAEMON/fd" | wc -l)
	[ "$fds" -lt 120 ]
	chmod 711 "$STORE/crash"
	chmod 666 "$STORE/crash/socket"
	by "$USER_ID" python3 "$DIR/liar" "$STORE/crash/socket" </dev/null >/dev/null 2>&1 || true
	daemon_lives
	crash_child "$CRASHER" null
	recorded
	daemon_lives
	exec {liar}>&-
}

# ---- names -----------------------------------------------------------------------------------

@test "names: comm, program, arguments and control group cannot be misread" {
	local tree=/sys/fs/cgroup/unified name evil id
	need_command journalctl
	crash_handler
	journal_space
	DAEMON_INSIDE="nsenter --mount=/proc/$HOLDER/ns/mnt --wdns=$PWD --"
	crash_daemon
	for name in '../../x' . .. '' $'a\nMESSAGE_ID=1' ') R 1 1 1' $'\xff\xfe\x01' ';$(id)' '%s%n%h'; do
		crash_child "$TOOLS/crasher" "comm:$name" null
		[ "$signal" = 11 ]
		recorded
		[ "$(dirname "$FILE")" = "$STORE" ]
		[[ $FILE != *$'\n'* ]] && [[ ${FILE##*/} =~ ^core\.[]A-Za-z0-9\\:,@%+=\;\$\(\)_[-]*\.0\.[0-9a-f]{32}\. ]] ||
			fail "$FILE"
		"$SNAPCTL" info "$(jq -r .id <<<"$ENTRY")" >"$DIR/info"
		"$SNAPCTL" list >>"$DIR/info"
		never grep -q $'[\x01-\x08\x0b-\x1f\x7f]' "$DIR/info"
	done
	evil=$DIR/$'x\nCOREDUMP_UID=7\nMESSAGE_ID=evil\e[2J'
	mkdir -p "${evil%/*}"
	cp "$TOOLS/crasher" "$evil"
	if [ -w $tree/cgroup.procs ]; then
		mkdir -p "$tree/"'procsnap;id COREDUMP_UNIT=evil'
		at_end "rmdir $tree/procsnap*"
		crash_child sh -c 'echo $$ >"$1" && shift && exec "$@"' sh \
			"$tree/"'procsnap;id COREDUMP_UNIT=evil/cgroup.procs' "$evil" \
			$'comm:\nUid:\t7' null $'a\nCOREDUMP_GID=7'
	else
		crash_child "$evil" $'comm:\nUid:\t7' null $'a\nCOREDUMP_GID=7'
	fi
	[ "$signal" = 11 ]
	recorded
	entry_has '.uid == 0 and .gid == 0'
	inside journalctl --sync
	inside journalctl -q --all -o json "COREDUMP_PID=$PID" >"$DIR/json"
	[ "$(wc -l <"$DIR/json")" = 1 ]
	jq -e '.COREDUMP_UID == "0" and .COREDUMP_GID == "0" and .COREDUMP_UNIT != "evil" and
		.MESSAGE_ID == "fc2e22bc6ee647b6b90729ab34a250b1" and ._UID == "0"' "$DIR/json"
	jq -e '[.MESSAGE, .COREDUMP_EXE, .COREDUMP_CMDLINE, .COREDUMP_COMM] |
		all(type == "string" and (test("[\\x00-\\x09\\x0b-\\x1f\\x7f]") | not))' "$DIR/json"
	never grep -q $'[\x01-\x08\x0b-\x1f\x7f]' "$DIR/log"
	[ "$(inside journalctl -q -o cat MESSAGE_ID=evil | wc -l)" = 0 ]
}

@test "arguments and environment without end" {
	attacked
	python3 - "$CRASHER" >"$DIR/pid" <<-'END'
		import os, sys
		pid = os.posix_spawn(sys.argv[1], ["crasher", "null"] + ["x" * 100000] * 15, {"A%d" % i: "y" * 10000 for i in range(20)})
		os.waitpid(pid, 0)
		print(pid)
	END
	PID=$(cat "$DIR/pid")
	recorded
	daemon_lives
	[ "$(stat -c %s "$META")" -lt 1000000 ]
}

@test "where the journal files an entry: with the user whose process it was, only if he may know" {
	need_command journalctl
	crash_handler
	journal_space
	DAEMON_INSIDE="nsenter --mount=/proc/$HOLDER/ns/mnt --wdns=$PWD --"
	crash_daemon
	cp "$TOOLS/crasher" "$DIR/special"
	chmod 4755 "$DIR/special"
	crash_child by "$USER_ID" "$DIR/special" null
	recorded
	wait_for in_journal "$PID"
	[ "$(entry_of "$PID" | jq -r ._UID)" = 0 ]
	[ "$(entry_of "$PID" | jq -r .COREDUMP_UID)" = "$USER_ID" ]
	[ -z "$(inside setpriv --reuid="$USER_ID" --regid="$USER_ID" --clear-groups -- \
		journalctl -q -o cat COREDUMP_PID="$PID" 2>/dev/null)" ]
}

entry_of() {
	inside journalctl --sync 2>/dev/null || true
	inside journalctl -q --all -o json MESSAGE_ID=fc2e22bc6ee647b6b90729ab34a250b1 COREDUMP_PID="$1"
}

in_journal() {
	[ -n "$(entry_of "$1")" ]
}

# ---- too much of it --------------------------------------------------------------------------

# small_store SIZE: a file system of its own, seen by the hook.
small_store() {
	need_mount
	mkdir -m 755 "$DIR/store"
	mount -t tmpfs -o size="$1",mode=755 tmpfs "$DIR/store" || skip "nothing can be mounted"
	at_end "umount -l $DIR/store"
}

@test "a core that does not fit: it is recorded, and the store is usable" {
	small_store 8M
	attacked
	crash_child by "$USER_ID" "$CRASHER" mib:64 null
	[ "$signal" = 11 ]
	wait_for grep -q "process $PID of user $USER_ID crashed" "$DIR/log"
	wait_for crash_is_forgotten "$PID"
	crash_child by "$USER_ID" "$CRASHER" null
	recorded
	belongs_to "$USER_ID"
}

# Has PID asked the daemon?
connected() {
	ls -l "/proc/$1/fd" | grep -q socket
}

@test "a store without a byte left: the process is let go, and the daemon lives" {
	small_store 4M
	attacked
	head -c 8M /dev/zero >"$STORE/full" 2>/dev/null || true
	"$SNAPCTL" wait --json --timeout 60 >"$DIR/waited" 3>&- 4>&- &
	local waiter=$!
	STARTED+=("$waiter")
	wait_for connected "$waiter"
	crash_child by "$USER_ID" "$CRASHER" null
	[ "$signal" = 11 ]
	wait_for no_hooks
	daemon_lives
	# There was no room for a folder, and whoever waits for records is told all the same.
	wait_for log_has "process $PID of user $USER_ID crashed by signal 11; there is no core"
	log_has 'No space left on device'
	wait "$waiter"
	jq -e ".pid == $PID and .uid == $USER_ID and .signal == 11 and .comm == \"crasher\" and
		(.exe | endswith(\"/crasher\"))" "$DIR/waited"
	! compgen -G '/run/procsnap-crash.*' >/dev/null || fail "$(ls -lR /run/procsnap-crash.*)"
	rm "$STORE/full"
	crash_child by "$USER_ID" "$CRASHER" null
	recorded
	belongs_to "$USER_ID"
	wait_for crash_folder_is_empty
}

@test "whose programs crash all the time does not keep others from their dump" {
	attacked
	local i pids=() before
	kill -STOP "$DAEMON"
	for i in {1..30}; do
		crash_begin by "$USER_ID" "$CRASHER" mib:4 null
		pids+=("$PID")
	done
	wait "${pids[@]}" || true
	wait_for no_hooks
	crash_child by "$OTHER_ID" "$CRASHER" null
	left
	wait_for no_hooks
	kill -CONT "$DAEMON"
	recorded
	entry_has ".uid == $OTHER_ID"
	wait_for crash_folder_is_empty
	[ "$("$SNAPCTL" list --json --comm=crasher | wc -l)" = 31 ] || fail "$("$SNAPCTL" list)" "$(cat "$DIR/log")"
	before=$(grep -n "process $PID of user $OTHER_ID crashed" "$DIR/log" | cut -d: -f1)
	[ "$before" -lt 12 ] || fail "it was number $before"
}

@test "a queue full of users' requests costs no crash its core" {
	attacked
	daemon_stop
	crash_daemon '[Limits]' MaxJobs=1 MaxQueue=0
	user_target simple
	occupy "${AS_USER[@]}"
	crash_child by "$DAEMON_USER" "$CRASHER" null
	end_child "$OCCUPIER"
	recorded
	belongs_to "$DAEMON_USER"
}

@test "a file that never answers: the rest of the core is there, and nobody waits for it" {
	need_mount
	[ -c /dev/fuse ] || skip "there is no FUSE here"
	attacked
	mkdir "$DIR/fuse"
	"$BATS_TEST_DIRNAME/../tools/stalling-fs" "$DIR/fuse" >"$DIR/fuse.out" 2>&1 3>&- 4>&- &
	local server=$!
	# Whoever waits for a file waits until its server has ended: it ends first.
	STARTED+=("$server")
	at_end "umount -l $DIR/fuse"
	wait_for grep -qE 'ready|cannot' "$DIR/fuse.out"
	grep -q ready "$DIR/fuse.out" || skip "$(cat "$DIR/fuse.out")"
	# All that is mapped is wanted.
	crash_begin by "$USER_ID" sh -c 'echo 0x7f >/proc/self/coredump_filter && exec "$@"' sh \
		"$CRASHER" map:"$DIR/fuse/file" words map:"$DIR/fuse/file" null
	local stuck=$PID
	wait_for grep -qx read "$DIR/fuse.out"
	# Those who look for programs by their names do not go there, by no link.
	local path
	ln -s fuse "$DIR/folder"
	ln -s "$DIR/folder/../folder/file" "$DIR/link"
	for path in fuse fuse/file folder folder/file link; do
		run timeout 20 "$BUILD/tests/test-wary" open "$DIR/$path"
		[ "$output" = "Operation not supported" ] || fail "$path: $output" || return 1
	done
	"$BUILD/tests/test-wary" open "$DIR/crasher"
	# Meanwhile others crash as ever.
	crash_child by "$OTHER_ID" "$CRASHER" null
	recorded
	entry_has ".owner_reads and .uid == $OTHER_ID"
	PID=$stuck
	recorded
	entry_has .partial
	meta_has '.capture.mode == "crash" and .capture.lost_bytes >= 1048576'
	meta_has '.capture.why_short | contains("did not answer")'
	get_core
	well_formed
	[ "$(grep -c REMEMBERREMEMBER -a "$CORE")" -ge 1 ]
	# The kernel waits for that file, too, now that nobody wants its core any more.
	kill "$server"
	wait "$PID" || true
	wait_for no_hooks
	daemon_lives
}

# ---- ourselves -------------------------------------------------------------------------------

@test "the daemon and its worker crash: both are recorded by the next daemon, without end" {
	attacked
	local pid=$DAEMON
	kill -SEGV "$DAEMON"
	wait "$DAEMON" || true
	PID=$pid
	wait_for no_hooks
	daemon_again
	recorded "$pid"
	is_roots
	wait_for crash_folder_is_empty
	[ "$("$SNAPCTL" list --json --comm='procsnap*' | wc -l)" = 1 ] || fail "$("$SNAPCTL" list)"
}

@test "a hook that crashes does not start another one" {
	slow_hook
	attacked
	crash_begin by "$USER_ID" "$CRASHER" null
	wait_for hook_waits
	let_hooks
	kill -STOP "$DAEMON"
	wait_for sh -c 'ls -d "$1"/crash/.*."$2"' sh "$STORE" "$PID" || true
	local hook
	for hook in $(hooks); do
		kill -SEGV "$hook" || true
	done
	kill -CONT "$DAEMON"
	wait "$PID" || true
	wait_for no_hooks
	wait_for crash_is_forgotten "$PID"
	grep -F "process $PID of user $USER_ID crashed" "$DIR/log"
	[ "$(find "$DIR" -maxdepth 1 -name 'slow.*' | wc -l)" = 1 ] || fail "$(ls "$DIR")" "$(cat "$DIR/log")"
}
