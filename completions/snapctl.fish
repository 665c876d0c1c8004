# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of snapctl for fish.

complete -c snapctl -f

# Verbs
complete -c snapctl -n __fish_use_subcommand -a dump -d 'Write a core of a live process'
complete -c snapctl -n __fish_use_subcommand -a goroutines -d "Tell what a Go program's goroutines do"
complete -c snapctl -n __fish_use_subcommand -a info -d 'Tell what a core is'
complete -c snapctl -n __fish_use_subcommand -a gcore -d "Do the same as gdb's gcore would"
complete -c snapctl -n __fish_use_subcommand -s h -l help -d 'Show the verbs'
complete -c snapctl -n __fish_use_subcommand -l version -d 'Show the version'

# snapctl dump
set -l dump '__fish_seen_subcommand_from dump'
complete -c snapctl -n $dump -a '(__fish_complete_pids)'
complete -c snapctl -n $dump -s o -l output -r -F -d 'Write to this file or directory'
complete -c snapctl -n $dump -s f -l force -d 'Replace an existing file'
complete -c snapctl -n $dump -l filter -x -a '0x33 0x3f 0x7f 0x1ff' -d 'Dump these kinds of memory'
complete -c snapctl -n $dump -s a -l all -d 'Dump all memory that can be read'
complete -c snapctl -n $dump -l with-binaries -d 'Dump programs and libraries too'
complete -c snapctl -n $dump -l no-summary -d 'Do not look for goroutines'
complete -c snapctl -n $dump -s z -l compress -d 'Compress with zstd, =LEVEL 1 to 19'
complete -c snapctl -n $dump -l max-pause -x -a '50ms 200ms 1s 5s' -d 'Give up rather than stop it for longer'
complete -c snapctl -n $dump -l keep-partial -d 'Keep what there is of an incomplete dump'
complete -c snapctl -n $dump -s n -l dry-run -d 'Show what would be dumped'
complete -c snapctl -n $dump -l json -d 'Print the results as JSON'
complete -c snapctl -n $dump -s q -l quiet -d 'Print errors and warnings only'
complete -c snapctl -n $dump -s h -l help -d 'Show the options'

# snapctl goroutines
set -l goroutines '__fish_seen_subcommand_from goroutines'
complete -c snapctl -n $goroutines -F -a '(__fish_complete_pids)'
complete -c snapctl -n $goroutines -s a -l all -d 'Show each goroutine as a traceback'
complete -c snapctl -n $goroutines -l json -d 'Print all that is known as JSON'
complete -c snapctl -n $goroutines -l folded -d 'Print lines for flame graphs, =states'
complete -c snapctl -n $goroutines -l pprof -r -F -d 'Write a profile for go tool pprof'
complete -c snapctl -n $goroutines -l state -x -a "running runnable syscall 'chan receive' 'chan send' select 'IO wait' sleep semacquire" -d 'Only those in this state'
complete -c snapctl -n $goroutines -l function -x -d 'Only those in this function'
complete -c snapctl -n $goroutines -l label -x -d 'Only those with this profiler label'
complete -c snapctl -n $goroutines -l min-wait -x -a '10s 1m 10m 60m' -d 'Only those blocked for so long'
complete -c snapctl -n $goroutines -l id -x -d 'Only this goroutine'
complete -c snapctl -n $goroutines -l top -x -a '5 10 20' -d 'Only the largest groups'
complete -c snapctl -n $goroutines -l system -d "Show the runtime's own too"
complete -c snapctl -n $goroutines -l exe -r -F -d 'Name the program'
complete -c snapctl -n $goroutines -l values -d 'With --json, names and values of arguments'
complete -c snapctl -n $goroutines -l attached -d 'Show the summary that is attached to the core'
complete -c snapctl -n $goroutines -l max-pause -x -a '50ms 200ms 1s 5s' -d 'Give up rather than stop it for longer'
complete -c snapctl -n $goroutines -s h -l help -d 'Show the options'

# snapctl info
set -l info '__fish_seen_subcommand_from info'
complete -c snapctl -n $info -F
complete -c snapctl -n $info -l json -d 'Print it as JSON'
complete -c snapctl -n $info -l exe -r -F -d 'Name the program'
complete -c snapctl -n $info -s h -l help -d 'Show the options'

# snapctl gcore
set -l gcore '__fish_seen_subcommand_from gcore'
complete -c snapctl -n $gcore -a '(__fish_complete_pids)'
complete -c snapctl -n $gcore -s a -d 'Dump all mappings'
complete -c snapctl -n $gcore -s o -r -F -d 'Begin the name of the file with this'
complete -c snapctl -n $gcore -s g -r -F -d 'Accepted and not used'
complete -c snapctl -n $gcore -s d -r -F -d 'Accepted and not used'
complete -c snapctl -n $gcore -s h -l help -d 'Show the options'
complete -c snapctl -n $gcore -s v -l version -d 'Show the version'
