/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <elf.h>
#include <stdint.h>

/**
 * DOC: Structures of Linux core notes
 *
 * <sys/procfs.h> has them only for the machine it was compiled for, with the registers inside. Here
 * are the heads, of both widths; the general registers and an int pr_fpvalid follow in
 * NT_PRSTATUS, padded to the word size. Sources: include/linux/elfcore.h,
 * include/linux/elfcore-compat.h, arch/x86/include/asm/elf.h.
 */

struct prstatus64_head {
	int32_t si_signo, si_code, si_errno;
	int16_t cursig;
	uint64_t sigpend, sighold;
	int32_t pid, ppid, pgrp, sid;
	struct {
		int64_t sec, usec;
	} utime, stime, cutime, cstime;
};
_Static_assert(sizeof(struct prstatus64_head) == 112, "elf_prstatus");

struct prstatus32_head {
	int32_t si_signo, si_code, si_errno;
	int16_t cursig;
	uint32_t sigpend, sighold;
	int32_t pid, ppid, pgrp, sid;
	struct {
		int32_t sec, usec;
	} utime, stime, cutime, cstime;
};
_Static_assert(sizeof(struct prstatus32_head) == 72, "compat_elf_prstatus");

struct prpsinfo64 {
	char state, sname, zomb, nice;
	uint64_t flag;
	uint32_t uid, gid;
	int32_t pid, ppid, pgrp, sid;
	char fname[16], psargs[80];
};
_Static_assert(sizeof(struct prpsinfo64) == 136, "elf_prpsinfo");

struct prpsinfo32 {
	char state, sname, zomb, nice;
	uint32_t flag;
	uint16_t uid, gid;
	int32_t pid, ppid, pgrp, sid;
	char fname[16], psargs[80];
};
_Static_assert(sizeof(struct prpsinfo32) == 124, "compat_elf_prpsinfo");

enum { SIGINFO_SIZE = 128 };
