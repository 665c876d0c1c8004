#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Programs and libraries that are kept with crashes: the container is gone, and debuggers still find
# them; each is stored once, and as long as a dump has it; nobody gets at another one's, or puts a file
# of his in its place.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154 # other shells expand; each test is a process

load common
load ../tools/daemon
load ../tools/crash

USER_ID=54321 OTHER_ID=54322

# Maps the files it is given to be executed, and crashes in a function of its library.
write_sources() {
	cat >"$DIR/thing.c" <<-'END'
		#ifndef WHAT
		#define WHAT 1
		#endif
		volatile int which = WHAT;
		void __attribute__((noinline)) library_function(int *p)
		{
			*p = which;
			which++;
		}
	END
	cat >"$DIR/program.c" <<-'END'
		#include <fcntl.h>
		#include <stdio.h>
		#include <stdlib.h>
		#include <string.h>
		#include <sys/mman.h>
		#include <unistd.h>
		void library_function(int *p);
		int __attribute__((noinline)) program_function(int *p)
		{
			library_function(p);
			return *p;
		}
		int main(int argc, char *argv[])
		{
			for (int i = 1; i < argc; i++) {
				int fd = open(argv[i], O_RDONLY);
				if (fd < 0 || mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) ==
						MAP_FAILED)
					exit(99);
				if (strstr(argv[i], "swapped") &&
				    (rename(argv[i], "/tmp/was") || unlink("/tmp/was") ||
				     symlink("/etc/shadow", argv[i])))
					exit(98);
			}
			return program_function(NULL);
		}
	END
}

# build_thing FILE [FLAG...]: the library; build_program FILE: what needs it.
build_thing() {
	gcc -g -O0 -shared -fPIC -Wl,--build-id,-soname,libthing.so.1 -o "$1" "$DIR/thing.c" "${@:2}"
}

build_program() {
	build_thing "$DIR/libthing.so.1"
	gcc -g -O0 -Wl,--build-id -o "$1" "$DIR/program.c" "$DIR/libthing.so.1" -Wl,-rpath,/opt/lib
}

# make_container FOLDER: a tree with the program, its library under another name than the linker's, and
# what both need.
make_container() {
	local file
	mkdir -p "$1/bin" "$1/opt/lib" "$1/tmp" "$1/dev"
	chmod 1777 "$1/tmp"
	[ -e "$DIR/program" ] || build_program "$DIR/program"
	cp "$DIR/program" "$1/bin/"
	cp "$DIR/libthing.so.1" "$1/opt/lib/libthing.so.1.2"
	ln -s libthing.so.1.2 "$1/opt/lib/libthing.so.1"
	for file in $(ldd "$DIR/program" | grep -oE '/lib[^ ]*'); do
		mkdir -p "$1${file%/*}"
		cp -L "$file" "$1$file"
	done
}

containers() {
	need_mount
	need_command gcc gdb chroot
	crash_handler
	write_sources
	mkdir "$DIR/c"
	chmod 755 "$DIR/c"
	make_container "$DIR/c/one"
}

# crash_inside FOLDER USER [FILE...]: in its own mount namespace.
crash_inside() {
	crash_begin unshare --mount chroot --userspec="$2:$2" "$1" /bin/program "${@:3}"
	wait "$PID" || true
}

# The folder of the dump.
kept_in() {
	ID=$(jq -r .id <<<"$ENTRY")
	KEPT=$STORE/binaries/$ID
}

# The file that was kept, by the end of its name.
kept() { # NAME
	local place
	place=$(jq -r --arg name "$1" '.binaries[] | select(.name | endswith($name)).file' "$META")
	[ -n "$place" ] && [ "$place" != null ] || fail "$1 was not kept" "$(jq -c .binaries "$META")" ||
		return 1
	echo "$KEPT/$place"
}

why_not() { # NAME
	jq -r --arg name "$1" '.binaries[] | select(.name | endswith($name)).why // ""' "$META"
}

contents() {
	find "$STORE/binaries/by-hash" -type f 2>/dev/null | wc -l
}

# What gdb says of the dump: nothing of the tree is there any more.
backtrace() { # WHAT
	printf 'bt\ninfo shared\nquit\n' | "$SNAPCTL" debug "${1-$ID}" gdb >"$DIR/gdb" 2>&1 ||
		fail "$(cat "$DIR/gdb")"
	grep -E '^#0 .*library_function' "$DIR/gdb" && grep -E '^#1 .*program_function' "$DIR/gdb" &&
		grep -E '^#2 .*main' "$DIR/gdb" || fail "$(cat "$DIR/gdb")" || return 1
}

