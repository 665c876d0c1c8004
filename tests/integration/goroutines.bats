#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# snapctl goroutines and snapctl info: every form of output, conditions, and cores that are not as they
# should be. golang.bats judges whether the goroutines themselves are right.

load common

# ---- what the tests need ---------------------------------------------------------------------

# go_start NAME [ARGUMENT...]: a target in Go, and its core.
go_start() {
	target_start "$@"
	dump -q
	expect_dumped
}

# show [OPTION...]: snapctl goroutines on the core. $output, $errors.
show() {
	snapctl goroutines "$@" "$CORE"
}

# JSON that jq reads as one object, whatever happened.
one_object() {
	[ "$(jq -cn '[inputs | type]' "$DIR/stdout")" = '["object"]' ] ||
		fail "no JSON object:" "$(head -c 500 "$DIR/stdout")" || return 1
}

# Nothing in it would move a terminal.
harmless() { # FILE...
	! LC_ALL=C grep -l $'[\x01-\x08\x0b-\x1f\x7f]' "$@" || fail "control characters" || return 1
}

# Stacks of a profile, one a line: "ADDRESS FUNCTION FILE:LINE;... COUNT". Equal stacks are added up,
# as groups may tell states apart and the runtime tells labels apart; whoever asks for a profile by HTTP
# is not in the core.
stacks() { # PROFILE
	go tool pprof -traces -addresses "$1" 2>/dev/null | awk '
		function flush() { if (n) sum[stack] += n; n = 0; stack = "" }
		/^-----/ { flush(); next }
		!n && $1 ~ /^[0-9]+$/ && $2 ~ /^[0-9a-f]+$/ { n = $1; $1 = "" ; stack = $0; next }
		n { $1 = $1; stack = stack ";" $0 }
		END { flush(); for (s in sum) print s, sum[s] }' |
		grep -v 'net/http\.(\*conn' | sort
}

# An analyzer that answers with the lines in $DIR/bin/lines, and then with the message $1.
fake_analyzer() {
	mkdir -p "$DIR/bin"
	cp "$SNAPCTL" "$DIR/bin/snapctl"
	printf '%s' "$1" >"$DIR/bin/last"
	cat >"$DIR/bin/procsnap-analyze" <<-END
		#!/bin/sh
		dd bs=1M count=1 <&3 >/dev/null 2>&1
		cat '$DIR/bin/lines'
		cat '$DIR/bin/last' >&3
	END
	chmod +x "$DIR/bin/procsnap-analyze"
	: >"$DIR/any"
}

# Runs snapctl with it.
fake() {
	SNAPCTL=$DIR/bin/snapctl snapctl "$@" "$DIR/any"
}

# ---- profiles --------------------------------------------------------------------------------

@test "pprof: the stacks and counts that the program's own profile has" {
	need_command go curl
	target_start goprof
	curl -sf "http://$(key addr)/debug/pprof/goroutine" >"$DIR/theirs"
	dump -q
	show --pprof="$DIR/ours"
	expect 0
	[ "$output" = "$DIR/ours: $(key goroutines) goroutines in 15 groups" ]
	stacks "$DIR/theirs" >"$DIR/a"
	stacks "$DIR/ours" >"$DIR/b"
	[ "$(wc -l <"$DIR/a")" -ge 12 ]
	diff "$DIR/a" "$DIR/b"
	target_ok
}

@test "pprof: time, program, inlined functions, labels, and a size of its own" {
	need_command go jq
	go_start goprof
	snapctl info --json "$CORE"
	local seconds
	seconds=$(field '.core.realtime_ns / 1e9 | floor')
	show --pprof="$DIR/ours"
	go tool pprof -raw "$DIR/ours" >"$DIR/raw" 2>&1
	grep -qx "Time: $(date -u -d "@$seconds" '+%F %T').* UTC" "$DIR/raw"
	grep -q "^Comment: goroutines of '$CORE'" "$DIR/raw"
	grep -q '^Comment: go1\..*, example.com/goprof' "$DIR/raw"
	grep -qx 'goroutine/count' "$DIR/raw"
	grep -q "^1: .* $BUILD/targets/goprof" "$DIR/raw"
	grep -A 2 ' main.inner ' "$DIR/raw" | grep -q '^ *main.outer '
	grep -A 1 '^ *12: ' "$DIR/raw" | grep -q 'kind:\[worker\].*state:\[chan receive\]'
	go tool pprof -top -nodecount=1 "$DIR/ours" 2>/dev/null | grep -q ' of 45 total'
	go tool pprof -top -tagfocus='state=sleep' "$DIR/ours" 2>/dev/null | grep -q main.asleep
}

