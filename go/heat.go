//go:build cgo

package mapview

import (
	"math/bits"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// A load or store that waits for the disk keeps the goroutine's processor: the
// runtime does not know that it waits. So ReadAt, WriteAt and At go to memory by
// themselves only where the bytes were lately seen in memory, and let the
// kernel bring the others in, in a call that gives the processor to others.
//
// What was seen is a bitmap, which forgets: the kernel may take a page away at
// any time and tells nobody. A bit too many costs a wait that keeps the
// processor, a bit too few a call of about a microsecond; neither is an error.
// Nothing is noted by an access that finds its bits set, so that those share no
// cache line that is written.

const (
	pieceShift = 12 // a bit is for a piece of 4 KiB: the smallest page there is
	chunkShift = 16 // a chunk of the bitmap has that many bits: 256 MiB of the view in 8 KiB
	chunkWords = 1 << (chunkShift - 6)

	// A smaller view has no bitmap: the kernel reads around a fault, and one
	// wait brings all of it in.
	leastHeated = 64<<10 + 1

	// The most that is brought in at once to be written: what waits to be
	// written may be gone again.
	coldStep = 1 << 20
)

// A heat is the bitmap of one view. Chunks come when they are first needed: until
// then all of them are noneSeen, in which no bit is ever set.
type heat struct {
	lead   uint64 // where in its first piece the view begins
	words  int    // of the whole bitmap
	page   uint64 // the bytes that come and go together
	chunks []atomic.Pointer[atomic.Uint64]
}

var noneSeen [chunkWords]atomic.Uint64

// allCold is the heat of a view of which nothing was seen yet.
var allCold heat

func newHeat(v *View) *heat {
	pieces := uint64(v.end-v.first) >> pieceShift
	words := (pieces + 63) / 64
	h := &heat{
		lead:   uint64(uintptr(v.base) - v.first),
		words:  int(words),
		page:   uint64(os.Getpagesize()),
		chunks: make([]atomic.Pointer[atomic.Uint64], (words+chunkWords-1)/chunkWords),
	}
	for i := range h.chunks {
		h.chunks[i].Store(&noneSeen[0])
	}
	return h
}

// word returns word w of a chunk.
func word(chunk *atomic.Uint64, w uint64) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Add(unsafe.Pointer(chunk), w%chunkWords*8))
}

// isCold is mayBeCold, for certain.
func (v *View) isCold(off, n int64) bool {
	h := v.heat.Load()
	return h != nil && !h.has(uint64(off), uint64(n))
}

func (h *heat) has(off, n uint64) bool {
	first, last := (off+h.lead)>>pieceShift, (off+h.lead+n-1)>>pieceShift
	for next := first; next <= last; next = (next | 63) + 1 {
		if next>>chunkShift >= uint64(len(h.chunks)) {
			return false
		}
		chunk, mask := h.chunks[next>>chunkShift].Load(), between(next, min(last, next|63))
		if word(chunk, next>>6).Load()&mask != mask {
			return false
		}
	}
	return true
}

// between has the bits of the pieces from first to last, all of one word.
func between(first, last uint64) uint64 {
	return ^uint64(0) << (first & 63) & (^uint64(0) >> (63 - last&63))
}

// set notes the pages of the n bytes at off as seen, or as not.
func (h *heat) set(off, n uint64, seen bool) {
	first := (off + h.lead) &^ (h.page - 1) >> pieceShift
	last := ((off + h.lead + n - 1) | (h.page - 1)) >> pieceShift
	last = min(last, uint64(h.words)*64-1)
	for next := first; next <= last; next = (next | 63) + 1 {
		mask := between(next, min(last, next|63))
		if !seen {
			if chunk := h.chunks[next>>chunkShift].Load(); chunk != &noneSeen[0] {
				word(chunk, next>>6).And(^mask)
			}
			continue
		}
		word(h.chunk(next>>chunkShift), next>>6).Or(mask)
	}
}

// chunk returns the ith chunk, and makes it first if it is not there.
func (h *heat) chunk(i uint64) *atomic.Uint64 {
	if chunk := h.chunks[i].Load(); chunk != &noneSeen[0] {
		return chunk
	}
	made := make([]atomic.Uint64, h.wordsOf(int(i)))
	h.chunks[i].CompareAndSwap(&noneSeen[0], &made[0])
	return h.chunks[i].Load()
}

func (h *heat) wordsOf(chunk int) int { return min(h.words-chunk*chunkWords, chunkWords) }

// forget clears the kth of the parts that the bitmap is made of.
func (h *heat) forget(k, parts int) {
	for i := range h.chunks {
		chunk, n := h.chunks[i].Load(), h.wordsOf(i)
		if chunk == &noneSeen[0] {
			continue
		}
		for w := n * k / parts; w < n*(k+1)/parts; w++ {
			if bits := word(chunk, uint64(w)); bits.Load() != 0 {
				bits.Store(0)
			}
		}
	}
}

