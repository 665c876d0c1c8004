// SPDX-License-Identifier: LGPL-2.1-or-later

// Program cgo has goroutines that are in C, and below C: sleeping in C, in a callback from C, in
// callbacks within callbacks, and on a thread that C has made. It says "ready PID" and stays until
// its standard input ends.
package main

// #cgo LDFLAGS: -lpthread
// #include "calls.h"
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"
)

var (
	arrived int32
	forever = make(chan int)
)

func block() {
	atomic.AddInt32(&arrived, 1)
	<-forever
}

//export goBlock
func goBlock(n C.int, text *C.char) C.int {
	block()
	return n
}

//export goDeeper
func goDeeper(n C.int) C.int {
	if n == 0 {
		return goBlock(n, nil)
	}
	return C.call_deeper(n-1) + 1
}

//export goNap
func goNap() {
	atomic.AddInt32(&arrived, 1)
	C.nap(7, 2.5, nil)
}

// Comes back from C and from a callback before it waits.
func backAgain() {
	C.quick(3)
	block()
}

func locked() {
	runtime.LockOSThread()
	atomic.AddInt32(&arrived, 1)
	C.nap(1, 0.5, unsafe.Pointer(&arrived))
}

//export goQuick
func goQuick(n C.int) C.int { return n + 1 }

// The signal that makes the runtime speak goes to the first thread. It must not be in C below a
// goroutine that waits: Go 1.15 stumbles over that.
func init() { runtime.LockOSThread() }

func main() {
	go goNap()
	go locked()
	go func() { C.call_block(5, C.CString("text")) }()
	go func() { println(C.call_deeper(3)) }()
	go backAgain()
	go func() { C.call_nap() }()
	C.start_threads()
	for atomic.LoadInt32(&arrived) < 9 {
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println("ready", os.Getpid())
	var b [64]byte
	for {
		if n, err := os.Stdin.Read(b[:]); n == 0 || err != nil {
			os.Exit(0)
		}
	}
}
