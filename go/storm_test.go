//go:build cgo

package mapview_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	mapview "example.com/mapview/go"
)

// Another process cuts a file and grows it back, all the time, while this one
// reads and writes it in every way: every byte that comes out is the file's,
// or a zero past the lowest cut; else there is a typed error, which names the
// byte.

const (
	stormSize = 256 << 10
	stormCut  = 10_123 // the file never ends before this byte
)

// stormContent is what the file holds, by whoever it was written, or zeros.
// No two places of 251 bytes are alike, and no byte is 0.
func stormContent() []byte {
	b := make([]byte, stormSize)
	for i := range b {
		b[i] = byte(1 + (i+i/251+i/65536)%255)
	}
	return b
}

// childCut cuts the file args[0] until its standard input ends, and then leaves
// it whole. It prints how often it did.
func childCut(args []string) error {
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var over atomic.Bool
	go func() {
		io.Copy(io.Discard, os.Stdin)
		over.Store(true)
	}()
	content := stormContent()
	for n := 0; ; n++ {
		cut := stormCut + rand.Int64N(stormSize-stormCut)
		if err := f.Truncate(cut); err != nil {
			return err
		}
		if n%3 == 0 {
			time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
		}
		if err := f.Truncate(stormSize); err != nil {
			return err
		}
		if n%2 == 0 {
			if _, err := f.WriteAt(content[cut:], cut); err != nil {
				return err
			}
		}
		if over.Load() {
			_, err := fmt.Print(n + 1)
			return err
		}
	}
}

// A storm is the views of the file and what they must show.
type storm struct {
	t       *testing.T
	content []byte
	shared  *mapview.View
	reader  *mapview.View // read-only
	private *mapview.View
}

// An outcome is what an access did: n bytes from off on, and then err.
type outcome struct {
	off, n, all int
	err         error
	got         []byte // n bytes that were read, or nil
	inDo        bool
}

// accesses are the ways into the storm: each makes one access to the bytes
// from off on that p has room for.
func (s *storm) accesses() map[string]func(p []byte, off int) outcome {
	read := func(v *mapview.View) func(p []byte, off int) outcome {
		return func(p []byte, off int) outcome {
			n, err := v.ReadAt(p, int64(off))
			return outcome{off, n, len(p), err, p[:n], false}
		}
	}
	write := func(v *mapview.View) func(p []byte, off int) outcome {
		return func(p []byte, off int) outcome {
			n, err := v.WriteAt(s.content[off:off+len(p)], int64(off))
			return outcome{off, n, len(p), err, nil, false}
		}
	}
	loads := func(v *mapview.View) func(p []byte, off int) outcome {
		return func(p []byte, off int) outcome {
			n := 0
			err := v.Do(func(b []byte) error {
				for ; n < len(p); n++ {
					p[n] = b[off+n]
				}
				return nil
			})
			return outcome{off, n, len(p), err, p[:n], true}
		}
	}
	stores := func(v *mapview.View) func(p []byte, off int) outcome {
		return func(p []byte, off int) outcome {
			n := 0
			err := v.Do(func(b []byte) error {
				for ; n < len(p); n++ {
					b[off+n] = s.content[off+n]
				}
				return nil
			})
			return outcome{off, n, len(p), err, nil, true}
		}
	}
	return map[string]func(p []byte, off int) outcome{
		"ReadAt":             read(s.shared),
		"ReadAt, read-only":  read(s.reader),
		"ReadAt, private":    read(s.private),
		"WriteAt":            write(s.shared),
		"WriteAt, private":   write(s.private),
		"Do load":            loads(s.shared),
		"Do load, read-only": loads(s.reader),
		"Do load, private":   loads(s.private),
		"Do store":           stores(s.shared),
		"Do store, private":  stores(s.private),
		"At":                 s.at,
		"Cursor.Read":        s.cursorRead,
		"Cursor.Write":       s.cursorWrite,
		"Cursor.WriteTo":     s.cursorWriteTo,
		"Cursor.ReadFrom":    s.cursorReadFrom,
	}
}

func (s *storm) at(p []byte, off int) outcome {
	value := panicOf(func() { p[0] = s.shared.At(off) })
	if value == nil {
		return outcome{off, 1, 1, nil, p[:1], false}
	}
	err, ok := value.(error)
	if !ok {
		s.t.Errorf("At panics with %v", value)
	}
	return outcome{off, 0, 1, err, nil, false}
}

func (s *storm) cursor(off int) *mapview.Cursor {
	c := s.shared.Cursor()
	if _, err := c.Seek(int64(off), io.SeekStart); err != nil {
		s.t.Error(err)
	}
	return c
}

// stands checks that a Cursor stands behind what it has moved.
func (s *storm) stands(c *mapview.Cursor, o outcome) outcome {
	if at, err := c.Seek(0, io.SeekCurrent); at != int64(o.off+o.n) || err != nil {
		s.t.Errorf("a Cursor stands at %d after %d bytes from %d, %v", at, o.n, o.off, err)
	}
	return o
}

func (s *storm) cursorRead(p []byte, off int) outcome {
	c := s.cursor(off)
	n, err := c.Read(p)
	return s.stands(c, outcome{off, n, len(p), err, p[:n], false})
}

func (s *storm) cursorWrite(p []byte, off int) outcome {
	c := s.cursor(off)
	n, err := c.Write(s.content[off : off+len(p)])
	return s.stands(c, outcome{off, n, len(p), err, nil, false})
}

