// SPDX-License-Identifier: LGPL-2.1-or-later

// Program native has goroutines in C and below C, in each way that C can be left and entered:
// asleep in the C library, in a handler of C for a signal, below frames whose size only a frame
// pointer tells, below the C library, in callbacks within callbacks, and on a thread that C has
// made. With an argument they are in assembly of which nobody tells how to unwind it. It says "ready
// PID" and stays until its standard input ends.
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
)

var (
	arrived int32
	forever = make(chan int)
)

func arrive() { atomic.AddInt32(&arrived, 1) }

//export goBlock
func goBlock(n C.int) {
	arrive()
	<-forever
}

//export goAgain
func goAgain(n C.int) {
	if n > 0 {
		C.again(n - 1)
		return
	}
	arrive()
	C.in_usleep()
}

//export goThread
func goThread() {
	arrive()
	C.in_pause(0)
}

func paused(n C.int) {
	arrive()
	C.in_pause(n)
}

func inC() {
	go func() { arrive(); C.in_usleep() }()
	for i := 0; i < 2; i++ {
		go paused(C.int(i))
	}
	go func() { arrive(); C.in_read() }()
	go func() { arrive(); C.in_handler() }()
	go func() { C.with_room(100) }()
	go func() { C.through_sort() }()
	go func() { C.again(2) }()
	C.start_thread_of_c()
}

func inAssembly() {
	go func() { arrive(); C.without_table() }()
	go func() { arrive(); C.above_pointer(100) }()
}

//export goReady
func goReady() {}

// The first thread shall not be in C; see ../cgo.
func init() { runtime.LockOSThread() }

func main() {
	goroutines := int32(9)
	if len(os.Args) > 1 {
		goroutines = 2
		inAssembly()
	} else {
		inC()
	}
	for atomic.LoadInt32(&arrived) < goroutines {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(300 * time.Millisecond) // they are not in C yet
	C.all_here()
	fmt.Println("ready", os.Getpid())
	var b [64]byte
	for {
		if n, err := os.Stdin.Read(b[:]); n == 0 || err != nil {
			os.Exit(0)
		}
	}
}
