// SPDX-License-Identifier: LGPL-2.1-or-later

package main

// parkHostile has goroutines whose labels and places would move a terminal, or
// end a line, a frame or a string, for whoever prints them as they are.
func parkHostile() {
	labelled("k\x1b]0;title\x07\n", "v\x1b[2J\r\n\"};{\\ \xff\xfe", 1)
	labelled("goroutine 1 [running]:", "\nmain.main()\n\t/x.go:1", 1)
	labelled("state", "a label of that name", 1)
	started.Wait()
	start(strange)
	started.Wait()
}

//line /tmp/s;t r a\n g"e.go:7
func strange() {
	receive(7)
}
