// SPDX-License-Identifier: LGPL-2.1-or-later

// Program states has goroutines in every kind of wait, below every kind of frame. When all of them
// have come to rest it says "ready PID", and stays until its standard input ends. For every line it
// reads it writes all stacks to its standard error, and says "done".
package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

var (
	started int32 // goroutines that will block
	arrived int32 // those that are about to
	forever = make(chan int)
)

// start runs f in a goroutine. f must call block, or arrive when it blocks by itself.
func start(f func()) {
	started++
	go f()
}

func arrive() { atomic.AddInt32(&arrived, 1) }

//go:noinline
func block() {
	arrive()
	<-forever
}

// extras are what only newer versions of Go can build; they call start.
var extras []func()

func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// resting says whether no goroutine but this one would run.
func resting() bool {
	all := stacks()
	return strings.Count(all, " [running") == 1 && !strings.Contains(all, " [runnable")
}

func main() {
	startWaits()
	startFrames()
	for _, f := range extras {
		f()
	}
	for n := 0; n < 3; {
		time.Sleep(10 * time.Millisecond)
		if atomic.LoadInt32(&arrived) == started && resting() {
			n++
		} else {
			n = 0
		}
	}
	if len(os.Args) > 1 && os.Args[1] == "gc" {
		runtime.GC() // from now on the runtime knows for how long each has waited
	}
	fmt.Println("ready", os.Getpid())
	var b [64]byte
	for {
		if n, err := os.Stdin.Read(b[:]); n == 0 || err != nil {
			os.Exit(0)
		}
		os.Stderr.WriteString(stacks())
		fmt.Println("done")
	}
}
