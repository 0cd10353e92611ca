package main

import (
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Each pass of one goroutine waits to meet one of the other.
func TestTogetherIsAtTheSameTime(t *testing.T) {
	meet := make(chan bool)
	var passes [2]atomic.Int32
	bufs := [][]byte{{0}, {1}}
	s, err := together(func(buf []byte, stride int) error {
		if stride != 7 {
			t.Errorf("stride %d", stride)
		}
		passes[buf[0]].Add(1)
		select {
		case meet <- true:
		case <-meet:
		case <-time.After(10 * time.Second):
			return errors.New("the other goroutine does not run")
		}
		return nil
	}, bufs, 7, 5)
	if err != nil || s.time <= 0 || s.ops != 5 {
		t.Errorf("%+v, %v", s, err)
	}
	if a, b := passes[0].Load(), passes[1].Load(); a != 6 || b != 6 {
		t.Errorf("%d and %d passes: one untimed and five timed ones are due", a, b)
	}
}

func TestTogetherHasAProcessorForEach(t *testing.T) {
	var used [2]unix.CPUSet
	_, err := together(func(buf []byte, _ int) error {
		used[buf[0]] = mayUse(t)
		return nil
	}, [][]byte{{0}, {1}}, 0, 1)
	if err != nil || used[0].Count() != 1 || used[1].Count() != 1 {
		t.Errorf("%v: %d and %d processors", err, used[0].Count(), used[1].Count())
	}
	if runtime.NumCPU() < 2 {
		t.Skip("there is only one processor: both have it")
	}
	if used[0] == used[1] {
		t.Error("both have the same one")
	}
}

// An error at any time, of any of them, and the others do not wait for ever.
func TestTogetherReturnsTheError(t *testing.T) {
	broken := errors.New("broken")
	for which := range byte(2) {
		for when := int32(1); when <= 3; when++ {
			var n atomic.Int32
			_, err := together(func(buf []byte, _ int) error {
				if buf[0] == which && n.Add(1) == when {
					return broken
				}
				return nil
			}, [][]byte{{0}, {1}}, 0, 3)
			if err != broken {
				t.Errorf("goroutine %d, pass %d: %v", which, when, err)
			}
		}
	}
}

// A goroutine's first pass may take long. The others wait: their time alone
// would look like the time together.
func TestTogetherStartsWhenAllAreReady(t *testing.T) {
	var first atomic.Int32
	var passes [2]int
	_, err := together(func(buf []byte, _ int) error {
		passes[buf[0]]++
		switch {
		case passes[buf[0]] > 1 && first.Load() < 2:
			return errors.New("timed before the other goroutine was ready")
		case passes[buf[0]] == 1 && buf[0] == 1:
			time.Sleep(20 * time.Millisecond)
		}
		first.Add(1)
		return nil
	}, [][]byte{{0}, {1}}, 0, 3)
	if err != nil {
		t.Error(err)
	}
}

// All of them, though a goroutine could run as soon as it is there.
func TestTogetherCountsAllocations(t *testing.T) {
	var keep [2][]byte
	for range 100 {
		s, err := together(func(buf []byte, _ int) error {
			keep[buf[0]] = make([]byte, 64<<10)
			return nil
		}, [][]byte{{0}, {1}}, 0, 1)
		if err != nil || s.bytes < 64<<10 || s.allocs < 1 {
			t.Fatalf("%+v, %v: each pass makes one of 64 KiB", s, err)
		}
	}
	s, err := together(func(buf []byte, _ int) error {
		keep[buf[0]] = make([]byte, 64)
		return nil
	}, [][]byte{{0}, {1}}, 0, 1000)
	if err != nil || s.allocs != 1 || s.bytes != 64 {
		t.Errorf("%+v, %v: each pass makes one of 64 bytes, and the goroutines are not counted", s, err)
	}
	_ = keep
}

func TestSpanIsFromTheFirstStartToTheLastEnd(t *testing.T) {
	zero := time.Now()
	at := func(start, end int) part {
		return part{start: zero.Add(time.Duration(start)), end: zero.Add(time.Duration(end))}
	}
	for _, c := range []struct {
		a, b part
		want time.Duration
	}{
		{at(0, 10), at(2, 12), 12},
		{at(2, 12), at(0, 10), 12},
		{at(0, 30), at(5, 6), 30},
		{at(0, 10), at(10, 20), 20}, // one after the other
	} {
		ended := make(chan part, 2)
		ended <- c.a
		ended <- c.b
		if got, err := span(ended, 2); got != c.want || err != nil {
			t.Errorf("%v, %v: %v, not %v", c.a, c.b, got, c.want)
		}
	}
}
