// SPDX-License-Identifier: LGPL-2.1-or-later

// Command goprof is a dump target whose goroutines all wait, so that a core, the
// profile that net/http/pprof makes and the runtime's own traceback must agree
// on every one of them. It speaks the protocol of tests/targets/target.h.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// life bounds how long the target can outlive a hung harness.
const life = 10 * time.Minute

var (
	never   = make(chan int)
	other   = make(chan int)
	crowd   = make(chan struct{})
	held    sync.Mutex
	signal  = sync.NewCond(&sync.Mutex{})
	started sync.WaitGroup
)

// start runs fn in a goroutine that counts as started when it calls ready().
func start(fn func()) {
	started.Add(1)
	go fn()
}

func ready() { started.Done() }

// ended counts waits that came to an end, for nothing ever happens that they are for.
var ended uint64

func end() { atomic.AddUint64(&ended, 1) }

//go:noinline
func receive(n int) int {
	ready()
	defer end()
	return <-never + n
}

// Two functions that the compiler inlines into their caller.
func inner(n int) int { return receive(n) + 1 }
func outer(n int) int { return inner(n) + 2 }

//go:noinline
func inlined(n int) int { return outer(n) + 3 }

//go:noinline
func deep(n int) int {
	if n == 0 {
		return receive(0)
	}
	return deep(n-1) + 1
}

// The name of an instance has a semicolon in it: goprof.generic[struct{...; ...}].
//
//go:noinline
func generic[T any](v T) T {
	ready()
	<-never
	end()
	return v
}

type base struct{ n int }

//go:noinline
func (b base) wait() { receive(b.n) }

// The method of derived is a wrapper made by the compiler.
type derived struct{ *base }
type waiter interface{ wait() }

func locked() {
	ready()
	held.Lock()
	end()
}

func signalled() {
	signal.L.Lock()
	ready()
	signal.Wait()
	end()
}

func chosen() {
	ready()
	select {
	case <-never:
	case <-other:
	}
	end()
}

func asleep() {
	ready()
	time.Sleep(2 * life)
	end()
}

func inSyscall(fd int) {
	var buf [1]byte
	ready()
	syscall.Read(fd, buf[:])
	end()
}

func labelled(key, value string, n int) {
	for i := 0; i < n; i++ {
		start(func() {
			pprof.Do(context.Background(), pprof.Labels(key, value, "kind", "worker"),
				func(context.Context) { member() })
		})
	}
}

//go:noinline
func member() {
	ready()
	<-crowd
	end()
}

func park(pipe int) {
	held.Lock()
	start(func() { receive(1) })
	start(func() { inlined(1) })
	start(func() { deep(12) })
	start(func() { generic(struct{ A, B int }{1, 2}) })
	start(func() { generic("text") })
	var w waiter = derived{&base{1}}
	start(w.wait)
	start(locked)
	start(signalled)
	start(chosen)
	start(asleep)
	start(func() { inSyscall(pipe) })
	for i := 0; i < 20; i++ {
		start(member)
	}
	labelled("request", "checkout", 7)
	labelled("request", "search", 5)
	started.Wait()
}

// The thread that lives as long as the process must ask for it: init runs there.
func init() {
	const prSetPdeathsig = 1
	runtime.LockOSThread()
	syscall.RawSyscall(syscall.SYS_PRCTL, prSetPdeathsig, uintptr(syscall.SIGKILL), 0)
	runtime.UnlockOSThread()
}

func main() {
	hostile := flag.Bool("hostile", false, "have labels and file names that are not nice")
	ballast := flag.Int("ballast", 0, "MiB of memory below the heap")
	collect := flag.Bool("gc", false, "collect garbage when all wait")
	flag.Parse()
	time.AfterFunc(life, func() { syscall.Kill(os.Getpid(), syscall.SIGKILL) })
	var pipe [2]int
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		err = syscall.Pipe2(pipe[:], syscall.O_CLOEXEC)
	}
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	if err := addBallast(*ballast << 20); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	park(pipe[0])
	if *hostile {
		parkHostile()
	}
	go http.Serve(listener, nil)
	time.Sleep(100 * time.Millisecond)
	if *collect {
		// The first one only gives the second one a time to note.
		runtime.GC()
		runtime.GC()
	}
	fmt.Printf("ready %d addr=%s goroutines=%d\n", os.Getpid(), listener.Addr(),
		runtime.NumGoroutine())
	serveHarness()
}

// addBallast maps memory that nothing compresses where it comes before all else in a core.
func addBallast(size int) error {
	const start, fixedNoReplace = 0x10000000, 0x100000
	if size == 0 {
		return nil
	}
	addr, _, errno := syscall.Syscall6(syscall.SYS_MMAP, start, uintptr(size),
		syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_PRIVATE|syscall.MAP_ANON|fixedNoReplace, ^uintptr(0), 0)
	if errno != 0 {
		return errno
	}
	random, err := os.Open("/dev/urandom")
	if err != nil {
		return err
	}
	defer random.Close()
	for end := addr + uintptr(size); addr < end; {
		n, _, errno := syscall.Syscall(syscall.SYS_READ, random.Fd(), addr, end-addr)
		if errno != 0 {
			return errno
		}
		addr += n
	}
	return nil
}

func serveHarness() {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() && in.Text() != "quit" {
		switch in.Text() {
		case "check":
			if n := atomic.SwapUint64(&ended, 0); n > 0 {
				fmt.Printf("FAIL: %d waits ended\n", n)
			} else {
				fmt.Println("ok")
			}
		case "panic":
			panic(fmt.Errorf("asked to: \x1b[31m%d", 42))
		default:
			fmt.Printf("error: unknown command '%s'\n", in.Text())
		}
	}
}