// count returns how many bits are set.
func (h *heat) count() (n int) {
	for i := range h.chunks {
		if chunk := h.chunks[i].Load(); chunk != &noneSeen[0] {
			for w := range h.wordsOf(i) {
				n += bits.OnesCount64(word(chunk, uint64(w)).Load())
			}
		}
	}
	return n
}

// ---- forgetting ----

// A bit is forgotten between one tick and all of them after it was set: every
// tick clears another part of every bitmap, so that not all of a working set is
// asked for anew at once. The time is long enough that a page in use costs a
// call of the kernel now and then, and short against what the kernel takes to
// replace the memory of a machine.
const (
	tick        = time.Second
	ageingParts = 8
)

// An ager clears the bitmaps. Its timer runs while a bit may be set: when nothing
// was set for as many ticks as there are parts, all are clear, and it stops.
type ager struct {
	left  atomic.Int32 // ticks to go; 0: the timer does not run
	after func(f func())

	sync.Mutex // protects the rest, and over of a life
	lives      map[*life]*heat
	next       int // the part to clear
}

// ageing is that of the process.
var ageing = ager{after: func(f func()) { time.AfterFunc(tick, f) }, lives: map[*life]*heat{}}

// seen notes that the n bytes at off, which may be ToEnd, were brought in.
func (v *View) seen(off, n int64) {
	h := v.heat.Load()
	if n = v.upTo(off, n); h == nil || n == 0 {
		return
	}
	if h == &allCold {
		if h = ageing.add(v.life, newHeat(v)); h == nil {
			return
		}
		v.heat.Store(h)
	}
	h.set(uint64(off), uint64(n), true)
	ageing.keep()
}

// gone notes that the n bytes at off, which may be ToEnd, may be in memory no
// more.
func (v *View) gone(off, n int64) {
	if h := v.heat.Load(); h != nil && h != &allCold {
		if n = v.upTo(off, n); n > 0 {
			h.set(uint64(off), uint64(n), false)
		}
	}
}

// upTo returns how many of the n bytes at off the view has.
func (v *View) upTo(off, n int64) int64 {
	rest := max(v.size.Load()-off, 0)
	if n == ToEnd {
		return rest
	}
	return min(n, rest)
}

// add has h aged until l is over, and returns it, or what it had for l before. It
// returns nil if l is over.
func (a *ager) add(l *life, h *heat) *heat {
	a.Lock()
	defer a.Unlock()
	if l.over {
		return nil
	}
	if before := a.lives[l]; before != nil {
		return before
	}
	a.lives[l] = h
	return h
}

func (a *ager) remove(l *life) {
	a.Lock()
	defer a.Unlock()
	l.over = true
	delete(a.lives, l)
}

// keep is called after a bit was set: each part will be cleared once more.
func (a *ager) keep() {
	if a.left.Load() != ageingParts && a.left.Swap(ageingParts) == 0 {
		a.after(a.age)
	}
}

// age is a tick. It counts down first: a bit that is set while it clears has all
// ticks before it.
func (a *ager) age() {
	left := a.left.Add(-1)
	a.Lock()
	for _, h := range a.lives {
		h.forget(a.next, ageingParts)
	}
	a.next = (a.next + 1) % ageingParts
	a.Unlock()
	if left > 0 {
		a.after(a.age)
	}
}

// ---- access to what is cold ----

// readOther reads what copy did not: the bytes may be hot for all that, or cold,
// or out of reach. The C core has no handler here, so it lets the kernel copy,
// which waits as any system call does.
func (v *View) readOther(p []byte, off int64) (int, error) {
	if v.heat.Load() != nil && !v.isCold(off, int64(len(p))) && v.copy(&p[0], v.pointer(off), len(p), nil, off) {
		if v.size.Load() < off+int64(len(p)) { // as in ReadAt
			return v.ReadAt(p, off)
		}
		runtime.KeepAlive(v)
		return len(p), nil
	}
	n, err := v.readSlowly(p, off)
	v.seen(off, int64(n))
	return n, err
}

// writeOther writes what copy did not. What is cold it has brought in, and then
// stores into it. The kernel does not store: a file system wants to know of a
// store before, which it does of one by a processor. It returns false when a
// fault stops it.
func (v *View) writeOther(p []byte, off int64) bool {
	if v.heat.Load() == nil {
		return false
	}
	for len(p) > 0 {
		n := min(len(p), coldStep)
		cold := v.isCold(off, int64(n))
		if cold {
			corePrefault(v.c, off, int64(n), AccessWrite) // if it fails, the store will tell
		}
		if !v.copy(v.pointer(off), &p[0], n, nil, off) {
			return false
		}
		if cold {
			v.seen(off, int64(n))
		}
		p, off = p[n:], off+int64(n)
	}
	runtime.KeepAlive(v)
	return true
}