@test "pprof: to a directory, to standard output, in the place of a file, or not at all" {
	need_command go
	go_start goprof
	show --pprof="$DIR"
	expect 0
	[ "$(stat -c %a "$DIR/goroutines.pb")" = 600 ]
	show --pprof=-
	cmp "$DIR/stdout" "$DIR/goroutines.pb"
	[ -z "$errors" ]
	ln -s /dev/full "$DIR/link"
	show --pprof="$DIR/link"
	cmp "$DIR/link" "$DIR/goroutines.pb"
	[ ! -L "$DIR/link" ]
	show --pprof="$DIR/none/profile"
	expect $EX_FAILED
	error_has "$DIR/none"
	snapctl goroutines --pprof="$DIR/not" "$BUILD/snapctl"
	expect $EX_FAILED
	[ ! -e "$DIR/not" ]
	status=0
	"$SNAPCTL" goroutines --pprof=- "$CORE" >/dev/full 2>"$DIR/stderr" || status=$?
	expect $EX_SPACE
}

# ---- flame graphs ----------------------------------------------------------------------------

@test "folded: the same as the profile; states are frames if wanted" {
	need_command go
	go_start goprof
	show --pprof="$DIR/ours"
	show --folded
	expect 0
	# Names of instances of generic functions may have blanks and semicolons in them.
	go tool pprof -traces "$DIR/ours" 2>/dev/null |
		sed 's/ (inline)$//; s/;/\\x3b/g' | awk '
		function flush() { if (n) print stack, n; n = 0; stack = "" }
		/^-----/ { flush(); next }
		!n && /^ *[0-9]+ +[^ ]/ { n = $1; sub(/^ *[0-9]+ +/, ""); stack = $0; next }
		n && NF { sub(/^ +/, ""); stack = $0 ";" stack }
		END { flush() }' | sort | diff - <(sort "$DIR/stdout")
	[ "$(awk '{ sum += $NF } END { print sum }' "$DIR/stdout")" = "$(key goroutines)" ]
	cp "$DIR/stdout" "$DIR/folded"
	show --folded=states
	grep -q '^main.asleep;time.Sleep;runtime.gopark;\[sleep\] 1$' "$DIR/stdout"
	sed -E 's/;\[[^]]*\] ([0-9]+)$/ \1/' "$DIR/stdout" | diff "$DIR/folded" -
}

@test "folded: semicolons and what ends a line are escaped" {
	fake_analyzer '{"done":true}'
	printf '%s\n' '{"runtime":{"version":"go1.22.0"}}' \
		'{"group":{"count":3,"states":{"a;b":3},"frames":[{"function":"f[struct { A int; B int }]"},{"function":"runtime.goexit"}]}}' \
		'{"group":{"count":1,"states":{"x":1},"frames":[{"function":"line\nfeed"}]}}' \
		'{"group":{"count":2,"states":{"x":2},"frames":[]}}' >"$DIR/bin/lines"
	fake goroutines --folded=states
	expect 0
	diff - "$DIR/stdout" <<-'END'
		f[struct { A int\x3b B int }];[a\x3bb] 3
		?;[x] 1
		[no stack];[x] 2
	END
}

# ---- text ------------------------------------------------------------------------------------

@test "summary: program, counts, largest group first, no frames of the runtime" {
	go_start goprof
	show
	expect 0
	[ -z "$errors" ]
	local lines
	mapfile -t lines <"$DIR/stdout"
	[[ ${lines[0]} == "$BUILD/targets/goprof: go1."*", example.com/goprof (devel)" ]]
	[[ ${lines[1]} == "Process $PID ('goprof') at "*" UTC, stopped for "* ]]
	[[ ${lines[2]} == "$(key goroutines) goroutines, "*" more of the runtime's own; "*" threads, GOMAXPROCS "* ]]
	[[ ${lines[3]} == "States of all "*" chan receive, "* ]]
	grep -qx '  - 32 goroutines wait for one channel at 0x[0-9a-f]* (chan receive).' "$DIR/stdout"
	grep -E '^[0-9]+ goroutine' "$DIR/stdout" | sed 1d | head -n 3 | cut -d ' ' -f 1-3 | diff - <(
		printf '20 goroutines [chan\n12 goroutines [chan\n1 goroutine [syscall]\n')
	no grep -E '^    runtime\.[a-z]' "$DIR/stdout"
	grep -A 5 '\[semacquire\]\|\[sync.Mutex.Lock\]' "$DIR/stdout" | grep -q '^    main.locked  *[^ ]*main.go:[0-9]*$'
	grep -A 1 '^20 ' "$DIR/stdout" | tail -n 1 |
		grep -qE '^    goroutines [0-9]+(-[0-9]+)?(, [0-9]+(-[0-9]+)?)*, \.\.\.$'
	grep -q 'Where no time is shown' "$DIR/stdout"
	[ "$(grep -c '^Where no time\|^Times are' "$DIR/stdout")" = 1 ]
	show --system
	grep -q '^    runtime.gopark ' "$DIR/stdout"
	grep -q "the runtime's own$" "$DIR/stdout"
}

