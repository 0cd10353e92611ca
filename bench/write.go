// write.go holds the ways to write a file: the loop of read.go the other way
// round. In the block Write nothing is synced; in WriteSync every op ends with
// the call that puts the 500 pages onto the medium.

package main

import (
	"fmt"
	"io"
	"os"
)

func openWrite(path string, size int) (*block, error) {
	var openers []opener
	for i := range ways {
		if w := &ways[i]; w.write != "" && w.write != "WriteAt,resident" {
			openers = append(openers, w.opener(true))
		}
	}
	title := fmt.Sprintf("500 writes of %s in a row, no sync (x/exp/mmap cannot write)", sizeText(size))
	return openBlock("Write", title, path, size, newWriteCheck(path, size), wayNamed("syscall.Mmap", "copy").opener(true),
		append(openers, fileWrites, memoryWrites)...)
}

// openWriteSync takes os.File for its A/A pair: here the noise is the disk's.
func openWriteSync(path string, size int) (*block, error) {
	var openers []opener
	for i := range ways {
		if ways[i].sync != "" {
			openers = append(openers, ways[i].syncing)
		}
	}
	title := fmt.Sprintf("500 writes of %s in a row, then one sync", sizeText(size))
	return openBlock("WriteSync", title, path, size, newWriteCheck(path, size), wayNamed("os.File", "WriteAt").syncing,
		append(openers, memoryWrites)...)
}

// syncing is an opener whose every pass ends with a sync.
func (w *way) syncing(r *resources, path string, size int) ([]variant, error) {
	o, err := w.openIt(r, path, how{write: true})
	if err != nil {
		return nil, err
	}
	return []variant{{impl: w.impl, op: w.write + "+" + w.sync, pass: then(fromStart(o.write, size), o.sync)}}, nil
}

// then has every pass end with sync.
func then(pass func([]byte, int) error, sync func() error) func([]byte, int) error {
	return func(buf []byte, stride int) error {
		if err := pass(buf, stride); err != nil {
			return err
		}
		return sync()
	}
}

// As with Read, the Seek is timed with the pass.
func fileWrites(r *resources, path string, size int) ([]variant, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	r.closeLater(f.Close)
	return []variant{{impl: "os.File", op: "Write", pass: func(buf []byte, stride int) error {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		for i := range accesses {
			n, err := f.Write(buf[i*stride : i*stride+size])
			if n != size || err != nil {
				return short(i, n, err)
			}
		}
		return nil
	}}}, nil
}

// memoryWrites copies into ordinary memory: no file, and so no sync.
func memoryWrites(_ *resources, _ string, size int) ([]variant, error) {
	memory := make([]byte, fileSize)
	return []variant{{
		impl: "memory", op: "copy", pass: fromStart(copyIn(memory), size),
		readBack: func(into []byte) error { copy(into, memory); return nil },
	}}, nil
}
