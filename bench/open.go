// open.go opens and closes: what a file costs of which little or nothing is read.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	mapview "example.com/mapview/go"
	dropin "example.com/mapview/go/mmap"
	mmapgo "github.com/edsrzf/mmap-go"
	gommap "github.com/go-mmap/mmap"
	tysongommap "github.com/tysonmote/gommap"
	expmmap "golang.org/x/exp/mmap"
)

// An opening opens the file, reads p at off unless p is nil, and closes. Each is
// written out: a handle of a type for all would be an allocation of ours.
type opening func(path string, p []byte, off int64) (int, error)

type namedOpening struct {
	impl string
	open opening
}

// What closing costs is only told whole where the mapping and the descriptor go:
// so the pass of each ends with a collection, which unmaps views, and closes the
// descriptors that go-mmap leaves open.
var openings = []namedOpening{
	{"mapview", func(path string, p []byte, off int64) (int, error) {
		v, err := mapview.Open(path)
		if err != nil {
			return 0, err
		}
		return readAndClose(p, off, v.ReadAt, v.Close)
	}},
	{"mapview-mmap", func(path string, p []byte, off int64) (int, error) {
		m, err := dropin.Open(path)
		if err != nil {
			return 0, err
		}
		return readAndClose(p, off, m.ReadAt, m.Close)
	}},
	{"exp-mmap", func(path string, p []byte, off int64) (int, error) {
		m, err := expmmap.Open(path)
		if err != nil {
			return 0, err
		}
		return readAndClose(p, off, m.ReadAt, m.Close)
	}},
	{"go-mmap", func(path string, p []byte, off int64) (int, error) {
		m, err := gommap.Open(path)
		if err != nil {
			return 0, err
		}
		return readAndClose(p, off, m.ReadAt, m.Close)
	}},
	{"mmap-go", func(path string, p []byte, off int64) (int, error) {
		return withOpen(path, func(f *os.File) (int, error) {
			m, err := mmapgo.Map(f, mmapgo.RDONLY, 0)
			if err != nil {
				return 0, err
			}
			return copyAndClose(p, off, m, m.Unmap)
		})
	}},
	{"gommap", func(path string, p []byte, off int64) (int, error) {
		return withOpen(path, func(f *os.File) (int, error) {
			m, err := tysongommap.Map(f.Fd(), tysongommap.PROT_READ, tysongommap.MAP_SHARED)
			if err != nil {
				return 0, err
			}
			return copyAndClose(p, off, m, m.UnsafeUnmap)
		})
	}},
	{"syscall.Mmap", func(path string, p []byte, off int64) (int, error) {
		return withOpen(path, func(f *os.File) (int, error) {
			info, err := f.Stat()
			if err != nil {
				return 0, err
			}
			m, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
			if err != nil {
				return 0, err
			}
			return copyAndClose(p, off, m, func() error { return syscall.Munmap(m) })
		})
	}},
	{"os.File", func(path string, p []byte, off int64) (int, error) {
		f, err := os.Open(path)
		if err != nil {
			return 0, err
		}
		return readAndClose(p, off, f.ReadAt, f.Close)
	}},
}

func readAndClose(p []byte, off int64, readAt func([]byte, int64) (int, error), end func() error) (n int, err error) {
	if p != nil {
		n, err = readAt(p, off)
	}
	return n, errors.Join(err, end())
}

func copyAndClose(p []byte, off int64, m []byte, unmap func() error) (n int, err error) {
	if p != nil {
		n = copy(p, m[off:])
	}
	return n, unmap()
}

func withOpen(path string, use func(f *os.File) (int, error)) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return use(f)
}

// openOpenClose measures mapview twice, for the A/A pair.
func openOpenClose(path string, content []byte, size int) (*block, error) {
	b := &block{name: "OpenClose", size: size, check: openCheck{make([]byte, size)}}
	b.title = fmt.Sprintf("500 files opened and closed, the collector's work counted; %s read, where any", sizeText(size))
	add := func(impl string, open opening, read, again bool) {
		op := "Open+Close"
		if read {
			op = "Open+ReadAt+Close"
		}
		pass := func(buf []byte, _ int) error {
			if !read {
				return openAll(path, open, nil, nil, size)
			}
			return openAll(path, open, buf[:size], content, size)
		}
		b.variants = append(b.variants, variant{impl: impl, op: op, pass: pass, again: again})
	}
	for _, o := range openings {
		add(o.impl, o.open, false, false)
		add(o.impl, o.open, true, false)
	}
	add(openings[0].impl, openings[0].open, false, true)
	return b, nil
}

// openAll is one pass. What is read, into p if that is not nil, is compared at
// once.
func openAll(path string, open opening, p, content []byte, size int) error {
	before, err := addresses()
	if err != nil {
		return err
	}
	for i := range accesses {
		off := i * size
		n, err := open(path, p, int64(off))
		if n != len(p) || err != nil || p != nil && !bytes.Equal(p, content[off:off+size]) {
			return short(i, n, err)
		}
	}
	runtime.GC()
	for range 1000 {
		now, err := addresses()
		if err != nil || now < before+accesses*fileSize/10 {
			return err
		}
		time.Sleep(10 * time.Microsecond) // for what unmaps
	}
	return fmt.Errorf("the addresses of %d views do not come back", accesses)
}

// An openCheck has nothing left to look at.
type openCheck struct{ buf []byte }

func (c openCheck) whole(v *variant) error    { return v.pass(c.buf, 0) }
func (c openCheck) before(*variant)           {}
func (c openCheck) after(*variant, int) error { return nil }
func (c openCheck) buffers() [][]byte         { return [][]byte{c.buf} }

// addresses returns how many bytes of address space this process has.
func addresses() (int, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var pages int
	_, err = fmt.Sscan(string(text), &pages)
	return pages * os.Getpagesize(), err
}
