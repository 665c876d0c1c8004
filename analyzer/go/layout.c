// SPDX-License-Identifier: LGPL-2.1-or-later
#include "layout.h"

#include <string.h>

#include "common/cleanup.h"

enum { NA = GO_NONE, CHANGES_MAX = 12 };

/// From which minor version on a field lies where.
struct change {
	uint8_t since; ///< 0: no more
	int16_t offset;
};

static const struct change changes[GO_FIELD_MAX][CHANGES_MAX] = {
	[GO_G_STACK_LO] = { { 11, 0 } },
	[GO_G_STACK_HI] = { { 11, 8 } },
	[GO_G_PANIC] = { { 11, 32 } },
	[GO_G_M] = { { 11, 48 } },
	[GO_G_SCHED_SP] = { { 11, 56 } },
	[GO_G_SCHED_PC] = { { 11, 64 } },
	[GO_G_SCHED_G] = { { 11, 72 } },
	[GO_G_SCHED_LR] = { { 11, 96 }, { 25, 88 } },
	[GO_G_SCHED_BP] = { { 11, 104 }, { 25, 96 } },
	[GO_G_SYSCALLSP] = { { 11, 112 }, { 25, 104 } },
	[GO_G_SYSCALLPC] = { { 11, 120 }, { 25, 112 } },
	[GO_G_ATOMICSTATUS] = { { 11, 144 }, { 23, 152 }, { 25, 144 } },
	[GO_G_GOID] = { { 11, 152 }, { 23, 160 }, { 25, 152 } },
	[GO_G_WAITSINCE] = { { 11, 168 }, { 23, 176 }, { 25, 168 } },
	[GO_G_WAITREASON] = { { 11, 176 }, { 23, 184 }, { 25, 176 } },
	[GO_G_LOCKEDM] = { { 11, 216 }, { 17, 232 }, { 21, 208 }, { 23, 216 }, { 25, 208 } },
	[GO_G_SIG] = { { 11, 224 }, { 17, 240 }, { 21, 216 },
		{ 23, 224 }, { 24, 228 }, { 25, 220 }, { 26, 224 } },
	[GO_G_SIGCODE0] = { { 11, 256 }, { 17, 272 }, { 21, 248 },
		{ 23, 256 }, { 25, 248 }, { 26, 256 } },
	[GO_G_SIGCODE1] = { { 11, 264 }, { 17, 280 }, { 21, 256 },
		{ 23, 264 }, { 25, 256 }, { 26, 264 } },
	[GO_G_SIGPC] = { { 11, 272 }, { 17, 288 }, { 21, 264 },
		{ 23, 272 }, { 25, 264 }, { 26, 272 } },
	[GO_G_PARENT_GOID] = { { 11, NA }, { 21, 272 }, { 23, 280 }, { 25, 272 }, { 26, 280 } },
	[GO_G_GOPC] = { { 11, 280 }, { 17, 296 }, { 21, 280 },
		{ 23, 288 }, { 25, 280 }, { 26, 288 } },
	[GO_G_STARTPC] = { { 11, 296 }, { 17, 312 }, { 21, 296 },
		{ 23, 304 }, { 25, 296 }, { 26, 304 } },
	[GO_G_WAITING] = { { 11, 312 }, { 17, 328 }, { 21, 312 },
		{ 23, 320 }, { 25, 312 }, { 26, 320 } },
	[GO_G_LABELS] = { { 11, 344 }, { 17, 360 }, { 21, 344 },
		{ 23, 352 }, { 25, 344 }, { 26, 352 } },
	[GO_G_TIMER] = { { 11, 352 }, { 17, 368 }, { 21, 352 },
		{ 23, 360 }, { 25, 352 }, { 26, 360 } },
	[GO_G_SLEEP_WHEN] = { { 11, NA }, { 23, 368 }, { 25, 360 }, { 26, 368 } },
	[GO_G_SYNC_GROUP] = { { 11, NA }, { 24, 392 }, { 25, NA } },
	[GO_G_BUBBLE] = { { 11, NA }, { 25, 384 }, { 26, 392 } },
	[GO_G_RUNNING_CLEANUPS] = { { 11, NA }, { 25, 218 }, { 26, 220 } },
	[GO_G_SIZE] = { { 11, 376 }, { 17, 392 }, { 21, 408 },
		{ 22, 424 }, { 23, 432 }, { 24, 440 }, { 26, 456 } },
	[GO_M_G0] = { { 11, 0 } },
	[GO_M_PROCID] = { { 11, 72 }, { 25, 64 } },
	[GO_M_GSIGNAL] = { { 11, 80 }, { 25, 72 } },
	[GO_M_CURG] = { { 11, 192 }, { 25, 184 } },
	[GO_M_CAUGHTSIG] = { { 11, 200 }, { 25, 192 } },
	[GO_M_P] = { { 11, 208 }, { 25, 200 }, { 26, 208 } },
	[GO_M_ID] = { { 11, 224 }, { 12, 232 }, { 25, 224 }, { 26, 232 } },
	[GO_M_THROWING] = { { 11, 236 }, { 12, 244 }, { 25, 236 }, { 26, 244 } },
	[GO_M_DYING] = { { 11, 260 }, { 12, 268 }, { 25, 260 }, { 26, 268 } },
	[GO_M_INCGO] = { { 11, 277 }, { 12, 281 }, { 13, 280 }, { 25, 272 }, { 26, 280 } },
	[GO_M_ISEXTRA] = { { 11, NA }, { 20, 281 }, { 25, 273 }, { 26, 281 } },
	[GO_M_ALLLINK] = { { 11, 328 }, { 12, 336 }, { 16, 344 },
		{ 18, 336 }, { 22, 328 }, { 25, 344 }, { 26, 352 } },
	[GO_M_LOCKEDG] = { { 11, 352 }, { 12, 360 }, { 15, 352 }, { 16, 360 },
		{ 18, 352 }, { 22, 344 }, { 25, 360 }, { 26, 384 } },
	[GO_M_VDSO_SP] = { { 11, 808 }, { 12, 816 }, { 14, 808 }, { 15, 800 }, { 16, 832 },
		{ 18, 800 }, { 21, 808 }, { 22, 1120 }, { 23, 856 }, { 24, 880 }, { 25, 896 } },
	[GO_M_VDSO_PC] = { { 11, 816 }, { 12, 824 }, { 14, 816 }, { 15, 808 }, { 16, 840 },
		{ 18, 808 }, { 21, 816 }, { 22, 1128 }, { 23, 864 }, { 24, 888 }, { 25, 904 } },
	[GO_P_ID] = { { 11, 8 }, { 13, 0 } },
	[GO_P_STATUS] = { { 11, 12 }, { 13, 4 } },
	[GO_P_M] = { { 11, 64 }, { 13, 56 }, { 23, 48 } },
	[GO_P_SYSMONTICK_SCHEDWHEN] = { { 11, 40 }, { 13, 32 } },
	[GO_P_SYSMONTICK_SYSCALLWHEN] = { { 11, 56 }, { 13, 48 }, { 23, 40 } },
	[GO_P_RUNQHEAD] = { { 11, 1504 }, { 13, 1496 }, { 14, 1520 },
		{ 18, 400 }, { 23, 392 }, { 26, 400 } },
	[GO_P_RUNQTAIL] = { { 11, 1508 }, { 13, 1500 }, { 14, 1524 },
		{ 18, 404 }, { 23, 396 }, { 26, 404 } },
	[GO_P_RUNNEXT] = { { 11, 3560 }, { 13, 3552 }, { 14, 3576 },
		{ 18, 2456 }, { 23, 2448 }, { 26, 2456 } },
	[GO_SCHED_LASTPOLL] = { { 11, 8 } },
	[GO_SCHED_NMIDLE] = { { 11, 32 }, { 14, 40 }, { 25, 48 }, { 26, 64 } },
	[GO_SCHED_NPIDLE] = { { 11, 80 }, { 14, 88 }, { 25, 96 }, { 26, 112 } },
	[GO_SCHED_NMSPINNING] = { { 11, 84 }, { 14, 92 }, { 25, 100 }, { 26, 116 } },
	[GO_SCHED_RUNQSIZE] = { { 11, 104 }, { 14, 112 }, { 20, 120 }, { 25, NA } },
	[GO_SCHED_RUNQ_SIZE] = { { 11, NA }, { 25, 128 }, { 26, 144 } },
	[GO_SCHED_GCWAITING] = { { 11, 216 }, { 12, 248 }, { 14, 256 },
		{ 18, 224 }, { 20, 232 }, { 25, 248 }, { 26, 264 } },
	[GO_SUDOG_G] = { { 11, 0 } },
	[GO_SUDOG_IS_SELECT] = { { 11, 8 }, { 15, 52 }, { 26, 60 } },
	[GO_SUDOG_NEXT] = { { 11, 16 }, { 15, 8 } },
	[GO_SUDOG_PREV] = { { 11, 24 }, { 15, 16 } },
	[GO_SUDOG_ELEM] = { { 11, 32 }, { 15, 24 } },
	[GO_SUDOG_SUCCESS] = { { 11, NA }, { 16, 53 }, { 26, 61 } },
	[GO_SUDOG_WAITLINK] = { { 11, 72 }, { 15, 64 }, { 26, 72 } },
	[GO_SUDOG_C] = { { 11, 88 }, { 15, 80 }, { 26, 88 } },
	[GO_HCHAN_QCOUNT] = { { 11, 0 } },
	[GO_HCHAN_DATAQSIZ] = { { 11, 8 } },
	[GO_HCHAN_ELEMSIZE] = { { 11, 24 } },
	[GO_HCHAN_CLOSED] = { { 11, 28 } },
	[GO_HCHAN_TIMER] = { { 11, NA }, { 23, 32 } },
	[GO_HCHAN_RECVQ_FIRST] = { { 11, 56 }, { 23, 64 } },
	[GO_HCHAN_SENDQ_FIRST] = { { 11, 72 }, { 23, 80 } },
	[GO_PANIC_ARG] = { { 11, 8 }, { 26, 0 } },
	[GO_PANIC_LINK] = { { 11, 24 }, { 26, 16 } },
	[GO_PANIC_RECOVERED] = { { 11, 32 }, { 14, 48 }, { 22, 96 }, { 26, 88 } },
	[GO_PANIC_ABORTED] = { { 11, 33 }, { 14, 49 }, { 22, NA } },
	[GO_PANIC_REPANICKED] = { { 11, NA }, { 25, 97 }, { 26, 89 } },
	[GO_PANIC_GOEXIT] = { { 11, NA }, { 14, 50 }, { 22, 97 }, { 25, 98 }, { 26, 90 } },
	[GO_MODULE_PC_HEADER] = { { 11, NA }, { 16, 0 } },
	[GO_MODULE_FUNCNAMETAB] = { { 11, NA }, { 16, 8 } },
	[GO_MODULE_CUTAB] = { { 11, NA }, { 16, 32 } },
	[GO_MODULE_FILETAB] = { { 11, 48 }, { 16, 56 } },
	[GO_MODULE_PCTAB] = { { 11, NA }, { 16, 80 } },
	[GO_MODULE_PCLNTABLE] = { { 11, 0 }, { 16, 104 } },
	[GO_MODULE_FTAB] = { { 11, 24 }, { 16, 128 } },
	[GO_MODULE_MINPC] = { { 11, 80 }, { 16, 160 } },
	[GO_MODULE_MAXPC] = { { 11, 88 }, { 16, 168 } },
	[GO_MODULE_TEXT] = { { 11, 96 }, { 16, 176 } },
	[GO_MODULE_ETEXT] = { { 11, 104 }, { 16, 184 } },
	[GO_MODULE_NOPTRDATA] = { { 11, 112 }, { 16, 192 } },
	[GO_MODULE_ENOPTRDATA] = { { 11, 120 }, { 16, 200 } },
	[GO_MODULE_DATA] = { { 11, 128 }, { 16, 208 } },
	[GO_MODULE_EDATA] = { { 11, 136 }, { 16, 216 } },
	[GO_MODULE_BSS] = { { 11, 144 }, { 16, 224 } },
	[GO_MODULE_EBSS] = { { 11, 152 }, { 16, 232 } },
	[GO_MODULE_NOPTRBSS] = { { 11, 160 }, { 16, 240 } },
	[GO_MODULE_ENOPTRBSS] = { { 11, 168 }, { 16, 248 } },
	[GO_MODULE_END] = { { 11, 176 }, { 16, 256 }, { 20, 272 } },
	[GO_MODULE_TYPES] = { { 11, 200 }, { 16, 280 }, { 20, 296 } },
	[GO_MODULE_ETYPES] = { { 11, 208 }, { 16, 288 }, { 20, 304 }, { 27, 312 } },
	[GO_MODULE_GOFUNC] = { { 11, NA }, { 18, 304 }, { 20, 320 }, { 27, 344 } },
	[GO_MODULE_PLUGINPATH] = { { 11, 312 }, { 16, 392 }, { 18, 408 },
		{ 20, 424 }, { 26, 432 }, { 27, 408 } },
	[GO_MODULE_MODULENAME] = { { 11, 352 }, { 16, 432 }, { 18, 448 },
		{ 20, 464 }, { 21, 488 }, { 26, 496 }, { 27, 472 } },
	[GO_MODULE_NEXT] = { { 11, 448 }, { 16, 528 }, { 18, 544 }, { 20, 560 },
		{ 21, 584 }, { 23, 576 }, { 26, 584 }, { 27, 560 } },
	[GO_TIMER_WHEN] = { { 11, 16 }, { 14, 8 }, { 23, 16 }, { 25, 24 } },
	[GO_BUBBLE_ID] = { { 11, NA }, { 25, 72 } },
};

