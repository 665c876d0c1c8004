#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# What is in a core, kind by kind of memory, checked from the file alone; and that getting it there
# cost the process nothing.

load common
load readers

content_of() { # NAME
	printf '%s=%s\n' "$1" "$(key "$1")"
}

addr_of() { # NAME
	key "$1" | cut -d: -f1
}

# What the process has resident, in kB. Without map_files the pages of files are read through the
# process, which maps what is in the page cache anyway.
resident() {
	if [ "$(id -u)" = 0 ]; then
		smaps_sum "$PID" Rss
	else
		smaps_sum "$PID" Anonymous
	fi
}

size_of() { # NAME
	key "$1" | cut -d: -f2
}

disk() { # NAME
	"$CORECHECK" disk "$CORE" "$(addr_of "$1")" "$(size_of "$1")"
}

dumped() { # NAME
	"$CORECHECK" dumped "$CORE" "$(addr_of "$1")" "$(size_of "$1")"
}

verify() { # NAME...
	local name
	for name; do
		has_key "$name" || continue
		"$CORECHECK" verify "$CORE" "$(content_of "$name")" \
			"$(key "${name}_readable" 2>/dev/null || size_of "$name")" \
			"$(key "${name}_guards" 2>/dev/null || true)"
	done
}

# gaps_in NAME: "PAGE PAGE REASON" of the gaps in this mapping.
gaps_in() {
	local base end from to reason
	base=$(addr_of "$1")
	end=$((base + $(size_of "$1")))
	"$CORECHECK" note "$CORE" | sed -n 's/^gap //p' | while read -r from to reason; do
		from=$((0x$from > base ? 0x$from : base)) to=$((0x$to < end ? 0x$to : end))
		((from >= to)) || echo "$(((from - base) / 4096)) $(((to - base) / 4096)) $reason"
	done
}

start_memory() {
	target_start memory "$@"
	if has_key skipped; then
		SKIPPED=,$(key skipped),
		echo "this machine lacks $SKIPPED"
	fi
}

lacks() {
	[[ ${SKIPPED-} == *,$1,* ]]
}

@test "private memory of every protection" {
	start_memory
	dump
	expect_dumped
	verify sparse none readonly writeonly exec execonly rwx locked dontfork wipeonfork \
		mergeable devzero pageout zeropage
	unharmed
}

@test "private memory without process_vm_readv and PAGEMAP_SCAN" {
	start_memory
	local mask
	for mask in process_vm_readv pagemap_scan pagemap_scan,process_vm_readv; do
		PROCSNAP_MASK=$mask dump
		expect_dumped
		verify sparse none readonly writeonly exec execonly rwx locked dontfork wipeonfork \
			mergeable devzero pageout zeropage thp file_private deleted memfd_private \
			memfd_shared anonshared sysv
		unharmed
	done
}

# This is how anybody but root dumps.
@test "private memory without map_files" {
	start_memory
	local mask
	for mask in map_files pagemap_scan,process_vm_readv,map_files; do
		PROCSNAP_MASK=$mask dump
		[ "$status" = 0 ] || expect $EX_PARTIAL
		verify sparse none readonly writeonly exec execonly rwx locked dontfork wipeonfork \
			mergeable devzero pageout zeropage thp file_private deleted
		# The resident pages of shared memory.
		verify anonshared memfd_shared sysv ||
			[[ $(gaps_in anonshared) == *not-resident ]]
		unharmed
	done
}

@test "huge pages by themselves" {
	start_memory
	lacks thp && skip "no transparent huge pages"
	dump
	expect_dumped
	verify thp
	[ "$(target_cmd thp)" = "thp $(key thp_kb)" ]
	unharmed
}

