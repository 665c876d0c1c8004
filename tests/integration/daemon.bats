#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# procsnapd: its API as bytes and through snapctl, who may ask it for what, its store, its limits, and
# what is left when a client or a process goes away. daemon-load.bats has it under load.
# shellcheck disable=SC2010,SC2012,SC2016,SC2030,SC2031,SC2034,SC2154,SC2317 # other shells expand; each test is a process

load common
load ../tools/daemon

SERVICE=org.varlink.service

# ---- the interface ---------------------------------------------------------------------------

@test "GetInfo and GetInterfaceDescription" {
	daemon_start
	ask $SERVICE.GetInfo '{}'
	answered '.product == "procsnapd" and (.interfaces | index("io.procsnap"))'
	answered ".version == \"$("$BUILD/procsnapd" --version | cut -d' ' -f2)\""
	ask $SERVICE.GetInterfaceDescription '{"interface":"io.procsnap"}'
	answered
	jq -rj .parameters.description <<<"$reply" |
		diff - "$BATS_TEST_DIRNAME/../../daemon/io.procsnap.varlink"
	ask $SERVICE.GetInterfaceDescription "{\"interface\":\"$SERVICE\"}"
	answered '.description | contains("method GetInfo()")'
	ask $SERVICE.GetInterfaceDescription '{"interface":"io.nothing"}'
	refused $SERVICE.InterfaceNotFound io.nothing
	ask $SERVICE.GetInterfaceDescription '{}'
	refused $SERVICE.InvalidParameter interface
	ask $SERVICE.GetInterfaceDescription '{"interface":7}'
	refused $SERVICE.InvalidParameter interface
}

@test "varlinkctl speaks with it" {
	need_command varlinkctl
	daemon_start
	varlinkctl info "$PROCSNAP_SOCKET" | grep -q procsnapd
	varlinkctl introspect "$PROCSNAP_SOCKET" io.procsnap | grep -q 'method Dump('
	varlinkctl call "$PROCSNAP_SOCKET" io.procsnap.Status '{}' | jq -e '.runningJobs == 0'
	target_start simple
	varlinkctl call --more "$PROCSNAP_SOCKET" io.procsnap.Dump "{\"pid\":$PID}" | grep -q '"id"'
}

@test "every member of a reply is in the interface" {
	daemon_start
	target_start simple
	ask Dump "{\"pid\":$PID}"
	answered '.id and .path'
	local text=$BATS_TEST_DIRNAME/../../daemon/io.procsnap.varlink method member
	# The part of the interface from there to the end of the reply.
	declared() {
		sed -n "/^$1/,/^)\|^) *->.*)$\|->.*)$/p" "$text"
	}
	ask Status '{}'
	for member in $(jq -r '.parameters | keys[]' <<<"$reply"); do
		declared 'method Status' | grep -qw "$member:" || fail "Status: $member"
	done
	ask List '{}'
	for member in $(jq -r '.parameters.entries[0] | keys[]' <<<"$reply"); do
		declared 'type Entry' | grep -qw "$member:" || fail "Entry: $member"
	done
}

@test "what is not known is refused" {
	daemon_start
	ask Nothing '{}'
	refused $SERVICE.MethodNotFound io.procsnap.Nothing
	ask $SERVICE.Nothing '{}'
	refused $SERVICE.MethodNotFound
	ask io.other.Dump '{}'
	refused $SERVICE.InterfaceNotFound
	ask io.procsnap.Dump.More '{}'
	refused $SERVICE.InterfaceNotFound
	reply=$("$VARLINK" "$PROCSNAP_SOCKET" 'send={"method":"nodot"}' recv)
	refused $SERVICE.InterfaceNotFound
	local method
	for method in Dump Goroutines List Get Remove Status Reload; do
		ask $method '{"pid":1,"id":"abcd","fileDescriptor":0,"request":{},"wrong\u001b[31m":1}'
		jq -e '.error' <<<"$reply" >/dev/null || fail "$method takes anything: $reply"
		[[ $reply != *$'\e'* ]]
	done
	ask Dump "{\"pid\":$$,\"keeppartial\":true}"
	refused InvalidRequest keeppartial
	log_has 'keeppartial'
}

@test "parameters of another type are refused, and do nothing" {
	daemon_start
	target_start simple
	local p
	for p in '"pid":"PID"' '"pid":-1' '"pid":1.5' '"pid":true' '"pid":[PID]' '"pid":2147483648' \
		'"pid":18446744073709551615' '"pid":18446744073709551616' '"all":true' \
		'"pid":PID,"dryRun":"yes"' '"pid":PID,"dryRun":1' '"pid":PID,"all":"no"' \
		'"pid":PID,"filter":"0x7f"' '"pid":PID,"filter":512' '"pid":PID,"filter":-1' \
		'"pid":PID,"maxPauseNSec":"200ms"' '"pid":PID,"maxPauseNSec":-1' \
		'"pid":PID,"maxPauseNSec":1.5' '"pid":PID,"freeBytes":"1"' \
		'"pid":PID,"keepPartial":{}' '"pid":PID,"pidFileDescriptor":"0"' \
		'"pid":PID,"pidFileDescriptor":0' '"pid":PID,"pidFileDescriptor":-1' \
		'"pid":PID,"fileDescriptor":"0"' '"pid":PID,"fileDescriptor":0' \
		'"pid":PID,"fileDescriptor":4294967296' '"pid":PID,"all":true,"filter":1' \
		'"pid":PID,"compress":0' '"pid":PID,"compress":20' '"pid":PID,"compress":"3"' \
		'"pid":PID,"compress":-1'; do
		ask Dump "{${p//PID/$PID}}"
		jq -e '.error | test("InvalidRequest|NoSuchProcess|InvalidParameter")' \
			<<<"$reply" >/dev/null || fail "$p: $reply"
	done
	# Without a descriptor there is nothing to compress to, or to stream to.
	for p in '"compress":3' '"stream":true' '"spoolFileDescriptor":0'; do
		ask Dump "{\"pid\":$PID,$p}" "fd=tmp:$OUT"
		jq -e '.error | test("InvalidRequest|InvalidParameter")' <<<"$reply" >/dev/null ||
			fail "$p: $reply"
	done
	ask Goroutines "{\"pid\":$PID,\"fileDescriptor\":0}" "fd=tmp:$OUT"
	refused InvalidRequest request
	ask Goroutines "{\"pid\":$PID,\"fileDescriptor\":0,\"request\":[]}" "fd=tmp:$OUT"
	refused InvalidRequest request
	ask Get '{"id":1234}'
	refused InvalidRequest id
	ask Remove '{}'
	refused InvalidRequest id
	store_has 0
	daemon_lives
	unharmed
}

@test "a null is as good as nothing" {
	daemon_start
	target_start simple
	ask Dump "{\"pid\":$PID,\"dryRun\":true,\"filter\":null,\"fileDescriptor\":null,\"all\":null}"
	answered '.result.bytes > 0 and .id == null'
	store_has 0
}

# ---- dumps to descriptors --------------------------------------------------------------------

