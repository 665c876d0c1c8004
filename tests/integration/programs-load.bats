#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Servers that are dumped again and again while clients ask them all the time, by each way to copy
# memory: no client gets a wrong answer or loses its connection, and nobody is started anew.
#
# PROCSNAP_ROUNDS is how many dumps of each, by each way (default 5; 100 for a long run).

load common
load readers
load programs

ROUNDS=${PROCSNAP_ROUNDS:-5}

# ask_all_the_time PROTOCOL [OPTION...]: of the server at $PORT; LOAD is who asks.
ask_all_the_time() {
	local protocol=$1
	shift
	"$TOOLS/load" "$@" "$protocol" "$PORT" >"$DIR/load" 2>"$DIR/load.err" 3>&- &
	LOAD=$!
	STARTED+=($LOAD)
	asks() { [ -s "$DIR/load" ] || gone $LOAD; }
	wait_for asks
}

# No client has noticed.
all_answered() {
	status=0
	kill -TERM $LOAD
	wait $LOAD || status=$?
	[ $status = 0 ] || fail "clients: $(cat "$DIR/load.err" "$DIR/load")"
	echo "# $BATS_TEST_DESCRIPTION: $(tail -n 1 "$DIR/load")" >&3
}

# Who $1 is, beyond its number.
born() {
	awk '{ print $22 }' "/proc/$1/stat"
}

# It cannot be dumped by fork, as NO_FORK knows.
no_fork() {
	snapctl dump --direct --mode=fork -f -o "$CORE" "$PID"
	expect $EX_FAILED
	error_has "$PID" "$NO_FORK"
}

# dump_all_the_time PROGRAM-FILE PID...: these in turns, each of which stays who it is.
dump_all_the_time() {
	local program=$1 mode i pid pids=("${@:2}") pauses before after
	before=$(for pid in "${pids[@]}"; do born "$pid"; done)
	for mode in precopy copy fork; do
		[ $mode != precopy ] || follows_writes || continue
		if [ $mode = fork ] && [ -n "${NO_FORK-}" ]; then
			no_fork
			continue
		fi
		pauses=
		for ((i = 0; i < ROUNDS; i++)); do
			PID=${pids[i % ${#pids[@]}]}
			snapctl dump --direct --json --no-summary --mode=$mode -f -o "$CORE" "$PID"
			expect 0
			[ "$(field .mode)" = $mode ]
			pauses+="$(($(field .pause_ns) / 1000)) "
			assert_free "$PID"
			sleep "0.0$((RANDOM % 10))"
		done
		well_formed
		gdb_on "$program" "$CORE" 'info threads' >"$DIR/threads"
		[ "$(grep -cE '^[* ] +[0-9]+ .*LWP' "$DIR/threads")" = "$(field .threads)" ]
		echo "# $BATS_TEST_DESCRIPTION: $mode, $ROUNDS dumps, longest pause $(tr ' ' '\n' \
			<<<"$pauses" | sort -n | tail -n 1) us" >&3
	done
	after=$(for pid in "${pids[@]}"; do born "$pid"; done)
	[ "$before" = "$after" ]
}

exe_of() {
	readlink "/proc/$1/exe"
}

serves() {
	curl -sf --noproxy '*' "http://127.0.0.1:$PORT/" | grep -q hello
}

@test "redis-server" {
	need_command gdb
	start_redis
	ask_all_the_time redis --rate 2000
	if command -v redis-benchmark >/dev/null; then
		redis-benchmark -p "$PORT" -c 4 -r 100000 -n 100000000 -t set >"$DIR/other" 2>&1 3>&- &
		STARTED+=($!)
	fi
	dump_all_the_time "$(exe_of "$PID")" "$PID"
	all_answered
	[ ! -e "$DIR/other" ] || ! grep -qi error "$DIR/other"
	no grep -qi 'error\|crash\|signal' "$DIR/program.log"
}

@test "nginx" {
	need_command nginx gdb curl
	local workers
	PORT=$(free_port)
	mkdir "$DIR/www"
	chmod 755 "$DIR"
	echo 'hello' >"$DIR/www/index.html"
	cat >"$DIR/nginx.conf" <<-END
		worker_processes 2;
		daemon off;
		pid $DIR/nginx.pid;
		error_log $DIR/errors info;
		events { worker_connections 100; }
		http {
			access_log off;
			keepalive_requests 1000000;
			$(printf '%s_temp_path nginx-tmp;\n' client_body proxy fastcgi uwsgi scgi)
			server { listen 127.0.0.1:$PORT; root $DIR/www; }
		}
	END
	start nginx -e "$DIR/errors" -p "$DIR" -c "$DIR/nginx.conf"
	wait_for serves
	ask_all_the_time http --expect hello
	workers=$(cat "/proc/$PID/task/$PID/children")
	# shellcheck disable=SC2086
	dump_all_the_time "$(exe_of "$PID")" "$PID" $workers
	all_answered
	[ "$(cat "/proc/$(cat "$DIR/nginx.pid")/task/"*/children)" = "$workers" ]
	no grep -E '\[(warn|error|crit|alert|emerg)\]|exited' "$DIR/errors"
}

@test "PostgreSQL" {
	need_command gdb
	start_postgres
	query 'create table load (key int primary key, value text)'
	ask_all_the_time postgres --rate 300 --connections 4
	if command -v "$PG_BIN/pgbench" >/dev/null; then
		"$PG_BIN/pgbench" -h 127.0.0.1 -p "$PORT" -U test -i -q postgres >"$DIR/other" 2>&1 3>&-
		"$PG_BIN/pgbench" -h 127.0.0.1 -p "$PORT" -U test -c 3 -R 300 -T 3600 postgres \
			>"$DIR/other" 2>&1 3>&- &
		STARTED+=($!)
	fi
	busy() { [ "$(backends | wc -l)" -ge 4 ]; }
	backends() {
		query "select pid from pg_stat_activity where query ~ '^(insert|select value|UPDATE|END)'"
	}
	wait_for busy
	# It has System V shared memory, and asks who uses it.
	NO_FORK='System V shared memory'
	# shellcheck disable=SC2046
	dump_all_the_time "$PG_BIN/postgres" "$PID" $(backends)
	all_answered
	answers
	[ ! -e "$DIR/other" ] || ! grep -qiE 'error|abort|fatal' "$DIR/other"
	no grep -qE 'terminated|crash|PANIC|FATAL' "$DIR/program.log"
}

@test "node" {
	need_command node gdb curl
	PORT=$(free_port)
	cat >"$DIR/work.js" <<-'END'
		let old = [];
		const server = require('http').createServer((q, s) => {
			old.push(Array(1000).fill(old.length));
			if (old.length > 1000) old = [];
			s.end('hello ' + old.length);
		});
		server.keepAliveTimeout = 0;
		server.listen(+process.argv[2], '127.0.0.1');
	END
	start node "$DIR/work.js" "$PORT"
	wait_for serves
	ask_all_the_time http --expect hello
	dump_all_the_time "$(exe_of "$PID")" "$PID"
	all_answered
	[ ! -s "$DIR/program.log" ]
}

@test "java" {
	need_command java javac gdb curl
	PORT=$(free_port)
	cat >"$DIR/Work.java" <<-'END'
		import com.sun.net.httpserver.HttpServer;
		import java.net.InetSocketAddress;
		public class Work {
		    static volatile byte[] last;
		    public static void main(String[] args) throws Exception {
		        HttpServer server = HttpServer.create(
		            new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])), 0);
		        server.setExecutor(java.util.concurrent.Executors.newFixedThreadPool(4));
		        server.createContext("/", e -> {
		            last = new byte[20000];
		            byte[] answer = "hello".getBytes();
		            e.sendResponseHeaders(200, answer.length);
		            e.getResponseBody().write(answer);
		            e.close();
		        });
		        server.start();
		    }
		}
	END
	javac -d "$DIR/classes" "$DIR/Work.java"
	start java -Xmx16m -XX:+UseSerialGC -XX:ReservedCodeCacheSize=16m -cp "$DIR/classes" -Dsun.net.httpserver.nodelay=true \
		Work "$PORT"
	wait_for serves
	ask_all_the_time http --expect hello
	dump_all_the_time "$(exe_of "$PID")" "$PID"
	all_answered
	[ ! -s "$DIR/program.log" ]
}

