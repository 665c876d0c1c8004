#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Where the core goes, what is said about it, and what is left when there is none.

load common

# run_as_nobody COMMAND...
as_nobody() {
	setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all "$@"
}

small_file_system() { # SIZE: a mounted tmpfs at $SMALL
	need_mount
	SMALL=$DIR/small
	mkdir "$SMALL"
	mount -t tmpfs -o "size=$1" tmpfs "$SMALL" || skip "tmpfs cannot be mounted"
	at_end "umount -l '$SMALL'"
}

# The terminal's side of a command line, in $output.
in_terminal() { # COMMAND-LINE
	need_command script
	status=0
	output=$(TERM=xterm script -qec "$1" /dev/null </dev/null) || status=$?
}

# ---- names -------------------------------------------------------------------------------------

@test "the default name, -o FILE, -o DIRECTORY" {
	target_start simple
	snapctl dump "$PID"
	expect 0
	only_files "core.$PID"
	[[ $output == "core.$PID: "* ]]
	rm "core.$PID"
	snapctl dump --compress "$PID"
	expect 0
	only_files "core.$PID.zst"
	rm "core.$PID.zst"
	snapctl dump -o "$OUT/other" "$PID"
	expect 0
	only_files other
	rm other
	mkdir sub
	snapctl dump -o sub "$PID"
	expect 0
	[ -f "sub/core.$PID" ]
	snapctl dump -f -o sub/ "$PID"
	expect 0
	only_files sub "sub/core.$PID"
	snapctl dump -o nothing/ "$PID"
	expect $EX_FAILED
	error_has nothing
	snapctl dump -o nothing/core "$PID"
	expect $EX_FAILED
	snapctl dump -o '' "$PID"
	expect $EX_USAGE
	snapctl dump -o sub/core."$PID"/x "$PID"
	expect $EX_FAILED
	only_files sub "sub/core.$PID"
	unharmed
}

@test "an existing file is not replaced without --force" {
	target_start simple
	echo precious >"$CORE"
	snapctl dump -o "$CORE" "$PID"
	expect $EX_FAILED
	error_has "exists" --force
	[ "$(cat "$CORE")" = precious ]
	only_files core
	local i
	i=$(stat -c %i "$CORE")
	ln "$CORE" "$DIR/link"
	snapctl dump -f -o "$CORE" "$PID"
	expect 0
	well_formed
	# It was replaced, and not written over.
	[ "$(cat "$DIR/link")" = precious ]
	[ "$(stat -c %i "$CORE")" != "$i" ]
	only_files core
	mkdir dir.core dir.core/sub
	snapctl dump -f -o dir.core/sub/.. "$PID"
	expect 0
	[ -f "dir.core/sub/../core.$PID" ]
}

@test "a planted symbolic link is not followed" {
	target_start simple
	local victim=$DIR/victim force
	echo precious >"$victim"
	ln -s "$victim" "core.$PID"
	snapctl dump "$PID"
	expect $EX_FAILED
	[ "$(cat "$victim")" = precious ]
	[ -L "core.$PID" ]
	snapctl dump --force "$PID"
	expect 0
	[ "$(cat "$victim")" = precious ]
	[ ! -L "core.$PID" ]
	well_formed "core.$PID"
	# One that leads nowhere must not create anything there either.
	for force in '' --force; do
		rm -f "core.$PID"
		ln -s "$DIR/nowhere" "core.$PID"
		snapctl dump $force "$PID"
		[ ! -e "$DIR/nowhere" ]
	done
	# A link to a directory is a directory, as everywhere.
	mkdir "$DIR/real"
	ln -s "$DIR/real" linked
	snapctl dump -o linked "$PID"
	expect 0
	[ -f "$DIR/real/core.$PID" ]
	unharmed
}

