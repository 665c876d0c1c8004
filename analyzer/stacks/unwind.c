// SPDX-License-Identifier: LGPL-2.1-or-later
#include "unwind.h"

#include <dwarf.h>
#include <elfutils/libdwelf.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/analysis.h"
#include "common/analyst.h"
#include "common/clock.h"
#include "common/stacks.h"
#include "files.h"
#include "frame.h"
#include "mapped.h"
#include "module.h"
#include "text.h"

struct unwind {
	Dwfl *dwfl;
	Elf *core;
	struct mapped mapped;
	uint32_t max_frames, max_threads;
	uint64_t end_ns; ///< 0: none
	uint64_t n_threads, n_modules; ///< that there are
	const char *incomplete; ///< why something is missing; NULL when nothing is
	int error; ///< negative errno: nobody listens any more, or memory is out
	struct json *frames; ///< of the thread at hand
	bool more;
};

static bool in_time(const struct unwind *u)
{
	return !u->end_ns || snap_now_ns() < u->end_ns;
}

static struct snap_error *dwfl_error(const char *what)
{
	return snap_error_new(SNAP_FAILED, "%s: %s", what, dwfl_errmsg(-1));
}

// ---- files ---------------------------------------------------------------------------------

// libdw hands nothing of ours to its callbacks when it looks for files.
static const struct mapped *mapped_files;

/// A file that the core says was mapped, if it is the one; else -1.
static int try_file(Dwfl_Module *module, const char *name, const char *id, Elf **ret)
{
	int fd = files_open(name, id);
	if (fd < 0)
		return -1;
	Elf *elf = elf_begin(fd, ELF_C_READ_MMAP_PRIVATE, NULL);
	if (elf && elf_kind(elf) == ELF_K_ELF && module_is_file(module, elf)) {
		*ret = elf;
		return fd;
	}
	(void)elf_end(elf);
	(void)close(fd);
	return -1;
}

/// Called for modules whose files libdw did not find by itself: they are not where they were, or
/// have become other ones.
static int find_elf(Dwfl_Module *module, void **userdata _unused_, const char *name,
		    Dwarf_Addr start, char **ret_name, Elf **ret)
{
	const unsigned char *id = NULL;
	GElf_Addr vaddr;
	int size = dwfl_module_build_id(module, &id, &vaddr), fd = -1;
	_cleanup_free_ char *hex = size > 0 ? analysis_to_hex(id, (size_t)size) : NULL;
	const char *mapped = mapped_files ? mapped_at(mapped_files, start) : NULL;
	if (!mapped && name && name[0] == '/')
		mapped = name;
	if (mapped)
		fd = try_file(module, mapped, hex, ret);
	if (fd < 0 && hex)
		fd = try_file(module, "", hex, ret);
	if (fd >= 0 && mapped)
		*ret_name = strdup(mapped); // NULL is no name
	return fd;
}

/// libdw looks beside the program, too, but forgets where that is when the name came from NT_FILE.
static int find_debuginfo(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr start,
			  const char *file, const char *debuglink, GElf_Word crc, char **ret_name)
{
	if (!file && mapped_files)
		file = mapped_at(mapped_files, start);
	return dwfl_standard_find_debuginfo(module, userdata, name, start, file, debuglink, crc,
					    ret_name);
}

static const Dwfl_Callbacks callbacks = {
	.find_elf = find_elf,
	.find_debuginfo = find_debuginfo,
	.section_address = dwfl_offline_section_address,
};

// ---- threads -------------------------------------------------------------------------------

static int on_frame(Dwfl_Frame *frame, void *userdata)
{
	struct unwind *u = userdata;
	Dwarf_Addr pc;
	bool activation;
	size_t n = json_length(u->frames);
	if (!dwfl_frame_pc(frame, &pc, &activation))
		return DWARF_CB_ABORT;
	u->more = n >= u->max_frames;
	if (u->more)
		return DWARF_CB_ABORT;
	struct json *json = frame_describe(u->dwfl, pc, activation);
	if (n && activation)
		json_set_bool(json, "signal", true);
	json_add(u->frames, json);
	return DWARF_CB_OK;
}

static int say_thread(struct unwind *u, Dwfl_Thread *thread)
{
	struct json *json = json_new_object();
	u->frames = json_new_array();
	u->more = false;
	int r = dwfl_thread_getframes(thread, on_frame, u);
	json_set_u64(json, "tid", (uint64_t)dwfl_thread_tid(thread));
	json_set(json, "frames", TAKE_PTR(u->frames));
	if (u->more)
		json_set_bool(json, "more", true);
	if (r < 0)
		text_set(json, "error", dwfl_errmsg(-1));
	return analyst_say("thread", json);
}

