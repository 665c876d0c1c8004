#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Debuggers that know nothing of procsnap read its cores, and see what they see in the live process
# and in the core that gdb's gcore writes of it.

load common
load readers

# program NAME: the file of a target.
program() {
	printf '%s\n' "$BUILD/targets/$1"
}

same() { # FILE FILE
	[ -s "$1" ] || fail "nothing to compare"
	diff "$1" "$2" >"$DIR/diff" || fail "they differ:" "$(head -n 20 "$DIR/diff")"
}

# Core, live process and gcore's core of a target that stands still, frame by frame.
backtraces_agree() { # PROGRAM
	frames "$1" "$CORE" >"$DIR/ours"
	frames "$1" "-p $PID" >"$DIR/live"
	same "$DIR/live" "$DIR/ours"
}

agree_with_gcore() { # PROGRAM [RANGE...]
	gcore_peer
	"$CORECHECK" compare "$CORE" "$PEER" "${@:2}"
	registers "$1" "$PEER" >"$DIR/peer"
	registers "$1" "$CORE" >"$DIR/ours"
	same "$DIR/peer" "$DIR/ours"
	frames "$1" "$PEER" >"$DIR/peer"
	frames "$1" "$CORE" >"$DIR/ours"
	same "$DIR/peer" "$DIR/ours"
}

quiet_target_agrees() { # NAME ARGUMENT...
	need_command gdb gcore
	target_start "$@"
	hold_still
	dump
	expect 0
	agree_with_gcore "$(program "$1")"
	backtraces_agree "$(program "$1")"
	well_formed
	go_on
}

@test "gdb: simple, as the live process and as gcore's core" {
	quiet_target_agrees simple --no-spin
	[ "$(grep -c 'level[1-5] (' "$DIR/ours")" = 15 ]
	grep -q 'level4 (which=2, half=2.5)' "$DIR/ours"
	grep -q 'level5 (which=0, word=0x[0-9a-f]* "five")' "$DIR/ours"
}

@test "gdb: simple, 32 bits" {
	quiet_target_agrees simple-32 --no-spin
	[ "$(grep -c 'level[1-5] (' "$DIR/ours")" = 15 ]
}

@test "gdb: 50 threads" {
	quiet_target_agrees threads 50
	[ "$(cut -d' ' -f1 "$DIR/ours" | sort -u | wc -l)" = 51 ]
}

@test "gdb: gohttp" {
	quiet_target_agrees gohttp -spin=false
}

# gcore gives up on a mapping at the first page of it that cannot be read, so it has no stack here.
@test "gdb: memory, with a guard page in a stack" {
	need_command gdb
	target_start memory
	hold_still
	dump
	expect_dumped
	backtraces_agree "$(program memory)"
	grep -q "^$(key stack_tid) #[0-9]* in_read " "$DIR/ours"
	go_on
}

@test "gdb: zombie-leader, which gcore cannot dump" {
	need_command gdb
	target_start zombie-leader
	dump
	expect 0
	frames "$(program zombie-leader)" "$CORE" >"$DIR/ours"
	local tid
	for tid in control_tid reader_tid counter_tid; do
		grep -q "^$(key $tid) #[0-9]* .*start_thread" "$DIR/ours"
	done
	# From each thread to the bottom of its stack, as /proc knows where it sleeps.
	grep -q "^$(key reader_tid) #.* in_read (" "$DIR/ours"
	unharmed
}