# What two independent readers say of it, without what a later dump of a process has changed.
as_readers_see() { # CORE
	eu-readelf -h -l "$1" | sed -E 's/ +/ /g' | grep -vE ' NOTE |section headers offset'
	gdb -batch -nx -ex 'thread apply all backtrace' -ex 'info registers' \
		"$BUILD/targets/simple" "$1" 2>/dev/null | grep -v '^\[New\|warning'
}

@test "a dump to a descriptor is what --direct makes" {
	need_command gdb eu-readelf zstd
	daemon_start
	target_start simple --no-spin
	dump --direct
	expect 0
	as_readers_see "$CORE" >"$DIR/direct"
	rm "$CORE"
	dump
	expect 0
	well_formed
	verify_content
	as_readers_see "$CORE" | diff "$DIR/direct" -
	rm "$CORE"
	# Plain, compressed and streamed, by hand.
	ask Dump "{\"pid\":$PID,\"fileDescriptor\":0}" "fd=new:$CORE"
	answered '.result.pause_ns > 0 and .result.predicted_pause_ns > 0 and .result.lost_bytes == 0'
	as_readers_see "$CORE" | diff "$DIR/direct" -
	local mode='"compress":5' all
	for mode in '"compress":5' '"stream":true'; do
		rm -f "$CORE" "$DIR/final"
		all='"spoolFileDescriptor":0,"fileDescriptor":1'
		ask Dump "{\"pid\":$PID,$all,$mode}" "fd=tmp:$OUT" "fd=new:$DIR/final"
		answered
		zstd -qdf "$DIR/final" -o "$CORE" || mv "$DIR/final" "$CORE"
		verify_content
		as_readers_see "$CORE" | diff "$DIR/direct" -
	done
	unharmed
}

@test "snapctl dump with the daemon has the same options and output" {
	need_command zstd
	daemon_start
	target_start simple
	snapctl dump --direct --json -o "$OUT/a" "$PID"
	expect 0
	jq -S 'keys' <<<"$output" >"$DIR/keys"
	snapctl dump --json -o "$OUT/b" "$PID"
	expect 0
	jq -S 'keys' <<<"$output" | diff "$DIR/keys" -
	[ "$(field .path)" = "$OUT/b" ]
	log_has "process $PID"
	snapctl dump -z -o "$OUT/c" "$PID"
	expect 0
	zstd -qd "$OUT/c" -o "$CORE"
	verify_content
	"$SNAPCTL" dump -o - "$PID" >"$OUT/d"
	cp "$OUT/d" "$CORE"
	verify_content
	snapctl dump -o "$OUT/b" "$PID"
	expect $EX_FAILED
	snapctl dump -f --max-pause 1ns -o "$OUT/b" "$PID"
	expect $EX_PAUSE
	snapctl dump -f --all --filter 1 "$PID"
	expect $EX_USAGE
	snapctl dump -f -o "$OUT/e" 4194304
	expect $EX_GONE
	only_files a b c core d
	unharmed
}

@test "a dry run through the daemon" {
	daemon_start
	target_start simple
	snapctl dump -n --json "$PID"
	expect 0
	[ "$(field '.classes | length')" -gt 0 ]
	only_files
	store_has 0
	user_snapctl dump -n "$PID"
	expect $EX_DENIED
	unharmed
}

@test "descriptors that are not good enough are refused" {
	daemon_start
	target_start simple
	local good="{\"pid\":$PID,\"fileDescriptor\":0}" action
	echo something >"$OUT/full"
	: >"$OUT/empty"
	mkfifo "$DIR/fifo"
	for action in "fd=r:$OUT/empty" "fd=rw:$OUT/full" "fd=path:$OUT/empty" "fd=r:$OUT" \
		"fd=path:$OUT" "fd=w:$OUT/empty" "fd=a:$OUT/empty" "fd=rw:$DIR/fifo" \
		"fd=rw:/dev/null" "pidfd=$PID"; do
		ask Dump "$good" "$action"
		refused InvalidRequest fileDescriptor
	done
	local two="{\"pid\":$PID,\"spoolFileDescriptor\":0,\"fileDescriptor\":1,\"compress\":1}"
	for action in "fd=r:$OUT/empty" "fd=path:$OUT/empty" "fd=r:$OUT" "pidfd=$PID"; do
		ask Dump "$two" "fd=tmp:$OUT" "$action"
		jq -e .error <<<"$reply" >/dev/null || fail "$action: $reply"
	done
	for action in "fd=a:$OUT/empty" "fd=w:$OUT/empty" "fd=rw:$OUT/full"; do
		ask Dump "$two" "$action" "fd=new:$OUT/new"
		refused InvalidRequest spoolFileDescriptor
	done
	# The same one twice.
	ask Dump "{\"pid\":$PID,\"spoolFileDescriptor\":0,\"fileDescriptor\":0,\"compress\":1}" \
		"fd=tmp:$OUT"
	refused InvalidRequest
	ask Dump "{\"pid\":$PID,\"pidFileDescriptor\":0}" "fd=tmp:$OUT"
	refused InvalidRequest pidfd
	[ "$(cat "$OUT/full")" = something ]
	[ ! -s "$OUT/empty" ]
	store_has 0
	unharmed
}

# ---- the store -------------------------------------------------------------------------------

