//go:build cgo

package mapview_test

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"syscall"

	mapview "example.com/mapview/go"
)

// What FuzzOperations does to a range of the view, to the numbers in one, and to
// records at its end, each with what the model says of it.

// span takes a range, half of which lie in the view.
func (r *run) span() (off, n int) { return r.place(), r.place() / 2 }

// spanError is that of every call on a range.
func (m *model) spanError(off, n int) error {
	switch {
	case m.state == isClosed:
		return os.ErrClosed
	case off < 0 || n < mapview.ToEnd || off > m.size || n > m.size-off:
		return fs.ErrInvalid
	}
	return nil
}

// ---- hints and rights ----

func (r *run) advise() {
	off, n := r.span()
	advice := mapview.Advice(r.byte() % 4)
	r.note("Advise(%d, %d, %d)", off, n, advice)
	r.want(r.v.Advise(int64(off), int64(n), advice), r.m.spanError(off, n))
}

func (r *run) prefetch() {
	off, n := r.span()
	other, m := r.span()
	r.note("Prefetch({%d, %d}, {%d, %d})", off, n, other, m)
	err := r.v.Prefetch(mapview.Range{Offset: int64(off), Length: int64(n)}, mapview.Range{Offset: int64(other), Length: int64(m)})
	want := r.m.spanError(off, n)
	if want == nil {
		want = r.m.spanError(other, m)
	}
	r.want(err, want)
}

func (r *run) prefault() {
	off, n := r.span()
	r.note("Prefault(%d, %d)", off, n)
	err := r.v.Prefault(int64(off), int64(n), mapview.AccessRead)
	want := r.m.spanError(off, n)
	if n == mapview.ToEnd {
		n = r.m.size - off
	}
	if want == nil && n > 0 && off+n > r.m.reach() {
		want = modelFault(max(off, r.m.reach()), mapview.ErrTruncated)
	}
	r.want(err, want)
}

// protect takes rights away, sees that they are gone, and gives them back.
func (r *run) protect() {
	off, n := r.span()
	how := []mapview.Access{0, mapview.AccessRead}[r.byte()%2]
	r.note("Protect(%d, %d, %d)", off, n, how)
	want := r.m.spanError(off, n)
	r.want(r.v.Protect(int64(off), int64(n), how), want)
	if want != nil || n == 0 || off >= r.m.lost() || off >= r.m.size {
		r.unprotect()
		return
	}
	denied := modelFault(off, syscall.EACCES)
	b := make([]byte, 1)
	read, err := r.v.ReadAt(b, int64(off))
	if how == 0 {
		r.wantCount(read, 0, err, denied)
	} else {
		r.wantCount(read, 1, err, nil)
		r.wantBytes(b, off)
	}
	if r.m.writable {
		written, err := r.v.WriteAt(b, int64(off))
		r.wantCount(written, 0, err, denied)
	}
	r.unprotect()
}

func (r *run) unprotect() {
	if r.m.state != isOpen {
		return
	}
	how := mapview.AccessRead
	if r.m.writable {
		how |= mapview.AccessWrite
	}
	r.want(r.v.Protect(0, mapview.ToEnd, how), nil)
}

// discard gives whole pages back, if the view is private: what becomes of a
// part is not the file's to tell.
func (r *run) discard() {
	off, n := r.span()
	if r.m.private {
		off = roundUp(max(off, 0)+r.m.offset) - r.m.offset
		n = roundUp(max(n, 0))
	}
	r.note("Discard(%d, %d)", off, n)
	err := r.v.Discard(int64(off), int64(n))
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return // a file system without holes
	}
	r.want(err, r.m.discard(off, n))
}

func (m *model) discard(off, n int) error {
	err := m.spanError(off, n)
	switch {
	case err != nil:
		return err
	case !m.writable:
		return fs.ErrPermission
	case n == mapview.ToEnd:
		n = m.size - off
	}
	from, to := m.offset+off, m.offset+off+n
	if m.private {
		for number := range m.copies {
			if number*page >= from && (number+1)*page <= to {
				delete(m.copies, number)
			}
		}
		return nil
	}
	if to = min(to, m.length); from < to {
		m.file.part(from, to).zeroFrom(0)
	}
	return nil
}

