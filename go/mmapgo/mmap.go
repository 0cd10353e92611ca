// Package mmap maps files into memory as slices. A program that imports
// github.com/edsrzf/mmap-go can import example.com/mapview/go/mmapgo instead
// and change nothing else. What it gains: a slice that is used after Unmap
// faults, or is refused, instead of reading or changing another file; a second
// Unmap is an error; sub-slices of any alignment can be flushed, locked and
// unlocked; an empty file can be mapped; and [MMap.View] opens the way to
// accesses whose faults are errors.
//
// It differs in these points:
//
//   - EXEC is refused: mapview maps no executable memory.
//   - A negative length maps up to the end of the file also from an offset, and
//     not past the end. An offset past the end is refused.
//   - Flush keeps its first failure: see [mapview.View.Sync]. It returns
//     mapview's ErrTruncated for bytes that were lost when somebody cut the file.
//   - A writable map of a file holds a descriptor of its own until Unmap, and
//     refuses a file that was opened with os.O_APPEND.
//   - Errors of the system are a [*io/fs.PathError] around the syscall.Errno,
//     for errors.Is, and not the bare number.
//
// A slice outside of [mapview.View.Do] is as dangerous as ever: when somebody
// has cut the file, or the device fails or is full, an access ends the program.
package mmap

import (
	"errors"
	"os"
	"syscall"
	"unsafe"

	mapview "example.com/mapview/go"
)

// How a file is mapped: the prot of Map and MapRegion.
const (
	RDONLY = 0         // a store to the slice ends the program
	RDWR   = 1 << iota // stores reach the file
	COPY               // stores stay in this program, the file is only read
	EXEC               // refused
)

// ANON in the flags of MapRegion asks for memory that has no file.
const ANON = 1

// An MMap is mapped memory. It stays mapped, whether or not anything in the
// program still refers to it, until Unmap. Its methods may be called at the same
// time from any number of goroutines, Unmap included if each has a copy of the
// slice; after Unmap every access through any of them faults.
type MMap []byte

// Map maps the whole of f, which may be closed at once.
func Map(f *os.File, prot, flags int) (MMap, error) {
	return MapRegion(f, -1, prot, flags, 0)
}

// MapRegion maps length bytes of f from offset, which must be a multiple of
// the page size, or if length is negative all from there. f may be closed at
// once. With ANON it gives length bytes of zeros instead, and f is ignored.
//
// A length may go past the end of the file. The pages that lie past it fault
// until the file has grown; the slice then shows what is there.
func MapRegion(f *os.File, length int, prot, flags int, offset int64) (MMap, error) {
	switch {
	case offset%int64(os.Getpagesize()) != 0:
		return nil, errOffset
	case flags&ANON != 0 && length <= 0:
		return nil, errLength
	case prot&EXEC != 0:
		return nil, errExec
	}
	var view *mapview.View
	var err error
	if flags&ANON != 0 {
		view, err = anonymous(length, prot)
	} else {
		view, err = region(f, length, prot, offset)
	}
	if err != nil {
		return nil, err
	}
	m := MMap(view.Bytes())
	if length >= 0 { // otherwise it is as long as the view
		m = unsafe.Slice(unsafe.SliceData(m), length)
	}
	register(mapping{address(m), len(m), view, kindOf(prot, flags)})
	return m, nil
}

// A kind of mapping is what Flush has to do with it.
type kind int

const (
	kept   kind = iota // nothing: stores reach no file
	shown              // sync what others have stored
	shared             // sync what was stored
)

func kindOf(prot, flags int) kind {
	switch {
	case flags&ANON != 0 || prot&COPY != 0:
		return kept
	case prot&RDWR != 0:
		return shared
	}
	return shown
}

func anonymous(length, prot int) (*mapview.View, error) {
	view, err := mapview.Anonymous(int64(length), nil)
	if err == nil && prot&(RDWR|COPY) == 0 {
		err = view.Protect(0, mapview.ToEnd, mapview.AccessRead)
	}
	return view, err
}

