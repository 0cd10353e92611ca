// open.go opens and closes: what a file costs of which little or nothing is read.

package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"time"

	mapview "example.com/mapview/go"
	expmmap "golang.org/x/exp/mmap"
)

// A handle is what an open returns.
type handle interface {
	ReadAt(p []byte, off int64) (int, error)
	Close() error
}

// A view is unmapped when it is garbage. So each pass of all variants ends with
// a collection, and waits until the addresses are back.
func openOpenClose(path string, content []byte, size int) (*block, error) {
	b := &block{name: "OpenClose", size: size, check: openCheck{make([]byte, size)}}
	add := func(impl string, open func() (handle, error), again bool) {
		pass := func(read bool) func([]byte, int) error {
			return func(buf []byte, _ int) error {
				return openAll(open, read, buf[:size], content)
			}
		}
		b.variants = append(b.variants, variant{impl: impl, op: "Open+Close", pass: pass(false), again: again})
		if !again {
			b.variants = append(b.variants, variant{impl: impl, op: "Open+ReadAt+Close", pass: pass(true)})
		}
	}
	view := func() (handle, error) { return mapview.Open(path) }
	add("mapview", view, false)
	add("exp-mmap", func() (handle, error) { return expmmap.Open(path) }, false)
	add("os.File", func() (handle, error) { return os.Open(path) }, false)
	add("mapview", view, true)
	return b, nil
}

// openAll is one pass. What is read is compared at once.
func openAll(open func() (handle, error), read bool, p, content []byte) error {
	before, err := addresses()
	if err != nil {
		return err
	}
	for i := range accesses {
		h, err := open()
		if err != nil {
			return err
		}
		if read {
			off := i * len(p)
			if n, err := h.ReadAt(p, int64(off)); n != len(p) || !bytes.Equal(p, content[off:off+len(p)]) {
				return short(i, n, err)
			}
		}
		if err := h.Close(); err != nil {
			return err
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
