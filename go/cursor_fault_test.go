//go:build cgo

package mapview_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	mapview "example.com/mapview/go"
)

// What a Cursor does when the view faults, and beside foreign code.

// cutCursor is a Cursor off bytes into a view of three pages whose file ends
// after the first.
func cutCursor(t *testing.T, off int) *mapview.Cursor {
	t.Helper()
	return at(t, newCut(t), off)
}

func TestCursorFaults(t *testing.T) {
	p := make([]byte, 2*page)

	c := cutCursor(t, page-10)
	n, err := c.Read(p)
	wantFault(t, err, page, ErrTruncated)
	if n != 10 {
		t.Errorf("Read: %d bytes before the fault", n)
	}
	wantOp(t, err, "read")
	wantPosition(t, c, page)
	_, err = c.ReadByte()
	wantFault(t, err, page, ErrTruncated)
	wantPosition(t, c, page)

	c = cutCursor(t, page-10)
	n, err = c.Write(p)
	wantFault(t, err, page, ErrTruncated)
	if n != 10 {
		t.Errorf("Write: %d bytes before the fault", n)
	}
	wantOp(t, err, "write")
	wantPosition(t, c, page)
	wantFault(t, c.WriteByte(1), page, ErrTruncated)
	wantPosition(t, c, page)

	c = cutCursor(t, page-10)
	var got bytes.Buffer
	written, err := c.WriteTo(&got)
	wantFault(t, err, page, ErrTruncated)
	wantOp(t, err, "read")
	if written != 10 || !bytes.Equal(got.Bytes(), pattern(page)[page-10:]) {
		t.Errorf("WriteTo: %d, %v", written, got.Bytes())
	}
	wantPosition(t, c, page)

	c = cutCursor(t, page-10)
	stored, err := c.ReadFrom(bytes.NewReader(p))
	wantFault(t, err, page, ErrTruncated)
	wantOp(t, err, "write")
	if stored != 10 {
		t.Errorf("ReadFrom: %d bytes before the fault", stored)
	}
	wantPosition(t, c, page)
}

func wantOp(t *testing.T, err error, op string) {
	t.Helper()
	var fault *mapview.FaultError
	if errors.As(err, &fault) && fault.Op != op {
		t.Errorf("%v: the operation is not %q", err, op)
	}
}

// The file is cut while the other side runs.
func TestCursorCutBesideForeignCode(t *testing.T) {
	name := newFile(t, pattern(200_000))
	v := open(t, name, os.O_RDWR, nil)
	cut := func() {
		if err := os.Truncate(name, 0); err != nil {
			t.Fatal(err)
		}
	}
	c := v.Cursor()
	var first int
	n, err := c.WriteTo(writerFunc(func(p []byte) (int, error) {
		cut()
		first = len(p)
		for i := range p { // in reach, whatever happens to the file
			p[i]++
		}
		return len(p), nil
	}))
	wantFault(t, err, first, ErrTruncated)
	if n != int64(first) || first == 0 {
		t.Errorf("%d bytes, the first time %d", n, first)
	}
	wantPosition(t, c, first)

	os.Truncate(name, 200_000)
	c = v.Cursor()
	n, err = c.ReadFrom(readerFunc(func(p []byte) (int, error) {
		cut()
		return copy(p, "lost"), nil
	}))
	wantFault(t, err, 0, ErrTruncated)
	if n != 0 {
		t.Errorf("%d bytes stored", n)
	}
}

// The other side may use its bytes in another goroutine, where nobody guards.
func TestCursorWriteToPipe(t *testing.T) {
	name := newFile(t, pattern(200_000))
	v := open(t, name, os.O_RDONLY, nil)
	r, w := io.Pipe()
	var group sync.WaitGroup
	group.Add(1)
	var got int64
	go func() {
		defer group.Done()
		os.Truncate(name, 0)
		got, _ = io.Copy(io.Discard, r)
	}()
	n, err := v.Cursor().WriteTo(w)
	w.Close()
	group.Wait()
	var fault *mapview.FaultError
	if !errors.As(err, &fault) || got != n {
		t.Errorf("%d written, %d arrived, %v", n, got, err)
	}
}

// What the other side does is not under the Cursor's guard: its panics and its
// faults, those in this very view included, are its own.
func TestCursorLeavesForeignCodeAlone(t *testing.T) {
	v := newCut(t)
	stale := v.Bytes()
	foreign := map[string]func(){
		"a panic":                  func() { panic("mine") },
		"a nil pointer":            func() { var p *int; *p = 1 },
		"a fault in the view":      func() { load(stale, page) },
		"a fault somewhere else":   func() { load(inaccessible(t), page) },
		"SetPanicOnFault is as is": func() { panic(debug.SetPanicOnFault(true)) },
	}
	for what, f := range foreign {
		for call, run := range map[string]func(c *mapview.Cursor){
			"WriteTo": func(c *mapview.Cursor) {
				c.WriteTo(writerFunc(func(p []byte) (int, error) { f(); return len(p), nil }))
			},
			"ReadFrom": func(c *mapview.Cursor) {
				c.ReadFrom(readerFunc(func(p []byte) (int, error) { f(); return 0, io.EOF }))
			},
		} {
			for _, guarded := range []bool{false, true} {
				if !guarded && strings.HasPrefix(what, "a fault") {
					continue // would end the process, as it must
				}
				c := v.Cursor()
				before := debug.SetPanicOnFault(guarded)
				value := panicOf(func() { run(c) })
				debug.SetPanicOnFault(before)
				if strings.HasPrefix(what, "SetPanicOnFault") {
					if value != guarded {
						t.Errorf("%s: SetPanicOnFault is %v, and %v inside", call, guarded, value)
					}
				} else if value == nil {
					t.Errorf("%s: %s does not come out", call, what)
				}
				wantPosition(t, c, 0)
			}
		}
	}
	// An outer Do covers it, as it covers all that its function calls.
	err := v.Do(func([]byte) error {
		_, err := v.Cursor().WriteTo(writerFunc(func([]byte) (int, error) { load(stale, page+3); return 0, nil }))
		return err
	})
	wantFault(t, err, page+3, ErrTruncated)
}
