# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of snapctl for fish.

complete -c snapctl -f

# Verbs
complete -c snapctl -n __fish_use_subcommand -a dump -d 'Write a core of a live process'
complete -c snapctl -n __fish_use_subcommand -a goroutines -d "Tell what a Go program's goroutines do"
complete -c snapctl -n __fish_use_subcommand -a info -d 'Tell what a core is'
complete -c snapctl -n __fish_use_subcommand -a list -d 'List the dumps in the store of procsnapd'
complete -c snapctl -n __fish_use_subcommand -a wait -d 'Wait for the next crash to be recorded'
complete -c snapctl -n __fish_use_subcommand -a get -d 'Get a dump out of the store'
complete -c snapctl -n __fish_use_subcommand -a debug -d 'Start the debugger that suits a dump'
complete -c snapctl -n __fish_use_subcommand -a remove -d 'Remove dumps from the store'
complete -c snapctl -n __fish_use_subcommand -a handler -d 'Make procsnap the handler of crashes'
complete -c snapctl -n __fish_use_subcommand -a status -d 'Tell what procsnapd is at'
complete -c snapctl -n __fish_use_subcommand -a reload -d 'Have procsnapd read its configuration'
complete -c snapctl -n __fish_use_subcommand -a arm -d 'Have a Go program dump core when it panics'
complete -c snapctl -n __fish_use_subcommand -a disarm -d 'Undo that'
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
complete -c snapctl -n $dump -l stacks -d 'Dump only what backtraces need'
complete -c snapctl -n $dump -l no-summary -d 'Do not look for goroutines'
complete -c snapctl -n $dump -s z -l compress -d 'Compress with zstd, =LEVEL 1 to 19'
complete -c snapctl -n $dump -l mode -x -a 'auto copy fork precopy' -d 'How the memory is copied'
complete -c snapctl -n $dump -l max-pause -x -a '50ms 200ms 1s 5s' -d 'Give up rather than stop it for longer'
complete -c snapctl -n $dump -l keep-partial -d 'Keep what there is of an incomplete dump'
complete -c snapctl -n $dump -l store -d 'Put it into the store of procsnapd'
complete -c snapctl -n $dump -l direct -d 'Do without procsnapd'
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

# snapctl list
set -l list '__fish_seen_subcommand_from list'
complete -c snapctl -n $list -l pid -x -a '(__fish_complete_pids)' -d 'Only dumps of this process'
complete -c snapctl -n $list -l comm -x -d 'Only of processes of this name'
complete -c snapctl -n $list -l exe -r -F -d 'Only of this program'
complete -c snapctl -n $list -l unit -x -d 'Only of this unit'
complete -c snapctl -n $list -l uid -x -a '(__fish_complete_users)' -d 'Only of this user'
complete -c snapctl -n $list -l kind -x -a 'live crash' -d 'Only these'
complete -c snapctl -n $list -l since -x -a '1h 1d 1w' -d 'Only dumps since then'
complete -c snapctl -n $list -l until -x -a '1h 1d 1w' -d 'Only dumps before then'
complete -c snapctl -n $list -s 1 -l last -d 'Only the newest'
complete -c snapctl -n $list -l json -d 'Print JSON'
complete -c snapctl -n $list -l no-legend -d 'No headings'
complete -c snapctl -n $list -s h -l help -d 'Show the options'

# snapctl wait
set -l wait '__fish_seen_subcommand_from wait'
complete -c snapctl -n $wait -l pid -x -a '(__fish_complete_pids)' -d 'Only dumps of this process'
complete -c snapctl -n $wait -l comm -x -d 'Only of processes of this name'
complete -c snapctl -n $wait -l exe -r -F -d 'Only of this program'
complete -c snapctl -n $wait -l unit -x -d 'Only of this unit'
complete -c snapctl -n $wait -l uid -x -a '(__fish_complete_users)' -d 'Only of this user'
complete -c snapctl -n $wait -l kind -x -a 'live crash any' -d 'These'
complete -c snapctl -n $wait -s t -l timeout -x -a '30s 1m 10m' -d 'Wait no longer'
complete -c snapctl -n $wait -l json -d 'Print JSON'
complete -c snapctl -n $wait -s h -l help -d 'Show the options'

