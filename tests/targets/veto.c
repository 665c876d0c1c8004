// SPDX-License-Identifier: LGPL-2.1-or-later
// A process that must not be copied in advance, or of which one might think so: "veto KIND".
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <stddef.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/shm.h>
#include <sys/sysinfo.h>

#include "../../common/compat.h"
#include "target.h"

enum {
	VETO_BYTES = 48 << 20,
	VETO_SEED = 31,
	VETO_WATCHED_PAGES = 1024,
	VETO_WRITTEN_PAGE = 3,
	VETO_USER_MODE_ONLY = 1,
	VETO_HUGE_BYTES = 2 << 20,
	VETO_HUGE_PAGES = 2,
	VETO_PROMISES = 4,
};

static uint8_t *mem, *watched, *huge;
static int pagemap = -1;
static _Atomic unsigned int written_huge;

static void open_direct(void)
{
	char path[] = "/var/tmp/target-veto.XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0 || open(path, O_RDWR | O_DIRECT | O_CLOEXEC) < 0)
		target_die(1, "cannot open %s for direct I/O", path);
	close(fd);
	unlink(path);
}

static void open_uring(void)
{
	uint32_t params[30] = { 0 }; // struct io_uring_params

	if (syscall(SYS_io_uring_setup, 8, params) < 0)
		target_die(77, "io_uring: %s", strerror(errno));
}

/** Which pages of `watched` were written since the last time. -1: not to be had. */
static long written(int flags, struct page_region *ret, size_t n)
{
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = flags,
		.start = (uintptr_t)watched,
		.end = (uintptr_t)watched + VETO_WATCHED_PAGES * TARGET_PAGE,
		.vec = (uintptr_t)ret,
		.vec_len = n,
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN,
	};

	return ioctl(pagemap, PAGEMAP_SCAN, &arg);
}

/** It follows the writes to some of its memory itself. */
static void watch_self(void)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_WP };
	struct page_region found[4];
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | VETO_USER_MODE_ONLY);

	watched = target_mmap(VETO_WATCHED_PAGES * TARGET_PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE);
	memset(watched, 1, VETO_WATCHED_PAGES * TARGET_PAGE);
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	reg.range.start = (uintptr_t)watched;
	reg.range.len = VETO_WATCHED_PAGES * TARGET_PAGE;
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		target_die(77, "userfaultfd: %s", strerror(errno));
	if (written(PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC, found, 4) < 0)
		target_die(77, "PAGEMAP_SCAN: %s", strerror(errno));
	watched[VETO_WRITTEN_PAGE * TARGET_PAGE] = 2;
}

static void install_filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { TARGET_ARRAY_SIZE(code), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		target_die(77, "seccomp: %s", strerror(errno));
}

static void attach_sysv(void)
{
	int id = shmget(IPC_PRIVATE, TARGET_PAGE, IPC_CREAT | 0600);

	if (id < 0 || shmat(id, NULL, 0) == (void *)-1)
		target_die(77, "shared memory: %s", strerror(errno));
	shmctl(id, IPC_RMID, NULL);
}

static void run_machine(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, KVM_CREATE_VM, 0) < 0)
		target_die(77, "/dev/kvm: %s", strerror(errno));
	close(fd);
}

/**
 * Memory that is not there, but that the kernel has to count: three times as much as the machine
 * has, in mappings of which each is less than that; or in one, which the kernel makes of them.
 */
static void map_promises(int advice)
{
	struct sysinfo si;

	sysinfo(&si);
	size_t n = si.totalram * si.mem_unit / (4 * TARGET_PAGE) * (3 * TARGET_PAGE);

	for (int i = 0; i < VETO_PROMISES; i++) {
		void *p = target_mmap(n, PROT_READ | PROT_WRITE, MAP_PRIVATE);

		if (i & 1)
			madvise(p, n, advice);
	}
}

static void *huge_main(void *arg)
{
	(void)arg;
	for (;;) {
		for (int i = 0; i < VETO_HUGE_PAGES; i++)
			huge[i * VETO_HUGE_BYTES]++;
		written_huge++;
		target_sleep_ms(1);
	}
	return NULL;
}

/**
 * All huge pages there are, of which nothing is set aside for it: should they be shared with a
 * child, there is none for whoever writes first, which is SIGBUS.
 */
static void write_huge(int shared)
{
	huge = mmap(NULL, VETO_HUGE_PAGES * VETO_HUGE_BYTES, PROT_READ | PROT_WRITE,
		    shared | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE, -1, 0);
	if (huge == MAP_FAILED)
		target_die(77, "huge pages: %s", strerror(errno));
	target_spawn(huge_main, NULL);
	while (!written_huge)
		target_sleep_ms(1);
}

static void veto_check(void)
{
	unsigned int before = written_huge;

	for (int i = 0; huge && written_huge == before && i < 1000; i++)
		target_sleep_ms(1);
	if (huge && written_huge == before)
		target_fail("nobody writes to huge pages any more");
	struct page_region found[4] = { 0 };

	target_verify("mem", mem, VETO_BYTES, VETO_SEED);
	if (!watched)
		return;
	long n = written(0, found, 4);
	uint64_t want = (uintptr_t)watched + VETO_WRITTEN_PAGE * TARGET_PAGE;

	if (n != 1 || found[0].start != want || found[0].end != want + TARGET_PAGE)
		target_fail("%ld ranges were written, the first %" PRIx64 " to %" PRIx64
			    ", not the page at %" PRIx64,
			    n, (uint64_t)found[0].start, (uint64_t)found[0].end, want);
}

int main(int argc, char **argv)
{
	static const struct target_ops ops = { .check = veto_check };
	const char *kind = argc == 2 ? argv[1] : "";

	target_init();
	mem = target_mmap(VETO_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	target_fill(mem, VETO_BYTES, VETO_SEED);
	if (!strcmp(kind, "direct"))
		open_direct();
	else if (!strcmp(kind, "uring"))
		open_uring();
	else if (!strcmp(kind, "uffd"))
		watch_self();
	else if (!strcmp(kind, "errno"))
		install_filter();
	else if (!strcmp(kind, "sysv"))
		attach_sysv();
	else if (!strcmp(kind, "kvm"))
		run_machine();
	else if (!strcmp(kind, "promised"))
		map_promises(MADV_DONTDUMP);
	else if (!strcmp(kind, "vast"))
		map_promises(MADV_NORMAL);
	else if (!strcmp(kind, "hugetlb"))
		write_huge(MAP_PRIVATE);
	else if (!strcmp(kind, "hugeshared"))
		write_huge(MAP_SHARED);
	else if (!strcmp(kind, "pidns") && unshare(CLONE_NEWPID))
		target_die(77, "unshare: %s", strerror(errno));
	else if (strcmp(kind, "none") && strcmp(kind, "pidns"))
		target_die(1, "usage: veto direct|uring|uffd|errno|sysv|kvm|promised|vast|hugetlb|hugeshared|pidns|none");
	target_ready(0, watched ? TARGET_UFFD : 0, "mem=%p:%d:%d:1", (void *)mem, VETO_BYTES, VETO_SEED);
	return target_serve(&ops);
}
