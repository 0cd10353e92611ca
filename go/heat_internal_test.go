//go:build cgo

package mapview

import (
	"math/rand/v2"
	"testing"
	"unsafe"
)

// The bitmap and its ageing, without files and without time.

// heatOf returns the heat of a view that would have these bytes, the first of
// them lead bytes into a page.
func heatOf(bytes, lead, page uintptr) (*View, *heat) {
	first := uintptr(1 << 30)
	v := &View{first: first, end: first + (lead+bytes+page-1)&^(page-1)}
	h := newHeat(v)
	h.lead, h.page = uint64(lead), uint64(page)
	v.heat.Store(h)
	return v, h
}

// Each step is compared with a slice of bools, one a page.
func TestHeat(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct{ bytes, lead, page uintptr }{
		{64<<10 + 1, 0, 4096},
		{1 << 20, 0, 4096},
		{1 << 20, 1234, 4096},
		{600<<20 + 5, 4095, 4096}, // in three chunks
		{300 << 20, 77, 64 << 10},
		{1 << 20, 0, 16 << 10},
	} {
		v, h := heatOf(c.bytes, c.lead, c.page)
		pages := make([]bool, (c.lead+c.bytes+c.page-1)/c.page)
		set := func(off, n uintptr, seen bool) {
			h.set(uint64(off), uint64(n), seen)
			for p := (c.lead + off) / c.page; p <= (c.lead+off+n-1)/c.page; p++ {
				pages[p] = seen
			}
		}
		has := func(off, n uintptr) bool {
			for p := (c.lead + off) / c.page; p <= (c.lead+off+n-1)/c.page; p++ {
				if !pages[p] {
					return false
				}
			}
			return true
		}
		for range 3000 {
			off := r.Uint64N(uint64(c.bytes))
			n := 1 + r.Uint64N(min(uint64(c.bytes)-off, 1<<r.UintN(24)))
			switch r.UintN(6) {
			case 0:
				set(uintptr(off), uintptr(n), true)
			case 1:
				set(uintptr(off), uintptr(n), false)
			}
			want := has(uintptr(off), uintptr(n))
			if got := h.has(off, n); got != want {
				t.Fatalf("%+v: %d bytes at %d: %v", c, n, off, got)
			}
			if v.isCold(int64(off), int64(n)) == want {
				t.Fatalf("%+v: %d bytes at %d: isCold is %v", c, n, off, want)
			}
		}
		whole := 0
		for _, seen := range pages {
			if seen {
				whole++
			}
		}
		if got := h.count(); got != whole*int(c.page>>pieceShift) {
			t.Errorf("%+v: %d bits for %d pages", c, got, whole)
		}
	}
}

// copy looks at the bits by itself: it may see less, never more.
func TestCopyLooksAtBits(t *testing.T) {
	const size = 512 << 10
	memory := make([]byte, size)
	v, h := heatOf(size, 0, 4096)
	v.base = unsafe.Pointer(&memory[0])
	v.size.Store(size)
	r := rand.New(rand.NewPCG(3, 4))
	buf := make([]byte, 300<<10)
	hot := 0
	for i := range 20000 {
		off := r.Int64N(size)
		n := 1 + r.Int64N(min(size-off, 1<<r.UintN(19), int64(len(buf))))
		if i%4 == 0 {
			h.set(uint64(off), uint64(n), r.UintN(2) == 0)
		}
		done := v.copy(&buf[0], v.pointer(off), int(n), h, off)
		oneWord := off>>18 == (off+n-1)>>18
		if want := h.has(uint64(off), uint64(n)); done != (want && oneWord) {
			t.Fatalf("%d bytes at %d: %v", n, off, done)
		}
		if done {
			hot++
		}
	}
	if hot < 1000 {
		t.Errorf("%d were hot", hot)
	}
}

// The heat of a view that reserves 1 TiB takes what its bytes in use take.
func TestHeatComesInChunks(t *testing.T) {
	_, h := heatOf(1<<40, 0, 4096)
	if n := len(h.chunks) * int(unsafe.Sizeof(h.chunks[0])); n > 32<<10 {
		t.Errorf("%d bytes of pointers", n)
	}
	h.set(1<<39, 1, true)
	made := 0
	for i := range h.chunks {
		if h.chunks[i].Load() != &noneSeen[0] {
			made++
		}
	}
	if made != 1 {
		t.Errorf("%d chunks for a byte", made)
	}
	_, h = heatOf(100<<10, 0, 4096)
	if h.set(0, 1, true); h.wordsOf(0) != 1 {
		t.Errorf("%d words for 25 pages", h.wordsOf(0))
	}
}

// A clock is an ager's timer that runs by hand.
type clock struct{ waiting []func() }

func (c *clock) tick(t *testing.T) {
	t.Helper()
	if len(c.waiting) != 1 {
		t.Fatalf("%d timers run", len(c.waiting))
	}
	f := c.waiting[0]
	c.waiting = nil
	f()
}

func TestAgeing(t *testing.T) {
	var c clock
	a := ager{after: func(f func()) { c.waiting = append(c.waiting, f) }, lives: map[*life]*heat{}}
	_, h := heatOf(300<<20, 0, 4096)
	_, other := heatOf(300<<20, 0, 4096)
	l := &life{}
	if a.add(l, h) != h || a.add(l, other) != h {
		t.Error("a life has two heats")
	}
	set := func(off, n uint64) {
		h.set(off, n, true)
		a.keep()
	}
	set(0, 300<<20)
	all := h.count()
	for k := range ageingParts {
		if n, want := h.count(), all-all*k/ageingParts; n < want-512 || n > want+512 {
			t.Errorf("after %d ticks %d bits of %d are left", k, n, all)
		}
		c.tick(t)
	}
	if h.count() != 0 || len(c.waiting) != 0 {
		t.Fatalf("%d bits are left, and %d timers", h.count(), len(c.waiting))
	}

	// Set in the middle: it has all ticks before it, and no second timer comes.
	set(0, 1)
	c.tick(t)
	c.tick(t)
	set(299<<20, 1)
	for range ageingParts {
		c.tick(t)
	}
	if h.count() != 0 || len(c.waiting) != 0 {
		t.Errorf("%d bits are left, and %d timers", h.count(), len(c.waiting))
	}

	// While a tick clears: the bit may be set behind it, as long as the timer
	// goes on.
	set(0, 1)
	for range ageingParts - 1 {
		c.tick(t)
	}
	last := c.waiting[0]
	c.waiting = nil
	a.Lock()
	over := make(chan bool)
	go func() { last(); close(over) }()
	for a.left.Load() != 0 { // it has counted down, and waits for the lock
	}
	set(150<<20, 1)
	a.Unlock()
	<-over
	for range ageingParts {
		c.tick(t)
	}
	if h.count() != 0 || len(c.waiting) != 0 {
		t.Errorf("%d bits are left, and %d timers", h.count(), len(c.waiting))
	}

	a.remove(l)
	if len(a.lives) != 0 || a.add(l, h) != nil {
		t.Error("a life that is over ages")
	}
}
