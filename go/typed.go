//go:build cgo

package mapview

import (
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"unsafe"
)

// Slice returns the n values of type T that begin at byte off of the view, as
// they lie there: a store to an element is a store to the view. The bytes are
// in the order of this machine, and of this compiler's layout for a struct.
//
// T must hold only numbers, those of sync/atomic and uintptr included, in
// arrays and structs of any depth: a pointer, a string or the like would mean
// nothing to another process, and not every byte is a bool. That holds for blank
// and unexported fields, and for the element of an array of length 0, too. off
// must be so aligned that the first value is, and the values must lie in the
// view. Otherwise the error is fs.ErrInvalid and names the reason: the field, as
// in "record.Points[].Name is a string", or what is wrong with off or n.
//
// A struct has padding where a field needs alignment, and at its end. Those
// bytes are in the view, hold what they held, and may be written or not when
// the struct is assigned as a whole. A type for files is best laid out without
// any, and with numbers of a fixed size: int is as long as the machine has it.
//
// What [View.Bytes] says of faults and of lifetime holds for the slice, too.
func Slice[T any](v *View, off int64, n int) ([]T, error) {
	p, err := typed(v, "slice", reflect.TypeFor[T](), off, n)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*T)(p), n), nil
}

// Ptr returns a pointer to the value of type T at byte off of the view. It is
// a [Slice] of one.
func Ptr[T any](v *View, off int64) (*T, error) {
	p, err := typed(v, "ptr", reflect.TypeFor[T](), off, 1)
	return (*T)(p), err
}

// typed checks everything that Slice promises and returns the address.
func typed(v *View, op string, t reflect.Type, off int64, n int) (unsafe.Pointer, error) {
	if why := refusal(t); why != "" {
		return nil, invalid(op, v.name, "%s", why)
	}
	size := v.settled()
	switch {
	case size < 0:
		return nil, v.closed(op)
	case off < 0:
		return nil, invalid(op, v.name, "the offset is negative")
	case n < 0:
		return nil, invalid(op, v.name, "the number of values is negative")
	case off > size || int64(n) > (size-off)/int64(t.Size()):
		return nil, invalid(op, v.name, "%d of %v at byte %d are not in a view of %d bytes", n, t, off, size)
	}
	if why := v.misaligned(t, off); why != "" {
		return nil, invalid(op, v.name, "%s", why)
	}
	v.lend()
	p := unsafe.Add(v.base, off)
	runtime.KeepAlive(v)
	return p, nil
}

// misaligned returns why no value of type t can lie at byte off, or "". What
// counts is the address: a view may begin at any byte of its file.
func (v *View) misaligned(t reflect.Type, off int64) string {
	if v.address(off)%uintptr(t.Align()) == 0 {
		return ""
	}
	return fmt.Sprintf("byte %d is not aligned to %d for a %v", off, t.Align(), t)
}

// refusals remembers what refusal has found: a string for each reflect.Type.
var refusals sync.Map

// refusal returns why values of type t cannot lie in a view, or "".
func refusal(t reflect.Type) string {
	if why, ok := refusals.Load(t); ok {
		return why.(string)
	}
	why := findRefusal(t, t.String())
	if why == "" && t.Size() == 0 {
		why = fmt.Sprintf("%v has no size", t)
	}
	refusals.Store(t, why)
	return why
}

// findRefusal looks for a part of t that is more than its bytes. path is how
// that part is called.
func findRefusal(t reflect.Type, path string) string {
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return ""
	case reflect.Array:
		return findRefusal(t.Elem(), path+"[]")
	case reflect.Struct:
		if t.PkgPath() == "sync" {
			return path + " is of package sync, which works within one process and not across a fault"
		}
		for i := range t.NumField() {
			f := t.Field(i)
			if why := findRefusal(f.Type, path+"."+f.Name); why != "" {
				return why
			}
		}
		return ""
	case reflect.Bool:
		return path + " is a bool, which not every byte is"
	}
	what := "a " + t.Kind().String()
	switch t.Kind() {
	case reflect.Pointer, reflect.UnsafePointer:
		what = "a pointer"
	case reflect.Interface:
		what = "an interface"
	case reflect.Func:
		what = "a function"
	case reflect.Chan:
		what = "a channel"
	}
	return path + " is " + what + ", which holds more than its bytes"
}
