//go:build cgo

package mapview_test

import (
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
)

func TestDo(t *testing.T) {
	v := open(t, newFile(t, pattern(page+1)), os.O_RDWR, nil)
	mine := errors.New("mine")
	for _, want := range []error{nil, mine} {
		err := v.Do(func(b []byte) error {
			if len(b) != page+1 || cap(b) != len(b) {
				t.Errorf("length %d, capacity %d", len(b), cap(b))
			}
			b[page] = 99
			return want
		})
		if err != want {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if v.At(page) != 99 {
		t.Errorf("byte is %d", v.At(page))
	}
}

// inaccessible maps two pages of which only the first can be accessed: memory
// whose faults are nobody's business here.
func inaccessible(t *testing.T) []byte {
	t.Helper()
	b, err := syscall.Mmap(-1, 0, 2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(b) })
	if err := syscall.Mprotect(b[page:], syscall.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestForeignFaultsPass(t *testing.T) {
	v := open(t, newFile(t, pattern(page)), os.O_RDWR, nil)
	foreign := inaccessible(t)
	address := func(value any) uintptr {
		if !isFault(value) {
			t.Fatalf("panic value is %v", value)
		}
		return value.(interface{ Addr() uintptr }).Addr()
	}
	inside := func(a uintptr) bool {
		return a >= addressOf(foreign) && a < addressOf(foreign)+uintptr(len(foreign))
	}
	for what, f := range map[string]func(){
		"Do":      func() { v.Do(func([]byte) error { foreign[page+5] = 1; return nil }) },
		"ReadAt":  func() { v.ReadAt(foreign[page:], 0) },
		"WriteAt": func() { v.WriteAt(foreign[page:], 0) },
	} {
		if a := address(panicOf(f)); !inside(a) {
			t.Errorf("%s: the panic is at %#x", what, a)
		}
	}
	if debug.SetPanicOnFault(false) {
		t.Error("SetPanicOnFault is still on")
	}
}

func TestForeignPanicsPass(t *testing.T) {
	v := open(t, newFile(t, pattern(page)), os.O_RDWR, nil)
	type own struct{ n int }
	var trace string
	value := panicOf(func() {
		defer func() { trace = string(debug.Stack()) }()
		v.Do(func([]byte) error { panicHere(own{7}); return nil })
	})
	if value != (own{7}) {
		t.Errorf("panic value is %v", value)
	}
	if !strings.Contains(trace, "panicHere") {
		t.Errorf("the trace does not show where it began:\n%s", trace)
	}
	value = panicOf(func() {
		v.Do(func(b []byte) error {
			var p *int
			*p = 1
			return nil
		})
	})
	if err, ok := value.(runtime.Error); !ok || !strings.Contains(err.Error(), "nil pointer") {
		t.Errorf("panic value is %v", value)
	}
}

//go:noinline
func panicHere(value any) { panic(value) }

func TestDoPassesGoexit(t *testing.T) {
	v := open(t, newFile(t, pattern(page)), os.O_RDWR, nil)
	done := make(chan string)
	go func() {
		result := "Goexit"
		defer func() {
			if r := recover(); r != nil {
				result = "a panic"
			}
			if debug.SetPanicOnFault(false) {
				result = "SetPanicOnFault still on"
			}
			done <- result
		}()
		v.Do(func([]byte) error { runtime.Goexit(); return nil })
		result = "a return"
	}()
	if got := <-done; got != "Goexit" {
		t.Errorf("Goexit became %s", got)
	}
}

func TestDoNested(t *testing.T) {
	outer, inner := newCut(t), newCut(t)

	// The fault of a view is caught by the Do of that view.
	after := false
	err := outer.Do(func(b []byte) error {
		wantFault(t, inner.Do(func(b []byte) error { load(b, page+1); return nil }), page+1, ErrTruncated)
		after = true
		return nil
	})
	if err != nil || !after {
		t.Errorf("%v, after is %v", err, after)
	}
	err = outer.Do(func(b []byte) error {
		return inner.Do(func([]byte) error { load(b, page+2); return nil })
	})
	wantFault(t, err, page+2, ErrTruncated)

	// Of two of the same view, the inner one.
	err = outer.Do(func(b []byte) error {
		wantFault(t, outer.Do(func(b []byte) error { load(b, page+3); return nil }), page+3, ErrTruncated)
		return errors.New("went on")
	})
	if err == nil || err.Error() != "went on" {
		t.Error(err)
	}

	// After the inner one, the outer one still covers.
	err = outer.Do(func(b []byte) error {
		inner.Do(func([]byte) error { return nil })
		load(b, page+4)
		return nil
	})
	wantFault(t, err, page+4, ErrTruncated)
}

// A panic of At is a fault of its view, also to an outer Do.
func TestDoCatchesAt(t *testing.T) {
	a, b := newCut(t), newCut(t)
	wantFault(t, a.Do(func([]byte) error { a.At(page); return nil }), page, ErrTruncated)
	value := panicOf(func() { a.Do(func([]byte) error { b.At(page); return nil }) })
	err, _ := value.(error)
	wantFault(t, err, page, ErrTruncated)
}

// A FaultError that ReadAt returned is a value like any other: to panic with it
// is f's own doing.
func TestDoPassesReturnedFault(t *testing.T) {
	v := newCut(t)
	_, fault := v.ReadAt(make([]byte, 1), int64(page))
	wantFault(t, fault, page, ErrTruncated)
	if value := panicOf(func() { v.Do(func([]byte) error { panic(fault) }) }); value != fault {
		t.Errorf("the panic is %v, not %v", value, fault)
	}
}

func TestDoRestoresPanicOnFault(t *testing.T) {
	v := newCut(t)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(false))
	for _, before := range []bool{false, true} {
		debug.SetPanicOnFault(before)
		v.Do(func(b []byte) error { return nil })
		v.Do(func(b []byte) error { load(b, page); return nil })
		v.ReadAt(make([]byte, 1), int64(page))
		if now := debug.SetPanicOnFault(before); now != before {
			t.Errorf("SetPanicOnFault was %v and is %v", before, now)
		}
	}
}

func TestDoAndClose(t *testing.T) {
	v := open(t, newFile(t, pattern(page)), os.O_RDWR, nil)
	err := v.Do(func(b []byte) error {
		v.Close()
		b[0] = 1
		t.Error("a store after Close")
		return nil
	})
	wantError(t, err, os.ErrClosed)
	err = v.Do(func(b []byte) error { t.Error("called"); return nil })
	wantError(t, err, os.ErrClosed)
}
