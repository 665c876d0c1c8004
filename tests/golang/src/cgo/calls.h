/* SPDX-License-Identifier: LGPL-2.1-or-later */
int nap(int n, double d, void *p);
int quick(int n);
int call_block(int n, char *text);
int call_deeper(int n);
void call_nap(void);
void start_threads(void);
