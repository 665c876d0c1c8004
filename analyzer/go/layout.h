/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/**
 * DOC: Layouts of the Go runtime, by version
 *
 * Where the fields of the runtime's structures lie, and which of the formats of its tables a
 * version has. The offsets of all fields here are the same on amd64 and arm64, and do not change
 * between the patch releases of a minor version. They come from type-checking src/runtime of every
 * release with the gc layout rules and were compared with the DWARF of real binaries (docs/GO.md).
 */

enum {
	GO_MINOR_MIN = 11,
	GO_MINOR_MAX = 27, ///< newest one known; later ones are tried with its layout and checked
};

/// Structure fields. Offsets in bytes.
enum go_field {
	// runtime.g
	GO_G_STACK_LO, ///< stack.lo
	GO_G_STACK_HI, ///< stack.hi
	GO_G_PANIC, ///< _panic
	GO_G_M, ///< m
	GO_G_SCHED_SP, ///< sched.sp
	GO_G_SCHED_PC, ///< sched.pc
	GO_G_SCHED_G, ///< sched.g
	GO_G_SCHED_LR, ///< sched.lr
	GO_G_SCHED_BP, ///< sched.bp
	GO_G_SYSCALLSP, ///< syscallsp
	GO_G_SYSCALLPC, ///< syscallpc
	GO_G_ATOMICSTATUS, ///< atomicstatus
	GO_G_GOID, ///< goid
	GO_G_WAITSINCE, ///< waitsince
	GO_G_WAITREASON, ///< waitreason
	GO_G_LOCKEDM, ///< lockedm
	GO_G_SIG, ///< sig
	GO_G_SIGCODE0, ///< sigcode0
	GO_G_SIGCODE1, ///< sigcode1
	GO_G_SIGPC, ///< sigpc
	GO_G_PARENT_GOID, ///< parentGoid
	GO_G_GOPC, ///< gopc
	GO_G_STARTPC, ///< startpc
	GO_G_WAITING, ///< waiting
	GO_G_LABELS, ///< labels
	GO_G_TIMER, ///< timer
	GO_G_SLEEP_WHEN, ///< sleepWhen
	GO_G_SYNC_GROUP, ///< syncGroup
	GO_G_BUBBLE, ///< bubble
	GO_G_RUNNING_CLEANUPS, ///< runningCleanups
	GO_G_SIZE, ///< size of it
	// runtime.m
	GO_M_G0, ///< g0
	GO_M_PROCID, ///< procid
	GO_M_GSIGNAL, ///< gsignal
	GO_M_CURG, ///< curg
	GO_M_CAUGHTSIG, ///< caughtsig
	GO_M_P, ///< p
	GO_M_ID, ///< id
	GO_M_THROWING, ///< throwing
	GO_M_DYING, ///< dying
	GO_M_INCGO, ///< incgo
	GO_M_ISEXTRA, ///< isextra
	GO_M_ALLLINK, ///< alllink
	GO_M_LOCKEDG, ///< lockedg
	GO_M_VDSO_SP, ///< vdsoSP
	GO_M_VDSO_PC, ///< vdsoPC
	// runtime.p
	GO_P_ID, ///< id
	GO_P_STATUS, ///< status
	GO_P_M, ///< m
	GO_P_SYSMONTICK_SCHEDWHEN, ///< sysmontick.schedwhen
	GO_P_SYSMONTICK_SYSCALLWHEN, ///< sysmontick.syscallwhen
	GO_P_RUNQHEAD, ///< runqhead
	GO_P_RUNQTAIL, ///< runqtail
	GO_P_RUNNEXT, ///< runnext
	// runtime.schedt
	GO_SCHED_LASTPOLL, ///< lastpoll
	GO_SCHED_NMIDLE, ///< nmidle
	GO_SCHED_NPIDLE, ///< npidle
	GO_SCHED_NMSPINNING, ///< nmspinning
	GO_SCHED_RUNQSIZE, ///< runqsize
	GO_SCHED_RUNQ_SIZE, ///< runq.size
	GO_SCHED_GCWAITING, ///< gcwaiting
	// runtime.sudog
	GO_SUDOG_G, ///< g
	GO_SUDOG_IS_SELECT, ///< isSelect
	GO_SUDOG_NEXT, ///< next
	GO_SUDOG_PREV, ///< prev
	GO_SUDOG_ELEM, ///< elem
	GO_SUDOG_SUCCESS, ///< success
	GO_SUDOG_WAITLINK, ///< waitlink
	GO_SUDOG_C, ///< c
	// runtime.hchan
	GO_HCHAN_QCOUNT, ///< qcount
	GO_HCHAN_DATAQSIZ, ///< dataqsiz
	GO_HCHAN_ELEMSIZE, ///< elemsize
	GO_HCHAN_CLOSED, ///< closed
	GO_HCHAN_TIMER, ///< timer
	GO_HCHAN_RECVQ_FIRST, ///< recvq.first
	GO_HCHAN_SENDQ_FIRST, ///< sendq.first
	// runtime._panic
	GO_PANIC_ARG, ///< arg
	GO_PANIC_LINK, ///< link
	GO_PANIC_RECOVERED, ///< recovered
	GO_PANIC_ABORTED, ///< aborted
	GO_PANIC_REPANICKED, ///< repanicked
	GO_PANIC_GOEXIT, ///< goexit
	// runtime.moduledata
	GO_MODULE_PC_HEADER, ///< pcHeader
	GO_MODULE_FUNCNAMETAB, ///< funcnametab
	GO_MODULE_CUTAB, ///< cutab
	GO_MODULE_FILETAB, ///< filetab
	GO_MODULE_PCTAB, ///< pctab
	GO_MODULE_PCLNTABLE, ///< pclntable
	GO_MODULE_FTAB, ///< ftab
	GO_MODULE_MINPC, ///< minpc
	GO_MODULE_MAXPC, ///< maxpc
	GO_MODULE_TEXT, ///< text
	GO_MODULE_ETEXT, ///< etext
	GO_MODULE_NOPTRDATA, ///< noptrdata
	GO_MODULE_ENOPTRDATA, ///< enoptrdata
	GO_MODULE_DATA, ///< data
	GO_MODULE_EDATA, ///< edata
	GO_MODULE_BSS, ///< bss
	GO_MODULE_EBSS, ///< ebss
	GO_MODULE_NOPTRBSS, ///< noptrbss
	GO_MODULE_ENOPTRBSS, ///< enoptrbss
	GO_MODULE_END, ///< end
	GO_MODULE_TYPES, ///< types
	GO_MODULE_ETYPES, ///< etypes
	GO_MODULE_GOFUNC, ///< gofunc
	GO_MODULE_PLUGINPATH, ///< pluginpath
	GO_MODULE_MODULENAME, ///< modulename
	GO_MODULE_NEXT, ///< next
	// runtime.timer
	GO_TIMER_WHEN, ///< when
	// runtime.synctestBubble
	GO_BUBBLE_ID, ///< id
	GO_FIELD_MAX,
};