@test "a container is gone: backtrace, record, and other debuggers have its names" {
	containers
	crash_daemon CaptureBinaries=containers
	crash_inside "$DIR/c/one" 0
	rm -r "$DIR/c/one"
	recorded
	kept_in
	entry_has '.binaries >= 4'
	cmp "$DIR/program" "$(kept /bin/program)"
	cmp "$DIR/libthing.so.1" "$(kept /opt/lib/libthing.so.1.2)"
	# The record was made without the tree, too.
	meta_has '[.stacks.threads[0].frames[].symbol] | contains(["library_function", "program_function"])'
	backtrace
	[ "$(grep -c '  Yes  ' "$DIR/gdb")" = 3 ] || fail "$(cat "$DIR/gdb")"
	# The links for gdb are gone with it.
	[ -z "$(find /var/tmp -maxdepth 1 -name 'procsnap-debug.*' -newer "$DIR/gdb")" ]
	backtrace "$FILE"
	get_core
	if command -v eu-stack >/dev/null; then
		eu-stack --core="$CORE" --debuginfo-path="$KEPT" >"$DIR/eu" 2>&1 || true
		grep -F library_function "$DIR/eu" && grep -F program_function "$DIR/eu"
	fi
	# As debuggers look for it.
	local id
	id=$(readelf -n "$DIR/program" | sed -n 's/.*Build ID: //p')
	cmp "$DIR/program" "$KEPT/.build-id/${id:0:2}/${id:2}"
	snapctl info "$ID"
	expect 0
	[[ $output == *"Binaries:"*"/opt/lib/libthing.so.1.2 ("* ]]
	jq -e '.files | length >= 4' "$KEPT/list"
}

@test "what is kept: of containers only, of all, of none; also when there is no daemon" {
	containers
	crash_daemon CaptureBinaries=containers
	crash_child "$TOOLS/crasher" null
	recorded
	entry_has '.binaries == null'
	meta_has '.binaries == null'
	daemon_stop
	crash_inside "$DIR/c/one" 0
	left
	rm -r "$DIR/c/one"
	daemon_config '[Crash]' DuplicateLimit=infinity CaptureBinaries=yes
	daemon_again
	recorded
	kept_in
	backtrace
	crash_child "$TOOLS/crasher" null
	recorded
	kept_in
	cmp "$TOOLS/crasher" "$(kept /crasher)"
	daemon_config '[Crash]' DuplicateLimit=infinity
	"$SNAPCTL" reload
	crash_child "$TOOLS/crasher" null
	recorded
	meta_has '.binaries == null'
	crash_folder_is_empty
}

@test "two dumps have one file; it goes with the last of them" {
	containers
	crash_daemon CaptureBinaries=containers
	make_container "$DIR/c/two"
	crash_inside "$DIR/c/one" "$USER_ID"
	recorded
	kept_in
	local first=$ID n inode
	inode=$(stat -c %i "$(kept /opt/lib/libthing.so.1.2)")
	n=$(contents)
	[ "$n" -ge 4 ]
	crash_inside "$DIR/c/two" "$OTHER_ID"
	recorded
	kept_in
	[ "$(contents)" = "$n" ]
	[ "$(stat -c %i "$(kept /opt/lib/libthing.so.1.2)")" = "$inode" ]
	"$SNAPCTL" remove "$first"
	[ ! -e "$STORE/binaries/$first" ]
	[ "$(contents)" = "$n" ]
	backtrace
	"$SNAPCTL" remove "$ID"
	[ ! -e "$STORE/binaries/$ID" ]
	[ "$(contents)" = 0 ]
}

@test "retention and the next daemon remove what belongs to no dump" {
	containers
	crash_daemon CaptureBinaries=containers
	crash_inside "$DIR/c/one" 0
	recorded
	daemon_config '[Store]' MaxPerExecutable=1 '[Crash]' DuplicateLimit=infinity \
		CaptureBinaries=containers
	"$SNAPCTL" reload
	kept_in
	local first=$KEPT
	crash_inside "$DIR/c/one" 0
	recorded
	kept_in
	[ ! -e "$first" ] && [ -e "$KEPT" ]
	daemon_stop
	rm "$FILE"
	daemon_again
	[ ! -e "$KEPT" ]
	[ "$(contents)" = 0 ]
}