@test "gdb: variables, strings, thread-local storage and a mutex" {
	need_command gdb
	target_start simple --no-spin
	dump
	expect 0
	gdb_on "$(program simple)" "$CORE" 'print simple_int' 'print simple_double' \
		'print simple_string' 'print/x simple_data[1]' 'info threads' >"$DIR/said"
	grep -q '= 42$' "$DIR/said"
	grep -q '= 2.5$' "$DIR/said"
	grep -q '"procsnap simple target"' "$DIR/said"
	# Thread 1 is the leader.
	grep -qE '^\* 1 .*LWP '"$PID"'\)' "$DIR/said"
	local tid n=0
	for tid in futex_tid read_tid sleep_tid; do
		gdb_on "$(program simple)" "$CORE" "thread find LWP $(key $tid)" >"$DIR/said"
		gdb_on "$(program simple)" "$CORE" \
			"thread $(sed -nE 's/^Thread ([0-9]+) has.*/\1/p' "$DIR/said" | head -n 1)" \
			'print simple_tls' 'print/d simple_tls - 0x71500000' \
			'up 3' 'info locals' >"$DIR/said"
		grep -q "= $n\$" "$DIR/said"
		n=$((n + 1))
	done
	# A mutex of the C library: the lock of stdin's FILE.
	gdb_on "$(program simple)" "$CORE" 'print target_base.nthreads' >"$DIR/said"
	grep -q '= 4$' "$DIR/said"
}

# ---- pid namespaces ----------------------------------------------------------------------------

# The kernel writes the numbers that a process has inside, and in its memory are the same: by them
# gdb finds what it knows of a thread. With others it takes them for twice as many threads.
@test "gdb: in a pid namespace each thread once, as in the kernel's own core" {
	need_command gdb
	target_start_inside threads 20
	target_ok # the last command is in its memory
	dump --json
	expect 0
	well_formed
	[ "$(field .pid)" = "$PID" ]
	tids_inside "$PID" >"$DIR/tids"
	[ "$(wc -l <"$DIR/tids")" = 21 ]
	mv "$CORE" "$DIR/ours.core"
	listed "$(program threads)" "$DIR/ours.core" >"$DIR/ours"
	[ "$(grep -c unavailable "$DIR/ours")" = 0 ]
	grep -oE 'LWP [0-9]+' "$DIR/ours" | cut -d' ' -f2 | sort -n >"$DIR/said"
	same "$DIR/tids" "$DIR/said"
	"$CORECHECK" note "$DIR/ours.core" | awk '/^thread / { print $2 }' | sort -n >"$DIR/said"
	ls "/proc/$PID/task" | sort -n >"$DIR/tids"
	same "$DIR/tids" "$DIR/said"
	target_ok
	frames "$(program threads)" "$DIR/ours.core" >"$DIR/ours.frames"
	"$CORECHECK" ids "$DIR/ours.core" | sort >"$DIR/ours.ids"
	grep -qx 'process 2 1 2 2' "$DIR/ours.ids"

	plain_cores || skip "the kernel's own core: core_pattern cannot be set"
	kernel_peer
	listed "$(program threads)" "$PEER" >"$DIR/peer"
	same "$DIR/peer" "$DIR/ours"
	frames "$(program threads)" "$PEER" >"$DIR/peer.frames"
	same "$DIR/peer.frames" "$DIR/ours.frames"
	"$CORECHECK" ids "$PEER" | sort >"$DIR/peer.ids"
	same "$DIR/peer.ids" "$DIR/ours.ids"
}

@test "gdb: in a pid namespace, 32 bits" {
	need_command gdb
	target_start_inside threads-32 5
	dump
	expect 0
	well_formed
	[ "$("$CORECHECK" ids "$CORE" | sort -n -k 2 | head -n 1)" = 'process 2 1 2 2' ]
	tids_inside "$PID" >"$DIR/tids"
	listed "$(program threads-32)" "$CORE" >"$DIR/ours"
	[ "$(grep -c unavailable "$DIR/ours")" = 0 ]
	grep -oE 'LWP [0-9]+' "$DIR/ours" | cut -d' ' -f2 | sort -n >"$DIR/said"
	same "$DIR/tids" "$DIR/said"
	target_ok
}

