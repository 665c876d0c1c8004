// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A client of procsnapd who sends anything, in any pieces and with any descriptors, to the daemon's
 * own server and methods. No job is ever begun, so nothing is done to anybody; the store is a folder of
 * its own with two dumps. He is asked about by nobody, for the bus that polkit is said to be on is none.
 * What is answered must be the wire format, and nothing may be left when he has gone.
 *
 *   input: records of one byte (how many descriptors come with it; 8: a NUL behind it; 16: let the
 *   daemon work now; 32: no more is sent then; 64: read answers), two of length, and that many bytes
 */
#include <fcntl.h>
#include <ftw.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/fd.h"
#include "daemon/api.h"
#include "daemon/storeimpl.h"
#include "gopatch.h"

enum { FDS = 7, NUL = 8, WORK = 16, HALF = 32, READ = 64, TURNS_MAX = 100000 };

static struct manager manager;
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static FILE *silence;
static char store_folder[] = "/tmp/procsnap-fuzz.XXXXXX";

static void fill_config(struct config *config)
{
	config->max_jobs = 0; // none begins
	config->max_queue = 3;
	config->max_connections = config->max_connections_per_user = 4;
}

static int remove_one(const char *path, const struct stat *st _unused_, int kind _unused_,
		      struct FTW *where _unused_)
{
	return remove(path);
}

static void remove_store(void)
{
	(void)nftw(store_folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/// A dump of the user who fuzzes, or of somebody else.
static void add_dump(uid_t uid)
{
	const struct store_request request = { .uid = uid };
	const struct store_facts facts = { .kind = STORE_LIVE,
					   .flags = STORE_OWNER_READS,
					   .pid = 4711,
					   .uid = uid,
					   .usec = 1700000000000000,
					   .comm = "fuzz",
					   .boot_id = "0123456789abcdef0123456789abcdef" };
	_cleanup_(json_destroyp) struct json *metadata = json_new_object();
	struct store_removals removals = { 0 };
	const struct store_entry *entry;
	struct store_draft *draft;
	REQUIRE(!store_begin(manager.store, &request, &removals, &draft));
	REQUIRE(snap_write_all(draft->core, "core", 4) == 0);
	REQUIRE(!store_publish(draft, &facts, metadata, &removals, &entry));
	store_removals_deinit(&removals);
}

static void begin_store(void)
{
	const struct retention_limits limits = { .max_entries = STORE_MAX_ENTRIES };
	struct store_report report;
	REQUIRE(mkdtemp(store_folder));
	(void)atexit(remove_store);
	REQUIRE(!store_create(store_folder, &limits, &report, &manager.store));
	add_dump(getuid());
	add_dump(1000);
}

static void begin(void)
{
	const struct server_callbacks callbacks = { api_call, &manager };
	static char nothing[] = "/dev/null";
	if (manager.event)
		return;
	silence = fopen("/dev/null", "we");
	(void)snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "procsnap-fuzz-%d",
		       getpid());
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	REQUIRE(silence && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
		listen(fd, 4) == 0);
	REQUIRE(sd_event_new(&manager.event) == 0);
	manager.group = (gid_t)-1;
	manager.config_path = nothing;
	REQUIRE(!config_create(&manager.config));
	REQUIRE(!events_create(&manager.events));
	REQUIRE(!ondump_create(manager.event, &manager.ondump));
	REQUIRE(!jobs_create(manager.event, &manager.jobs));
	REQUIRE(!armer_create(manager.event, manager.jobs, &manager.armer));
	REQUIRE(!recorder_create(manager.event, NULL, &manager.recorder));
	REQUIRE(!server_create(manager.event, &callbacks, &manager.server));
	REQUIRE(!server_listen(manager.server, fd));
	REQUIRE(!authorizer_create(manager.event, &manager.authorizer));
	(void)setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/dev/null", 1);
	begin_store();
	// The timers of the loop have descriptors, which it makes once and keeps.
	authorizer_configure(manager.authorizer, manager.config);
	FILE *loud = stderr;
	stderr = silence;
	REQUIRE(!manager_reload(&manager));
	stderr = loud;
	fill_config(manager.config);
	jobs_configure(manager.jobs, manager.config);
	server_configure(manager.server, manager.config);
	authorizer_configure(manager.authorizer, manager.config);
}

/// Has the daemon do all that it can do now. Its log is not what is looked at.
static void work(void)
{
	FILE *loud = stderr;
	int turns = 0;
	stderr = silence;
	while (turns < TURNS_MAX && sd_event_run(manager.event, 0) > 0)
		turns++;
	stderr = loud;
	REQUIRE(turns < TURNS_MAX); // it is never busy with nothing
	fill_config(manager.config); // Reload has made a new one
}

static void check_reply(const struct json *reply)
{
	const char *error = json_get_text(reply, "error");
	for (size_t i = 0; i < json_length(reply); i++) {
		const char *key = json_key_at(reply, i);
		REQUIRE(!strcmp(key, "error") || !strcmp(key, "parameters") ||
			!strcmp(key, "continues"));
	}
	REQUIRE(json_is_object(json_get(reply, "parameters")));
	REQUIRE(!error || !strncmp(error, "io.procsnap.", 12) ||
		!strncmp(error, "org.varlink.service.", 20));
	REQUIRE(!error || !json_get_bool(reply, "continues", false));
}

/// Reads all answers that are there.
static void receive(struct varlink *client)
{
	for (;;) {
		_cleanup_(json_destroyp) struct json *reply = NULL;
		int r = varlink_next(client, &reply);
		REQUIRE(r >= 0);
		if (r > 0)
			check_reply(reply);
		else if (varlink_fill(client) <= 0)
			return;
	}
}

static void send_piece(int sock, const void *data, size_t len, size_t n_fds)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(FDS * sizeof(int))];
	} control = { 0 };
	int fds[FDS];
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	for (size_t i = 0; i < n_fds; i++)
		fds[i] = memfd_create("fuzz", MFD_CLOEXEC);
	if (n_fds) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fds, n_fds * sizeof(int));
	}
	// When it is full, or closed, that is enough of it.
	(void)sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	for (size_t i = 0; i < n_fds; i++)
		snap_closep(&fds[i]);
}

static int count_fds(void)
{
	int n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void talk(struct varlink *client, struct patches *in)
{
	while (in->left) {
		uint8_t how = (uint8_t)patches_take(in, 1);
		size_t len = MIN(patches_take(in, 2), in->left);
		_cleanup_free_ char *text = fuzz_text(in->data, len);
		size_t n = len + (how & NUL ? 1 : 0);
		if (n)
			send_piece(client->fd, text, n, how & FDS);
		if (how & WORK)
			work();
		if (how & HALF)
			(void)shutdown(client->fd, SHUT_WR);
		if (how & READ)
			receive(client);
		in->data += len;
		in->left -= len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct patches in = { data, size };
	struct varlink client;
	begin();
	int before = count_fds();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	REQUIRE(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	varlink_init(&client, fd, VARLINK_REPLY_MAX);
	talk(&client, &in);
	work();
	receive(&client);
	varlink_deinit(&client);
	work();
	struct jobs_counts counts = jobs_count(manager.jobs);
	REQUIRE(server_connections(manager.server) == 0);
	REQUIRE(counts.running == 0 && counts.waiting == 0);
	REQUIRE(count_fds() == before);
	return 0;
}