@test "summary: a goroutine that waits says since when, as Go counts it" {
	need_command jq
	go_start goprof -gc
	show
	expect 0
	grep -q '^20 goroutines \[chan receive, about 0 s\]$' "$DIR/stdout"
	grep -q '^Times are ' "$DIR/stdout"
	show --json
	jq -e '[.runtimes[0].groups[] | select(.count == 20)][0] |
		.longest_wait_ns > 1e6 and .longest_wait_ns < 600e9 and .unknown_waits == 0' "$DIR/stdout"
	jq -e '.runtimes[0].clock_exact' "$DIR/stdout"
}

@test "all: what the runtime says itself when it gets a SIGQUIT" {
	go_start goprof
	show --all --system
	expect 0
	kill -QUIT "$PID"
	wait "${T_MAIN[CURRENT]}" || true
	# One line for each: number, state, functions and places. 0 is the runtime's own stack of a thread;
	# newer versions print gp= and m=.
	lines() {
		awk 'function flush() { if (text) print text; text = "" }
			/^$/ { flush() }
			/^goroutine [1-9]/ { flush(); sub(/ gp=[^[]*/, " "); text = $0; next }
			text && /^\t/ { sub(/ fp=.*/, ""); text = text " " $0; next }
			text { sub(/\([^()]*\)$/, ""); text = text ";" $0 }' "$1" | sort
	}
	lines "$DIR/stdout" >"$DIR/ours"
	lines "$DIR/err.$CURRENT" >"$DIR/theirs"
	[ "$(grep -c 'main\.' "$DIR/ours")" -gt 40 ]
	diff "$DIR/theirs" "$DIR/ours"
}

@test "all: panicparse reads it" {
	need_command panicparse
	go_start goprof
	show --all
	panicparse -no-color -full-path <"$DIR/stdout" >"$DIR/parsed"
	[ "$(grep -oE '^[0-9]+: ' "$DIR/parsed" | awk '{ sum += $1 } END { print sum }')" = "$(key goroutines)" ]
	grep -q '^20: chan receive' "$DIR/parsed"
	[ "$(grep -c '^    [a-z].* [^ ]*:[0-9]* ' "$DIR/parsed")" = "$(grep -c '^    ' "$DIR/parsed")" ]
}

@test "the crash comes first, with the goroutine that did it" {
	need_command gdb
	fake_analyzer '{"done":true}'
	cat >"$DIR/bin/lines" <<-'END'
		{"core":{"pid":7,"comm":"x","signal":6}}
		{"runtime":{"image":"/x","version":"go1.22.0","goroutine_count":3,"user_goroutine_count":3}}
		{"crash":{"goroutine":9,"panics":[{"value":"boom","recovered":false},{"value":"again"}],"signal":11,"signal_text":"SIGSEGV: segmentation violation","signal_code":1,"signal_address":"0x18","signal_pc":"0x499b5b"}}
		{"finding":{"certainty":"likely","text":"it is bad"}}
		{"group":{"count":2,"states":{"select":2},"goroutines":[1,2],"unknown_waits":1,"shortest_wait_ns":60000000000,"longest_wait_ns":60000000000,"frames":[]}}
		{"group":{"count":1,"states":{"running":1},"goroutines":[9],"unknown_waits":1,"frames":[{"function":"runtime.fatalpanic","file":"p.go","line":1},{"function":"runtime.gopanic","file":"p.go","line":2},{"function":"main.f[int]","file":"m.go","line":3},{"function":"runtime.goexit","file":"a.s","line":4}]}}
	END
	fake goroutines
	expect 0
	cat >"$DIR/expected" <<-'END'
		/x: go1.22.0
		Process 7 ('x')
		3 goroutines, 0 more of the runtime's own; 0 threads, GOMAXPROCS 0
		States of all 3: 

		panic: boom
		>panic: again
		[signal SIGSEGV: segmentation violation code=0x1 addr=0x18 pc=0x499b5b]
		in goroutine 9

		Findings:
		  - likely: it is bad.

		2 goroutines [select, 1 of them for about 1 min]
		    goroutines 1, 2

		1 goroutine [running]
		    goroutine 9  <- goroutine 9 crashed
		    runtime.fatalpanic  p.go:1
		    panic               p.go:2
		    main.f[...]         m.go:3

		Times are Go's own: from the garbage collection before the one that first found the goroutine
		blocked. It may have been blocked for one interval between collections less.
		Where no time is shown, no garbage collection has found it blocked yet.
		The core does not tell when it was made, so the times may be too short.
	END
	tr '\t' '>' <"$DIR/stdout" | diff "$DIR/expected" -
}

# ---- conditions ------------------------------------------------------------------------------

# The numbers of the groups that are shown.
counts() {
	grep -oE '^[0-9]+ goroutine' "$DIR/stdout" | cut -d ' ' -f 1 | tr '\n' ' '
}

@test "conditions: state, function, label, number, top" {
	need_command jq
	go_start goprof
	show --state=sleep
	[ "$(counts)" = "$(key goroutines) 1 " ]
	show --function=main.inner
	[ "$(counts)" = "$(key goroutines) 1 " ]
	grep -q 'main.outer' "$DIR/stdout"
	show --label=kind
	[ "$(counts)" = "$(key goroutines) 12 " ]
	show --label=request=search
	[ "$(counts)" = "$(key goroutines) 5 " ]
	grep -q '{kind: worker, request: search}\|{request: search, kind: worker}' "$DIR/stdout"
	show --label=request=search --state=sleep
	expect 0
	grep -qx 'No goroutine is like that.' "$DIR/stdout"
	show --top=2
	[ "$(counts)" = "$(key goroutines) 20 12 " ]
	grep -qx '13 more goroutines are in smaller groups.' "$DIR/stdout"
	show --all --id=1 --id=2
	[ "$(grep -c '^goroutine ' "$DIR/stdout")" = 2 ]
	grep -q '^goroutine 2 \[force gc (idle)\]:' "$DIR/stdout"
	show --json --id=1
	[ "$(field '[.runtimes[0].goroutines[].id] == [1]')" = true ]
	show --folded --label=kind
	[ "$(awk '{ print $NF }' "$DIR/stdout")" = 12 ]
}

@test "conditions: min-wait" {
	need_command jq
	go_start goprof -gc
	show --json
	local all
	all=$(field '[.runtimes[0].goroutines[] | select(.wait_ns > 1000000)] | length')
	[ "$all" -gt 30 ]
	show --json --min-wait=1ms
	[ "$(field '.runtimes[0].goroutines | length')" = "$all" ]
	show --json --min-wait=10m
	[ "$(jq '.runtimes[0].goroutines | length' "$DIR/stdout")" = 0 ]
}

# ---- findings --------------------------------------------------------------------------------

# stuck_with WHO: a core of gostuck, where that is who else has the channel.
stuck_with() {
	go_start gostuck -held="$1"
	show --json
	cp "$DIR/stdout" "$DIR/json"
	STUCK=$(jq -c '[.runtimes[0].findings[] | select(.finding == "stuck-channel")]' "$DIR/json")
}

@test "findings: a channel that nobody has who can go on" {
	need_command jq
	stuck_with none
	jq -e 'length == 1 and (.[0] | .count == 12 and .others == 0 and .certainty == "hint" and
		.kind == "channel")' <<<"$STUCK"
	# It is the one that they wait for.
	jq -e --argjson stuck "$STUCK" '[.runtimes[0].goroutines[].blocked_on // [] | .[] |
		select(.address == $stuck[0].object)] | length == 12' "$DIR/json"
	show
	grep -qE '^  - perhaps: 12 goroutines wait for the channel at 0x[0-9a-f]+ \(chan receive\); no ' \
		"$DIR/stdout"
	target_ok
	snapctl goroutines "$PID"
	expect 0
	grep -q '^  - perhaps: 12 goroutines wait for the channel ' "$DIR/stdout"
	unharmed
}