@test "gdb: in a pid namespace, thread-local storage" {
	need_command gdb
	target_start_inside simple --no-spin
	dump
	expect 0
	local tid n=0
	for tid in futex_tid read_tid sleep_tid; do
		gdb_on "$(program simple)" "$CORE" "thread find LWP $(key $tid)" >"$DIR/said"
		[ "$(grep -c '^Thread' "$DIR/said")" = 1 ]
		gdb_on "$(program simple)" "$CORE" \
			"thread $(sed -nE 's/^Thread ([0-9]+) has.*/\1/p' "$DIR/said")" \
			'print/d simple_tls - 0x71500000' 'bt' >"$DIR/said"
		grep -q "= $n\$" "$DIR/said"
		grep -q "level5 (which=$n," "$DIR/said" # and it is the thread with that stack
		n=$((n + 1))
	done
	target_ok
}

@test "goroutines: of a core from a pid namespace, with the numbers outside" {
	target_start_inside gohttp -spin=false
	dump
	expect 0
	"$CORECHECK" note "$CORE" | awk '/^thread / { print $2 }' | sort >"$DIR/tids"
	snapctl goroutines --json "$CORE"
	expect 0
	[[ $output == *'"pid":'$PID,* ]]
	grep -oE '"tid":[0-9]+' <<<"$output" | cut -d: -f2 | sort -u >"$DIR/said"
	[ -s "$DIR/said" ]
	[ -z "$(comm -13 "$DIR/tids" "$DIR/said")" ]
	target_ok
}

# The values that the thread keeps in its registers are in tests/targets/README.md.
@test "gdb: all registers of a thread that runs" {
	need_command gdb
	target_start simple
	local i tid n where
	tid=$(key regs_tid)
	for ((i = 0; i < 20; i++)); do
		dump
		expect 0
		gdb_on "$(program simple)" "$CORE" "thread find LWP $tid" >"$DIR/said"
		n=$(sed -nE 's/^Thread ([0-9]+) has.*/\1/p' "$DIR/said" | head -n 1)
		where=$(gdb_on "$(program simple)" "$CORE" "thread $n" \
			'print (long)$pc >= (long)&regs_spin_loop && (long)$pc < (long)&regs_spin_end' |
			sed -n 's/^\$1 = //p')
		[ "$where" != 1 ] || break
	done
	[ "$where" = 1 ] || fail "the thread was never in its loop"
	gdb_on "$(program simple)" "$CORE" "thread $n" 'print/x $rax' 'print/x $rbx' \
		'print/x $rdx' 'print/x $rbp' 'print/x $r8' 'print/x $r15' 'print/x $eflags & 0xcd5' \
		'print/x $mxcsr' 'print/x $fctrl' 'print/x $xmm3.v16_int8[5]' \
		'print/x $xmm15.v16_int8[15]' 'print/x *(char *)$rsi == 0' >"$DIR/said"
	local want
	for want in 'a0a0a0a0a0a0a0a0' 'a1a1a1a1a1a1a1a1' 'a2a2a2a2a2a2a2a2' 'a3a3a3a3a3a3a3a3' \
		'a4a4a4a4a4a4a4a4' 'abababababababab' 'cd5' 'ff80' 'b7f' '35' 'ff'; do
		grep -q "= 0x$want\$" "$DIR/said" || fail "no 0x$want in" "$(cat "$DIR/said")"
	done
	if [ "$(key avx)" = 1 ]; then
		gdb_on "$(program simple)" "$CORE" "thread $n" 'print/x $ymm7.v32_int8[20]' |
			grep -q '= 0x74$'
	fi
	gdb_on "$(program simple)" "$CORE" "thread $n" 'info registers st2' |
		grep -q 'raw 0x40018000cafe00000002'
}

