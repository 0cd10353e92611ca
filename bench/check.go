// check.go makes sure that a variant moved the bytes it was timed for.
//
// A benchmark of a copy that copies nothing is fast and says nothing; the one
// in the notes was of that kind. Here it stops the run.

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
)

// A readCheck knows what the file holds.
type readCheck struct {
	content []byte   // accesses*size bytes
	last    []byte   // the bytes of the last access, which a pass leaves in its buffer
	bufs    [][]byte // one a goroutine
}

func newReadCheck(content []byte, size, goroutines int) *readCheck {
	content = content[:accesses*size]
	return &readCheck{content, content[len(content)-size:], buffers(goroutines, size)}
}

// buffers makes n, each with pages of its own: goroutines on two processors
// must not write to the same cache line.
func buffers(n, size int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = make([]byte, size, (size+4095)&^4095)
	}
	return bufs
}

func (c *readCheck) buffers() [][]byte { return c.bufs }

func (c *readCheck) whole(v *variant) error {
	got := buffers(max(v.goroutines, 1), len(c.content))
	for _, buf := range got {
		spoil(buf, c.content)
	}
	if _, err := v.run(got, len(c.last), 0); err != nil {
		return err
	}
	return compareAll(got, c.content)
}

func (c *readCheck) before(*variant) {
	for _, buf := range c.bufs {
		spoil(buf, c.last)
	}
}

func (c *readCheck) after(v *variant, _ int) error {
	return compareAll(c.bufs[:max(v.goroutines, 1)], c.last)
}

// spoil makes every byte of buf differ from the one in want.
func spoil(buf, want []byte) {
	for i := range buf {
		buf[i] = ^want[i]
	}
}

func compareAll(gots [][]byte, want []byte) error {
	for i, got := range gots {
		if err := compare(got, want); err != nil {
			return fmt.Errorf("goroutine %d of %d: %w", i+1, len(gots), err)
		}
	}
	return nil
}

func compare(got, want []byte) error {
	for i := range want {
		if got[i] != want[i] {
			return fmt.Errorf("byte %d is %#x and should be %#x", i, got[i], want[i])
		}
	}
	return nil
}

// A writeCheck has fresh bytes written each time and reads them back.
type writeCheck struct {
	path   string
	random *rand.ChaCha8
	buf    []byte
	got    []byte // accesses*size bytes
}

func newWriteCheck(path string, size int) *writeCheck {
	return &writeCheck{path, newRandom(), make([]byte, size), make([]byte, accesses*size)}
}

// newRandom never gives the same bytes again: what an earlier block wrote to the
// file must not pass for what this one should have.
func newRandom() *rand.ChaCha8 {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	return rand.NewChaCha8(seed)
}

func (c *writeCheck) buffers() [][]byte { return [][]byte{c.buf} }

// whole writes other bytes into every page and reads the file back as any
// program would.
func (c *writeCheck) whole(v *variant) error {
	want := make([]byte, len(c.got))
	c.random.Read(want)
	if err := v.pass(want, len(c.buf)); err != nil {
		return err
	}
	if v.readBack != nil {
		if err := v.readBack(c.got); err != nil {
			return err
		}
		return compare(c.got, want)
	}
	got, err := os.ReadFile(c.path)
	if err != nil {
		return err
	}
	return compare(got[:len(want)], want)
}

func (c *writeCheck) before(*variant) { c.random.Read(c.buf) }

func (c *writeCheck) after(v *variant, _ int) error {
	readBack := v.readBack
	if readBack == nil {
		readBack = c.readFile
	}
	if err := readBack(c.got); err != nil {
		return err
	}
	for page := range accesses {
		if !bytes.Equal(c.got[page*len(c.buf):(page+1)*len(c.buf)], c.buf) {
			return fmt.Errorf("access %d of %d did not arrive", page, accesses)
		}
	}
	return nil
}

// readFile is os.ReadFile into memory that is there already: 2 MB of garbage
// after each sample would put the collector into the next one.
func (c *writeCheck) readFile(into []byte) error {
	f, err := os.Open(c.path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.ReadAt(into, 0)
	return err
}
