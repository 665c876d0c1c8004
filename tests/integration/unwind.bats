#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# procsnap-unwind finds the frames that eu-stack and gdb find, says of them what systemd-coredump
# says, and whatever a core has in it costs the stacks at worst.

load common

CRASH=$BATS_TEST_DIRNAME/../targets/crash.c
TESTTOOLS=$BATS_TEST_DIRNAME/../tools

setup_file() {
	[ -x "$BUILD/tests/drivers/stacks" ] || skip "tests/drivers/stacks is not built: make tests"
}

# The driver finds the unwinder beside itself.
stacks() {
	[ -e "$DIR/bin" ] || {
		mkdir "$DIR/bin"
		cp "$BUILD/procsnap-unwind" "$BUILD/tests/drivers/stacks" "$DIR/bin"
	}
	"$DIR/bin/stacks" "$@"
}

# An unwinder that does something else.
instead() { # SCRIPT
	stacks --no-files /dev/null 2>/dev/null || true
	printf '#!/bin/bash\n%s\n' "$1" >"$DIR/bin/procsnap-unwind"
}

# Builds the program: PROGRAM is its path.
build_crash() { # [FLAG...]
	need_command "${CC:-cc}"
	PROGRAM=$DIR/crash
	"${CC:-cc}" -pthread "$@" -o "$PROGRAM" "$CRASH" 2>"$DIR/cc.log" ||
		skip "cannot be built here: $(head -n 1 "$DIR/cc.log")"
}

# Lets it crash, and takes its core: that of the kernel, or of gdb where the kernel gives them to
# somebody else.
core_of() { # [ARGUMENT...]
	rm -f "$CORE" "$OUT"/core.*
	if [ "$(cat /proc/sys/kernel/core_pattern)" = core ]; then
		(ulimit -c unlimited && exec "$PROGRAM" "$@") >/dev/null 2>&1 3>&- || true
		[ -s "$CORE" ] || mv "$OUT"/core.* "$CORE"
	else
		need_command gdb
		gdb -nx -batch -ex 'handle SIGUSR1 nostop' -ex run -ex "generate-core-file $CORE" \
			--args "$PROGRAM" "$@" >/dev/null 2>&1 </dev/null 3>&-
	fi
	[ -s "$CORE" ] || skip "the kernel writes no core here"
}

# "TID PC SYMBOL MODULE" for each frame, in the order of the threads' numbers.
our_frames() {
	jq -r '.threads | sort_by(.tid)[] | .tid as $t | .frames[] |
		"\($t) \(.pc) \(.symbol // "-") \(.module // "-")"' "$DIR/json" |
		while read -r tid pc symbol module; do
			printf '%d 0x%x %s %s\n' "$tid" "$pc" "$symbol" "$module"
		done
}

# The same as eu-stack has it, without modules.
eu_frames() {
	eu-stack -n 64 --core "$CORE" "$@" 2>/dev/null |
		awk '/^TID/ { tid = $2 + 0 }
			/^#/ { pc = $2; sub(/^0x0*/, "0x", pc); name = $NF
				if (NF == 2 || $3 == "-") name = "-"
				print tid, pc, name }' | sort -s -n -k 1,1
}

FUNCTIONS='read_at|middle|outer|down|on_signal|wait_below|run|main'

# Both must have found the same frames, and of the program, the same names.
agree() { # NAME ROWS OTHER-FRAMES
	local said
	said=$(diff -u --label ours --label "$1" <(our_frames | cut -d ' ' -f 1,2) \
		<(cut -d ' ' -f 1,2 <<<"$3")) || fail "$said"
	[ "$(wc -l <<<"$3")" -ge "$2" ] || fail "only $(wc -l <<<"$3") frames"
	# Others have other names for what libc calls by several.
	said=$(paste -d ' ' - <(our_frames) <<<"$3" | awk -v known="^($FUNCTIONS)$" \
		'$7 ~ /\/crash$/ && $6 ~ known && $3 != $6')
	[ -z "$said" ] || fail "$said"
}

# All of it, for a program built with FLAGS.
compare() { # HOW THREADS ROWS FLAG...
	need_command jq eu-stack gdb
	build_crash "${@:4}"
	core_of "$1" "$2"
	stacks "$CORE" >"$DIR/json"
	[ "$(jq -r .incomplete "$DIR/json")" = null ]
	[ "$(jq '.threads | length' "$DIR/json")" = $(($2 + 1)) ]
	agree eu-stack "$3" "$(eu_frames)"
	agree gdb "$3" "$("$TESTTOOLS/gdbframes" "$PROGRAM" "$CORE" | head -n 64000 | sort -s -n -k 1,1)"
}

