// SPDX-License-Identifier: LGPL-2.1-or-later

//go:build cgo
// +build cgo

package main

// #include <stdlib.h>
// static int deref(volatile int *p) { return *p; }
import "C"

import "unsafe"

func init() {
	kinds["csegv"] = func() { println(C.deref((*C.int)(unsafe.Pointer(uintptr(six) << 2)))) }
	kinds["cabort"] = func() { C.abort() }
}