@test "mode 0600 and the caller's own, whatever the umask is" {
	target_start simple
	local mask
	for mask in 000 022 077; do
		(umask $mask && snapctl dump -f -o "$CORE" "$PID" && expect 0)
		[ "$(stat -c %a "$CORE")" = 600 ]
		(umask $mask && snapctl dump -f -z -o "$CORE" "$PID" && expect 0)
		[ "$(stat -c %a "$CORE")" = 600 ]
	done
	[ "$(stat -c %u "$CORE")" = "$(id -u)" ]
	(umask 777 && snapctl dump -f -o "$CORE" "$PID" && expect 0)
	[ -e "$CORE" ]
}

@test "a file system without O_TMPFILE" {
	[ -z "${PROCSNAP_SANITIZED-}" ] || skip "a preloaded library and a sanitizer exclude each other"
	target_start simple
	local lack
	for lack in '' 1; do
		export LD_PRELOAD=$TOOLS/no-tmpfile.so NO_NOREPLACE=$lack
		[ -n "$lack" ] || unset NO_NOREPLACE
		snapctl dump -o "$CORE" "$PID"
		expect 0
		only_files core
		[ "$(stat -c %a "$CORE")" = 600 ]
		well_formed
		snapctl dump -o "$CORE" "$PID"
		expect $EX_FAILED
		error_has exists
		echo old >"$CORE"
		snapctl dump -f -o "$CORE" "$PID"
		expect 0
		well_formed
		snapctl dump -f -z -o "$CORE" "$PID"
		expect 0
		zstd -qt <"$CORE"
		only_files core
		rm "$CORE"
		# Nothing stays when it fails.
		snapctl dump -o "$CORE" --max-pause 1ns "$PID"
		expect $EX_PAUSE
		snapctl dump -z -o "$CORE" --max-pause 1ns "$PID"
		expect $EX_PAUSE
		only_files
	done
	unset LD_PRELOAD NO_NOREPLACE
	unharmed
}

@test "real file systems without O_TMPFILE" {
	need_mount
	local type opts tried=
	mkdir "$DIR/other"
	for type in vfat ntfs3 exfat 9p overlay ramfs; do
		grep -qw $type /proc/filesystems || continue
		case $type in
		overlay)
			mkdir "$DIR/lower" "$DIR/upper" "$DIR/work"
			opts=lowerdir=$DIR/lower,upperdir=$DIR/upper,workdir=$DIR/work
			;;
		ramfs) opts=size=64m ;;
		*)
			command -v mkfs.$type >/dev/null || continue
			truncate -s 64M "$DIR/image.$type"
			mkfs.$type "$DIR/image.$type" >/dev/null 2>&1 || continue
			opts=loop
			;;
		esac
		mount -t $type -o "$opts" "$([ -e "$DIR/image.$type" ] && echo "$DIR/image.$type" ||
			echo none)" "$DIR/other" 2>/dev/null || continue
		at_end "umount -l '$DIR/other' 2>/dev/null || true"
		tried="$tried $type"
		[ -n "${T_PID[0]-}" ] || target_start simple
		snapctl dump -o "$DIR/other/" "$PID"
		expect 0
		well_formed "$DIR/other/core.$PID"
		snapctl dump -o "$DIR/other/" "$PID"
		expect $EX_FAILED
		snapctl dump -f -o "$DIR/other/" "$PID"
		expect 0
		snapctl dump -z -o "$DIR/other/" "$PID"
		expect 0
		[ "$(find "$DIR/other" -type f | wc -l)" = 2 ]
		umount "$DIR/other"
	done
	[ -n "$tried" ] || skip "none can be mounted here"
	echo "tried:$tried"
	unharmed
}

# ---- standard output ---------------------------------------------------------------------------

# Offsets where two files differ, one a line.
differences() {
	cmp -l "$1" "$2" 2>/dev/null | awk '{ print $1 - 1 }'
}

# Where the times and the pause stand in procsnap's note: see procsnap-core(5).
own_note_offset() {
	grep -obUaP 'procsnap\x00' "$1" | head -n 1 | cut -d: -f1
}

