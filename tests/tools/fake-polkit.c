// SPDX-License-Identifier: LGPL-2.1-or-later
// links: -lsystemd
/*
 * A polkit that answers what it is told, on the bus of DBUS_SYSTEM_BUS_ADDRESS:
 *
 *   fake-polkit yes|no|challenge|old|strange|hang
 *
 * It prints "ready", and for each question one line: action, pid of the pidfd, user, flags, and the
 * details. "old" answers as polkit 122 does, which has no pidfds; "strange" with something else than
 * the interface says; "hang" never.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

static const char *mode;

static void die(const char *what, int r)
{
	fprintf(stderr, "fake-polkit: %s: %s\n", what, strerror(-r));
	exit(1);
}

/// The pid of a pidfd.
static int pid_of(int fd)
{
	char path[64], line[128];
	int pid = -1;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Pid: %d", &pid) == 1)
			break;
	if (f)
		fclose(f);
	return pid;
}

static int on_check(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *kind, *key, *value, *action, *cancel_id;
	int fd = -1, uid = -1, r;
	uint32_t flags;
	char details[256] = "";
	(void)userdata;

	if ((r = sd_bus_message_enter_container(m, 'r', "sa{sv}")) < 0 ||
	    (r = sd_bus_message_read(m, "s", &kind)) < 0 ||
	    (r = sd_bus_message_enter_container(m, 'a', "{sv}")) < 0)
		return r;
	while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		if ((r = sd_bus_message_read(m, "s", &key)) < 0)
			return r;
		r = !strcmp(key, "pidfd") ? sd_bus_message_read(m, "v", "h", &fd) :
		    !strcmp(key, "uid")	  ? sd_bus_message_read(m, "v", "i", &uid) :
					    sd_bus_message_skip(m, "v");
		if (r < 0 || (r = sd_bus_message_exit_container(m)) < 0)
			return r;
	}
	if (r < 0 || (r = sd_bus_message_exit_container(m)) < 0 ||
	    (r = sd_bus_message_exit_container(m)) < 0 ||
	    (r = sd_bus_message_read(m, "s", &action)) < 0 ||
	    (r = sd_bus_message_enter_container(m, 'a', "{ss}")) < 0)
		return r;
	while ((r = sd_bus_message_read(m, "{ss}", &key, &value)) > 0)
		snprintf(details + strlen(details), sizeof(details) - strlen(details), " %s=%s",
			 key, value);
	if (r < 0 || (r = sd_bus_message_exit_container(m)) < 0 ||
	    (r = sd_bus_message_read(m, "us", &flags, &cancel_id)) < 0)
		return r;
	printf("%s %s %d uid=%d flags=%u%s\n", action, kind, pid_of(fd), uid, flags, details);
	fflush(stdout);
	if (!strcmp(mode, "hang"))
		return 1;
	if (!strcmp(mode, "old"))
		return sd_bus_error_set(error, "org.freedesktop.PolicyKit1.Error.Failed",
					"Error getting value for key 'pid'");
	if (!strcmp(mode, "strange"))
		return sd_bus_reply_method_return(m, "s", "yes");
	return sd_bus_reply_method_return(m, "(bba{ss})", !strcmp(mode, "yes"),
					  !strcmp(mode, "challenge"), 0);
}

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})", on_check,
		      SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

int main(int argc, char *argv[])
{
	sd_bus *bus = NULL;
	int r;
	if (argc != 2)
		return 2;
	mode = argv[1];
	if ((r = sd_bus_open_system(&bus)) < 0)
		die("no bus", r);
	if ((r = sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/PolicyKit1/Authority",
					  "org.freedesktop.PolicyKit1.Authority", vtable, NULL)) < 0)
		die("vtable", r);
	if ((r = sd_bus_request_name(bus, "org.freedesktop.PolicyKit1", 0)) < 0)
		die("name", r);
	puts("ready");
	fflush(stdout);
	for (;;) {
		if ((r = sd_bus_process(bus, NULL)) < 0)
			die("process", r);
		if (!r && (r = sd_bus_wait(bus, UINT64_MAX)) < 0)
			die("wait", r);
	}
}
