// SPDX-License-Identifier: LGPL-2.1-or-later

// Program arm works, and does what it is told on its standard input: check itself, set how it
// dies, or die.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

type node struct{ value int }

var (
	nothing *node
	work    [8]int64 // what each worker has done
	sum     int64    // of all of them
)

func worker(i int) {
	for {
		atomic.AddInt64(&work[i], 1)
		atomic.AddInt64(&sum, 1)
		time.Sleep(time.Millisecond)
	}
}

// Nothing of what the workers do is lost, and they do something.
func check() string {
	before := atomic.LoadInt64(&sum)
	time.Sleep(20 * time.Millisecond)
	var parts int64
	for i := range work {
		parts += atomic.LoadInt64(&work[i])
	}
	after := atomic.LoadInt64(&sum)
	if after <= before {
		return "FAIL: the workers stand still"
	}
	if parts < before || parts > after+int64(len(work)) {
		return fmt.Sprintf("FAIL: %d is not between %d and %d", parts, before, after)
	}
	return "ok"
}

func main() {
	for i := range work {
		go worker(i)
	}
	fmt.Printf("ready %d\n", os.Getpid())
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		words := strings.Fields(in.Text())
		switch words[0] {
		case "check":
			fmt.Println(check())
		case "set":
			debug.SetTraceback(words[1])
			fmt.Println("ok")
		case "exec":
			self, _ := os.Executable()
			fmt.Println(syscall.Exec(self, os.Args, os.Environ()))
		case "panic":
			panic("as told")
		case "nil":
			fmt.Println(nothing.value)
		case "quit":
			os.Exit(0)
		}
	}
}
