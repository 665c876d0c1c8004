// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * DOC: Theory of operation
 *
 * Signals of all kinds, about 3 kHz in total, each of which must arrive once, in order, with its
 * siginfo and under the right mask:
 *
 *   timers     POSIX timers send realtime signals to two threads. A signal that is still queued
 *              when the timer expires again is not queued twice but counted in si_overrun, so
 *              deliveries + overruns = time / period. A handler may run late, hence the sum is
 *              compared with the clock until it agrees once; a lost signal makes it never agree.
 *   itimers    SIGALRM (ITIMER_REAL) and SIGPROF (of a busy thread) have no such count: they
 *              must only go on, with si_code SI_KERNEL.
 *   queue      a sender queues values 0, 1, 2 ... with sigqueue to a handler thread and to a
 *              thread in sigwaitinfo; realtime signals of one number keep their order.
 *   pending    SIGUSR1 (process) and a queued signal (main thread), blocked in all threads: must
 *              be pending at `check`, then arrive exactly once when unblocked.
 *   epoll      a signal with a handler every 20 ms to a thread in epoll_pwait, which alone has
 *              it unblocked. It is blocked outside the call and can only be handled in it, so
 *              handler runs == EINTR results, exactly. (In plain epoll_wait a signal may arrive
 *              before the call: there the number could differ for a good reason.)
 *   restart    a signal with SA_RESTART every 20 ms to a thread in read(2), which must not return.
 */
#include "target.h"

#include <sys/epoll.h>
#include <sys/time.h>

enum {
	TIMER_THREADS = 2,
	TIMER_PERIOD_NS = 1000000,
	QUEUE_PERIOD_NS = 4000000,
	POKE_MS = 20,
	PENDING_VALUE = 77,
};

// SIGRTMIN is a function call: give the numbers names all the same.
#define SIG_TIMER (SIGRTMIN + 1)
#define SIG_QUEUE (SIGRTMIN + 2)
#define SIG_WAITED (SIGRTMIN + 3)
#define SIG_PENDING (SIGRTMIN + 4)
#define SIG_POKE (SIGRTMIN + 5)
#define SIG_RESTART (SIGRTMIN + 6)

static _Atomic unsigned int errors;
static char first_error[160];

__attribute__((format(printf, 1, 2)))
static void error(const char *fmt, ...)
{
	va_list ap;

	if (errors++)
		return;
	va_start(ap, fmt);
	vsnprintf(first_error, sizeof(first_error), fmt, ap);	// also from handlers: no locks
	va_end(ap);
}

static void set_mask(int how, int signo)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signo);
	pthread_sigmask(how, &set, NULL);
}

// In a handler: its own number and SIGUSR2 (in every sa_mask here) must be blocked.
static void check_handler_mask(int signo)
{
	sigset_t set;

	pthread_sigmask(SIG_BLOCK, NULL, &set);
	if (!sigismember(&set, signo) || !sigismember(&set, SIGUSR2) ||
	    !sigismember(&set, SIGUSR1))
		error("handler of %d: wrong mask", signo);
}

static void install(int signo, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };

	sigaddset(&sa.sa_mask, SIGUSR2);
	if (sigaction(signo, &sa, NULL))
		target_die(1, "sigaction %d", signo);
}

/* ---- timers ---- */

struct timed {
	_Atomic uint64_t start_ns, seen;	// seen: deliveries and overruns
	_Atomic uint64_t at_ns;			// when seen was last changed
	_Atomic pid_t tid;
	timer_t timer;
};

static struct timed timed[TIMER_THREADS];
static _Atomic uint64_t alarms, profs;

static void on_timer(int signo, siginfo_t *si, void *context)
{
	struct timed *t = si->si_value.sival_ptr;

	(void)context;
	if (si->si_code != SI_TIMER || t < timed || t >= timed + TIMER_THREADS) {
		error("timer signal with si_code %d", si->si_code);
		return;
	}
	if (target_gettid() != t->tid)
		error("timer signal in the wrong thread");
	check_handler_mask(signo);
	t->seen += 1 + si->si_overrun;
	t->at_ns = target_now_ns();
}