// src/runtime/runtime2.go waitReasonStrings. The binary's own list is preferred where it is found.
static const char *const reasons_1_11[] = {
	"", "GC assist marking", "IO wait", "chan receive (nil chan)", "chan send (nil chan)",
	"dumping heap", "garbage collection", "garbage collection scan", "panicwait", "select",
	"select (no cases)", "GC assist wait", "GC sweep wait", "chan receive", "chan send",
	"finalizer wait", "force gc (idle)", "semacquire", "sleep", "sync.Cond.Wait",
	"timer goroutine (idle)", "trace reader (blocked)", "wait for GC cycle",
	"GC worker (idle)",
};

static const char *const reasons_1_13[] = {
	"", "GC assist marking", "IO wait", "chan receive (nil chan)", "chan send (nil chan)",
	"dumping heap", "garbage collection", "garbage collection scan", "panicwait", "select",
	"select (no cases)", "GC assist wait", "GC sweep wait", "GC scavenge wait",
	"chan receive", "chan send", "finalizer wait", "force gc (idle)", "semacquire", "sleep",
	"sync.Cond.Wait", "timer goroutine (idle)", "trace reader (blocked)",
	"wait for GC cycle", "GC worker (idle)",
};

static const char *const reasons_1_14[] = {
	"", "GC assist marking", "IO wait", "chan receive (nil chan)", "chan send (nil chan)",
	"dumping heap", "garbage collection", "garbage collection scan", "panicwait", "select",
	"select (no cases)", "GC assist wait", "GC sweep wait", "GC scavenge wait",
	"chan receive", "chan send", "finalizer wait", "force gc (idle)", "semacquire", "sleep",
	"sync.Cond.Wait", "timer goroutine (idle)", "trace reader (blocked)",
	"wait for GC cycle", "GC worker (idle)", "preempted",
};

