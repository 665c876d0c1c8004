/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * Lets this thread, and those it starts, take the CPU from others for short whiles only, and with
 * @nice less often: the process that is copied needs it more. Not everybody may become less polite
 * again, so this is for threads of their own.
 */
void polite_become(int nice);

/// How nice whoever copies from a process is that runs.
enum { POLITE_NICE = 10 };