# snapctl get, debug, remove
set -l ids "(snapctl list --no-legend 2>/dev/null | awk '{ print \$(NF - 1) }')"
set -l get '__fish_seen_subcommand_from get'
complete -c snapctl -n $get -a $ids
complete -c snapctl -n $get -s o -l output -r -F -d 'Write to this file or directory'
complete -c snapctl -n $get -s f -l force -d 'Replace an existing file'
complete -c snapctl -n $get -s q -l quiet -d 'Print errors only'
complete -c snapctl -n $get -s h -l help -d 'Show the options'
set -l debug '__fish_seen_subcommand_from debug'
complete -c snapctl -n $debug -a $ids
complete -c snapctl -n $debug -l exe -r -F -d 'Name the program'
complete -c snapctl -n $debug -s h -l help -d 'Show the options'
set -l remove '__fish_seen_subcommand_from remove'
complete -c snapctl -n $remove -a $ids
complete -c snapctl -n $remove -s h -l help -d 'Show the options'

# snapctl handler
set -l handler '__fish_seen_subcommand_from handler'
complete -c snapctl -n $handler -a 'install uninstall status'
complete -c snapctl -n $handler -l socket -d 'Install the coredump socket'
complete -c snapctl -n $handler -l store -r -F -d 'Keep crashes there'
complete -c snapctl -n $handler -l runtime -d 'Install until the next boot only'
complete -c snapctl -n $handler -s f -l force -d 'Uninstall over the handler of somebody else'
complete -c snapctl -n $handler -l json -d 'Print the status as JSON'
complete -c snapctl -n $handler -s h -l help -d 'Show the options'

# snapctl status, reload
set -l status_ '__fish_seen_subcommand_from status; and not __fish_seen_subcommand_from handler'
complete -c snapctl -n $status_ -l json -d 'Print it as JSON'
complete -c snapctl -n $status_ -s h -l help -d 'Show the options'
set -l reload '__fish_seen_subcommand_from reload'
complete -c snapctl -n $reload -s h -l help -d 'Show the options'

# snapctl arm, disarm
set -l units "(systemctl list-units --no-legend --plain --type=service,scope 2>/dev/null | awk '{ print \$1 }')"
set -l arm '__fish_seen_subcommand_from arm'
complete -c snapctl -n $arm -a '(__fish_complete_pids)'
complete -c snapctl -n $arm -a $units
complete -c snapctl -n $arm -s l -l list -d 'List the processes that were armed'
complete -c snapctl -n $arm -s n -l dry-run -d 'Change nothing'
complete -c snapctl -n $arm -l direct -d 'Do without procsnapd'
complete -c snapctl -n $arm -l json -d 'Print the results as JSON'
complete -c snapctl -n $arm -s q -l quiet -d 'Print errors and warnings only'
complete -c snapctl -n $arm -s h -l help -d 'Show the options'
set -l disarm '__fish_seen_subcommand_from disarm'
complete -c snapctl -n $disarm -a '(__fish_complete_pids)'
complete -c snapctl -n $disarm -a $units
complete -c snapctl -n $disarm -l direct -d 'Do without procsnapd'
complete -c snapctl -n $disarm -l json -d 'Print the results as JSON'
complete -c snapctl -n $disarm -s q -l quiet -d 'Print errors and warnings only'
complete -c snapctl -n $disarm -s h -l help -d 'Show the options'

# snapctl gcore
set -l gcore '__fish_seen_subcommand_from gcore'
complete -c snapctl -n $gcore -a '(__fish_complete_pids)'
complete -c snapctl -n $gcore -s a -d 'Dump all mappings'
complete -c snapctl -n $gcore -s o -r -F -d 'Begin the name of the file with this'
complete -c snapctl -n $gcore -s g -r -F -d 'Accepted and not used'
complete -c snapctl -n $gcore -s d -r -F -d 'Accepted and not used'
complete -c snapctl -n $gcore -s h -l help -d 'Show the options'
complete -c snapctl -n $gcore -s v -l version -d 'Show the version'