static const char *const reasons_1_15[] = {
	"", "GC assist marking", "IO wait", "chan receive (nil chan)", "chan send (nil chan)",
	"dumping heap", "garbage collection", "garbage collection scan", "panicwait", "select",
	"select (no cases)", "GC assist wait", "GC sweep wait", "GC scavenge wait",
	"chan receive", "chan send", "finalizer wait", "force gc (idle)", "semacquire", "sleep",
	"sync.Cond.Wait", "timer goroutine (idle)", "trace reader (blocked)",
	"wait for GC cycle", "GC worker (idle)", "preempted", "debug call",
};

static const char *const reasons_1_20[] = {
	"", "GC assist marking", "IO wait", "chan receive (nil chan)", "chan send (nil chan)",
	"dumping heap", "garbage collection", "garbage collection scan", "panicwait", "select",
	"select (no cases)", "GC assist wait", "GC sweep wait", "GC scavenge wait",
	"chan receive", "chan send", "finalizer wait", "force gc (idle)", "semacquire", "sleep",
	"sync.Cond.Wait", "sync.Mutex.Lock", "sync.RWMutex.RLock", "sync.RWMutex.Lock",
	"trace reader (blocked)", "wait for GC cycle", "GC worker (idle)", "GC worker (active)",
	"preempted", "debug call", "GC mark termination", "stopping the world",
};

