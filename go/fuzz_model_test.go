//go:build cgo

package mapview_test

import (
	"bytes"
	"io"
	"io/fs"
	"math"
	"os"
	"syscall"

	mapview "example.com/mapview/go"
)

// The model of FuzzOperations: what a file and one view of it must hold, and what
// each call must return, told in the plainest way.

// A memory is bytes of which not all are known.
type memory struct {
	data    []byte
	unknown []bool
}

func newModelMemory(n int) memory { return memory{make([]byte, n), make([]bool, n)} }

// zeroFrom makes all bytes from there on known zeros.
func (m memory) zeroFrom(i int) {
	clear(m.data[i:])
	clear(m.unknown[i:])
}

// take copies bytes of another memory.
func (m memory) take(from memory) {
	copy(m.data, from.data)
	copy(m.unknown, from.unknown)
}

func (m memory) part(from, to int) memory { return memory{m.data[from:to], m.unknown[from:to]} }

// differs returns the first byte of p that is known not to be what the memory
// begins with, -1 if there is none.
func (m memory) differs(p []byte) int {
	if bytes.Equal(p, m.data[:len(p)]) {
		return -1
	}
	for i, b := range p {
		if b != m.data[i] && !m.unknown[i] {
			return i
		}
	}
	return -1
}

// A model is a file that has length bytes, and a view of it.
//
// The file is held in memory up to the longest that it can get. What lies behind
// its end is zero, but in its last page, where a view can store: what has been
// stored there is unknown from then on, until somebody else has written over it or
// the kernel has cut it off.
type model struct {
	file   memory
	length int

	state    modelState
	writable bool
	private  bool
	offset   int
	asked    int // Options.Length
	limit    int // the largest size
	size     int
	position int            // of its Cursor
	copies   map[int]memory // the pages of a private view that are its own, by number
}

type modelState int

const (
	neverOpened modelState = iota
	isOpen
	isClosed
)

// The longest file: the largest place and the largest reservation behind it.
func newModel() *model { return &model{file: newModelMemory(roundUp(2*largestPlace) + 3*page)} }

func roundUp(n int) int { return (n + page - 1) / page * page }

// ---- what others do to the file ----

func (m *model) truncate(length int) {
	if length < m.length {
		m.file.zeroFrom(length)
		for number := range m.copies {
			if number*page >= length { // the kernel takes private copies away, too
				delete(m.copies, number)
			}
		}
	}
	m.length = length
}

// write writes p at off, which is not behind the end.
func (m *model) write(p []byte, off int) {
	m.length = max(m.length, off+len(p))
	m.file.part(off, off+len(p)).take(memory{p, make([]bool, len(p))})
}

// ---- the bytes of the view ----

// reach is the first byte of the view that faults: that of the first page that
// holds nothing of the file.
func (m *model) reach() int { return roundUp(m.length) - m.offset }

// bytes returns n bytes of the view from off on.
func (m *model) bytes(off, n int) memory {
	all := newModelMemory(n)
	all.take(m.file.part(m.offset+off, m.offset+off+n))
	for number, own := range m.copies {
		from := number*page - m.offset - off
		to := min(from+page, n)
		if first := max(from, 0); first < to {
			all.part(first, to).take(own.part(first-from, to-from))
		}
	}
	return all
}

// store stores p at off, all of which can be accessed.
func (m *model) store(p []byte, off int) {
	for len(p) > 0 {
		place := m.offset + off
		n := min(len(p), roundUp(place+1)-place)
		in := m.file.part(place, place+n)
		if m.private {
			m.copyPage(place / page)
			in = m.copies[place/page].part(place%page, place%page+n)
		}
		in.take(memory{p[:n], make([]bool, n)})
		for i := max(m.length-place, 0); !m.private && i < n; i++ {
			in.unknown[i] = true
		}
		p, off = p[n:], off+n
	}
}

// copyPage makes a page the view's own.
func (m *model) copyPage(number int) {
	if _, ok := m.copies[number]; ok {
		return
	}
	own := newModelMemory(page)
	own.take(m.file.part(number*page, (number+1)*page))
	m.copies[number] = own
}

// ---- what the calls return ----

// fault is the error of an access to byte off.
func modelFault(off int, cause error) error {
	return &mapview.FaultError{Offset: int64(off), Err: cause}
}

// part tells how much of n bytes from off can be accessed, and the error if that
// is not all of them. atEnd is that of the end of the view.
func (m *model) part(off, n int, atEnd error) (int, error) {
	var err error
	if n > m.size-off {
		n, err = max(m.size-off, 0), atEnd
	}
	if reach := m.reach(); n > 0 && off+n > reach {
		return max(reach-off, 0), modelFault(max(reach, off), mapview.ErrTruncated)
	}
	return n, err
}

