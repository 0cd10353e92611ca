//go:build cgo

package mapview_test

import (
	"io"
	"maps"
	"os"
	"runtime"
	"testing"

	mapview "example.com/mapview/go"
)

// hotCalls are the accesses that must be no more than a copy, whatever they
// return.
func hotCalls(t *testing.T) map[string]func() {
	t.Helper()
	v := open(t, newFile(t, pattern(2*page)), os.O_RDWR, nil)
	readOnly := open(t, v.Name(), os.O_RDONLY, nil)
	closed := open(t, v.Name(), os.O_RDWR, nil)
	closed.Close()
	end := v.Size()
	var failed error
	read := func(v *mapview.View, n int, off int64, want int) func() {
		return func() {
			var p [64]byte // on the stack: it must not be moved to the heap
			got, err := v.ReadAt(p[:n], off)
			if got != want {
				failed = err
			}
		}
	}
	write := func(v *mapview.View, n int, off int64, want int) func() {
		return func() {
			var p [64]byte
			got, err := v.WriteAt(p[:n], off)
			if got != want {
				failed = err
			}
		}
	}
	t.Cleanup(func() {
		if failed != nil && failed != io.EOF {
			t.Error(failed)
		}
	})
	words, err := mapview.Slice[uint64](v, 0, 8)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]func(){
		"ReadAt":               read(v, 64, 5, 64),
		"ReadAt over the end":  read(v, 64, end-3, 3),
		"ReadAt at the end":    read(v, 64, end, 0),
		"ReadAt of nothing":    read(v, 0, 0, 0),
		"ReadAt before":        read(v, 64, -1, 0),
		"ReadAt closed":        read(closed, 64, 0, 0),
		"WriteAt":              write(v, 64, 5, 64),
		"WriteAt over the end": write(v, 64, end-3, 3),
		"WriteAt at the end":   write(v, 64, end, 0),
		"WriteAt of nothing":   write(v, 0, 0, 0),
		"WriteAt before":       write(v, 64, -1, 0),
		"WriteAt closed":       write(closed, 64, 0, 0),
		"WriteAt read-only":    write(readOnly, 64, 0, 0),
		"At":                   func() { v.At(7) },
		"Do":                   func() { v.Do(func(b []byte) error { b[0]++; return nil }) },
		"Do closed":            func() { closed.Do(func(b []byte) error { return nil }) },
		"Bytes":                func() { v.Bytes()[3]++ },
		"Size":                 func() { v.Size(); v.Len(); closed.Size() },
		"a typed slice":        func() { words[3]++ },
		"Slice":                func() { mapview.Slice[uint64](v, 8, 4) },
		"Ptr":                  func() { mapview.Ptr[uint64](v, 8) },
	}
}

// hotCursorCalls are those of a Cursor, each at a byte of the view.
func hotCursorCalls(t *testing.T) map[string]func() {
	t.Helper()
	v := open(t, newFile(t, pattern(2*page)), os.O_RDWR, nil)
	readOnly := open(t, v.Name(), os.O_RDONLY, nil)
	closed := open(t, v.Name(), os.O_RDWR, nil)
	closed.Close()
	end := v.Size()
	calls := map[string]func(){}
	for where, off := range map[string]int64{"": 5, " over the end": end - 3, " at the end": end} {
		for kind, c := range map[string]*mapview.Cursor{"": v.Cursor(), ", read-only": readOnly.Cursor(), ", closed": closed.Cursor()} {
			seek := func() { c.Seek(off, io.SeekStart) }
			name := func(method string) string { return "Cursor." + method + where + kind }
			calls[name("Seek")] = func() { c.Seek(-1, io.SeekEnd); c.Seek(-1, io.SeekStart); c.Seek(0, 9) }
			calls[name("Read")] = func() { var p [64]byte; seek(); c.Read(p[:]) }
			calls[name("Write")] = func() { var p [64]byte; seek(); c.Write(p[:]) }
			calls[name("ReadByte")] = func() { seek(); c.ReadByte() }
			calls[name("UnreadByte")] = func() { seek(); c.UnreadByte(); c.Seek(0, io.SeekStart); c.UnreadByte() }
			calls[name("WriteByte")] = func() { seek(); c.WriteByte(1) }
		}
	}
	return calls
}

func allHotCalls(t *testing.T) map[string]func() {
	t.Helper()
	calls := hotCalls(t)
	maps.Copy(calls, hotCursorCalls(t))
	return calls
}

func TestHotCallsAllocateNothing(t *testing.T) {
	if underASan {
		t.Skip("AddressSanitizer moves buffers from the stack to the heap")
	}
	for what, call := range allHotCalls(t) {
		if n := testing.AllocsPerRun(100, call); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}

func TestHotCallsStayInGo(t *testing.T) {
	for what, call := range allHotCalls(t) {
		if n := cgoCalls(call); n != 0 {
			t.Errorf("%s: %d calls of C in 100", what, n)
		}
	}
	// The measure itself: Prefault is a call of C.
	v := open(t, newFile(t, pattern(page)), os.O_RDWR, nil)
	if n := cgoCalls(func() { v.Prefault(0, 1, mapview.AccessRead) }); n < 100 {
		t.Errorf("Prefault: %d calls of C in 100", n)
	}
}

// cgoCalls returns the fewest calls of C that the process made during 100
// calls of f. Cleanups of other tests may add some to a round, not to each.
func cgoCalls(f func()) int64 {
	fewest := int64(1 << 62)
	for range 5 {
		before := runtime.NumCgoCall()
		for range 100 {
			f()
		}
		fewest = min(fewest, runtime.NumCgoCall()-before)
	}
	return fewest
}

// A fault is repeated in C with a buffer on the stack, which stays there.
func TestFaultKeepsBufferOnStack(t *testing.T) {
	v := newCut(t)
	with := testing.AllocsPerRun(100, func() {
		var p [1 << 10]byte
		if n, err := v.ReadAt(p[:], int64(page)); n != 0 || err == nil {
			panic(n)
		}
	})
	without := testing.AllocsPerRun(100, func() {
		var p [1]byte
		v.ReadAt(p[:], int64(page))
	})
	if with != without {
		t.Errorf("%v allocations with a buffer of 1 KiB, %v with one of a byte", with, without)
	}
}