static const char *const reasons_1_22[] = {
	"", "GC assist marking", "IO wait", "chan receive (nil chan)", "chan send (nil chan)",
	"dumping heap", "garbage collection", "garbage collection scan", "panicwait", "select",
	"select (no cases)", "GC assist wait", "GC sweep wait", "GC scavenge wait",
	"chan receive", "chan send", "finalizer wait", "force gc (idle)", "semacquire", "sleep",
	"sync.Cond.Wait", "sync.Mutex.Lock", "sync.RWMutex.RLock", "sync.RWMutex.Lock",
	"trace reader (blocked)", "wait for GC cycle", "GC worker (idle)", "GC worker (active)",
	"preempted", "debug call", "GC mark termination", "stopping the world",
	"flushing proc caches", "trace goroutine status", "trace proc status",
	"page trace flush", "coroutine",
};

static const char *const reasons_1_23_4[] = {
	"", "GC assist marking", "IO wait", "chan receive (nil chan)", "chan send (nil chan)",
	"dumping heap", "garbage collection", "garbage collection scan", "panicwait", "select",
	"select (no cases)", "GC assist wait", "GC sweep wait", "GC scavenge wait",
	"chan receive", "chan send", "finalizer wait", "force gc (idle)", "semacquire", "sleep",
	"sync.Cond.Wait", "sync.Mutex.Lock", "sync.RWMutex.RLock", "sync.RWMutex.Lock",
	"trace reader (blocked)", "wait for GC cycle", "GC worker (idle)", "GC worker (active)",
	"preempted", "debug call", "GC mark termination", "stopping the world",
	"flushing proc caches", "trace goroutine status", "trace proc status",
	"page trace flush", "coroutine", "GC weak to strong wait",
};