@test "with debugging information: the frames of eu-stack and gdb" {
	compare null 0 6 -g -O0
	[ "$(jq -r '[.threads[0].frames[].symbol] | .[:5] | join(" ")' "$DIR/json")" = \
		"read_at middle outer down main" ]
}

@test "several threads: the one that crashed is the first" {
	compare null 7 40 -g -O0
	[ "$(jq -r '.threads[0].frames[0].symbol' "$DIR/json")" = read_at ]
	[ "$(jq -r '[.threads[1:][].frames[] | select(.symbol == "wait_below")] | length' \
		"$DIR/json")" = $((1 + 2 + 3 + 4 + 5 + 6 + 1)) ]
}

@test "optimised, with debugging information: the frames of eu-stack and gdb" {
	compare null 3 20 -g -O1
}

@test "no debugging information: the frames of eu-stack and gdb" {
	compare null 3 20 -O0
	compare null 3 20 -O2
}

@test "stripped: the frames of eu-stack and gdb, and no names" {
	compare null 3 20 -O0 -s
	[ "$(jq -r '.threads[0].frames[0] | .symbol, .module_offset > 0' "$DIR/json")" = $'null\ntrue' ]
}

@test "abort(): the frames of eu-stack and gdb" {
	compare abort 2 15 -g -O0
}

@test "a crash in the handler of a signal: what was interrupted, too" {
	compare handler 1 12 -g -O0
	[ "$(jq -r '[.threads[0].frames[] | .symbol] | .[:4] | join(" ")' "$DIR/json")" = \
		"read_at middle outer on_signal" ]
	[ "$(jq '[.threads[0].frames[] | select(.signal)] | length' "$DIR/json")" -ge 1 ]
	[ "$(jq '.threads[0].frames[0].signal' "$DIR/json")" = null ]
}

@test "position independent or not, static or not" {
	compare null 1 10 -g -O0 -no-pie
	compare null 1 10 -g -O0 -static
}

@test "offsets: those of the symbol and of the module" {
	need_command jq gdb
	build_crash -g -O0
	core_of null
	stacks "$CORE" >"$DIR/json"
	local pc
	pc=$(printf '0x%x' "$(jq '.threads[0].frames[1].pc' "$DIR/json")")
	[[ $(gdb -nx -batch -ex "info symbol $pc" "$PROGRAM" "$CORE" 2>/dev/null) == \
		*"middle + $(jq '.threads[0].frames[1].symbol_offset' "$DIR/json") in section"* ]]
	# Addresses in the file are offsets in memory.
	gdb -nx -batch -ex "info symbol $(jq '.threads[0].frames[1].module_offset' "$DIR/json")" \
		"$PROGRAM" 2>/dev/null | grep '^middle + '
}

# -- What systemd-coredump says ------------------------------------------------------------------

need_systemd() {
	local path
	need_root
	need_command python3 unshare
	chmod 755 "$DIR" # it gives up root
	for path in /lib/systemd/systemd-coredump \
		"${PROCSNAP_GO_CACHE:-/var/cache/procsnap-tests}/coredumpctl/lib/systemd/systemd-coredump"; do
		[ ! -x "$path" ] || SYSTEMD=$path
	done
	[ -n "${SYSTEMD:-}" ] || skip "no systemd-coredump: tests/tools/fetch-coredumpctl"
}

systemd_says() { # FIELD
	local status=0
	"$TESTTOOLS/systemd-stacks" "$SYSTEMD" "$CORE" "$PROGRAM" "$1" >"$DIR/said" 2>"$DIR/err" \
		3>&- || status=$?
	[ $status != 77 ] || skip "$(cat "$DIR/said")"
	[ $status = 0 ] || fail "$(cat "$DIR/err")"
}

# 252 calls the program by the last part of its name, 257 by all of it.
short_names() {
	sed -E "s|$PROGRAM|crash|"
}

same_as_systemd() {
	systemd_says MESSAGE
	diff -u --label systemd-coredump --label ours <(tail -n +3 "$DIR/said" | short_names) \
		<(stacks --text "$CORE" | short_names)
	[ "$(wc -l <"$DIR/said")" -gt 5 ]
}

@test "systemd-coredump: the same text" {
	need_systemd
	build_crash -g -O2
	core_of null 3
	same_as_systemd
	build_crash -O0 -s
	core_of handler 80
	same_as_systemd
	[ "$(grep -c '^Stack trace of thread' "$DIR/said")" = 64 ]
	core_of deep 1
	same_as_systemd
	grep -q '^#63 ' "$DIR/said"
	build_crash -O0 -static -Wl,--build-id=none
	core_of abort 1
	same_as_systemd
	grep -q '^Module .* without build-id.$' "$DIR/said"
}

PACKAGE='{"type":"deb","os":"debian","name":"hello","version":"2.10-3","architecture":"amd64",
	"osCpe":"cpe:/o:debian"}'