@test "standard output is the same core" {
	target_start stopped # which does not change between two dumps
	snapctl dump -o "$CORE" "$PID"
	expect 0
	"$SNAPCTL" dump -o - "$PID" 2>"$DIR/stderr" 3>&- | cat >piped
	[ "$(stat -c %s piped)" = "$(stat -c %s "$CORE")" ]
	well_formed piped
	local at diff note
	note=$(($(own_note_offset "$CORE") + 12)) # 9 bytes of name, padded to 12
	for at in $(differences piped "$CORE"); do
		# realtime_ns, monotonic_ns, pause_ns; and times of the process in NT_PRSTATUS
		((at >= note + 32 && at < note + 56)) || diff="${diff-} $at"
	done
	[ -z "${diff-}" ] || fail "they differ at$diff"
	# What is said goes to standard error.
	[[ $(cat "$DIR/stderr") == *"paused for"* ]]
	snapctl dump -o - --json "$PID"
	expect 0
	jq -e '.path == "-"' <<<"$errors" >/dev/null
	[ "$(head -c 4 "$DIR/stdout")" = $'\x7fELF' ]
	"$SNAPCTL" dump -z -o - "$PID" 2>/dev/null 3>&- | zstd -dc >unpacked
	well_formed unpacked
	only_files core piped unpacked
	target_ok
}

@test "standard output closed half-way, and full" {
	target_start gap-probe 64
	{
		status=0
		"$SNAPCTL" dump -o - "$PID" 2>"$DIR/stderr" 3>&- || status=$?
		echo $status >"$DIR/status"
	} | head -c 1000 >/dev/null
	[ "$(cat "$DIR/status")" = $EX_FAILED ]
	[ -s "$DIR/stderr" ]
	wait_free "$PID"
	if [ -e /dev/full ]; then
		status=0
		"$SNAPCTL" dump -o - "$PID" >/dev/full 2>"$DIR/stderr" 3>&- || status=$?
		[ $status = $EX_SPACE ] || [ $status = $EX_FAILED ]
	fi
	unharmed
}

@test "a terminal is refused" {
	target_start simple
	in_terminal "'$SNAPCTL' dump -o - $PID"
	[ "$status" = $EX_USAGE ]
	[[ $output == *terminal* ]]
	[[ $output != *ELF* ]]
	unharmed
}

# ---- compression -------------------------------------------------------------------------------

@test "compressed and not, it is the same core" {
	target_start stopped
	snapctl dump -o "$CORE" "$PID"
	local level
	for level in '' =1 =19; do
		snapctl dump -f -o packed.zst "--compress$level" --json "$PID"
		expect 0
		(($(field .bytes_on_disk) == $(stat -c %b packed.zst) * 512))
		zstd -qt packed.zst
		zstd -qdf packed.zst -o unpacked
		well_formed unpacked
		[ "$(stat -c %s unpacked)" = "$(stat -c %s "$CORE")" ]
		"$CORECHECK" compare "$CORE" unpacked
	done
	snapctl dump -f -o packed.zst -z5 "$PID"
	expect 0
	zstd -qt packed.zst
	# The seek table of the seekable format is the last thing in the file.
	[ "$(tail -c 4 packed.zst | od -An -tx1 | tr -d ' ')" = b1ea928f ]
	local frames
	frames=$(tail -c 9 packed.zst | head -c 4 | od -An -tu4 | tr -d ' ')
	((frames == ($(stat -c %s unpacked) + (1 << 20) - 1) >> 20))
	for level in 0 20 -1 x 3x; do
		snapctl dump -f -o packed.zst "--compress=$level" "$PID"
		expect $EX_USAGE
	done
	target_ok
}

