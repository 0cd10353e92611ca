//go:build cgo

package mapview

import (
	"io/fs"
	"runtime"
)

// The calls on a range take its first byte and its length, or ToEnd. A range
// need not be aligned and must lie in the view; an empty one does nothing.

// An Advice tells the kernel how a view will be used. None changes what the
// view shows.
type Advice uint32

const (
	AdviceNormal     Advice = iota // the kernel's own judgement
	AdviceRandom                   // no read-ahead
	AdviceSequential               // much read-ahead
	AdviceWillNeed                 // begin to read the range in, wait for nothing
	AdviceCold                     // reclaim these pages first
	AdvicePageOut                  // reclaim these pages now
	AdviceHuge                     // use huge pages where it can be done
	AdviceNoHuge                   // do not
	AdviceRewrite                  // the range will be stored to from end to end: see Advise
)

// An Access is a set of ways to access memory.
type Access uint32

const (
	AccessRead  Access = 1 << iota // loads
	AccessWrite                    // stores
)

// Advise tells the kernel how n bytes from off will be used. AdviceRewrite is
// for shared views that can be written, before every byte of a range that was
// synced or read is stored to again: it does what [View.Prefault] does for
// AccessWrite with as few faults as the kernel can do with.
func (v *View) Advise(off, n int64, a Advice) error {
	const op = "advise"
	if err := v.checkRange(op, off, n); err != nil {
		return err
	}
	if a > AdviceRewrite {
		return invalid(op, v.name, "%d is no Advice", a)
	}
	f := coreAdvise(v.c, off, n, a)
	if a == AdviceCold || a == AdvicePageOut {
		v.gone(off, n)
	}
	runtime.KeepAlive(v)
	return pathError(op, v.name, f)
}

// A Range is Length bytes of a view from Offset, or up to its end if Length is
// [ToEnd].
type Range struct{ Offset, Length int64 }

// Prefetch begins to read the ranges, all of them in one call of the C core, and
// waits for nothing. Ranges that follow each other and touch become one request
// to the kernel: sorted ones cost least. If one of them is bad, none is begun.
func (v *View) Prefetch(ranges ...Range) error {
	const op = "prefetch"
	if v.size.Load() < 0 {
		return v.closed(op)
	}
	for _, r := range ranges {
		if err := v.checkRange(op, r.Offset, r.Length); err != nil {
			return err
		}
	}
	f := corePrefetch(v.c, ranges)
	runtime.KeepAlive(v)
	return pathError(op, v.name, f)
}

// Prefault brings n bytes from off into memory, ready for access in the ways
// of how, so that a first access neither waits for the disk nor faults. With
// AccessWrite it also gives holes their blocks and private pages their copies.
// A byte that cannot be brought in is a *[FaultError].
//
// A goroutine that waits in Prefault has given its processor to others, which
// one that waits at a load or store of a slice has not.
func (v *View) Prefault(off, n int64, how Access) error {
	const op = "prefault"
	if err := v.checkAccess(op, off, n, how); err != nil {
		return err
	}
	f := corePrefault(v.c, off, n, how)
	if f == nil {
		v.seen(off, n)
	}
	runtime.KeepAlive(v)
	return v.accessError(op, f)
}

// Probe tells whether n bytes from off can be accessed now, in the ways of
// how: it returns nil or the *[FaultError] of the first byte that cannot. It
// does what Prefault does, and also finds bytes that read as zero only because
// the file was cut inside of their page.
func (v *View) Probe(off, n int64, how Access) error {
	const op = "probe"
	if err := v.checkAccess(op, off, n, how); err != nil {
		return err
	}
	f := coreProbe(v.c, off, n, how)
	if f == nil {
		v.seen(off, n)
	}
	runtime.KeepAlive(v)
	return v.accessError(op, f)
}

// Discard gives the storage of n bytes from off back. In a shared view they
// are zero afterwards, in the file too, and a later store may find no room. In
// a private view they are the file's again, or zero without one.
func (v *View) Discard(off, n int64) error {
	const op = "discard"
	if err := v.checkRange(op, off, n); err != nil {
		return err
	}
	f := coreDiscard(v.c, off, n)
	runtime.KeepAlive(v)
	return pathError(op, v.name, f)
}

// Pin keeps n bytes from off in memory until Unpin or Close. Pins do not nest.
func (v *View) Pin(off, n int64) error {
	const op = "pin"
	if err := v.checkRange(op, off, n); err != nil {
		return err
	}
	f := corePin(v.c, off, n)
	runtime.KeepAlive(v)
	return pathError(op, v.name, f)
}

// Unpin ends what Pin began.
func (v *View) Unpin(off, n int64) error {
	const op = "unpin"
	if err := v.checkRange(op, off, n); err != nil {
		return err
	}
	f := coreUnpin(v.c, off, n)
	runtime.KeepAlive(v)
	return pathError(op, v.name, f)
}

// Protect sets how the pages that hold n bytes from off may be accessed: not
// at all (0), by AccessRead, or by both. An access in another way is a fault
// whose cause is syscall.EACCES.
func (v *View) Protect(off, n int64, how Access) error {
	const op = "protect"
	err := v.checkRange(op, off, n)
	if how != 0 {
		err = v.checkAccess(op, off, n, how)
	}
	if err != nil {
		return err
	}
	if how&AccessRead == 0 && how&AccessWrite == 0 {
		v.unreadable.Store(true) // for good: it is only about speed
	}
	f := coreProtect(v.c, off, n, how)
	runtime.KeepAlive(v)
	return pathError(op, v.name, f)
}

// checkRange refuses what the C core would take for something else. That the
// range lies in the view is checked there.
func (v *View) checkRange(op string, off, n int64) error {
	switch {
	case v.size.Load() < 0:
		return v.closed(op)
	case off < 0:
		return invalid(op, v.name, "the offset is negative")
	case n < ToEnd:
		return invalid(op, v.name, "the length is negative")
	}
	return nil
}

// checkAccess is checkRange for the calls that may write.
func (v *View) checkAccess(op string, off, n int64, how Access) error {
	if err := v.checkRange(op, off, n); err != nil {
		return err
	}
	if how == 0 || how&^(AccessRead|AccessWrite) != 0 {
		return invalid(op, v.name, "access %d is none of AccessRead, AccessWrite and both", how)
	}
	if how&AccessWrite != 0 && !v.writable {
		return &fs.PathError{Op: op, Path: v.name, Err: errReadOnly}
	}
	return nil
}

// closed is the error of a call that has none prepared.
func (v *View) closed(op string) error {
	return &fs.PathError{Op: op, Path: v.name, Err: errClosed}
}
