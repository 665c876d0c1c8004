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
	-o | --output | --exe | --pprof) _snapctl_files "$2" ;;
	--filter) mapfile -t COMPREPLY < <(compgen -W '0x33 0x3f 0x7f 0x1ff' -- "$2") ;;
	--mode) mapfile -t COMPREPLY < <(compgen -W 'auto copy fork precopy' -- "$2") ;;
	--max-pause) mapfile -t COMPREPLY < <(compgen -W '50ms 200ms 1s 5s' -- "$2") ;;
	--min-wait) mapfile -t COMPREPLY < <(compgen -W '10s 1m 10m 60m' -- "$2") ;;
	--state)
		mapfile -t COMPREPLY < <(compgen -W 'running runnable syscall select sleep semacquire
			sync.Mutex.Lock sync.WaitGroup.Wait sync.Cond.Wait' -- "$2")
		;;
	--top) mapfile -t COMPREPLY < <(compgen -W '5 10 20' -- "$2") ;;
	--kind) mapfile -t COMPREPLY < <(compgen -W 'live crash any' -- "$2") ;;
	-t | --timeout) mapfile -t COMPREPLY < <(compgen -W '30s 1m 10m' -- "$2") ;;
	--since | --until) mapfile -t COMPREPLY < <(compgen -W '1h 1d 1w' -- "$2") ;;
	--uid) mapfile -t COMPREPLY < <(compgen -u -- "$2") ;;
	--pid) _snapctl_pids "$2" ;;
	--function | --label | --id | --comm | --unit) ;;
	*) return 1 ;;
	esac
}

# Options $2 that begin with $1.
_snapctl_options() {
	mapfile -t COMPREPLY < <(compgen -W "$2" -- "$1")
	[[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace
}

_snapctl_dump() {
	local cur=$1 prev=$2 options='-o --output= -f --force --filter= -a --all --with-binaries
		--stacks --no-summary -z --compress --compress= --mode= --max-pause= --keep-partial
		--store --direct -n --dry-run --json -q --quiet -h --help'
	if [[ $prev == --compress= ]]; then
		mapfile -t COMPREPLY < <(compgen -W '1 3 9 19' -- "$cur")
	elif _snapctl_value "${prev%=}" "$cur"; then
		return
	elif [[ $cur == -* ]]; then
		_snapctl_options "$cur" "$options"
	else
		_snapctl_pids "$cur"
	fi
}

_snapctl_goroutines() {
	local cur=$1 prev=$2 options='-a --all --json --folded --folded= --pprof= --state= --function=
		--label= --min-wait= --id= --top= --system --exe= --values --attached --max-pause= -h --help'
	if [[ $prev == --folded= ]]; then
		mapfile -t COMPREPLY < <(compgen -W states -- "$cur")
	elif _snapctl_value "${prev%=}" "$cur"; then
		return
	elif [[ $cur == -* ]]; then
		_snapctl_options "$cur" "$options"
	elif [[ $cur == [0-9]* ]]; then
		_snapctl_pids "$cur"
	else
		_snapctl_files "$cur"
	fi
}

_snapctl_info() {
	local cur=$1 prev=$2
	if _snapctl_value "${prev%=}" "$cur"; then
		return
	elif [[ $cur == -* ]]; then
		_snapctl_options "$cur" '--json --exe= -h --help'
	else
		_snapctl_files "$cur"
	fi
}

_snapctl_ids() {
	local ids
	ids=$(snapctl list --no-legend 2>/dev/null | awk '{ print $(NF - 1) }')
	mapfile -t COMPREPLY < <(compgen -W "$ids" -- "$1")
}

# Option $1 of a verb with options $3, else an id; $2 is before it.
_snapctl_of_ids() {
	local cur=$1 prev=$2
	if _snapctl_value "${prev%=}" "$cur"; then
		return
	elif [[ $cur == -* ]]; then
		_snapctl_options "$cur" "$3"
	else
		_snapctl_ids "$cur"
	fi
}

_snapctl_list() {
	local cur=$1 prev=$2
	_snapctl_value "${prev%=}" "$cur" || _snapctl_options "$cur" '--pid= --comm= --exe= --unit=
		--uid= --kind= --since= --until= -1 --last --json --no-legend -h --help'
}

_snapctl_wait() {
	local cur=$1 prev=$2
	_snapctl_value "${prev%=}" "$cur" || _snapctl_options "$cur" '--pid= --comm= --exe= --unit=
		--uid= --kind= -t --timeout= --json -h --help'
}

_snapctl_get() { _snapctl_of_ids "$1" "$2" '-o --output= -f --force -q --quiet -h --help'; }
_snapctl_debug() { _snapctl_of_ids "$1" "$2" '--exe= -h --help'; }
_snapctl_remove() { _snapctl_of_ids "$1" "$2" '-h --help'; }
_snapctl_handler() {
	local cur=$1 prev=${2%=}
	if [[ $prev == --store ]]; then
		_snapctl_files "$cur"
	elif [[ $cur == -* ]]; then
		_snapctl_options "$cur" '--socket --store= --runtime -f --force --json -h --help'
	else
		mapfile -t COMPREPLY < <(compgen -W 'install uninstall status' -- "$cur")
	fi
}

_snapctl_status() { _snapctl_options "$1" '--json -h --help'; }
_snapctl_reload() { _snapctl_options "$1" '-h --help'; }

_snapctl_units() {
	systemctl list-units --no-legend --plain --type=service,scope 2>/dev/null | awk '{ print $1 }'
}

# Options $2 of a verb, else a process or a unit that begin with $1.
_snapctl_of_processes() {
	if [[ $1 == -* ]]; then
		_snapctl_options "$1" "$2"
	elif [[ $1 == [0-9]* ]]; then
		_snapctl_pids "$1"
	else
		mapfile -t COMPREPLY < <(compgen -W "$(_snapctl_units)" -- "$1")
	fi
}

_snapctl_arm() { _snapctl_of_processes "$1" '-l --list -n --dry-run --direct --json -q --quiet -h --help'; }
_snapctl_disarm() { _snapctl_of_processes "$1" '--direct --json -q --quiet -h --help'; }

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
		mapfile -t COMPREPLY < <(compgen -W 'dump goroutines info list wait get debug remove
			handler status reload arm disarm gcore -h --help --version' -- "$cur")
		return
	fi
	case $verb in
	dump | goroutines | info | list | wait | get | debug | remove | handler | status | reload | \
		arm | disarm | gcore)
		"_snapctl_$verb" "$cur" "$prev"
		;;
	esac
}

complete -F _snapctl snapctl
