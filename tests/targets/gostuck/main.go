// SPDX-License-Identifier: LGPL-2.1-or-later

// Command gostuck is a dump target where twelve goroutines wait for a channel.
// Who else has it is up to -held. It speaks the protocol of tests/targets/target.h.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// life bounds how long the target can outlive a hung harness.
const life = 10 * time.Minute

const workers = 12

var (
	ended   uint64
	started sync.WaitGroup
	global  chan int
	use     uint64 // what spinning goroutines change
)

// padding keeps what goroutines are started with away from smaller objects of the heap. Structures of
// more than 128 bytes would be elsewhere.
type padding [13]int

// holder is a structure that has the channel somewhere in it.
type holder struct {
	names [5]string
	jobs  chan int
}

//go:noinline
func worker(p padding, jobs chan int) {
	started.Done()
	<-jobs
	atomic.AddUint64(&ended, uint64(p[0]))
}

//go:noinline
func sleeper(p padding, jobs chan int) {
	started.Done()
	time.Sleep(2 * life)
	jobs <- p[0]
}

//go:noinline
func owner(p padding, h *holder) {
	started.Done()
	time.Sleep(2 * life)
	h.jobs <- p[0]
}

//go:noinline
func reader(p padding, jobs chan int, fd int) {
	var buf [1]byte
	started.Done()
	syscall.Read(fd, buf[:])
	jobs <- p[0]
}

//go:noinline
func spinner(p padding, jobs chan int) {
	started.Done()
	for atomic.AddUint64(&use, 1) != 0 {
	}
	jobs <- p[0]
}

// passer gets from one channel what it puts into another.
//
//go:noinline
func passer(p padding, from, to chan int) {
	started.Done()
	to <- <-from + p[0]
}

// begin starts all of them and ends, so that only they have the channels.
func begin(held string, fd int, done chan<- bool) {
	var p padding
	jobs, more := make(chan int), make(chan int)
	p[0] = 1
	started.Add(workers + 1)
	for i := 0; i < workers; i++ {
		go worker(p, jobs)
	}
	switch held {
	case "none":
		started.Done()
	case "waiting": // each of both waits for the other one
		started.Add(1)
		go passer(p, jobs, more)
		go passer(p, more, jobs)
	case "chain": // from one that sleeps to one that waits
		started.Add(1)
		go passer(p, more, jobs)
		go sleeper(p, more)
	case "sleeping":
		go sleeper(p, jobs)
	case "structure":
		go owner(p, &holder{jobs: jobs})
	case "syscall":
		go reader(p, jobs, fd)
	case "running":
		go spinner(p, jobs)
	case "global":
		global = jobs
		started.Done()
	}
	started.Wait()
	done <- true
}

// The thread that lives as long as the process must ask for it: init runs there.
func init() {
	const prSetPdeathsig = 1
	runtime.LockOSThread()
	syscall.RawSyscall(syscall.SYS_PRCTL, prSetPdeathsig, uintptr(syscall.SIGKILL), 0)
	runtime.UnlockOSThread()
}

func main() {
	held := flag.String("held", "none", "who else has the channel")
	flag.Parse()
	time.AfterFunc(life, func() { syscall.Kill(os.Getpid(), syscall.SIGKILL) })
	var pipe [2]int
	if err := syscall.Pipe2(pipe[:], syscall.O_CLOEXEC); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	done := make(chan bool)
	go begin(*held, pipe[0], done)
	<-done
	time.Sleep(100 * time.Millisecond)
	fmt.Printf("ready %d\n", os.Getpid())
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() && in.Text() != "quit" {
		if in.Text() != "check" {
			fmt.Printf("error: unknown command '%s'\n", in.Text())
		} else if n := atomic.SwapUint64(&ended, 0); n > 0 {
			fmt.Printf("FAIL: %d waits ended\n", n)
		} else {
			fmt.Println("ok")
		}
	}
}