// cursorWriteTo has a Writer that takes as much as there is room for in p.
func (s *storm) cursorWriteTo(p []byte, off int) outcome {
	c, full, taken := s.cursor(off), errors.New("full"), 0
	n, err := c.WriteTo(writerFunc(func(more []byte) (int, error) {
		n := copy(p[taken:], more)
		taken += n
		if n < len(more) {
			return n, full
		}
		return n, nil
	}))
	if err == full {
		err = nil
	}
	return s.stands(c, outcome{off, int(n), len(p), err, p[:taken], false})
}

func (s *storm) cursorReadFrom(p []byte, off int) outcome {
	c := s.cursor(off)
	rest := s.content[off : off+len(p)]
	n, err := c.ReadFrom(readerFunc(func(p []byte) (int, error) {
		n := copy(p, rest)
		rest = rest[n:]
		if n == 0 {
			return 0, io.EOF
		}
		return n, nil
	}))
	return s.stands(c, outcome{off, int(n), len(p), err, nil, false})
}

// check returns whether the access met a fault.
func (s *storm) check(what string, o outcome) bool {
	for i, x := range o.got {
		if want := s.content[o.off+i]; x != want && (x != 0 || o.off+i < stormCut) {
			s.t.Errorf("%s: byte %d is %d, not %d", what, o.off+i, x, want)
			break
		}
	}
	if o.err == nil {
		if o.n != o.all {
			s.t.Errorf("%s: %d bytes of %d and no error", what, o.n, o.all)
		}
		return false
	}
	var fault *mapview.FaultError
	if !errors.As(o.err, &fault) || fault.Offset != int64(o.off+o.n) {
		s.t.Errorf("%s: after %d bytes from %d: %v (%T)", what, o.n, o.off, o.err, o.err)
		return true
	}
	// Of Do also: the byte was back before its cause was looked for.
	again := o.inDo && (fault.Err == syscall.EAGAIN || fault.Err == syscall.EACCES)
	if fault.Err != ErrTruncated && !again {
		s.t.Errorf("%s: %v", what, fault)
	}
	return true
}

// TestForeignStorm has 64 goroutines. MAPVIEW_MINUTE=1 makes it go on for a
// minute; else it ends when every access has met enough faults.
func TestForeignStorm(t *testing.T) {
	const goroutines, enough = 64, 1000
	name := newFile(t, stormContent())
	child := secondProcess("cut", name)
	more, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &storm{
		t: t, content: stormContent(),
		shared:  open(t, name, os.O_RDWR, nil),
		reader:  open(t, name, os.O_RDONLY, nil),
		private: open(t, name, os.O_RDWR, &mapview.Options{Private: true}),
	}
	cuts := make(chan string)
	go func() {
		printed, err := child.Output()
		if err != nil {
			t.Errorf("the other process: %v", err)
		}
		cuts <- string(printed)
	}()

	least := time.Duration(0)
	if os.Getenv("MAPVIEW_MINUTE") != "" {
		least = time.Minute
	}
	type tally struct{ whole, faults atomic.Int64 }
	tallies := map[string]*tally{}
	var names []string
	for what := range s.accesses() {
		tallies[what] = &tally{}
		names = append(names, what)
	}
	var over atomic.Bool
	var group sync.WaitGroup
	for i := range goroutines {
		what := names[i%len(names)]
		access, tally := s.accesses()[what], tallies[what]
		group.Add(1)
		go func() {
			defer group.Done()
			buf := make([]byte, 3*page)
			for !over.Load() && !t.Failed() {
				off := rand.IntN(stormSize - len(buf))
				if s.check(what, access(buf[:1+rand.IntN(len(buf))], off)) {
					tally.faults.Add(1)
				} else {
					tally.whole.Add(1)
				}
			}
		}()
	}
	few := func() (list []string) {
		for what, tally := range tallies {
			if tally.faults.Load() < enough || tally.whole.Load() < enough {
				list = append(list, fmt.Sprintf("%s: %d faults, %d whole", what, tally.faults.Load(), tally.whole.Load()))
			}
		}
		return list
	}
	start := time.Now()
	for !t.Failed() && (time.Since(start) < least || len(few()) > 0) {
		if time.Since(start) > least+3*time.Minute {
			t.Errorf("too little was tried: %v", few())
		}
		time.Sleep(10 * time.Millisecond)
	}
	seconds := int(time.Since(start).Seconds())
	over.Store(true)
	group.Wait()
	more.Close()
	whole, faults := int64(0), int64(0)
	for _, what := range names {
		tally := tallies[what]
		t.Logf("%-18s %9d faults %9d whole", what, tally.faults.Load(), tally.whole.Load())
		whole += tally.whole.Load()
		faults += tally.faults.Load()
	}
	t.Logf("%d s of cutting and regrowing, %s times: %d accesses, %d errors", seconds, <-cuts, whole+faults, faults)
	s.checkAfterwards()
}

// checkAfterwards: the storm is over, and the views are as good as new.
func (s *storm) checkAfterwards() {
	if n, err := s.shared.WriteAt(s.content, 0); n != stormSize || err != nil {
		s.t.Errorf("WriteAt afterwards: %d, %v", n, err)
	}
	for _, v := range []*mapview.View{s.shared, s.reader} {
		got := make([]byte, stormSize)
		if n, err := v.ReadAt(got, 0); n != stormSize || err != nil || string(got) != string(s.content) {
			s.t.Errorf("ReadAt afterwards: %d, %v", n, err)
		}
		if err := v.Sync(); err != nil {
			s.t.Error(err)
		}
	}
	if actions() != actionsAtStart {
		s.t.Error("a signal handler was installed")
	}
}