@test "package metadata: as the program has them" {
	need_command jq
	build_crash -O0 -Xlinker "--package-metadata=${PACKAGE//[$'\n\t']/}"
	core_of null
	stacks "$CORE" >"$DIR/json"
	[ "$(jq -c '.modules[] | select(.path == "'"$PROGRAM"'").package' "$DIR/json")" = \
		"${PACKAGE//[$'\n\t']/}" ]
	stacks --text "$CORE" | grep -qx "Module $PROGRAM from deb hello-2.10-3.amd64"
	[ "$(stacks --package="name:$PROGRAM" "$CORE")" = hello ]
	[ "$(stacks --package="version:$PROGRAM" "$CORE")" = 2.10-3 ]
	# Also when the file is gone.
	rm "$PROGRAM"
	stacks --text "$CORE" | grep -qx "Module $PROGRAM from deb hello-2.10-3.amd64"
}

@test "package metadata: the same JSON as systemd-coredump" {
	need_systemd
	build_crash -O0 -Xlinker "--package-metadata=${PACKAGE//[$'\n\t']/}"
	core_of null
	systemd_says COREDUMP_PACKAGE_JSON
	diff -u <(short_names <"$DIR/said" && echo) <(stacks --packages "$CORE" | short_names)
	systemd_says COREDUMP_PACKAGE_NAME
	[ "$(cat "$DIR/said")" = "$(stacks --package="name:$PROGRAM" "$CORE")" ]
	systemd_says COREDUMP_PACKAGE_VERSION
	[ "$(cat "$DIR/said")" = "$(stacks --package="version:$PROGRAM" "$CORE")" ]
	systemd_says MESSAGE
	same_as_systemd
}

# -- Files ---------------------------------------------------------------------------------------

@test "build IDs: those that eu-unstrip lists" {
	need_command jq eu-unstrip
	build_crash -O0
	core_of null
	stacks "$CORE" >"$DIR/json"
	diff -u <(eu-unstrip -n --core "$CORE" | sed -nE 's/^[^ ]+ ([0-9a-f]{6,})@.*/\1/p' | sort) \
		<(jq -r '.modules[].build_id | strings' "$DIR/json" | sort)
}

@test "debugging information in a file of its own, by build ID and by link" {
	need_command jq objcopy readelf
	local id folder
	build_crash -g -O0
	objcopy --only-keep-debug "$PROGRAM" "$DIR/crash.debug"
	objcopy --strip-all --add-gnu-debuglink="$DIR/crash.debug" "$PROGRAM"
	core_of null
	[ "$(stacks "$CORE" | jq -r '.threads[0].frames[0].symbol')" = read_at ]
	rm "$DIR/crash.debug"
	[ "$(stacks "$CORE" | jq -r '.threads[0].frames[0].symbol')" = null ]

	need_root
	build_crash -g -O0
	id=$(readelf -n "$PROGRAM" | sed -n 's/.*Build ID: //p')
	folder=/usr/lib/debug/.build-id/${id:0:2}
	mkdir -p "$folder"
	at_end "rm -f '$folder/${id:2}.debug'; rmdir --ignore-fail-on-non-empty '$folder'"
	objcopy --only-keep-debug "$PROGRAM" "$folder/${id:2}.debug"
	objcopy --strip-all "$PROGRAM"
	core_of null
	[ "$(stacks "$CORE" | jq -r '.threads[0].frames[0].symbol')" = read_at ]
}

@test "another file has its name: it is not believed" {
	need_command jq
	build_crash -g -O0 -Wl,--build-id=0x1122334455667788
	core_of null
	"${CC:-cc}" -pthread -g -O0 -Wl,--build-id=0x99aabbccddeeff00 -o "$PROGRAM" "$CRASH"
	stacks "$CORE" >"$DIR/json"
	[ "$(jq -r '.threads[0].frames[0].symbol' "$DIR/json")" = null ]
	[ "$(jq -r '.modules[] | select(.path == "'"$PROGRAM"'").build_id' "$DIR/json")" = 1122334455667788 ]
	# The file that the user names is, if it is the one.
	build_crash -g -O0 -Wl,--build-id=0x1122334455667788
	mv "$PROGRAM" "$DIR/elsewhere"
	stacks --exe="$DIR/elsewhere" "$CORE" >"$DIR/json"
	[ "$(jq -r '.threads[0].frames[0].symbol' "$DIR/json")" = read_at ]
}

@test "no files at all: modules and addresses, no names" {
	need_command jq
	build_crash -g -O0
	core_of null 2
	stacks --no-files --log="$DIR/log" "$CORE" >"$DIR/json"
	[ "$(jq '.threads | length' "$DIR/json")" = 3 ]
	[ "$(jq -r '.threads[0].frames[0] | .symbol, .module' "$DIR/json")" = $'null\n'"$PROGRAM" ]
	grep -q "^$PROGRAM .* program No such file" "$DIR/log"
}

