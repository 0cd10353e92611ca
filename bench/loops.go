// loops.go holds the loops that are timed: one for each type that reads or
// writes.
//
// Each calls the method of its type directly, not through io.ReaderAt or a type
// parameter: such a call adds 0.4 to 0.7 ns to all of them (2 ns through a method
// value), a twentieth of a read of 64 bytes, and would so hide a part of the
// difference. That is so for struct types, too, of which each has a body of its own:
// it calls through a dictionary. What has its bytes as a slice shares the loop of
// the plain copy.

package main

import (
	"fmt"
	"os"

	mapview "example.com/mapview/go"
	dropin "example.com/mapview/go/mmap"
	gommap "github.com/go-mmap/mmap"
	expmmap "golang.org/x/exp/mmap"
)

// A walk is where the accesses of a pass go.
type walk struct {
	size   int  // bytes of one access
	times  int  // accesses in a pass
	set    int  // bytes that may be accessed; a multiple of size
	random bool // or one after the other, round and round
}

// place returns where an access goes, and what to call it with for the next one.
func (w *walk) place(at uint64) (off int, next uint64) {
	if w.random {
		at = at*6364136223846793005 + 1442695040888963407
		return int((at>>32)*uint64(w.set/w.size)>>32) * w.size, at
	}
	if next = at + uint64(w.size); next == uint64(w.set) {
		next = 0
	}
	return int(at), next
}

// A loop makes the accesses of a pass, from at on, and returns what the next pass
// begins at. The i-th works on the size bytes of buf at i*stride: stride 0 uses
// one buffer over and over, as the notes do, and stride size lets a check see
// every byte.
type loop func(buf []byte, stride int, w *walk, at uint64) (next uint64, err error)

func short(access, n int, err error) error {
	return fmt.Errorf("access %d moved %d bytes: %w", access, n, err)
}

// fromStart makes the pass of the notes' rows. As with copyOut there is one for
// all.
//
//go:noinline
func fromStart(l loop, size int) func(buf []byte, stride int) error {
	w := &walk{size: size, times: accesses, set: accesses * size}
	return func(buf []byte, stride int) error {
		_, err := l(buf, stride, w, 0)
		return err
	}
}

// once makes a single access.
func (l loop) once(p []byte, off int64) error {
	w := walk{size: len(p), times: 1, set: int(off) + 2*len(p)}
	_, err := l(p, 0, &w, uint64(off))
	return err
}

// copyOut reads from bytes that are there: a mapping's, or ordinary memory. It
// must not be inlined: each caller would get a loop of its own, and where the
// linker puts such a loop makes up to 5 % of a copy of 4 KiB. So all share one.
//
//go:noinline
func copyOut(from []byte) loop {
	return func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
		size, off := w.size, 0
		for i := range w.times {
			off, at = w.place(at)
			copy(buf[i*stride:i*stride+size], from[off:off+size])
		}
		return at, nil
	}
}

// copyIn writes to bytes that are there. As with copyOut there is one for all.
//
//go:noinline
func copyIn(to []byte) loop {
	return func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
		size, off := w.size, 0
		for i := range w.times {
			off, at = w.place(at)
			copy(to[off:off+size], buf[i*stride:i*stride+size])
		}
		return at, nil
	}
}

func readView(f *mapview.View) loop {
	return func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
		size, off := w.size, 0
		for i := range w.times {
			off, at = w.place(at)
			if n, err := f.ReadAt(buf[i*stride:i*stride+size], int64(off)); n != size || err != nil {
				return at, short(i, n, err)
			}
		}
		return at, nil
	}
}

func writeView(f *mapview.View) loop {
	return func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
		size, off := w.size, 0
		for i := range w.times {
			off, at = w.place(at)
			if n, err := f.WriteAt(buf[i*stride:i*stride+size], int64(off)); n != size || err != nil {
				return at, short(i, n, err)
			}
		}
		return at, nil
	}
}

func readDropin(f *dropin.ReaderAt) loop {
	return func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
		size, off := w.size, 0
		for i := range w.times {
			off, at = w.place(at)
			if n, err := f.ReadAt(buf[i*stride:i*stride+size], int64(off)); n != size || err != nil {
				return at, short(i, n, err)
			}
		}
		return at, nil
	}
}

func readExp(f *expmmap.ReaderAt) loop {
	return func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
		size, off := w.size, 0
		for i := range w.times {
			off, at = w.place(at)
			if n, err := f.ReadAt(buf[i*stride:i*stride+size], int64(off)); n != size || err != nil {
				return at, short(i, n, err)
			}
		}
		return at, nil
	}
}

func readGoMmap(f *gommap.File) loop {
	return func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
		size, off := w.size, 0
		for i := range w.times {
			off, at = w.place(at)
			if n, err := f.ReadAt(buf[i*stride:i*stride+size], int64(off)); n != size || err != nil {
				return at, short(i, n, err)
			}
		}
		return at, nil
	}
}

func writeGoMmap(f *gommap.File) loop {
	return func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
		size, off := w.size, 0
		for i := range w.times {
			off, at = w.place(at)
			if n, err := f.WriteAt(buf[i*stride:i*stride+size], int64(off)); n != size || err != nil {
				return at, short(i, n, err)
			}
		}
		return at, nil
	}
}

func readOSFile(f *os.File) loop {
	return func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
		size, off := w.size, 0
		for i := range w.times {
			off, at = w.place(at)
			if n, err := f.ReadAt(buf[i*stride:i*stride+size], int64(off)); n != size || err != nil {
				return at, short(i, n, err)
			}
		}
		return at, nil
	}
}

func writeOSFile(f *os.File) loop {
	return func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
		size, off := w.size, 0
		for i := range w.times {
			off, at = w.place(at)
			if n, err := f.WriteAt(buf[i*stride:i*stride+size], int64(off)); n != size || err != nil {
				return at, short(i, n, err)
			}
		}
		return at, nil
	}
}

// readDo and writeDo call Do once for each access.
func readDo(v *mapview.View) loop {
	return func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
		size, off := w.size, 0
		for i := range w.times {
			off, at = w.place(at)
			err := v.Do(func(b []byte) error {
				copy(buf[i*stride:i*stride+size], b[off:off+size])
				return nil
			})
			if err != nil {
				return at, short(i, 0, err)
			}
		}
		return at, nil
	}
}

func writeDo(v *mapview.View) loop {
	return func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
		size, off := w.size, 0
		for i := range w.times {
			off, at = w.place(at)
			err := v.Do(func(b []byte) error {
				copy(b[off:off+size], buf[i*stride:i*stride+size])
				return nil
			})
			if err != nil {
				return at, short(i, 0, err)
			}
		}
		return at, nil
	}
}
