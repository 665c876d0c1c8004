// SPDX-License-Identifier: LGPL-2.1-or-later

package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"sync"
	"syscall"
	"time"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// A pipe that nobody writes to and a socket likewise. Both ends stay open.
var kept []*os.File

func quietPipe() *os.File {
	r, w, err := os.Pipe()
	must(err)
	kept = append(kept, r, w)
	return r
}

func quietSocket() *os.File {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
	must(err)
	f := os.NewFile(uintptr(fds[0]), "socket")
	kept = append(kept, f, os.NewFile(uintptr(fds[1]), "other end"))
	return f
}

type locks struct {
	mutex  sync.Mutex
	rw     sync.RWMutex
	reader sync.RWMutex
	group  sync.WaitGroup
	cond   *sync.Cond
	once   sync.Once
}

func startWaits() {
	startChannels()
	startLocks()
	startFiles()
	start(func() { arrive(); time.Sleep(1000 * time.Hour) })
	start(func() { arrive(); <-time.After(1000 * time.Hour) })
	start(func() { runtime.LockOSThread(); block() })
	start(func() {
		pprof.Do(context.Background(), pprof.Labels("tenant", "blue", "a key", `say "hi"`),
			func(context.Context) { block() })
	})
	started++
	time.AfterFunc(time.Millisecond, block)

	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	start(func() { arrive(); <-c })
}

func startChannels() {
	var null chan int
	a, b, full := make(chan string), make(chan [3]int), make(chan byte, 2)
	full <- 1
	full <- 2
	start(func() { arrive(); a <- "sent" })
	start(func() { arrive(); full <- 3 })
	start(func() { arrive(); <-b })
	start(func() {
		arrive()
		for range b {
		}
	})
	start(func() { arrive(); <-null })
	start(func() { arrive(); null <- 1 })
	start(func() { arrive(); select {} })
	start(func() {
		arrive()
		select {
		case x := <-b:
			println(x[0])
		case full <- 4:
		case <-time.After(1000 * time.Hour):
		}
	})
	start(func() {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		arrive()
		<-ctx.Done()
	})
}

func startLocks() {
	l := new(locks)
	l.cond = sync.NewCond(new(sync.Mutex))
	l.mutex.Lock()
	l.rw.Lock()
	l.reader.RLock()
	l.group.Add(1)
	start(func() { arrive(); l.mutex.Lock() })
	start(func() { arrive(); l.mutex.Lock() })
	start(func() { arrive(); l.rw.RLock() })
	start(func() { arrive(); l.rw.Lock() })
	start(func() { arrive(); l.reader.Lock() })
	start(func() { arrive(); l.group.Wait() })
	start(func() { arrive(); l.cond.L.Lock(); l.cond.Wait() })
	start(func() { l.once.Do(block) })
	start(func() { arrive(); time.Sleep(20 * time.Millisecond); l.once.Do(block) })
}

// Two that read from one file: one waits for the file and one for the other.
func startFiles() {
	p, s := quietPipe(), quietSocket()
	b := make([]byte, 10)
	start(func() { arrive(); p.Read(b) })
	start(func() { arrive(); time.Sleep(20 * time.Millisecond); p.Read(b) })
	start(func() { arrive(); s.Read(b) })
	start(func() { arrive(); syscall.Read(int(quietPipe().Fd()), b) })
	start(func() {
		runtime.LockOSThread()
		arrive()
		syscall.Read(int(quietPipe().Fd()), b)
	})
}
