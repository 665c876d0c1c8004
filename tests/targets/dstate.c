// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * DOC: Theory of operation
 *
 * A thread in state D, which ptrace cannot stop. Ways to get there without special devices, by
 * the first argument:
 *
 *   uffd      (default) process_vm_readv from an absent page registered with a userfaultfd.
 *             A page fault from user mode or from read(2) waits interruptibly (state S), but one
 *             in get_user_pages waits in TASK_KILLABLE. Whoever reads that page from outside
 *             ends up in the same state: it must not be read.
 *   fsfreeze  write(2) to a frozen ext4 on a loop device: TASK_UNINTERRUPTIBLE, not even killable.
 *             Lives in a mount namespace of its own. Needs root and mkfs.ext4.
 *
 * `check` sees that the thread is still in D, lets it go, verifies what its call gave, and sends
 * it back. If a process with a writer on a frozen file system is killed, nobody but somebody
 * else can thaw it and so let it die: a child that gets a signal when the main thread dies.
 */
#include "target.h"

#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/uio.h>

enum { SEED = 91, IMAGE_BYTES = 32 << 20 };

struct dstate_way {
	const char *name;
	void (*set_up)(void);
	long (*block)(void);			// in the thread: result, must be TARGET_PAGE
	void (*release)(void);
	void (*verify)(void);			// after the call came back
	void (*prepare)(void);			// before the next one
};

static const struct dstate_way *way;
static _Atomic pid_t dstate_tid;
static _Atomic unsigned int dstate_returns;
static _Atomic bool dstate_again = true;
static long dstate_result;
static int dstate_errno;
static uint64_t dstate_buf[TARGET_PAGE / 8];
static unsigned int dstate_flags;

/* ---- uffd ---- */

static int uffd;
static uint8_t *uffd_page;

static void uffd_set_up(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api))
		target_die(77, "userfaultfd");
	uffd_page = target_mmap(TARGET_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	reg.range.start = (uintptr_t)uffd_page;
	reg.range.len = TARGET_PAGE;
	if (ioctl(uffd, UFFDIO_REGISTER, &reg))
		target_die(77, "UFFDIO_REGISTER");
	dstate_flags = TARGET_UFFD;
}

static long uffd_block(void)
{
	struct iovec theirs = { .iov_base = uffd_page, .iov_len = TARGET_PAGE };
	struct iovec ours = { .iov_base = dstate_buf, .iov_len = TARGET_PAGE };

	return process_vm_readv(getpid(), &ours, 1, &theirs, 1, 0);
}

static void uffd_release(void)
{
	static uint64_t page[TARGET_PAGE / 8];
	struct uffdio_copy copy = { .dst = (uintptr_t)uffd_page, .src = (uintptr_t)page,
				    .len = TARGET_PAGE };

	target_fill_page(page, SEED, 0);
	if (ioctl(uffd, UFFDIO_COPY, &copy))
		target_fail("UFFDIO_COPY, errno %d: was the page made by somebody else?", errno);
}

static void uffd_verify(void)
{
	target_verify("the page read", dstate_buf, TARGET_PAGE, SEED);
}

static void uffd_prepare(void)
{
	memset(dstate_buf, 0, sizeof(dstate_buf));
	madvise(uffd_page, TARGET_PAGE, MADV_DONTNEED);
}

/* ---- fsfreeze ---- */

static int freeze_dir, freeze_file, freeze_loop;
static _Atomic uint64_t freeze_written;

static void run(const char *const argv[])
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 1);
		dup2(null, 2);
		setenv("PATH", "/usr/sbin:/sbin:/usr/bin:/bin", 1);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		target_die(77, "%s", argv[0]);
}