static const char *const reasons_1_24[] = {
	"", "GC assist marking", "IO wait", "chan receive (nil chan)", "chan send (nil chan)",
	"dumping heap", "garbage collection", "garbage collection scan", "panicwait", "select",
	"select (no cases)", "GC assist wait", "GC sweep wait", "GC scavenge wait",
	"chan receive", "chan send", "finalizer wait", "force gc (idle)", "semacquire", "sleep",
	"sync.Cond.Wait", "sync.Mutex.Lock", "sync.RWMutex.RLock", "sync.RWMutex.Lock",
	"sync.WaitGroup.Wait", "trace reader (blocked)", "wait for GC cycle", "GC worker (idle)",
	"GC worker (active)", "preempted", "debug call", "GC mark termination",
	"stopping the world", "flushing proc caches", "trace goroutine status",
	"trace proc status", "page trace flush", "coroutine", "GC weak to strong wait",
	"synctest.Run", "synctest.Wait", "chan receive (synctest)", "chan send (synctest)",
	"select (synctest)",
};

static const char *const reasons_1_25[] = {
	"", "GC assist marking", "IO wait", "chan receive (nil chan)", "chan send (nil chan)",
	"dumping heap", "garbage collection", "garbage collection scan", "panicwait", "select",
	"select (no cases)", "GC assist wait", "GC sweep wait", "GC scavenge wait",
	"chan receive", "chan send", "finalizer wait", "force gc (idle)",
	"GOMAXPROCS updater (idle)", "semacquire", "sleep", "sync.Cond.Wait", "sync.Mutex.Lock",
	"sync.RWMutex.RLock", "sync.RWMutex.Lock", "sync.WaitGroup.Wait",
	"trace reader (blocked)", "wait for GC cycle", "GC worker (idle)", "GC worker (active)",
	"preempted", "debug call", "GC mark termination", "stopping the world",
	"flushing proc caches", "trace goroutine status", "trace proc status",
	"page trace flush", "coroutine", "GC weak to strong wait", "synctest.Run",
	"synctest.Wait", "chan receive (durable)", "chan send (durable)", "select (durable)",
	"sync.WaitGroup.Wait (durable)", "cleanup wait",
};

