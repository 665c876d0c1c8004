// SPDX-License-Identifier: LGPL-2.1-or-later

//go:build go1.25
// +build go1.25

package main

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
)

// A bubble ends with a panic when all in it wait for each other; who waits for a mutex keeps it.
func init() {
	extras = append(extras, func() {
		started += 5
		tests := []testing.InternalTest{{Name: "bubble", F: func(t *testing.T) {
			synctest.Test(t, bubble)
		}}}
		func() {
			runtime.AddCleanup(&square{}, func(n int) { block() }, 5)
		}()
		runtime.GC()
		go testing.Main(func(pat, str string) (bool, error) { return true, nil }, tests, nil, nil)
	})
}

func bubble(t *testing.T) {
	var mutex sync.Mutex
	var group sync.WaitGroup
	mutex.Lock()
	group.Add(1)
	c := make(chan int)
	go func() { arrive(); mutex.Lock() }()
	go func() { arrive(); c <- 1 }()
	go func() { arrive(); group.Wait() }()
	arrive()
	select {
	case <-make(chan int):
	case <-make(chan string):
	}
}
