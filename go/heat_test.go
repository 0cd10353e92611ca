//go:build cgo

package mapview_test

import (
	"bytes"
	"io"
	"os"
	"runtime"
	"testing"

	mapview "example.com/mapview/go"
)

// What is not known to be in memory is brought in by a call of C, which is what
// these tests count. Bits are forgotten after seconds, so a count of a test that
// is kept waiting could be too high: the fewest of some rounds are taken.

// fewestCalls runs round, with a number of its own, a few times and returns for
// each of its steps the fewest calls of C.
func fewestCalls(round func(i int, step func(f func()))) []int64 {
	var fewest []int64
	for i := range 3 {
		n := 0
		round(i, func(f func()) {
			before := runtime.NumCgoCall()
			f()
			calls := runtime.NumCgoCall() - before
			if n == len(fewest) {
				fewest = append(fewest, calls)
			}
			fewest[n] = min(fewest[n], calls)
			n++
		})
	}
	return fewest
}

func wantCalls(t *testing.T, what string, got []int64, want ...int64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d steps", what, len(got))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: step %d of %v makes %d calls of C, not %d", what, i+1, want, got[i], want[i])
		}
	}
}

const heated = 300 << 10 // more than one word of the bitmap has bits for

// readAndCompare reads n bytes at off of a view that shows content.
func readAndCompare(t *testing.T, v *mapview.View, content []byte, off, n int) {
	t.Helper()
	p := make([]byte, n)
	got, err := v.ReadAt(p, int64(off))
	want := content[off:min(off+n, len(content))]
	if got != len(want) || !bytes.Equal(p[:got], want) || (err != nil) != (got < n) || (err != nil && err != io.EOF) {
		t.Errorf("%d bytes at %d: %d, %v", n, off, got, err)
	}
}

func TestColdReads(t *testing.T) {
	content := pattern(heated)
	name := newFile(t, content)
	for what, opt := range map[string]*mapview.Options{
		"shared":   nil,
		"part":     {Offset: 1000, Length: heated - 2000},
		"rest":     {Offset: int64(page)},
		"private":  {Private: true},
		"reserved": {Reserve: 1 << 40},
	} {
		shown, lead := content, 0
		if opt != nil {
			lead = int(opt.Offset) % page
			shown = content[opt.Offset:]
			if opt.Length > 0 {
				shown = shown[:opt.Length]
			}
		}
		got := fewestCalls(func(_ int, step func(func())) {
			v := open(t, name, os.O_RDWR, opt)
			read := func(off, n int) { step(func() { readAndCompare(t, v, shown, off, n) }) }
			ten := 10*page - lead   // where a page begins
			read(5, 64)             // the first byte of its page
			read(200, 64)           // the same page
			read(ten, 64)           // another one
			read(ten-500, 1000)     // and the one before
			read(ten-700, 1000)     // both
			read(0, 280<<10)        // all but the last
			read(0, 280<<10)        // in more than one word
			read(len(shown)-10, 64) // over the end
			read(len(shown)-10, 10) // up to it
		})
		wantCalls(t, what, got, 1, 0, 1, 1, 0, 1, 0, 1, 0)
	}
}

func TestColdWrites(t *testing.T) {
	for what, opt := range map[string]*mapview.Options{"shared": nil, "private": {Private: true}} {
		content := pattern(heated)
		name := newFile(t, content)
		fresh := bytes.Repeat([]byte("fresh "), heated)
		got := fewestCalls(func(_ int, step func(func())) {
			v := open(t, name, os.O_RDWR, opt)
			shown := bytes.Clone(content)
			write := func(off, n int) {
				step(func() {
					if got, err := v.WriteAt(fresh[:n], int64(off)); got != n || err != nil {
						t.Errorf("%s: %d, %v", what, got, err)
					}
				})
				copy(shown[off:], fresh[:n])
			}
			write(5, 64)
			write(100, 64)
			write(20*page-5, 10)
			write(0, 280<<10)
			write(0, 280<<10)
			step(func() { readAndCompare(t, v, shown, 0, heated) }) // the last pages are cold
			if !bytes.Equal(v.Bytes(), shown) {
				t.Errorf("%s: other bytes", what)
			}
			if opt == nil {
				wantContent(t, name, shown)
				content = shown
			}
		})
		wantCalls(t, what, got, 1, 0, 1, 1, 0, 1)
	}
}