static const char *const reasons_1_26[] = {
	"", "GC assist marking", "IO wait", "dumping heap", "garbage collection",
	"garbage collection scan", "panicwait", "GC assist wait", "GC sweep wait",
	"GC scavenge wait", "finalizer wait", "force gc (idle)", "GOMAXPROCS updater (idle)",
	"semacquire", "sleep", "chan receive (nil chan)", "chan send (nil chan)",
	"select (no cases)", "select", "chan receive", "chan send", "sync.Cond.Wait",
	"sync.Mutex.Lock", "sync.RWMutex.RLock", "sync.RWMutex.Lock", "sync.WaitGroup.Wait",
	"trace reader (blocked)", "wait for GC cycle", "GC worker (idle)", "GC worker (active)",
	"preempted", "debug call", "GC mark termination", "stopping the world",
	"flushing proc caches", "trace goroutine status", "trace proc status",
	"page trace flush", "coroutine", "GC weak to strong wait", "synctest.Run",
	"synctest.Wait", "chan receive (durable)", "chan send (durable)", "select (durable)",
	"sync.WaitGroup.Wait (durable)", "cleanup wait",
};

static const struct {
	uint8_t minor, patch; ///< since then
	uint8_t n;
	const char *const *reasons;
} reason_lists[] = {
	{ 11, 0, ARRAY_SIZE(reasons_1_11), reasons_1_11 },
	{ 13, 0, ARRAY_SIZE(reasons_1_13), reasons_1_13 },
	{ 14, 0, ARRAY_SIZE(reasons_1_14), reasons_1_14 },
	{ 15, 0, ARRAY_SIZE(reasons_1_15), reasons_1_15 },
	{ 20, 0, ARRAY_SIZE(reasons_1_20), reasons_1_20 },
	{ 22, 0, ARRAY_SIZE(reasons_1_22), reasons_1_22 },
	{ 23, 4, ARRAY_SIZE(reasons_1_23_4), reasons_1_23_4 },
	{ 24, 0, ARRAY_SIZE(reasons_1_24), reasons_1_24 },
	{ 25, 0, ARRAY_SIZE(reasons_1_25), reasons_1_25 },
	{ 26, 0, ARRAY_SIZE(reasons_1_26), reasons_1_26 },
};

#define NO GO_FORMAT_NONE