@test "into the store, and out of it" {
	need_command getfattr gdb
	daemon_start
	target_start simple --no-spin
	snapctl dump --store "$PID"
	expect 0
	local id path boot
	id=$(cut -d' ' -f1 <<<"$output")
	path=$(cut -d' ' -f2 <<<"$output")
	path=${path%:}
	[[ $id =~ ^[0-9a-f][0-9a-z]{12}$ ]]
	boot=$(tr -d - </proc/sys/kernel/random/boot_id)
	[[ ${path##*/} =~ ^core\.simple\.0\.$boot\.$PID\.[0-9]+\.zst$ ]]
	[ "$(stat -c '%a %U' "$path")" = '640 root' ]
	[ "$(stat -c '%a %U' "$path.json")" = '640 root' ]
	[ "$(getfattr --only-values -n user.coredump.pid "$path")" = "$PID" ]
	[ "$(getfattr --only-values -n user.coredump.comm "$path")" = simple ]
	[ "$(getfattr --only-values -n user.coredump.uid "$path")" = 0 ]
	[ "$(getfattr --only-values -n user.coredump.exe "$path")" = "$BUILD/targets/simple" ]
	getfattr -d -m '^user\.procsnap' "$path" 2>/dev/null | grep -q "$id"
	jq -e --arg id "$id" --argjson pid "$PID" \
		'.dump.id == $id and .dump.pid == $pid and .requester.uid == 0 and
		.requester.comm == "snapctl" and .result.pause_ns > 0' "$path.json"
	snapctl list --json
	expect 0
	[ "$(field .id)" = "$id" ]
	[ "$(field .kind)" = live ]
	[ "$(jq .partial <<<"$output")" = false ]
	snapctl list
	[[ $output == *"$id"* ]]
	snapctl list --pid 1 --no-legend
	[ -z "$output" ]
	snapctl get -o "$CORE" "$id"
	expect 0
	well_formed
	verify_content
	# As a hole takes no room, so does it not here.
	[ $(($(stat -c '%b' "$CORE") * 512)) -lt "$(stat -c %s "$CORE")" ]
	"$SNAPCTL" get -o - "$id" | cmp - "$CORE"
	snapctl info "$id"
	expect 0
	[[ $output == *simple* ]]
	grep -qE '^ +Kind: live$' <<<"$output"
	snapctl info --json "$id"
	[ "$(field .file.kind)" = live ]
	ask Get "{\"id\":\"$id\"}"
	answered ".entry.id == \"$id\" and .metadata.result.pid == $PID and .fileDescriptor == 0"
	"$VARLINK" "$PROCSNAP_SOCKET" "send={\"method\":\"io.procsnap.Get\",\"parameters\":{
		\"id\":\"$id\"}}" recv "save=$DIR/got" >/dev/null
	cmp "$DIR/got" "$path"
	snapctl remove "$id"
	expect 0
	store_has 0
	log_has "removed dump $id"
	snapctl remove "$id"
	expect $EX_FAILED
	snapctl get "$id"
	expect $EX_FAILED
	unharmed
}

@test "ids may be cut, but not to nothing, and not to what fits several" {
	daemon_start '[Store]' Compress=1 MaxPerExecutable=infinity
	target_start simple
	local i
	for i in 1 2 3; do
		snapctl dump --store -q --json "$PID"
		expect 0
		[ "$i" != 1 ] || FIRST=$(field .id)
	done
	ask Get "{\"id\":\"${FIRST:0:6}\"}"
	answered ".entry.id == \"$FIRST\""
	ask Get "{\"id\":\"${FIRST^^}\"}"
	answered ".entry.id == \"$FIRST\""
	ask Get "{\"id\":\"${FIRST:0:3}\"}"
	refused InvalidRequest
	for i in '' '-' '*' '../x' "$FIRST/" "${FIRST}0" 'abc def' $'\\u0000'; do
		ask Get "{\"id\":\"$i\"}"
		jq -e .error <<<"$reply" >/dev/null || fail "'$i': $reply"
	done
	# Two that begin alike, which chance will not make: a second file with a metadata of its own.
	daemon_stop
	local path other more
	path=$(find "$STORE" -name "core.*.zst" -print -quit)
	FIRST=$(jq -r .dump.id "$path.json")
	other=${FIRST:0:12}$([ "${FIRST:12}" = 0 ] && echo 1 || echo 0)
	more=${path%.*.zst}.$(($(cut -d. -f6 <<<"${path##*/}") + 1)).zst
	cp --preserve=all "$path" "$more"
	jq -c --arg id "$other" '.dump.id = $id' "$path.json" >"$more.json"
	setfattr -n user.procsnap.id -v "$other" "$more" ||
		skip "no extended attributes here"
	daemon_again
	ask Get "{\"id\":\"${FIRST:0:8}\"}"
	refused InvalidRequest
	ask Get "{\"id\":\"$FIRST\"}"
	answered ".entry.id == \"$FIRST\""
	ask Remove "{\"id\":\"${FIRST:0:8}\"}"
	refused InvalidRequest
	store_has 4
}

@test "List with more gives one dump in each reply" {
	daemon_start '[Store]' Compress=1
	target_start simple
	ask Dump "{\"pid\":$PID}"
	ask Dump "{\"pid\":$PID}"
	answered
	"$VARLINK" "$PROCSNAP_SOCKET" 'send={"method":"io.procsnap.List","more":true}' last \
		'send={"method":"io.procsnap.List"}' last >"$DIR/replies"
	[ "$(jq -s 'map(.parameters.entries | length) | join(" ")' "$DIR/replies")" = '"1 1 2"' ]
	# Without a dump there is one reply with none.
	ask Remove "{\"id\":$(jq -s '.[0].parameters.entries[0].id' "$DIR/replies")}"
	ask Remove "{\"id\":$(jq -s '.[1].parameters.entries[0].id' "$DIR/replies")}"
	answered
	reply=$("$VARLINK" "$PROCSNAP_SOCKET" 'send={"method":"io.procsnap.List","more":true}' last)
	answered '.entries == []'
}

@test "hostile names" {
	daemon_start
	need_command cc
	local sick=$'e\e[31m\nA/b'
	cat >"$DIR/name.c" <<-'END'
		#include <sys/prctl.h>
		#include <unistd.h>
		int main(int argc, char **argv) { prctl(PR_SET_NAME, argv[argc > 1]); pause(); }
	END
	mkdir "$DIR/bin"
	cc -o "$DIR/bin/$(printf 'p\nq\033[2Jr')" "$DIR/name.c"
	local programs=("$DIR/bin/"p*)
	"${programs[0]}" "$sick" 3>&- &
	PID=$!
	STARTED+=("$PID")
	wait_for grep -q A/b "/proc/$PID/comm"
	snapctl dump --store "$PID"
	expect 0
	never grep $'\e' "$DIR/stdout"
	[ "$(wc -l <"$DIR/stdout")" = 1 ]
	find "$STORE" -name 'core.e\\x1b[[]31m\\x0aA\\x2fb.0.*.zst' | grep -q . ||
		fail "$(ls "$STORE")"
	snapctl list
	expect 0
	[ "$(wc -l <"$DIR/stdout")" = 2 ]
	local id
	id=$("$SNAPCTL" list --json | jq -r .id)
	snapctl info "$id"
	expect 0
	never grep $'\e' "$DIR/stdout"
	never grep -a $'\e' "$DIR/log"
	daemon_stop
	daemon_again
	snapctl list --json
	[ "$(field .id)" = "$id" ]
	# The caller's own name is in the log, too.
	cp "$VARLINK" "$DIR/bin/$(printf 'x\033]0;y\nprocsnapd: z')"
	VARLINK=$(echo "$DIR/bin/"x*) ask Dump "{\"pid\":$PID,\"dryRun\":true}"
	answered
	never grep -a $'\e' "$DIR/log"
	never grep -a '^procsnapd: z' "$DIR/log"
}

@test "what is in the store that is not ours" {
	daemon_start
	target_start simple
	snapctl dump --store -q "$PID"
	expect 0
	daemon_stop
	local core
	core=$(find "$STORE" -name '*.zst')
	ln -s /etc/passwd "$STORE/core.a.0.$(printf '%032d' 1).1.1.zst"
	mkfifo "$STORE/core.b.0.$(printf '%032d' 1).1.1.zst"
	ln "$core" "$DIR/link"
	: >"$STORE/core.c.0.$(printf '%032d' 1).1.1.zst.json"
	echo mine >"$STORE/notes"
	daemon_again
	snapctl list --json
	expect 0
	[ -z "$output" ] || [ "$(wc -l <<<"$output")" = 1 ]
	[ "$(cat "$STORE/notes")" = mine ]
	[ -L "$STORE/core.a.0.$(printf '%032d' 1).1.1.zst" ]
	[ -s /etc/passwd ]
}

@test "a store that cannot be used" {
	need_root
	need_command jq
	STORE=$DIR/nothing/store
	chmod 755 "$DIR"
	export PROCSNAP_SOCKET=$DIR/socket
	daemon_config
	daemon_again
	target_start simple
	dump
	expect 0
	snapctl dump --store "$PID"
	expect $EX_FAILED
	error_has 'no store'
	snapctl list
	expect $EX_FAILED
	snapctl status
	expect 0
	unharmed
}

# ---- who may what ----------------------------------------------------------------------------

@test "a user may dump what is his, and sees only that" {
	need_command getfacl
	daemon_start
	target_start simple
	local roots=$PID
	snapctl dump --store -q --json "$roots"
	expect 0
	local hidden
	hidden=$(field .id)
	user_target simple
	user_snapctl dump -o "$OUT/mine" "$PID"
	expect 0
	[ "$(stat -c '%a %u' "$OUT/mine")" = "600 $DAEMON_USER" ]
	CORE=$OUT/mine verify_content
	user_snapctl dump --store --json "$PID"
	expect 0
	local id path
	id=$(field .id)
	path=$(field .path)
	[ "$(stat -c '%U' "$path")" = root ]
	getfacl -cn "$path" 2>/dev/null | grep -q "^user:$DAEMON_USER:r--"
	as_user head -c 1 "$path" >/dev/null
	as_user sh -c ': >>"$0"' "$path" 2>/dev/null && fail "the user may write to it"
	user_snapctl list --json
	expect 0
	[ "$(jq -r .id <<<"$output")" = "$id" ]
	user_snapctl get -o "$OUT/got" "$id"
	expect 0
	user_snapctl info "$id"
	expect 0
	# Of others there is not even a hint.
	user_snapctl get -o "$OUT/no" "$hidden"
	expect $EX_FAILED
	local said=$errors
	user_snapctl get -o "$OUT/no" 0123456789abc
	[ "${errors//0123456789abc/X}" = "${said//$hidden/X}" ]
	user_snapctl remove "$hidden"
	expect $EX_FAILED
	store_has 2
	user_snapctl dump -o "$OUT/no" "$roots"
	expect $EX_DENIED
	user_snapctl dump --store "$roots"
	expect $EX_DENIED
	user_snapctl dump -n "$roots"
	expect $EX_DENIED
	user_snapctl reload
	expect $EX_DENIED
	user_snapctl status
	expect 0
	log_has "user $DAEMON_USER (snapctl["
	user_snapctl remove "$id"
	expect 0
	store_has 1
	only_files got mine
	unharmed
	target_use 0
	unharmed
}

@test "a user may not dump what he may not trace" {
	daemon_start
	need_command cc
	local sleep id
	sleep=$(command -v sleep)
	# Another user id, by a set-user-ID program of root's.
	install -m 4755 "$sleep" "$DIR/suid"
	"${AS_USER[@]}" "$DIR/suid" 300 3>&- &
	PID=$!
	STARTED+=("$PID")
	wait_for grep -qw suid "/proc/$PID/comm"
	if grep -qE '^Uid:\s12345\s0' "/proc/$PID/status"; then
		user_snapctl dump -o "$OUT/no" "$PID"
		expect $EX_DENIED
		user_snapctl dump --store "$PID"
		expect $EX_DENIED
	fi
	# One that is not dumpable, by its own wish.
	printf '%s\n' '#include <sys/prctl.h>' '#include <unistd.h>' \
		'int main(void) { prctl(PR_SET_DUMPABLE, 0); prctl(PR_SET_NAME, "secret"); pause(); }' \
		>"$DIR/secret.c"
	cc -o "$DIR/nondumpable" "$DIR/secret.c"
	"${AS_USER[@]}" "$DIR/nondumpable" 3>&- &
	PID=$!
	STARTED+=("$PID")
	wait_for grep -qw secret "/proc/$PID/comm"
	user_snapctl dump -o "$OUT/no" "$PID"
	expect $EX_DENIED
	user_snapctl dump -n "$PID"
	expect $EX_DENIED
	# Root may, but the user does not get to read it afterwards.
	snapctl dump --store -q --json "$PID"
	expect 0
	id=$(field .id)
	user_snapctl list --json
	[ -z "$output" ]
	user_snapctl get -o "$OUT/no" "$id"
	expect $EX_FAILED
	as_user cat "$STORE"/core.secret.* >/dev/null 2>&1 && fail "the user may read it"
	only_files
}

@test "a process that becomes somebody else while it waits for its dump" {
	daemon_start '[Limits]' MaxJobs=1
	local sleep
	sleep=$(command -v sleep)
	install -m 4755 "$sleep" "$DIR/suid"
	target_start simple
	occupy
	mkfifo -m 666 "$DIR/go"
	"${AS_USER[@]}" sh -c 'read -r x <"$0"; exec "$1" 300' "$DIR/go" "$DIR/suid" 3>&- &
	PID=$!
	STARTED+=("$PID")
	wait_for grep -qw sh "/proc/$PID/comm"
	"$SNAPCTL" dump --store -q "$PID" 3>&- &
	local root=$!
	STARTED+=("$root")
	wait_for daemon_status_is waitingJobs 1
	echo >"$DIR/go"
	wait_for grep -qw suid "/proc/$PID/comm"
	grep -qE '^Uid:\s12345\s0' "/proc/$PID/status" || skip "nosuid here"
	kill "$OCCUPIER"
	wait "$root"
	# It holds the memory of a program of root's now.
	user_snapctl list --json
	[ -z "$output" ] || fail "the user sees it: $output"
	as_user sh -c 'cat "$0"/core.*.zst' "$STORE" >/dev/null 2>&1 && fail "the user may read it"
	true
}

@test "root without CAP_SYS_PTRACE is nobody" {
	daemon_start
	target_start simple
	ask_as 'setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace' \
		Dump "{\"pid\":$PID,\"dryRun\":true}"
	refused NotPermitted CAP_SYS_PTRACE
	ask_as 'setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace' List '{}'
	refused NotPermitted
	ask_as 'setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace' $SERVICE.GetInfo '{}'
	answered
}

@test "callers in another user or pid namespace are refused" {
	need_command unshare
	daemon_start
	target_start simple
	local how
	for how in 'unshare --pid --fork' 'unshare --user --map-root-user' 'unshare --user' \
		"${AS_USER[*]} unshare --user --map-root-user"; do
		$how true 2>/dev/null || continue
		for call in Dump List Status Reload; do
			ask_as "$how" $call "$([ $call != Dump ] && echo '{}' ||
				echo "{\"pid\":$PID,\"dryRun\":true}")"
			refused NotPermitted namespace
		done
		ask_as "$how" $SERVICE.GetInfo '{}'
		answered
	done
	log_has NotPermitted || log_has namespace
}

@test "a client that has ended before it is served is nobody" {
	daemon_start
	target_start simple
	# The connection outlives whoever made it.
	cat >"$DIR/orphan.py" <<-'END'
		import os, socket, sys
		s = socket.socket(socket.AF_UNIX)
		r, w = os.pipe()
		child = os.fork()
		if child == 0:
		    s.connect(sys.argv[1])
		    os._exit(0)
		os.waitpid(child, 0)
		open(sys.argv[2], 'w').close()
		s.sendall(b'{"method":"io.procsnap.List"}\0')
		print(s.recv(65536).rstrip(b'\0').decode())
	END
	need_command python3
	kill -STOP "$DAEMON"
	python3 "$DIR/orphan.py" "$PROCSNAP_SOCKET" "$DIR/gone" >"$DIR/said" 3>&- &
	local client=$!
	STARTED+=("$client")
	wait_for test -e "$DIR/gone"
	kill -CONT "$DAEMON"
	wait "$client"
	reply=$(cat "$DIR/said")
	refused NotPermitted
}

@test "members of the configured group may dump everything" {
	local group
	group=$(getent group | awk -F: '$3 > 0 && $3 < 60000 { print $1 ":" $3; exit }')
	[ -n "$group" ] || skip "there is no group"
	daemon_start '[Access]' "Group=${group%:*}"
	target_start simple
	local how
	for how in "--regid=$DAEMON_USER --groups=${group#*:}" "--regid=${group#*:} --clear-groups"; do
		ask_as "setpriv --reuid=$DAEMON_USER $how" Dump "{\"pid\":$PID}"
		answered .id
		ask_as "setpriv --reuid=$DAEMON_USER $how" List '{}'
		answered '.entries | length > 0'
	done
	user_snapctl dump --store "$PID"
	expect $EX_DENIED
	# By number; by one that nobody has.
	daemon_config '[Access]' "Group=${group#*:}"
	snapctl reload
	expect 0
	ask_as "setpriv --reuid=$DAEMON_USER --regid=$DAEMON_USER --groups=${group#*:}" \
		Dump "{\"pid\":$PID,\"dryRun\":true}"
	answered
	daemon_config '[Access]' Group=no-such-group
	snapctl reload
	expect $EX_USAGE
	error_has no-such-group
	daemon_config
	snapctl reload
	expect 0
	ask_as "setpriv --reuid=$DAEMON_USER --regid=$DAEMON_USER --groups=${group#*:}" \
		Dump "{\"pid\":$PID,\"dryRun\":true}"
	refused NotPermitted
	unharmed
}

@test "a user cannot trace the worker that works for him" {
	daemon_start '[Limits]' MaxJobs=2 MaxJobsPerUser=2
	user_target simple
	occupy "${AS_USER[@]}"
	local worker
	worker=$(workers | sed 's|/proc/||; s|/exe||' | while read -r w; do
		[ "$(sed -n 's/^PPid:\t//p' "/proc/$w/status")" != "$DAEMON" ] || echo "$w"
	done)
	[ -n "$worker" ]
	grep -qE "^Uid:\s$DAEMON_USER\s$DAEMON_USER\s$DAEMON_USER" "/proc/$worker/status"
	grep -qE '^CapEff:\s0+$' "/proc/$worker/status"
	grep -qE '^CapPrm:\s0+$' "/proc/$worker/status"
	grep -qE "^Groups:\s*$" "/proc/$worker/status"
	as_user ls "/proc/$worker/fd" 2>/dev/null && fail "its descriptors can be seen"
	as_user cat "/proc/$worker/environ" 2>/dev/null && fail "its environment can be read"
	as_user dd if="/proc/$worker/mem" count=0 2>/dev/null && fail "its memory can be opened"
	user_snapctl dump --direct -o "$OUT/no" "$worker"
	expect $EX_DENIED
	user_snapctl dump -o "$OUT/no" "$worker"
	[ "$status" != 0 ]
	assert_free "$PID"
}

@test "by descriptor and by number: threads, strangers, the dead" {
	daemon_start
	target_start simple
	local tid
	tid=$(ls "/proc/$PID/task" | grep -vx "$PID" | tail -n 1)
	ask Dump "{\"pid\":$tid,\"dryRun\":true}"
	refused NoSuchProcess
	snapctl dump -n "$tid"
	expect $EX_GONE
	ask Dump '{"pid":0,"dryRun":true}'
	refused NoSuchProcess
	ask Dump '{"pid":4194304,"dryRun":true}'
	refused NoSuchProcess
	# The descriptor decides, the number is only for people.
	ask Dump '{"pid":1,"pidFileDescriptor":0,"dryRun":true}' "pidfd=$PID"
	answered ".result.pid == $PID"
	if "$VARLINK" "$PROCSNAP_SOCKET" "tidfd=$tid" 2>/dev/null; then
		ask Dump '{"pid":1,"pidFileDescriptor":0}' "tidfd=$tid"
		jq -e .error <<<"$reply" >/dev/null || fail "a thread is dumped: $reply"
	fi
	sleep 300 &
	local victim=$!
	STARTED+=("$victim")
	exec {pin}<"/proc/$victim"
	end_child "$victim"
	ask Dump "{\"pid\":$victim,\"dryRun\":true}"
	refused NoSuchProcess
	unharmed
	# Itself: it is stopped by its own child, and goes on.
	ask Dump "{\"pid\":$DAEMON}"
	answered .id
	daemon_lives
}

@test "a process that ends while its dump waits" {
	daemon_start '[Limits]' MaxJobs=1
	target_start simple
	occupy
	sleep 300 3>&- &
	local victim=$!
	STARTED+=("$victim")
	"$SNAPCTL" dump -o "$OUT/no" "$victim" 2>"$DIR/said" 3>&- &
	local client=$! end=0
	STARTED+=("$client")
	wait_for daemon_status_is waitingJobs 1
	end_child "$victim"
	kill "$OCCUPIER"
	wait "$client" || end=$?
	[ "$end" = $EX_GONE ] || fail "status $end" "$(cat "$DIR/said")"
	only_files
	wait_for daemon_idle
}

# ---- clients that go away --------------------------------------------------------------------

# Nothing is left of a job but the process it was about.
nothing_left() {
	wait_for daemon_idle
	store_has 0
	wait_free "$PID"
	target_ok
	[ -z "$(ls "/proc/$DAEMON/fd" -l | grep -E 'stuck|deleted' || true)" ] ||
		fail "descriptors are left:" "$(ls -l "/proc/$DAEMON/fd")"
}

@test "the client ends, is killed, closes, or closes a half" {
	daemon_start
	target_start simple
	local end
	for end in TERM KILL; do
		occupy
		kill -$end "$OCCUPIER"
		nothing_left
	done
	# Half-closed: the answer still comes.
	mkfifo "$DIR/half" "$DIR/in"
	exec {hold}<>"$DIR/half"
	"$VARLINK" "$PROCSNAP_SOCKET" "pidfd=$PID" "fd=tmp:$OUT" "fd=rw:$DIR/half" \
		'send={"method":"io.procsnap.Dump","parameters":{"pid":1,"pidFileDescriptor":0,
		"spoolFileDescriptor":1,"fileDescriptor":2,"stream":true}}' \
		wait half last <"$DIR/in" >"$DIR/said" 3>&- &
	local client=$!
	STARTED+=("$client")
	exec {in}>"$DIR/in"
	wait_for worker_writes
	exec {in}>&-
	wait "$client"
	reply=$(cat "$DIR/said")
	refused Cancelled "$PID"
	nothing_left
}

