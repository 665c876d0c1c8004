#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Journal entries of dumps, in a journald of their own, read by journalctl and by coredumpctl.
# shellcheck disable=SC2016,SC2030,SC2031,SC2054 # other shells expand; each test is a process

load common
load ../tools/journal

MESSAGE_ID=1f4e0a44a88649939aaea34fc6da8c95
USER_ID=54321 OTHER_ID=54322

# ---- entries --------------------------------------------------------------------------------

journal_start() {
	need_command cc zstd jq setpriv
	journal_space
	sender_build
}

fails() {
	! "$@"
}

# Entries of our kind as JSON, one a line. What was sent before is in it.
entries() {
	inside journalctl --sync 2>/dev/null || sleep 0.3
	inside journalctl -q --all -o json "MESSAGE_ID=$MESSAGE_ID" "$@"
}

# ---- a program that sends -------------------------------------------------------------------

# send PID FILE [SUMMARY]: an entry for a process, as the daemon would make it; says who sent it.
# crash PID FILE [STACKS]: the same for one that has crashed.
# keep PID FILE, again: makes the entry and keeps it as JSON; sends it.
sender_build() {
	local sanitize=()
	! nm -A "$BUILD/libcommon.a" 2>/dev/null | grep -q __asan_init ||
		sanitize=(-fsanitize=address,undefined)
	cat >"$DIR/send.c" <<-'END'
		#include <stdio.h>
		#include <string.h>
		#include "common/fd.h"
		#include "common/str.h"
		#include "systemd/record.h"

		static struct snap_error *make(char **argv, struct record **ret)
		{
			_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
			_cleanup_(procid_destroyp) struct procid *id = NULL;
			_cleanup_(json_destroyp) struct json *summary = NULL;
			_cleanup_free_ char *text = NULL;
			int64_t pid = 0;
			if (snap_parse_i64(argv[2], &pid) < 0 || pidref_open((pid_t)pid, &ref) < 0)
				return snap_error_new(SNAP_USAGE, "no process %s", argv[2]);
			bool crash = !strcmp(argv[1], "crash");
			struct snap_error *err = procid_create(&ref, PROCID_WITH_CMDLINE |
				(crash ? PROCID_WITH_ENVIRON : 0), &id);
			if (err)
				return err;
			if (crash) {
				const struct record_crash facts = {
					.signal = 11, .dumpable = 1, .rlimit_core = UINT64_MAX,
					.hostname = "there", .stacks = argv[4], .owner_reads = true,
				};
				const struct record_dump dump = {
					.kind = RECORD_CRASH, .id = "testid", .crash = &facts,
					.realtime_ns = 1700000000000000000, .filename = argv[3],
				};
				return record_create(id, &dump, ret);
			}
			if (argv[4]) {
				ssize_t n = snap_read_file_at(AT_FDCWD, argv[4], 64 << 20, &text);
				summary = n < 0 ? NULL : json_parse(text, (size_t)n);
			}
			const struct record_dump dump = {
				.kind = RECORD_LIVE, .id = "testid", .mode = "copy",
				.pause_ns = 1250000, .realtime_ns = 1700000000000000000,
				.filename = argv[3], .summary = summary,
				.summary_bytes = 16 << 20, .requester = { .comm = "send" },
			};
			return record_create(id, &dump, ret);
		}

		static struct snap_error *load(const char *path, struct record **ret)
		{
			_cleanup_free_ char *text = NULL;
			ssize_t n = snap_read_file_at(AT_FDCWD, path, 64 << 20, &text);
			_cleanup_(json_destroyp) struct json *json =
				n < 0 ? NULL : json_parse(text, (size_t)n);
			return record_from_json(json, ret);
		}

		int main(int argc, char **argv)
		{
			_cleanup_(record_destroyp) struct record *record = NULL;
			bool keep = argc > 3 && !strcmp(argv[1], "keep");
			uid_t uid;
			gid_t gid;
			struct snap_error *err = argc == 2 ? load(argv[1], &record) : make(argv, &record);
			if (!err && keep) {
				_cleanup_(json_destroyp) struct json *json = record_to_json(record);
				puts(json_text(json));
			} else if (!err) {
				err = record_send(record, 3000000000);
				if (!err)
					puts(record_is_for_user(record, &uid, &gid) ? "user" : "root");
			}
			if (err)
				fprintf(stderr, "%s\n", err->message);
			int status = err != NULL;
			snap_error_destroy(err);
			return status;
		}
	END
	[ "${1:-}" != no-file ] || sed -i 's/\.filename = argv\[3\], //' "$DIR/send.c"
	cc -std=gnu11 -D_GNU_SOURCE "${sanitize[@]}" -include fcntl.h -I"$BATS_TEST_DIRNAME/../.." \
		-o "$DIR/send" "$DIR/send.c" "$BUILD/libdaemon.a" "$BUILD/libcommon.a" -lsystemd \
		-ljson-c -lnettle -lcap -lacl -lm
}