// region opens a view that has addresses for length bytes.
func region(f *os.File, length, prot int, offset int64) (*mapview.View, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// Whoever calls this package relies on a map wherever there can be one.
	opt := &mapview.Options{Offset: offset, Private: prot&COPY != 0, ShareDescription: true}
	switch {
	case !info.Mode().IsRegular() && length > 0:
		opt.Device, opt.Length = true, int64(length)
	case length > 0 && int64(length) <= info.Size()-offset:
		opt.Length = int64(length)
	default: // up to the end, with addresses for what is not there yet
		opt.Reserve = int64(max(length, 0))
	}
	if prot&(RDWR|COPY) != 0 {
		return mapview.Map(f, os.O_RDWR, opt)
	}
	return mapview.Map(f, os.O_RDONLY, opt)
}

// Lock keeps the bytes of m in physical memory, until Unlock or Unmap. It fails
// for bytes behind the end that the file had, if it has outgrown the mapping in
// one step.
func (m MMap) Lock() error {
	p, err := find(m)
	if err != nil || len(m) == 0 {
		return err
	}
	p.cover(m)
	return p.view.Pin(p.offset(m), int64(len(m)))
}

// Unlock ends what Lock began.
func (m MMap) Unlock() error {
	p, err := find(m)
	if err != nil || len(m) == 0 {
		return err
	}
	p.cover(m)
	return p.view.Unpin(p.offset(m), int64(len(m)))
}

// Flush writes what was stored in m to the medium, and returns nil when it is
// there: the bytes, and what is needed to read them back. Of a map that is
// RDONLY it is what others have stored, as long as the file has a name.
func (m MMap) Flush() error {
	p, err := find(m)
	if err != nil || p.kind == kept {
		return err
	}
	err = p.flush(p.offset(m), int64(len(m)))
	if p.kind == shown && (errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESTALE)) {
		return nil // it is gone or replaced, so nobody can read it after a crash
	}
	return err
}

// flush first flushes what the file is known to have: that tells if it was cut.
func (p mapping) flush(off, n int64) error {
	known := p.view.Size()
	if has := min(n, known-off); has > 0 {
		if err := p.view.SyncRange(off, has, mapview.SyncData); err != nil {
			return err
		}
	}
	if off+n <= known {
		return nil
	}
	if err := p.view.Refresh(); errors.Is(err, syscall.ENOMEM) {
		// The file has outgrown the mapping, so all of m is in it.
		return p.view.SyncRange(0, 0, mapview.SyncFull)
	} else if err != nil {
		return err
	}
	if has := min(n, p.view.Size()-off); has > 0 {
		return p.view.SyncRange(off, has, mapview.SyncData)
	}
	return nil
}

// cover has the view follow its file if it does not reach to the end of m.
func (p mapping) cover(m MMap) {
	if p.offset(m)+int64(len(m)) > p.view.Size() {
		_ = p.view.Refresh() // the call that wants the bytes will tell
	}
}

// Unmap ends the mapping and sets m to nil. m must be what Map or MapRegion
// returned: for a part of it, and for what has been unmapped already, Unmap
// returns an error and unmaps nothing. Bytes that were not flushed are written
// by the kernel in its own time. When an earlier Flush failed, Unmap returns
// that failure, and m is unmapped all the same.
func (m *MMap) Unmap() error {
	old := *m
	*m = nil
	p, err := remove(old)
	if err != nil {
		return err
	}
	return p.view.Close()
}

// View returns the view that m, or the mapping that it is a part of, is made
// of; nil if it is not mapped. Its methods turn faults into errors, and so
// does what its Do calls, for accesses through m. Its offsets count from the
// first byte of the mapping. It must not be closed: that is what Unmap is for.
func (m MMap) View() *mapview.View {
	p, err := find(m)
	if err != nil {
		return nil
	}
	return p.view
}