@test "never touched: not read, not on disk" {
	start_memory
	dump
	expect_dumped
	verify untouched noreserve
	[ "$(disk untouched)" = 0 ]
	[ "$(disk noreserve)" = 0 ]
	[ "$(disk zeropage)" = 0 ]
	[ "$(dumped noreserve)" = 0 ]
	# 64 GiB of address space cost nothing, and apparent size is bounded too.
	(($(stat -c %b "$CORE") * 512 < 64 << 20))
	(($(stat -c %s "$CORE") < 1 << 30))
	# The segments are there, so that debuggers know the addresses.
	local base
	base=$(printf '%x' "$(addr_of noreserve)")
	"$CORECHECK" segments "$CORE" | awk -v a="$base" '$1 <= a' | grep -q .
	unharmed
}

@test "sparse: the pages between are holes" {
	start_memory
	dump
	expect_dumped
	verify sparse anonshared memfd_shared memfd_private sysv
	# 22 of 64 pages have content.
	[ "$(disk sparse)" = $((22 * 4096)) ]
	[ "$(disk anonshared)" = $((8 * 4096)) ]
	[ "$(disk memfd_shared)" = $((6 * 4096)) ]
	[ "$(disk memfd_private)" = $((6 * 4096)) ]
	[ "$(disk sysv)" = $((4 * 4096)) ]
	[ "$(disk anonshared_untouched)" = 0 ]
}

@test "MADV_DONTDUMP is left out, and is in with --all" {
	start_memory
	dump
	expect_dumped
	[ "$(dumped dontdump)" = 0 ]
	dump --all
	[ "$status" = 0 ] || expect $EX_PARTIAL
	verify dontdump
	unharmed
}

@test "files: private pages by default, the rest as the filter says" {
	need_root # else nobody tells where a file ends
	start_memory
	dump
	expect_dumped
	# A private mapping with pages of its own is dumped whole, as the kernel does.
	verify file_private deleted
	[ "$(dumped file_shared)" = 0 ]
	dump --filter 0xff
	expect_dumped
	verify file_private file_shared deleted memfd_shared anonshared
	dump --filter 0
	expect_dumped
	[ "$(dumped sparse)" = 0 ]
	[ "$(dumped file_private)" = 0 ]
	[ "$(dumped anonshared)" = 0 ]
	[ "$(note filter)" = 0x0 ]
	dump --filter 0x1
	verify sparse
	[ "$(dumped anonshared)" = 0 ]
	dump --filter 0x2
	verify anonshared memfd_shared sysv
	[ "$(dumped sparse)" = 0 ]
	dump --filter 0x8
	verify file_shared
	[ "$(dumped file_private)" = 0 ]
	unharmed
}

@test "the process's own coredump_filter is followed" {
	start_memory
	echo 0x8 >"/proc/$PID/coredump_filter"
	dump
	expect_dumped
	[ "$(note filter)" = 0x8 ]
	verify file_shared
	[ "$(dumped sparse)" = 0 ]
	echo 0x33 >"/proc/$PID/coredump_filter"
	unharmed
}

@test "guard pages are gaps, and so are pages behind the end of a file" {
	need_root # else nobody tells where a file ends
	start_memory
	dump --json --filter 0x3f
	expect_dumped
	verify guard past_eof guarded_stack
	if ! lacks guard; then
		[ "$(gaps_in guard)" = $'2 3 guard\n5 6 guard\n15 16 guard' ]
		[ "$(gaps_in guarded_stack)" = "1 2 guard" ]
		[ "$(field '[.gaps[] | select(.reason == "guard")] | length')" -ge 4 ]
	fi
	[ "$(gaps_in past_eof)" = "3 5 past-eof" ]
	# Nothing was lost by that: the core is whole.
	field '.gap_bytes > 0' >/dev/null
	[ "$status" != 0 ] || [ "$(note partial)" = 0 ]
	unharmed
}

@test "guard pages and the end of a file with an older kernel's means" {
	need_root # else nobody tells where a file ends
	start_memory
	local mask
	for mask in pagemap_scan process_vm_readv pagemap_scan,process_vm_readv; do
		PROCSNAP_MASK=$mask dump --json --filter 0x3f
		expect_dumped
		verify guard past_eof guarded_stack
		[ "$(gaps_in past_eof)" = "3 5 past-eof" ]
		lacks guard || [ "$(gaps_in guard | cut -d' ' -f 1,2)" = $'2 3\n5 6\n15 16' ]
		unharmed
	done
}

