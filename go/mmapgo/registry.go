package mmap

import (
	"slices"
	"sort"
	"sync"
	"unsafe"

	mapview "example.com/mapview/go"
)

// An MMap is a slice and nothing else, so its view is found by its address.
// What is registered stays reachable: nothing is unmapped behind the back of a
// slice, of which the garbage collector does not know.

// A mapping is what Map has returned and Unmap not yet got.
type mapping struct {
	first  uintptr
	length int
	view   *mapview.View
	kind   kind
}

// registry holds the mappings in the order of their addresses, which are
// nobody else's as long as a mapping is in it. The lock is held for no system
// call.
var registry struct {
	sync.Mutex
	mappings []mapping
}

func register(p mapping) {
	registry.Lock()
	defer registry.Unlock()
	registry.mappings = slices.Insert(registry.mappings, after(p.first), p)
}

// find returns the mapping of which m is a part, or the whole.
func find(m MMap) (mapping, error) {
	registry.Lock()
	defer registry.Unlock()
	i, err := index(m)
	if err != nil {
		return mapping{}, err
	}
	return registry.mappings[i], nil
}

// remove takes the mapping out of which m is the whole, so that of several
// calls one gets it.
func remove(m MMap) (mapping, error) {
	registry.Lock()
	defer registry.Unlock()
	i, err := index(m)
	if err != nil {
		return mapping{}, err
	}
	p := registry.mappings[i]
	if address(m) != p.first || len(m) != p.length {
		return mapping{}, errPart
	}
	registry.mappings = slices.Delete(registry.mappings, i, i+1)
	return p, nil
}

// index finds m, under the lock.
func index(m MMap) (int, error) {
	i := after(address(m)) - 1
	if i < 0 {
		return 0, errNotMapped
	}
	p := registry.mappings[i]
	off := p.offset(m)
	if off > int64(p.length) || int64(len(m)) > int64(p.length)-off {
		return 0, errNotMapped
	}
	return i, nil
}

// after returns how many mappings begin at or before an address.
func after(address uintptr) int {
	return sort.Search(len(registry.mappings), func(i int) bool { return registry.mappings[i].first > address })
}

// offset is where m begins in p. An empty part of a slice has the address of
// its first byte or, if it is also without capacity, that of the slice.
func (p mapping) offset(m MMap) int64 { return int64(address(m) - p.first) }

func address(m MMap) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(m))) }
