// SPDX-License-Identifier: LGPL-2.1-or-later

//go:build cgo
// +build cgo

package main

// static int six(void) { return 6; }
import "C"

func init() {
	work[0] = int64(C.six()) - 6
}