@test "findings: a channel that only those have who wait for one another" {
	need_command jq
	stuck_with waiting
	jq -e 'map([.count, .others]) == [[13, 1], [1, 1]]' <<<"$STUCK"
}

@test "findings: a channel that somebody has, directly or not" {
	need_command jq
	local who
	for who in sleeping structure syscall running global chain; do
		stuck_with "$who"
		[ "$STUCK" = '[]' ] || fail "$who: $STUCK"
		jq -e '.runtimes[0].findings | any(.finding == "many-waiters")' "$DIR/json"
		target_quit
	done
}

# ---- JSON ------------------------------------------------------------------------------------

# The keys of objects, without those that are names themselves.
keys_of_json() {
	jq -r 'del(.runtimes[].states, .runtimes[].build.settings, .runtimes[].groups[]?.states,
		.runtimes[].groups[]?.labels, .runtimes[].goroutines[]?.labels) |
		[paths | .[] | strings] | unique | .[]' "$@" | sort -u
}

@test "JSON: docs/GO.md lists the fields that there are" {
	need_command jq
	go_start gohttp -n 5
	show --json
	cp "$DIR/stdout" "$DIR/a"
	snapctl info --json "$CORE"
	cp "$DIR/stdout" "$DIR/b"
	target_start goprof -gc
	dump -q
	show --json --system
	keys_of_json "$DIR/a" "$DIR/b" "$DIR/stdout" >"$DIR/keys"
	[ "$(wc -l <"$DIR/keys")" -gt 80 ]
	sed -n '/^## The JSON/,/^## Waits/p' "$BATS_TEST_DIRNAME/../../docs/GO.md" | grep -o '`[a-z_]*`' |
		tr -d '`' | sort -u >"$DIR/documented"
	[ -z "$(comm -23 "$DIR/keys" "$DIR/documented")" ] ||
		fail "not in docs/GO.md:" "$(comm -23 "$DIR/keys" "$DIR/documented")"
}

