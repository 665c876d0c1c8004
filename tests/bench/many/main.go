// SPDX-License-Identifier: LGPL-2.1-or-later

// Command many has as many goroutines as its argument says, in a dozen
// groups. All wait, on stacks of about 8 frames, until its input ends.
package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// perObject is how many wait for the same channel or lock.
const perObject = 1000

type object struct {
	values chan int
	other  chan string
	lock   sync.Mutex
}

var started int64

//go:noinline
func receive(o *object) int {
	atomic.AddInt64(&started, 1)
	return <-o.values + 1
}

//go:noinline
func send(o *object) int {
	atomic.AddInt64(&started, 1)
	o.other <- "never"
	return 1
}

//go:noinline
func choose(o *object) int {
	atomic.AddInt64(&started, 1)
	select {
	case v := <-o.values:
		return v
	case o.other <- "neither":
		return 2
	}
}

//go:noinline
func lock(o *object) int {
	atomic.AddInt64(&started, 1)
	o.lock.Lock()
	return 3
}

var waits = []func(o *object) int{receive, send, choose, lock}

//go:noinline
func descend(o *object, levels, n int) int {
	if levels == 0 {
		return waits[n%len(waits)](o) + n
	}
	return descend(o, levels-1, n) + levels
}

//go:noinline
func work(o *object, n int) {
	if descend(o, n/len(waits)%3, n) == 0 {
		fmt.Println("impossible")
	}
}

func main() {
	n, err := strconv.Atoi(os.Args[1])
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	var o *object
	for i := 0; i < n; i++ {
		if i%perObject == 0 {
			o = &object{values: make(chan int), other: make(chan string)}
			o.lock.Lock()
		}
		go work(o, i)
	}
	for atomic.LoadInt64(&started) < int64(n) {
		time.Sleep(10 * time.Millisecond)
	}
	// Some have only just been about to wait; and a collection gives waits a time.
	time.Sleep(100 * time.Millisecond)
	runtime.GC()
	runtime.GC()
	fmt.Printf("ready %d go=%s\n", os.Getpid(), runtime.Version())
	io.Copy(io.Discard, os.Stdin)
}
