//go:build cgo

package mapview

import (
	"iter"
	"reflect"
	"unsafe"
)

// Records are the values of type T that lie one behind the other in a view,
// from some byte of it to its end. They follow the size of the view: after a
// Resize or a Refresh there are more of them, or fewer. All methods may be called
// at the same time from any number of goroutines.
type Records[T any] struct {
	v   *View
	off int64
}

// NewRecords returns the values of type T from byte off of the view on. T is
// what [Slice] takes, and off must be so aligned that the first value is. It
// may be the end of the view or lie behind it, as far as the view can ever
// reach; then there is no record yet. Otherwise the error is fs.ErrInvalid and
// names the reason.
func NewRecords[T any](v *View, off int64) (*Records[T], error) {
	const op = "records"
	t := reflect.TypeFor[T]()
	room := int64(v.end - uintptr(v.base))
	switch {
	case refusal(t) != "":
		return nil, invalid(op, v.name, "%s", refusal(t))
	case v.size.Load() < 0:
		return nil, v.closed(op)
	case off < 0:
		return nil, invalid(op, v.name, "the offset is negative")
	case off > room:
		return nil, invalid(op, v.name, "byte %d is past the %d that the view can ever have", off, room)
	}
	if why := v.misaligned(t, off); why != "" {
		return nil, invalid(op, v.name, "%s", why)
	}
	return &Records[T]{v: v, off: off}, nil
}

// Len returns how many records there are: those that lie in the view as a
// whole. It is 0 once the view is closed.
func (r *Records[T]) Len() int {
	return int(max(r.v.settled()-r.off, 0) / int64(unsafe.Sizeof(*new(T))))
}

// At returns a pointer to record i, as it lies in the view: a store to it is a
// store to the view. Like the index of a slice it panics when i is out of range,
// which it always is once the view is closed.
//
// What [View.Bytes] says of faults and of lifetime holds for the pointer, too.
func (r *Records[T]) At(i int) *T {
	all := unsafe.Slice((*T)(unsafe.Add(r.v.base, r.off)), r.Len())
	p := &all[i]
	r.v.lend()
	return p
}

// All iterates over the records in order, with their indexes. A record that a
// Resize or a Refresh adds meanwhile is visited, too; one that it takes away is
// not, and Close ends the iteration.
func (r *Records[T]) All() iter.Seq2[int, *T] {
	return func(yield func(int, *T) bool) {
		r.v.lend()
		for i := 0; i < r.Len(); i++ {
			p := (*T)(unsafe.Add(r.v.base, uintptr(r.off)+uintptr(i)*unsafe.Sizeof(*new(T))))
			if !yield(i, p) {
				return
			}
		}
	}
}