@test "memfd_secret: absent, and a gap with --all" {
	start_memory
	has_key secret || skip "memfd_secret is not there"
	dump
	expect_dumped
	[ "$(dumped secret)" = 0 ]
	dump --all --json
	# It was asked for, and cannot be had.
	expect $EX_PARTIAL
	[ "$(gaps_in secret)" = "0 4 unreadable" ]
	[ "$(note partial)" = 1 ]
	field '.lost_bytes >= 16384' >/dev/null
	verify sparse none execonly dontdump file_private file_shared memfd_shared guard
	[ "$(disk secret)" = 0 ]
	error_has "missing"
	unharmed
}

@test "device memory is never read, also with --all" {
	start_memory
	dump --all
	local name
	for name in io_uring perf; do
		has_key $name || continue
		echo $name
		# perf's ring is VM_IO or VM_PFNMAP; io_uring's is ordinary kernel memory on some.
		"$CORECHECK" segments "$CORE" >/dev/null
	done
	unharmed
}

# A target "memory" with huge pages of its own.
start_with_huge_pages() {
	need_root
	local was=/proc/sys/vm/nr_hugepages old
	[ -w $was ] || skip "no huge pages in this kernel"
	old=$(cat $was)
	at_end "echo $old >$was"
	echo $((old + 8)) >$was
	(($(awk '/HugePages_Free/ { print $2 }' /proc/meminfo) >= 6)) ||
		skip "no memory for huge pages"
	start_memory
	has_key hugetlb_file || skip "huge pages cannot be mapped"
}

@test "hugetlb pages" {
	start_with_huge_pages
	dump --json # the default filter has private huge pages
	expect_dumped
	verify hugetlb_private
	[ "$(dumped hugetlb_shared)" = 0 ]
	dump --filter 0x7f
	expect_dumped
	verify hugetlb_private hugetlb_shared
	dump --all
	verify hugetlb_private hugetlb_shared
	# The second half was never touched, and still has no page.
	local name
	for name in hugetlb_private hugetlb_shared; do
		[ "$("$CORECHECK" disk "$CORE" "$(addr_of $name | xargs printf '%d\n' |
			awk '{ printf "%d", $1 + 2097152 }')" 2097152)" = 0 ]
	done
	PROCSNAP_MASK=pagemap_scan,process_vm_readv dump --filter 0x7f
	verify hugetlb_private
	unharmed
	target_quit
}

# segment_of NAME CORE: the line of corecheck.
segment_of() {
	"$CORECHECK" segments "$2" | grep "^$(printf '%x' "$(addr_of "$1")") " ||
		fail "$2 has no segment for $1"
}

@test "hugetlb pages: segments and bytes as in the kernel's own core" {
	local filter name size core
	for filter in 0x13 0x33 0x53 0x73; do
		start_with_huge_pages
		echo $filter >"/proc/$PID/coredump_filter"
		dump --json
		expect 0
		for name in hugetlb_private hugetlb_file hugetlb_shared; do
			case $name in
			*_shared) size=$((filter & 0x40 ? $(size_of $name) : 0)) ;;
			*) size=$((filter & 0x20 ? $(size_of $name) : 0)) ;;
			esac
			[ "$(dumped $name)" = $size ]
			[ $size = 0 ] || verify $name
		done
		[ "$(cat /proc/sys/kernel/core_pattern)" = core ] || continue
		mv "$CORE" "$DIR/ours"
		prlimit --pid "$PID" --core=unlimited
		remove_files_of "$PID"
		kill -ABRT "$PID"
		wait "${T_MAIN[CURRENT]}" || true
		core=$(echo "$OUT"/core*)
		for name in hugetlb_private hugetlb_file hugetlb_shared; do
			[ "$(segment_of $name "$DIR/ours")" = "$(segment_of $name "$core")" ]
			[ "$(dumped $name)" = 0 ] || CORE=$core verify $name
		done
		rm "$core"
	done
}