// A write over the end, whose first part is cold.
func TestColdWriteOverTheEnd(t *testing.T) {
	v := open(t, newFile(t, pattern(heated)), os.O_RDWR, nil)
	if n, err := v.WriteAt(make([]byte, 100), heated-10); n != 10 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestColdAt(t *testing.T) {
	content := pattern(heated)
	name := newFile(t, content)
	wantCalls(t, "At", fewestCalls(func(_ int, step func(func())) {
		v := open(t, name, os.O_RDONLY, nil)
		for _, i := range []int{7, 8, heated - 1, heated - 2} {
			step(func() {
				if got := v.At(i); got != content[i] {
					t.Errorf("byte %d is %d", i, got)
				}
			})
		}
	}), 1, 0, 1, 0)
}

func TestCursorIsCold(t *testing.T) {
	name := newFile(t, pattern(heated))
	wantCalls(t, "Cursor", fewestCalls(func(_ int, step func(func())) {
		c := open(t, name, os.O_RDWR, nil).Cursor()
		p := make([]byte, page)
		step(func() { c.Read(p) })
		step(func() { c.Read(p[1:]) })
		step(func() { c.ReadByte() })
		step(func() { c.Write(p) })
		step(func() { c.WriteTo(io.Discard) })
		step(func() { c.Seek(0, io.SeekStart); c.Read(p); c.Write(p) })
	}), 1, 1, 0, 1, (heated-3*int64(page)+32<<10-1)/(32<<10), 0)
}

// What is brought in on purpose is known to be there, and what was given up not.
func TestHeatOfAdvice(t *testing.T) {
	name := newFile(t, pattern(heated))
	use := func(what string, with func(v *mapview.View) error, calls int64) {
		got := fewestCalls(func(_ int, step func(func())) {
			v := open(t, name, os.O_RDWR, nil)
			if err := with(v); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			var p [100]byte
			step(func() { v.ReadAt(p[:], int64(20*page)) })
		})
		wantCalls(t, what, got, calls)
	}
	const end = mapview.ToEnd
	all := func(v *mapview.View) error { return v.Prefault(0, end, mapview.AccessRead) }
	use("Prefault", all, 0)
	use("Prefault elsewhere", func(v *mapview.View) error { return v.Prefault(0, int64(20*page), mapview.AccessRead) }, 1)
	use("Probe", func(v *mapview.View) error { return v.Probe(10, end, mapview.AccessWrite) }, 0)
	use("Prefetch", func(v *mapview.View) error { return v.Prefetch(mapview.Range{Length: end}) }, 1)
	use("AdvicePageOut", func(v *mapview.View) error { all(v); return v.Advise(0, end, mapview.AdvicePageOut) }, 1)
	use("AdviceCold", func(v *mapview.View) error { all(v); return v.Advise(0, end, mapview.AdviceCold) }, 1)
	use("AdviceRandom", func(v *mapview.View) error { all(v); return v.Advise(0, end, mapview.AdviceRandom) }, 0)
}

// Views for which it is not worth it, or not wanted, copy by themselves at once.
func TestNeverCold(t *testing.T) {
	large, small := newFile(t, pattern(heated)), newFile(t, pattern(64<<10))
	for what, open := range map[string]func() (*mapview.View, error){
		"Resident": func() (*mapview.View, error) {
			return mapview.OpenFile(large, os.O_RDWR, 0, &mapview.Options{Resident: true})
		},
		"64 KiB":    func() (*mapview.View, error) { return mapview.OpenFile(small, os.O_RDWR, 0, nil) },
		"Anonymous": func() (*mapview.View, error) { return mapview.Anonymous(heated, nil) },
		"NewMemory": func() (*mapview.View, error) { return mapview.NewMemory(heated, nil) },
	} {
		got := fewestCalls(func(_ int, step func(func())) {
			v, err := open()
			opened(t, v, err)
			p := make([]byte, 50<<10)
			step(func() { v.ReadAt(p, 10); v.WriteAt(p[:64], 20); v.At(60 << 10) })
		})
		wantCalls(t, what, got, 0)
	}
}

// A view of 1 TiB that is used at both ends takes little memory.
func TestHeatOfSparseFile(t *testing.T) {
	name := newFile(t, nil)
	if err := os.Truncate(name, 1<<40); err != nil {
		t.Skip("no file can be so long here:", err)
	}
	v := open(t, name, os.O_RDONLY, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var p [64]byte
	for _, off := range []int64{0, 1 << 39, 1<<40 - 64} {
		if n, err := v.ReadAt(p[:], off); n != 64 || err != nil {
			t.Errorf("at %d: %d, %v", off, n, err)
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 128<<10 {
		t.Errorf("%d bytes were allocated", n)
	}
}

// Growth is cold, and a cut is seen, where the bits say otherwise.
func TestHeatAndResize(t *testing.T) {
	content := pattern(heated)
	v := open(t, newFile(t, content), os.O_RDWR, &mapview.Options{Reserve: 4 * heated})
	readAndCompare(t, v, content, 0, heated)
	if err := v.Resize(2 * heated); err != nil {
		t.Fatal(err)
	}
	content = append(content, make([]byte, heated)...)
	readAndCompare(t, v, content, heated-100, heated)
	if err := v.Resize(100); err != nil {
		t.Fatal(err)
	}
	readAndCompare(t, v, content[:100], 0, 200)
	if n, err := v.ReadAt(make([]byte, 10), heated); n != 0 || err != io.EOF {
		t.Errorf("past the end: %d, %v", n, err)
	}
}

// A fault is the same whether the bytes were cold or hot.
func TestHeatAndFault(t *testing.T) {
	for _, hot := range []bool{false, true} {
		name := newFile(t, pattern(heated))
		v := open(t, name, os.O_RDWR, nil)
		if hot {
			readAndCompare(t, v, pattern(heated), 0, heated)
		}
		if err := os.Truncate(name, int64(10*page)); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 4*page)
		for range 2 {
			n, err := v.ReadAt(p, int64(8*page))
			wantFault(t, err, 10*page, ErrTruncated)
			if n != 2*page {
				t.Errorf("hot %v: %d bytes", hot, n)
			}
			n, err = v.WriteAt(p, int64(8*page))
			wantFault(t, err, 10*page, ErrTruncated)
			if n != 2*page {
				t.Errorf("hot %v: %d bytes", hot, n)
			}
			wantFault(t, panicOf(func() { v.At(11 * page) }).(error), 11*page, ErrTruncated)
		}
	}
}