@test "a half-closed client behind whose call another one waits" {
	daemon_start
	target_start simple
	mkfifo "$DIR/half" "$DIR/in"
	exec {hold}<>"$DIR/half"
	"$VARLINK" "$PROCSNAP_SOCKET" "pidfd=$PID" "fd=tmp:$OUT" "fd=rw:$DIR/half" \
		'send={"method":"io.procsnap.Dump","parameters":{"pid":1,"pidFileDescriptor":0,
		"spoolFileDescriptor":1,"fileDescriptor":2,"stream":true}}' \
		'send={"method":"io.procsnap.Status"}' \
		wait half recv recv <"$DIR/in" >"$DIR/said" 3>&- &
	local client=$!
	STARTED+=("$client")
	exec {in}>"$DIR/in"
	wait_for worker_writes
	exec {in}>&-
	wait "$client"
	head -n 1 "$DIR/said" | grep -q Cancelled
	nothing_left
}

@test "Ctrl-C of snapctl" {
	daemon_start
	target_start simple
	mkfifo "$DIR/pipe"
	exec {hold}<>"$DIR/pipe"
	"$SNAPCTL" dump -o - "$PID" >"$DIR/pipe" 2>"$DIR/said" 3>&- &
	local client=$! end=0
	STARTED+=("$client")
	wait_for worker_writes
	kill -INT "$client"
	wait "$client" || end=$?
	[ "$end" = $EX_CANCELLED ] || fail "status $end" "$(cat "$DIR/said")"
	nothing_left
	# While it waits for its turn.
	daemon_config '[Limits]' MaxJobs=1
	snapctl reload
	occupy
	"$SNAPCTL" dump -o "$OUT/no" "$PID" 2>"$DIR/said" 3>&- &
	client=$! end=0
	STARTED+=("$client")
	wait_for daemon_status_is waitingJobs 1
	kill -INT "$client"
	wait "$client" || end=$?
	[ "$end" = $EX_CANCELLED ] || fail "status $end" "$(cat "$DIR/said")"
	only_files
	wait_for daemon_status_is waitingJobs 0
	kill "$OCCUPIER"
	nothing_left
}