@test "the seek table leads to every frame" {
	need_command zstd
	target_start gap-probe 16 --fill heap
	dump -z
	expect 0
	local frames size at=0 n i
	frames=$(tail -c 9 "$CORE" | head -c 4 | od -An -tu4 | tr -d ' ')
	size=$(stat -c %s "$CORE")
	# Skippable frame: magic, size, 8 bytes for each frame, footer of 9 bytes.
	i=0
	for n in $(tail -c $((frames * 8 + 9)) "$CORE" | head -c $((frames * 8)) |
		od -An -v -w8 -tu4 | awk '{ print $1 }'); do
		if ((i++ % 5 == 0)); then
			tail -c +$((at + 1)) "$CORE" | head -c "$n" | zstd -qdc | wc -c >"$DIR/n"
			(($(cat "$DIR/n") == 1 << 20 || i == frames))
		fi
		at=$((at + n))
	done
	((at + 8 + frames * 8 + 9 == size))
	unharmed
}

# ---- when there is no room ---------------------------------------------------------------------

@test "not enough room: exit status 7 before anything is done" {
	small_file_system 16m
	target_start gap-probe 64
	snapctl dump --json -o "$SMALL/core" "$PID"
	expect $EX_SPACE
	[ "$(field .error.code)" = no-space ]
	error_has "free"
	[ -z "$(ls -A "$SMALL")" ]
	unharmed
}

# Memory that only another process has touched is in no estimate, so the disk fills up during the dump.
# 12 MiB in $SMALL, which must not be known when the dump begins.
believed_large() {
	[ -z "${PROCSNAP_SANITIZED-}" ] || skip "a preloaded library and a sanitizer exclude each other"
	small_file_system 12m
}

@test "the disk becomes full: exit status 7, nothing left" {
	believed_large
	target_start gap-probe 32
	export LD_PRELOAD=$TOOLS/much-space.so
	snapctl dump -o "$SMALL/core" "$PID"
	expect $EX_SPACE
	error_has "No space"
	[ -z "$(ls -A "$SMALL")" ]
	unharmed
	snapctl dump -z -o "$SMALL/core" "$PID"
	expect $EX_SPACE
	unset LD_PRELOAD
	[ -z "$(ls -A "$SMALL")" ]
	unharmed
	[ "$(df --output=used "$SMALL" | tail -n 1 | tr -d ' ')" = 0 ]
}

@test "the disk becomes full: --keep-partial keeps what there is, marked" {
	believed_large
	target_start gap-probe 32
	dump() { snapctl dump -f -o "$SMALL/core" "$@" "$PID"; }
	export LD_PRELOAD=$TOOLS/much-space.so
	dump --keep-partial --json
	unset LD_PRELOAD
	expect $EX_PARTIAL
	CORE=$SMALL/core
	well_formed
	[ "$(note partial)" = 1 ]
	"$CORECHECK" note "$CORE" | grep -q '^gap .* aborted$'
	field '.lost_bytes > 0' >/dev/null
	error_has "missing"
	unharmed
	rm "$CORE"
	# Also when the memory counts, and there is too little from the start.
	target_start gap-probe 64
	dump --keep-partial --json
	expect $EX_PARTIAL
	[ "$(note partial)" = 1 ]
	unharmed
}

@test "a file size limit" {
	target_start gap-probe 16
	(
		ulimit -f 2048
		snapctl dump -o "$CORE" "$PID"
		expect $EX_FAILED
		error_has "limit"
	)
	only_files
	unharmed
}

@test "a read-only directory and one that is not ours" {
	need_root
	target_start simple
	chmod 755 "$DIR"
	mkdir "$DIR/theirs"
	launch_nobody simple
	status=0
	as_nobody "$SNAPCTL" dump -o "$DIR/theirs/core" "$PID" 2>"$DIR/stderr" >/dev/null || status=$?
	errors=$(cat "$DIR/stderr")
	expect $EX_FAILED
	error_has "theirs" "Permission denied"
	[ -z "$(ls -A "$DIR/theirs")" ]
	target_ok
	need_mount
	mkdir "$DIR/ro"
	mount -t tmpfs -o ro tmpfs "$DIR/ro" || skip "tmpfs cannot be mounted"
	at_end "umount -l '$DIR/ro'"
	snapctl dump -o "$DIR/ro/core" "$PID"
	expect $EX_FAILED
	error_has "Read-only"
	target_ok
}

