package main

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestOrderRunsEachVariantOnceAndGivesItEveryPlaceAndNeighbour(t *testing.T) {
	for n := 1; n <= 13; n++ {
		places, before := map[[2]int]bool{}, map[[2]int]bool{}
		for round := range 30 * n {
			ks := order(round, n)
			for place, k := range ks {
				places[[2]int{k, place}] = true
				if place > 0 {
					before[[2]int{ks[place-1], k}] = true
				}
			}
			slices.Sort(ks)
			for k := range ks {
				if ks[k] != k {
					t.Fatalf("round %d of %d variants: %v", round, n, ks)
				}
			}
		}
		if len(places) != n*n || len(before) != n*(n-1) {
			t.Errorf("%d variants had %d places and %d neighbours", n, len(places), len(before))
		}
	}
}

func TestOrderIsThatOfEveryRun(t *testing.T) {
	if !slices.Equal(order(7, 9), order(7, 9)) || slices.Equal(order(7, 9), order(8, 9)) {
		t.Error(order(7, 9), order(7, 9), order(8, 9))
	}
	first := order(7, 9)
	t.Setenv("BENCH_LOT", "2")
	if second := order(7, 9); slices.Equal(first, second) || !slices.Equal(second, order(7, 9)) {
		t.Error("another process has the same order", first, second)
	}
}

func TestRoundsFillTheBudgetButAreNeverTooFew(t *testing.T) {
	for _, c := range []struct {
		budget, one time.Duration
		want        int
	}{
		{time.Second, 10 * time.Millisecond, 100},
		{time.Millisecond, 10 * time.Millisecond, minRounds},
		{0, 0, minRounds},
		{0, longRound, fewRounds},
		{10 * longRound, longRound, 10},
	} {
		if _, got := roundsIn(c.budget, c.one); got != c.want {
			t.Errorf("%v in rounds of %v: %d, not %d", c.budget, c.one, got, c.want)
		}
	}
}

// A warm-up that was disturbed must not decide how long it is measured.
func TestMeasureTakesItsTime(t *testing.T) {
	content := pages(1024)
	b := &block{name: "Read", size: 1024, check: newReadCheck(content, 1024, 1), variants: []variant{
		{impl: "memory", op: "copy", pass: fromStart(copyOut(content), 1024)},
	}}
	start := time.Now()
	samples, err := b.measure(300*time.Millisecond, func(int, int) {})
	if took := time.Since(start); err != nil || took < 300*time.Millisecond || len(samples) <= minRounds {
		t.Errorf("%d rounds in %v, %v", len(samples), took, err)
	}
}

func TestMeasureTakesASampleOfEachVariantInEachRound(t *testing.T) {
	content := pages(1024)
	b := &block{name: "Read", size: 1024, check: newReadCheck(content, 1024, 1), variants: []variant{
		{impl: "memory", op: "copy", pass: fromStart(copyOut(content), 1024)},
		{impl: "memory", op: "copy", again: true, pass: fromStart(copyOut(content), 1024)},
	}}
	calls := 0
	samples, err := b.measure(0, func(round, of int) {
		if round != calls || of != minRounds {
			t.Errorf("progress: round %d of %d", round, of)
		}
		calls++
	})
	if err != nil || len(samples) != minRounds {
		t.Fatalf("%d rounds, %v", len(samples), err)
	}
	for r := range samples {
		for k, s := range samples[r] {
			if s.ops < 1 || s.time <= 0 || s.allocs != 0 {
				t.Errorf("round %d, variant %d: %+v", r, k, s)
			}
		}
	}
}

func TestMeasureCountsAllocations(t *testing.T) {
	content := pages(1024)
	var keep []byte
	read := fromStart(copyOut(content), 1024)
	b := &block{name: "Read", size: 1024, check: newReadCheck(content, 1024, 1), variants: []variant{{
		impl: "memory", op: "copy",
		pass: func(buf []byte, stride int) error {
			keep = make([]byte, 64)
			return read(buf, stride)
		},
	}}}
	samples, err := b.measure(0, func(int, int) {})
	if err != nil {
		t.Fatal(err)
	}
	_ = keep
	// What the runtime allocates beside them comes on top, in some rounds.
	s := slices.MinFunc(samples, func(a, b []sample) int { return cmp.Compare(a[0].bytes, b[0].bytes) })[0]
	if s.allocs != 1 || s.bytes != 64 {
		t.Errorf("%d allocations of %d bytes; each op makes one of 64", s.allocs, s.bytes)
	}
}

