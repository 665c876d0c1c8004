// SPDX-License-Identifier: LGPL-2.1-or-later
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "handlernote.h"

#define SERVICE "systemd-coredumpd.service"

/// Has the administrator made it a link to nothing?
static bool is_masked(const char *root, const char *folder)
{
	char path[512], target[16];
	int n = snprintf(path, sizeof(path), "%s%s/" SERVICE, root, folder);
	ssize_t len = n > 0 && (size_t)n < sizeof(path) ?
			      readlink(path, target, sizeof(target) - 1) :
			      -1;
	return len > 0 && strncmp(target, "/dev/null", (size_t)len) == 0;
}

/// Does a unit that is started at boot want it?
static bool is_wanted(const char *root, const char *folder)
{
	char pattern[512];
	glob_t found = { 0 };
	int n = snprintf(pattern, sizeof(pattern), "%s%s/*.wants/" SERVICE, root, folder);
	// What is found are mostly links to what this root cannot see: they count all the same.
	bool wanted = n > 0 && (size_t)n < sizeof(pattern) &&
		      glob(pattern, GLOB_NOSORT, NULL, &found) == 0 && found.gl_pathc;
	globfree(&found);
	return wanted;
}

void handler_note_rival(const char *root, struct handler_notes *notes)
{
	static const char *const folders[] = { "/etc/systemd/system", "/run/systemd/system",
					       "/usr/local/lib/systemd/system",
					       "/usr/lib/systemd/system" };
	bool wanted = false;
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		if (is_masked(root, folders[i]))
			return;
		wanted |= is_wanted(root, folders[i]);
	}
	if (wanted)
		handler_note(notes, "at the next boot procsnap is not the handler: " SERVICE
				    ", which is enabled, sets kernel.core_pattern when sysctl.d "
				    "has been read; disable it: systemctl disable --now " SERVICE);
}