static const struct {
	uint8_t since;
	struct go_format format;
} formats[] = {
	{ 11,
	  { .functab_entry_bytes = 16, .func_name = 8, .func_args = 12, .func_deferreturn = NO,
	    .func_pcsp = 20, .func_pcfile = 24, .func_pcln = 28, .func_npcdata = 32, .func_cu = NO,
	    .func_start_line = NO, .func_id = 16, .func_flag = NO, .func_nfuncdata = 36,
	    .func_pcdata = 40, .inl_bytes = 16, .inl_parent = 0, .inl_file = 4, .inl_line = 8,
	    .inl_name = 12, .inl_id = NO, .inl_parent_pc = NO, .pcdata_inltree = 1,
	    .pcdata_arglive = NO, .funcdata_inltree = 2, .funcdata_arginfo = NO,
	    .funcdata_arglive = NO, .id_wrapper = NO } },
	{ 12,
	  { .functab_entry_bytes = 16, .func_name = 8, .func_args = 12, .func_deferreturn = 16,
	    .func_pcsp = 20, .func_pcfile = 24, .func_pcln = 28, .func_npcdata = 32, .func_cu = NO,
	    .func_start_line = NO, .func_id = 36, .func_flag = NO, .func_nfuncdata = 39,
	    .func_pcdata = 40, .inl_bytes = 20, .inl_parent = 0, .inl_file = 4, .inl_line = 8,
	    .inl_name = 12, .inl_id = 2, .inl_parent_pc = 16, .pcdata_inltree = 1,
	    .pcdata_arglive = NO, .funcdata_inltree = 2, .funcdata_arginfo = NO,
	    .funcdata_arglive = NO, .id_wrapper = 20 } },
	{ 13,
	  { .functab_entry_bytes = 16, .func_name = 8, .func_args = 12, .func_deferreturn = 16,
	    .func_pcsp = 20, .func_pcfile = 24, .func_pcln = 28, .func_npcdata = 32, .func_cu = NO,
	    .func_start_line = NO, .func_id = 36, .func_flag = NO, .func_nfuncdata = 39,
	    .func_pcdata = 40, .inl_bytes = 20, .inl_parent = 0, .inl_file = 4, .inl_line = 8,
	    .inl_name = 12, .inl_id = 2, .inl_parent_pc = 16, .pcdata_inltree = 2,
	    .pcdata_arglive = NO, .funcdata_inltree = 4, .funcdata_arginfo = NO,
	    .funcdata_arglive = NO, .id_wrapper = 20 } },
	{ 14,
	  { .functab_entry_bytes = 16, .func_name = 8, .func_args = 12, .func_deferreturn = 16,
	    .func_pcsp = 20, .func_pcfile = 24, .func_pcln = 28, .func_npcdata = 32, .func_cu = NO,
	    .func_start_line = NO, .func_id = 36, .func_flag = NO, .func_nfuncdata = 39,
	    .func_pcdata = 40, .inl_bytes = 20, .inl_parent = 0, .inl_file = 4, .inl_line = 8,
	    .inl_name = 12, .inl_id = 2, .inl_parent_pc = 16, .pcdata_inltree = 2,
	    .pcdata_arglive = NO, .funcdata_inltree = 4, .funcdata_arginfo = NO,
	    .funcdata_arglive = NO, .id_wrapper = 22 } },
	// The pcdata array begins inside what C would make the padding of struct _func.
	{ 16,
	  { .functab_entry_bytes = 16, .func_name = 8, .func_args = 12, .func_deferreturn = 16,
	    .func_pcsp = 20, .func_pcfile = 24, .func_pcln = 28, .func_npcdata = 32, .func_cu = 36,
	    .func_start_line = NO, .func_id = 40, .func_flag = NO, .func_nfuncdata = 43,
	    .func_pcdata = 44, .cu_table = true, .inl_bytes = 20, .inl_parent = 0, .inl_file = 4,
	    .inl_line = 8, .inl_name = 12, .inl_id = 2, .inl_parent_pc = 16, .pcdata_inltree = 2,
	    .pcdata_arglive = NO, .funcdata_inltree = 3, .funcdata_arginfo = NO,
	    .funcdata_arglive = NO, .id_wrapper = 22 } },
	{ 17,
	  { .functab_entry_bytes = 16, .func_name = 8, .func_args = 12, .func_deferreturn = 16,
	    .func_pcsp = 20, .func_pcfile = 24, .func_pcln = 28, .func_npcdata = 32, .func_cu = 36,
	    .func_start_line = NO, .func_id = 40, .func_flag = 41, .func_nfuncdata = 43,
	    .func_pcdata = 44, .cu_table = true, .inl_bytes = 20, .inl_parent = 0, .inl_file = 4,
	    .inl_line = 8, .inl_name = 12, .inl_id = 2, .inl_parent_pc = 16, .pcdata_inltree = 2,
	    .pcdata_arglive = NO, .funcdata_inltree = 3, .funcdata_arginfo = 5,
	    .funcdata_arglive = NO, .id_wrapper = 22 } },
	{ 18,
	  { .functab_entry_bytes = 8, .func_name = 4, .func_args = 8, .func_deferreturn = 12,
	    .func_pcsp = 16, .func_pcfile = 20, .func_pcln = 24, .func_npcdata = 28, .func_cu = 32,
	    .func_start_line = NO, .func_id = 36, .func_flag = 37, .func_nfuncdata = 39,
	    .func_pcdata = 40, .funcdata_offsets = true, .cu_table = true, .inl_bytes = 20,
	    .inl_parent = 0, .inl_file = 4, .inl_line = 8, .inl_name = 12, .inl_id = 2,
	    .inl_parent_pc = 16, .pcdata_inltree = 2, .pcdata_arglive = 3, .funcdata_inltree = 3,
	    .funcdata_arginfo = 5, .funcdata_arglive = 6, .id_wrapper = 21 } },
	{ 20,
	  { .functab_entry_bytes = 8, .func_name = 4, .func_args = 8, .func_deferreturn = 12,
	    .func_pcsp = 16, .func_pcfile = 20, .func_pcln = 24, .func_npcdata = 28, .func_cu = 32,
	    .func_start_line = 36, .func_id = 40, .func_flag = 41, .func_nfuncdata = 43,
	    .func_pcdata = 44, .funcdata_offsets = true, .cu_table = true, .inl_bytes = 16,
	    .inl_parent = NO, .inl_file = NO, .inl_line = NO, .inl_name = 4, .inl_id = 0,
	    .inl_parent_pc = 8, .pcdata_inltree = 2, .pcdata_arglive = 3, .funcdata_inltree = 3,
	    .funcdata_arginfo = 5, .funcdata_arglive = 6, .id_wrapper = 21 } },
	{ 22, { .id_wrapper = 22 } }, // as 20 but for the numbers of functions
	{ 25, { .id_wrapper = 23 } },
};

