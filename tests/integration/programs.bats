#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Programs that nobody here wrote: dumped at work, they go on; and gdb makes of our core what it
# makes of gcore's, or of the live process where gcore would write dozens of gigabytes.

load common
load readers
load programs

# gcore's core of a process in a pid namespace has the numbers outside. Those inside, which gdb finds
# in the memory, it lists as more threads and knows nothing of them.
seen_threads() {
	grep -v '<unavailable> in ??'
}

# Frames from our core, which has the numbers inside, with those outside.
by_outer_lwp() {
	awk 'NR == FNR { if ($1 == "thread") outside[$3] = $2; next }
		{ sub(/^[0-9]+/, outside[$1]); print }' <("$CORECHECK" note "$CORE") - | sort
}

# One dump while it works, one of it standing still together with gcore.
dump_program() { # PROGRAM-FILE
	local threads peer
	dump --json
	expect 0
	well_formed
	wait_free "$PID"
	gdb_on "$1" "$CORE" 'info threads' >"$DIR/threads"
	[ "$(grep -cE '^[* ] +[0-9]+ .*LWP' "$DIR/threads")" = "$(field .threads)" ]

	hold_still
	dump --json
	expect 0
	threads=$(field .threads)
	[ "$threads" = "$(ls "/proc/$PID/task" | wc -l)" ]
	wait_free "$PID" stopped
	PEER=
	if [ -n "${RESERVES_MUCH-}" ]; then
		PEER="-p $PID"
		frames "$1" "$PEER" | seen_threads >"$DIR/peer"
	elif command -v gcore >/dev/null; then
		gcore_peer
		"$CORECHECK" compare "$CORE" "$PEER" "${EXCEPT[@]}"
		frames "$1" "$PEER" | seen_threads >"$DIR/peer"
	fi
	go_on
	frames "$1" "$CORE" | by_outer_lwp >"$DIR/ours"
	[ "$(cut -d' ' -f1 "$DIR/ours" | sort -u | wc -l)" = "$threads" ]
	[ -z "$PEER" ] || diff "$DIR/peer" "$DIR/ours"
	wait_free "$PID"
	only_files core
}

@test "redis-server under load" {
	need_command gdb
	local i
	start_redis
	for ((i = 0; i < 2000; i++)); do
		echo "SET key$i value$i"
	done | redis-cli -p "$PORT" --pipe >/dev/null
	if command -v redis-benchmark >/dev/null; then
		redis-benchmark -p "$PORT" -n 200000 -c 10 -q >"$DIR/load" 2>&1 3>&- &
		STARTED+=($!)
	fi
	dump_program "$(readlink "/proc/$PID/exe")"
	answers
	[ "$(redis-cli -p "$PORT" get key1234)" = value1234 ]
	# No client was thrown out, and the server saw nothing.
	no grep -qi 'error\|crash\|signal' "$DIR/program.log"
}

@test "python3" {
	need_command python3 gdb
	cat >"$DIR/work.py" <<-'END'
		import threading, time, sys
		secret = "procsnap-in-python-" + "x" * 20
		def work():
		    n = 0
		    while True:
		        n += sum(range(1000))
		        time.sleep(0.001)
		for _ in range(5):
		    threading.Thread(target=work, daemon=True).start()
		with open(sys.argv[1], "w") as ready: ready.write("ready")
		while True:
		    time.sleep(0.01)
	END
	local exe
	exe=$(python3 -c 'import sys; print(sys.executable)')
	start "$exe" "$DIR/work.py" "$DIR/ready"
	wait_for test -s "$DIR/ready"
	dump_program "$(readlink "/proc/$PID/exe")"
	grep -qa procsnap-in-python-xxxxxxxxxxxxxxxxxxxx "$CORE"
	[ "$(grep -c ^State "/proc/$PID/status")" = 1 ]
}