# victim USER COMMAND...: a process of that user, in PID.
victim() {
	local user=$1
	shift
	setpriv --reuid="$user" --regid="$user" --clear-groups -- "$@" >/dev/null 2>&1 &
	PID=$!
	STARTED+=("$PID")
	wait_for executed "$1"
}

executed() {
	[ "$(readlink "/proc/$PID/exe")" -ef "$1" ]
}

# A core of the process in $CORE.zst, for its user to read.
take_core() {
	"$SNAPCTL" dump -f -o "$CORE" "$PID" >/dev/null 2>&1
	zstd -q -f "$CORE" -o "$CORE.zst"
	chmod 644 "$CORE.zst"
}

@test "coredumpctl list, info, dump and debug work on the entry of a live dump" {
	journal_start
	find_coredumpctl
	need_command gdb
	victim 0 /bin/sleep 300
	take_core
	inside "$DIR/send" send "$PID" "$CORE.zst"
	[ "$(entries | wc -l)" = 1 ]
	for READER in "${READERS[@]}"; do
		# shellcheck disable=SC2086
		echo "$READER: $(inside $READER --version | head -1)"
		coredumpctl list --no-legend "$PID" >"$DIR/list" 2>"$DIR/err"
		grep -E "UTC +$PID +0 +0 +[^ ]+ +present +/[^ ]*/sleep " "$DIR/list"
		[ ! -s "$DIR/err" ]
		coredumpctl list --no-legend sleep >"$DIR/list"
		[ -s "$DIR/list" ]
		coredumpctl info "$PID" >"$DIR/info"
		grep -Fx "           PID: $PID (sleep)" "$DIR/info"
		grep -Fx "        Reason: live snapshot" "$DIR/info"
		grep -F "       Storage: $CORE.zst (present)" "$DIR/info"
		grep -Ex '  Command Line: /bin/sleep 300' "$DIR/info"
		grep -F 'It stood still for 1.25 ms.' "$DIR/info"
		coredumpctl dump "$PID" -o "$OUT/again" >/dev/null
		cmp "$CORE" "$OUT/again"
		rm "$OUT/again"
		coredumpctl debug "$PID" --debugger=echo --debugger-arguments='a b' >"$DIR/debug"
		grep -E "^a b /[^ ]*/sleep -c /var/tmp/coredump-[A-Za-z0-9]{6}$" "$DIR/debug"
	done
	READER=${READERS[0]}
	coredumpctl debug "$PID" --debugger-arguments='-batch -ex bt' >"$DIR/debug" 2>&1
	grep -E 'nanosleep' "$DIR/debug"
}

@test "coredumpctl lists a dump whose core went elsewhere" {
	journal_start
	find_coredumpctl
	victim 0 /bin/sleep 300
	sender_build no-file
	inside "$DIR/send" send "$PID" -
	entries >/dev/null
	for READER in "${READERS[@]}"; do
		coredumpctl list --no-legend "$PID" | grep -E " +- +/[^ ]*/sleep "
		coredumpctl info "$PID" | grep -Fx '       Storage: none'
	done
}

@test "names cannot forge fields of the journal" {
	journal_start
	local evil=$'/x\nCOREDUMP_UID=0\nMESSAGE_ID=evil\e[2J'
	mkdir -p "$OUT$(dirname "$evil")"
	cp /bin/sleep "$OUT$evil"
	victim "$USER_ID" "$OUT$evil" 300
	inside "$DIR/send" send "$PID" "$CORE"
	entries >"$DIR/json"
	[ "$(wc -l <"$DIR/json")" = 1 ]
	[ "$(jq -r .COREDUMP_UID "$DIR/json")" = "$USER_ID" ]
	[ "$(jq -r .MESSAGE_ID "$DIR/json")" = "$MESSAGE_ID" ]
	jq -e '.COREDUMP_COMM | contains("\\x0aCOREDUMP_UID")' "$DIR/json"
	jq -e '[.MESSAGE, .COREDUMP_EXE, .COREDUMP_CMDLINE, .COREDUMP_COMM] |
		all(type == "string" and (test("[\\x00-\\x1f\\x7f]") | not))' "$DIR/json"
	inside journalctl -q -o cat "MESSAGE_ID=$MESSAGE_ID" | grep -F 'was dumped while it ran'
	[ "$(inside journalctl -q -o cat "MESSAGE_ID=$MESSAGE_ID" | wc -l)" = 1 ]
}