@test "the daemon ends: jobs are cancelled, clients are told" {
	daemon_start '[Limits]' MaxJobs=1
	target_start simple
	occupy
	"$SNAPCTL" dump -o "$OUT/no" "$PID" 2>"$DIR/said" 3>&- &
	local client=$! end=0
	STARTED+=("$client")
	wait_for daemon_status_is waitingJobs 1
	daemon_stop
	wait "$client" || end=$?
	[ "$end" = $EX_CANCELLED ] || fail "status $end" "$(cat "$DIR/said")"
	wait "$OCCUPIER" || true
	grep -q '"io.procsnap.Cancelled"' "$OCCUPIED"
	wait_for no_workers
	unharmed
	only_files
	# Nobody listens, so snapctl works alone again.
	dump
	expect 0
}

# ---- limits ----------------------------------------------------------------------------------

@test "jobs wait for their turn, and too many are refused" {
	daemon_start '[Limits]' MaxJobs=1 MaxQueue=1
	target_start simple
	occupy
	"$VARLINK" "$PROCSNAP_SOCKET" "send={\"method\":\"io.procsnap.Dump\",\"more\":true,
		\"parameters\":{\"pid\":$PID}}" last >"$DIR/second" 3>&- &
	local second=$!
	STARTED+=("$second")
	wait_for daemon_status_is waitingJobs 1
	wait_for grep -q '"position":1' "$DIR/second"
	ask Dump "{\"pid\":$PID}"
	refused Failed MaxQueue
	snapctl dump -o "$OUT/no" "$PID"
	expect $EX_FAILED
	error_has MaxQueue
	only_files
	kill "$OCCUPIER"
	wait "$second"
	tail -n 1 "$DIR/second" | jq -e '.parameters.id'
	store_has 1
	unharmed
}

