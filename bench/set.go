// set.go makes the sets of bytes that single accesses go to, and checks what
// those accesses moved.

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const piece = 1 << 20 // bytes that a set is filled and swept in

// word is what a set holds at byte 8*i: of all i it is another, and never 0.
func word(i int) uint64 {
	x := uint64(i+1) * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// fill makes p what a set holds from off on; both are multiples of 8.
func fill(p []byte, off int) {
	for i := 0; i < len(p); i += 8 {
		binary.LittleEndian.PutUint64(p[i:], word((off+i)/8))
	}
}

// wantFilled looks at every byte of what was read from off on.
func wantFilled(p []byte, off int) error {
	for i := 0; i < len(p); i += 8 {
		if got := binary.LittleEndian.Uint64(p[i:]); got != word((off+i)/8) {
			return fmt.Errorf("the 8 bytes at %d are %#x and should be %#x", off+i, got, word((off+i)/8))
		}
	}
	return nil
}

// A set is a file and memory without a file that hold the same.
type set struct {
	path   string
	size   int
	memory []byte // in huge pages, if there are any
	state  string
}

// makeSet has the file on the medium and in the page cache.
func makeSet(r *resources, dir, name string, size int) (*set, error) {
	s := &set{path: filepath.Join(dir, name), size: size}
	r.closeLater(func() error { return os.Remove(s.path) })
	memory, err := hugeMemory(r, size)
	if err != nil {
		return nil, err
	}
	fill(memory, 0)
	s.memory = memory
	if err := writeFile(s.path, memory[:size]); err != nil {
		return nil, err
	}
	file, err := fileState(s.path)
	if err != nil {
		return nil, err
	}
	huge, err := smapsKiB(memory, "AnonHugePages")
	s.state = fmt.Sprintf("file: %s; memory: %d of %d KiB in huge pages, by smaps", file, huge, max(size, hugePage)/1024)
	return s, err
}

const hugePage = 2 << 20

func hugeMemory(r *resources, size int) ([]byte, error) {
	all, m, err := reserve(size)
	if err != nil {
		return nil, err
	}
	r.closeLater(func() error { return unix.Munmap(all) })
	unix.Madvise(m, unix.MADV_HUGEPAGE) // where there are none, the state says so
	return m, nil
}

// A trace is where the passes of one variant go. It goes on from pass to pass,
// so that all of the set is accessed.
type trace struct {
	loop loop
	w    *walk
	at   uint64 // of the next access
	was  uint64 // before the passes of this round

	failed error        // of touch
	touch  func() error // untimed, before a round's passes; or nil
}

// Rounds that are interleaved leave each mapping idle for most of the time. In it
// the caches lose its page tables and, of a small set of its own, the bytes, and
// mapview forgets what it saw (an eighth each second). So all of a small set, and a
// byte of each page of a large one, is accessed through l before a variant's turn.
func toucher(l loop, set int) func() error {
	size := 1
	if set <= piece {
		size = pageSize
	}
	w := &walk{size: size, times: 1, set: set + size}
	p := make([]byte, size)
	return func() error {
		for off := 0; off < set; off += pageSize {
			if _, err := l(p, 0, w, uint64(off)); err != nil {
				return err
			}
		}
		return nil
	}
}

// begin is before a round's passes.
func (t *trace) begin() {
	if t.touch != nil {
		t.failed = t.touch()
	}
	t.was = t.at
}

func (t *trace) pass(buf []byte, stride int) (err error) {
	t.at, err = t.loop(buf, stride, t.w, t.at)
	return err
}

func (t *trace) variant(impl, op string, again bool) variant {
	return variant{impl: impl, op: op, again: again, pass: t.pass, trace: t}
}

// places returns where the last n of the accesses went since the round began.
func (t *trace) places(accesses, n int) ([]int, error) {
	if t.failed != nil {
		return nil, t.failed
	}
	places := make([]int, 0, n)
	at, off := t.was, 0
	for i := range accesses {
		if off, at = t.w.place(at); i >= accesses-n {
			places = append(places, off)
		}
	}
	if at != t.at {
		return nil, fmt.Errorf("%d accesses do not lead to where the passes are", accesses)
	}
	return places, nil
}

// sweep accesses all of the set, in order. What is read is compared with the
// memory, if compared.
func (s *set) sweep(o *opened, write, compared bool) error {
	p := make([]byte, min(piece, s.size))
	for off := 0; off < s.size; off += len(p) {
		want := s.memory[off : off+len(p)]
		if write {
			if err := o.write.once(want, int64(off)); err != nil {
				return err
			}
			continue
		}
		if compared {
			clear(p)
		}
		if err := o.read.once(p, int64(off)); err != nil {
			return err
		}
		if compared && !bytes.Equal(p, want) {
			return wantFilled(p, off)
		}
	}
	return nil
}

// A traceCheck is the check of a block of single reads from a set.
type traceCheck struct{ buf, wide []byte }

func newTraceCheck(w *walk) *traceCheck {
	return &traceCheck{buffers(1, w.size)[0], make([]byte, w.size*w.times)}
}

func (c *traceCheck) buffers() [][]byte { return [][]byte{c.buf} }

// whole makes a pass and looks at all that it read.
func (c *traceCheck) whole(v *variant) error {
	clear(c.wide)
	v.trace.was = v.trace.at
	if err := v.pass(c.wide, len(c.buf)); err != nil {
		return err
	}
	places, err := v.trace.places(v.trace.w.times, v.trace.w.times)
	if err != nil {
		return err
	}
	for i, off := range places {
		if err := wantFilled(c.wide[i*len(c.buf):(i+1)*len(c.buf)], off); err != nil {
			return err
		}
	}
	return nil
}

func (c *traceCheck) before(v *variant) {
	clear(c.buf) // a set has no word that is 0
	v.trace.begin()
}

func (c *traceCheck) after(v *variant, passes int) error {
	places, err := v.trace.places(passes*v.trace.w.times, 1)
	if err != nil {
		return err
	}
	return wantFilled(c.buf, places[0])
}

// A traceWriteCheck is that of single writes. It looks at what arrived through a
// mapping of its own, or in the memory of the variant that has no file.
type traceWriteCheck struct {
	buf, wide []byte
	random    *rand.ChaCha8
	reader    func(v *variant) []byte
}

func newTraceWriteCheck(w *walk, reader func(v *variant) []byte) *traceWriteCheck {
	return &traceWriteCheck{buffers(1, w.size)[0], make([]byte, w.size*w.times), newRandom(), reader}
}

func (c *traceWriteCheck) buffers() [][]byte { return [][]byte{c.buf} }

// whole writes other bytes with each access of a pass.
func (c *traceWriteCheck) whole(v *variant) error {
	c.random.Read(c.wide)
	v.trace.was = v.trace.at
	if err := v.pass(c.wide, len(c.buf)); err != nil {
		return err
	}
	return c.arrived(v, v.trace.w.times, func(i int) []byte { return c.wide[i*len(c.buf) : (i+1)*len(c.buf)] })
}

func (c *traceWriteCheck) before(v *variant) {
	c.random.Read(c.buf)
	v.trace.begin()
}

func (c *traceWriteCheck) after(v *variant, passes int) error {
	return c.arrived(v, passes*v.trace.w.times, func(int) []byte { return c.buf })
}

// arrived looks at the places of the last pass. Where two accesses went to the
// same, the later one counts.
func (c *traceWriteCheck) arrived(v *variant, accesses int, want func(i int) []byte) error {
	places, err := v.trace.places(accesses, v.trace.w.times)
	if err != nil {
		return err
	}
	seen := make(map[int]bool, len(places))
	file := c.reader(v)
	for i := len(places) - 1; i >= 0; i-- {
		if off := places[i]; !seen[off] {
			seen[off] = true
			if !bytes.Equal(file[off:off+len(c.buf)], want(i)) {
				return fmt.Errorf("access %d of a pass, %d bytes to %d, did not arrive", i, len(c.buf), off)
			}
		}
	}
	return nil
}
