// hot.go accesses what is in memory, once an op: reads and writes of 64 bytes to
// 64 KiB, in a row or at random, within 1 MiB, which fits a cache of the
// processor, and within 256 MiB, which does not.

package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A workload is what a block of single accesses does.
type workload struct {
	size   int
	set    int
	random bool
}

func (l workload) walk() *walk {
	return &walk{size: l.size, times: max(16, min(512, piece/l.size)), set: l.set, random: l.random}
}

func (l workload) pattern() string {
	if l.random {
		return "rand"
	}
	return "seq"
}

func (l workload) keys(cache string) string {
	return fmt.Sprintf("/set=%dMiB/pattern=%s/cache=%s", l.set>>20, l.pattern(), cache)
}

func (l workload) title(verb string) string {
	where := "in a row"
	if l.random {
		where = "at random"
	}
	return fmt.Sprintf("%s %s %s, in %d MiB", verb, sizeText(l.size), where, l.set>>20)
}

func sizeText(n int) string {
	switch {
	case n == 1:
		return "1 byte"
	case n%1024 == 0:
		return fmt.Sprintf("%d KiB", n/1024)
	}
	return fmt.Sprintf("%d bytes", n)
}

// A stage is a set and all that accesses it, open for the blocks of a row.
type stage struct {
	set     *set
	write   bool
	players []player
	swept   bool
	checker []byte // a mapping of the file, to look at what was written
	mapped  byte   // of its pages, so that they are read
}

// A player is a way that is open, or memory without a file.
type player struct {
	impl, op string
	again    bool
	opened   *opened
}

// openStage opens every way that can do it on the set. The first one is there
// twice, for the A/A pair.
func openStage(r *resources, dir, name string, size int, write bool) (*stage, error) {
	s, err := makeSet(r, dir, name, size)
	if err != nil {
		return nil, err
	}
	st := &stage{set: s, write: write}
	if st.checker, err = mapFile(r, s.path, size); err != nil {
		return nil, err
	}
	for i, w := range waysAndPair() {
		if w.op(write) == "" || w.op(write) == "Do" {
			continue // Do is in Read, Write, Guard and Slice
		}
		o, err := w.openIt(r, s.path, how{write: write})
		if err != nil {
			return nil, err
		}
		st.players = append(st.players, player{w.impl, w.op(write), i == len(ways), o})
	}
	memory := &opened{read: copyOut(s.memory), write: copyIn(s.memory)}
	st.players = append(st.players, player{"memory", "copy", false, memory})
	return st, nil
}

func mapFile(r *resources, path string, size int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	r.closeLater(func() error { return unix.Munmap(m) })
	return m, nil
}

// sweep has the players access all of the set: every page of every mapping is
// there then. For later blocks mapview has to have seen it lately.
func (st *stage) sweep() error {
	for i := range st.players {
		p := &st.players[i]
		if st.swept && !strings.HasPrefix(p.impl, "mapview") {
			continue
		}
		if err := st.set.sweep(p.opened, st.write, !st.swept); err != nil {
			return fmt.Errorf("%s %s: %w", p.impl, p.op, err)
		}
	}
	st.swept = true
	return nil
}

// dirtyKiB counts what is dirty of the file: smaps tells it of pages that are
// mapped.
func (st *stage) dirtyKiB() (int, error) {
	for off := 0; off < st.set.size; off += pageSize {
		st.mapped += st.checker[off]
	}
	return smapsKiB(st.checker, "Shared_Dirty", "Private_Dirty")
}

// block makes one of the stage's blocks.
func (st *stage) block(name string, l workload) (*block, error) {
	if err := st.sweep(); err != nil {
		return nil, err
	}
	w := l.walk()
	b := &block{name: name, size: l.size, keys: l.keys("resident"), title: l.title("read"), each: w.times}
	b.check = newTraceCheck(w)
	b.state = st.set.state + "; every page accessed through its mapping before a variant's turn"
	if st.write {
		dirty, err := st.dirtyKiB()
		if err != nil {
			return nil, err
		}
		b.keys, b.title = l.keys("dirty"), l.title("write")+" (x/exp/mmap cannot write)"
		b.state += fmt.Sprintf("; then written through each mapping: %d of %d KiB dirty, by smaps", dirty, st.set.size/1024)
		b.check = newTraceWriteCheck(w, func(v *variant) []byte {
			if v.impl == "memory" {
				return st.set.memory
			}
			return st.checker
		})
	}
	for i, p := range st.players {
		t := &trace{loop: p.opened.loop(st.write), w: w, at: uint64(i) * uint64(l.set/l.size/len(st.players)*l.size)}
		if l.random {
			t.at = uint64(i+1) << 40
		}
		if p.impl != "os.File" || l.set <= piece { // it has no page tables
			t.touch = toucher(p.opened.loop(st.write), l.set)
		}
		b.variants = append(b.variants, t.variant(p.impl, p.op, p.again))
	}
	return b, nil
}

const (
	small = 1 << 20   // more than a processor's own cache may hold, less than all of them share
	large = 256 << 20 // more than any cache
)

func planHot(s *scene) ([]func() (*block, error), error) {
	return s.stages("Hot", false, workload{64, small, false}, workload{64, small, true}, workload{4096, small, true},
		workload{65536, small, false})
}

func planHotLarge(s *scene) ([]func() (*block, error), error) {
	return s.stages("HotLarge", false, workload{64, large, false}, workload{64, large, true}, workload{4096, large, false},
		workload{4096, large, true}, workload{65536, large, false}, workload{65536, large, true})
}

func planHotWrite(s *scene) ([]func() (*block, error), error) {
	return s.stages("HotWrite", true, workload{64, small, false}, workload{64, small, true}, workload{4096, small, true})
}

func planHotWriteLarge(s *scene) ([]func() (*block, error), error) {
	return s.stages("HotWriteLarge", true, workload{64, large, true}, workload{4096, large, true}, workload{65536, large, false})
}

// stages has a stage made when the first block is opened, and closed with the row.
func (s *scene) stages(name string, write bool, loads ...workload) (blocks []func() (*block, error), err error) {
	var st *stage
	for _, l := range loads {
		l.set = min(l.set, s.largest)
		blocks = append(blocks, func() (*block, error) {
			if st == nil {
				if st, err = openStage(&s.resources, s.dir, "go-"+name, l.set, write); err != nil {
					return nil, err
				}
			}
			return st.block(name, l)
		})
	}
	return blocks, nil
}