static void on_itimer(int signo, siginfo_t *si, void *context)
{
	(void)context;
	if (si->si_code != SI_KERNEL)
		error("signal %d with si_code %d", signo, si->si_code);
	check_handler_mask(signo);
	if (signo == SIGALRM)
		alarms++;
	else
		profs++;
}

static void *timed_main(void *arg)
{
	struct timed *t = arg;

	pthread_setname_np(pthread_self(), "timed");
	t->tid = target_gettid();
	set_mask(SIG_UNBLOCK, SIG_TIMER);
	for (;;)
		pause();
	return NULL;
}

// Busy half of the time, so that ITIMER_PROF has something to count.
static void *busy_main(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "busy");
	set_mask(SIG_UNBLOCK, SIGALRM);
	set_mask(SIG_UNBLOCK, SIGPROF);
	for (;;) {
		uint64_t end = target_now_ns() + 5000000;

		while (target_now_ns() < end)
			;
		target_sleep_ms(5);
	}
	return NULL;
}

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static void start_timer(struct timed *t)
{
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIG_TIMER,
			       .sigev_value.sival_ptr = t };
	struct itimerspec when = { { 0, TIMER_PERIOD_NS }, { 0, TIMER_PERIOD_NS } };

	ev.sigev_notify_thread_id = t->tid;
	if (timer_create(CLOCK_MONOTONIC, &ev, &t->timer))
		target_die(1, "timer_create");
	t->start_ns = target_now_ns();
	if (timer_settime(t->timer, 0, &when, NULL))
		target_die(1, "timer_settime");
}

// Expirations that the clock says and the count differ for as long as a handler is late.
static void check_timed(struct timed *t)
{
	int64_t missing = 0;

	for (int i = 0; i < 2000; i++) {
		uint64_t seen = t->seen, at = t->at_ns;

		missing = (int64_t)((at - t->start_ns) / TIMER_PERIOD_NS) - (int64_t)seen;
		if (missing >= -1 && missing <= 1 && target_now_ns() - at < 100000000)
			return;
		target_sleep_ms(1);
	}
	target_fail("timer of thread %d: %" PRId64 " expirations are missing", (int)t->tid,
		    missing);
}

/* ---- queued values ---- */

static pthread_t queue_thread, waiter_thread, poked_thread, restart_thread;
static _Atomic int queue_sent, queue_seen, waited_sent, waited_seen;
static _Atomic bool sender_pause, sender_paused;

static void expect_value(const char *where, const siginfo_t *si, int want)
{
	if (si->si_code != SI_QUEUE || si->si_pid != getpid() || si->si_uid != getuid())
		error("%s: si_code %d, si_pid %d", where, si->si_code, (int)si->si_pid);
	else if (si->si_value.sival_int != want)
		error("%s: value %d instead of %d", where, si->si_value.sival_int, want);
}

static void on_queue(int signo, siginfo_t *si, void *context)
{
	(void)context;
	check_handler_mask(signo);
	expect_value("handler", si, queue_seen);
	queue_seen = si->si_value.sival_int + 1;
}

static void *queue_main(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "handler");
	set_mask(SIG_UNBLOCK, SIG_QUEUE);
	for (;;)
		target_sleep_ms(1000);
	return NULL;
}

static void *waiter_main(void *arg)
{
	sigset_t set;
	siginfo_t si;

	(void)arg;
	pthread_setname_np(pthread_self(), "sigwaitinfo");
	sigemptyset(&set);
	sigaddset(&set, SIG_WAITED);
	for (;;) {
		if (sigwaitinfo(&set, &si) != SIG_WAITED) {
			error("sigwaitinfo: %s", strerrorname_np(errno));
			continue;
		}
		expect_value("sigwaitinfo", &si, waited_seen);
		waited_seen = si.si_value.sival_int + 1;
	}
	return NULL;
}

static void send(pthread_t to, int signo, _Atomic int *next)
{
	int err = pthread_sigqueue(to, signo, (union sigval) { .sival_int = *next });

	if (err && err != EAGAIN)	// EAGAIN: the queue is full, the value is sent later
		error("pthread_sigqueue: %s", strerrorname_np(err));
	if (!err)
		++*next;
}