/// A field that a version does not have.
enum { GO_NONE = -1 };

/// The formats of pclntab; see docs/GO.md and src/runtime/symtab.go of the versions.
struct go_format {
	uint8_t functab_entry_bytes; ///< 16: absolute addresses, 8: offsets from text
	// struct _func
	uint8_t func_name, func_args, func_deferreturn, func_pcsp, func_pcfile, func_pcln;
	uint8_t func_npcdata, func_cu, func_start_line, func_id, func_flag, func_nfuncdata;
	uint8_t func_pcdata; ///< where the pcdata array begins
	bool funcdata_offsets; ///< 32-bit offsets from gofunc; else pointers
	bool cu_table; ///< files are found through cutab
	// struct inlinedCall
	uint8_t inl_bytes, inl_parent, inl_file, inl_line, inl_name, inl_id, inl_parent_pc;
	// indexes; 0xff: there is none
	uint8_t pcdata_inltree, pcdata_arglive;
	uint8_t funcdata_inltree, funcdata_arginfo, funcdata_arglive;
	uint8_t id_wrapper; ///< funcID of compiler-made wrappers
};

enum { GO_FORMAT_NONE = 0xff };

struct go_layout {
	int minor; ///< of the table that is used
	int16_t offset[GO_FIELD_MAX]; ///< GO_NONE where the version has no such field
	struct go_format format;
	const char *const *wait_reasons; ///< texts by number
	uint8_t n_wait_reasons;
};

/// The layout of Go 1.@minor, patch release @patch. False for versions before GO_MINOR_MIN.
bool go_layout_init(struct go_layout *layout, int minor, int patch);
