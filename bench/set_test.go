package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWordsDifferAndAreNever0(t *testing.T) {
	seen := map[uint64]bool{0: true}
	for i := range 1 << 16 {
		if seen[word(i)] {
			t.Fatalf("word %d, %#x, was there before, or is 0", i, word(i))
		}
		seen[word(i)] = true
	}
}

func TestWantFilledSeesAnotherByte(t *testing.T) {
	p := make([]byte, 64)
	fill(p, 128)
	if err := wantFilled(p, 128); err != nil {
		t.Error(err)
	}
	if wantFilled(p, 136) == nil {
		t.Error("bytes of another place pass")
	}
	p[63] ^= 1
	if wantFilled(p, 128) == nil {
		t.Error("the last byte is not looked at")
	}
}

func TestWalkInARowGoesRound(t *testing.T) {
	w := &walk{size: 64, times: 8, set: 256}
	off, at := 0, uint64(0)
	for i := range 12 {
		if off, at = w.place(at); off != i%4*64 {
			t.Errorf("access %d goes to %d", i, off)
		}
	}
}

func TestWalkAtRandomGoesEverywhere(t *testing.T) {
	w := &walk{size: 64, times: 8, set: 64 * 1000, random: true}
	places := map[int]bool{}
	off, at, inRow := 0, uint64(1)<<40, 0
	for range 20000 {
		last := off
		off, at = w.place(at)
		if off < 0 || off > w.set-w.size || off%w.size != 0 {
			t.Fatalf("an access goes to %d", off)
		}
		places[off] = true
		if off == last+64 {
			inRow++
		}
	}
	if len(places) != 1000 || inRow > 100 {
		t.Errorf("%d of 1000 places, %d times the next one", len(places), inRow)
	}
}

// A traced block has one variant, which may be a lie.
func tracedBlock(l loop, memory []byte, c func(w *walk) check) *block {
	w := &walk{size: 64, times: 16, set: len(memory), random: true}
	tr := &trace{loop: l, w: w, at: 1 << 40}
	return &block{name: "Hot", size: 64, each: w.times, check: c(w), variants: []variant{tr.variant("wrong", "copy", false)}}
}

func filledMemory() []byte {
	m := make([]byte, 1<<16)
	fill(m, 0)
	return m
}

// skipAccesses goes where the loop would have gone, and does nothing there.
func skipAccesses(w *walk, at uint64) uint64 {
	for range w.times {
		_, at = w.place(at)
	}
	return at
}

// lies are the ways not to do what right does: each is seen by one of the checks
// alone, or by the sum of them.
func lies(right loop) map[string]loop {
	idle := func(when func(pass, stride int) bool) loop {
		pass := 0
		return func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
			if pass++; when(pass, stride) {
				return skipAccesses(w, at), nil
			}
			return right(buf, stride, w, at)
		}
	}
	return map[string]loop{
		"nothing":                  idle(func(int, int) bool { return true }),
		"closed after the first":   idle(func(pass, _ int) bool { return pass > 1 }),
		"idle at first":            idle(func(pass, _ int) bool { return pass == 1 }),
		"idle when it is timed":    idle(func(_, stride int) bool { return stride == 0 }),
		"idle when it is not":      idle(func(_, stride int) bool { return stride != 0 }),
		"idle at last, in between": idle(func(pass, stride int) bool { return stride != 0 && pass > 40 }),
		"one access for all": func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
			one := *w
			one.times = 1
			if _, err := right(buf, stride, &one, at); err != nil {
				return at, err
			}
			return skipAccesses(w, at), nil
		},
		"the place before": func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
			if _, err := right(buf, stride, w, at-1<<20); err != nil {
				return at, err
			}
			return skipAccesses(w, at), nil
		},
		"never further": func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
			_, err := right(buf, stride, w, at)
			return at, err
		},
	}
}

func TestTraceCheckSeesLies(t *testing.T) {
	m := filledMemory()
	reads := func(w *walk) check { return newTraceCheck(w) }
	if _, err := tracedBlock(copyOut(m), m, reads).measure(0, func(int, int) {}); err != nil {
		t.Errorf("right reads: %v", err)
	}
	wrong := lies(copyOut(m))
	wrong["the last byte"] = func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
		next, err := copyOut(m)(buf, stride, w, at)
		buf[len(buf)-1] ^= 1
		return next, err
	}
	for name, l := range wrong {
		if _, err := tracedBlock(l, m, reads).measure(0, func(int, int) {}); err == nil || !strings.Contains(err.Error(), "wrong") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTraceWriteCheckSeesLies(t *testing.T) {
	file := filledMemory()
	writes := func(w *walk) check { return newTraceWriteCheck(w, func(*variant) []byte { return file }) }
	if _, err := tracedBlock(copyIn(file), file, writes).measure(0, func(int, int) {}); err != nil {
		t.Errorf("right writes: %v", err)
	}
	wrong := lies(copyIn(file))
	wrong["to memory of its own"] = copyIn(make([]byte, len(file)))
	for _, but := range []int{0, 7, 15} {
		wrong["all but access "+string(rune('0'+but))] = func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
			for i := range w.times {
				var off int
				if off, at = w.place(at); i != but {
					copy(file[off:off+w.size], buf[i*stride:])
				}
			}
			return at, nil
		}
	}
	wrong["all but the last byte"] = func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
		for i := range w.times {
			var off int
			off, at = w.place(at)
			copy(file[off:off+w.size-1], buf[i*stride:])
		}
		return at, nil
	}
	for name, l := range wrong {
		if _, err := tracedBlock(l, file, writes).measure(0, func(int, int) {}); err == nil || !strings.Contains(err.Error(), "wrong") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSumCheckSeesLies(t *testing.T) {
	m := filledMemory()
	for _, words := range []bool{false, true} {
		right := sumsOfBytes(m)
		if words {
			right = sumsOfWords(asWords(m))
		}
		sums := func(w *walk) check {
			return &sumCheck{m, words, make([]byte, 8), make([]byte, 8*w.times)}
		}
		if _, err := tracedBlock(right, m, sums).measure(0, func(int, int) {}); err != nil {
			t.Errorf("right sums, words %v: %v", words, err)
		}
		wrong := lies(right)
		wrong["the first half"] = func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
			for i := range w.times {
				var off int
				off, at = w.place(at)
				half := &walk{size: w.size / 2, times: 1, set: len(m)}
				right(buf[i*stride:], 0, half, uint64(off))
			}
			return at, nil
		}
		for name, l := range wrong {
			if _, err := tracedBlock(l, m, sums).measure(0, func(int, int) {}); err == nil || !strings.Contains(err.Error(), "wrong") {
				t.Errorf("%s, words %v: %v", name, words, err)
			}
		}
	}
}