@test "the user of a process sees its entry, and others do not" {
	journal_start
	victim "$USER_ID" /bin/sleep 300
	take_core
	[ "$(inside "$DIR/send" send "$PID" "$CORE.zst")" = user ] ||
		skip "this shell is in a unit of systemd, so what it starts is no user's own"
	entries >/dev/null
	[ "$(entries "_UID=$USER_ID" | wc -l)" = 1 ]
	as_user "$USER_ID" journalctl -q -o cat "MESSAGE_ID=$MESSAGE_ID" >"$DIR/his"
	grep -F "Process $PID (sleep) of user $USER_ID was dumped while it ran" "$DIR/his"
	as_user "$OTHER_ID" journalctl -q -o cat "MESSAGE_ID=$MESSAGE_ID" >"$DIR/others" || true
	[ ! -s "$DIR/others" ]
	find_coredumpctl
	READER=${READERS[0]}
	as_user "$USER_ID" "$READER" -q --no-pager list --no-legend | grep -E " present +/.*sleep"
	as_user "$USER_ID" "$READER" -q --no-pager dump "$PID" | cmp - "$CORE"
}

as_user() {
	local user=$1
	shift
	inside setpriv --reuid="$user" --regid="$user" --clear-groups -- "$@"
}

@test "what a process must not tell its user is sent by root" {
	journal_start
	# As after a set-user-ID program: two ids.
	setpriv --ruid="$USER_ID" --regid="$USER_ID" --clear-groups -- /bin/sleep 300 &
	PID=$!
	STARTED+=("$PID")
	wait_for executed /bin/sleep
	[ "$(inside "$DIR/send" send "$PID" "$CORE")" = root ]
	[ "$(entries _UID=0 | wc -l)" = 1 ]
	as_user "$USER_ID" journalctl -q -o cat "MESSAGE_ID=$MESSAGE_ID" >"$DIR/his" || true
	[ ! -s "$DIR/his" ]
}

@test "no journald: the entry is kept, and sent later" {
	journal_start
	victim "$USER_ID" /bin/sleep 300
	"$DIR/send" keep "$PID" "$CORE.zst" >"$DIR/kept"
	jq -e .fields.MESSAGE_ID "$DIR/kept"
	kill -TERM "$JOURNALD"
	wait "$JOURNALD" || true
	fails inside "$DIR/send" "$DIR/kept" 2>"$DIR/err"
	grep -F 'cannot send the journal entry' "$DIR/err"
	inside rm /run/systemd/journal/socket
	fails inside "$DIR/send" "$DIR/kept" 2>"$DIR/err"
	grep -F 'cannot send the journal entry' "$DIR/err"
	journald_start
	inside "$DIR/send" "$DIR/kept"
	entries >"$DIR/json"
	[ "$(wc -l <"$DIR/json")" = 1 ]
	[ "$(jq -r .COREDUMP_PID "$DIR/json")" = "$PID" ]
}

@test "a journald that is stopped holds nobody up" {
	journal_start
	victim 0 /bin/sleep 300
	kill -STOP "$JOURNALD"
	local i status=0
	for ((i = 0; i < 2000 && status == 0; i++)); do
		timeout 30 nsenter --mount="/proc/$HOLDER/ns/mnt" "$DIR/send" send "$PID" "$CORE" \
			>/dev/null 2>"$DIR/err" || status=$?
	done
	kill -CONT "$JOURNALD"
	[ "$status" = 1 ]
	grep -F 'journald does not take the journal entry' "$DIR/err"
}

