//go:build cgo

package mapview

import (
	"runtime"
	"runtime/debug"
	"syscall"
)

// Do calls f with the whole view and returns what f returns. If f meets a
// fault in the view, f is over at that load or store, and Do returns a
// *[FaultError]; if the view was closed beside it, an error that is
// os.ErrClosed. The Err of the FaultError is what stops the byte now:
// syscall.EIO if that cannot be found out, and if nothing stops it any more
// syscall.EACCES in a read-only view, where it was most likely a store, and
// syscall.EAGAIN in others: f can be called again.
//
// What f does through slices and pointers of [View.Bytes], [Slice] and [Ptr] is
// covered, too. b must not outlive f. Since f may be over at any access, it
// should release what it holds by defer.
//
// Do does not cover goroutines that f starts, C code, system calls on b (they
// return syscall.EFAULT), code that recovers from panics by itself (as packages
// fmt and text/template do), or a channel operation directly on an element of
// b. No sync.Mutex may lie in the view, and no map be written whose keys do: the
// runtime would be left in the middle of an operation.
//
// Any other panic, and runtime.Goexit, pass through Do as if it were not
// there. (Under GODEBUG=panicnil=1, a panic(nil) ends f alone.) Calls of Do may
// be nested, on one view or several.
func (v *View) Do(f func(b []byte) error) (err error) {
	size := v.settled()
	if size < 0 {
		return &v.errs().accessClosed
	}
	panicOnFault, done := debug.SetPanicOnFault(true), false
	defer func() {
		if !done { // as in copy; or f has called runtime.Goexit
			err = v.catchAccess(recover(), panicOnFault)
		}
	}()
	err = f(v.at(0, size))
	debug.SetPanicOnFault(panicOnFault)
	runtime.KeepAlive(v)
	done = true
	return err
}

// catchAccess is to Do what catch is to copy.
func (v *View) catchAccess(r any, panicOnFault bool) error {
	debug.SetPanicOnFault(panicOnFault)
	switch {
	case r == nil:
		return nil
	case v.owns(r):
		return v.cause(r)
	}
	panic(r)
}

// cause finds out why the recovered fault r happened.
func (v *View) cause(r any) error {
	size := v.size.Load()
	if size < 0 {
		return &v.errs().accessClosed
	}
	if fault, ok := r.(*FaultError); ok { // of At, which has found out
		return fault
	}
	address, _ := faultAddress(r)
	// Some processors and some faults tell the page only, which may begin
	// before the view does.
	off := max(int64(address)-int64(uintptr(v.base)), 0)
	if off >= size { // it has been made smaller under f
		return v.fault("access", off, ErrTruncated)
	}
	f := v.probeByte(off)
	switch {
	case f == nil:
		return v.fault("access", off, syscall.EAGAIN)
	case f.code == int(syscall.EBADF):
		return &v.errs().accessClosed
	case f.code == int(syscall.EINVAL): // made smaller, which the C core knows first
		return v.fault("access", off, ErrTruncated)
	}
	cause := faultCause(f.code)
	if cause == nil { // the probe has failed, not the byte
		cause = syscall.EIO
	}
	return v.fault("access", off, cause)
}

// probeByte finds what stops the byte at off: in reading first, since a write
// that is refused may have the same cause. A view that cannot be written
// refuses it with EACCES.
func (v *View) probeByte(off int64) *failure {
	f := coreProbe(v.c, off, 1, AccessRead)
	if f == nil {
		f = coreProbe(v.c, off, 1, AccessWrite)
	}
	runtime.KeepAlive(v)
	return f
}
