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
			.goexit = go_u8(rt, chain[i], GO_PANIC_GOEXIT) != 0,
			.type = go_interface_type(rt, arg),
		};
		if (go_interface_text(rt, arg, &text) == 0)
			panic->value = strndup(text.data, text.len);
	}
}

/// What the runtime has printed before it knew that it was dying.
static char *read_fatal(struct go_runtime *rt)
{
	static const char key[] = "fatal error: ";
	char text[BACKLOG_BYTES + 1];
	if (!rt->globals.print_backlog ||
	    !memory_read(rt->mem, rt->globals.print_backlog, text, BACKLOG_BYTES))
		return NULL;
	text[BACKLOG_BYTES] = '\0';
	char *last = NULL;
	for (char *p = text; (p = memmem(p, (size_t)(text + BACKLOG_BYTES - p), key,
					 sizeof(key) - 1));
	     p++)
		last = p;
	if (!last)
		return NULL;
	last += sizeof(key) - 1;
	last[strcspn(last, "\n")] = '\0';
	return strdup(last);
}

static void read_signal(struct go_goroutines *gs, struct go_crash *crash)
{
	struct go_runtime *rt = gs->rt;
	uint64_t g = crash->goroutine;
	crash->signal = g ? go_u32(rt, g, GO_G_SIG) : 0;
	if (crash->signal) {
		crash->signal_code = go_u64(rt, g, GO_G_SIGCODE0);
		crash->signal_addr = go_u64(rt, g, GO_G_SIGCODE1);
		crash->signal_pc = go_u64(rt, g, GO_G_SIGPC);
		return;
	}
	if (crash->n_panics || crash->fatal || !rt->core->n_threads)
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
	if (t) {
		uint64_t caught = go_u64(gs->rt, t->addr, GO_M_CAUGHTSIG);
		crash.thread = t->addr;
		crash.goroutine = t->curg ? t->curg : caught;
	}
	if (crash.goroutine)
		read_panics(gs->rt, crash.goroutine, &crash);
	crash.fatal = read_fatal(gs->rt);
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
	*crash = (struct go_crash){ 0 };
}
