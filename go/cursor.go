//go:build cgo

package mapview

import (
	"errors"
	"io"
	"math"
)

// A Cursor is a position in a View, made by [View.Cursor]: what reads, writes and
// seeks there as in a file. It implements [io.Reader], [io.Writer], [io.Seeker], [io.ByteScanner],
// [io.ByteWriter], [io.WriterTo] and [io.ReaderFrom].
//
// A Cursor is for one goroutine at a time. The View and any number of other
// Cursors may be used beside it. It needs no Close: once the View is closed,
// every method returns an error that is os.ErrClosed.
//
// Each method leaves the position behind the bytes that it moved, whatever
// error ended it. A fault is a [*FaultError], as from [View.ReadAt] and
// [View.WriteAt].
type Cursor struct {
	v   *View
	off int64 // never negative; may lie past the end of the view
}

// Cursor returns a new Cursor at the first byte of the view.
func (v *View) Cursor() *Cursor { return &Cursor{v: v} }

// Read copies bytes from the position on into p, fewer than len(p) where the
// view ends, and io.EOF alone from there on.
func (c *Cursor) Read(p []byte) (int, error) {
	n, err := c.v.ReadAt(p, c.off)
	c.off += int64(n)
	if err == io.EOF && n > 0 {
		err = nil // it is the next call's
	}
	return n, err
}

// ReadByte returns the byte at the position, io.EOF at the end of the view.
func (c *Cursor) ReadByte() (byte, error) {
	var x [1]byte
	n, err := c.v.ReadAt(x[:], c.off)
	c.off += int64(n)
	return x[0], err
}

// UnreadByte goes back by one byte, whatever was called last. At the first
// byte it fails with an error that is fs.ErrInvalid.
func (c *Cursor) UnreadByte() error {
	switch {
	case c.v.size.Load() < 0:
		return &c.v.errs().readClosed
	case c.off == 0:
		return &c.v.errs().readBefore
	}
	c.off--
	return nil
}

// Write copies p to the position. It never grows the view: where the view ends
// it returns fewer than len(p), and io.ErrShortWrite.
func (c *Cursor) Write(p []byte) (int, error) {
	n, err := c.v.WriteAt(p, c.off)
	c.off += int64(n)
	return n, err
}

// WriteByte stores b at the position. At the end of the view it fails with
// io.ErrShortWrite.
func (c *Cursor) WriteByte(b byte) error {
	x := [1]byte{b}
	n, err := c.v.WriteAt(x[:], c.off)
	c.off += int64(n)
	return err
}

// Seek sets the position, which may lie past the end of the view: there Read
// returns io.EOF, and Write stores nothing. A position before the first byte,
// and an unknown whence, are fs.ErrInvalid, and then it stays.
func (c *Cursor) Seek(offset int64, whence int) (int64, error) {
	size := c.v.settled()
	if size < 0 {
		return 0, &c.v.errs().seekClosed
	}
	var from int64
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		from = c.off
	case io.SeekEnd:
		from = size
	default:
		return 0, &c.v.errs().seekWhence
	}
	if offset < -from || offset > math.MaxInt64-from {
		return 0, &c.v.errs().seekOutside
	}
	c.off = from + offset
	return c.off, nil
}

// WriteTo and ReadFrom copy through a buffer in Go's heap, and never give the
// other side the view's own bytes. Its code cannot be expected to bear a fault
// there: it may hold a lock, it may recover and go on, it may touch the bytes
// in another goroutine, as an io.Pipe does, which nobody could guard; and a
// system call would return EFAULT without the byte and the cause. So nothing
// of it runs under SetPanicOnFault either, and its own panics are its own.

// The most is what io.Copy takes, the least is for a view that grows meanwhile.
const bounceMost, bounceLeast = 32 << 10, 512

// How often in a row a Reader may return nothing, as package bufio has it.
const maxEmptyReads = 100

var errImpossibleCount = errors.New("mapview: a Read or Write returned an impossible count")

// WriteTo writes the bytes from the position to the end of the view to w, and
// returns how many w took.
//
// To a *net.UnixConn that is a stream the kernel sends many bytes of a shared
// view of a file by itself (sendfile), without a copy. As with any sendfile,
// what is stored in them before the other side has read them may be seen there.
// The file is opened anew for it, and closed: see the package comment on fcntl
// locks.
func (c *Cursor) WriteTo(w io.Writer) (written int64, err error) {
	written = c.send(w)
	buf := make([]byte, max(bounceLeast, min(c.v.size.Load()-c.off, bounceMost)))
	for {
		// Not by Read: what w does not take must stay ahead of the position.
		n, end := c.v.ReadAt(buf, c.off)
		if n > 0 {
			taken, refusal := w.Write(buf[:n])
			if taken < 0 || taken > n {
				return written, errImpossibleCount
			}
			c.off += int64(taken)
			written += int64(taken)
			switch {
			case refusal != nil:
				return written, refusal
			case taken < n:
				return written, io.ErrShortWrite
			}
		}
		switch end {
		case nil:
		case io.EOF:
			return written, nil
		default:
			return written, end
		}
	}
}

// ReadFrom stores what r returns, from the position on, until r ends, and
// returns how many bytes it stored. Where the view ends it reads one byte more,
// and if there is one fails with io.ErrShortWrite. What it has read of r
// and cannot store is lost.
func (c *Cursor) ReadFrom(r io.Reader) (stored int64, err error) {
	if _, err := c.v.WriteAt(nil, c.off); err != nil { // before r loses anything
		return 0, err
	}
	buf := make([]byte, bounceMost)
	for empty := 0; empty < maxEmptyReads; empty++ {
		room := max(1, min(c.v.size.Load()-c.off, bounceMost))
		n, end := r.Read(buf[:room])
		if n < 0 || int64(n) > room {
			return stored, errImpossibleCount
		}
		if n > 0 {
			done, err := c.Write(buf[:n])
			stored += int64(done)
			if err != nil {
				return stored, err
			}
			empty = -1
		}
		switch end {
		case nil:
		case io.EOF:
			return stored, nil
		default:
			return stored, end
		}
	}
	return stored, io.ErrNoProgress
}
