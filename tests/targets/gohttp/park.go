// SPDX-License-Identifier: LGPL-2.1-or-later

package main

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// One goroutine waits in each function below, so that its stack names its
// state. A wait that ends is a violation: nothing ever happens that it is for.

var (
	ticks, spins, violations uint64
	lastViolation            atomic.Value
	spinning                 bool
	parkedCount              int64
)

var (
	neverSent     = make(chan int)
	neverReceived = make(chan string)
	fullBuffer    = make(chan int, 2)
	manyWait      = make(chan struct{})
	heldMutex     sync.Mutex
	heldRWMutex   sync.RWMutex
	neverSignaled = sync.NewCond(&sync.Mutex{})
	neverDone     sync.WaitGroup
	silentConn    net.Conn
	silentPipe    [2]int
)

func violation(what string) {
	lastViolation.Store(what)
	atomic.AddUint64(&violations, 1)
}

//go:noinline
func parkReceive(label string, number int) {
	n := <-neverSent
	violation(fmt.Sprintf("receive in %s %d got %d", label, number, n))
}

//go:noinline
func parkSend(label string, value string) {
	neverReceived <- value
	violation("send in " + label)
}

//go:noinline
func parkSendBuffered(value int) {
	fullBuffer <- value
	violation("buffered send")
}

//go:noinline
func parkNilReceive() {
	var none chan int
	<-none
}

//go:noinline
func parkNilSend() {
	var none chan int
	none <- 1
}

//go:noinline
func parkSelect(timeout time.Duration) {
	select {
	case n := <-neverSent:
		violation(fmt.Sprintf("select received %d", n))
	case neverReceived <- "select":
		violation("select sent")
	case <-time.After(timeout):
		violation("select timed out")
	}
}

//go:noinline
func parkEmptySelect() {
	select {}
}

//go:noinline
func parkMutex() {
	heldMutex.Lock()
	violation("mutex")
}

//go:noinline
func parkRWMutexRead() {
	heldRWMutex.RLock()
	violation("read lock")
}

//go:noinline
func parkRWMutexWrite() {
	heldRWMutex.Lock()
	violation("write lock")
}

//go:noinline
func parkCond() {
	neverSignaled.L.Lock()
	neverSignaled.Wait()
	violation("cond")
}

//go:noinline
func parkWaitGroup() {
	neverDone.Wait()
	violation("wait group")
}

//go:noinline
func parkSleep(d time.Duration) {
	time.Sleep(d)
	violation("sleep")
}

//go:noinline
func parkTimer(d time.Duration) {
	t := time.NewTimer(d)
	<-t.C
	violation("timer")
}

//go:noinline
func parkNetRead(conn net.Conn) {
	var buf [16]byte
	n, err := conn.Read(buf[:])
	violation(fmt.Sprintf("network read: %d, %v", n, err))
}

// parkSyscall blocks a thread of its own: the pipe is not in the poller.
//
//go:noinline
func parkSyscall(fd int) {
	var buf [16]byte
	for {
		n, err := syscall.Read(fd, buf[:])
		violation(fmt.Sprintf("read: %d, %v", n, err))
		// The preemption signal of the runtime has SA_RESTART: no EINTR from that.
		time.Sleep(time.Millisecond)
	}
}

//go:noinline
func parkLockedThread() {
	runtime.LockOSThread()
	<-neverSent
	violation("receive on a locked thread")
}

//go:noinline
func parkMany(number int) {
	atomic.AddInt64(&parkedCount, 1)
	<-manyWait
	violation(fmt.Sprintf("parked goroutine %d", number))
}

// runTicker is asleep most of the time and yet moves on.
//
//go:noinline
func runTicker() {
	for range time.Tick(5 * time.Millisecond) {
		atomic.AddUint64(&ticks, 1)
	}
}

// runSpinner never calls anything: it is running or runnable in every core.
//
//go:noinline
func runSpinner() {
	for {
		atomic.AddUint64(&spins, 1)
	}
}

// runYielder is runnable most of the time on a busy machine.
//
//go:noinline
func runYielder() {
	for {
		runtime.Gosched()
		time.Sleep(time.Microsecond)
	}
}

func mustListen() (net.Conn, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		conn, err := l.Accept()
		if err == nil {
			silentConn = conn // kept open, never written to
		}
		l.Close()
	}()
	return net.Dial("tcp", l.Addr().String())
}

func prepare() net.Conn {
	fullBuffer <- 1
	fullBuffer <- 2
	heldMutex.Lock()
	heldRWMutex.Lock()
	neverDone.Add(1)
	conn, err := mustListen()
	if err == nil {
		err = syscall.Pipe2(silentPipe[:], syscall.O_CLOEXEC)
	}
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	return conn
}

// park starts the goroutines; many is how many of the anonymous kind.
func park(many int, spin bool) {
	conn := prepare()
	go parkReceive("receiver", 4711)
	go parkSend("sender", "unsent value")
	go parkSendBuffered(3)
	go parkNilReceive()
	go parkNilSend()
	go parkSelect(time.Hour)
	go parkEmptySelect()
	go parkMutex()
	go parkRWMutexRead()
	go parkRWMutexWrite()
	go parkCond()
	go parkWaitGroup()
	go parkSleep(time.Hour)
	go parkTimer(2 * time.Hour)
	go parkNetRead(conn)
	go parkSyscall(silentPipe[0])
	go parkLockedThread()
	go runTicker()
	go runYielder()
	go level1(41, "deep", &Config)
	spinning = spin
	if spin {
		go runSpinner()
	}
	for i := 0; i < many; i++ {
		go parkMany(i)
	}
	for atomic.LoadInt64(&parkedCount) < int64(many) {
		time.Sleep(time.Millisecond)
	}
}

// waitSettled gives the last goroutines the time to reach their waits.
func waitSettled() {
	time.Sleep(100 * time.Millisecond)
}