@test "JSON: one object, also when the analysis fails, or finds several runtimes" {
	need_command jq
	fake_analyzer '{"error":{"code":"failed","message":"it broke in the middle"}}'
	local n
	cat >"$DIR/all-lines" <<-'END'
		{"core":{"pid":7}}
		{"image":{"name":"/a","file":"matches"}}
		{"runtime":{"image":"/a","version":"go1.22.0"}}
		{"crash":{"goroutine":1}}
		{"thread":{"m":0}}
		{"finding":{"text":"x"}}
		{"group":{"count":1}}
		{"goroutine":{"id":1}}
		{"goroutine":{"id":2}}
		{"warning":{"text":"strange"}}
		{"image":{"name":"/b.so","file":"differs"}}
		{"runtime":{"image":"/b.so"}}
		{"goroutine":{"id":1}}
		{"bogus":{"x":1}}
	END
	for n in 0 1 2 3 5 7 9 11 14; do
		head -n "$n" "$DIR/all-lines" >"$DIR/bin/lines"
		fake goroutines --json
		expect $EX_FAILED
		one_object
		[ "$(field .error.message)" = "'$DIR/any': it broke in the middle" ]
		[ "$(field '[.runtimes, .images, .warnings | type] | unique | .[]')" = array ]
	done
	fake info --json
	expect $EX_FAILED
	one_object
	printf '{"done":true}' >"$DIR/bin/last"
	fake goroutines --json
	expect 0
	error_has "'/b.so' is another build" strange
	jq -ce 'del(.core) | del(.images)' "$DIR/stdout" | diff - <(jq -cn '{
		runtimes: [{image: "/a", version: "go1.22.0", crash: {goroutine: 1}, threads: [{m: 0}],
			findings: [{text: "x"}], groups: [{count: 1}], goroutines: [{id: 1}, {id: 2}]},
			{image: "/b.so", goroutines: [{id: 1}], threads: [], findings: [], groups: []}],
		warnings: [{text: "strange"}]}')
	fake goroutines
	expect 0
	grep -q '^/a: go1.22.0$' "$DIR/stdout"
	grep -q '^/b.so: Go of unknown version$' "$DIR/stdout"
}

@test "an analyzer that dies or talks nonsense is an error, and what was found is shown" {
	need_command jq
	fake_analyzer '{"done":true}'
	head -c 100 /dev/urandom | base64 >"$DIR/bin/lines"
	fake goroutines --json
	expect $EX_FAILED
	one_object
	printf '{"runtime":{"version":"go1.22.0"}}\n' >"$DIR/bin/lines"
	# shellcheck disable=SC2016 # it is the script that expands it
	sed -i 's/^cat .*last.*/kill -SEGV $$/' "$DIR/bin/procsnap-analyze"
	fake goroutines --json
	expect $EX_FAILED
	one_object
	[ "$(field '.runtimes[0].version')" = go1.22.0 ]
	error_has 'signal 11'
}

# ---- hostile text ----------------------------------------------------------------------------

@test "text of the program does not reach the terminal as it is" {
	need_command jq go
	local name=$'a;b\e[31m\nc'
	mkdir "$DIR/$name"
	cp "$BUILD/targets/goprof" "$DIR/$name/x"
	target_start "$DIR/$name/x" -hostile
	dump -q
	mv "$CORE" "$OUT/$name"
	CORE=$OUT/$name
	show
	expect 0
	harmless "$DIR/stdout" "$DIR/stderr"
	grep -qF '\x1b[31m\x0ac/x: go1.' "$DIR/stdout"
	show --all
	harmless "$DIR/stdout"
	[ "$(grep -c '^goroutine ' "$DIR/stdout")" = "$(key goroutines)" ]
	show --folded=states
	harmless "$DIR/stdout"
	no grep -vE '^[^ ].* [0-9]+$' "$DIR/stdout"
	show --json
	one_object
	# The terminal does not know that a string ends somewhere.
	harmless "$DIR/stdout"
	jq -e '[.runtimes[0].goroutines[] | .labels // {} | .state] | any(. == "a label of that name")' \
		"$DIR/stdout"
	show --pprof="$DIR/ours"
	harmless "$DIR/stdout"
	go tool pprof -raw "$DIR/ours" >"$DIR/raw" 2>/dev/null
	harmless "$DIR/raw"
	snapctl info "$CORE"
	harmless "$DIR/stdout" "$DIR/stderr"
	snapctl info --json "$CORE"
	one_object
	rm "$DIR/$name/x"
	show
	harmless "$DIR/stdout" "$DIR/stderr"
}