func (m *model) readAt(off, n int) (int, error) {
	switch {
	case m.state == isClosed:
		return 0, os.ErrClosed
	case off < 0:
		return 0, fs.ErrInvalid
	case n == 0:
		return 0, nil
	}
	return m.part(off, n, io.EOF)
}

// writeAt also stores.
func (m *model) writeAt(p []byte, off int) (int, error) {
	switch {
	case m.state == isClosed:
		return 0, os.ErrClosed
	case off < 0:
		return 0, fs.ErrInvalid
	case !m.writable:
		return 0, fs.ErrPermission
	case len(p) == 0:
		return 0, nil
	}
	n, err := m.part(off, len(p), io.ErrShortWrite)
	m.store(p[:n], off)
	return n, err
}

// open opens the view if that must succeed.
func (m *model) open(flag int, opt *mapview.Options) error {
	offset, asked, fileSize, reserve := int(opt.Offset), int(opt.Length), int(opt.FileSize), int(opt.Reserve)
	shared := flag&os.O_RDWR != 0 && !opt.Private
	switch {
	case min(offset, asked, fileSize, reserve) < 0,
		flag&os.O_EXCL != 0 && flag&os.O_CREATE == 0,
		flag&os.O_TRUNC != 0 && !shared,
		fileSize > 0 && !shared:
		return fs.ErrInvalid
	case flag&os.O_EXCL != 0:
		return fs.ErrExist
	}
	length := m.length
	if flag&os.O_TRUNC != 0 {
		length = 0
	}
	length = max(length, fileSize)
	if offset > length || asked > length-offset {
		return fs.ErrInvalid
	}
	if flag&os.O_TRUNC != 0 {
		m.truncate(0)
	}
	m.grow(length)
	m.state, m.position, m.copies = isOpen, 0, map[int]memory{}
	m.writable, m.private = flag&os.O_RDWR != 0, opt.Private
	m.offset, m.asked = offset, asked
	m.size, m.limit = asked, asked
	if asked == 0 {
		m.size = length - offset
		room := max(m.size, reserve, 1)
		m.limit = roundUp(offset%page+room) - offset%page
	}
	return nil
}

// grow makes the file longer as mapview does it: with zeros, whatever was stored
// behind its end.
func (m *model) grow(length int) {
	if length > m.length {
		m.file.zeroFrom(m.length)
		m.length = length
	}
}

func (m *model) resize(size int) error {
	end := m.offset + m.size
	switch {
	case m.state == isClosed:
		return os.ErrClosed
	case size < 0, m.private:
		return fs.ErrInvalid
	case !m.writable:
		return fs.ErrPermission
	case m.asked > 0:
		return fs.ErrInvalid
	case size > m.limit:
		return syscall.ENOMEM
	case m.length < end:
		return mapview.ErrTruncated
	case size < m.size && m.length > end:
		return syscall.EBUSY
	case size < m.size:
		m.truncate(m.offset + size)
	case size > m.size:
		m.grow(m.offset + size)
	}
	m.size = size
	return nil
}

func (m *model) refresh() error {
	if m.state == isClosed {
		return os.ErrClosed
	}
	size := max(m.length-m.offset, 0)
	if m.asked > 0 {
		size = min(size, m.asked)
	}
	if size > m.limit {
		return syscall.ENOMEM
	}
	// The last page of a private view takes what was appended to it.
	if from := m.offset + m.size; m.private && m.writable && size > m.size && from%page != 0 {
		m.copyPage(from / page)
		to := min(roundUp(from), m.offset+size)
		m.copies[from/page].part(from%page, page).take(m.file.part(from, to))
	}
	m.size = size
	return nil
}

// lost is the first byte of the view that lies behind the end of the file.
func (m *model) lost() int { return max(m.length-m.offset, 0) }

func (m *model) sync() error {
	switch {
	case m.state == isClosed:
		return os.ErrClosed
	case m.private:
		return fs.ErrInvalid
	case m.size > m.lost():
		return mapview.ErrTruncated
	}
	return nil
}

func (m *model) probe(off, n int) error {
	switch {
	case m.state == isClosed:
		return os.ErrClosed
	case off < 0 || off > m.size || n > m.size-off:
		return fs.ErrInvalid
	case n > 0 && off+n > m.lost():
		return modelFault(max(off, m.lost()), mapview.ErrTruncated)
	}
	return nil
}

// seek moves the Cursor and returns where it stands.
func (m *model) seek(offset, whence int) (int, error) {
	from, ok := map[int]int{io.SeekStart: 0, io.SeekCurrent: m.position, io.SeekEnd: m.size}[whence]
	switch {
	case m.state == isClosed:
		return 0, os.ErrClosed
	case !ok, offset < -from, offset > math.MaxInt-from:
		return 0, fs.ErrInvalid
	}
	m.position = from + offset
	return m.position, nil
}
