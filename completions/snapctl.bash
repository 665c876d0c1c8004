# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Completion of snapctl for bash.

_snapctl_pids() {
	local pid
	local -a pids=()
	for pid in /proc/[0-9]*; do
		pids+=("${pid#/proc/}")
	done
	mapfile -t COMPREPLY < <(compgen -W "${pids[*]}" -- "$1")
}

_snapctl_files() {
	compopt -o filenames
	mapfile -t COMPREPLY < <(compgen -f -- "$1")
}

# The values of option $1 that begin with $2; false when it takes none behind a blank.
_snapctl_value() {
	case $1 in
	-o | --output) _snapctl_files "$2" ;;
	--filter) mapfile -t COMPREPLY < <(compgen -W '0x33 0x3f 0x7f 0x1ff' -- "$2") ;;
	--max-pause) mapfile -t COMPREPLY < <(compgen -W '50ms 200ms 1s 5s' -- "$2") ;;
	*) return 1 ;;
	esac
}

_snapctl_dump() {
	local cur=$1 prev=$2 options='-o --output= -f --force --filter= -a --all --with-binaries
		-z --compress --compress= --max-pause= --keep-partial -n --dry-run --json -q --quiet
		-h --help'
	if [[ $prev == --compress= ]]; then
		mapfile -t COMPREPLY < <(compgen -W '1 3 9 19' -- "$cur")
	elif _snapctl_value "${prev%=}" "$cur"; then
		return
	elif [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
		[[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace
	else
		_snapctl_pids "$cur"
	fi
}

_snapctl_gcore() {
	local cur=$1 prev=$2 options='-a -o -g -d -h --help -v --version'
	if [[ $prev == -[ogd] ]]; then
		_snapctl_files "$cur"
	elif [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
	else
		_snapctl_pids "$cur"
	fi
}

_snapctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]}
	COMPREPLY=()
	# readline takes "--name=value" for three words.
	if [[ $cur == = ]]; then
		cur='' prev=$prev=
	elif [[ $prev == = ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}=
	fi
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W 'dump gcore -h --help --version' -- "$cur")
	elif [[ $verb == dump ]]; then
		_snapctl_dump "$cur" "$prev"
	elif [[ $verb == gcore ]]; then
		_snapctl_gcore "$cur" "$prev"
	fi
}

complete -F _snapctl snapctl