@test "not even an analyzer that was taken over can write to the terminal" {
	fake_analyzer '{"error":{"code":"failed","message":"\u001b[31mred\n"}}'
	cat >"$DIR/bin/lines" <<-'END'
		{"core":{"pid":7,"comm":"\u001b[31m","args":"\u001b[31m"}}
		{"image":{"name":"\u001b[31m","file":"differs","program":true}}
		{"warning":{"text":"\u001b[31m"}}
		{"runtime":{"image":"\u001b[31m","version":"\u001b[31m","build":{"path":"\u001b","module":"\u001b","module_version":"\u001b","settings":{"vcs.revision":"\u001b"}},"gc_phase":"\u001b","states":{"\u001b[31m":1}}}
		{"crash":{"goroutine":"\u001b","fatal_error":"\u001b","signal":1,"signal_text":"\u001b","signal_address":"\u001b","signal_pc":"\u001b","panics":[{"value":"\u001b"}]}}
		{"finding":{"certainty":"\u001b","text":"\u001b"}}
		{"group":{"count":1,"states":{"\u001b":1},"labels":{"\u001b":"\u001b"},"goroutines":["\u001b"],"stack_end":"\u001b","created_by":{"function":"\u001b.x","file":"\u001b"},"frames":[{"function":"\u001b","file":"\u001b"}]}}
		{"goroutine":{"id":1,"state":"\u001b","status":"\u001b","labels":{"\u001b":"\u001b"},"stack_end":"\u001b","frames":[{"function":"a.\u001b","file":"\u001b","args":"\u001b","pc":"\u001b"}]}}
	END
	# Lines that are still on their way when the end comes may be lost.
	sed -i "s/^cat .*last.*/sleep 0.1; &/" "$DIR/bin/procsnap-analyze"
	local verb
	for verb in goroutines 'goroutines --all' 'goroutines --json' 'goroutines --folded=states' \
		'goroutines --system --all' info 'info --json'; do
		# shellcheck disable=SC2086 # several words
		fake $verb
		expect $EX_FAILED
		[ -s "$DIR/stdout" ]
		harmless "$DIR/stdout" "$DIR/stderr"
	done
}

# ---- programs --------------------------------------------------------------------------------

@test "the program is gone: said, and --exe names it elsewhere" {
	local want
	cp "$BUILD/targets/goprof" "$DIR/prog"
	go_start "$DIR/prog"
	show
	want=$output
	mv "$DIR/prog" "$DIR/moved"
	show
	expect $EX_FAILED
	error_has "'$DIR/prog' was not found" "--exe FILE" "no Go program was found in '$CORE'"
	show --exe="$DIR/moved"
	expect 0
	[ "$output" = "$want" ]
	[ -z "$errors" ]
	snapctl info "$CORE"
	expect 0
	grep -q '^ *Go: no Go program$' "$DIR/stdout"
}

@test "another build of the program is refused, whoever names it" {
	need_target gohttp
	cp "$BUILD/targets/goprof" "$DIR/prog"
	go_start "$DIR/prog"
	show --exe="$BUILD/targets/gohttp"
	expect $EX_FAILED
	error_has "'$BUILD/targets/gohttp' is another build than the one in the core"
	rm "$DIR/prog"
	cp "$BUILD/targets/gohttp" "$DIR/prog"
	show
	expect $EX_FAILED
	error_has "'$DIR/prog' is another build" "--exe FILE"
	show --exe="$DIR"
	expect $EX_FAILED
	show --exe=/dev/zero
	expect $EX_FAILED
	mkfifo "$DIR/fifo"
	show --exe="$DIR/fifo"
	expect $EX_FAILED
}

@test "the same from a stripped program, from gdb's core, and from a compressed core" {
	need_command strip gcore gdb
	cp "$BUILD/targets/goprof" "$DIR/prog"
	strip "$DIR/prog"
	target_start "$DIR/prog"
	hold_still_and_dump() {
		dump -q
		"$SNAPCTL" dump -q -z -o "$OUT/core.zst" "$PID"
		gcore -o "$DIR/gdb" "$PID" >/dev/null 2>&1
	}
	hold_still_and_dump
	expect_dumped
	show --folded=states
	expect 0
	cp "$DIR/stdout" "$DIR/ours"
	grep -q main.inlined "$DIR/ours"
	snapctl goroutines --folded=states "$OUT/core.zst"
	diff "$DIR/ours" "$DIR/stdout"
	snapctl goroutines --folded=states "$DIR/gdb.$PID"
	diff "$DIR/ours" "$DIR/stdout"
	snapctl goroutines --folded=states "$PID"
	expect 0
	diff "$DIR/ours" "$DIR/stdout"
	error_has "process $PID was paused for"
	unharmed
	snapctl goroutines --attached --folded=states "$CORE"
	diff "$DIR/ours" "$DIR/stdout"
}

