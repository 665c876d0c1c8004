// SPDX-License-Identifier: LGPL-2.1-or-later

// Command gohttp is a dump target: an HTTP server that says "Hello, world" and
// has goroutines in every state a summary of a core has to tell apart. It
// speaks the protocol of tests/targets/target.h on stdin and stdout.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// life bounds how long the target can outlive a hung harness.
const life = 10 * time.Minute

const greeting = "Hello, world\n"

var served uint64

func hello(w http.ResponseWriter, r *http.Request) {
	atomic.AddUint64(&served, 1)
	io.WriteString(w, greeting)
}

func stats(w http.ResponseWriter, r *http.Request) {
	json.NewEncoder(w).Encode(map[string]uint64{
		"served":     atomic.LoadUint64(&served),
		"ticks":      atomic.LoadUint64(&ticks),
		"spins":      atomic.LoadUint64(&spins),
		"violations": atomic.LoadUint64(&violations),
		"goroutines": uint64(runtime.NumGoroutine()),
	})
}

// dieWithParent needs the thread that lives as long as the process: it is
// called from init, while the main goroutine is on the main thread.
func dieWithParent() {
	const prSetPdeathsig = 1
	syscall.RawSyscall(syscall.SYS_PRCTL, prSetPdeathsig, uintptr(syscall.SIGKILL), 0)
}

func init() {
	runtime.LockOSThread()
	dieWithParent()
}

func main() {
	parked := flag.Int("n", 100, "goroutines parked on a channel")
	spin := flag.Bool("spin", true, "have one goroutine that always runs")
	gaps := flag.Bool("gap", false, "have a goroutine measure the gaps in its time")
	flag.Parse()
	runtime.UnlockOSThread()
	time.AfterFunc(life, func() { syscall.Kill(os.Getpid(), syscall.SIGKILL) })

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	park(*parked, *spin)
	mux := http.NewServeMux()
	mux.HandleFunc("/", hello)
	mux.HandleFunc("/stats", stats)
	go http.Serve(listener, mux)
	waitSettled()
	if *gaps {
		go watchGaps()
	}

	addr := listener.Addr().String()
	fmt.Printf("ready %d addr=%s go=%s goroutines=%d %s\n", os.Getpid(), addr,
		runtime.Version(), runtime.NumGoroutine(), dataKeys())
	os.Exit(serveHarness("http://" + addr))
}

// serveHarness answers the harness's commands and returns the exit status.
func serveHarness(url string) int {
	status := 0
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() && in.Text() != "quit" {
		if gapCommand(in.Text()) {
			continue
		}
		if in.Text() != "check" {
			fmt.Printf("error: unknown command '%s'\n", in.Text())
			continue
		}
		reasons := check(url)
		for _, r := range reasons {
			fmt.Println("-", r)
		}
		if len(reasons) > 0 {
			fmt.Println("FAIL:", reasons[0])
			status = 1
		} else {
			fmt.Println("ok")
		}
	}
	return status
}

func get(url string) error {
	client := http.Client{Timeout: 30 * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && string(body) != greeting {
		err = fmt.Errorf("the server says %q", body)
	}
	return err
}

// check returns what is wrong: nothing in a process that nobody harmed.
func check(url string) (reasons []string) {
	fail := func(format string, args ...interface{}) {
		reasons = append(reasons, fmt.Sprintf(format, args...))
	}
	if err := get(url + "/"); err != nil {
		fail("GET: %v", err)
	}
	if n := atomic.SwapUint64(&violations, 0); n > 0 {
		fail("%d waits ended, the last: %v", n, lastViolation.Load())
	}
	for name, counter := range map[string]*uint64{"ticker": &ticks, "spinner": &spins} {
		if !advances(counter) && (name != "spinner" || spinning) {
			fail("the %s does not run", name)
		}
	}
	if err := checkData(); err != nil {
		fail("%v", err)
	}
	for _, r := range checkProc() {
		fail("%s", r)
	}
	return reasons
}

func advances(counter *uint64) bool {
	was := atomic.LoadUint64(counter)
	for i := 0; i < 500; i++ {
		if atomic.LoadUint64(counter) != was {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// checkProc looks at every thread as the kernel shows it. The Go runtime makes
// threads, mappings and files when it likes, so those are not compared.
func checkProc() (reasons []string) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return []string{err.Error()}
	}
	for _, t := range threads {
		text, err := os.ReadFile("/proc/self/task/" + t.Name() + "/status")
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(text), "\n") {
			bad := strings.HasPrefix(line, "TracerPid:") && line != "TracerPid:\t0" ||
				strings.HasPrefix(line, "State:\tT") || strings.HasPrefix(line, "State:\tt")
			if bad {
				reasons = append(reasons, "thread "+t.Name()+": "+line)
			}
		}
	}
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG|syscall.WALL, nil)
	if err != syscall.ECHILD {
		reasons = append(reasons, fmt.Sprintf("wait4: pid %d, %v instead of ECHILD", pid, err))
	}
	return reasons
}