@test "gdb: a core with the programs in it needs no file" {
	need_command gdb
	cp "$(program simple)" "$OUT/gone"
	target_start "$OUT/gone" --no-spin
	dump --with-binaries
	expect 0
	local main
	main=$(gdb_on "$OUT/gone" "$CORE" 'info address main' |
		sed -nE 's/^Symbol "main" is .* (0x[0-9a-f]+)\.$/\1/p')
	gdb_on "$OUT/gone" "$CORE" "x/12i $main" | sed 's/<[^>]*>//; s/ *#.*//' |
		sed -nE 's/^.*0x[0-9a-f]+ *:\t//p' >"$DIR/with"
	rm "$OUT/gone"
	gdb_on '' "$CORE" "x/12i $main" | sed 's/<[^>]*>//; s/ *#.*//' |
		sed -nE 's/^.*0x[0-9a-f]+ *:\t//p' >"$DIR/without"
	[ "$(wc -l <"$DIR/without")" = 12 ]
	sed -i 's/ *<.*//' "$DIR/with" "$DIR/without"
	same "$DIR/with" "$DIR/without"
	# Without the option the text is not there.
	dump
	[ "$("$CORECHECK" dumped "$CORE" "$main" 12)" = 0 ]
	# The library is in the core with its build-id.
	need_command eu-unstrip
	eu-unstrip -n --core "$CORE" | grep -q 'libc'
}

@test "elfutils: readelf, unstrip and stack" {
	need_command eu-readelf eu-stack eu-unstrip
	local name
	for name in simple simple-32 threads zombie-leader gohttp; do
		[ -x "$(program $name)" ] || continue
		target_start $name
		dump
		expect 0
		well_formed
		eu-readelf -n "$CORE" >"$DIR/notes"
		[ "$(grep -c PRSTATUS "$DIR/notes")" = "$(note threads)" ]
		eu-unstrip -n --core "$CORE" | grep -q "$name"
		target_quit
	done
	target_start simple --no-spin
	dump
	eu-stack -e "$(program simple)" --core "$CORE" >"$DIR/stack"
	[ "$(grep -c '^TID' "$DIR/stack")" = 4 ]
	[ "$(grep -c 'level[1-5]' "$DIR/stack")" = 15 ]
	target_start zombie-leader
	dump
	eu-stack -e "$(program zombie-leader)" --core "$CORE" >"$DIR/stack"
	grep -q in_read "$DIR/stack"
	target_start threads 50
	dump
	eu-stack -e "$(program threads)" --core "$CORE" >"$DIR/stack"
	[ "$(grep -c '^TID' "$DIR/stack")" = 51 ]
}

@test "lldb: backtraces of all threads" {
	need_command lldb
	target_start simple --no-spin
	dump
	expect 0
	lldb --no-lldbinit -b -o 'bt all' "$(program simple)" -c "$CORE" >"$DIR/said" 2>/dev/null
	[ "$(grep -c 'level[1-5](' "$DIR/said")" = 15 ] ||
		[ "$(grep -c '`level[1-5]' "$DIR/said")" = 15 ]
	[ "$(grep -cE '^[* ] *thread #' "$DIR/said")" = 4 ]
	target_start threads 50
	dump
	lldb --no-lldbinit -b -o 'thread list' "$(program threads)" -c "$CORE" >"$DIR/said" 2>/dev/null
	[ "$(grep -cE '^[* ] *thread #' "$DIR/said")" = 51 ]
	target_start zombie-leader
	dump
	lldb --no-lldbinit -b -o 'bt all' "$(program zombie-leader)" -c "$CORE" >"$DIR/said" 2>/dev/null
	[ "$(grep -cE '^[* ] *thread #' "$DIR/said")" = 3 ]
	grep -q in_read "$DIR/said"
}

@test "lldb: 32 bits, as gcore's core" {
	need_command lldb gcore
	target_start simple-32 --no-spin
	hold_still
	dump
	gcore_peer
	local core
	# A line for each thread, since which one gdb writes first depends on its version.
	for core in "$CORE" "$PEER"; do
		lldb --no-lldbinit -b -o 'bt all' "$(program simple-32)" -c "$core" 2>/dev/null |
			sed 's/, stop reason = .*//; /^(lldb)\|^Core file/d; s/^  \*/   /' |
			awk '/^[* ] thread #/ { if (NR > 1) print ""; printf "thread"; next }
				{ printf "%s;", $0 } END { print "" }' | sort >"$DIR/said.${core##*/}"
	done
	[ "$(grep -c '^thread' "$DIR/said.core")" = 4 ]
	grep -q 'level5' "$DIR/said.core"
	same "$DIR/said.${PEER##*/}" "$DIR/said.core"
	go_on
}