@test "dump --no-summary: nothing is attached, and the core can still be read" {
	need_command jq
	target_start gohttp
	dump --json --no-summary
	expect_dumped
	[ "$(field .go)" = null ]
	show --attached
	expect $EX_FAILED
	error_has 'no summary of goroutines is attached'
	show
	expect 0
	grep -q net/http "$DIR/stdout"
}

# ---- cores that are not as they should be ----------------------------------------------------

@test "no Go program: status 1, and JSON says it too" {
	need_command jq
	target_start simple
	dump -q
	show
	expect $EX_FAILED
	error_has "no Go program was found in '$CORE'"
	[ -z "$output" ]
	show --json
	expect $EX_FAILED
	one_object
	[ "$(field .error.code)" = failed ]
	[ "$(jq -c .runtimes "$DIR/stdout")" = '[]' ]
	show --attached
	expect $EX_FAILED
	error_has 'no summary of goroutines is attached'
	snapctl info "$CORE"
	expect 0
	grep -q '^ *Go: no Go program$' "$DIR/stdout"
}

@test "no core at all: status 1, and the file is named" {
	need_command jq zstd
	local file
	: >"$DIR/empty"
	printf 'no core' >"$DIR/text"
	zstd -q "$DIR/text"
	mkfifo "$DIR/fifo"
	for file in "$DIR/none" "$DIR/empty" "$DIR/text" "$DIR/text.zst" "$DIR" "$DIR/fifo" "$SNAPCTL" \
		/dev/null /dev/zero; do
		snapctl goroutines --json "$file"
		expect $EX_FAILED
		error_has "'$file'"
		one_object
		[[ $(field .error.message) == *"'$file'"* ]]
		snapctl info "$file"
		expect $EX_FAILED
		error_has "'$file'"
		[ -z "$output" ]
	done
}

@test "a core compressed in one piece: says how to decompress it" {
	need_command zstd
	go_start gohttp -n 1
	zstd -q "$CORE"
	snapctl goroutines "$CORE.zst"
	expect $EX_FAILED
	error_has 'zstd -d'
}

@test "a core that was cut: what there is, and that it was cut" {
	need_command jq
	go_start goprof
	local size part
	size=$(stat -c %s "$CORE")
	for part in 99 60 10; do
		head -c $((size / 100 * part)) "$CORE" >"$DIR/cut"
		snapctl goroutines --json "$DIR/cut"
		one_object
		[ "$status" -le 1 ]
		snapctl info "$DIR/cut"
		expect 0
		grep -q '^ *Truncated: yes' "$DIR/stdout"
	done
	head -c 1000 "$CORE" >"$DIR/cut"
	snapctl goroutines --json "$DIR/cut"
	one_object
	expect $EX_FAILED
}

@test "a core without the list of mapped files: --exe is enough" {
	need_command eu-readelf
	go_start goprof
	show --folded
	local want=$output at
	# The type of the note NT_FILE, which comes once in the core before its memory.
	at=$(LC_ALL=C grep -obUaPm 1 'ELIFCORE' "$CORE" | cut -d : -f 1)
	printf XXXX | dd of="$CORE" bs=1 seek="$at" conv=notrunc status=none
	eu-readelf -n "$CORE" >"$DIR/notes" 2>/dev/null || true
	no grep -q '^  CORE .* FILE$' "$DIR/notes"
	show --folded
	[ "$status" -le 1 ]
	show --folded --exe="$BUILD/targets/goprof"
	expect 0
	[ "$output" = "$want" ]
}

@test "a core that the caller may not read: status 4, and the file is named" {
	need_root
	need_command setpriv
	go_start gohttp -n 1
	chmod 755 "$DIR" "$OUT"
	chmod 600 "$CORE"
	# The build may lie where others cannot look.
	cp "$SNAPCTL" "$BUILD/procsnap-analyze" "$DIR"
	status=0
	setpriv --reuid=65534 --regid=65534 --clear-groups "$DIR/snapctl" goroutines "$CORE" \
		>"$DIR/stdout" 2>"$DIR/stderr" || status=$?
	expect $EX_DENIED
	errors=$(cat "$DIR/stderr") error_has "'$CORE'"
	chmod 644 "$CORE"
	setpriv --reuid=65534 --regid=65534 --clear-groups "$DIR/snapctl" info "$CORE" >"$DIR/stdout"
	grep -q "^ *Process: $PID 'gohttp'$" "$DIR/stdout"
}

# ---- processes -------------------------------------------------------------------------------