# ---- the pause ---------------------------------------------------------------------------------

@test "the pause budget is used up: exit status 8, nothing left" {
	target_start gap-probe 256
	local opts
	for opts in '' '-z' '--json'; do
		# shellcheck disable=SC2086
		dump --mode=copy --max-pause 1ms $opts
		expect $EX_PAUSE
		error_has "$PID" "1.00 ms"
		only_files
		unharmed
	done
	[ "$(field .error.code)" = pause-exceeded ]
	dump --max-pause 100s
	expect 0
	unharmed
}

@test "the pause budget with --keep-partial: a core that is marked" {
	target_start gap-probe 256
	dump --mode=copy --max-pause 5ms --keep-partial --json
	if [ "$status" != $EX_PAUSE ]; then # too short even to begin, on a slow machine
		expect $EX_PARTIAL
		[ "$(note partial)" = 1 ]
		well_formed
		only_files core
	fi
	unharmed
}

@test "words that are no time" {
	target_start simple
	local bad
	for bad in 0 -1 1x '' ms 1e400 nan inf 0x10 1ms2 '1 s' 0ns 99999999999s; do
		dump --max-pause "$bad"
		expect $EX_USAGE
	done
	only_files
	for bad in 1s 1.5s 100000us 1m 3600; do
		dump --max-pause $bad
		expect 0
	done
	dump --filter 0x200
	expect $EX_USAGE
	dump --filter x
	expect $EX_USAGE
	dump --all --filter 1
	expect $EX_USAGE
	unharmed
}

# ---- dry run -----------------------------------------------------------------------------------

@test "--dry-run touches nothing and shows what would be dumped" {
	target_start gap-probe 64 --untouched
	local rss
	rss=$(smaps_sum "$PID" Rss)
	snapctl dump -n "$PID"
	expect 0
	only_files
	[[ $output == *"MEMORY"*"DUMPED"* ]]
	[[ $output == *"private anonymous"* ]]
	[[ $output == *"never touched"* ]]
	[[ $output == *"core.$PID"* ]]
	(($(smaps_sum "$PID" Rss) <= rss + 64))
	snapctl dump -n --json "$PID"
	expect 0
	field '.pid == '"$PID"' and .threads == 2 and .pause_ns > 0 and .bytes > 0 and
		.bytes_on_disk > 0 and .free_bytes > 0 and .path == "core.'"$PID"'"' >/dev/null
	field '[.classes[] | select(.class == "never touched" and .dumped == false and
		.bytes >= 67108864)] | length == 1' >/dev/null
	field '[.classes[] | (.class | type) == "string" and (.dumped | type) == "boolean" and
		.mappings > 0 and .data_bytes >= 0] | all' >/dev/null
	# An existing file is in nobody's way: nothing is written.
	echo precious >"core.$PID"
	snapctl dump -n "$PID"
	expect 0
	[ "$(cat "core.$PID")" = precious ]
	unharmed
}

@test "--dry-run attaches to nobody" {
	need_command strace
	[ -z "${PROCSNAP_SANITIZED-}" ] || skip "sanitizers do not like to be traced"
	target_start simple
	strace -f -qq -o "$DIR/trace" -e trace=ptrace,process_vm_readv,kill,tgkill,rt_sigqueueinfo \
		-e signal=none "$SNAPCTL" dump -n "$PID" >/dev/null
	no grep -q 'ptrace(' "$DIR/trace"
	no grep -q "kill($PID" "$DIR/trace"
	unharmed
}