@test "a summary of many megabytes goes to the journal" {
	journal_start
	victim 0 /bin/sleep 300
	python3 -c '
import json
frames = [{"function": "main.f%d" % i, "file": "/src/main.go", "line": i} for i in range(40)]
groups = [{"count": 1, "states": {"select": 1}, "frames": frames} for i in range(4000)]
print(json.dumps({"runtimes": [{"version": "go1.21", "user_goroutine_count": 4000,
	"goroutine_count": 4004, "groups": groups}]}), end="")' >"$DIR/summary"
	[ "$(stat -c %s "$DIR/summary")" -gt 8000000 ]
	inside "$DIR/send" send "$PID" "$CORE" "$DIR/summary"
	entries >"$DIR/json"
	[ "$(jq -r .PROCSNAP_GO_GOROUTINES "$DIR/json")" = 4000 ]
	jq -j .PROCSNAP_SUMMARY "$DIR/json" | jq -e '.runtimes[0].groups | length == 4000'
	jq -r .MESSAGE "$DIR/json" | grep -F '3980 more goroutines are in other groups.'
}

@test "journalctl -u shows the entry of a service, and -x explains it" {
	journal_start
	local tree=/sys/fs/cgroup/unified
	[ -w $tree/cgroup.procs ] && [ ! -d /proc/1/root/run/systemd/system ] ||
		skip "needs a tree of control groups that is not systemd's"
	victim 0 /bin/sleep 300
	mkdir -p $tree/system.slice/procsnap-test.service
	at_end "rmdir $tree/system.slice/procsnap-test.service; rmdir $tree/system.slice || true"
	echo "$PID" >$tree/system.slice/procsnap-test.service/cgroup.procs
	inside "$DIR/send" send "$PID" "$CORE"
	echo "$PID" >$tree/cgroup.procs
	[ "$(entries COREDUMP_UNIT=procsnap-test.service | wc -l)" = 1 ]
	inside journalctl -q -o cat -u procsnap-test.service | grep -F "Process $PID (sleep)"
	inside sh -ec 'mount -t tmpfs tmpfs /var/lib/systemd/catalog
		mount -t tmpfs tmpfs /usr/lib/systemd/catalog
		cp "$1" /usr/lib/systemd/catalog; journalctl --update-catalog' \
		sh "$BATS_TEST_DIRNAME/../../systemd/catalog/procsnap.catalog"
	inside journalctl -q -x "MESSAGE_ID=$MESSAGE_ID" >"$DIR/explained"
	grep -F "Subject: Process $PID (sleep) was dumped while it ran" "$DIR/explained"
	grep -F 'snapctl debug testid' "$DIR/explained"
}

# ---- crashes --------------------------------------------------------------------------------

CRASH_ID=fc2e22bc6ee647b6b90729ab34a250b1

# Fields of the entry of a crash by SYSLOG_IDENTIFIER, as lines "NAME: value" of JSON. journald's
# own, and where in its source a program was, are not about the crash.
crash_fields() {
	inside journalctl --sync 2>/dev/null || sleep 0.3
	inside journalctl -q --all -o json "MESSAGE_ID=$CRASH_ID" "SYSLOG_IDENTIFIER=$1" >"$DIR/$1.json"
	[ "$(wc -l <"$DIR/$1.json")" = 1 ]
	jq -r 'to_entries[] | select(.key | test("^_|^CODE_|^TID$|^OBJECT_|^PROCSNAP_") | not) |
		"\(.key): \(.value | tostring | gsub("pos:\t[0-9]+"; "pos:") | @json)"' "$DIR/$1.json" | sort >"$DIR/$1.fields"
}