@test "without a queue, jobs that can begin do" {
	daemon_start '[Limits]' MaxJobs=1 MaxQueue=0
	target_start simple
	ask Dump "{\"pid\":$PID}"
	answered .id
	occupy
	ask Dump "{\"pid\":$PID}"
	refused Failed MaxQueue
}

@test "one user does not keep the others waiting" {
	daemon_start '[Limits]' MaxJobs=2 MaxJobsPerUser=1
	user_target simple
	occupy "${AS_USER[@]}"
	user_snapctl dump -n "$PID" &
	local waits=$!
	wait_for daemon_status_is waitingJobs 1
	target_start simple
	dump
	expect 0
	daemon_status_is waitingJobs 1
	kill "$OCCUPIER"
	wait $waits
}

@test "connections of one user" {
	daemon_start '[Limits]' MaxConnectionsPerUser=3
	local i clients=()
	mkfifo "$DIR/in"
	exec {hold}<>"$DIR/in"
	for i in 1 2 3; do
		"${AS_USER[@]}" "$VARLINK" "$PROCSNAP_SOCKET" wait <"$DIR/in" 3>&- &
		clients+=($!)
		STARTED+=($!)
	done
	wait_for daemon_status_is connections 4
	reply=$(as_user "$VARLINK" "$PROCSNAP_SOCKET" 'send={"method":"io.procsnap.Status"}' recv)
	[ "$reply" = closed ]
	user_snapctl status
	expect $EX_FAILED
	error_has "serves too many"
	snapctl status
	expect 0
	kill "${clients[0]}"
	wait_for daemon_status_is connections 3
	user_snapctl status
	expect 0
}

@test "a job that takes too long" {
	daemon_start '[Limits]' JobTimeout=2s
	target_start simple
	occupy
	wait "$OCCUPIER" || true
	tail -n 2 "$OCCUPIED" | head -n 1 | grep '"io.procsnap.Failed"' | grep -q JobTimeout ||
		fail "$(cat "$OCCUPIED")"
	nothing_left
}

@test "a client that does not read keeps nobody" {
	daemon_start
	local before after
	mkfifo "$DIR/in"
	before=$(sed -n 's/^VmRSS:\t *\([0-9]*\).*/\1/p' "/proc/$DAEMON/status")
	"$VARLINK" "$PROCSNAP_SOCKET" "flood=200000:{\"method\":\"$SERVICE.GetInterfaceDescription\",
		\"parameters\":{\"interface\":\"io.procsnap\"}}" wait \
		<"$DIR/in" >"$DIR/flood" 3>&- &
	STARTED+=($!)
	exec {in}>"$DIR/in"
	wait_for grep -q 'flood ended' "$DIR/flood"
	snapctl status
	expect 0
	after=$(sed -n 's/^VmRSS:\t *\([0-9]*\).*/\1/p' "/proc/$DAEMON/status")
	((after - before < 16384)) || fail "from $before to $after KiB"
	# Many calls at once are answered, all of them, once he reads.
	exec {in}>&-
	local i many=
	for ((i = 0; i < 300; i++)); do
		many+=$(printf 'send={"method":"%s.GetInfo"} ' "$SERVICE")
	done
	# shellcheck disable=SC2086 # words
	"$VARLINK" "$PROCSNAP_SOCKET" $many half last drain >"$DIR/replies"
	[ -s "$DIR/replies" ]
	daemon_lives
}

