/* SPDX-License-Identifier: LGPL-2.1-or-later */
void in_usleep(void);
void in_pause(int n);
void in_read(void);
void in_handler(void);
void with_room(int n);
void through_sort(void);
void again(int n);
void start_thread_of_c(void);
void all_here(void);
void without_table(void);
void above_pointer(int n);