@test "CaptureMaxUse=: who had his longest loses them, and keeps the dump" {
	containers
	# libc is 2 MiB; padding makes each crash bring something of its own.
	crash_daemon CaptureBinaries=containers CaptureMaxUse=7M
	local ids=() i
	for i in 1 2 3; do
		head -c 2M /dev/urandom >"$DIR/padding"
		objcopy --add-section .padding="$DIR/padding" "$DIR/program" "$DIR/c/one/bin/program"
		crash_inside "$DIR/c/one" 0
		recorded
		kept_in
		ids+=("$ID")
		kept /bin/program
	done
	[ ! -e "$STORE/binaries/${ids[0]}" ] && [ -e "$STORE/binaries/${ids[2]}" ]
	[ "$(du -s --block-size=1M "$STORE/binaries" | cut -f1)" -le 8 ]
	[ "$("$SNAPCTL" list --json | wc -l)" = 3 ]
	# What does not fit at all is left out, and the dump is there.
	daemon_config '[Crash]' DuplicateLimit=infinity CaptureBinaries=containers CaptureMaxUse=1M
	"$SNAPCTL" reload
	[ "$(du -s --block-size=1K "$STORE/binaries" | cut -f1)" -le 1100 ]
	crash_inside "$DIR/c/one" 0
	recorded
	[[ $(why_not /bin/program) == *CaptureMaxUse=* ]]
}

@test "who may read the dump may read them, and nobody else" {
	containers
	chmod 711 "$DIR"
	crash_daemon CaptureBinaries=containers
	crash_inside "$DIR/c/one" "$USER_ID"
	recorded
	entry_has .owner_reads
	kept_in
	local file
	file=$(kept /bin/program)
	by "$USER_ID" cat "$file" >/dev/null
	never by "$OTHER_ID" cat "$file" 2>/dev/null
	never by "$OTHER_ID" ls "$KEPT" 2>/dev/null
	never by "$USER_ID" ls "$STORE/binaries/by-hash" 2>/dev/null
	[ "$(stat -c %a "$KEPT")" = 750 ]
	# A dump that is root's has binaries that are root's.
	crash_inside "$DIR/c/one" 0
	recorded
	kept_in
	file=$(kept /bin/program)
	never by "$USER_ID" cat "$file" 2>/dev/null
}

@test "a false build ID harms nobody but who gave it" {
	containers
	crash_daemon CaptureBinaries=containers
	cp -a "$DIR/c/one" "$DIR/c/evil"
	# The build ID of the library that others have, and another content.
	local id
	id=$(readelf -n "$DIR/libthing.so.1" | sed -n 's/.*Build ID: //p')
	gcc -g -O0 -shared -fPIC "-Wl,--build-id=0x$id,-soname,libthing.so.1" -DWHAT=666 \
		-o "$DIR/c/evil/opt/lib/libthing.so.1.2" "$DIR/thing.c"
	never cmp -s "$DIR/libthing.so.1" "$DIR/c/evil/opt/lib/libthing.so.1.2"
	# The same user: root of two containers without user namespaces.
	crash_inside "$DIR/c/evil" 0 /opt/lib/libthing.so.1
	recorded
	kept_in
	cmp "$DIR/c/evil/opt/lib/libthing.so.1.2" "$(kept /opt/lib/libthing.so.1.2)"
	crash_inside "$DIR/c/one" 0
	recorded
	kept_in
	cmp "$DIR/libthing.so.1" "$(kept /opt/lib/libthing.so.1.2)"
	cmp "$DIR/libthing.so.1" "$KEPT/.build-id/${id:0:2}/${id:2}"
	# Both in one process: each is there.
	cp "$DIR/c/evil/opt/lib/libthing.so.1.2" "$DIR/c/one/opt/other.so"
	crash_inside "$DIR/c/one" 0 /opt/other.so
	recorded
	kept_in
	cmp "$DIR/libthing.so.1" "$(kept /opt/lib/libthing.so.1.2)"
	cmp "$DIR/c/evil/opt/lib/libthing.so.1.2" "$(kept /opt/other.so)"
	backtrace
}

