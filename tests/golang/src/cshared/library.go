// SPDX-License-Identifier: LGPL-2.1-or-later

// Package main becomes a shared library that a program in C loads.
package main

import "C"

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

var (
	arrived int32
	forever = make(chan int)
	mutex   sync.Mutex
)

//go:noinline
func block(n int, s string) {
	atomic.AddInt32(&arrived, 1)
	<-forever
	println(n, s)
}

//export LibraryStart
func LibraryStart() {
	mutex.Lock()
	go block(1, "one")
	go func() { runtime.LockOSThread(); block(2, "two") }()
	go func() { atomic.AddInt32(&arrived, 1); mutex.Lock() }()
	go func() { atomic.AddInt32(&arrived, 1); time.Sleep(1000 * time.Hour) }()
	go func() { defer func() { block(3, "three") }(); panic("in a library") }()
}

//export LibraryBlock
func LibraryBlock(n C.int) { block(int(n), "from C") }

//export LibraryArrived
func LibraryArrived() C.int { return C.int(atomic.LoadInt32(&arrived)) }

func main() {}