@test "a crash is told as systemd-coredump tells it" {
	journal_start
	local theirs tree=/sys/fs/cgroup/unified group activator
	theirs=/lib/systemd/systemd-coredump
	[ -x $theirs ] || theirs=${fetched%/usr/bin/coredumpctl}/lib/systemd/systemd-coredump
	[ -x "$theirs" ] || skip "there is no systemd-coredump: tests/tools/fetch-coredumpctl"
	need_command systemd-socket-activate
	EVIL=$'x y\nB=1' victim "$USER_ID" /bin/sleep 300
	wait_for executed /bin/sleep
	take_core
	group=$tree/user.slice/user-$USER_ID.slice/user@$USER_ID.service/app.slice/it.service
	if [ -w $tree/cgroup.procs ] && [ ! -d /proc/1/root/run/systemd/system ] && mkdir -p "$group"; then
		at_end "rmdir -p --ignore-fail-on-non-empty $group 2>/dev/null || true"
		echo "$PID" >"$group/cgroup.procs"
	fi
	inside "$DIR/send" crash "$PID" "$CORE.zst"
	inside sh -ec 'mkdir -p /var/lib/systemd; mount -t tmpfs tmpfs /var/lib/systemd
		mkdir /var/lib/systemd/coredump'
	nsenter --mount="/proc/$HOLDER/ns/mnt" systemd-socket-activate --accept --seqpacket \
		-l /run/systemd/coredump "$theirs" >"$DIR/activate" 2>&1 &
	activator=$!
	STARTED+=("$activator")
	wait_for inside test -S /run/systemd/coredump
	inside "$theirs" "$PID" "$USER_ID" "$USER_ID" 11 1700000000 18446744073709551615 there 1 \
		<"$CORE" >"$DIR/log" 2>&1
	wait_for inside sh -c "journalctl -q -o cat MESSAGE_ID=$CRASH_ID \
		SYSLOG_IDENTIFIER=systemd-coredump | grep -q dumped"
	[ ! -d "$group" ] || echo "$PID" >$tree/cgroup.procs

	crash_fields systemd-coredump
	crash_fields procsnap
	# docs/JOURNAL.md says why these differ: names of ours, what the unwinder adds, and what the
	# kernel counts while one looks.
	local differs='^(SYSLOG_IDENTIFIER|COREDUMP_FILENAME|COREDUMP_PACKAGE_JSON|COREDUMP_DUMPABLE|'
	differs+='COREDUMP_BY_PIDFD|COREDUMP_PROC_STATUS|MESSAGE|SYSLOG_TIMESTAMP):'
	diff <(grep -Ev "$differs" "$DIR/systemd-coredump.fields") \
		<(grep -Ev "$differs" "$DIR/procsnap.fields")
	[ "$(grep -c ^COREDUMP_ "$DIR/procsnap.fields")" -gt 20 ]
	[ "$(jq -r .MESSAGE "$DIR/procsnap.json" | head -1)" = \
		"$(jq -r .MESSAGE "$DIR/systemd-coredump.json" | head -1)" ]
	local state='^(Name|Uid|Gid|Pid|PPid|NSpid|Threads):'
	diff <(jq -r .COREDUMP_PROC_STATUS "$DIR/procsnap.json" | grep -E "$state") \
		<(jq -r .COREDUMP_PROC_STATUS "$DIR/systemd-coredump.json" | grep -E "$state")
}

@test "coredumpctl and journalctl know the entry of a crash" {
	journal_start
	find_coredumpctl
	victim "$USER_ID" /bin/sleep 300
	take_core
	inside "$DIR/send" crash "$PID" "$CORE.zst" \
		$'Module x without build-id.\nStack trace of thread 1:\n#0  0x1 main (x + 0x1)\e[2J\n'
	MESSAGE_ID=$CRASH_ID entries >"$DIR/json"
	[ "$(wc -l <"$DIR/json")" = 1 ]
	for READER in "${READERS[@]}"; do
		coredumpctl list --no-legend "$PID" >"$DIR/list"
		grep -E "UTC +$PID +$USER_ID +$USER_ID SIGSEGV present +/[^ ]*/sleep " "$DIR/list"
		coredumpctl info "$PID" >"$DIR/info"
		grep -Fx '        Signal: 11 (SEGV)' "$DIR/info"
		grep -Fx '      Hostname: there' "$DIR/info"
		grep -F "Message: Process $PID (sleep) of user $USER_ID dumped core." "$DIR/info"
		grep -F '#0  0x1 main (x + 0x1)\x1b[2J' "$DIR/info"
		coredumpctl dump "$PID" -o "$OUT/again" >/dev/null
		cmp "$CORE" "$OUT/again"
		rm "$OUT/again"
	done
}

# ---- what is installed ----------------------------------------------------------------------

@test "systemd accepts the units, and finds them little exposed" {
	need_command systemd-analyze
	local here=$BATS_TEST_DIRNAME/../../systemd/units
	sed 's|@LIBEXECDIR@/procsnapd|/bin/true|' "$here/procsnapd.service" >procsnapd.service
	cp "$here/procsnapd.socket" .
	systemd-analyze verify --man=no ./procsnapd.service ./procsnapd.socket >"$DIR/verify" 2>&1
	[ ! -s "$DIR/verify" ]
	systemd-analyze security --offline=yes --threshold=30 ./procsnapd.service | tail -1
}
