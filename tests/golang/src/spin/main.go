// SPDX-License-Identifier: LGPL-2.1-or-later

// Program spin has goroutines that never stop: one in a loop, one in a loop of calls. With an
// argument they share one processor, so that one of them was always interrupted and is runnable.
package main

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

var sink int

//go:noinline
func spinLoop(n int) {
	for {
		n++
	}
}

//go:noinline
func leaf(n int) int { return n*3 + 1 }

//go:noinline
func spinCalls(n int, s string) {
	for {
		n = leaf(n)
		if n == 5 {
			sink += len(s)
		}
	}
}

func run(f func()) { f() }

func main() {
	runtime.GOMAXPROCS(3)
	if len(os.Args) > 1 {
		runtime.GOMAXPROCS(1)
	}
	go run(func() { spinLoop(1) })
	go run(func() { spinCalls(2, "text") })
	time.Sleep(50 * time.Millisecond)
	fmt.Println("ready", os.Getpid())
	var b [64]byte
	for {
		if n, err := os.Stdin.Read(b[:]); n == 0 || err != nil {
			os.Exit(0)
		}
	}
}