@test "hugetlb pages: a dry run counts those that are there" {
	start_with_huge_pages
	local filter pages touched bytes=0 on_disk=0 classes
	while read -r filter pages touched; do
		snapctl dump -n --json --filter "$filter" "$PID"
		expect 0
		classes='[.classes[] | select(.class == "huge page files" and .dumped)]'
		[ "$(field "$classes | map(.bytes) | add // 0")" = $((pages << 21)) ]
		# Whether the page that is only in the file counts is open.
		(($(field "$classes | map(.data_bytes) | add // 0") >= touched << 21))
		(($(field "$classes | map(.data_bytes) | add // 0") <= (touched + 1) << 21))
		((pages)) || bytes=$(field .bytes) on_disk=$(field .bytes_on_disk)
		(($(field .bytes) == bytes + (pages << 21)))
		(($(field .bytes_on_disk) >= on_disk + (touched << 21)))
	done <<-END
		0x13 0 0
		0x33 3 1
		0x53 2 1
		0x73 5 2
	END
	unharmed
	target_quit
}

@test "the dump makes no page resident in the process" {
	start_memory
	local before after
	dump # what is read the first time is not about pages: the vdso
	before=$(resident)
	dump
	dump --all
	after=$(resident)
	echo "resident $before kB, then $after kB"
	((after <= before))
	unharmed
}

@test "nor with what older kernels have" {
	start_memory
	local mask before after
	for mask in pagemap_scan process_vm_readv pagemap_scan,process_vm_readv; do
		PROCSNAP_MASK=$mask dump
		before=$(resident)
		PROCSNAP_MASK=$mask dump --filter 0xff
		after=$(resident)
		echo "$mask: resident $before kB, then $after kB"
		((after <= before))
	done
	unharmed
}

@test "a big process grows by nothing" {
	target_start gap-probe 64 --untouched
	local before after
	before=$(resident)
	dump
	expect 0
	after=$(resident)
	((after <= before + 64)) # its stack of readings grows
	(($(stat -c %b "$CORE") * 512 < 8 << 20))
	unharmed
}

@test "zeros are holes" {
	target_start gap-probe 64 --fill zero
	dump --json
	expect 0
	(($(stat -c %b "$CORE") * 512 < 4 << 20))
	(($(field .bytes_on_disk) == $(stat -c %b "$CORE") * 512))
	(($(field .bytes) == $(stat -c %s "$CORE")))
	unharmed
}

@test "shared memory that only another process has touched" {
	need_root
	target_start "$TOOLS/shmfill" 16
	local before after
	before=$(resident)
	dump --json
	expect 0
	field '.lost_bytes == 0' >/dev/null
	verify anon memfd
	[ "$(disk anon)" = $((8 << 20)) ]
	after=$(resident)
	((after <= before + 16))
	unharmed
	# Without map_files it cannot be read without mapping it: then it is a gap, and said so.
	PROCSNAP_MASK=map_files dump --json
	expect $EX_PARTIAL
	[[ $(gaps_in anon) == *not-resident ]]
	[[ $(gaps_in memfd) == *not-resident ]]
	error_has CAP_CHECKPOINT_RESTORE
	unharmed
	target_quit
}

@test "a dry run counts shared memory that only another process has touched" {
	need_root
	target_start "$TOOLS/shmfill" 16
	snapctl dump -n --json "$PID"
	expect 0
	# Half of each of two areas.
	field '.classes[] | select(.class == "shared memory").data_bytes >= 16777216' >/dev/null
	field '.bytes_on_disk >= 16777216' >/dev/null
	unharmed
	target_quit
}

@test "swapped pages are in the core" {
	need_mount
	need_command swapon mkswap
	local swap
	swap=$(mktemp "${PROCSNAP_TEST_DIR:-/var/tmp}/procsnap-swap.XXXXXX")
	at_end "rm -f '$swap'"
	chmod 600 "$swap"
	dd if=/dev/zero of="$swap" bs=1M count=64 status=none
	mkswap "$swap" >/dev/null
	swapon "$swap" 2>"$DIR/why" || skip "swapon: $(cat "$DIR/why")"
	at_end "swapoff '$swap'"
	start_memory
	(($(key swap_kb) > 0)) || skip "the kernel did not swap the target out"
	local before after mask
	for mask in '' pagemap_scan; do
		before=$(smaps_sum "$PID" Swap)
		PROCSNAP_MASK=$mask dump --json
		expect_dumped
		field '.lost_bytes == 0' >/dev/null
		verify pageout anonshared_pageout sparse
		after=$(smaps_sum "$PID" Swap)
		echo "swapped out: $before kB, then $after kB"
	done
	unharmed
	target_quit
}

# swap_on MIB: compressed memory where nobody uses it for swap, else a file on a disk. A loop device
# takes one from every file system, with holes too.
swap_on() {
	need_mount
	need_command swapon mkswap
	local zram=/sys/block/zram0 device=/dev/zram0
	if [ -w $zram/disksize ] && [ "$(cat $zram/initstate)" = 0 ]; then
		at_end "echo 1 >$zram/reset"
		echo "$1M" >$zram/disksize
	else
		need_command losetup
		truncate -s "$1M" "$DIR/swap"
		device=$(losetup --find --show "$DIR/swap" 2>"$DIR/why") || skip "losetup: $(cat "$DIR/why")"
		at_end "losetup --detach '$device'"
	fi
	mkswap "$device" >/dev/null
	# Before any swap that is there already.
	swapon --priority 32767 "$device" 2>"$DIR/why" || skip "swapon: $(cat "$DIR/why")"
	at_end "swapoff '$device'"
}

swapped_kb() {
	awk '$1 == "VmSwap:" { print $2 }' "/proc/$PID/status"
}

# Of gap-probe: nine tenths of its memory at least. The kernel leaves what is on its way to a list.
swap_out() {
	[ "$(target_cmd pageout)" = pageout ]
	(($(swapped_kb) > 0)) || skip "the kernel does not swap the target out"
	(($(swapped_kb) * 1024 >= $(size_of mem) / 10 * 9)) ||
		fail "of $(size_of mem) bytes only $(swapped_kb) kB are in swap"
}

private_bytes() {
	field '.classes[] | select(.class == "private anonymous" and .dumped) | .data_bytes'
}

@test "a process that is swapped out: all of it is in the core, and a dry run counts it" {
	need_command gdb
	swap_on 200
	local way mask bytes on_disk private
	for way in --nothp --thp; do
		target_start gap-probe 64 $way
		snapctl dump -n --json "$PID"
		bytes=$(field .bytes) on_disk=$(field .bytes_on_disk) private=$(private_bytes)
		swap_out
		snapctl dump -n --json "$PID"
		expect 0
		[ "$(field .bytes)" = "$bytes" ]
		(($(private_bytes) >= 64 << 20 && $(private_bytes) <= private + (1 << 20)))
		(($(field .bytes_on_disk) <= on_disk + (1 << 20)))
		for mask in '' pagemap_scan process_vm_readv; do
			swap_out # the last dump has brought it back
			PROCSNAP_MASK=$mask dump --json
			expect 0
			well_formed
			field '.lost_bytes == 0' >/dev/null
			[ -z "$(gaps_in mem)" ]
			"$CORECHECK" verify "$CORE" "$(content_of mem):$(key seed):1"
			(($(field .bytes) <= bytes + (1 << 20)))
			(($(field .bytes_on_disk) <= on_disk + (1 << 20)))
		done
		unharmed
	done
	# gdb reads the same bytes, beginning at a page that is not the first.
	local start=$(($(addr_of mem) + 0x5000))
	gdb_on "$BUILD/targets/gap-probe" "$CORE" \
		"dump binary memory $DIR/gdb-read $start $((start + (1 << 20)))"
	dd "if=/proc/$PID/mem" "of=$DIR/own" bs=4096 skip=$((start / 4096)) count=256 status=none
	cmp "$DIR/own" "$DIR/gdb-read"
	swap_out
	dump --compress
	expect 0
	zstd -qdf -o "$DIR/raw" "$CORE"
	"$CORECHECK" verify "$DIR/raw" "$(content_of mem):$(key seed):1"
	target_quit
}

# limited_start MIB TARGET...: a target in a group that may use so much memory, and any swap.
limited_start() {
	local v1=/sys/fs/cgroup/memory v2=/sys/fs/cgroup group limit
	if [ -w $v1/memory.limit_in_bytes ]; then
		group=$(mktemp -d $v1/procsnap-test.XXXXXX) limit=memory.limit_in_bytes
	elif grep -qsw memory $v2/cgroup.subtree_control; then
		group=$(mktemp -d $v2/procsnap-test.XXXXXX) limit=memory.max
	else
		skip "no cgroups that limit memory"
	fi
	at_end "rmdir '$group'"
	echo "$1M" >"$group/$limit"
	cat >"$DIR/limited" <<-END
		#!/bin/sh
		echo \$\$ >'$group/cgroup.procs'
		exec '$BUILD/targets/$2' "\$@"
	END
	chmod 755 "$DIR/limited"
	target_start "$DIR/limited" "${@:3}"
}

# What is read has to come into memory, and other pages have to go.
@test "a process larger than its group's limit of memory survives the dump" {
	need_target gap-probe
	swap_on 200
	limited_start 32 gap-probe 128
	local mask
	for mask in '' pagemap_scan process_vm_readv; do
		(($(swapped_kb) > 64 * 1024))
		PROCSNAP_MASK=$mask dump --json
		expect 0
		field '.lost_bytes == 0' >/dev/null
		"$CORECHECK" verify "$CORE" "$(content_of mem):$(key seed):1"
		unharmed
	done
	target_quit
}

@test "the same, copied in advance" {
	need_target gap-probe
	swap_on 200
	limited_start 32 gap-probe 128
	(($(swapped_kb) > 64 * 1024))
	dump --json --mode=precopy
	expect 0
	field '.mode == "precopy" and .lost_bytes == 0' >/dev/null
	"$CORECHECK" verify "$CORE" "$(content_of mem):$(key seed):1"
	unharmed
	target_quit
}

@test "what is never touched stays untouched beside a swap file" {
	start_memory
	# Only what the core holds is read: noreserve has 64 GiB of nothing.
	dump --all
	[ "$(disk untouched)" = 0 ]
	[ "$(disk noreserve)" = 0 ]
	unharmed
}

@test "32 bits" {
	target_start simple-32
	dump
	expect 0
	verify_content
	[ "$(note version)" = 1 ]
	[ "$(note threads)" = 5 ]
	unharmed
}

@test "the note: times, mode, threads" {
	target_start simple
	local before after
	before=$(date +%s%N)
	dump --json
	after=$(date +%s%N)
	expect 0
	(($(note realtime_ns) >= before && $(note realtime_ns) <= after))
	[ "$(note mode)" = copy ]
	[ "$(note pause_ns)" = "$(field .pause_ns)" ]
	[ "$(note predicted_pause_ns)" = "$(field .predicted_pause_ns)" ]
	(($(note predicted_pause_ns) > 0))
	[ "$(note threads)" = 5 ]
	[ "$(note filter)" = 0x33 ]
	[ "$(note gaps_cut)" = 0 ]
	# The type is no other note's, and there is exactly one.
	[ "$("$CORECHECK" notes "$CORE" | grep -c '^procsnap 0x534e4150 ')" = 1 ]
}

@test "NT_FILE lists what /proc/PID/maps lists" {
	target_start simple
	dump
	"$CORECHECK" files "$CORE" >"$DIR/core"
	awk '$5 != 0 && $6 != "" { name = $0; sub(/^[^\/]*/, "", name); split($1, a, "-");
		print a[1], a[2], $3, name }' "/proc/$PID/maps" |
		while read -r start end offset name; do
			printf '%s %s %x %s\n' "${start##0}" "${end##0}" $((0x$offset)) "$name"
		done >"$DIR/maps"
	diff "$DIR/maps" "$DIR/core"
}

