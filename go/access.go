//go:build cgo

package mapview

import (
	"errors"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"unsafe"
)

// ReadAt copies len(p) bytes of the view, starting at off, into p. It returns
// fewer only with an error: io.EOF where the view ends, a *[FaultError] where
// the bytes cannot be read. It implements [io.ReaderAt].
func (v *View) ReadAt(p []byte, off int64) (int, error) {
	size := v.size.Load()
	if off < 0 || off >= size || len(p) == 0 || int64(len(p)) > size-off {
		return v.readPart(p, off)
	}
	if !v.copy(&p[0], v.pointer(off), len(p), v.heat.Load(), off) {
		return v.readOther(p, off)
	}
	if v.size.Load() < size { // what lies behind the new end was not the file's
		return v.ReadAt(p, off)
	}
	runtime.KeepAlive(v)
	return len(p), nil
}

// readPart is for what is not wholly inside, or empty.
func (v *View) readPart(p []byte, off int64) (int, error) {
	size := v.settled()
	switch {
	case size < 0:
		return 0, &v.errs().readClosed
	case off < 0:
		return 0, &v.errs().readNegative
	case len(p) == 0:
		return 0, nil
	case off >= size:
		return 0, io.EOF
	case int64(len(p)) <= size-off: // it has been made larger, or not smaller
		return v.ReadAt(p, off)
	}
	n, err := v.ReadAt(p[:size-off], off)
	if err == nil {
		err = io.EOF
	}
	return n, err
}

// readSlowly does again what met a fault, by the C core: it copies through the
// kernel, which does not fault, counts exactly and finds the cause.
func (v *View) readSlowly(p []byte, off int64) (int, error) {
	if v.size.Load() < 0 {
		return 0, &v.errs().readClosed
	}
	n, f := coreRead(v.c, p, off)
	runtime.KeepAlive(v)
	switch {
	case f != nil:
		return n, v.accessError("read", f)
	case n < len(p): // the view has been made smaller meanwhile
		return n, io.EOF
	}
	return n, nil
}

// WriteAt copies p into the view, starting at off. It never grows the view: it
// returns fewer than len(p) only with an error: io.ErrShortWrite where the view
// ends, alone as os.File returns it, and a *[FaultError] where the bytes cannot
// be written. The bytes are durable after [View.Sync]. It implements
// [io.WriterAt]; p must not overlap the bytes that it is written to.
func (v *View) WriteAt(p []byte, off int64) (int, error) {
	size := v.size.Load()
	if off < 0 || off >= size || len(p) == 0 || !v.writable || int64(len(p)) > size-off {
		return v.writePart(p, off)
	}
	if v.scatters || !v.copy(v.pointer(off), &p[0], len(p), v.heat.Load(), off) && !v.writeOther(p, off) {
		return v.writeSlowly(p, off)
	}
	if v.size.Load() < size {
		return v.WriteAt(p, off)
	}
	runtime.KeepAlive(v)
	return len(p), nil
}

// writePart is to WriteAt what readPart is to ReadAt.
func (v *View) writePart(p []byte, off int64) (int, error) {
	size := v.settled()
	switch {
	case size < 0:
		return 0, &v.errs().writeClosed
	case off < 0:
		return 0, &v.errs().writeNegative
	case !v.writable:
		return 0, &v.errs().writeReadOnly
	case len(p) == 0:
		return 0, nil
	case off >= size:
		return 0, io.ErrShortWrite
	case int64(len(p)) <= size-off:
		return v.WriteAt(p, off)
	}
	n, err := v.WriteAt(p[:size-off], off)
	if err == nil {
		err = io.ErrShortWrite
	}
	return n, err
}

// writeSlowly is to WriteAt what readSlowly is to ReadAt; the C core also knows
// the way through the file.
func (v *View) writeSlowly(p []byte, off int64) (int, error) {
	if v.size.Load() < 0 {
		return 0, &v.errs().writeClosed
	}
	n, f := coreWrite(v.c, p, off)
	runtime.KeepAlive(v)
	switch {
	case f != nil:
		return n, v.accessError("write", f)
	case n < len(p):
		return n, io.ErrShortWrite
	}
	return n, nil
}

// At returns the byte at index i. Like the index of a slice it panics when i
// is out of range, which it always is once the view is closed. When the byte
// cannot be read it panics with a *[FaultError].
func (v *View) At(i int) byte {
	var x [1]byte
	b := v.at(0, v.Size())
	if v.copy(&x[0], &b[i], 1, v.heat.Load(), int64(i)) && int64(i) < v.size.Load() {
		runtime.KeepAlive(v)
		return x[0]
	}
	n, err := v.readOther(x[:], int64(i))
	switch {
	case n == 1:
		return x[0]
	case int64(i) < v.settled(): // it was made smaller, and larger again
		if err == io.EOF {
			return v.At(i)
		}
	case err == io.EOF || errors.Is(err, os.ErrClosed): // meanwhile
		b = nil
		return b[i]
	}
	if fault, ok := err.(*FaultError); ok {
		fault.address = v.address(int64(i))
	}
	panic(err)
}

// copy is the builtin for n bytes, but returns false when a fault in the view
// stops it, and at once when h, unless it is nil, does not know the bytes at off
// to be in memory. It takes what fits in registers, and its deferred function as
// few variables as it can do with: to note more of them would take as long as to
// copy 64 bytes. So would another call, hence the look into h is in here.
func (v *View) copy(dst, src *byte, n int, h *heat, off int64) (done bool) {
	if h != nil {
		at := uint64(off) + h.lead
		first, last := at>>pieceShift, (at+uint64(n)-1)>>pieceShift
		i := first >> chunkShift
		if i >= uint64(len(h.chunks)) {
			return false
		}
		seen := word(h.chunks[i].Load(), first>>6).Load()
		if seen&(1<<(first&63)) == 0 { // most accesses are within a piece: one bit to test
			return false
		}
		if first != last && (first>>6 != last>>6 || ^seen>>(first&63)&(2<<((last-first)&63)-1) != 0) {
			return false
		}
	}
	panicOnFault := debug.SetPanicOnFault(true)
	defer func() {
		if !done { // to recover each time would double the cost
			v.catch(recover(), panicOnFault)
		}
	}()
	copy(unsafe.Slice(dst, n), unsafe.Slice(src, n))
	debug.SetPanicOnFault(panicOnFault)
	return true
}

// catch ends the recovery from r, a fault in the view. Any other panic goes on
// with the same value, from here so that its trace shows where it began.
func (v *View) catch(r any, panicOnFault bool) {
	debug.SetPanicOnFault(panicOnFault)
	if r != nil && !v.owns(r) {
		panic(r)
	}
}

// owns tells whether a recovered value is a fault of this view's memory.
func (v *View) owns(r any) bool {
	address, ok := faultAddress(r)
	return ok && v.first <= address && address < v.end
}

// faultAddress returns the address that a recovered value tells of.
func faultAddress(r any) (uintptr, bool) {
	switch e := r.(type) {
	case *FaultError: // of At
		return e.address, e.address != 0
	case interface {
		runtime.Error
		Addr() uintptr
	}:
		return e.Addr(), true
	}
	return 0, false
}
