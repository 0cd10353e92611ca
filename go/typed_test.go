//go:build cgo

package mapview_test

import (
	"io/fs"
	"math"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	mapview "example.com/mapview/go"
)

type record struct {
	ID    uint64
	Point [2]float32
	Tail  struct {
		A int8
		B int16
	}
}

func TestSlice(t *testing.T) {
	name := newFile(t, make([]byte, 10*unsafe.Sizeof(record{})+3))
	v := open(t, name, os.O_RDWR, nil)
	records, err := mapview.Slice[record](v, 0, 10)
	if err != nil || len(records) != 10 || cap(records) != 10 {
		t.Fatal(len(records), cap(records), err)
	}
	records[9] = record{ID: 1 << 40, Point: [2]float32{1, 2}}
	records[9].Tail.B = -5
	again, err := mapview.Slice[record](open(t, name, os.O_RDONLY, nil), int64(9*unsafe.Sizeof(record{})), 1)
	if err != nil || again[0] != records[9] {
		t.Errorf("%v, %v", again, err)
	}
	none, err := mapview.Slice[record](v, v.Size()-3, 0)
	if err != nil || len(none) != 0 {
		t.Error(none, err)
	}
}

func TestPtr(t *testing.T) {
	v := open(t, newFile(t, make([]byte, 64)), os.O_RDWR, nil)
	number, err := mapview.Ptr[int64](v, 8)
	if err != nil {
		t.Fatal(err)
	}
	*number = -2
	if v.At(8) != 0xfe && v.At(15) != 0xfe || v.At(16) != 0 {
		t.Errorf("%v", v.Bytes()[:24])
	}
	counter, err := mapview.Ptr[atomic.Int32](v, 60)
	if err != nil {
		t.Fatal(err)
	}
	if counter.Add(3) != 3 {
		t.Error(counter.Load())
	}
}

// A view may begin anywhere: what counts is the address.
func TestTypedAlignment(t *testing.T) {
	v := open(t, newFile(t, make([]byte, 64)), os.O_RDWR, &mapview.Options{Offset: 3})
	if _, err := mapview.Ptr[uint64](v, 5); err != nil {
		t.Error(err)
	}
	_, err := mapview.Ptr[uint64](v, 0)
	wantError(t, err, fs.ErrInvalid)
	if _, err := mapview.Slice[[3]byte](v, 1, 2); err != nil {
		t.Error(err)
	}
}

func TestTypedRanges(t *testing.T) {
	v := open(t, newFile(t, make([]byte, 64)), os.O_RDWR, nil)
	for _, c := range []struct {
		off int64
		n   int
	}{
		{-8, 1}, {0, -1}, {0, 9}, {8, 8}, {64, 1}, {72, 0}, {math.MinInt64, 1},
		{0, math.MaxInt}, {0, math.MaxInt/8 + 1}, {math.MaxInt64 &^ 7, 1}, {4, 1},
	} {
		s, err := mapview.Slice[uint64](v, c.off, c.n)
		if s != nil {
			t.Errorf("%+v: a slice beside an error", c)
		}
		wantError(t, err, fs.ErrInvalid)
	}
	p, err := mapview.Ptr[uint64](v, 60)
	if p != nil {
		t.Error("a pointer beside an error")
	}
	wantError(t, err, fs.ErrInvalid)
}

type deep struct {
	Fine int
	List []inner
}

type inner struct{ Name string }

type hidden struct{ entries [2][3]struct{ ok bool } }

func TestTypedRefusesTypes(t *testing.T) {
	v := open(t, newFile(t, make([]byte, 4096)), os.O_RDWR, nil)
	refused := map[string]error{}
	add := func(name string, err error) { refused[name] = err }
	add("bool", sliceError[bool](v))
	add("sync.Mutex is of package sync", sliceError[sync.Mutex](v))
	add("string", sliceError[string](v))
	add("*int", sliceError[*int](v))
	add("[]int", sliceError[[]int](v))
	add("map[", sliceError[map[int]int](v))
	add("chan", sliceError[chan int](v))
	add("func", sliceError[func()](v))
	add("interface", sliceError[any](v))
	add("unsafe.Pointer", sliceError[unsafe.Pointer](v))
	add("deep.List is a slice", sliceError[deep](v))
	add("inner.Name is a string", sliceError[[4]inner](v))
	add("hidden.entries[][].ok is a bool", sliceError[hidden](v))
	add("struct {}", sliceError[struct{}](v))
	add("[0]int", sliceError[[0]int](v))
	for part, err := range refused {
		wantError(t, err, fs.ErrInvalid)
		if err != nil && !strings.Contains(strings.ReplaceAll(err.Error(), "inner[]", "inner"), part) {
			t.Errorf("%q does not hold %q", err, part)
		}
	}
	_, err := mapview.Ptr[deep](v, 0)
	wantError(t, err, fs.ErrInvalid)
}

// sliceError asks twice: the second answer is the remembered one.
func sliceError[T any](v *mapview.View) error {
	mapview.Slice[T](v, 0, 1)
	_, err := mapview.Slice[T](v, 0, 1)
	return err
}