@test "mappings with strange names" {
	local odd=$OUT/$'odd \e[31m\nname (deleted)'
	head -c 8192 /dev/urandom >"$odd"
	cp "$BUILD/targets/simple" "$OUT/a b"$'\n'"c"
	target_start "$OUT/a b"$'\n'"c"
	dump
	expect 0
	well_formed
	"$CORECHECK" files "$CORE" | grep -q "a b"
	[[ $output$errors != *$'\e'* ]]
	unharmed
}

# ---- shared memory, of which there is a lot -------------------------------------------------------

@test "much shared memory is read when the process runs again, and the core says so" {
	need_root # else its file is nobody's to open
	local mode
	target_start shared 80
	for mode in precopy fork auto; do
		[ $mode != precopy ] || follows_writes || continue
		dump --json --mode=$mode
		expect 0
		[ $mode = auto ] || [ "$(field .mode)" = $mode ]
		[ "$(field .mode)" != copy ] || continue
		field ".lost_bytes == 0 and .gap_bytes == $((80 << 20)) and (.gaps | map(.reason) == [\"later\"])" \
			>/dev/null
		field '.warnings | map(select(test("80.0 MiB of shared memory are from after the instant"))) |
			length == 1' >/dev/null
		verify_content
		well_formed
		snapctl info "$CORE"
		[[ $output == *"Later: 80.0 MiB of shared memory"*"Gaps: none"* ]] || fail "$output"
		snapctl info --json "$CORE"
		jq -e ".core.later_bytes == $((80 << 20)) and .core.partial == false" <<<"$output" >/dev/null ||
			fail "$output"
	done
	dump --json --mode=copy
	expect 0
	field '.gaps == [] and .warnings == []' >/dev/null
	verify_content
	unharmed
}

