// processor.go gives a goroutine a processor of its own.

package main

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// onProcessor calls f on the nth of the processors that this program may use,
// counted in a circle. The kernel would not see to it: it may leave two threads
// that were just woken on one processor for longer than they are measured.
func onProcessor(n int, f func()) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return fmt.Errorf("sched_getaffinity: %w", err)
	}
	var one unix.CPUSet
	one.Set(nth(&all, n))
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("sched_setaffinity: %w", err)
	}
	f()
	if err := unix.SchedSetaffinity(0, &all); err != nil {
		return fmt.Errorf("sched_setaffinity: %w", err)
	}
	return nil
}

func nth(set *unix.CPUSet, n int) int {
	n %= set.Count()
	cpu := 0
	for ; !set.IsSet(cpu) || n > 0; cpu++ {
		if set.IsSet(cpu) {
			n--
		}
	}
	return cpu
}
