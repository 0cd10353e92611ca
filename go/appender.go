//go:build cgo

package mapview

import (
	"io/fs"
	"sync"
	"syscall"
)

// An Appender writes records to the end of a view that grows under them, as a
// log does. It implements [io.Writer]. All methods may be called at the same
// time from any number of goroutines: records do not mix, and lie in the order
// in which the calls came.
//
// The view grows in steps, from 64 KiB to 64 MiB at a time, within
// [Options].Reserve, and never moves: a slice or pointer into it, and every
// record that was written, stays where it is. While an Appender is in use the
// view is longer than what was written, and nobody else should call its Resize.
// A file takes one Appender at a time, over all processes: a second one would
// write over the records of the first, and neither could tell. It takes no lock
// by itself, which would be in the way of the program's own; where a second
// process may come, take one of a descriptor of [View.File] first, and then call
// [View.Refresh], or the records since the view was opened would be written over:
// the example shows it. Bytes from End on
// are zeros, what was there before NewAppender, or what is left of a record that
// failed, until a later record takes their place.
//
// After a crash the file may be as long as a step has made it, and hold a part of
// what was written after the last Sync. So a record should tell its own length
// and carry a checksum if the end is to be found again. What stands behind the end
// that was found may hold whole records, which would follow the next one as if they
// were new: cut it off by [View.Resize] before.
type Appender struct {
	v *View

	mu     sync.Mutex // protects what follows
	end    int64      // where the next record goes
	closed bool

	syncing    sync.Mutex // one Sync at a time; protects what follows; taken before mu
	synced     int64      // what lies before this is on the medium
	syncedSize int64      // the view's size then; -1: none yet
}

// The least and the most that an Appender makes a view longer in one step.
const leastStep, mostStep = 64 << 10, 64 << 20

var (
	errAppenderClosed = &sysError{syscall.EBADF, "the Appender is closed"}
	errRecordsCut     = &truncation{"the view has been made smaller than the records in it"}
)

// NewAppender returns an Appender whose first record goes to byte off of the
// view: v.Size() to go on at the end. What lies behind off will be overwritten,
// and is cut off by Close. An off that is not in the view is fs.ErrInvalid, and a
// view that cannot be resized gives the error of [View.Resize].
func NewAppender(v *View, off int64) (*Appender, error) {
	const op = "append"
	size := v.size.Load()
	switch {
	case size < 0:
		return nil, v.closed(op)
	case off < 0 || off > size:
		return nil, invalid(op, v.name, "byte %d is not in a view of %d bytes, nor its end", off, size)
	}
	if err := v.growTo(0); err != nil { // it changes nothing, and says if it could
		return nil, err
	}
	return &Appender{v: v, end: off, synced: off, syncedSize: -1}, nil
}

// Append writes p to the end as one record and returns the byte of the view at
// which it lies. The record is written as a whole, or not at all: with an error
// End stays where it was. The error is that of [View.Resize] where the view
// cannot grow, syscall.ENOMEM beyond its reservation; that of [View.WriteAt]
// where the bytes cannot be written; and one that is os.ErrClosed after Close.
//
// The record is durable after Sync. It can be used in place through the View,
// as by [Slice] or [View.Bytes], and is not moved by any later Append.
func (a *Appender) Append(p []byte) (off int64, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	off = a.end
	if err := a.makeRoom(off + int64(len(p))); err != nil {
		return 0, err
	}
	if _, err := a.v.WriteAt(p, off); err != nil {
		return 0, err
	}
	a.end += int64(len(p))
	return off, nil
}

// Write is Append for code that wants an io.Writer: p is one record. It returns
// len(p), or 0 with an error.
func (a *Appender) Write(p []byte) (int, error) {
	if _, err := a.Append(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// makeRoom grows the view to at least size bytes. The caller holds mu.
func (a *Appender) makeRoom(size int64) error {
	if a.closed {
		return &fs.PathError{Op: "append", Path: a.v.name, Err: errAppenderClosed}
	}
	now, err := a.check("append")
	if err != nil || size <= now {
		return err
	}
	room := int64(a.v.end - uintptr(a.v.base))
	step := min(max(now, leastStep), mostStep)
	// The record alone may still fit where the whole step does not.
	if more := min(max(size, now+step), room); more <= size || a.v.growTo(more) != nil {
		return a.v.growTo(size)
	}
	return nil
}

// check returns the size of the view, which must hold all records: to go on
// after somebody has cut it would put zeros where they were. The caller holds mu.
func (a *Appender) check(op string) (int64, error) {
	size := a.v.size.Load()
	switch {
	case size < 0:
		return 0, a.v.closed(op)
	case size < a.end:
		return 0, &fs.PathError{Op: op, Path: a.v.name, Err: errRecordsCut}
	}
	return size, nil
}

// End returns the byte behind the last record: where the next one goes.
func (a *Appender) End() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.end
}

// Sync writes all records that are complete to the medium. Once it returns nil,
// every record is there whose Append had returned before, and the file is long
// enough to find it. Only what came since the last Sync is written, at
// [SyncData], or at [SyncFull] when the file has got another length. Records may
// be appended beside it. Its errors are those of [View.Sync], and stay as those
// do.
func (a *Appender) Sync() error {
	a.syncing.Lock()
	defer a.syncing.Unlock()
	due, err := a.due()
	if err != nil {
		return err
	}
	// With nothing due it is the last byte's turn: a sync compares the file's
	// length, and so tells if the records have been cut off since.
	from := max(min(a.synced, due.end-1), 0)
	if err := a.v.SyncRange(from, due.end-from, due.level); err != nil {
		return err
	}
	a.synced, a.syncedSize = due.end, due.size
	return nil
}

// A dueSync is what a Sync has to do now: up to where, in a view of which size.
type dueSync struct {
	end, size int64
	level     Level
}

// due tells it. The caller holds syncing.
func (a *Appender) due() (dueSync, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	size, err := a.check("sync")
	level := SyncData
	if size != a.syncedSize {
		level = SyncFull
	}
	return dueSync{a.end, size, level}, err
}

// Close makes the view, and its file, end with the last record. It does not sync
// and leaves the View open; after it Append and Write fail with an error that is
// os.ErrClosed, while End and Sync go on to work. The Appender is closed, also
// when the error of [View.Resize] tells that the file could not be cut. A second
// Close returns nil.
func (a *Appender) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil
	}
	a.closed = true
	if size, err := a.check("close"); err != nil || size == a.end {
		return err
	}
	return a.v.Resize(a.end)
}
