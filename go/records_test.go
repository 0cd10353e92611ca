//go:build cgo

package mapview_test

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"runtime"
	"testing"
	"unsafe"

	mapview "example.com/mapview/go"
)

func newRecords[T any](t *testing.T, v *mapview.View, off int64) *mapview.Records[T] {
	t.Helper()
	r, err := mapview.NewRecords[T](v, off)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRecords(t *testing.T) {
	const size = int(unsafe.Sizeof(record{}))
	name := newFile(t, make([]byte, 16+10*size+size-1))
	v := open(t, name, os.O_RDWR, nil)
	r := newRecords[record](t, v, 16)
	if r.Len() != 10 {
		t.Fatalf("%d records", r.Len())
	}
	for i := range r.Len() {
		r.At(i).ID = uint64(i)
	}
	again, err := mapview.Slice[record](v, 16, 10)
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for i, p := range r.All() {
		if i != want || p != &again[i] || p != r.At(i) || p.ID != uint64(i) {
			t.Errorf("record %d is %p, %+v", i, p, *p)
		}
		p.ID *= 2
		want++
	}
	if want != 10 || again[9].ID != 18 {
		t.Errorf("%d visited, the last is %+v", want, again[9])
	}
	for i := range r.All() {
		if i == 3 {
			break
		} else if i > 3 {
			t.Error("goes on after a break")
		}
	}
}

func TestRecordsOutOfRange(t *testing.T) {
	v := open(t, newFile(t, make([]byte, 80)), os.O_RDWR, nil)
	r := newRecords[uint64](t, v, 16)
	for _, i := range []int{-1, 8, 9, math.MaxInt, math.MinInt} {
		value := panicOf(func() { r.At(i) })
		if err, ok := value.(runtime.Error); !ok || isFault(value) {
			t.Errorf("At(%d): %v", i, err)
		}
	}
	v.Close()
	if value := panicOf(func() { r.At(0) }); value == nil || isFault(value) {
		t.Errorf("after Close: %v", value)
	}
	if r.Len() != 0 {
		t.Errorf("%d records after Close", r.Len())
	}
	for range r.All() {
		t.Error("a record after Close")
	}
}

// Nothing has to be asked for again when the view changes its size.
func TestRecordsFollowView(t *testing.T) {
	name := newFile(t, nil)
	opt := &mapview.Options{Reserve: 1 << 20}
	v := open(t, name, os.O_RDWR, opt)
	reader := open(t, name, os.O_RDONLY, opt)
	r, other := newRecords[uint64](t, v, 64), newRecords[uint64](t, reader, 64)
	for _, c := range []struct{ size, want int }{{0, 0}, {63, 0}, {64, 0}, {71, 0}, {72, 1}, {4096, 504}, {100, 4}, {8, 0}} {
		if err := errors.Join(v.Resize(int64(c.size)), reader.Refresh()); err != nil {
			t.Fatal(err)
		}
		n := 0
		for range r.All() {
			n++
		}
		if r.Len() != c.want || n != c.want || other.Len() != c.want {
			t.Errorf("%d bytes: %d records, %d visited, another view has %d", c.size, r.Len(), n, other.Len())
		}
		if c.want > 0 {
			*r.At(c.want - 1) = 99
			if *other.At(c.want - 1) != 99 {
				t.Error("another view does not see the store")
			}
		}
	}

	// What comes and goes while they are visited.
	v.Resize(64 + 3*8)
	n := 0
	for i := range r.All() {
		n++
		switch i {
		case 2:
			v.Resize(64 + 10*8)
		case 5:
			v.Resize(64 + 7*8)
		}
	}
	if n != 7 {
		t.Errorf("%d visited", n)
	}
	n = 0
	for range r.All() {
		n++
		v.Close()
	}
	if n != 1 {
		t.Errorf("%d visited beside a Close", n)
	}
}

func TestRecordsRefuse(t *testing.T) {
	v := open(t, newFile(t, make([]byte, 64)), os.O_RDWR, &mapview.Options{Offset: 3})
	for _, off := range []int64{-3, -11, -8, math.MinInt64, 0, 4, int64(page)*2 + 5, math.MaxInt64 - 2} {
		r, err := mapview.NewRecords[uint64](v, off)
		if r != nil {
			t.Errorf("records beside an error at %d", off)
		}
		wantError(t, err, fs.ErrInvalid)
	}
	if r := newRecords[uint64](t, v, 5); r.Len() != 7 {
		t.Errorf("%d records", r.Len())
	}
	v.Close()
	_, err := mapview.NewRecords[uint64](v, 5)
	wantError(t, err, os.ErrClosed)
}

func TestRecordsAllocateNothing(t *testing.T) {
	v := open(t, newFile(t, make([]byte, 64)), os.O_RDWR, nil)
	r := newRecords[uint64](t, v, 0)
	n := testing.AllocsPerRun(100, func() {
		*r.At(3)++
		for i, p := range r.All() {
			*p += uint64(i)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