static void set_format(struct go_format *format, int minor)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats) && formats[i].since <= minor; i++) {
		if (formats[i].format.functab_entry_bytes)
			*format = formats[i].format;
		else
			format->id_wrapper = formats[i].format.id_wrapper;
	}
}

static void set_reasons(struct go_layout *layout, int minor, int patch)
{
	for (size_t i = 0; i < ARRAY_SIZE(reason_lists); i++) {
		if (reason_lists[i].minor > minor ||
		    (reason_lists[i].minor == minor && reason_lists[i].patch > patch))
			break;
		layout->wait_reasons = reason_lists[i].reasons;
		layout->n_wait_reasons = reason_lists[i].n;
	}
}

bool go_layout_init(struct go_layout *layout, int minor, int patch)
{
	if (minor < GO_MINOR_MIN)
		return false;
	*layout = (struct go_layout){ .minor = minor < GO_MINOR_MAX ? minor : GO_MINOR_MAX };
	for (int f = 0; f < GO_FIELD_MAX; f++) {
		layout->offset[f] = GO_NONE;
		for (int i = 0; i < CHANGES_MAX && changes[f][i].since; i++)
			if (changes[f][i].since <= layout->minor)
				layout->offset[f] = changes[f][i].offset;
	}
	set_format(&layout->format, layout->minor);
	set_reasons(layout, layout->minor, patch);
	return true;
}
