//go:build cgo

package mapview

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

// A View shows a file, a part of one, or memory that has no file, as memory at
// one address that never changes. It must be closed with [View.Close].
//
// All methods may be called at the same time from any number of goroutines,
// Close included. The zero View is of no use.
type View struct {
	base unsafe.Pointer // of the first byte; never changes

	// size is how many bytes may be accessed, -1 once the view is closed: one
	// load gives the bound and the state. It is stored under shape.
	size    atomic.Int64
	shrinks atomic.Uint32 // odd while a Resize makes it smaller, which may fail

	writable bool
	private  bool
	offset   int64 // of the first byte, in the file
	scatters bool  // WriteAt goes through the file: see Options.Advice
	c        handle
	name     string
	fixed    atomic.Pointer[fixedErrors]

	// heat is nil where every access goes to memory by itself.
	heat atomic.Pointer[heat]

	// unreadable is set once Protect has taken the right to read from any byte.
	unreadable atomic.Bool

	// The pages that the view can ever have; a fault in them is ours.
	first, end uintptr

	shape sync.Mutex // Resize, Refresh and Close take turns
	life  *life
}

// newView makes a View of what the C core has opened by p, and owns it from here.
func newView(name string, c handle, p *plan) *View {
	s := coreShape(c)
	base, page := uintptr(s.base), uintptr(os.Getpagesize())
	v := &View{
		base:     s.base,
		writable: p.flags&openWrite != 0,
		private:  p.flags&openPrivate != 0,
		offset:   p.offset,
		c:        c,
		name:     name,
		first:    base &^ (page - 1),
		end:      (base + uintptr(max(s.reserved, s.size)) + page - 1) &^ (page - 1),
	}
	if p.flags&(openRandom|openWrite|openPrivate) == openRandom|openWrite {
		v.scatters = coreWritesThrough(c)
	}
	v.size.Store(s.size)
	if p.heated && v.end-v.first >= leastHeated {
		v.heat.Store(&allCold)
	}
	v.life = begin(v)
	return v
}

// Len returns the size of the view in bytes: 0 once it is closed.
func (v *View) Len() int { return int(v.Size()) }

// Size returns the size of the view in bytes: 0 once it is closed.
func (v *View) Size() int64 { return max(v.settled(), 0) }

// settled is size, but not one that a Resize may still take back: for that it
// waits. What ends the access to a byte asks for it, and what hands out bytes.
func (v *View) settled() int64 {
	for {
		shrinks := v.shrinks.Load()
		size := v.size.Load()
		if shrinks&1 == 0 && v.shrinks.Load() == shrinks {
			return size
		}
		v.shape.Lock() // until it is over
		v.shape.Unlock()
	}
}

// Name returns the name that the view was opened by: that of its file or its
// shared memory, or "[anonymous]" or "[memory]".
func (v *View) Name() string { return v.name }

// Bytes returns the whole view as a slice, nil once it is closed. Its length
// is the present size of the view and does not follow a Resize.
//
// The slice is as dangerous as a mapping is: an access to a byte that is out of
// reach ends the program, unless it is made inside of [View.Do]. So do a store
// to a read-only view and, after Close, any access. The slice may be kept as
// long as one likes; see the package comment on lifetime.
func (v *View) Bytes() []byte {
	size := v.settled()
	if size < 0 {
		return nil
	}
	v.lend()
	return unsafe.Slice((*byte)(v.base), size)
}

// lend notes that there may be slices and pointers into the view, which the
// garbage collector does not count as uses of it.
func (v *View) lend() {
	// Loaded first: most calls find it set, and a store would take the cache
	// line from other processors.
	if !v.life.lent.Load() {
		v.life.lent.Store(true)
	}
	runtime.KeepAlive(v)
}

// File returns a new descriptor of the view's file, for passing memory of
// [NewMemory] to another process or for calls that a View does not have. It
// must be closed with its own Close.
func (v *View) File() (*os.File, error) {
	fd, f := coreFD(v.c)
	runtime.KeepAlive(v)
	if f != nil {
		return nil, pathError("file", v.name, f)
	}
	return os.NewFile(fd, v.name), nil
}

// at returns the n bytes at off, which the caller has checked.
func (v *View) at(off, n int64) []byte {
	return unsafe.Slice(v.pointer(off), n)
}

// pointer is the address of the byte at off, which the caller has checked.
func (v *View) pointer(off int64) *byte { return (*byte)(unsafe.Add(v.base, off)) }

// address is where the byte at off lies, or would.
func (v *View) address(off int64) uintptr { return uintptr(v.base) + uintptr(off) }