# -- Limits --------------------------------------------------------------------------------------

@test "many threads: so many of them, and a word that there are more" {
	need_command jq
	build_crash -g -O0
	core_of null 3000
	stacks "$CORE" >"$DIR/json"
	[ "$(jq -c '[(.threads | length), .threads_total]' "$DIR/json")" = '[64,3001]' ]
	[ "$(jq -r .incomplete "$DIR/json")" = "there are more threads than were asked for" ]
	[ "$(jq -r '.threads[0].frames[0].symbol' "$DIR/json")" = read_at ]
	stacks --threads=5000 "$CORE" >"$DIR/json"
	[ "$(jq -c '[(.threads | length), .threads_total, .incomplete]' "$DIR/json")" = '[3001,3001,null]' ]
	[ "$(jq '[.threads[1:][] | select(any(.frames[]; .symbol == "wait_below"))] | length' \
		"$DIR/json")" = 3000 ]
}

@test "a deep stack: so many frames, and a word that there are more" {
	need_command jq
	build_crash -g -O0
	core_of deep
	stacks "$CORE" >"$DIR/json"
	[ "$(jq -c '.threads[0] | [(.frames | length), .more]' "$DIR/json")" = '[64,true]' ]
	stacks --frames=1000 "$CORE" >"$DIR/json"
	[ "$(jq '[.threads[0].frames[] | select(.symbol == "down")] | length' "$DIR/json")" = 201 ]
	[ "$(jq -c '.threads[0].more' "$DIR/json")" = null ]
}

@test "an unwinder that does not end: an error in time" {
	build_crash -O0
	core_of null
	instead 'exec sleep 1000'
	run stacks --seconds=1 "$CORE"
	[ "$status" = 1 ]
	[[ $output == *'took too long'* ]]
}

@test "an unwinder that dies: what it had said by then" {
	need_command jq
	build_crash -O0
	core_of null
	instead "echo '{\"thread\":{\"tid\":5,\"frames\":[{\"pc\":1}]}}'; kill -SEGV \$\$"
	stacks "$CORE" >"$DIR/json"
	[ "$(jq -c '[.threads[0].tid, .incomplete]' "$DIR/json")" = \
		'[5,"the analysis ended with signal 11 (Segmentation fault)"]' ]
	instead "kill -SEGV \$\$"
	run stacks "$CORE"
	[ "$status" = 1 ]
	[[ $output == *'ended with signal 11'* ]]
}

@test "what is no core: an error" {
	printf 'text' >"$CORE"
	run stacks "$CORE"
	[ "$status" = 1 ]
	[[ $output == *'this is no core'* ]]
	run stacks "$BUILD/procsnap-unwind"
	[ "$status" = 1 ]
	[[ $output == *'this is no core'* ]]
}

@test "hostile cores: an error at worst" {
	local file n=0 status
	for file in "$BATS_TEST_DIRNAME"/../fuzz/corpus/{core,elf,analyze,unwind,dwarf,cfi}/*; do
		status=0
		stacks --seconds=60 "$file" >"$DIR/json" 2>"$DIR/err" || status=$?
		[ $status = 0 ] || { [ $status = 1 ] && [ -s "$DIR/err" ]; } ||
			fail "$file: status $status" "$(cat "$DIR/err")"
		n=$((n + 1))
	done
	[ "$n" -gt 20 ]
}

# Bytes of a good core, one in so many, become others: the same ones each time.
@test "spoilt cores: an error at worst" {
	need_command python3
	local seed status
	build_crash -g -O0
	core_of null 2
	for seed in $(seq 60); do
		python3 - "$CORE" "$DIR/spoilt" "$seed" <<-'END'
			import random, sys
			data = bytearray(open(sys.argv[1], "rb").read())
			dice = random.Random(int(sys.argv[3]))
			# Headers and notes, where it hurts, and a little of the rest.
			for i in range(dice.randrange(1, 60)):
			    data[dice.randrange(min(len(data), 6000))] = dice.randrange(256)
			for i in range(dice.randrange(1, 400)):
			    data[dice.randrange(len(data))] = dice.choice((0, 255, dice.randrange(256)))
			data[:16] = open(sys.argv[1], "rb").read(16)
			if dice.random() < 0.2:
			    del data[dice.randrange(len(data)):]
			open(sys.argv[2], "wb").write(data)
		END
		status=0
		stacks --seconds=60 "$DIR/spoilt" >"$DIR/json" 2>"$DIR/err" || status=$?
		[ $status = 0 ] || { [ $status = 1 ] && [ -s "$DIR/err" ]; } ||
			fail "seed $seed: status $status" "$(cat "$DIR/err")"
	done
}
