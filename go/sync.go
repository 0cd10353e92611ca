//go:build cgo

package mapview

import "runtime"

// A Level is how much a sync promises.
type Level uint32

const (
	// SyncStart begins to write the range, waits for nothing and promises
	// nothing.
	SyncStart Level = iota + 1
	// SyncData puts the range, and what is needed to read it back, on the
	// medium.
	SyncData
	// SyncFull does it for the file's metadata too, and for the name of a file
	// that OpenFile created.
	SyncFull

	// SyncForce is or-ed to one of the above. It makes a sync happen that is
	// known to have nothing to do. (So far none is: a View lends its memory to
	// Go from the beginning, and every sync is made.)
	SyncForce Level = 0x100
)

// ToEnd as the length of a range means up to the end of the view.
const ToEnd = -1

// Sync writes what was stored in the view to the medium. Once it returns nil,
// the bytes are there.
//
// After the first failure of the kernel every later Sync of this View returns
// that failure, because the kernel may have dropped the bytes and would report
// success the next time. The view can still be read and written. Open the file
// anew to start over, and write the bytes again.
//
// A view that reaches past the present end of its file gives an error that is
// [ErrTruncated]: bytes were lost when somebody cut the file.
func (v *View) Sync() error { return v.SyncRange(0, ToEnd, SyncFull) }

// SyncRange is Sync for n bytes from off, or up to the end if n is [ToEnd], at
// a level.
func (v *View) SyncRange(off, n int64, level Level) error {
	const op = "sync"
	if err := v.checkRange(op, off, n); err != nil {
		return err
	}
	if bare := level &^ SyncForce; bare < SyncStart || bare > SyncFull {
		return invalid(op, v.name, "level %d is none of SyncStart, SyncData and SyncFull", level)
	}
	f := coreSync(v.c, off, n, level)
	runtime.KeepAlive(v)
	return pathError(op, v.name, f)
}
