package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
)

func pages(size int) []byte {
	content := make([]byte, accesses*size)
	rand.NewChaCha8([32]byte{9}).Read(content)
	return content
}

// Ways to be wrong that a count or an error would not tell.
func TestReadCheckSeesWrongReads(t *testing.T) {
	const size = 1024
	content := pages(size)
	for name, from := range map[string]func(i int) int{
		"the same page again and again": func(int) int { return 0 },
		"the pages backwards":           func(i int) int { return accesses - 1 - i },
		"one page late":                 func(i int) int { return max(i-1, 0) },
	} {
		v := &variant{pass: func(buf []byte, stride int) error {
			for i := range accesses {
				copy(buf[i*stride:i*stride+size], content[from(i)*size:(from(i)+1)*size])
			}
			return nil
		}}
		c := newReadCheck(content, size, 1)
		if c.whole(v) == nil {
			t.Errorf("%s: whole is content", name)
		}
		c.before(v)
		v.pass(c.buffers()[0], 0)
		if c.after(v, 1) == nil {
			t.Errorf("%s: after is content", name)
		}
	}
}

// Of two goroutines either can be the wrong one.
func TestReadCheckSeesEachGoroutine(t *testing.T) {
	content := pages(1024)
	right := fromStart(copyOut(content), 1024)
	for wrong := range 2 {
		var n atomic.Int32
		c := newReadCheck(content, 1024, 2)
		v := &variant{goroutines: 2, pass: func(buf []byte, stride int) error {
			if stride == 0 && &buf[0] == &c.bufs[wrong][0] || stride != 0 && n.Add(1) == int32(wrong)+1 {
				return nil
			}
			return right(buf, stride)
		}}
		if c.whole(v) == nil {
			t.Errorf("goroutine %d: whole is content", wrong)
		}
		c.before(v)
		v.run(c.buffers(), 0, 1)
		if c.after(v, 1) == nil {
			t.Errorf("goroutine %d: after is content", wrong)
		}
	}
	c := newReadCheck(content, 1024, 2)
	v := &variant{goroutines: 2, pass: right}
	if err := c.whole(v); err != nil {
		t.Error(err)
	}
	c.before(v)
	v.run(c.buffers(), 0, 1)
	if err := c.after(v, 1); err != nil {
		t.Error(err)
	}
}

func TestReadCheckSeesNothingAndLastByte(t *testing.T) {
	content := pages(1024)
	c := newReadCheck(content, 1024, 1)
	nothing := &variant{pass: func([]byte, int) error { return nil }}
	if c.whole(nothing) == nil {
		t.Error("whole: a variant that reads nothing passes")
	}
	c.before(nothing)
	if c.after(nothing, 1) == nil {
		t.Error("after: a variant that reads nothing passes")
	}
	read := fromStart(copyOut(content), 1024)
	lastByte := &variant{pass: func(buf []byte, stride int) error {
		read(buf, stride)
		buf[len(buf)-1]++
		return nil
	}}
	if c.whole(lastByte) == nil {
		t.Error("whole: the last byte is not looked at")
	}
	c.before(lastByte)
	lastByte.pass(c.buffers()[0], 0)
	if c.after(lastByte, 1) == nil {
		t.Error("after: the last byte is not looked at")
	}
	right := &variant{pass: read}
	if err := c.whole(right); err != nil {
		t.Error(err)
	}
}

func TestWriteCheckSeesWrongWrites(t *testing.T) {
	const size = 1024
	memory := make([]byte, accesses*size)
	readBack := func(into []byte) error { copy(into, memory); return nil }
	c := newWriteCheck("", size)
	for name, write := range map[string]func(i int, p []byte){
		"nothing":          func(int, []byte) {},
		"to one page":      func(_ int, p []byte) { copy(memory, p) },
		"all but one":      func(i int, p []byte) { copy(memory[i*size:(i+1)*size], p[:size*min(1, (i+137)%accesses)]) },
		"all but the last": func(i int, p []byte) { copy(memory[i*size:(i+1)*size], p[:size*min(1, accesses-1-i)]) },
		"all but half":     func(i int, p []byte) { copy(memory[i*size:], p[:size/2]) },
	} {
		v := &variant{readBack: readBack, pass: func(buf []byte, stride int) error {
			for i := range accesses {
				write(i, buf[i*stride:i*stride+size])
			}
			return nil
		}}
		if c.whole(v) == nil {
			t.Errorf("%s: whole is content", name)
		}
		c.before(v)
		v.pass(c.buffers()[0], 0)
		if c.after(v, 1) == nil {
			t.Errorf("%s: after is content", name)
		}
	}
	right := &variant{readBack: readBack, pass: fromStart(copyIn(memory), size)}
	if err := c.whole(right); err != nil {
		t.Error(err)
	}
	c.before(right)
	right.pass(c.buffers()[0], 0)
	if err := c.after(right, 1); err != nil {
		t.Error(err)
	}
}

