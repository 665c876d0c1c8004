# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2016,SC2034 # other shells expand; tests use what is set here
# A journald of the test's own, and coredumpctl on it. For tests that have loaded common.bash.
#
# PROCSNAP_COREDUMPCTL is a coredumpctl that is not installed, such as one out of the package
# systemd-coredump, whose installation would take the crashes of this machine.
# PROCSNAP_COREDUMPCTL_ROOT is a folder with another system that has one, of another version.

# Where tests/tools/fetch-coredumpctl puts it.
fetched=${PROCSNAP_GO_CACHE:-/var/cache/procsnap-tests}/coredumpctl/usr/bin/coredumpctl
if [ -z "${PROCSNAP_COREDUMPCTL:-}" ] && ! command -v coredumpctl >/dev/null && [ -x "$fetched" ]; then
	PROCSNAP_COREDUMPCTL=$fetched
fi

# ---- a journald of our own ------------------------------------------------------------------

# Runs a command where /run and /var/log/journal are ours.
inside() {
	nsenter --mount="/proc/$HOLDER/ns/mnt" --wdns="$PWD" -- "$@"
}

# For this and what it starts in there: HOLDER keeps the mounts, JOURNALD is the journald.
journal_space() {
	need_mount
	need_command unshare nsenter journalctl
	[ -x /lib/systemd/systemd-journald ] || skip "systemd-journald is not installed"
	[ -s /etc/machine-id ] || skip "this machine has no /etc/machine-id"
	chmod 755 "$DIR" "$OUT"
	unshare --mount --propagation private sleep 600 &
	HOLDER=$!
	STARTED+=("$HOLDER")
	wait_for own_namespace
	inside sh -ec '
		mount -t tmpfs -o mode=755 tmpfs /run
		mkdir -p /run/systemd/journal /run/systemd/journald.conf.d /run/log/journal
		mkdir -p /var/log/journal
		mount -t tmpfs -o mode=755 tmpfs /var/log/journal
		printf "[Journal]\nStorage=persistent\nAudit=no\nReadKMsg=no\nRateLimitBurst=0\n" \
			>/run/systemd/journald.conf.d/test.conf
		>/run/systemd/journal/flushed' || skip "nothing can be mounted over /run here"
	journald_start
}

own_namespace() {
	[ "$(readlink "/proc/$HOLDER/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]
}

journald_start() {
	nsenter --mount="/proc/$HOLDER/ns/mnt" /lib/systemd/systemd-journald 2>"$DIR/journald" &
	JOURNALD=$!
	STARTED+=("$JOURNALD")
	wait_for inside test -S /run/systemd/journal/socket
	wait_for inside sh -c 'ls /var/log/journal/*/system.journal >/dev/null 2>&1'
}

# ---- coredumpctl ----------------------------------------------------------------------------

# Sets READERS, the commands that are a coredumpctl; they know $DIR and the journal.
find_coredumpctl() {
	local root=${PROCSNAP_COREDUMPCTL_ROOT:-}
	READERS=()
	if command -v "${PROCSNAP_COREDUMPCTL:-coredumpctl}" >/dev/null; then
		READERS+=("${PROCSNAP_COREDUMPCTL:-coredumpctl}")
	fi
	if [ -n "$root" ] && [ -x "$root/usr/bin/coredumpctl" ]; then
		inside sh -ec '
			mount --bind "$1" "$1"
			mkdir -p "$1$2" "$1/var/log/journal"
			mount --bind "$2" "$1$2"
			mount --bind /var/log/journal "$1/var/log/journal"
			mount --bind /proc "$1/proc"
			mount --bind /run "$1/run"
			[ -f "$1/etc/machine-id" ] || >"$1/etc/machine-id"
			mount --bind /etc/machine-id "$1/etc/machine-id"' sh "$root" "$DIR"
		at_end "rmdir $(printf %q "$root$DIR")"
		READERS+=("chroot $root coredumpctl")
	fi
	[ ${#READERS[@]} -gt 0 ] ||
		skip "no coredumpctl: apt download systemd-coredump, dpkg -x, PROCSNAP_COREDUMPCTL"
}

# coredumpctl of $READER, which is words, or of the first reader.
coredumpctl() {
	# shellcheck disable=SC2086
	inside ${READER:-${READERS[0]}} -q --no-pager "$@"
}
