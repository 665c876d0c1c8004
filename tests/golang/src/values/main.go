// SPDX-License-Identifier: LGPL-2.1-or-later

// Functions that wait with arguments of all types. What they were called with is in the comment
// before each, as snapctl shows it; 0x: some address.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unsafe"
)

var (
	forever = make(chan int)
	started = make(chan bool, 100)
	sink    interface{}
)

// Called after something else: until the first statement is done, arguments are in registers, says
// the compiler.
//
//go:noinline
func block() { started <- true; <-forever }

type (
	number int16
	text   string
	list   []byte
	point  struct{ x, y int }
	failed struct{ code int }
	any    interface{}
	namer  interface{ name() string }
)

func (f *failed) Error() string { return "failed" }
func (p point) name() string    { return "point" }

// a=-1 b=-128 c=-32768 d=-2147483648 e=-9223372036854775808
//
//go:noinline
func signed(a int, b int8, c int16, d int32, e int64) { use(); block(); use(a, b, c, d, e) }

// a=1 b=255 c=65535 d=4294967295 e=18446744073709551615 f=4096
//
//go:noinline
func unsigned(a uint, b uint8, c uint16, d uint32, e uint64, f uintptr) {
	use()
	block()
	use(a, b, c, d, e, f)
}

// a=true b=false c=0.1 d=2.5 e=1e+300 f=(1.5_+_-2i) g=-7 h=120
//
//go:noinline
func others(a, b bool, c float32, d, e float64, f complex128, g number, h rune) {
	use()
	block()
	use(a, b, c, d, e, f, g, h)
}

// a="" b="text" c="a_\"quoted\"\x0aline" d="named" e="äöü"
//
//go:noinline
func strs(a, b, c string, d text, e string) { use(); block(); use(a, b, c, d, e) }

// a="0123456789012345678901234567890123456789012345678901234567890123"...+36_more b="..............................................................."...+4_more
//
//go:noinline
func long(a, b string) { use(); block(); use(a, b) }

// a=len_3,_cap_8 b=len_0,_cap_0 c=len_4,_cap_4 d={...} e={...}
//
//go:noinline
func many(a []int, b []string, c list, d point, e [2]int) { use(); block(); use(a, b, c, d, e) }

// a=0x b=nil c=0x d=nil e=0x f=0x g=0x
//
//go:noinline
func pointers(a, b *point, c map[string]int, d chan int, e chan int, f func(int) int, g unsafe.Pointer) {
	use()
	block()
	use(a, b, c, d, e, f, g)
}

// a=int b=nil c=*main.failed d=*errors.errorString e=main.point f=string
//
//go:noinline
func interfaces(a any, b any, c error, d error, e namer, f interface{}) {
	use()
	block()
	use(a, b, c, d, e, f)
}

// Moved to the heap: what the frame has is where.
//
// a=11 b="escaped" c=len_1,_cap_1
//
//go:noinline
func escaped(a int, b string, c []int) (pa *int, pb *string, pc *[]int) {
	sink = func() { a++; b += "x"; c = append(c, a) }
	pa, pb, pc = &a, &b, &c
	use()
	block()
	use(pa, pb, pc)
	return
}

// p={...} n=13
//
//go:noinline
func (p point) method(n int) int { use(); block(); use(p, n); return n }

// f=0x n=14
//
//go:noinline
func (f *failed) method(n int) (result int, err error) { use(); block(); use(f, n); return n, f }

// Arguments are needed until the end, so the compiler keeps them.
//
//go:noinline
func use(values ...interface{}) { sink = values }

func main() {
	n := 0
	start := func(f func()) { go f(); <-started; n++ }
	values := make([]int, 3, 8)
	p := &point{1, 2}
	start(func() { signed(-1, -128, -32768, -1<<31, -1<<63) })
	start(func() { unsigned(1, 255, 65535, 1<<32-1, 1<<64-1, 4096) })
	start(func() { others(true, false, 0.1, 2.5, 1e300, complex(1.5, -2), -7, 'x') })
	start(func() { strs("", "text", "a \"quoted\"\nline", "named", "äöü") })
	start(func() {
		long(strings.Repeat("0123456789", 10), strings.Repeat(".", 63)+"äö")
	})
	start(func() { many(values, nil, list("list"), *p, [2]int{1, 2}) })
	start(func() {
		pointers(p, nil, map[string]int{}, nil, forever, func(i int) int { return i + n },
			unsafe.Pointer(p))
	})
	start(func() { interfaces(1, nil, &failed{1}, errors.New("new"), *p, "string") })
	start(func() { escaped(11, "escaped", values[:1:1]) })
	start(func() { p.method(13) })
	start(func() { (&failed{1}).method(14) })
	fmt.Printf("ready %d\n", os.Getpid())
	time.Sleep(time.Hour)
}