// What a write leaves in the program and not in the file must not pass.
func TestWriteCheckReadsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, fileSize), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newWriteCheck(path, 4096)
	private := &variant{pass: fromStart(copyIn(make([]byte, fileSize)), 4096)}
	if c.whole(private) == nil {
		t.Error("whole: bytes that are not in the file pass")
	}
	c.before(private)
	private.pass(c.buffers()[0], 0)
	if c.after(private, 1) == nil {
		t.Error("after: bytes that are not in the file pass")
	}
}

func TestPublishedCheckWantsTheBug(t *testing.T) {
	passes := func(reads, errors int) *variant {
		v := &variant{impl: "exp-mmap", tally: &tally{first: -1}}
		v.pass = func([]byte, int) error {
			v.tally.reads += reads
			v.tally.errors += errors
			return nil
		}
		return v
	}
	c := &publishedCheck{}
	for _, first := range [][2]int{{500, 0}, {3, 499}, {1, 400}} {
		if c.whole(passes(first[0], first[1])) == nil {
			t.Errorf("a first op with %d reads and %d errors is not the published bug", first[0], first[1])
		}
	}
	v := passes(1, 499)
	if err := c.whole(v); err != nil || v.tally.first != 1 {
		t.Errorf("the first op: %v, %d", err, v.tally.first)
	}
	if c.whole(v) == nil {
		t.Error("a read after Close that returns data passes")
	}
	for tallied, right := range map[tally]bool{{reads: 0, errors: 1000}: true, {reads: 1, errors: 1000}: false, {reads: 0, errors: 999}: false} {
		v.tally = &tallied
		if err := c.after(v, 2); (err == nil) != right {
			t.Errorf("two later ops with %+v: %v", tallied, err)
		}
	}
}

// Every variant of every block, once: cheap, and it finds a peer whose new
// release moves other bytes before a run does.
func TestEveryVariantMovesItsBytes(t *testing.T) {
	for _, r := range rows {
		everyVariantOf(t, r)
	}
}

func everyVariantOf(t *testing.T, r row) {
	t.Helper()
	s := &scene{dir: t.TempDir(), processors: 2, largest: 2 << 20}
	defer s.close()
	blocks, err := r.plan(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, open := range blocks {
		b, err := open()
		var why skip
		if errors.As(err, &why) {
			t.Logf("SKIPPED: %v", why)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		wantOneLoop(t, b)
		wantOnePair(t, b)
		if err := onceThrough(b); err != nil {
			t.Errorf("%s: %v", b.name, err)
		}
		if err := b.close(); err != nil {
			t.Errorf("%s: close: %v", b.name, err)
		}
	}
}

// The noise is told by the A/A pair.
func wantOnePair(t *testing.T, b *block) {
	t.Helper()
	names := map[string]int{}
	var again []string
	for i := range b.variants {
		v := &b.variants[i]
		names[v.String()]++
		if v.again {
			again = append(again, v.String())
		}
	}
	if len(again) != 1 || names[again[0]] != 2 {
		t.Errorf("%s%s: the second ones of a pair are %q", b.name, b.keys, again)
	}
}

func onceThrough(b *block) error {
	if b.cold != nil { // each sample looks at every byte
		_, err := b.measureCold(0, func(int, int) {})
		return err
	}
	for range 2 {
		if err := b.checkAll(); err != nil {
			return err
		}
	}
	_, err := b.round(0, func(k int) (sample, error) { return b.sample(&b.variants[k], 1) })
	return err
}

// Rows that only copy must differ by their memory alone, not by their code.
func wantOneLoop(t *testing.T, b *block) {
	t.Helper()
	loops := map[uintptr]bool{}
	for _, v := range b.variants {
		if strings.HasPrefix(v.op, "copy") && !strings.Contains(v.op, "+") || v.op == "Bytes" {
			loops[reflect.ValueOf(v.pass).Pointer()] = true
		}
	}
	if len(loops) > 1 {
		t.Errorf("%s: the plain copies run in %d loops", b.name, len(loops))
	}
}