static int on_thread(Dwfl_Thread *thread, void *userdata)
{
	struct unwind *u = userdata;
	// The others are counted.
	if (u->n_threads++ >= u->max_threads)
		u->incomplete = "there are more threads than were asked for";
	else if (!in_time(u))
		u->incomplete = "there was no time for more threads";
	else
		u->error = say_thread(u, thread);
	return u->error < 0 ? DWARF_CB_ABORT : DWARF_CB_OK;
}

static struct snap_error *say_threads(struct unwind *u)
{
	if (dwfl_core_file_attach(u->dwfl, u->core) < 0)
		return dwfl_error("the core has no threads that libdw knows");
	if (dwfl_getthreads(u->dwfl, on_thread, u) < 0)
		return dwfl_error("the threads of the core cannot be read");
	return NULL;
}

// ---- modules -------------------------------------------------------------------------------

static int on_module(Dwfl_Module *module, void **userdata _unused_, const char *name _unused_,
		     Dwarf_Addr start _unused_, void *arg)
{
	struct unwind *u = arg;
	if (u->n_modules++ >= STACKS_MAX_MODULES)
		u->incomplete = "there are more modules than are listed";
	else if (!in_time(u))
		u->incomplete = "there was no time for more modules";
	else
		u->error = analyst_say("module", module_describe(module, u->core, &u->mapped));
	return u->error < 0 ? DWARF_CB_ABORT : DWARF_CB_OK;
}

static struct snap_error *report_modules(struct unwind *u)
{
	u->dwfl = dwfl_begin(&callbacks);
	if (!u->dwfl)
		return dwfl_error("libdw does not begin");
	// With the name of the program libdw would call it by its last part only, as it does with
	// libraries. systemd-coredump 252 has it so, 257 has not.
	if (dwfl_core_file_report(u->dwfl, u->core, NULL) < 0)
		return dwfl_error("the modules of the core cannot be read");
	if (dwfl_report_end(u->dwfl, NULL, NULL) != 0)
		return dwfl_error("the modules of the core cannot be read");
	return NULL;
}

// ---- all of it -----------------------------------------------------------------------------

static struct snap_error *open_core(struct unwind *u, int fd)
{
	GElf_Ehdr ehdr;
	(void)elf_version(EV_CURRENT);
	u->core = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	if (!u->core || !gelf_getehdr(u->core, &ehdr) || ehdr.e_type != ET_CORE)
		return snap_error_new(SNAP_FAILED, "this is no core");
	struct json *json = json_new_object();
	text_set(json, "architecture", dwelf_elf_e_machine_string(ehdr.e_machine));
	u->error = analyst_say("core", json);
	if (u->error == 0)
		u->error = mapped_init(&u->mapped, u->core);
	mapped_files = &u->mapped;
	files_ask(u->mapped.program);
	return NULL;
}

static void say_end(struct unwind *u)
{
	struct json *json = json_new_object();
	if (u->n_threads)
		json_set_u64(json, "threads_total", u->n_threads);
	json_set_u64(json, "modules_total", u->n_modules);
	json_set_message(json, "incomplete", u->incomplete);
	u->error = analyst_say("end", json);
}

static uint32_t at_most(const struct json *request, const char *key, uint32_t fallback)
{
	return (uint32_t)MIN(json_get_u64(request, key, fallback), (uint64_t)UINT32_MAX);
}

struct snap_error *unwind_core(int core_fd, const struct json *request)
{
	uint64_t time_ns = json_get_u64(request, "time_ns", 0);
	struct unwind u = { .max_frames = at_most(request, "frames", STACKS_FRAMES),
			    .max_threads = at_most(request, "threads", STACKS_THREADS),
			    .end_ns = time_ns ? snap_now_ns() + time_ns : 0 };
	struct snap_error *err = open_core(&u, core_fd), *modules_err = NULL;
	if (!err && u.error == 0)
		err = report_modules(&u);
	// A core without threads may still tell what was loaded.
	if (!err && u.error == 0) {
		modules_err = say_threads(&u);
		(void)dwfl_getmodules(u.dwfl, on_module, &u, 0); // errors are in u.error
	}
	if (!err && u.error == 0)
		say_end(&u);
	if (!err && u.error < 0)
		err = snap_error_errno(SNAP_FAILED, -u.error, "cannot say what was found");
	if (!err)
		err = TAKE_PTR(modules_err);
	snap_error_destroy(modules_err);
	dwfl_end(u.dwfl);
	(void)elf_end(u.core);
	mapped_deinit(&u.mapped);
	return err;
}