// Each of these is seen by one of the checks alone, or by the sum of them: the
// bug of the notes is "closed". The right variant in front leaves right bytes
// behind, which must not help.
func TestMeasureFailsWhenAVariantDoesNothing(t *testing.T) {
	const size = 1024
	content, memory := pages(size), pages(size)
	for way, idle := range map[string]func(passes, stride int) bool{
		"never works":              func(_, _ int) bool { return true },
		"fails at first":           func(passes, _ int) bool { return passes == 1 },
		"closed":                   func(passes, _ int) bool { return passes > 1 },
		"idle when it is timed":    func(_, stride int) bool { return stride == 0 },
		"idle when it is not":      func(_, stride int) bool { return stride != 0 },
		"idle at last, in between": func(passes, stride int) bool { return stride != 0 && passes > 40 },
	} {
		wrong := func(right func([]byte, int) error) func([]byte, int) error {
			passes := 0
			return func(buf []byte, stride int) error {
				if passes++; idle(passes, stride) {
					return nil
				}
				return right(buf, stride)
			}
		}
		readBack := func(into []byte) error { copy(into, memory); return nil }
		read, write := fromStart(copyOut(content), size), fromStart(copyIn(memory), size)
		for _, b := range []*block{
			{check: newReadCheck(content, size, 1), variants: []variant{{pass: read}, {impl: "wrong", pass: wrong(read)}}},
			{check: newWriteCheck("", size), variants: []variant{
				{pass: write, readBack: readBack}, {impl: "wrong", pass: wrong(write), readBack: readBack}}},
		} {
			b.size = size
			_, err := b.measure(0, func(int, int) {})
			if err == nil || !strings.Contains(err.Error(), "wrong") {
				t.Errorf("%s, %T: %v", way, b.check, err)
			}
		}
	}
}

// A second goroutine that does nothing would look like one that costs nothing.
func TestMeasureFailsWhenASecondGoroutineDoesNothing(t *testing.T) {
	content := pages(1024)
	read := fromStart(copyOut(content), 1024)
	c := newReadCheck(content, 1024, 2)
	for name, idle := range map[string]func(buf []byte, stride int) bool{
		"never":               func([]byte, int) bool { return false },
		"when it is timed":    func(buf []byte, stride int) bool { return stride == 0 && &buf[0] == &c.bufs[1][0] },
		"when it is not":      func(_ []byte, stride int) bool { return stride != 0 },
		"both, when measured": func(_ []byte, stride int) bool { return stride == 0 },
	} {
		b := &block{name: "Together", size: 1024, check: c, variants: []variant{
			{pass: read, goroutines: 1},
			{pass: func(buf []byte, stride int) error {
				if idle(buf, stride) {
					return nil
				}
				return read(buf, stride)
			}, goroutines: 2},
		}}
		if _, err := b.measure(0, func(int, int) {}); (err == nil) != (name == "never") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Goroutines that wait for their processors would make the rounds short.
func TestCalibrateRunsOneGoroutine(t *testing.T) {
	content := pages(1024)
	read := fromStart(copyOut(content), 1024)
	c := newReadCheck(content, 1024, 2)
	v := &variant{goroutines: 2, pass: func(buf []byte, stride int) error {
		if &buf[0] == &c.bufs[1][0] {
			t.Error("the second goroutine runs")
		}
		return read(buf, stride)
	}}
	b := &block{name: "Together", size: 1024, check: c}
	if ops, err := b.calibrate(v); ops < 1 || err != nil || v.goroutines != 2 {
		t.Errorf("%d ops, %v", ops, err)
	}
}

func TestMeasureFailsWithItsVariant(t *testing.T) {
	broken := errors.New("broken")
	content := pages(1024)
	b := &block{name: "Read", size: 1024, check: newReadCheck(content, 1024, 1), variants: []variant{{
		pass: func([]byte, int) error { return broken },
	}}}
	if _, err := b.measure(0, func(int, int) {}); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestResourcesCloseLastFirst(t *testing.T) {
	var r resources
	closed := ""
	for _, name := range []string{"a", "b", "c"} {
		r.closeLater(func() error { closed += name; return errors.New(name) })
	}
	if err := r.close(); closed != "cba" || err.Error() != "c" {
		t.Errorf("closed %s, %v", closed, err)
	}
}