@test "endless bytes behind a call that runs are not kept" {
	daemon_start
	target_start simple
	mkfifo "$DIR/stuck" "$DIR/in"
	exec {hold}<>"$DIR/stuck"
	"$VARLINK" "$PROCSNAP_SOCKET" "pidfd=$PID" "fd=tmp:$OUT" "fd=rw:$DIR/stuck" \
		'send={"method":"io.procsnap.Dump","parameters":{"pid":1,"pidFileDescriptor":0,
		"spoolFileDescriptor":1,"fileDescriptor":2,"stream":true}}' \
		'send={"method":"io.procsnap.Status"}' "flood=60000:$(printf '%1000s' '')" wait \
		<"$DIR/in" >"$DIR/flood" 3>&- &
	STARTED+=($!)
	exec {in}>"$DIR/in"
	wait_for grep -q 'flood ended' "$DIR/flood"
	local rss
	rss=$(sed -n 's/^VmRSS:\t *\([0-9]*\).*/\1/p' "/proc/$DAEMON/status")
	((rss < 40960)) || fail "$rss KiB"
	snapctl status
	expect 0
	exec {in}>&-
	nothing_left
}

@test "garbage" {
	daemon_start
	local bytes
	for bytes in 'bytes=hello' 'zeros=1' 'zeros=100000' 'spaces=1000000' 'send=[]' 'send={}' \
		'send={"method":7}' 'send={"method":"x","parameters":' 'send=null' \
		'send={"parameters":{}}' 'bytes=GET / HTTP/1.0'; do
		"$VARLINK" "$PROCSNAP_SOCKET" "$bytes" half last >"$DIR/said" || true
		"$VARLINK" "$PROCSNAP_SOCKET" "$bytes" >/dev/null || true
	done
	for bytes in 5 8 9 60; do
		# shellcheck disable=SC2046 # words
		"$VARLINK" "$PROCSNAP_SOCKET" $(printf 'inherit=0 %.0s' $(seq "$bytes")) \
			'send={"method":"io.procsnap.Status"}' recv </dev/null >"$DIR/said"
		grep -qx closed "$DIR/said"
	done
	head -c 300000 /dev/urandom >"$DIR/random"
	socat -u "OPEN:$DIR/random" "UNIX-CONNECT:$PROCSNAP_SOCKET" 2>/dev/null || true
	daemon_lives
	wait_for daemon_status_is connections 1
	[ "$(ls "/proc/$DAEMON/fd" | wc -l)" -lt 30 ]
}

@test "calls one behind the other, and the descriptors of each" {
	daemon_start
	target_start simple
	# The second one has the descriptors, and comes with the first in one piece.
	"$VARLINK" "$PROCSNAP_SOCKET" 'send={"method":"io.procsnap.Status"}' "pidfd=$PID" \
		"fd=new:$CORE" 'send={"method":"io.procsnap.Dump","parameters":{"pid":1,
		"pidFileDescriptor":0,"fileDescriptor":1}}' 'send={"method":"io.procsnap.Status"}' \
		recv recv recv >"$DIR/replies"
	[ "$(jq -s 'map(.error // "ok") | join(" ")' "$DIR/replies")" = '"ok ok ok"' ] ||
		fail "$(cat "$DIR/replies")"
	verify_content
	# Twenty at once, some of them with descriptors in the answers.
	local id i many=()
	snapctl dump --store -q --json "$PID"
	id=$(field .id)
	for ((i = 0; i < 20; i++)); do
		many+=("send={\"method\":\"io.procsnap.Get\",\"parameters\":{\"id\":\"$id\"}}")
	done
	for ((i = 0; i < 20; i++)); do
		many+=(recv)
	done
	"$VARLINK" "$PROCSNAP_SOCKET" "${many[@]}" >"$DIR/replies"
	[ "$(grep -c '"fileDescriptor"' "$DIR/replies")" = 20 ] || fail "$(cut -c-80 "$DIR/replies")"
	# oneway: no answer comes.
	"$VARLINK" "$PROCSNAP_SOCKET" 'send={"method":"io.procsnap.Status","oneway":true}' \
		'send={"method":"org.varlink.service.GetInfo"}' half recv recv >"$DIR/replies"
	grep -q vendor "$DIR/replies"
	grep -qx closed "$DIR/replies"
}

@test "one who keeps descriptors on the way does not use up ours" {
	daemon_start
	daemon_stop
	(ulimit -Sn 1024 && exec "$BUILD/procsnapd" --store="$STORE" --socket="$PROCSNAP_SOCKET" \
		--config="$DIR/conf" 2>>"$DIR/log" 3>&- 4>&-) &
	DAEMON=$!
	STARTED+=("$DAEMON")
	wait_for daemon_answers
	local i actions=()
	for ((i = 0; i < 200; i++)); do
		actions+=(inherit=0 inherit=0 inherit=0 inherit=0 inherit=0 inherit=0 inherit=0
			inherit=0 'bytes={' again)
	done
	mkfifo "$DIR/in"
	(ulimit -n 4096 && exec setpriv --reuid=$DAEMON_USER --regid=$DAEMON_USER --clear-groups "$VARLINK" "$PROCSNAP_SOCKET" "${actions[@]}" say=full \
		wait) <"$DIR/in" >"$DIR/full" 3>&- &
	STARTED+=($!)
	exec {in}>"$DIR/in"
	wait_for grep -q full "$DIR/full"
	target_start simple
	dump
	expect 0
	exec {in}>&-
}

# ---- configuration ---------------------------------------------------------------------------

@test "reload takes a good configuration, and keeps the old one instead of a bad one" {
	daemon_start '[Store]' MaxUse=1G
	daemon_status_is storeMaxBytes $((1 << 30))
	daemon_config '[Store]' MaxUse=2G
	snapctl reload
	expect 0
	daemon_status_is storeMaxBytes $((2 << 30))
	daemon_config '[Store]' MaxUse=3G MaxAge=soon
	snapctl reload
	expect $EX_USAGE
	error_has "$DIR/conf:5" MaxAge
	daemon_status_is storeMaxBytes $((2 << 30))
	rm "$DIR/conf"
	snapctl reload
	[ "$status" != 0 ]
	daemon_status_is storeMaxBytes $((2 << 30))
	# By a signal.
	daemon_config '[Store]' MaxUse=4G Unknown=1
	kill -HUP "$DAEMON"
	wait_for daemon_status_is storeMaxBytes $((4 << 30))
	log_has Unknown
	daemon_config '[Store]' MaxUse=x
	kill -HUP "$DAEMON"
	wait_for log_has 'stays as it was'
	daemon_status_is storeMaxBytes $((4 << 30))
	daemon_lives
}

@test "a reload does not disturb jobs" {
	daemon_start '[Limits]' MaxJobs=1
	target_start simple
	occupy
	"$SNAPCTL" dump -o "$CORE" "$PID" >/dev/null 3>&- &
	local client=$!
	STARTED+=("$client")
	wait_for daemon_status_is waitingJobs 1
	daemon_config '[Limits]' MaxJobs=2 MaxJobsPerUser=2
	snapctl reload
	expect 0
	wait "$client"
	well_formed
	never gone "$OCCUPIER"
	unharmed
}