/* ---- signals that end or restart a call ---- */

static int poked_epoll, restart_pipe[2];
static _Atomic unsigned int poked_sent, poked_handled, poked_eintr, restart_sent, restart_handled;
static _Atomic unsigned int restart_returns;

static void on_poke(int signo, siginfo_t *si, void *context)
{
	(void)context;
	(void)si;
	check_handler_mask(signo);
	poked_handled++;
}

static void on_restart(int signo, siginfo_t *si, void *context)
{
	(void)context;
	(void)si;
	check_handler_mask(signo);
	restart_handled++;
}

static void *poked_main(void *arg)
{
	struct epoll_event ev;
	sigset_t inside;

	(void)arg;
	pthread_setname_np(pthread_self(), "epoll_pwait");
	pthread_sigmask(SIG_BLOCK, NULL, &inside);
	sigdelset(&inside, SIG_POKE);
	for (;;) {
		unsigned int handled = poked_handled;
		int n = epoll_pwait(poked_epoll, &ev, 1, -1, &inside);

		if (n >= 0 || errno != EINTR)
			error("epoll_pwait: %d", n);
		else if (poked_handled != handled + 1)
			error("epoll_pwait: EINTR with %u handler runs", poked_handled - handled);
		poked_eintr++;
	}
	return NULL;
}

static void *restart_main(void *arg)
{
	char c;

	(void)arg;
	pthread_setname_np(pthread_self(), "restart");
	set_mask(SIG_UNBLOCK, SIG_RESTART);
	for (;;) {
		(void)!read(restart_pipe[0], &c, 1);
		restart_returns++;
	}
	return NULL;
}

static void *sender_main(void *arg)
{
	struct timespec period = { .tv_nsec = QUEUE_PERIOD_NS };
	unsigned int round = 0;

	(void)arg;
	pthread_setname_np(pthread_self(), "sender");
	for (;; round++) {
		sender_paused = sender_pause;
		nanosleep(&period, NULL);
		if (sender_paused)
			continue;
		send(queue_thread, SIG_QUEUE, &queue_sent);
		send(waiter_thread, SIG_WAITED, &waited_sent);
		if (round % (POKE_MS * 1000000 / QUEUE_PERIOD_NS))
			continue;
		// Realtime signals queue up: the number sent is the number handled.
		if (!pthread_kill(poked_thread, SIG_POKE))
			poked_sent++;
		if (!pthread_kill(restart_thread, SIG_RESTART))
			restart_sent++;
	}
	return NULL;
}

/* ---- pending ---- */

static _Atomic int pending_handled, usr1_handled;

static void on_pending(int signo, siginfo_t *si, void *context)
{
	(void)context;
	(void)signo;
	expect_value("pending", si, PENDING_VALUE);
	pending_handled++;
}

static void on_usr1(int signo, siginfo_t *si, void *context)
{
	(void)context;
	(void)signo;
	if (si->si_code != SI_USER || si->si_pid != getpid())
		error("SIGUSR1 with si_code %d", si->si_code);
	usr1_handled++;
}

static void make_pending(void)
{
	if (kill(getpid(), SIGUSR1) ||
	    pthread_sigqueue(pthread_self(), SIG_PENDING, (union sigval) { PENDING_VALUE }))
		target_die(1, "cannot make signals pending");
}

static void check_pending(void)
{
	sigset_t set;

	sigpending(&set);
	if (!sigismember(&set, SIGUSR1) || !sigismember(&set, SIG_PENDING))
		target_fail("a pending signal is gone");
	if (usr1_handled || pending_handled)
		target_fail("a blocked signal was handled");
	set_mask(SIG_UNBLOCK, SIGUSR1);
	set_mask(SIG_UNBLOCK, SIG_PENDING);
	if (usr1_handled != 1 || pending_handled != 1)
		target_fail("unblocked signals were handled %d and %d times", usr1_handled,
			    pending_handled);
	set_mask(SIG_BLOCK, SIGUSR1);
	set_mask(SIG_BLOCK, SIG_PENDING);
	usr1_handled = pending_handled = 0;
	make_pending();
}