@test "shared memory that nobody can open is read while the process stands still, and so is a little" {
	need_root
	target_start shared 80
	PROCSNAP_MASK=map_files dump --json --mode=fork
	expect 0
	field '.mode == "fork" and .gaps == []' >/dev/null
	verify_content
	# What is foretold knows that, too: 80 MiB take more than 10 ms.
	field '.predicted_pause_ns > 10e6' >/dev/null
	dump --json --mode=fork
	field '.predicted_pause_ns < 10e6' >/dev/null
	unharmed
	target_start shared 60
	dump --json --mode=fork
	expect 0
	field '.mode == "fork" and .gaps == []' >/dev/null
	verify_content
	unharmed
}

# Has the worker of snapctl $1 the file open that the shared memory is? It has from the pause on.
keeps_file() {
	local worker
	worker=$(cat "/proc/$1/task/$1/children" 2>/dev/null)
	find "/proc/${worker% }/fd" -lname '/dev/zero*' 2>/dev/null | grep -q .
}

@test "much shared memory of a process that ends meanwhile: the core is whole" {
	need_root
	local i dumper early
	for ((i = 0; i < 20; i++)); do
		target_start shared 600
		status=0 early=1
		"$SNAPCTL" dump --json --mode=fork -f -o "$CORE" "$PID" >"$DIR/round" 2>"$DIR/stderr" 3>&- &
		dumper=$!
		until keeps_file $dumper || gone $dumper; do :; done
		wait_free "$PID"
		kill -KILL "$PID"
		! gone $dumper || early=0
		wait $dumper || status=$?
		# It may have been killed while it stood still, or too late.
		[ "$status" != 0 ] || [ $early = 0 ] || break
	done
	[ "$status$early" = 01 ] || fail "$(cat "$DIR/stderr")" || return 1
	jq -e '.mode == "fork" and (.gaps | map(.reason) == ["later"])' "$DIR/round" >/dev/null
	verify_content
}
