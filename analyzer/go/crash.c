// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crash.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
	BACKLOG_BYTES = 512, // src/runtime/print.go printBacklog
	SIGINFO_CODE = 8,
	SIGINFO_ADDR = 16,
};

const char *go_signal_text(uint32_t signal)
{
	// src/runtime/sigtab_linux_generic.go
	static const struct {
		uint32_t signal;
		const char *text;
	} texts[] = {
		{ SIGQUIT, "SIGQUIT: quit" },
		{ SIGILL, "SIGILL: illegal instruction" },
		{ SIGTRAP, "SIGTRAP: trace trap" },
		{ SIGABRT, "SIGABRT: abort" },
		{ SIGBUS, "SIGBUS: bus error" },
		{ SIGFPE, "SIGFPE: floating-point exception" },
		{ SIGSEGV, "SIGSEGV: segmentation violation" },
		{ SIGSYS, "SIGSYS: bad system call" },
		{ SIGTERM, "SIGTERM: termination" },
		{ SIGINT, "SIGINT: interrupt" },
		{ SIGHUP, "SIGHUP: terminal line hangup" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (texts[i].signal == signal)
			return texts[i].text;
	return NULL;
}

/// The M that was dying, or that the first thread of a crash core runs.
static const struct go_thread *find_thread(struct go_goroutines *gs)
{
	struct go_runtime *rt = gs->rt;
	for (size_t i = 0; i < gs->n_threads; i++)
		if ((int32_t)go_u32(rt, gs->threads[i].addr, GO_M_DYING) > 0 ||
		    (int32_t)go_u32(rt, gs->threads[i].addr, GO_M_THROWING) > 0)
			return &gs->threads[i];
	if (!rt->core->n_threads || !rt->core->threads[0].cursig)
		return NULL;
	for (size_t i = 0; i < gs->n_threads; i++)
		if (gs->threads[i].tid == rt->core->threads[0].tid)
			return &gs->threads[i];
	return NULL;
}

/// Makes @thread the one that did it, and the goroutine that it ran.
static void set_thread(struct go_goroutines *gs, struct go_crash *crash, uint64_t thread)
{
	uint64_t curg = go_u64(gs->rt, thread, GO_M_CURG);
	uint64_t caught = go_u64(gs->rt, thread, GO_M_CAUGHTSIG);
	crash->thread = thread;
	crash->goroutine = curg ? curg : caught;
	if (crash->goroutine && !go_u64(gs->rt, crash->goroutine, GO_G_GOID))
		crash->goroutine = 0; // the scheduler's own
}

/// Reads the chain of panics, and turns it around: the runtime's begins with the last one.
static void read_panics(struct go_runtime *rt, uint64_t g, struct go_crash *crash)
{
	uint64_t chain[GO_PANICS_MAX], p = go_u64(rt, g, GO_G_PANIC);
	size_t n = 0;
	for (; p && n < GO_PANICS_MAX && memory_has(rt->mem, p); n++) {
		chain[n] = p;
		p = go_u64(rt, p, GO_PANIC_LINK);
	}
	for (size_t i = n; i-- > 0;) {
		uint64_t arg = chain[i] + (uint64_t)rt->layout.offset[GO_PANIC_ARG];
		struct go_panic *panic = &crash->panics[crash->n_panics++];
		_cleanup_strbuf_ struct strbuf text = { 0 };
		*panic = (struct go_panic){
			.recovered = go_u8(rt, chain[i], GO_PANIC_RECOVERED) != 0,
			.repanicked = go_u8(rt, chain[i], GO_PANIC_REPANICKED) != 0,
			.goexit = go_u8(rt, chain[i], GO_PANIC_GOEXIT) != 0,
			.type = go_interface_type(rt, arg),
		};
		if (go_interface_text(rt, arg, &text) == 0)
			panic->value = strndup(text.data, text.len);
	}
}

/// Where the lines before @line begin that tell more about it.
static char *lines_before(const char *text, char *line)
{
	static const char *const starts[] = { "runtime: ", "unexpected fault address " };
	for (char *begin = line; begin > text; line = begin) {
		begin = line - 1;
		while (begin > text && begin[-1] != '\n')
			begin--;
		bool more = false;
		for (size_t i = 0; i < ARRAY_SIZE(starts); i++)
			more |= !strncmp(begin, starts[i], strlen(starts[i]));
		if (!more)
			break;
	}
	return line;
}

/// What the runtime has printed before it knew that it was dying: it keeps the last of it.
static void read_fatal(struct go_runtime *rt, struct go_crash *crash)
{
	static const char key[] = "fatal error: ";
	// Twice, since it is a ring, and where it begins does not matter for what is looked for.
	char text[2 * BACKLOG_BYTES + 1];
	if (!rt->globals.print_backlog ||
	    !memory_read(rt->mem, rt->globals.print_backlog, text, BACKLOG_BYTES))
		return;
	memcpy(text + BACKLOG_BYTES, text, BACKLOG_BYTES);
	for (char *p = text; p < text + 2 * BACKLOG_BYTES; p++)
		if (!*p) // not yet used
			*p = '\n';
	text[2 * BACKLOG_BYTES] = '\0';
	char *last = NULL;
	for (char *p = text; (p = strstr(p, key)) && p < text + BACKLOG_BYTES; p++)
		last = p;
	if (!last)
		return;
	char *before = lines_before(text, last), *message = last + sizeof(key) - 1;
	if (before < last)
		crash->before = strndup(before, (size_t)(last - before));
	message[strcspn(message, "\n")] = '\0';
	crash->fatal = strdup(message);
}

/**
 * How likely a signal is to be the one that began it all; 0: not at all.
 *
 * The runtime sends SIGQUIT to all its threads, so that each prints its stack, and SIGABRT to
 * itself in the end.
 */
static int signal_rank(const struct go_signal *signal, const struct go_crash *crash)
{
	if (!signal->number || (signal->number == SIGABRT && (crash->n_panics || crash->fatal)))
		return 0;
	if (signal->number == SIGQUIT)
		return signal->code == SI_TKILL ? 1 : 2;
	return 3;
}

/// The signal that began it all: the first one that a handler of some thread was called for.
static bool find_first_signal(struct go_goroutines *gs, struct go_crash *crash)
{
	struct go_signal signal = { 0 };
	struct go_stack stack = { 0 };
	uint64_t thread = 0;
	for (size_t i = 0; i < gs->n_threads; i++) {
		const struct go_thread *t = &gs->threads[i];
		if (!t->has_regs || go_walk_thread(gs->rt, t->addr, &t->regs, &stack) < 0)
			continue;
		int rank = signal_rank(&stack.signal, crash), best = signal_rank(&signal, crash);
		if (rank > best || (rank && rank == best && t->addr == crash->thread)) {
			signal = stack.signal;
			thread = t->addr;
		}
	}
	go_stack_deinit(&stack);
	if (!thread)
		return false;
	set_thread(gs, crash, thread);
	crash->signal = signal.number;
	crash->signal_code = (uint64_t)(int64_t)signal.code;
	crash->signal_addr = signal.code > 0 && signal.code < SI_KERNEL ? signal.addr : 0;
	crash->signal_pc = signal.pc;
	return true;
}

static void read_signal(struct go_goroutines *gs, struct go_crash *crash)
{
	struct go_runtime *rt = gs->rt;
	uint64_t g = crash->goroutine;
	crash->signal = g ? go_u32(rt, g, GO_G_SIG) : 0;
	if (!crash->signal && crash->thread) { // or in C code, on the scheduler's stack
		g = go_u64(rt, crash->thread, GO_M_G0);
		crash->signal = go_u32(rt, g, GO_G_SIG);
	}
	if (crash->signal) {
		crash->signal_code = go_u64(rt, g, GO_G_SIGCODE0);
		crash->signal_addr = go_u64(rt, g, GO_G_SIGCODE1);
		crash->signal_pc = go_u64(rt, g, GO_G_SIGPC);
		return;
	}
	if (find_first_signal(gs, crash) || crash->n_panics || crash->fatal ||
	    !rt->core->n_threads)
		return;
	// The kernel's word about the thread that it ended.
	struct core_thread *t = &rt->core->threads[0];
	struct go_regs regs;
	crash->signal = t->cursig;
	crash->signal_code = span_u32(&t->siginfo, SIGINFO_CODE);
	if (crash->signal == SIGSEGV || crash->signal == SIGBUS || crash->signal == SIGILL ||
	    crash->signal == SIGFPE || crash->signal == SIGTRAP)
		crash->signal_addr = span_u64(&t->siginfo, SIGINFO_ADDR);
	if (rt->arch->thread_regs(t, &regs))
		crash->signal_pc = regs.pc;
}

bool go_crash_read(struct go_goroutines *gs, struct go_crash *ret)
{
	struct go_crash crash = { 0 };
	const struct go_thread *t = find_thread(gs);
	if (!t && (!gs->rt->core->n_threads || !gs->rt->core->threads[0].cursig))
		return false;
	if (t)
		set_thread(gs, &crash, t->addr);
	if (crash.goroutine)
		read_panics(gs->rt, crash.goroutine, &crash);
	read_fatal(gs->rt, &crash);
	read_signal(gs, &crash);
	*ret = crash;
	return true;
}

void go_crash_deinit(struct go_crash *crash)
{
	for (size_t i = 0; i < crash->n_panics; i++) {
		free(crash->panics[i].type);
		free(crash->panics[i].value);
	}
	free(crash->fatal);
	free(crash->before);
	*crash = (struct go_crash){ 0 };
}
