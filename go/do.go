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
// syscall.EACCES for a store to a read-only view, and syscall.EFAULT if
// nothing stops it any more.
//
// b must not outlive f: use [View.Bytes] for that. Since f may be over at any
// access, it should release what it holds by defer. Do does not cover
// goroutines that f starts, C code, system calls on b (they return
// syscall.EFAULT), code that recovers from panics by itself (as packages fmt
// and text/template do), or a channel operation directly on an element of b.
//
// Any other panic, and runtime.Goexit, pass through Do as if it were not
// there. Calls of Do may be nested, on one view or several.
func (v *View) Do(f func(b []byte) error) (err error) {
	size := v.size.Load()
	if size < 0 {
		return &v.errs.accessClosed
	}
	defer v.catchAccess(debug.SetPanicOnFault(true), &err)
	err = f(v.at(0, size))
	runtime.KeepAlive(v)
	return err
}

// catchAccess is to Do what catchCopy is to copy.
func (v *View) catchAccess(panicOnFault bool, err *error) {
	debug.SetPanicOnFault(panicOnFault)
	r := recover()
	switch {
	case r == nil:
	case v.owns(r):
		*err = v.cause(r)
	default:
		panic(r)
	}
}

// cause finds out why the recovered fault r happened.
func (v *View) cause(r any) error {
	size := v.size.Load()
	if size < 0 {
		return &v.errs.accessClosed
	}
	address, _ := faultAddress(r)
	// Some processors and some faults tell the page only, which may begin
	// before the view does.
	off := max(int64(address)-int64(uintptr(v.base)), 0)
	code := codeTruncated
	if off < size {
		code = v.probeCause(off)
	}
	if code == int(syscall.EBADF) {
		return &v.errs.accessClosed
	}
	if err := v.fault("access", off, code); err != nil {
		return err
	}
	return v.fault("access", off, int(syscall.EFAULT))
}

// probeCause returns what stops the byte at off: reading it first, since a
// write that is refused may have the same cause. A view that cannot be written
// refuses it with EACCES.
func (v *View) probeCause(off int64) int {
	f := coreProbe(v.c, off, 1, AccessRead)
	if f == nil {
		f = coreProbe(v.c, off, 1, AccessWrite)
	}
	runtime.KeepAlive(v)
	if f == nil {
		return int(syscall.EFAULT)
	}
	return f.code
}