@test "a process: gone, too slow, not Go; it runs on unharmed" {
	target_start gohttp -n 5
	snapctl goroutines --max-pause=1ns "$PID"
	expect $EX_PAUSE
	unharmed
	snapctl goroutines --all "$PID"
	expect 0
	[ "$(grep -c main.parkMany "$DIR/stdout")" = 5 ]
	unharmed
	snapctl goroutines --attached "$PID"
	expect $EX_USAGE
	target_start simple
	snapctl goroutines "$PID"
	expect $EX_FAILED
	error_has 'no Go program'
	unharmed
	snapctl goroutines 2147483647
	expect $EX_GONE
}

# ---- output that cannot be written -----------------------------------------------------------

@test "a reader that went away, and a full disk" {
	go_start gohttp -n 5
	local said
	said=$("$SNAPCTL" goroutines --json "$CORE" 2>&1 >&- >/dev/full) && fail "no error"
	[[ $said == *'cannot write the answer: No space left on device'* ]]
	status=0
	"$SNAPCTL" goroutines --all "$CORE" >/dev/full 2>/dev/null || status=$?
	expect $EX_SPACE
	status=0
	"$SNAPCTL" info "$CORE" >/dev/full 2>/dev/null || status=$?
	expect $EX_SPACE
	# By a signal, as everything that writes to a pipe.
	"$SNAPCTL" goroutines --json "$CORE" 2>"$DIR/stderr" | head -c 1 >/dev/null
	[ "${PIPESTATUS[0]}" = 141 ] || [ "${PIPESTATUS[0]}" = 0 ]
	[ ! -s "$DIR/stderr" ]
}

# ---- info ------------------------------------------------------------------------------------

# The line of this name.
fact() {
	sed -nE "s/^ *$1: (.*)/\1/p" "$DIR/stdout"
}

@test "info: what the note says, with times where the caller is" {
	need_command jq
	local before ns
	target_start goprof
	before=$(date +%s%N)
	dump -q
	snapctl info --json "$CORE"
	expect 0
	one_object
	cp "$DIR/stdout" "$DIR/json"
	ns=$(grep -o '"realtime_ns":[0-9]*' "$DIR/json" | cut -d : -f 2)
	[ "$ns" -gt "$before" ]
	[ "$ns" -lt "$(date +%s%N)" ]
	[ "$(jq '.core.threads' "$DIR/json")" = "$(eu-readelf -n "$CORE" | grep -c ' PRSTATUS$')" ]
	[ "$(jq '.core.mappings' "$DIR/json")" = "$(eu-readelf -l "$CORE" | grep -c '^  LOAD ')" ]
	[ "$(jq '.file.bytes' "$DIR/json")" = "$(stat -c %s "$CORE")" ]
	[ "$(jq '.file.bytes_on_disk' "$DIR/json")" = $(($(stat -c %b "$CORE") * 512)) ]
	[ "$(jq -c '[.runtimes[0] | has("groups", "threads", "goroutines")] | any' "$DIR/json")" = false ]
	TZ=America/St_Johns snapctl info "$CORE"
	expect 0
	[[ $(fact Time) == "$(TZ=America/St_Johns date -d "@${ns:0:10}" '+%a %F %H:%M:%S').${ns:10:3} N"?'T ('*' s ago)' ]]
	[[ $(fact File) == "$CORE ("*" on disk)" ]]
	[ "$(fact Process)" = "$PID 'goprof'" ]
	[ "$(fact 'Command line')" = "$BUILD/targets/goprof" ] || [[ $(fact 'Command line') == *... ]]
	[[ $(fact 'Made by') == 'procsnap, of the live process (copy), stopped for '* ]]
	[ "$(fact Gaps)" = none ]
	[ "$(fact Program)" = "$BUILD/targets/goprof" ]
	[[ $(fact Go) == 'go1.'*', example.com/goprof (devel)' ]]
	[[ $(fact Goroutines) == "$(key goroutines), "* ]]
	[ "$(fact 'Most are in')" = 'main.member (20 chan receive)' ]
	[[ $(fact Findings) == '32 goroutines wait for one channel '* ]]
}

@test "info: cores of others, which tell less" {
	need_command gdb gcore
	target_start goprof
	gcore -o "$DIR/gdb" "$PID" >/dev/null 2>&1
	snapctl info "$DIR/gdb.$PID"
	expect 0
	[[ $(fact Time) == "$(date -r "$DIR/gdb.$PID" '+%a %F %H:%M:%S')."*', when the file was written' ]]
	[ "$(fact 'Made by')" = 'the kernel, or a program that does not say so' ]
	[ -z "$(fact Gaps)" ]
	"$SNAPCTL" dump -q -z -o "$OUT/core.zst" "$PID"
	snapctl info "$OUT/core.zst"
	[[ $(fact File) == "$OUT/core.zst (4"*" MiB, "*" KiB on disk, compressed)" ]]
}