@test "python3" {
	need_command python3 gdb curl
	PORT=$(free_port)
	cat >"$DIR/work.py" <<-'END'
		import http.server, sys
		class Handler(http.server.BaseHTTPRequestHandler):
		    protocol_version = "HTTP/1.1"
		    wbufsize = -1
		    disable_nagle_algorithm = True
		    def do_GET(self):
		        body = b"hello %d" % sum(range(1000))
		        self.send_response(200)
		        self.send_header("Content-Length", str(len(body)))
		        self.end_headers()
		        self.wfile.write(body)
		    def log_message(self, *args): pass
		http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
	END
	start "$(python3 -c 'import sys; print(sys.executable)')" "$DIR/work.py" "$PORT"
	wait_for serves
	ask_all_the_time http --expect hello --rate 300
	dump_all_the_time "$(exe_of "$PID")" "$PID"
	all_answered
	[ ! -s "$DIR/program.log" ]
}

# The DNS server of podman's containers, in Rust with tokio. It goes to the background by itself.
@test "aardvark-dns" {
	local server=/usr/lib/podman/aardvark-dns
	[ -x $server ] || skip "aardvark-dns is not installed"
	need_command gdb
	PORT=$(free_port)
	mkdir "$DIR/dns"
	printf '127.0.0.1\n%064d 10.88.0.2  backend\n' 1 >"$DIR/dns/net"
	$server --config "$DIR/dns" --port "$PORT" run >"$DIR/program.log" 2>&1 3>&-
	wait_for test -s "$DIR/dns/aardvark.pid"
	PID=$(cat "$DIR/dns/aardvark.pid")
	STARTED+=("$PID")
	dns_answers() { "$TOOLS/load" --seconds 1 --expect 10.88.0.2 dns "$PORT" >/dev/null; }
	wait_for dns_answers
	ask_all_the_time dns --expect 10.88.0.2
	dump_all_the_time $server "$PID"
	all_answered
}

@test "a Go server" {
	need_command gdb
	target_start gohttp
	PORT=$(key addr)
	PORT=${PORT##*:}
	ask_all_the_time http --expect Hello
	dump_all_the_time "$BUILD/targets/gohttp" "$PID"
	all_answered
	target_ok
	target_quit
}