@test "drgn: threads, stacks and memory" {
	need_command drgn
	target_start simple --no-spin
	dump
	expect 0
	cat >"$DIR/script.py" <<-'END'
		for thread in sorted(prog.threads(), key=lambda t: t.tid):
		    print("thread", thread.tid)
		    for frame in prog.stack_trace(thread.tid):
		        print("frame", thread.tid, frame.name)
		print("int", prog["simple_int"].value_())
	END
	drgn -q -c "$CORE" "$DIR/script.py" \
		>"$DIR/said" 2>"$DIR/why" || {
		grep -q 'No module\|ImportError' "$DIR/why" && skip "drgn does not work here"
		fail "drgn: $(cat "$DIR/why")"
	}
	[ "$(grep -c ^thread "$DIR/said")" = 4 ]
	grep -q '^int 42$' "$DIR/said"
	[ "$(grep -c 'level[1-5]' "$DIR/said")" = 15 ]
}

# ---- delve -------------------------------------------------------------------------------------

delve() { # CORE SCRIPT-FILE
	# Some versions print what they think of the XSAVE area. Which parts of it are in use is said
	# by the kernel in ours, and by gdb in its own.
	HOME=$DIR dlv core "$BUILD/targets/gohttp" "$1" --init "$2" --allow-non-terminal-interactive \
		</dev/null 2>&1 | sed '/^xcr0: /d'
}

@test "delve: the same answers from our core and gcore's" {
	need_command dlv gcore
	need_target gohttp
	target_start gohttp -spin=false
	hold_still
	dump
	expect 0
	gcore_peer
	cat >"$DIR/list" <<-END
		goroutines -t
		threads
		exit
	END
	delve "$CORE" "$DIR/list" >"$DIR/ours"
	delve "$PEER" "$DIR/list" >"$DIR/peer"
	same "$DIR/peer" "$DIR/ours"
	[ "$(grep -c '^[* ] *Goroutine [0-9]' "$DIR/ours")" -ge 100 ]

	# Each goroutine with its stack, and every frame's arguments and variables of some.
	local id frame
	{
		echo 'vars -v main'
		echo 'print main.config'
		echo 'whatis main.config'
		echo 'print main.answer'
		echo 'types main'
		for id in $(grep -o '^[* ] *Goroutine [0-9]*' "$DIR/ours" | grep -o '[0-9]*' | head -n 120); do
			echo "goroutine $id stack -full"
		done
		for id in $(grep -o '^[* ] *Goroutine [0-9]*' "$DIR/ours" | grep -o '[0-9]*' | tail -n 12); do
			for frame in 0 1 2; do
				echo "goroutine $id frame $frame list"
				echo "goroutine $id frame $frame args -v"
				echo "goroutine $id frame $frame locals -v"
			done
		done
		echo exit
	} >"$DIR/session"
	delve "$CORE" "$DIR/session" >"$DIR/ours"
	delve "$PEER" "$DIR/session" >"$DIR/peer"
	same "$DIR/peer" "$DIR/ours"
	! grep -q 'could not read\|unreadable' "$DIR/ours" || {
		# What gcore's core cannot tell either is not ours to tell.
		[ "$(grep -c 'unreadable' "$DIR/ours")" = "$(grep -c 'unreadable' "$DIR/peer")" ]
	}
	grep -q 'main\.' "$DIR/ours"
	go_on
	target_ok
	target_quit
}

@test "delve: a server under way, with a goroutine that runs" {
	need_command dlv
	need_target gohttp
	target_start gohttp -n 1000
	dump
	expect 0
	printf 'goroutines\nexit\n' >"$DIR/list"
	delve "$CORE" "$DIR/list" >"$DIR/ours"
	[ "$(grep -c '^[* ] *Goroutine [0-9]' "$DIR/ours")" -ge 1000 ]
	no grep -q 'error\|could not' "$DIR/ours"
	target_ok
	target_quit
}
