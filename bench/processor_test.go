package main

import (
	"testing"

	"golang.org/x/sys/unix"
)

func mayUse(t *testing.T) (set unix.CPUSet) {
	t.Helper()
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Error(err)
	}
	return set
}

func TestNthProcessorOfThoseThatMayBeUsed(t *testing.T) {
	var set unix.CPUSet
	for _, cpu := range []int{1, 4, 70} {
		set.Set(cpu)
	}
	for n, want := range []int{1, 4, 70, 1, 4} {
		if got := nth(&set, n); got != want {
			t.Errorf("%d: %d, not %d", n, got, want)
		}
	}
}

func TestOnProcessorIsOnIt(t *testing.T) {
	for n := range 3 {
		before := mayUse(t)
		called := false
		err := onProcessor(n, func() {
			called = true
			if set := mayUse(t); set.Count() != 1 || !set.IsSet(nth(&before, n)) {
				t.Errorf("%d: may use %d processors", n, set.Count())
			}
		})
		if err != nil || !called {
			t.Errorf("%d: %v", n, err)
		}
		if mayUse(t) != before {
			t.Errorf("%d: the thread keeps its processor", n)
		}
	}
}