@test "--dry-run makes no file, not even for a moment, and needs no terminal to redirect" {
	need_command strace
	[ -z "${PROCSNAP_SANITIZED-}" ] || skip "sanitizers do not like to be traced"
	target_start simple
	strace -f -qq -o "$DIR/trace" -e trace=open,openat,creat,unlink,unlinkat,mkdir "$SNAPCTL" \
		dump -n -o "$DIR/" --compress "$PID" >/dev/null
	no grep -E 'O_CREAT|O_TMPFILE|creat\(|unlink|mkdir' "$DIR/trace"
	script -qec "'$SNAPCTL' dump -n -o - $PID" "$DIR/typescript" >/dev/null
	grep -q 'Expected pause' "$DIR/typescript"
	unharmed
}

@test "--dry-run of what cannot be dumped" {
	target_start traced
	snapctl dump -n "$PID"
	expect $EX_TRACED
	error_has "$(key tracer)"
	snapctl dump -n 4194303
	expect $EX_GONE
	target_ok
}

@test "the size that a dry run promises is the size of the core" {
	local target
	for target in simple threads memory; do
		target_start $target
		snapctl dump -n --json "$PID"
		local promised on_disk
		promised=$(field .bytes)
		on_disk=$(field .bytes_on_disk)
		dump --json
		echo "$target: $promised promised, $(field .bytes) written;" \
			"$on_disk promised on disk, $(field .bytes_on_disk) written"
		(($(field .bytes) <= promised + (16 << 20)))
		(($(field .bytes_on_disk) <= on_disk + (16 << 20)))
	done
}

# ---- what is said ------------------------------------------------------------------------------

@test "--json: every documented field, one object for each process" {
	target_start simple
	local first=$PID
	target_start memory
	snapctl dump --json -o "$OUT" "$first" 4194303 "$PID"
	expect $EX_GONE
	[ "$(jq -s length <<<"$output")" = 3 ]
	jq -es '.[0] | .pid == '"$first"' and .comm == "simple" and .threads == 5 and .mode == "copy"
		and (.exe | endswith("targets/simple")) and (.kernel | length > 0) and .mappings > 10
		and .pause_ns > 0 and .wall_ns >= .pause_ns and .bytes > 4096 and .bytes_on_disk > 0
		and .gaps == [] and .gap_bytes == 0 and .lost_bytes == 0 and .warnings == []
		and .path == "'"$OUT/core.$first"'"' <<<"$output" >/dev/null
	jq -es '.[1] | .pid == 4194303 and .error.code == "no-such-process" and
		(.error.message | length > 10)' <<<"$output" >/dev/null
	jq -es '.[2] | .gap_bytes == ([.gaps[] | .end - .start] | add // 0)' <<<"$output" >/dev/null
	error_has 4194303
}

@test "--json of an error that is not about a process" {
	snapctl dump --json x
	expect $EX_USAGE
	jq -e '.error.code == "usage"' <<<"$output" >/dev/null
}

@test "--quiet says nothing but errors and warnings" {
	target_start simple
	dump --quiet
	expect 0
	[ -z "$output$errors" ]
	snapctl dump -q -o "$CORE" "$PID"
	expect $EX_FAILED
	[ -z "$output" ]
	[ -n "$errors" ]
	dump -q --json
	field .pid >/dev/null
	in_terminal "'$SNAPCTL' dump -q -f -o '$CORE' $PID"
	[ -z "$output" ]
}

