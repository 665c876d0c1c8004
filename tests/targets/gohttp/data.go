// SPDX-License-Identifier: LGPL-2.1-or-later

package main

import (
	"fmt"
	"unsafe"
)

// Point, Settings and Shape are here for a debugger to print.
type Point struct {
	X, Y int32
}

type Settings struct {
	Name    string
	Ports   []uint16
	Origin  Point
	Next    *Settings
	Enabled bool
	Ratio   float64
	Any     interface{}
	Shape   Shape
}

type Shape interface {
	Area() float64
}

type Square struct {
	Side float64
}

func (s *Square) Area() float64 { return s.Side * s.Side }

// Package-level variables with known values.
var (
	Answer   int    = 42
	Negative int8   = -7
	Big      uint64 = 0xfeedfacecafebeef
	Greeting        = "Grüße from the heap"
	Primes          = []int{2, 3, 5, 7, 11, 13}
	Grid            = [2][3]byte{{1, 2, 3}, {4, 5, 6}}
	Ages            = map[string]int{"ada": 36, "alan": 41, "grace": 85}
	Squares         = map[int]*Square{}
	Numbers         = map[uint64]string{}
	Complex         = complex(1.5, -2.5)
	Config          = Settings{Name: "main", Ports: []uint16{80, 443}, Origin: Point{3, -4},
		Enabled: true, Ratio: 0.25, Any: Point{5, 6}, Shape: &Square{2}}
	Callback = func(n int) int { return n + Answer }
	Nothing  error
)

func init() {
	Config.Next = &Settings{Name: "next", Any: "a string"}
	for i := 1; i <= 10; i++ {
		Squares[i] = &Square{float64(i)}
	}
	// Enough to make the map grow a few times.
	for i := uint64(0); i < 1000; i++ {
		Numbers[i*i] = fmt.Sprint(i)
	}
}

func dataKeys() string {
	return fmt.Sprintf("answer=%p config=%p big=%p", unsafe.Pointer(&Answer),
		unsafe.Pointer(&Config), unsafe.Pointer(&Big))
}

func checkData() error {
	sum := 0
	for i := uint64(0); i < 1000; i++ {
		sum += len(Numbers[i*i])
	}
	for _, p := range Primes {
		sum += p
	}
	switch {
	case Answer != 42 || Negative != -7 || Big != 0xfeedfacecafebeef:
		return fmt.Errorf("an integer changed")
	case Greeting != "Grüße from the heap" || Config.Name != "main" || Config.Next.Name != "next":
		return fmt.Errorf("a string changed")
	case sum != 10+180+2700+41 || len(Numbers) != 1000 || Ages["alan"] != 41:
		return fmt.Errorf("a map or slice changed")
	case Config.Shape.Area() != 4 || Squares[9].Area() != 81 || Callback(1) != 43:
		return fmt.Errorf("a value behind an interface or a pointer changed")
	}
	return nil
}

// level1 .. level4 are one goroutine's stack with arguments and locals.
//
//go:noinline
func level1(n int, word string, s *Settings) int {
	local := n + 1
	result := level2(local, []string{word, "second"}, *s)
	return result + local
}

//go:noinline
func level2(n int, words []string, s Settings) int {
	point := Point{int32(n), int32(len(words))}
	result := level3(point, s.Shape, 2.75)
	return result + int(point.X)
}

//go:noinline
func level3(p Point, shape Shape, ratio float64) int {
	ages := map[string]int{"x": int(p.X), "y": int(p.Y)}
	result := level4(ages, fmt.Errorf("no error, %v", ratio))
	return result + int(shape.Area())
}

//go:noinline
func level4(ages map[string]int, err error) (total int) {
	defer func() { total += len(ages) }()
	ch := make(chan error)
	e := <-ch
	violation("level4")
	if e == err {
		total++
	}
	return total
}
