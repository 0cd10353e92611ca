//go:build cgo

package faults

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"testing"

	mapview "example.com/mapview/go"
)

// A beside is something that this process itself does to the view while an
// access runs.
type beside struct {
	name string
	do   func(v *mapview.View) error
	undo func(v *mapview.View) error // nil: that is for good
	cut  int                         // where the view ends then

	// what an access returns that goes on behind the cut
	stops func(c column, err error) bool
	// and one byte by byte that was inside when it happened: it ends at this byte
	end func(c column) int
}

var besides = []beside{
	{
		name: "own Resize",
		do:   func(v *mapview.View) error { return v.Resize(int64(page) + 100) },
		undo: func(v *mapview.View) error { return v.Resize(pages * int64(page)) },
		cut:  page + 100,
		stops: func(c column, err error) bool {
			if c.op == "read" && err == io.EOF || c.op == "write" && errors.Is(err, io.ErrShortWrite) {
				return true
			}
			return isCut(err)
		},
		end: func(c column) int {
			if c.name == "At" { // it knows the new end
				return page + 100
			}
			return 2 * page
		},
	}, {
		name: "own Close",
		do:   func(v *mapview.View) error { return v.Close() },
		cut:  0,
		stops: func(c column, err error) bool {
			_, isSlice := err.(*sliceFault)
			return errors.Is(err, os.ErrClosed) || isSlice && c.op == "" || err == io.EOF && c.name == "At"
		},
		end: func(column) int { return page + 20 },
	},
}

func isCut(err error) bool {
	_, isSlice := err.(*sliceFault)
	return isSlice || errors.Is(err, mapview.ErrTruncated)
}

func runBeside(t *testing.T, p place, b beside, m *table) {
	for i, c := range columns {
		t.Run(c.name, func(t *testing.T) {
			open := func() *cell {
				cell := newCell(t, p, row{}, i)
				t.Cleanup(func() { cell.v.Close(); cell.f.Close(); os.Remove(cell.name) })
				return cell
			}
			m.run(t, b.name, c.name, func() string {
				if c.byBytes {
					return b.inside(t, open())
				}
				return b.between(t, open)
			})
		})
	}
}

// inside does it, in another goroutine, when the access has reached byte
// page+20 of the view. It is deterministic.
func (b beside) inside(t *testing.T, c *cell) string {
	const from = 17
	do := make(chan bool)
	done := make(chan error)
	go func() {
		for range do {
			done <- b.do(c.v)
		}
	}()
	defer close(do)
	buf := make([]byte, 3*page-from)
	if c.column.store {
		copy(buf, others()[from:])
	}
	n, err := c.column.move(c.v, buf, from, func(moved int) {
		if from+moved == page+20 {
			do <- true
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	if from+n != b.end(c.column) {
		t.Errorf("it ended at byte %d, not at %d", from+n, b.end(c.column))
	}
	if !b.stops(c.column, err) {
		t.Errorf("error is %v (%T)", err, err)
	}
	if offset := offsetOf(err); offset >= 0 && offset != int64(from+n) {
		t.Errorf("%v: the byte is not %d", err, from+n)
	}
	if want := zeroed(content(), page+100, pages*page)[from:][:n]; !c.column.store && !bytes.Equal(buf[:n], want) {
		t.Error("other bytes")
	}
	b.checkAfterwards(t, c)
	return wordFor(c.column, buf[:n], err)
}

// between does it again and again beside an access that runs all the time,
// until enough of them have met it and enough have not.
func (b beside) between(t *testing.T, open func() *cell) string {
	const enough, most = 30, 100_000
	whole, stopped := 0, 0
	var last error
	for round := 0; min(whole, stopped) < enough; round++ {
		if round == most {
			t.Fatalf("%d whole and %d stopped: too little was tried", whole, stopped)
		}
		c := open()
		var over atomic.Bool
		ready, finished := make(chan bool), make(chan bool)
		go func() {
			defer close(finished)
			for first := true; !over.Load(); first = false {
				if err := b.moveAll(t, c); err == nil {
					whole++
				} else {
					stopped++
					last = err
				}
				if first {
					close(ready)
				}
			}
		}()
		<-ready
		b.doAndUndo(t, c.v)
		over.Store(true)
		<-finished
		b.checkAfterwards(t, c)
		c.v.Close()
		c.f.Close()
	}
	return wordFor(column{}, nil, last)
}

func (b beside) doAndUndo(t *testing.T, v *mapview.View) {
	t.Helper()
	for range 50 {
		if err := b.do(v); err != nil {
			t.Error(err)
		}
		if b.undo == nil {
			return
		}
		if err := b.undo(v); err != nil {
			t.Error(err)
		}
	}
}

// moveAll accesses the whole view, and checks what it gets.
func (b beside) moveAll(t *testing.T, c *cell) error {
	buf := others()
	n, err := c.column.move(c.v, buf, 0, nil)
	switch {
	case err == nil && n != len(buf):
		t.Errorf("%d bytes and no error", n)
	case err != nil && !b.stops(c.column, err):
		t.Errorf("after %d bytes: %v (%T)", n, err, err)
	case err != nil && n < b.cut:
		t.Errorf("ended at byte %d: %v", n, err)
	}
	if offset := offsetOf(err); offset >= 0 && offset != int64(n) {
		t.Errorf("%v: the byte is not %d", err, n)
	}
	if c.column.store {
		return err
	}
	want := content()
	for i, x := range buf[:n] {
		if x != want[i] && (x != 0 || i < b.cut || b.undo == nil) {
			t.Errorf("byte %d is %d", i, x)
			break
		}
	}
	return err
}

// checkAfterwards: the view is as good as before, or the file is under a new
// one.
func (b beside) checkAfterwards(t *testing.T, c *cell) {
	t.Helper()
	if b.undo == nil {
		v, err := mapview.Open(c.name)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		if n, err := v.ReadAt(make([]byte, pages*page), 0); n != pages*page || err != nil {
			t.Errorf("a new view: %d, %v", n, err)
		}
		return
	}
	if err := b.undo(c.v); err != nil {
		t.Error(err)
	}
	buf := others()
	if n, err := c.v.WriteAt(buf, 0); n != len(buf) || err != nil {
		t.Errorf("afterwards: %d, %v", n, err)
	}
	c.wantStored(t, 0, buf)
	c.checkSync(t, nil)
	if _, err := c.f.WriteAt(content(), 0); err != nil {
		t.Fatal(err)
	}
}
