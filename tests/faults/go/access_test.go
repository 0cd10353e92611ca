//go:build cgo

package faults

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"unsafe"

	mapview "example.com/mapview/go"
)

// A column is a way to access a view.
type column struct {
	name  string
	store bool
	op    string // of its FaultErrors; "" if there are none

	// move moves the bytes of p from or to byte off of the view, and returns
	// how many it moved and what stopped it: io.EOF or io.ErrShortWrite at the
	// end of the view.
	move func(v *mapview.View, p []byte, off int, before hook) (int, error)

	// byBytes: move calls before(i), if there is one, before it moves p[i].
	byBytes bool
}

// A hook is called with the number of bytes that have been moved.
type hook func(moved int)

var columns = []column{
	{"ReadAt", false, "read", readAt, false},
	{"WriteAt", true, "write", writeAt, false},
	{"At", false, "read", moveByAt, true},
	{"Cursor.Read", false, "read", cursorRead, false},
	{"Cursor.Write", true, "write", cursorWrite, false},
	{"Do, load", false, "access", doLoad, true},
	{"Do, store", true, "access", doStore, true},
	{"slice, load", false, "", sliceLoad, true},
	{"slice, store", true, "", sliceStore, true},
}

func readAt(v *mapview.View, p []byte, off int, _ hook) (int, error) {
	return v.ReadAt(p, int64(off))
}

func writeAt(v *mapview.View, p []byte, off int, _ hook) (int, error) {
	return v.WriteAt(p, int64(off))
}

// A Cursor must stand behind the bytes that it has moved.
func cursorAt(v *mapview.View, off int, move func(c *mapview.Cursor) (int, error)) (int, error) {
	c := v.Cursor()
	if _, err := c.Seek(int64(off), io.SeekStart); err != nil {
		return 0, err
	}
	n, err := move(c)
	if at, failed := c.Seek(0, io.SeekCurrent); failed == nil && at != int64(off+n) {
		return n, fmt.Errorf("the Cursor stands at %d after %d bytes from %d", at, n, off)
	}
	return n, err
}

func cursorRead(v *mapview.View, p []byte, off int, _ hook) (int, error) {
	return cursorAt(v, off, func(c *mapview.Cursor) (int, error) {
		n, err := c.Read(p)
		if n < len(p) && err == nil {
			err = io.EOF
		}
		return n, err
	})
}

func cursorWrite(v *mapview.View, p []byte, off int, _ hook) (int, error) {
	return cursorAt(v, off, func(c *mapview.Cursor) (int, error) { return c.Write(p) })
}

func moveByAt(v *mapview.View, p []byte, off int, before hook) (moved int, err error) {
	defer func() {
		r := recover()
		if e, ok := r.(runtime.Error); ok && strings.Contains(e.Error(), "index out of range") {
			err = io.EOF
		} else if e, ok := r.(*mapview.FaultError); ok {
			err = e
		} else if r != nil {
			panic(r)
		}
	}()
	for moved < len(p) {
		before.call(moved)
		p[moved] = v.At(off + moved)
		moved++
	}
	return moved, nil
}

func doLoad(v *mapview.View, p []byte, off int, before hook) (moved int, err error) {
	err = v.Do(func(b []byte) error { load(b, p, off, before, &moved); return nil })
	return moved, err
}

func doStore(v *mapview.View, p []byte, off int, before hook) (moved int, err error) {
	err = v.Do(func(b []byte) error { store(b, p, off, before, &moved); return nil })
	return moved, err
}

// What a program does that guards its own slices.
func sliceLoad(v *mapview.View, p []byte, off int, before hook) (moved int, err error) {
	b := v.Bytes()
	defer catchSlice(b, debug.SetPanicOnFault(true), &err)
	load(b, p, off, before, &moved)
	return moved, nil
}

func sliceStore(v *mapview.View, p []byte, off int, before hook) (moved int, err error) {
	b := v.Bytes()
	defer catchSlice(b, debug.SetPanicOnFault(true), &err)
	store(b, p, off, before, &moved)
	return moved, nil
}

// A sliceFault is a fault that a program has caught by itself: it knows where,
// and not why.
type sliceFault struct{ offset int64 }

func (e *sliceFault) Error() string { return fmt.Sprintf("a fault at byte %d", e.offset) }

func catchSlice(b []byte, panicOnFault bool, err *error) {
	debug.SetPanicOnFault(panicOnFault)
	r := recover()
	if r == nil {
		return
	}
	fault, ok := r.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok {
		panic(r)
	}
	*err = &sliceFault{int64(fault.Addr() - uintptr(unsafe.Pointer(unsafe.SliceData(b))))}
}

func load(b, p []byte, off int, before hook, moved *int) {
	for *moved < len(p) {
		before.call(*moved)
		p[*moved] = b[off+*moved]
		*moved++
	}
}

func store(b, p []byte, off int, before hook, moved *int) {
	for *moved < len(p) {
		before.call(*moved)
		b[off+*moved] = p[*moved]
		*moved++
	}
}

func (h hook) call(moved int) {
	if h != nil {
		h(moved)
	}
}

// offsetOf returns the byte that an error of an access names, -1 if none.
func offsetOf(err error) int64 {
	var fault *mapview.FaultError
	var slice *sliceFault
	switch {
	case errors.As(err, &fault):
		return fault.Offset
	case errors.As(err, &slice):
		return slice.offset
	}
	return -1
}