@test "progress on a terminal leaves no trace" {
	target_start gap-probe 256
	in_terminal "'$SNAPCTL' dump -f -o '$CORE' $PID"
	[ "$status" = 0 ]
	[[ $output == *"paused for"* ]]
	# Whatever was shown before was wiped.
	local last=${output##*$'\e[K'}
	[[ $last == "$CORE: "*"paused for"* ]]
	unharmed
}

# What a process calls itself reaches a terminal only in an escaped form.
@test "hostile names" {
	local name options out
	for name in $'x\e[31mred' $'two\nlines' $'bad\xff\xfeutf8' $'c1\xc2\x9b31m' $'del\x7f' \
		'back\slash' $'cr\rcr' '{"json":1}' ') R 1 (' $'\xe2\x80\xaeright'; do
		cp "$BUILD/targets/simple" "$DIR/$name"
		target_start "$DIR/$name" --no-spin
		for options in '' --json --dry-run '--dry-run --json'; do
			# shellcheck disable=SC2086
			snapctl dump -f -o "$CORE" $options "$PID"
			expect 0
			out=$output$errors
			[[ $out != *[$'\e\x7f\r']* ]] || fail "raw control character for $(printf %q "$name")"
			[[ $out != *$'\xc2\x9b'* && $out != *$'\xff'* ]] || fail "raw bytes"
			iconv -f UTF-8 -t UTF-8 <<<"$out" >/dev/null
			[[ $options != *json* ]] || jq -e .comm <<<"$output" >/dev/null
			[[ $options != '' ]] || [ "$(wc -l <"$DIR/stdout")" = 1 ]
		done
		well_formed
		unharmed
		target_quit
	done
}

@test "the name of a hostile tracer" {
	cp "$BUILD/targets/traced" "$DIR/"$'a\e[1mb'
	target_start "$DIR/"$'a\e[1mb'
	dump
	expect $EX_TRACED
	[[ $errors != *$'\e'* ]]
	error_has '\x1b'
	# Escaped once, not twice.
	[[ $errors != *'x5cx1b'* ]]
}

@test "hostile file names in messages" {
	target_start simple
	local name=$'no\e[31m/such'
	in_terminal "'$SNAPCTL' dump -o '$name' $PID"
	[ "$status" = $EX_FAILED ]
	[[ $output != *$'\e[31m'* ]]
	snapctl dump $'\e[31mx'
	expect $EX_USAGE
	[[ $errors != *$'\e'* ]]
	snapctl $'\e[31mx'
	expect $EX_USAGE
	[[ $errors != *$'\e'* ]]
}

# ---- other users -------------------------------------------------------------------------------

# launch_nobody NAME...: a target of user nobody, who can write to $OUT.
launch_nobody() {
	need_command setpriv
	chmod 755 "$DIR"
	chmod 777 "$OUT"
	as_nobody test -x "$BUILD/targets/$1" || skip "nobody cannot reach $BUILD"
	# A change of user makes a process not dumpable, until it execs.
	target_start "$(command -v setpriv)" --reuid=65534 --regid=65534 --clear-groups \
		"$BUILD/targets/$@"
}

@test "a user dumps his own process" {
	need_root
	launch_nobody simple
	status=0
	as_nobody "$SNAPCTL" dump --json -o "$CORE" "$PID" >"$DIR/stdout" 2>"$DIR/stderr" || status=$?
	output=$(cat "$DIR/stdout") errors=$(cat "$DIR/stderr")
	expect 0
	[ "$(stat -c %u:%a "$CORE")" = 65534:600 ]
	well_formed
	verify_content
	unharmed
}

@test "but not those of others, and the message says why" {
	need_root
	need_command setpriv
	chmod 755 "$DIR"
	chmod 777 "$OUT"
	local name
	for name in simple 'nodump setuid 65534'; do
		# shellcheck disable=SC2086
		target_start $name
		as_nobody test -x "$SNAPCTL" || skip "nobody cannot reach $BUILD"
		for name in '' -n; do
			status=0
			as_nobody "$SNAPCTL" dump $name --json -o "$CORE" "$PID" \
				>"$DIR/stdout" 2>"$DIR/stderr" || status=$?
			output=$(cat "$DIR/stdout") errors=$(cat "$DIR/stderr")
			expect $EX_DENIED
			error_has "$PID"
			[[ $errors == *"uid 0"* || $errors == *non-dumpable* ]]
			[ "$(field .error.code)" = not-permitted ]
			only_files
		done
		unharmed
	done
}

@test "root without CAP_SYS_PTRACE is told so" {
	need_root
	need_command setpriv
	launch_nobody simple
	status=0
	setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace \
		"$SNAPCTL" dump -o "$CORE" "$PID" 2>"$DIR/stderr" >"$DIR/stdout" || status=$?
	errors=$(cat "$DIR/stderr") output=
	expect $EX_DENIED
	error_has CAP_SYS_PTRACE
	only_files
	unharmed
}

# ---- gcore -------------------------------------------------------------------------------------

@test "gcore: the verb and the name" {
	target_start simple
	local first=$PID how
	ln -s "$SNAPCTL" "$DIR/gcore"
	target_start threads 10
	for how in "$SNAPCTL gcore" "$DIR/gcore"; do
		status=0
		# shellcheck disable=SC2086
		output=$($how "$first" "$PID" 2>"$DIR/stderr") || status=$?
		[ $status = 0 ]
		[ "$output" = "Saved corefile core.$first"$'\n'"Saved corefile core.$PID" ]
		[ ! -s "$DIR/stderr" ]
		only_files $(printf '%s\n' "core.$first" "core.$PID" | sort)
		well_formed "core.$PID"
		# It replaces, as gdb's does.
		# shellcheck disable=SC2086
		output=$($how -o "$OUT/some" -d /nowhere -g /no/gdb "$PID")
		[ "$output" = "Saved corefile $OUT/some.$PID" ]
		# shellcheck disable=SC2086
		output=$($how -a -o "$OUT/some" "$PID")
		rm -f ./*
		status=0
		# shellcheck disable=SC2086
		output=$($how 4194303 2>"$DIR/stderr") || status=$?
		[ $status = 1 ]
		[ "$output" = "gcore: failed to create core.4194303" ]
		[ -s "$DIR/stderr" ]
		status=0
		# shellcheck disable=SC2086
		output=$($how nonsense 2>"$DIR/stderr") || status=$?
		[ $status = 1 ]
		[ "$output" = "gcore: failed to create core.nonsense" ]
		for bad in '' '-o x' '-x 1' '--foo 1' '-o'; do
			status=0
			# shellcheck disable=SC2086
			output=$($how $bad 2>&1) || status=$?
			[ $status = 2 ]
			[[ $output == usage:* ]]
		done
		for good in -h --help -v --version; do
			# shellcheck disable=SC2086
			$how $good >/dev/null
		done
		only_files
	done
	unharmed
}

@test "gcore -a has what MADV_DONTDUMP left out" {
	target_start memory
	snapctl gcore "$PID"
	expect 0
	local addr
	addr=$(key dontdump | cut -d: -f1)
	[ "$("$CORECHECK" dumped "core.$PID" "$addr" 16384)" = 0 ]
	snapctl gcore -a "$PID"
	expect 0
	"$CORECHECK" verify "core.$PID" "dontdump=$(key dontdump)"
	unharmed
}

@test "wrong usage" {
	snapctl
	expect $EX_USAGE
	snapctl frob
	expect $EX_USAGE
	snapctl dump
	expect $EX_USAGE
	snapctl dump --frob 1
	expect $EX_USAGE
	error_has frob
	snapctl dump -o
	expect $EX_USAGE
	snapctl dump -o file 1 2
	expect $EX_USAGE
	snapctl dump --quiet=yes 1
	expect $EX_USAGE
	status=0
	"$BUILD/procsnap-worker" 2>/dev/null </dev/null 3>&- || status=$?
	[ $status != 0 ]
	status=0
	"$BUILD/procsnap-worker" x 2>/dev/null || status=$?
	[ $status = $EX_USAGE ]
}

@test "the worker survives nonsense on its socket" {
	local input
	for input in '' '{}' '{"version":1}' 'x' '[]' "$(head -c 70000 /dev/zero | tr '\0' '[')"; do
		status=0
		printf '%s' "$input" >"$DIR/input"
		"$BUILD/procsnap-worker" 3<"$DIR/input" 2>/dev/null || status=$?
		((status != 0 && status < 128)) || fail "exit status $status for '${input:0:20}'"
	done
}
