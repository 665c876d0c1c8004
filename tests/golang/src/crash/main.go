// SPDX-License-Identifier: LGPL-2.1-or-later

// Program crash dies of its argument, one of the names below.
package main

import (
	"errors"
	"fmt"
	"io/ioutil"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"sync"
	"syscall"
	"time"
)

type number int

type text string

type custom struct {
	a int
	b string
}

type talker struct{ n int }

func (t talker) String() string { return fmt.Sprintf("talker number %d", t.n) }

type failure struct{ code int }

func (f *failure) Error() string { return fmt.Sprintf("failure %d", f.code) }

type node struct {
	next  *node
	value [4]int
}

var (
	nothing *node
	table   map[string]int
	numbers = []int{1, 2, 3}
	six     = 6
	zero    int
	any     interface{} = "a string"
)

var kinds = map[string]func(){
	"string":    func() { panic("a string") },
	"lines":     func() { panic("first line\nsecond line\n\tthird \x1b[31m line") },
	"empty":     func() { panic("") },
	"long":      func() { panic(fmt.Sprintf("%0900d", 7)) },
	"error":     func() { panic(errors.New("an error")) },
	"wrapped":   func() { panic(fmt.Errorf("outer: %w", &failure{7})) },
	"stringer":  func() { panic(talker{9}) },
	"custom":    func() { panic(custom{1, "b"}) },
	"pointer":   func() { panic(&custom{1, "b"}) },
	"number":    func() { panic(number(-5)) },
	"text":      func() { panic(text("typed")) },
	"int":       func() { panic(42) },
	"uint8":     func() { panic(uint8(200)) },
	"float":     func() { panic(-2.5) },
	"complex":   func() { panic(complex(1, -2)) },
	"bool":      func() { panic(true) },
	"nil":       func() { panic(nil) },
	"nilderef":  func() { fmt.Println(nothing.value[2]) },
	"nilmap":    func() { table["a"] = 1 },
	"index":     func() { fmt.Println(numbers[six]) },
	"slice":     func() { fmt.Println(numbers[2:six]) },
	"divide":    func() { fmt.Println(six / zero) },
	"assert":    func() { fmt.Println(any.(fmt.Stringer)) },
	"closed":    func() { c := make(chan int); close(c); close(c) },
	"goroutine": func() { go func() { panic("in a goroutine") }(); select {} },
	"nested":    nested,
	"deferred":  func() { defer func() { panic("in a deferred function") }(); lastWords("fine so far") },
	"repanic":   func() { defer func() { panic(recover()) }(); panic("again") },
	"another":   func() { defer func() { recover(); panic("another") }(); panic("the first") },
	"goexit":    func() { runtime.Goexit() },
	"exitpanic": func() { defer func() { panic("while leaving") }(); runtime.Goexit() },
	"mapwrite":  mapWrite,
	"deadlock":  func() { go func() { select {} }(); <-make(chan int) },
	"overflow":  func() { debug.SetMaxStack(1 << 20); overflow(1, numbers) },
	"unlock":    func() { new(sync.Mutex).Unlock() },
	"fault":     func() { fault() },
	"sigquit":   func() { kill(syscall.SIGQUIT) },
	"sigabrt":   func() { kill(syscall.SIGABRT) },
	"sigsegv":   func() { kill(syscall.SIGSEGV) },
}

func lastWords(s string) { fmt.Println(s) }

//go:noinline
func nested() {
	defer func() {
		defer func() { panic(fmt.Errorf("third %d", 3)) }()
		panic(talker{2})
	}()
	panic("one")
}

func mapWrite() {
	m := map[int]int{}
	for i := 0; i < 4; i++ {
		go func() {
			for j := 0; ; j++ {
				m[j%100] = j
			}
		}()
	}
	select {}
}

//go:noinline
func overflow(n int, s []int) int { return overflow(n+1, s) + s[n%3] }

// A page of a file behind its end: SIGBUS, at an address that is not nil.
func fault() {
	f, err := ioutil.TempFile("", "crash")
	if err != nil {
		panic(err)
	}
	os.Remove(f.Name())
	b, err := syscall.Mmap(int(f.Fd()), 0, 4096, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	fmt.Println(b[8])
}

func kill(sig syscall.Signal) {
	go func() {
		time.Sleep(50 * time.Millisecond)
		syscall.Kill(syscall.Getpid(), sig)
		// Were this the last goroutine that can run, the runtime might call
		// it a deadlock before another thread has taken the signal.
		time.Sleep(time.Hour)
	}()
	select {}
}

func waiter(c chan int) { <-c }

func main() {
	if len(os.Args) != 2 || kinds[os.Args[1]] == nil {
		var names []string
		for name := range kinds {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			fmt.Println(name)
		}
		return
	}
	if os.Args[1] != "goexit" { // of which the runtime speaks when nobody is left
		go waiter(make(chan int))
		time.Sleep(20 * time.Millisecond)
	}
	kinds[os.Args[1]]()
}
