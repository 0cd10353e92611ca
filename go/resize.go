//go:build cgo

package mapview

import "runtime"

// Resize makes the view size bytes long, and its file with it. Growing
// allocates real blocks and reads as zeros; nothing moves, and no reader
// waits. It fails, with syscall.ENOMEM, beyond [Options].Reserve. When Resize
// fails, view and file are as before.
//
// It also fails when somebody else has changed the file's length: with
// [ErrTruncated] if it was cut, and when shrinking with syscall.EBUSY if it has
// grown. Refresh adopts what it is.
//
// Only a shared view that can be written and reaches to the end of its file
// can be resized, and memory of [NewMemory]. After shrinking, an access past
// the new end through an older slice faults.
func (v *View) Resize(size int64) error {
	const op = "resize"
	v.shape.Lock()
	defer v.shape.Unlock()
	switch {
	case v.size.Load() < 0:
		return v.closed(op)
	case size < 0:
		return invalid(op, v.name, "the size is negative")
	}
	return v.resize(size)
}

// growTo is Resize, but leaves a view that is as large or larger as it is. It
// tells then, too, if the view cannot be resized at all.
func (v *View) growTo(size int64) error {
	v.shape.Lock()
	defer v.shape.Unlock()
	now := v.size.Load()
	if now < 0 {
		return v.closed("resize")
	}
	return v.resize(max(size, now))
}

// resize is Resize by who holds shape and has checked the size. What is to go
// is gone for new accesses before it is cut off, and one that is running looks
// at the size again: else it could return the zeros behind the new end. What is
// to come is there before it is shown.
func (v *View) resize(size int64) error {
	before := v.size.Load()
	if size < before {
		v.shrinks.Add(1)
		defer v.shrinks.Add(1)
		v.size.Store(size)
	}
	f := coreResize(v.c, size)
	if f != nil {
		size = before
	}
	v.size.Store(size)
	runtime.KeepAlive(v)
	return pathError("resize", v.name, f)
}

// Refresh makes the size of the view follow the file's present length: up to
// the end for a view opened to the end, within [Options].Reserve, and never
// over the Length asked for otherwise. The bytes of a shared view are always the
// file's present ones: only its size waits for Refresh.
func (v *View) Refresh() error {
	const op = "refresh"
	v.shape.Lock()
	defer v.shape.Unlock()
	if v.size.Load() < 0 {
		return v.closed(op)
	}
	if f := coreRefresh(v.c); f != nil {
		return pathError(op, v.name, f)
	}
	v.size.Store(coreSize(v.c))
	runtime.KeepAlive(v)
	return nil
}