// A failed touch must not be lost, since before has no error.
func TestTouchThatFailsEndsTheRun(t *testing.T) {
	m := filledMemory()
	b := tracedBlock(copyOut(m), m, func(w *walk) check { return newTraceCheck(w) })
	b.variants[0].trace.touch = func() error { return os.ErrClosed }
	if _, err := b.measure(0, func(int, int) {}); err == nil || !strings.Contains(err.Error(), os.ErrClosed.Error()) {
		t.Error(err)
	}
}

func TestToucherTouchesEveryPage(t *testing.T) {
	for _, set := range []int{1 << 16, 2 * piece} {
		pages := map[int]bool{}
		touch := toucher(func(_ []byte, _ int, w *walk, at uint64) (uint64, error) {
			off, next := w.place(at)
			pages[off/pageSize] = true
			return next, nil
		}, set)
		if err := touch(); err != nil || len(pages) != set/pageSize {
			t.Errorf("%d of %d pages, %v", len(pages), set/pageSize, err)
		}
	}
}

func TestSweepSeesWrongBytes(t *testing.T) {
	s := &set{size: 1 << 16, memory: filledMemory()}
	other := filledMemory()
	if err := s.sweep(&opened{read: copyOut(other)}, false, true); err != nil {
		t.Error(err)
	}
	other[12345]++
	if s.sweep(&opened{read: copyOut(other)}, false, true) == nil {
		t.Error("another byte passes")
	}
	idle := func(_ []byte, _ int, w *walk, at uint64) (uint64, error) { return skipAccesses(w, at), nil }
	if s.sweep(&opened{read: idle}, false, true) == nil {
		t.Error("one that reads nothing passes")
	}
}

func TestResidenceIsSeen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := writeFile(path, make([]byte, 4<<20)); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n, err := residentPages(f, 4<<20); n != 1024 || err != nil {
		t.Errorf("%d of 1024 pages after writing, %v", n, err)
	}
	if kib, err := folioKiB(f, 4<<20); err == nil && (kib < 4 || kib > 4096) {
		t.Errorf("folios of %d KiB", kib)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	if n, err := residentPages(f, 4<<20); n == 1024 || err != nil {
		t.Logf("SKIPPED: this file system keeps what it is told to drop: %d of 1024 pages, %v", n, err)
	}
}

func TestSmapsCountsOneMapping(t *testing.T) {
	var r resources
	defer r.close()
	path := filepath.Join(t.TempDir(), "file")
	if err := writeFile(path, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	o, err := wayNamed("syscall.Mmap", "copy").openIt(&r, path, how{write: true})
	if err != nil {
		t.Fatal(err)
	}
	clean, err := smapsKiB(o.bytes, "Rss")
	if err != nil || clean != 0 {
		t.Errorf("%d KiB are mapped before the first access, %v", clean, err)
	}
	for off := 0; off < 1<<20; off += pageSize {
		o.bytes[off] = 1
	}
	dirty, err := smapsKiB(o.bytes, "Shared_Dirty", "Private_Dirty")
	if err != nil || dirty != 1024 {
		t.Errorf("%d KiB are dirty, not 1024, %v", dirty, err)
	}
}

// Where all accesses go to one place, the right bytes are in the buffer already.
func TestTraceCheckSpoilsTheBuffer(t *testing.T) {
	m := filledMemory()
	w := &walk{size: 64, times: 16, set: 64}
	b := &block{name: "Hot", size: 64, each: w.times, check: newTraceCheck(w)}
	idle := lies(copyOut(m))["idle when it is timed"]
	for impl, l := range map[string]loop{"right": copyOut(m), "wrong": idle} {
		tr := &trace{loop: l, w: w}
		b.variants = append(b.variants, tr.variant(impl, "copy", false))
	}
	if _, err := b.measure(0, func(int, int) {}); err == nil || !strings.Contains(err.Error(), "wrong") {
		t.Error(err)
	}
}

func TestPlacesWantTheWayThatWasGone(t *testing.T) {
	w := &walk{size: 64, times: 4, set: 1 << 16}
	tr := &trace{w: w, at: 4 * 64}
	if places, err := tr.places(4, 2); err != nil || len(places) != 2 || places[0] != 128 || places[1] != 192 {
		t.Errorf("%v, %v", places, err)
	}
	tr.at += 64
	if _, err := tr.places(4, 2); err == nil {
		t.Error("an access too many is not seen")
	}
}
