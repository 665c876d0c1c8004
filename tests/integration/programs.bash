# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # they come from common.bash, and go to the tests
# How programs that nobody here wrote are started. What they say is in $DIR/program.log.

# start COMMAND...: sets PID.
start() {
	"$@" >"$DIR/program.log" 2>&1 </dev/null 3>&- &
	PID=$!
	STARTED+=($PID)
}

free_port() {
	local port
	for port in $(shuf -i 20000-50000 -n 50); do
		(exec 5<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
	done
	echo "$port"
}

# Sets PID and PORT. Debian has the server in redis-tools, too, as a program that looks at its name.
start_redis() {
	local server
	server=$(command -v redis-server || command -v redis-check-rdb) ||
		skip "redis-server is not installed"
	need_command redis-cli
	PORT=$(free_port)
	# shellcheck disable=SC2016
	start bash -c 'exec -a redis-server "$@"' - "$server" --port "$PORT" --bind 127.0.0.1 \
		--save '' --dir "$DIR"
	answers() { [ "$(redis-cli -p "$PORT" ping 2>/dev/null)" = PONG ]; }
	wait_for answers
}

# Sets PID, PORT and PG_BIN, where the programs are. query SQL asks it as user test.
start_postgres() {
	need_command psql setpriv
	need_root
	local exe as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	for exe in /usr/lib/postgresql/*/bin/postgres /usr/local/bin/postgres "$(command -v postgres)"; do
		[ -x "$exe" ] && exe=$(readlink -f "$exe") && break
	done
	[ -x "$exe" ] || skip "postgres is not installed"
	PG_BIN=$(dirname "$exe")
	[ -x "$PG_BIN/initdb" ] || skip "initdb is not installed"
	PORT=$(free_port)
	chmod 755 "$DIR"
	mkdir "$DIR/pg"
	chown 65534:65534 "$DIR/pg"
	"${as[@]}" env HOME="$DIR/pg" \
		"$PG_BIN/initdb" -A trust -U test "$DIR/pg/data" >"$DIR/initdb.log" 2>&1 ||
		skip "initdb: $(tail -n 3 "$DIR/initdb.log")"
	start "${as[@]}" "$PG_BIN/postgres" -D "$DIR/pg/data" -p "$PORT" -h 127.0.0.1 -k "$DIR/pg" -F \
		-c shared_buffers=16MB
	answers() { [ "$(query 'select 1')" = 1 ]; }
	wait_for answers
}

query() {
	psql -h 127.0.0.1 -p "$PORT" -U test -Atqc "$1" postgres
}