@test "node" {
	need_command node gdb curl
	local port
	port=$(free_port)
	cat >"$DIR/work.js" <<-'END'
		const http = require('http');
		let n = 0;
		setInterval(() => { n += [...Array(100).keys()].reduce((a, b) => a + b); }, 1);
		http.createServer((q, s) => s.end('hello ' + n)).listen(+process.argv[2], '127.0.0.1');
	END
	start node "$DIR/work.js" "$port"
	answers() { [[ $(curl -s --noproxy '*' "http://127.0.0.1:$port/") == hello* ]]; }
	wait_for answers
	dump_program "$(readlink "/proc/$PID/exe")"
	answers
}

@test "java" {
	need_command java gdb
	mkdir "$DIR/classes"
	cat >"$DIR/Work.java" <<-'END'
		public class Work {
		    static volatile long n;
		    public static void main(String[] args) throws Exception {
		        for (int i = 0; i < 4; i++) {
		            Thread t = new Thread(() -> { while (true) { n += new byte[1000].length;
		                try { Thread.sleep(1); } catch (InterruptedException e) { System.exit(3); } } });
		            t.start();
		        }
		        new java.io.File(args[0]).createNewFile();
		        while (true) { Thread.sleep(5); }
		    }
		}
	END
	start java -Xmx64m -XX:+UseSerialGC "$DIR/Work.java" "$DIR/ready"
	wait_for test -e "$DIR/ready"
	dump_program "$(readlink "/proc/$PID/exe")"
	kill -0 "$PID"
	[ ! -s "$DIR/program.log" ]
}

@test "PostgreSQL: a backend at work" {
	need_command gdb
	local load i
	start_postgres
	dump_program "$PG_BIN/postgres"
	answers
	query 'create table t as select generate_series(1, 100000) as n'
	# A backend in a query whose result shows whether anything was lost.
	(for _ in $(seq 60); do query 'select sum(n) from t'; done) >"$DIR/sums" 2>&1 3>&- &
	load=$!
	backend() { BACKEND=$(query "select pid from pg_stat_activity where query like 'select sum%' limit 1") && [ -n "$BACKEND" ]; }
	for ((i = 0; i < 10; i++)); do
		backend || continue
		snapctl dump -f -o "$CORE" "$BACKEND"
		[ "$status" = 0 ] || expect $EX_GONE
	done
	wait $load
	[ "$(sort -u "$DIR/sums")" = 5000050000 ]
	answers
	no grep -qE 'terminated|crash|PANIC' "$DIR/program.log"
}

@test "bash, and a pipeline of coreutils" {
	need_command gdb
	start bash -c 'i=0; while :; do i=$((i + 1)); [ $((i % 100)) != 0 ] || echo $i | sed s/1/2/ >/dev/null; done'
	local i
	for ((i = 0; i < 20; i++)); do
		dump
		expect 0
		assert_free "$PID"
	done
	well_formed
	kill -0 "$PID"
}

# ---- containers --------------------------------------------------------------------------------

make_rootfs() {
	need_mount
	need_target gohttp
	mkdir -p "$DIR/rootfs/"{dev,proc,sys}
	cp "$BUILD/targets/gohttp" "$DIR/rootfs/"
}

# start_contained COMMAND...: the target gohttp by way of a container runtime.
start_contained() {
	printf '#!/bin/sh\nexec %s\n' "$*" >"$DIR/contained"
	chmod 755 "$DIR/contained"
	target_start "$DIR/contained"
	[ "$PID" = 1 ] # as it sees itself
}

@test "runc: a Go server in a container" {
	need_command runc gdb
	make_rootfs
	local run="runc --root $DIR/runc" id=procsnap-test-$$
	runc spec --bundle "$DIR"
	adapt() { # JQ-FILTER
		jq ".process.terminal = false | $1" "$DIR/config.json" >"$DIR/config"
		mv "$DIR/config" "$DIR/config.json"
	}
	adapt '.process.args = ["/gohttp", "-h"]'
	at_end "$run delete --force $id"
	$run run --bundle "$DIR" $id >"$DIR/program.log" 2>&1 3>&- </dev/null ||
		skip "runc cannot run here: $(tail -n 1 "$DIR/program.log")"
	adapt '.process.args = ["/gohttp"]'
	start_contained "$run run --bundle $DIR $id"
	PID=$($run state $id | jq .pid)
	T_PID[CURRENT]=$PID
	dump_program "$BUILD/targets/gohttp"
	"$CORECHECK" note "$CORE" | grep -q "^thread $PID 1 "
	target_ok
	[ "$($run state $id | jq -r .status)" = running ]
	target_quit
}

