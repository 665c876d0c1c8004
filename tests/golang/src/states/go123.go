// SPDX-License-Identifier: LGPL-2.1-or-later

//go:build go1.23
// +build go1.23

package main

import "iter"

func init() {
	extras = append(extras, func() {
		start(func() {
			for n := range count(3) {
				if n == 1 {
					block()
				}
			}
		})
		start(func() {
			next, stop := iter.Pull(count(3))
			defer stop()
			next()
			block() // with a coroutine that waits
		})
		start(func() {
			next, _ := iter.Pull(func(yield func(int) bool) { block() })
			next()
		})
	})
}

func count(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := 0; i < n && yield(i); i++ {
		}
	}
}
