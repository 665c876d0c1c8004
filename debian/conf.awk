# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes the procsnap.conf that packages install from the manual page, procsnap.conf.5.scd: every key
# with its default, as a comment. Fails when a key has no default there.

function key_ends() {
	if (key == "")
		return
	if (match(text, /\*[^* ]+\* by default\./))
		print "#" key substr(text, RSTART + 1, index(substr(text, RSTART + 1), "*") - 1)
	else if (text ~ /(Nobody|None) by default\./)
		print "#" key
	else
		failed = "no default of " key
	key = text = ""
}

BEGIN {
	print "# Configuration of procsnapd. Each line is the default; see procsnap.conf(5)."
	print "# What is in /etc/procsnap/procsnap.conf.d/*.conf wins, and is not touched by upgrades."
	print "# \"snapctl reload\" makes changes known."
}

# "# [STORE]" is the section [Store]; names of sections are capitals in the manual only.
/^# / {
	key_ends()
	within = /^# \[/
	if (within)
		print "\n[" substr($2, 2, 1) tolower(substr($2, 3))
}
within && /^\*[A-Za-z]+=\*$/ {
	key_ends()
	key = substr($0, 2, length($0) - 2)
}
within && key != "" && /^\t/ {
	text = text substr($0, 2) " "
}

END {
	key_ends()
	if (failed) {
		print failed >"/dev/stderr"
		exit 1
	}
}
