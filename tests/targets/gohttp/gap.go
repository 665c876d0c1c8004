// SPDX-License-Identifier: LGPL-2.1-or-later

package main

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
)

// longestGap is the longest time in ns between two readings of the clock by a
// goroutine that does nothing else: how long the process was stopped.
var longestGap int64

func watchGaps() {
	runtime.LockOSThread()
	last := time.Now()
	for {
		now := time.Now()
		gap := int64(now.Sub(last))
		last = now
		if gap > atomic.LoadInt64(&longestGap) {
			atomic.StoreInt64(&longestGap, gap)
		}
	}
}

// gapCommand answers "reset" and "gap" as gap-probe does.
func gapCommand(command string) bool {
	switch command {
	case "reset":
		atomic.StoreInt64(&longestGap, 0)
		fmt.Println("reset")
	case "gap":
		fmt.Printf("gap %d\n", atomic.LoadInt64(&longestGap))
	default:
		return false
	}
	return true
}