// ---- numbers in place ----

const number = 4 // bytes of a uint32

// slice loads a number in place, and stores one there.
func (r *run) slice() {
	off, n := r.place(), int(int8(r.byte()))
	i, store := int(r.byte()), r.byte()%2 == 0
	r.note("Slice(%d, %d), number %d, stores %v", off, n, i, store)
	numbers, err := mapview.Slice[uint32](r.v, int64(off), n)
	want := r.m.spanError(off, 0)
	if want == nil && (n < 0 || n > (r.m.size-off)/number || (r.m.offset+off)%number != 0) {
		want = fs.ErrInvalid
	}
	r.want(err, want)
	if err != nil || want != nil || n == 0 {
		return
	}
	i %= n
	var loaded []byte
	err = r.v.Do(func([]byte) error {
		loaded = binary.NativeEndian.AppendUint32(nil, numbers[i])
		if store {
			numbers[i] = 0x01020304
		}
		return nil
	})
	r.wantInPlace(err, loaded, off+i*number, store, binary.NativeEndian.AppendUint32(nil, 0x01020304))
}

// records goes through all numbers from somewhere on.
func (r *run) records() {
	off := r.place()
	r.note("Records from %d", off)
	numbers, err := mapview.NewRecords[uint32](r.v, int64(off))
	var want error
	switch {
	case r.m.state == isClosed:
		want = os.ErrClosed
	case off < 0 || off > r.m.room() || (r.m.offset+off)%number != 0:
		want = fs.ErrInvalid
	}
	r.want(err, want)
	if err != nil || want != nil {
		return
	}
	has := max(r.m.size-off, 0) / number
	if numbers.Len() != has {
		r.t.Errorf("%s: there are %d, not %d", r.last, numbers.Len(), has)
	}
	var loaded []byte
	err = r.v.Do(func([]byte) error {
		for _, x := range numbers.All() {
			loaded = binary.NativeEndian.AppendUint32(loaded, *x)
		}
		return nil
	})
	n, want := r.m.part(off, has*number, nil)
	r.wantCount(len(loaded), n, err, want)
	r.wantBytes(loaded, off)
}

// room is how large the view can ever be, in whole pages.
func (m *model) room() int {
	return roundUp(m.offset%page+max(m.limit, m.size, 1)) - m.offset%page
}

// ---- the Appender ----

// appendRecords appends two records behind some byte, and ends the view there.
func (r *run) appendRecords() {
	off, p, q := r.place(), r.bytes(), r.bytes()
	r.note("an Appender from %d, %d and %d bytes", off, len(p), len(q))
	a, err := mapview.NewAppender(r.v, int64(off))
	want := r.m.spanError(off, 0)
	if want == nil {
		want = r.m.growTo(0)
	}
	r.want(err, want)
	if err != nil || want != nil {
		return
	}
	end := off
	for _, record := range [][]byte{p, q} {
		at, err := a.Append(record)
		want := r.m.append(record, end)
		r.want(err, want)
		if want == nil {
			if err == nil && at != int64(end) {
				r.t.Errorf("%s: a record lies at %d, not %d", r.last, at, end)
			}
			end += len(record)
		}
	}
	if a.End() != int64(end) {
		r.t.Errorf("%s: the end is %d, not %d", r.last, a.End(), end)
	}
	want = nil
	if end != r.m.size {
		want = r.m.resize(end)
	}
	r.want(a.Close(), want)
	_, err = a.Append(p)
	r.want(err, os.ErrClosed)
}

// growTo makes the view at least size bytes long.
func (m *model) growTo(size int) error { return m.resize(max(size, m.size)) }

// append writes a record to the end: a view that is too short for it grows by
// 64 KiB more, as far as there is room.
func (m *model) append(p []byte, end int) error {
	if need := end + len(p); need > m.size {
		if err := m.growTo(max(need, min(m.size+64<<10, m.limit))); err != nil {
			return err
		}
	}
	_, err := m.writeAt(p, end)
	return err
}
