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
	"time"
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

type blank struct {
	ID uint64
	_  *int
}

type marked struct {
	_  [0]func()
	ID uint64
}

type embeds struct {
	ID uint64
	inner
}

type grid struct{ A struct{ B [3][4]*int } }

type hidden struct{ entries [2][3]struct{ ok bool } }

func TestTypedRefusesTypes(t *testing.T) {
	v := open(t, newFile(t, make([]byte, 4096)), os.O_RDWR, nil)
	refused := map[string]error{}
	add := func(name string, err error) { refused[name] = err }
	add("bool", sliceError[bool](v))
	add("sync.Mutex is of package sync", sliceError[sync.Mutex](v))
	add("string", sliceError[string](v))
	add("*int is a pointer", sliceError[*int](v))
	add("[]int is a slice", sliceError[[]int](v))
	add("map[int]int is a map", sliceError[map[int]int](v))
	add("chan int is a channel", sliceError[chan int](v))
	add("func() is a function", sliceError[func()](v))
	add("is an interface", sliceError[any](v))
	add("unsafe.Pointer is a pointer", sliceError[unsafe.Pointer](v))
	add("deep.List is a slice", sliceError[deep](v))
	add("inner.Name is a string", sliceError[[4]inner](v))
	add("hidden.entries[][].ok is a bool", sliceError[hidden](v))
	add("blank._ is a pointer", sliceError[blank](v))
	add("marked._[] is a function", sliceError[marked](v))
	add("embeds.inner.Name is a string", sliceError[embeds](v))
	add("grid.A.B[][] is a pointer", sliceError[grid](v))
	add("time.Time.loc is a pointer", sliceError[time.Time](v))
	add("is a pointer", sliceError[atomic.Pointer[int]](v))
	add("atomic.Value.v is an interface", sliceError[atomic.Value](v))
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
	_, err = mapview.NewRecords[deep](v, 0)
	wantError(t, err, fs.ErrInvalid)
}

type every struct {
	I   int
	I8  int8
	I16 int16
	I32 int32
	I64 int64
	U   uint
	U8  uint8
	U16 uint16
	U32 uint32
	U64 uint64
	F32 float32
	F64 float64
	C8  complex64
	C16 complex128
	P   uintptr
	A   [2][3]struct{ X, Y int16 }
	_   [4]byte
	N   struct{}
	B   atomic.Bool
	C   atomic.Int64
	S   [0]int
}

func TestTypedTakesNumbers(t *testing.T) {
	v := open(t, newFile(t, make([]byte, 4096)), os.O_RDWR, nil)
	p, err := mapview.Ptr[every](v, 8)
	if err != nil {
		t.Fatal(err)
	}
	p.A[1][2].Y, p.P = -1, 5
	p.B.Store(true)
	if p.C.Add(7); v.At(8+int(unsafe.Offsetof(p.P))) != 5 || v.At(8+int(unsafe.Offsetof(p.C))) != 7 {
		t.Errorf("%v", v.Bytes()[:512])
	}
}

// sliceError asks twice: the second answer is the remembered one.
func sliceError[T any](v *mapview.View) error {
	mapview.Slice[T](v, 0, 1)
	_, err := mapview.Slice[T](v, 0, 1)
	return err
}