/* ---- main ---- */

static bool all_arrived(void)
{
	return queue_seen == queue_sent && waited_seen == waited_sent &&
	       poked_handled == poked_sent && poked_eintr == poked_sent &&
	       restart_handled == restart_sent;
}

static void check_sent(void)
{
	sender_pause = true;
	while (!sender_paused)
		target_sleep_ms(1);
	for (int i = 0; i < 2000 && !all_arrived(); i++)
		target_sleep_ms(1);
	if (!all_arrived())
		target_fail("sent/seen: queue %d/%d, sigwaitinfo %d/%d, epoll %u/%u (EINTR %u), "
			    "restart %u/%u", queue_sent, queue_seen, waited_sent, waited_seen,
			    poked_sent, poked_handled, poked_eintr, restart_sent,
			    restart_handled);
	if (restart_returns)
		target_fail("read with SA_RESTART returned %u times", restart_returns);
	restart_returns = 0;
	poked_eintr = poked_sent;	// one violation is reported once
	sender_pause = false;
}

static void signals_check(void)
{
	static uint64_t last_alarms, last_profs;

	for (int i = 0; i < TIMER_THREADS; i++)
		check_timed(&timed[i]);
	check_sent();
	check_pending();
	for (int i = 0; i < 500 && (alarms == last_alarms || profs == last_profs); i++)
		target_sleep_ms(10);
	if (alarms == last_alarms || profs == last_profs)
		target_fail("SIGALRM or SIGPROF no longer come");
	last_alarms = alarms;
	last_profs = profs;
	if (errors)
		target_fail("%u errors, first: %s", errors, first_error);
	errors = 0;
	printf("note: timer=%" PRIu64 " alarm=%" PRIu64 " prof=%" PRIu64 " queue=%d poked=%u\n",
	       timed[0].seen + timed[1].seen, last_alarms, last_profs, queue_seen, poked_handled);
}

static void install_all(void)
{
	install(SIG_TIMER, on_timer, SA_RESTART);
	install(SIGALRM, on_itimer, SA_RESTART);
	install(SIGPROF, on_itimer, SA_RESTART);
	install(SIG_QUEUE, on_queue, SA_RESTART);
	install(SIG_PENDING, on_pending, SA_RESTART);
	install(SIG_POKE, on_poke, 0);
	install(SIG_RESTART, on_restart, SA_RESTART);
	install(SIGUSR1, on_usr1, SA_RESTART);
}

static void start_all(void)
{
	struct itimerval alarm_period = { { 0, 5000 }, { 0, 5000 } };
	struct itimerval prof_period = { { 0, 4000 }, { 0, 4000 } };

	for (int i = 0; i < TIMER_THREADS; i++) {
		target_spawn(timed_main, &timed[i]);
		while (!timed[i].tid)
			target_sleep_ms(1);
		start_timer(&timed[i]);
	}
	target_spawn(busy_main, NULL);
	queue_thread = target_spawn(queue_main, NULL);
	waiter_thread = target_spawn(waiter_main, NULL);
	poked_thread = target_spawn(poked_main, NULL);
	restart_thread = target_spawn(restart_main, NULL);
	target_spawn(sender_main, NULL);
	setitimer(ITIMER_REAL, &alarm_period, NULL);
	setitimer(ITIMER_PROF, &prof_period, NULL);
}

int main(void)
{
	static const struct target_ops ops = { .check = signals_check };
	sigset_t all;

	target_init();
	poked_epoll = epoll_create1(EPOLL_CLOEXEC);
	if (poked_epoll < 0 || pipe2(restart_pipe, O_CLOEXEC))
		target_die(1, "set-up");
	install_all();
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	start_all();
	make_pending();
	target_sleep_ms(100);
	target_ready(0, TARGET_SIGNALS_VARY, "main_tid=%d pending_signal=%d pending_value=%d "
		     "pending_process_signal=%d timed_tid=%d", (int)target_gettid(), SIG_PENDING,
		     PENDING_VALUE, SIGUSR1, (int)timed[0].tid);
	return target_serve(&ops);
}