@test "containerd, its shim, and a container of it" {
	need_command containerd ctr containerd-shim-runc-v2 runc gdb
	make_rootfs
	cat >"$DIR/containerd.toml" <<-END
		version = 2
		root = "$DIR/root"
		state = "$DIR/state"
		disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
		[grpc]
		  address = "$DIR/sock"
	END
	containerd --config "$DIR/containerd.toml" >"$DIR/program.log" 2>&1 </dev/null 3>&- &
	local daemon=$! shim container run="ctr --address $DIR/sock --namespace procsnap-test"
	at_end "rmdir /sys/fs/cgroup/{.,*}/procsnap-test /run/containerd/runc/procsnap-test \
		2>/dev/null || true"
	at_end "end_child $daemon" # not before it has removed the container
	wait_for $run version
	at_end "$run task rm --force go 2>/dev/null || true"
	start_contained "$run run --rm --rootfs $DIR/rootfs go /gohttp"
	container=$($run task ls | awk '$1 == "go" { print $2 }')
	shim=$(awk '{ print $4 }' "/proc/$container/stat")
	(while $run containers ls; do :; done) >"$DIR/load" 2>&1 3>&- &
	STARTED+=($!)

	PID=$daemon
	dump_program "$(readlink "/proc/$PID/exe")"
	PID=$shim
	dump_program "$(readlink "/proc/$PID/exe")"
	PID=$container
	dump
	expect 0
	"$CORECHECK" note "$CORE" | grep -q "^thread $PID 1 "
	target_ok
	[ "$($run task ls | awk '$1 == "go" { print $3 }')" = RUNNING ]
	target_quit
	no grep -qE 'level=(error|fatal|panic)' "$DIR/program.log"
}

# ---- a browser ---------------------------------------------------------------------------------

# family PID: it and all of its children, and theirs.
family() {
	local child
	echo "$1"
	for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do
		family "$child"
	done
}

@test "chromium: the browser, and a page in its sandbox" {
	need_command chromium gdb curl setpriv
	need_root # else its processes are out of reach for whoever started them, too
	local as=(setpriv --reuid=65534 --regid=65534 --clear-groups) sandbox=()
	local port browser page= pid before
	mkdir "$DIR/home"
	chmod 755 "$DIR"
	chown 65534:65534 "$DIR/home"
	"${as[@]}" unshare --user true 2>/dev/null || sandbox=(--no-sandbox)
	port=$(free_port)
	start "${as[@]}" env HOME="$DIR/home" TMPDIR="$DIR/home" chromium --headless=new --no-first-run \
		--disable-gpu --remote-debugging-port="$port" "${sandbox[@]}" \
		'data:text/html,<script>n = 0; setInterval(() => document.title = ++n, 5);
		text = ["made", "in", "a", "page"].join("-")</script>'
	browser=$PID
	# What the page has counted to.
	counted() {
		curl -s -m 5 --noproxy '*' "http://127.0.0.1:$port/json/list" |
			jq -er '.[] | select(.type == "page") | .title | tonumber'
	}
	counts_on() {
		local now
		now=$(counted) && ((now > $1))
	}
	wait_for counts_on 0
	for pid in $(family "$browser"); do
		before=$(counted)
		snapctl dump --json -f -o "$CORE" "$pid"
		[ "$status" != "$EX_GONE" ] || continue # a helper that was done
		expect 0
		echo "$(field .comm): $(field .threads) threads, $(field .bytes) bytes, $(field .pause_ns) ns"
		well_formed
		wait_for counts_on "$before"
		! grep -qa made-in-a-page "$CORE" || page=$pid
	done
	grep -qa -e --type=renderer "/proc/$page/cmdline"
	RESERVES_MUCH=yes
	for PID in "$browser" "$page"; do
		dump_program "$(readlink "/proc/$PID/exe")"
	done
	wait_for counts_on "$(counted)"
	no grep -qiE 'crash|fatal|signal [0-9]' "$DIR/program.log"
}