@test "no build ID, huge files, files that are none, names that lead elsewhere" {
	containers
	crash_daemon CaptureBinaries=containers
	build_thing "$DIR/c/one/opt/lib/libthing.so.1.2" -Wl,--build-id=none
	cp "$DIR/libthing.so.1" "$DIR/c/one/tmp/huge"
	truncate -s 100G "$DIR/c/one/tmp/huge"
	cp "$DIR/libthing.so.1" "$DIR/c/one/tmp/sparse"
	truncate -s 100M "$DIR/c/one/tmp/sparse"
	echo "no program at all" >"$DIR/c/one/tmp/text"
	printf '\177ELF and then nothing that makes sense' >"$DIR/c/one/tmp/broken"
	cp "$DIR/program" "$DIR/c/one/tmp/swapped"
	cp "$DIR/libthing.so.1" "$DIR/c/one/tmp/na"$'\n'"me"
	crash_inside "$DIR/c/one" 0 /tmp/huge /tmp/sparse /tmp/text /tmp/broken /tmp/swapped \
		"/tmp/na"$'\n'"me"
	cp "$DIR/c/one/opt/lib/libthing.so.1.2" "$DIR/plain.so"
	rm -r "$DIR/c/one"
	recorded
	kept_in
	[[ $(kept /opt/lib/libthing.so.1.2) == */other/* ]]
	cmp "$DIR/plain.so" "$(kept /opt/lib/libthing.so.1.2)"
	[[ $(why_not /tmp/huge) == *larger* ]]
	[ "$(stat -c %s "$(kept /tmp/sparse)")" = $((100 << 20)) ]
	[ "$(du -m "$(kept /tmp/sparse)" | cut -f1)" -le 1 ]
	never kept /tmp/text
	[[ $(why_not /tmp/broken) == *"no ELF"* ]]
	cmp "$DIR/program" "$(kept '/tmp/was (deleted)')"
	cmp "$DIR/libthing.so.1" "$(kept 'me')"
	backtrace
	daemon_lives
}

@test "a program that is kept says what gdb should run, and gdb does not" {
	containers
	crash_daemon CaptureBinaries=containers
	printf '\004gdb.inlined-script\nopen("%s", "w").close()\n\0' "$DIR/run" >"$DIR/script"
	objcopy --add-section .debug_gdb_scripts="$DIR/script" \
		--set-section-flags .debug_gdb_scripts=readonly "$DIR/program" "$DIR/c/one/bin/program"
	# It does where it trusts the file.
	gdb -nx -batch -iex "set auto-load safe-path $DIR" "$DIR/c/one/bin/program" >/dev/null 2>&1
	[ -e "$DIR/run" ] || skip "this gdb runs no such scripts"
	rm "$DIR/run"
	crash_inside "$DIR/c/one" 0
	rm -r "$DIR/c/one"
	recorded
	kept_in
	backtrace
	[ ! -e "$DIR/run" ]
}

@test "a library behind which nobody answers: the rest is kept, and nobody waits for it" {
	[ -c /dev/fuse ] || skip "there is no FUSE here"
	containers
	crash_daemon CaptureBinaries=containers
	mkdir "$DIR/c/one/fuse"
	"$BATS_TEST_DIRNAME/../tools/stalling-fs" "$DIR/c/one/fuse" >"$DIR/fuse.out" 2>&1 3>&- 4>&- &
	local server=$!
	at_end "umount -l $DIR/c/one/fuse; kill -KILL $server 2>/dev/null || true"
	wait_for grep -qE 'ready|cannot' "$DIR/fuse.out"
	grep -q ready "$DIR/fuse.out" || skip "$(cat "$DIR/fuse.out")"
	# Else the kernel itself looks whether it is an ELF file, and waits.
	crash_begin unshare --mount sh -c 'echo 0x7f >/proc/self/coredump_filter &&
		exec chroot "$1" /bin/program /fuse/file' sh "$DIR/c/one"
	local stuck=$PID
	recorded
	kept_in
	[[ $(why_not /fuse/file) == *"did not answer"* ]]
	cmp "$DIR/program" "$(kept /bin/program)"
	backtrace
	kill "$server"
	wait "$stuck" || true
	wait_for no_hooks
	daemon_lives
}

@test "a Go program of a container that is gone: its goroutines have names" {
	need_target gohttp
	containers
	crash_daemon CaptureBinaries=containers
	mkdir -p "$DIR/c/go/bin" "$DIR/c/go/tmp"
	cp "$BUILD/targets/gohttp" "$DIR/c/go/bin/"
	cat >"$DIR/inside" <<-END
		#!/bin/sh
		exec unshare --mount chroot "$DIR/c/go" /bin/gohttp
	END
	chmod 755 "$DIR/inside"
	GOTRACEBACK=crash target_start "$DIR/inside"
	kill_target SEGV
	rm -r "$DIR/c/go"
	recorded
	kept_in
	cmp "$BUILD/targets/gohttp" "$(kept /bin/gohttp)"
	meta_has '.result.go.user_goroutine_count >= 100'
	"$SNAPCTL" goroutines "$ID" | grep -F 'net/http'
	"$SNAPCTL" goroutines "$FILE" | grep -F 'net/http'
}

@test "a hook that is killed while it copies them: the crash is recorded without" {
	containers
	crash_daemon CaptureBinaries=containers
	head -c 400M /dev/urandom >"$DIR/padding"
	objcopy --add-section .padding="$DIR/padding" "$DIR/program" "$DIR/c/one/bin/program"
	crash_begin unshare --mount chroot "$DIR/c/one" /bin/program
	wait "$PID" || true
	hooks | xargs -r kill -KILL
	wait_for no_hooks
	# What its folder says is there; the next daemon does not wait for a minute.
	daemon_stop
	daemon_again
	recorded
	entry_has '.core_bytes > 0 and .binaries == null'
	crash_folder_is_empty_but capture
}

crash_folder_is_empty_but() {
	[ -z "$(find "$STORE/crash" -mindepth 1 ! -name socket ! -name "$1")" ]
}
