//go:build cgo

package mapview_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	mapview "example.com/mapview/go"
)

// Each view of this storm is resized all the time, and closed in the middle of
// it, while it is read and written in every way, the garbage collector runs, and
// views of another file are opened and closed, which would get its addresses if
// it gave them back. What comes out is bytes of the file, or zeros where it was
// cut and has grown again, or one of the errors that are promised; and a slice
// that was kept of a closed view never shows the other file, nor changes it.

const (
	lifeLeast = 300 << 10 // the size is never below
	lifeMost  = 700 << 10
)

// A lifeStorm is one view in it.
type lifeStorm struct {
	t        *testing.T
	v        *mapview.View
	content  []byte
	accesses *atomic.Int64
}

// uses are the ways to use the view; each returns the error that it met.
func (s *lifeStorm) uses() []func(p []byte, off int) error {
	v := s.v
	return []func(p []byte, off int) error{
		func(p []byte, off int) error {
			n, err := v.ReadAt(p, int64(off))
			s.compare("ReadAt", p[:n], off)
			return err
		},
		func(p []byte, off int) error {
			_, err := v.WriteAt(s.content[off:off+len(p)], int64(off))
			return err
		},
		func(p []byte, off int) error {
			n := 0
			err := v.Do(func(b []byte) error {
				for ; n < len(p) && off+n < len(b); n++ {
					p[n] = b[off+n]
				}
				return nil
			})
			s.compare("Do", p[:n], off)
			return err
		},
		func(p []byte, off int) error {
			return v.Do(func(b []byte) error {
				for i := off; i < off+len(p) && i < len(b); i++ {
					b[i] = s.content[i]
				}
				return nil
			})
		},
		func(p []byte, off int) error {
			c := v.Cursor()
			if _, err := c.Seek(int64(off), io.SeekStart); err != nil {
				return err
			}
			n, err := c.Read(p)
			s.compare("Cursor.Read", p[:n], off)
			return err
		},
		func(p []byte, off int) error {
			c := v.Cursor()
			if _, err := c.Seek(int64(off), io.SeekStart); err != nil {
				return err
			}
			_, err := c.Write(s.content[off : off+len(p)])
			return err
		},
		func(p []byte, off int) error {
			at := off
			_, err := v.Cursor().WriteTo(writerFunc(func(more []byte) (int, error) {
				s.compare("Cursor.WriteTo", more, at-off)
				at += len(more)
				return len(more), nil
			}))
			return err
		},
	}
}

func (s *lifeStorm) compare(what string, got []byte, off int) {
	for i, x := range got {
		if want := s.content[off+i]; x != want && (x != 0 || off+i < lifeLeast) {
			s.t.Errorf("%s: byte %d is %d, not %d", what, off+i, x, want)
			return
		}
	}
}

// isPromised knows the errors that may come, but for os.ErrClosed.
func isPromised(err error) bool {
	var fault *mapview.FaultError
	if errors.As(err, &fault) {
		return fault.Err == ErrTruncated || fault.Err == syscall.EAGAIN && fault.Op == "access"
	}
	return err == nil || err == io.EOF || errors.Is(err, io.ErrShortWrite)
}

// use goes on until the view is closed.
func (s *lifeStorm) use(access func(p []byte, off int) error, begun *sync.WaitGroup) {
	buf := make([]byte, 3*page)
	for i := 0; ; i++ {
		p := buf[:1+rand.IntN(len(buf))]
		err := access(p, rand.IntN(lifeMost-len(p)))
		s.accesses.Add(1)
		if i == 0 {
			begun.Done()
		}
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if !isPromised(err) {
			s.t.Errorf("%v (%T)", err, err)
			if i > 0 { // the others go on, and end
				return
			}
		}
		if i%8 == 0 {
			runtime.Gosched()
		}
	}
}

func (s *lifeStorm) resize() {
	for {
		err := s.v.Resize(lifeLeast + rand.Int64N(lifeMost-lifeLeast))
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			s.t.Errorf("Resize: %v", err)
			return
		}
		runtime.Gosched()
	}
}

func TestLifetimeStorm(t *testing.T) {
	rounds := 120
	if underRace || underASan {
		rounds = 25
		t.Logf("only %d views: a sanitizer makes each ten times longer", rounds)
	}
	content := make([]byte, lifeMost)
	for i := range content {
		content[i] = byte(1 + (i+i/251)%250) // no zero, and no 251 as the other file
	}
	name := newFile(t, content)
	foreign := make([]byte, lifeMost)
	for i := range foreign {
		foreign[i] = 251
	}
	other := newFile(t, foreign)

	var over atomic.Bool
	var beside sync.WaitGroup
	background := func(f func() error) {
		beside.Add(1)
		go func() {
			defer beside.Done()
			for !over.Load() && !t.Failed() {
				if err := f(); err != nil {
					t.Error(err)
				}
				runtime.Gosched()
			}
		}()
	}
	collections := 0
	background(func() error { collections++; runtime.GC(); return nil })
	background(func() error { // not lent: their addresses go back at once
		v, err := mapview.OpenFile(other, os.O_RDWR, 0, nil)
		if err == nil {
			v.ReadAt(make([]byte, page), 0)
			err = v.Close()
		}
		return err
	})

	var stale [][]byte
	var accesses atomic.Int64
	for range rounds {
		v, err := mapview.OpenFile(name, os.O_RDWR, 0, &mapview.Options{Reserve: lifeMost})
		if err != nil {
			t.Fatal(err)
		}
		s := &lifeStorm{t, v, content, &accesses}
		stale = append(stale, v.Bytes()[:lifeLeast])
		var begun, ended sync.WaitGroup
		uses := s.uses()
		begun.Add(len(uses))
		for _, access := range uses {
			ended.Add(1)
			go func() { defer ended.Done(); s.use(access, &begun) }()
		}
		ended.Add(1)
		go func() { defer ended.Done(); s.resize() }()
		begun.Wait()
		if err := v.Close(); err != nil {
			t.Error(err)
		}
		ended.Wait()
		if t.Failed() {
			break
		}
	}
	over.Store(true)
	beside.Wait()
	freeGarbage()
	checkStale(t, stale)
	wantContent(t, other, foreign)
	t.Logf("%d views, %d accesses, %d collections", rounds, accesses.Load(), collections)
}

// checkStale touches what was kept of closed views.
func checkStale(t *testing.T, stale [][]byte) {
	t.Helper()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	for i, b := range stale {
		for range 20 {
			at := rand.IntN(len(b))
			if value := panicOf(func() { load(b, at) }); !isFault(value) {
				t.Fatalf("slice %d: a load panics with %v", i, value)
			}
			if value := panicOf(func() { b[at] = 99 }); !isFault(value) {
				t.Fatalf("slice %d: a store panics with %v", i, value)
			}
		}
	}
}