@test "the command line of the daemon" {
	need_root
	local p=$BUILD/procsnapd end=0
	[[ $("$p" --help) == Usage:* ]]
	[[ $("$p" --version) == procsnapd\ * ]]
	"$p" --nothing 2>/dev/null || end=$?
	[ $end = $EX_USAGE ]
	end=0
	"$p" argument 2>/dev/null || end=$?
	[ $end = $EX_USAGE ]
	end=0
	setpriv --reuid=12345 --regid=12345 --clear-groups "$p" 2>/dev/null || end=$?
	[ $end = $EX_DENIED ]
	echo '[Limits]
MaxJobs=none' >"$DIR/conf"
	end=0
	"$p" --config="$DIR/conf" --store="$DIR/s" --socket="$DIR/socket" 2>"$DIR/said" || end=$?
	[ $end = $EX_USAGE ]
	grep -q "$DIR/conf:2" "$DIR/said"
	end=0
	"$p" --config="$DIR/nothing" --store="$DIR/s" --socket="$DIR/socket" 2>"$DIR/said" || end=$?
	[ $end != 0 ]
	# A file that is no socket is not removed.
	echo precious >"$DIR/precious"
	: >"$DIR/conf"
	end=0
	timeout 20 "$p" --config="$DIR/conf" --store="$DIR/s" --socket="$DIR/precious" \
		2>"$DIR/said" || end=$?
	[ $end = $EX_FAILED ]
	[ "$(cat "$DIR/precious")" = precious ]
}

@test "a second daemon, and the socket of one that is gone" {
	daemon_start
	local end=0
	"$BUILD/procsnapd" --store="$DIR/other" --socket="$PROCSNAP_SOCKET" --config="$DIR/conf" \
		2>"$DIR/said" || end=$?
	[ $end = $EX_FAILED ]
	grep -q 'another procsnapd' "$DIR/said"
	# Another socket, the same store.
	"$BUILD/procsnapd" --store="$STORE" --socket="$DIR/socket2" --config="$DIR/conf" \
		2>"$DIR/log2" 3>&- &
	local second=$!
	STARTED+=("$second")
	wait_for test -S "$DIR/socket2"
	wait_for grep -q 'no dump can be stored' "$DIR/log2"
	end_child "$second"
	kill -KILL "$DAEMON"
	wait "$DAEMON" || true
	[ -S "$PROCSNAP_SOCKET" ]
	daemon_again
	# In a folder that is made, which others reach.
	daemon_stop
	PROCSNAP_SOCKET=$DIR/run/socket
	daemon_again
	user_snapctl status
	expect 0
}

@test "sockets that are passed to it" {
	need_command systemd-socket-activate
	need_root
	need_command jq
	STORE=$DIR/store
	chmod 755 "$DIR"
	export PROCSNAP_SOCKET=$DIR/socket
	daemon_config
	systemd-socket-activate -l "$PROCSNAP_SOCKET" "$BUILD/procsnapd" --store="$STORE" \
		--config="$DIR/conf" --socket="$DIR/unused" 2>"$DIR/log" 3>&- 4>&- &
	DAEMON=$!
	STARTED+=("$DAEMON")
	wait_for test -S "$PROCSNAP_SOCKET"
	target_start simple
	dump
	expect 0
	log_has "process $PID"
	[ ! -e "$DIR/unused" ]
	daemon_stop
}

# ---- snapctl ---------------------------------------------------------------------------------

@test "without a daemon snapctl works alone" {
	need_command jq
	target_start simple
	export PROCSNAP_SOCKET=$DIR/nobody
	dump
	expect 0
	rm "$CORE"
	: >"$PROCSNAP_SOCKET"
	dump
	expect 0
	rm "$CORE"
	snapctl dump --store "$PID"
	expect $EX_FAILED
	error_has "$PROCSNAP_SOCKET" 'does not answer'
	local verb
	for verb in list status reload 'remove abcd' 'get abcd' 'debug abcd'; do
		# shellcheck disable=SC2086 # words
		snapctl $verb
		expect $EX_FAILED
		error_has 'does not answer'
	done
	snapctl dump --store --direct "$PID"
	expect $EX_FAILED
	snapctl dump --store -o x "$PID"
	expect $EX_USAGE
	only_files
	unharmed
}

@test "--direct does not ask the daemon" {
	daemon_start
	target_start simple
	dump --direct
	expect 0
	never grep "process $PID" "$DIR/log"
	dump
	expect 0
	grep -q "process $PID" "$DIR/log"
}

without_times() {
	sed -E 's/ at [A-Z][a-z]{2} .* UTC/ at T/; s/[0-9.]+ (ms|us|s|min)\b/T/g'
}

@test "goroutines through the daemon are those of --direct" {
	daemon_start
	target_start goprof
	snapctl goroutines "$PID"
	expect 0
	local through=$output
	log_has goroutines
	PROCSNAP_SOCKET=$DIR/nobody snapctl goroutines "$PID"
	expect 0
	diff <(without_times <<<"$through") <(without_times <<<"$output")
	# Of a dump in the store, and what info says of it.
	snapctl dump --store -q --json "$PID"
	expect 0
	local id
	id=$(field .id)
	snapctl goroutines "$id"
	expect 0
	[[ $output == *goroutine* ]]
	snapctl info "$id"
	expect 0
	[[ $output == *goroutine* ]]
	user_snapctl goroutines "$PID"
	expect $EX_DENIED
	unharmed
}

@test "debug starts a debugger on a dump" {
	need_command gdb
	daemon_start
	target_start simple
	snapctl dump --store -q --json "$PID"
	expect 0
	local id
	id=$(field .id)
	mkdir "$DIR/bin"
	cat >"$DIR/bin/gdb" <<-END
		#!/bin/sh
		printf '%s\n' "\$@" >'$DIR/arguments'
		cp /proc/self/fd/"\${4##*/}" '$CORE' 2>/dev/null || cat "\$3" >'$CORE'
		exit 3
	END
	chmod 755 "$DIR/bin/gdb"
	status=0
	PATH=$DIR/bin:$PATH "$SNAPCTL" debug "$id" gdb || status=$?
	[ "$status" = 3 ] # the debugger's
	[ "$(sed -n 1p "$DIR/arguments")" = "$BUILD/targets/simple" ]
	verify_content
	rm "$CORE"
	printf 'info threads\nquit\n' >"$DIR/commands"
	status=0
	"$SNAPCTL" debug "$id" gdb <"$DIR/commands" >"$DIR/said" 2>&1 || status=$?
	grep -q 'chain_futex\|level5\|Thread' "$DIR/said" || fail "$(cat "$DIR/said")"
	PATH=$DIR/bin:$PATH snapctl debug --exe=/bin/true "$id" gdb
	[ "$(sed -n 1p "$DIR/arguments")" = /bin/true ]
	only_files core
	snapctl debug "$id" no-such-debugger
	expect $EX_FAILED
	error_has no-such-debugger
}

@test "uncompressed in the store" {
	daemon_start '[Store]' Compress=0
	target_start simple
	snapctl dump --store -q --json "$PID"
	expect 0
	local path
	path=$(field .path)
	[[ $path != *.zst ]]
	cp "$path" "$CORE"
	verify_content
	snapctl get -f -o "$CORE" "$(field .id)"
	expect 0
	verify_content
	store_has 1
}