static void attach_loop(const char *image, char *ret_device, size_t size)
{
	struct loop_config config = { .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int number = ioctl(control, LOOP_CTL_GET_FREE);
	int fd = open(image, O_RDWR | O_CLOEXEC);

	snprintf(ret_device, size, "/dev/loop%d", number);
	freeze_loop = open(ret_device, O_RDWR | O_CLOEXEC);
	config.fd = fd;
	if (number < 0 || freeze_loop < 0 || fd < 0 ||
	    ioctl(freeze_loop, LOOP_CONFIGURE, &config))
		target_die(77, "loop device");
	close(fd);
	close(control);
}

static void on_parent_death(int signo)
{
	(void)signo;
	ioctl(freeze_dir, FITHAW, 0);
	_exit(0);
}

// Started by the main thread, whose death (by SIGKILL even) it learns at once.
static void start_thawer(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		target_die(1, "fork");
	if (pid)
		return;
	signal(SIGTERM, on_parent_death);
	signal(SIGINT, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(0);
	sleep(TARGET_LIFE_SEC + 10);
	on_parent_death(SIGTERM);
}

static void freeze(void)
{
	if (ioctl(freeze_dir, FIFREEZE, 0))
		target_die(77, "FIFREEZE");
}

static void freeze_set_up(void)
{
	char image[] = "/var/tmp/target-dstate.XXXXXX", dir[] = "/tmp/target-dstate.XXXXXX";
	const char *const mkfs[] = { "mkfs.ext4", "-q", "-F", "-O", "^has_journal", image, NULL };
	char device[32];
	int fd = mkstemp(image);

	if (fd < 0 || ftruncate(fd, IMAGE_BYTES) || !mkdtemp(dir))
		target_die(1, "image");
	close(fd);
	run(mkfs);
	attach_loop(image, device, sizeof(device));
	unlink(image);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount(device, dir, "ext4", 0, NULL)) {
		rmdir(dir);
		target_die(77, "mount in a new namespace");
	}
	freeze_dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	freeze_file = openat(freeze_dir, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	// The name is free outside the namespace; inside, the mount is found by the open files.
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	if (freeze_dir < 0 || freeze_file < 0)
		target_die(1, "files on the new file system");
	start_thawer();
	freeze();
	dstate_flags = TARGET_CHILDREN;
}

static long freeze_block(void)
{
	target_fill_page(dstate_buf, SEED, freeze_written);
	return write(freeze_file, dstate_buf, TARGET_PAGE);
}

static void freeze_release(void)
{
	if (ioctl(freeze_dir, FITHAW, 0))
		target_fail("FITHAW, errno %d", errno);
}

static void freeze_verify(void)
{
	uint64_t page[TARGET_PAGE / 8];

	if (pread(freeze_file, page, sizeof(page), freeze_written * TARGET_PAGE) !=
		    (ssize_t)sizeof(page) ||
	    memcmp(page, dstate_buf, sizeof(page)))
		target_fail("what was written is not in the file");
	freeze_written++;
}

/* ---- the thread ---- */

static const struct dstate_way ways[] = {
	{ "uffd", uffd_set_up, uffd_block, uffd_release, uffd_verify, uffd_prepare },
	{ "fsfreeze", freeze_set_up, freeze_block, freeze_release, freeze_verify, freeze },
};

static void *dstate_main(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "disk-sleep");
	dstate_tid = target_gettid();
	for (;;) {
		while (!dstate_again)
			target_sleep_ms(1);
		dstate_again = false;
		errno = 0;
		dstate_result = way->block();
		dstate_errno = errno;
		dstate_returns++;
	}
	return NULL;
}

static void dstate_check(void)
{
	static unsigned int expected;

	if (dstate_returns != expected)
		target_fail("the call came back before it was let go: %ld (%s)", dstate_result,
			    strerrorname_np(dstate_errno));
	else if (!target_wait_state(0, dstate_tid, 'D'))
		target_fail("the thread is not in state D");
	way->release();
	for (int i = 0; i < 1000 && dstate_returns <= expected; i++)
		target_sleep_ms(10);
	expected = dstate_returns;
	if (dstate_result != (long)TARGET_PAGE)
		target_fail("the call gave %ld (%s)", dstate_result, strerrorname_np(dstate_errno));
	else
		way->verify();
	way->prepare();
	dstate_again = true;
	if (!target_wait_state(0, dstate_tid, 'D'))
		target_fail("the thread does not go back to state D");
}

static void dstate_quit(void)
{
	way->release();
}

int main(int argc, char **argv)
{
	static const struct target_ops ops = { .check = dstate_check, .quit = dstate_quit };

	target_init();
	for (size_t i = 0; i < TARGET_ARRAY_SIZE(ways); i++)
		if (!strcmp(argc > 1 ? argv[1] : "uffd", ways[i].name))
			way = &ways[i];
	if (!way)
		target_die(1, "usage: dstate [uffd|fsfreeze]");
	way->set_up();
	target_spawn(dstate_main, NULL);
	while (!dstate_tid)
		target_sleep_ms(1);
	if (!target_wait_state(0, dstate_tid, 'D'))
		target_die(77, "the thread is not in state D");
	target_ready(0, dstate_flags, "way=%s d_tid=%d absent=%p", way->name, (int)dstate_tid,
		     (void *)uffd_page);
	return target_serve(&ops);
}
