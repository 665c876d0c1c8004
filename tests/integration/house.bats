#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The house: what --help, the manual and the completions say is the same, the folders depend on each
# other as docs/ARCHITECTURE.md says, and what is installed is complete and can be removed.

setup() {
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	: "${BUILD:=$ROOT/build}"
	SNAPCTL=$BUILD/snapctl
	DIR=$(mktemp -d "${PROCSNAP_TEST_DIR:-/var/tmp}/procsnap-house.XXXXXX")
	CHILD=
	export PROCSNAP_ARMED=$DIR/armed
	cd "$ROOT" || return 1
	# Not the options of the make that runs the tests.
	unset MAKEFLAGS MFLAGS MAKELEVEL SANITIZE WERROR
}

teardown() {
	if [ -n "$CHILD" ]; then
		kill "$CHILD" 2>/dev/null || true
		wait "$CHILD" 2>/dev/null || true
	fi
	rm -rf "$DIR"
}

need_command() {
	command -v "$1" >/dev/null || skip "$1 is not installed"
}

# Compares two lists, one word a line, and shows what only one of them has.
same() { # NAME LIST NAME LIST
	[ -n "$2" ] || { echo "$1 has nothing" && return 1; }
	diff -u --label "$1" --label "$3" <(sort -u <<<"$2") <(sort -u <<<"$4")
}

# The one expected to be empty.
none() {
	[ -z "$1" ] || { printf '%s\n' "$1" && return 1; }
}

# -- The command line ----------------------------------------------------------------------------

# "  -o, --output=FILE  Text" makes "-o" and "--output".
help_options() {
	"$SNAPCTL" "$1" --help | sed -nE 's/^ +(-.*)/\1/p' | sed 's/  .*//' | tr ',' '\n' |
		sed -E 's/^ *//; s/(\[|=| ).*//'
}

# Lines like "*-o*, *--output*=_FILE_" of the page of the verb, or of its section.
man_options() {
	if [ -e "man/snapctl-$1.1.scd" ]; then
		awk '/^# / { here = $0 == "# OPTIONS" } here && /^\*-/' "man/snapctl-$1.1.scd"
	else
		awk -v head="## snapctl $1" '/^#/ { here = $0 == head } here && /^\*-/' man/snapctl.1.scd
	fi | grep -oE '\*-[^*]+\*' | tr -d '*'
}

bash_options() {
	bash -c '. completions/snapctl.bash
		compopt() { :; }
		COMP_WORDS=(snapctl "$1" -) COMP_CWORD=2
		_snapctl
		printf "%s\n" "${COMPREPLY[@]}"' bash "$1" | sed 's/=$//'
}

# What _arguments is called with: "(-o --output)--output=[text]:file:_files".
zsh_options() {
	zsh -f -c '_arguments() { print -rl -- "$@" }
		_describe() { : }
		source completions/_snapctl
		print -- -- begin --
		_snapctl_$1' zsh "$1" | sed '1,/^-- begin --$/d' |
		sed -nE 's/^(\([^)]*\))?\*?(-[^[]*)\[.*/\2/p' | sed -E 's/[-+=]+$//'
}

fish_options() {
	fish --no-config -c "source completions/snapctl.fish; complete -C 'snapctl $1 -'" | cut -f 1
}

VERBS='dump goroutines info list wait get debug remove handler status reload arm disarm gcore'

@test "options: --help and the manual list the same" {
	for verb in $VERBS; do
		same "$verb --help" "$(help_options $verb)" "snapctl(1)" "$(man_options $verb)"
	done
}

@test "options: the completion for bash has the same" {
	for verb in $VERBS; do
		same "$verb --help" "$(help_options $verb)" snapctl.bash "$(bash_options $verb)"
	done
}

@test "options: the completion for zsh has the same" {
	need_command zsh
	for verb in $VERBS; do
		same "$verb --help" "$(help_options $verb)" _snapctl "$(zsh_options $verb)"
	done
}

