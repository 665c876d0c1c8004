// SPDX-License-Identifier: LGPL-2.1-or-later

package main

import (
	"fmt"
	"reflect"
	"runtime"
	"sort"
	"strings"
)

type point struct {
	x, y int32
	name string
}

type shape interface {
	area(scale float64) float64
}

type square struct {
	point
	side float64
	tags []string
}

func (s *square) area(scale float64) float64 { block(); return s.side * scale }

//go:noinline
func (p point) method(n int) int { block(); return n + int(p.x) }

// What embeds a type, and so has its methods through wrappers.
type outer struct {
	*square
	extra map[string]int
}

func startFrames() {
	s := &square{point{1, 2, "corner"}, 3.5, []string{"a", "b"}}
	start(func() { many(1, -2, 3, "four", 5.5, []byte("six"), s, s.point, 9i, [3]uint16{1, 2, 3}) })
	start(func() { few(true, 'x', nil, struct{}{}, &forever) })
	start(func() { deepStruct(nested{1, inner{2, [2]inner2{{3, "a"}, {4, "b"}}, 5}, "end"}) })
	start(func() { bigArray([40]int{7, 8, 9}, "tail") })
	start(func() { variadic("v", 1, "two", 3.0) })
	start(func() { println(results(1)) })
	start(func() { recurse(20) })
	start(func() { recurse(149) })
	start(func() { recurseBig(150, [64]byte{}) })
	start(func() { inlined1(3) })
	start(func() { closures(4)(5) })
	start(func() { f := s.point.method; println(f(1)) })
	start(func() { f := (*square).area; println(f(s, 1)) })
	start(func() { var i shape = outer{s, nil}; println(i.area(2)) })
	start(func() { useInterface(outer{s, nil}) })
	start(func() { reflect.ValueOf(s.point.method).Call([]reflect.Value{reflect.ValueOf(6)}) })
	start(func() { reflect.ValueOf(many).Call(manyValues(s)) })
	start(func() { made()(7, "eight") })
	start(func() { sort.Slice([]int{2, 1}, func(i, j int) bool { block(); return i < j }) })
	start(func() { strings.Map(func(r rune) rune { block(); return r }, "text") })
	start(func() { fmt.Sprint(stringer{1}) })
	start(func() { deferred("inline", 1) })
	start(func() { deferredLoop(3) })
	start(func() { panicking() })
	start(func() { dereferencing(nil) })
	start(func() { defer func() { recover(); block() }(); outOfRange([]int{1}, 5) })
	start(func() { recovered(); block() })
	start(func() { panicTwice() })
	start(func() { defer block(); runtime.Goexit() })
	start(func() { go grandchild(1); started++; block() })
	go named(11, "twelve")
	go s.point.method(13)
	go s.area(14)
	go fmt.Sprint(stringer{15})
	started += 4
	finalizer()
}

//go:noinline
func many(a int8, b int16, c uint64, d string, e float64, f []byte, g shape, h point, i complex128,
	j [3]uint16) {
	block()
	println(a, b, c, d, e, f, g, h.x, i, j[0])
}

func manyValues(s *square) []reflect.Value {
	var v []reflect.Value
	for _, x := range []interface{}{int8(1), int16(-2), uint64(3), "four", 5.5, []byte("six"), s,
		s.point, 9i, [3]uint16{1, 2, 3}} {
		v = append(v, reflect.ValueOf(x))
	}
	return v
}

//go:noinline
func few(a bool, b rune, c error, d struct{}, e *chan int) { block(); println(a, b, c, e) }

type inner2 struct {
	a int
	b string
}

type inner struct {
	a int
	b [2]inner2
	c int8
}

type nested struct {
	a int
	b inner
	c string
}

//go:noinline
func deepStruct(n nested) { block(); println(n.c) }

//go:noinline
func bigArray(a [40]int, tail string) { block(); println(a[1], tail) }

//go:noinline
func variadic(first string, rest ...interface{}) { block(); println(first, len(rest)) }

//go:noinline
func results(n int) (a string, b int, err error) { block(); return "", n, nil }

//go:noinline
func recurse(n int) int {
	if n == 0 {
		block()
		return 0
	}
	return recurse(n-1) + 1
}

//go:noinline
func recurseBig(n int, pad [64]byte) byte {
	if n == 0 {
		block()
		return pad[0]
	}
	var more [64]byte
	more[n%64] = pad[n%64] + 1
	return recurseBig(n-1, more) + 1
}

func inlined1(n int) int { return inlined2(n+1) + 1 }
func inlined2(n int) int { return inlined3(n+1) + 1 }
func inlined3(n int) int { return inlined4(n+1) + 1 }
func inlined4(n int) int { return physical(n+1) + 1 }

//go:noinline
func physical(n int) int { block(); return n }

//go:noinline
func closures(n int) func(int) {
	return func(m int) {
		func() {
			k := n + m
			block()
			println(k)
		}()
	}
}

//go:noinline
func useInterface(s shape) { println(s.area(3)) }

func made() func(int, string) {
	t := reflect.TypeOf(func(int, string) {})
	f := reflect.MakeFunc(t, func([]reflect.Value) []reflect.Value { block(); return nil })
	return f.Interface().(func(int, string))
}

type stringer struct{ n int }

func (s stringer) String() string { block(); return "" }

//go:noinline
func deferred(s string, n int) {
	defer func(m int) { block(); println(s, m) }(n + 1)
	println2(s)
}

//go:noinline
func println2(s string) {
	if len(s) > 1000 {
		println(s)
	}
}

// Defers in a loop cannot be open-coded.
//
//go:noinline
func deferredLoop(n int) {
	for i := 0; i < n; i++ {
		defer func(i int) {
			if i == 1 {
				block()
			}
		}(i)
	}
}

//go:noinline
func panicking() {
	defer block()
	panic("a text")
}

//go:noinline
func dereferencing(p *point) int32 {
	defer func() { block() }()
	return p.y
}

//go:noinline
func outOfRange(s []int, i int) int { return s[i] }

//go:noinline
func recovered() (n int) {
	defer func() { recover() }()
	return outOfRange(nil, 3)
}

//go:noinline
func panicTwice() {
	defer block()
	defer func() { panic(fmt.Errorf("second")) }()
	panic("first")
}

func grandchild(n int) { go named(n+1, "by a child"); started++; block() }

//go:noinline
func named(n int, s string) { block(); println(n, s) }

// The goroutine that runs finalizers is a system goroutine, but not while it runs one.
func finalizer() {
	started++
	func() {
		x := &square{}
		runtime.SetFinalizer(x, func(s *square) { block() })
	}()
	runtime.GC()
}
