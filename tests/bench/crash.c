// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What crashbench needs of a program.
 *
 *   hold MIB                 fills so much memory, says "ready PID", and waits for the end of its
 *                            input
 *   copy MIB THREADS FOLDER  microseconds of copying so much memory to the page cache of a new
 *                            file, in plain writes of 1 MiB by so many threads
 *   time HOW COMMAND...      starts the command, waits for its "ready", lets it crash, and says how
 *                            many microseconds passed until it could be waited for, when that
 *                            began, its pid, and its anonymous memory in KiB. HOW is kill: SIGABRT from outside; end: SIGKILL;
 *                            or inside: its main thread jumps to address 0 with all signals
 *                            blocked, so the kernel takes the crash and no handler runs
 *   memory PROGRAM...        until the end of its input, looks each millisecond at the processes of
 *                            these programs; says the largest sum of their anonymous memory, in KiB
 */
#include <ctype.h>
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, PIECE = 8 << 20, THREADS_MAX = 64, PAGE = 4096 };

static char *memory;
static size_t bytes, next;
static int file;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int64_t now_us(clockid_t clock)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/*
 * As the heap of a program: of eight words three are addresses near each other, two are small
 * numbers, one is any number, and two are text. zstd makes about a third of it.
 */
static void fill(const char *mib)
{
	static const char *const words[] = { "request ", "session ", "customer", "response" };
	uint64_t x = 88172645463325252ULL;
	bytes = (size_t)atol(mib) << 20;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	madvise(memory, bytes, MADV_NOHUGEPAGE);
	for (uint64_t *p = (uint64_t *)(void *)memory; p < (uint64_t *)(void *)(memory + bytes);) {
		for (int i = 0; i < 3; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			*p++ = 0x00007f3a40000000ULL + (x >> 40) * 16;
		}
		*p++ = x & 0xff;
		*p++ = (x >> 8) & 0xffff;
		*p++ = x;
		memcpy(p++, words[x >> 62], 8);
		memcpy(p++, words[(x >> 60) & 3], 8);
	}
}

static int hold(const char *mib)
{
	char c;
	fill(mib);
	printf("ready %d\n", getpid());
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	return 0;
}

// ---- a plain copy --------------------------------------------------------------------------

static void *copy_main(void *unused)
{
	for (;;) {
		pthread_mutex_lock(&lock);
		size_t pos = next, end = bytes - next < PIECE ? bytes : next + PIECE;
		next = end;
		pthread_mutex_unlock(&lock);
		if (pos == end)
			return unused;
		for (; pos < end; pos += CHUNK)
			if (pwrite(file, memory + pos, CHUNK, (off_t)pos) != CHUNK)
				die("write");
	}
}

static int copy(const char *mib, int threads, const char *folder)
{
	pthread_t ids[THREADS_MAX];
	fill(mib);
	file = open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (file < 0)
		die(folder);
	int64_t begin = now_us(CLOCK_MONOTONIC);
	for (int i = 0; i < threads && i < THREADS_MAX; i++)
		if (pthread_create(&ids[i], NULL, copy_main, NULL))
			die("thread");
	for (int i = 0; i < threads && i < THREADS_MAX; i++)
		pthread_join(ids[i], NULL);
	printf("%lld\n", (long long)(now_us(CLOCK_MONOTONIC) - begin));
	return 0;
}

// ---- memory --------------------------------------------------------------------------------

static long anonymous_kib(const char *pid)
{
	char path[300], line[256];
	long kib = 0;
	snprintf(path, sizeof(path), "/proc/%s/status", pid);
	FILE *status = fopen(path, "re");
	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "RssAnon: %ld kB", &kib) == 1)
			break;
	if (status)
		(void)fclose(status);
	return kib;
}

static int is_one_of(const char *pid, char **programs)
{
	char path[300], exe[4096];
	snprintf(path, sizeof(path), "/proc/%s/exe", pid);
	ssize_t n = readlink(path, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	while (*programs && strcmp(exe, *programs) != 0)
		programs++;
	return *programs != NULL;
}

// ---- a crash -------------------------------------------------------------------------------

/// Leaves it so that it crashes when it is let go.
static void spoil(pid_t pid)
{
	struct user_regs_struct regs;
	struct iovec iov = { &regs, sizeof(regs) };
	uint64_t all = UINT64_MAX;
	int status;
	if (ptrace(PTRACE_SEIZE, pid, 0, 0) < 0 || ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0 ||
	    waitpid(pid, &status, __WALL) != pid ||
	    ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &iov) < 0)
		die("ptrace");
	regs.rip = 0;
	regs.orig_rax = (unsigned long long)-1; // no call is made again
	if (ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &iov) < 0 ||
	    ptrace(PTRACE_SETSIGMASK, pid, sizeof(all), &all) < 0)
		die("ptrace");
}

static int take_time(const char *how, char **command)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	int in[2], out[2], status;
	char line[256];
	(void)setrlimit(RLIMIT_CORE, &unlimited);
	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		die("pipe");
	pid_t pid = fork();
	if (pid == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		execvp(command[0], command);
		die(command[0]);
	}
	close(out[1]);
	FILE *says = fdopen(out[0], "r");
	if (!says || !fgets(line, sizeof(line), says) || strncmp(line, "ready ", 6) != 0) {
		fprintf(stderr, "%s does not say ready\n", command[0]);
		kill(pid, SIGKILL);
		return 1;
	}
	usleep(200000); // for the other threads to come to rest
	snprintf(line, sizeof(line), "%d", pid);
	long kib = anonymous_kib(line);
	if (!strcmp(how, "inside"))
		spoil(pid);
	int64_t realtime = now_us(CLOCK_REALTIME), begin = now_us(CLOCK_MONOTONIC);
	int r = !strcmp(how, "inside") ? (int)ptrace(PTRACE_DETACH, pid, 0, 0) :
					 kill(pid, !strcmp(how, "end") ? SIGKILL : SIGABRT);
	if (r < 0 || waitpid(pid, &status, 0) != pid)
		die("crash");
	int64_t end = now_us(CLOCK_MONOTONIC);
	printf("%lld %lld %d %ld\n", (long long)(end - begin), (long long)realtime, pid, kib);
	return WIFSIGNALED(status) ? 0 : 1;
}

static int watch(char **programs)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	long peak = 0;
	while (poll(&input, 1, 1) == 0) {
		long sum = 0;
		const struct dirent *d;
		DIR *proc = opendir("/proc");
		while (proc && (d = readdir(proc)))
			if (isdigit((unsigned char)d->d_name[0]) && is_one_of(d->d_name, programs))
				sum += anonymous_kib(d->d_name);
		if (proc)
			closedir(proc);
		peak = sum > peak ? sum : peak;
	}
	printf("%ld\n", peak);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "hold"))
		return hold(argv[2]);
	if (argc == 5 && !strcmp(argv[1], "copy"))
		return copy(argv[2], atoi(argv[3]), argv[4]);
	if (argc >= 4 && !strcmp(argv[1], "time"))
		return take_time(argv[2], argv + 3);
	if (argc >= 3 && !strcmp(argv[1], "memory"))
		return watch(argv + 2);
	fprintf(stderr, "usage: crash hold|copy|time|memory ...\n");
	return 2;
}