@test "options: the completion for fish has the same" {
	need_command fish
	for verb in $VERBS; do
		same "$verb --help" "$(help_options $verb)" snapctl.fish "$(fish_options $verb)"
	done
}

@test "verbs: --help, the manual and the completions list the same" {
	local verbs
	verbs=$("$SNAPCTL" --help | awk '/^Verbs:/ { on = 1; next } /^$/ { on = 0 } on { print $1 }')
	same --help "$verbs" "snapctl(1)" "$(sed -n 's/^## snapctl //p' man/snapctl.1.scd)"
	same --help "$verbs" snapctl.bash "$(bash -c '. completions/snapctl.bash
		COMP_WORDS=(snapctl "") COMP_CWORD=1
		_snapctl
		printf "%s\n" "${COMPREPLY[@]}"' | grep -v '^-')"
	same --help "$verbs" _snapctl "$(sed -nE "s/^\t\t['\"]([a-z]+):.*/\1/p" completions/_snapctl)"
	same --help "$verbs" snapctl.fish \
		"$(sed -nE 's/.*__fish_use_subcommand -a ([a-z]+) .*/\1/p' completions/snapctl.fish)"
}

@test "exit statuses: snapctl-goroutines(1) has none that snapctl(1) has not" {
	local number
	awk '/^#/ { here = /^# EXIT STATUS/ } here && /^\|  / { print $2 }' \
		man/snapctl-goroutines.1.scd >"$DIR/numbers"
	[ "$(wc -l <"$DIR/numbers")" -gt 5 ]
	while read -r number; do
		grep -qx "|  $number" man/snapctl.1.scd || { echo "status $number" && return 1; }
	done <"$DIR/numbers"
}

@test "exit statuses: --help, the manual and the program have the same" {
	local in_help in_man names
	in_help=$("$SNAPCTL" dump --help | sed -nE 's/^  ([0-9]+)  (.*)/\1 \2/p')
	in_man=$(awk '/^#/ { here = /^# EXIT STATUS/ }
		here && /^\|  / { number = $2; column = 0; next }
		here && number != "" && /^:  / { if (++column == 2) print number " " substr($0, 4) }' \
		man/snapctl.1.scd)
	same --help "$in_help" "snapctl(1)" "$in_man"
	names=$(sed -nE 's/^\t\[SNAP_[A-Z_]+\] = \{ "([a-z-]+)", .*/\1/p' common/error.c)
	same error.c "$names" "snapctl(1)" "$(awk '/^#/ { here = /^# EXIT STATUS/ }
		here && /^\|  / { column = 0; next }
		here && /^:  / && ++column == 1 { print $2 }' man/snapctl.1.scd)"
}

# The words in bold at the start of a line of the OUTPUT section, of its part $1: 1 or 2; the
# sentence at the start of part 2 names some more.
man_fields() {
	awk -v want="$1" '/^#/ { here = /^# OUTPUT/ ; part = 1 }
		here && /^With \*--dry-run\*/ { part = 2; sentence = 1 }
		/^$/ { sentence = 0 }
		here && part == want && (/^\*/ || sentence)' man/snapctl.1.scd |
		grep -oE '\*[a-z_]+\*' | tr -d '*'
}

@test "JSON: the manual lists the fields that there are" {
	need_command jq
	sleep 1000 3>&- &
	CHILD=$!
	run "$SNAPCTL" dump --json -o "$DIR/core" "$CHILD"
	[ "$status" != 4 ] || skip "not permitted to attach to a child"
	same "dump --json" "$(jq -r 'keys[]' <<<"$output")" "snapctl(1)" "$(man_fields 1)"
	same "dump -n --json" "$("$SNAPCTL" dump -n --json "$CHILD" | jq -r 'keys[]')" \
		"snapctl(1)" "$(man_fields 2)"
}

@test "--help: on standard output, within 80 columns, the same as -h" {
	for verb in '' dump goroutines info handler arm disarm gcore; do
		# shellcheck disable=SC2086 # none or one word
		"$SNAPCTL" $verb --help >"$DIR/help" 2>"$DIR/err"
		[ -s "$DIR/help" ]
		none "$(cat "$DIR/err")"
		none "$(awk 'length($0) > 80' "$DIR/help")"
		# shellcheck disable=SC2086
		"$SNAPCTL" $verb -h | diff "$DIR/help" -
	done
}

@test "wrong usage: told on standard error, status 2" {
	for args in '' '--bogus' 'bogus' 'dump' 'dump --bogus' 'dump -Z' 'dump -o' 'dump 0' 'dump x' \
		'dump --filter=0x200 1' 'dump -z0 1' 'dump -z20 1' 'dump --max-pause=1h 1' \
		'dump -a --filter=1 1' 'goroutines' 'goroutines a b' 'goroutines --bogus' 'goroutines --id=0 a' \
		'goroutines --id=x a' 'goroutines --top=0 a' 'goroutines --min-wait=1h a' \
		'goroutines --folded=x a' 'goroutines --json --folded a' 'goroutines --all --pprof=p a' \
		'goroutines --max-pause=0 1' 'goroutines --attached --all a' 'goroutines --attached --id=1 a' \
		'goroutines --pprof' 'arm' 'arm --list 1' 'arm -l -n' 'arm 0' 'arm --bogus 1' 'disarm' \
		'disarm --list' 'info' 'info a b' 'info --bogus' 'info --exe' \
		'handler' 'handler bogus' 'handler status install' 'handler --bogus' 'handler status --force' \
		'handler install --json' 'handler uninstall --socket' 'handler install --store'; do
		local r=0
		# shellcheck disable=SC2086 # several words
		"$SNAPCTL" $args >"$DIR/out" 2>"$DIR/err" </dev/null || r=$?
		echo "snapctl $args: $r"
		[ "$r" = 2 ]
		[ -s "$DIR/err" ]
		none "$(cat "$DIR/out")"
	done
}

@test "wrong usage of gcore: as gdb's script, on standard output, status 2" {
	for args in '' '--bogus' '-o'; do
		local r=0
		# shellcheck disable=SC2086 # none or one word
		"$SNAPCTL" gcore $args >"$DIR/out" 2>"$DIR/err" || r=$?
		[ "$r" = 2 ]
		grep -q '^usage:' "$DIR/out"
		none "$(cat "$DIR/err")"
	done
}

@test "--version: that of the Makefile, everywhere" {
	local version
	version=$(sed -n 's/^VERSION := //p' Makefile)
	[ "$("$SNAPCTL" --version)" = "snapctl $version" ]
	[ "$("$BUILD/procsnap-worker" --version)" = "procsnap-worker $version" ]
	[ "$("$BUILD/procsnap-analyze" --version)" = "procsnap-analyze $version" ]
	[ "$("$BUILD/procsnap-unwind" --version)" = "procsnap-unwind $version" ]
	[ "$("$BUILD/procsnap-corehook" --version)" = "procsnap-corehook $version" ]
	[ "$("$BUILD/procsnapd" --version)" = "procsnapd $version" ]
	[[ $("$SNAPCTL" gcore -v) == *" $version" ]]
	grep -q "^## $version" NEWS
}

# -- The dependency law --------------------------------------------------------------------------

program_files() {
	find common ptrace dumper analyzer daemon systemd cmd -name '*.[ch]' | sort
}

# "FILE FOLDER INCLUDED" for each #include "..." of the program.
our_includes() {
	local file name
	program_files | while IFS= read -r file; do
		sed -nE 's/^#include "(.*)".*/\1/p' "$file" | while IFS= read -r name; do
			[ ! -e "${file%/*}/$name" ] || name=${file%/*}/$name
			echo "$file ${file%/*} ${name%/*}/ $name"
		done
	done
}

@test "dependency law: #include goes down only" {
	local file folder from name bad=''
	while read -r file folder from name; do
		[ -e "$name" ] || bad+="$file includes $name, which is not there"$'\n'
		case "$folder $from" in
		'common common/' | 'ptrace ptrace/' | 'ptrace common/') ;;
		'dumper dumper/' | 'dumper common/') ;;
		'analyzer analyzer/' | 'analyzer analyzer/go/' | 'analyzer common/') ;;
		'analyzer/stacks analyzer/stacks/' | 'analyzer/stacks common/' | 'cmd analyzer/stacks/') ;;
		'analyzer/go analyzer/' | 'analyzer/go analyzer/go/' | 'analyzer/go common/') ;;
		'systemd systemd/' | 'systemd common/') ;;
		'daemon daemon/' | 'daemon systemd/' | 'daemon common/' | 'cmd daemon/') ;;
		'cmd/snapctl cmd/snapctl/' | 'cmd/snapctl common/') ;;
		'cmd/worker cmd/worker/' | 'cmd cmd/worker/') ;;
		'cmd/corehook cmd/corehook/' | 'cmd cmd/corehook/') ;;
		'cmd/corehook ptrace/' | 'cmd/corehook dumper/' | 'cmd/corehook common/') ;;
		'cmd/worker ptrace/' | 'cmd/worker dumper/' | 'cmd/worker common/') ;;
		'cmd ptrace/' | 'cmd dumper/' | 'cmd analyzer/' | 'cmd common/') ;;
		*) bad+="$file includes $name"$'\n' ;;
		esac
	done < <(our_includes)
	[ "$(our_includes | wc -l)" -gt 50 ]
	none "$bad"
}

# The files that include a header matching $1.
who_includes() {
	program_files | xargs grep -lE "^# *include <$1" || true
}

@test "dependency law: each library has its place" {
	same law "common/json.c" found "$(who_includes 'json')"
	same law "analyzer/go/dwsections.c
analyzer/source.c
cmd/snapctl/unpack.c
dumper/zstframes.c" found "$(who_includes 'zstd' | sort)"
	same law "analyzer/sandbox.c" found "$(who_includes seccomp)"
	same law "analyzer/sandbox.c
daemon/privilege.c
systemd/sender.c" found "$(who_includes sys/capability | sort)"
	[ -n "$(who_includes systemd/)" ]
	none "$(who_includes systemd/ | grep -vE '^(daemon|systemd)/')"
	same law daemon/storefile.c found "$(who_includes '(sys/acl|acl/)')"
	same law "common/digest.c
common/digest.h" found "$(who_includes nettle)"
	[ -n "$(who_includes libsmartcols)" ]
	none "$(who_includes libsmartcols | grep -v '^cmd/snapctl/')"
	[ -n "$(who_includes libdwarf)" ]
	none "$(who_includes 'libdwarf' | grep -v '^analyzer/go/')"
	none "$(who_includes 'dwarf\.h' | grep -vE '^analyzer/(go|stacks)/')"
	same law "analyzer/go/dwsections.c" found "$(who_includes zlib)"
	[ -n "$(who_includes elfutils/libdwfl)" ]
	none "$(who_includes '(elfutils|libdw[./]|libelf|gelf)' | grep -v '^analyzer/stacks/')"
}

@test "dependency law: architectures have their files" {
	local arch='__(x86_64|amd64|i386|aarch64|arm|riscv|powerpc|s390x?|loongarch|mips|LP64|ILP32)'
	none "$(program_files | grep -v '/arch_' | xargs grep -nE "^ *# *(if|elif).*$arch")"
	none "$(program_files | grep -v '/arch_' |
		xargs grep -nE '^# *include <(asm/|cpuid|.*intrin|sys/(user|reg)\.h)')"
}

@test "dependency law: each program needs only its libraries" {
	need_command readelf
	needed() {
		readelf -d "$BUILD/$1" | sed -nE 's/.*\(NEEDED\).*\[lib([a-z-]+).*/\1/p'
	}
	grep -qx smartcols <<<"$(needed snapctl)"
	grep -qx json-c <<<"$(needed snapctl)"
	grep -qx zstd <<<"$(needed procsnap-worker)"
	none "$(needed snapctl | grep -E '^(dw|dwarf|z|elf|systemd|acl|cap)$')"
	grep -qx systemd <<<"$(needed procsnapd)"
	none "$(needed procsnapd | grep -E '^(zstd|smartcols|dw|dwarf|z|elf|seccomp)$')"
	none "$(needed procsnap-worker | grep -E '^(smartcols|dw|dwarf|z|elf|systemd|seccomp)$')"
	grep -qx seccomp <<<"$(needed procsnap-analyze)"
	grep -qx dwarf <<<"$(needed procsnap-analyze)" # which has names of libdw's, and other functions
	none "$(needed procsnap-analyze | grep -E '^(smartcols|dw|elf|systemd)$')"
	none "$(needed procsnap-corehook | grep -vE '^(json-c|nettle|zstd|c)$')"
	grep -qx dw <<<"$(needed procsnap-unwind)"
	none "$(needed procsnap-unwind | grep -E '^(smartcols|dwarf|zstd|systemd)$')"
	local program
	for program in snapctl procsnapd procsnap-worker procsnap-analyze procsnap-unwind procsnap-corehook; do
		[ "$(needed $program | grep -cE '^(dw|dwarf)$')" -le 1 ]
	done
}

# -- Building and installing ---------------------------------------------------------------------

@test "make install and uninstall: symmetrical" {
	local dest=$DIR/dest
	mkdir -p "$dest/usr/bin" "$dest/usr/share/man/man1"
	touch "$dest/usr/bin/other" "$dest/usr/share/man/man1/other.1"
	make BUILD="$BUILD" DESTDIR="$dest" PREFIX=/usr install
	same installed "$(cd "$dest" && find . -type f)" expected './usr/bin/other
./usr/bin/snapctl
./usr/libexec/procsnap/procsnap-analyze
./usr/libexec/procsnap/procsnap-corehook
./usr/libexec/procsnap/procsnap-unwind
./usr/libexec/procsnap/procsnap-worker
./usr/libexec/procsnap/procsnapd
./usr/lib/systemd/catalog/procsnap.catalog
./usr/lib/systemd/system/procsnapd.service
./usr/lib/systemd/system/procsnap-coredump.service
./usr/lib/systemd/system/procsnap-coredump.socket
./usr/lib/systemd/system/procsnapd.socket
./usr/lib/sysusers.d/procsnap.conf
./usr/lib/tmpfiles.d/procsnap.conf
./usr/share/bash-completion/completions/snapctl
./usr/share/fish/vendor_completions.d/snapctl.fish
./usr/share/man/man1/other.1
./usr/share/man/man1/snapctl-goroutines.1
./usr/share/man/man1/snapctl.1
./usr/share/man/man5/procsnap-core.5
./usr/share/man/man5/procsnap.conf.5
./usr/share/man/man8/procsnapd.8
./usr/share/polkit-1/actions/io.procsnap.policy
./usr/share/zsh/site-functions/_snapctl'
	[ "$(stat -c %a "$dest/usr/bin/snapctl" "$dest/usr/libexec/procsnap/procsnap-worker" |
		sort -u)" = 755 ]
	[ "$(stat -c %a "$dest/usr/share/man/man1/snapctl.1")" = 644 ]
	grep -qx 'ExecStart=/usr/libexec/procsnap/procsnapd' \
		"$dest/usr/lib/systemd/system/procsnapd.service"
	make BUILD="$BUILD" DESTDIR="$dest" PREFIX=/usr uninstall
	same left "$(cd "$dest" && find . -type f)" expected './usr/bin/other
./usr/share/man/man1/other.1'
	[ ! -e "$dest/usr/libexec/procsnap" ]
}

@test "make install: snapctl finds its worker where it was installed" {
	make -s BUILD="$DIR/build" PREFIX="$DIR/prefix" CFLAGS=-O0 install
	rm -r "$DIR/build"
	sleep 1000 3>&- &
	CHILD=$!
	run "$DIR/prefix/bin/snapctl" dump -o "$DIR/core" "$CHILD"
	[ "$status" != 4 ] || skip "not permitted to attach to a child"
	[ "$status" = 0 ]
	[ -s "$DIR/core" ]
	rm "$DIR/prefix/libexec/procsnap/procsnap-worker"
	run "$DIR/prefix/bin/snapctl" dump -o "$DIR/core2" "$CHILD"
	[ "$status" = 1 ]
	[[ $output == *"$DIR/prefix/libexec/procsnap/procsnap-worker"*'installed completely?'* ]]
}

@test "make: a missing library is one line that says what to install" {
	run env PKG_CONFIG_PATH= PKG_CONFIG_LIBDIR=/nonexistent make BUILD="$DIR/build" all
	[ "$status" != 0 ]
	local want
	# "library:package" words, over several lines.
	want=$(sed -n '/^NEEDED :=/,/[^\\]$/p' Makefile | grep -oE '[a-z-]+:[a-z0-9-]+' |
		sed -E 's/(.*):(.*)/procsnap needs the library \1: apt install \2/')
	[ "$(wc -l <<<"$want")" -ge 5 ]
	same expected "$want" make "$(grep '^procsnap needs' <<<"$output")"
	[ "$(wc -l <<<"$output")" = $(($(wc -l <<<"$want") + 1)) ]
	[ ! -e "$DIR/build" ]

	printf '#!/bin/sh\n[ "$2" != libzstd ] && exec pkg-config "$@"\n' >"$DIR/pkg-config"
	chmod +x "$DIR/pkg-config"
	run make PKG_CONFIG="$DIR/pkg-config" BUILD="$DIR/build" all
	[ "$status" != 0 ]
	same expected 'procsnap needs the library libzstd: apt install libzstd-dev' \
		make "$(grep '^procsnap needs' <<<"$output")"

	printf '#!/bin/sh\n[ "$1" != -E ] && exec cc "$@"\n' >"$DIR/cc"
	chmod +x "$DIR/cc"
	run make CC="$DIR/cc" BUILD="$DIR/build" all
	[ "$status" != 0 ]
	same expected 'procsnap needs the library libdwarf: apt install libdwarf-dev' \
		make "$(grep '^procsnap needs' <<<"$output")"

	run make PKG_CONFIG=/nonexistent/pkg-config BUILD="$DIR/build" all
	[ "$status" != 0 ]
	[[ $output == *'pkg-config is missing: apt install pkg-config'* ]]
	env PKG_CONFIG_LIBDIR=/nonexistent make BUILD="$DIR/build" help >/dev/null
}

@test "setup.sh: help, and what is no verb" {
	run sh setup.sh help
	[ "$status" = 0 ]
	for verb in demo check deps help; do
		grep -q "^  $verb " <<<"$output"
	done
	none "$(awk 'length($0) > 80' <<<"$output")"
	run sh setup.sh bogus
	[ "$status" != 0 ]
	[ -x setup.sh ]
	[ -x .ci/run ]
}

@test "every source file says its licence" {
	local file bad=''
	while IFS= read -r file; do
		head -n 3 "$file" | grep -q 'SPDX-License-Identifier: LGPL-2.1-or-later' || bad+="$file"$'\n'
	done < <(find . \( -path ./build -o -path ./.git -o -path ./tests/fuzz/corpus \
		-o -path "$BUILD" \) -prune -o -type f \( -name '*.[ch]' -o -name '*.go' -o -name '*.sh' \
		-o -name '*.bash' -o -name '*.bats' -o -name '*.py' -o -name '*.fish' -o -name '*.scd' \
		-o -name Makefile -o -path './tests/lint/*' -o -path './tests/run' \
		-o -path './tests/bench/*bench' -o -path './completions/*' -o -path './.ci/*' \
		-o -name '.clang*' -o -name .cppcheck -o -name .editorconfig \) -print)
	none "$bad"
}
