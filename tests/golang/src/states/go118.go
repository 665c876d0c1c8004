// SPDX-License-Identifier: LGPL-2.1-or-later

//go:build go1.18
// +build go1.18

package main

func init() {
	extras = append(extras, func() {
		start(func() { apply([]string{"a"}, 1) })
		start(func() { apply([]float64{1.5}, point{1, 2, "p"}) })
		start(func() { (&list[point]{items: []point{{1, 2, "p"}}}).each(func(p point) { block() }) })
		start(func() { inlinedGeneric(uint8(3)) })
	})
}

type list[T any] struct {
	items []T
}

//go:noinline
func (l *list[T]) each(f func(T)) {
	for _, x := range l.items {
		f(x)
	}
}

//go:noinline
func apply[T, U any](s []T, u U) int {
	func() { block() }()
	return len(s)
}

func inlinedGeneric[T any](x T) int { return apply([]T{x}, x) + 1 }
