//go:build cgo

package mapview

/*
#cgo CFLAGS: -std=c11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DNDEBUG -fvisibility=hidden -DMV_API=
#cgo CFLAGS: -I${SRCDIR}/../include -I${SRCDIR}/../c
#cgo LDFLAGS: -pthread
#cgo noescape mv_open
#cgo nocallback mv_open
#cgo noescape mv_open_fd
#cgo nocallback mv_open_fd
#cgo noescape mv_anonymous
#cgo nocallback mv_anonymous
#cgo noescape mv_memory
#cgo nocallback mv_memory
#cgo noescape mv_unlink_memory
#cgo nocallback mv_unlink_memory
#cgo noescape mv_detach
#cgo nocallback mv_detach
#cgo noescape mv_close
#cgo nocallback mv_close
#cgo noescape mv_size
#cgo nocallback mv_size
#cgo noescape mv_stat
#cgo nocallback mv_stat
#cgo noescape mv_read
#cgo nocallback mv_read
#cgo noescape mv_write
#cgo nocallback mv_write
#cgo noescape mv_probe
#cgo nocallback mv_probe
#cgo noescape mv_sync
#cgo nocallback mv_sync
#cgo noescape mv_resize
#cgo nocallback mv_resize
#cgo noescape mv_refresh
#cgo nocallback mv_refresh
#cgo noescape mv_advise
#cgo nocallback mv_advise
#cgo noescape mv_prefault
#cgo nocallback mv_prefault
#cgo noescape mv_prefetch
#cgo nocallback mv_prefetch
#cgo noescape mv_discard
#cgo nocallback mv_discard
#cgo noescape mv_pin
#cgo nocallback mv_pin
#cgo noescape mv_unpin
#cgo nocallback mv_unpin
#cgo noescape mv_protect
#cgo nocallback mv_protect
#cgo noescape mv_fd
#cgo nocallback mv_fd
#cgo noescape shape_of
#cgo nocallback shape_of
#include "mapview.h"

// A call from Go takes longer than these three together.
static void shape_of(const mv_view *view, void **base, uint64_t *size, uint64_t *reserved)
{
    *base = mv_data(view);
    *size = mv_size(view);
    *reserved = mv_reserved(view);
}
*/
import "C"

import (
	"bytes"
	"unsafe"

	// The C sources, for "go mod vendor" and the build cache.
	_ "example.com/mapview"
)

// This file is all that knows C: each function is one call of mapview.h with
// an mv_error turned into a *failure. A handle may be nil, which the C core
// refuses; it must be kept alive by the caller's View until the call is over.

type handle = *C.mv_view

// What the C core calls by number, under names for the other files.
const (
	openWrite            = uint64(C.MV_OPEN_WRITE)
	openPrivate          = uint64(C.MV_OPEN_PRIVATE)
	openCreate           = uint64(C.MV_OPEN_CREATE)
	openExclusive        = uint64(C.MV_OPEN_EXCLUSIVE)
	openTruncate         = uint64(C.MV_OPEN_TRUNCATE)
	openRandom           = uint64(C.MV_OPEN_RANDOM)
	openSequential       = uint64(C.MV_OPEN_SEQUENTIAL)
	openDevice           = uint64(C.MV_OPEN_DEVICE)
	openNoFollow         = uint64(C.MV_OPEN_NOFOLLOW)
	openShareDescription = uint64(C.MV_OPEN_SHARE_DESCRIPTION)
	openNoHandler        = uint64(C.MV_OPEN_NO_HANDLER)

	codeTruncated = int(C.MV_ETRUNCATED)
)

// The exported constants are the C core's: an array of another length than 0
// does not compile here.
var (
	_ [AdviceNormal - C.MV_ADVICE_NORMAL]struct{}         = [0]struct{}{}
	_ [AdviceRandom - C.MV_ADVICE_RANDOM]struct{}         = [0]struct{}{}
	_ [AdviceSequential - C.MV_ADVICE_SEQUENTIAL]struct{} = [0]struct{}{}
	_ [AdviceWillNeed - C.MV_ADVICE_WILLNEED]struct{}     = [0]struct{}{}
	_ [AdviceCold - C.MV_ADVICE_COLD]struct{}             = [0]struct{}{}
	_ [AdvicePageOut - C.MV_ADVICE_PAGEOUT]struct{}       = [0]struct{}{}
	_ [AdviceHuge - C.MV_ADVICE_HUGE]struct{}             = [0]struct{}{}
	_ [AdviceNoHuge - C.MV_ADVICE_NOHUGE]struct{}         = [0]struct{}{}
	_ [AdviceRewrite - C.MV_ADVICE_REWRITE]struct{}       = [0]struct{}{}
	_ [AccessRead - C.MV_READ]struct{}                    = [0]struct{}{}
	_ [AccessWrite - C.MV_WRITE]struct{}                  = [0]struct{}{}
	_ [SyncStart - C.MV_SYNC_START]struct{}               = [0]struct{}{}
	_ [SyncData - C.MV_SYNC_DATA]struct{}                 = [0]struct{}{}
	_ [SyncFull - C.MV_SYNC_FULL]struct{}                 = [0]struct{}{}
)

var (
	_ [unsafe.Sizeof(Range{}) - unsafe.Sizeof(C.mv_range{})]struct{}                   = [0]struct{}{}
	_ [unsafe.Offsetof(Range{}.Length) - unsafe.Offsetof(C.mv_range{}.length)]struct{} = [0]struct{}{}
)

// newError is MV_ERROR_INIT.
func newError() C.mv_error {
	return C.mv_error{size: C.uint32_t(unsafe.Sizeof(C.mv_error{}))}
}

// result is the failure that code and e tell of, nil for a code of success.
func result(code C.int, e *C.mv_error) *failure {
	if code >= 0 {
		return nil
	}
	return &failure{
		code:   int(-code),
		offset: int64(e.offset),
		done:   int(e.done),
		text:   sentence(e),
	}
}

// sentence is C.GoString(&e.text[0]), which would move e to the heap.
func sentence(e *C.mv_error) string {
	text := unsafe.Slice((*byte)(unsafe.Pointer(&e.text[0])), len(e.text))
	end := bytes.IndexByte(text, 0)
	if end < 0 {
		end = len(text)
	}
	return string(text[:end])
}

// A plan is an mv_options.
type plan struct {
	flags                             uint64
	mode                              uint32
	offset, length, fileSize, reserve int64

	heated bool // not for C: see heat.go
}

func (p *plan) options() C.mv_options {
	return C.mv_options{
		size:      C.uint32_t(unsafe.Sizeof(C.mv_options{})),
		mode:      C.uint32_t(p.mode),
		flags:     C.uint64_t(p.flags),
		offset:    C.uint64_t(p.offset),
		length:    C.uint64_t(p.length),
		file_size: C.uint64_t(p.fileSize),
		reserve:   C.uint64_t(p.reserve),
	}
}

// coreOpen takes a name that ends in a NUL.
func coreOpen(name []byte, p *plan) (handle, *failure) {
	var v handle
	options, e := p.options(), newError()
	code := C.mv_open((*C.char)(unsafe.Pointer(&name[0])), &options, &v, &e)
	return v, result(code, &e)
}

func coreOpenFD(fd uintptr, p *plan) (handle, *failure) {
	var v handle
	options, e := p.options(), newError()
	code := C.mv_open_fd(C.int(fd), &options, &v, &e)
	return v, result(code, &e)
}

func coreAnonymous(size int64, p *plan) (handle, *failure) {
	var v handle
	options, e := p.options(), newError()
	code := C.mv_anonymous(C.uint64_t(size), &options, &v, &e)
	return v, result(code, &e)
}

// coreMemory takes a name that ends in a NUL, and the file size of p as size.
func coreMemory(name []byte, p *plan) (handle, *failure) {
	var v handle
	options, e := p.options(), newError()
	options.file_size = 0
	code := C.mv_memory((*C.char)(unsafe.Pointer(&name[0])), C.uint64_t(p.fileSize), &options, &v, &e)
	return v, result(code, &e)
}

func coreUnlinkMemory(name []byte) *failure {
	e := newError()
	return result(C.mv_unlink_memory((*C.char)(unsafe.Pointer(&name[0])), &e), &e)
}

// A shape is what a View needs to know of its mv_view. mv_stat would open the
// file again, to tell its length.
type shape struct {
	base     unsafe.Pointer
	size     int64
	reserved int64 // the largest size it can have
}

func coreShape(v handle) shape {
	var base unsafe.Pointer
	var size, reserved C.uint64_t
	C.shape_of(v, &base, &size, &reserved)
	return shape{base, int64(size), int64(reserved)}
}

// coreWritesThrough tells whether mv_write may go by pwrite.
func coreWritesThrough(v handle) bool {
	info := C.mv_info{size: C.uint32_t(unsafe.Sizeof(C.mv_info{}))}
	return C.mv_stat(v, &info, nil) == 0 && uint64(info.state)&uint64(C.MV_STATE_THROUGH) != 0
}

func coreDetach(v handle) *failure {
	e := newError()
	return result(C.mv_detach(v, &e), &e)
}

// coreClose has nobody to tell of a failure: coreDetach has told.
func coreClose(v handle) { C.mv_close(v, nil) }

func coreSize(v handle) int64 { return int64(C.mv_size(v)) }

// coreRead and coreWrite need a p that is not empty.
func coreRead(v handle, p []byte, off int64) (int, *failure) {
	e := newError()
	n := C.mv_read(v, unsafe.Pointer(&p[0]), C.uint64_t(len(p)), C.uint64_t(off), &e)
	if n < 0 {
		return int(e.done), result(C.int(n), &e)
	}
	return int(n), nil
}

func coreWrite(v handle, p []byte, off int64) (int, *failure) {
	e := newError()
	n := C.mv_write(v, unsafe.Pointer(&p[0]), C.uint64_t(len(p)), C.uint64_t(off), &e)
	if n < 0 {
		return int(e.done), result(C.int(n), &e)
	}
	return int(n), nil
}

func coreResize(v handle, size int64) *failure {
	e := newError()
	return result(C.mv_resize(v, C.uint64_t(size), &e), &e)
}

func coreRefresh(v handle) *failure {
	e := newError()
	return result(C.mv_refresh(v, &e), &e)
}

// The calls on a range. A length of ToEnd is MV_TO_END: -1 in 64 bits.

func coreProbe(v handle, off, n int64, access Access) *failure {
	e := newError()
	return result(C.mv_probe(v, C.uint64_t(off), C.uint64_t(n), C.uint32_t(access), &e), &e)
}

func coreSync(v handle, off, n int64, level Level) *failure {
	e := newError()
	return result(C.mv_sync(v, C.uint64_t(off), C.uint64_t(n), C.uint32_t(level), &e), &e)
}

func coreAdvise(v handle, off, n int64, advice Advice) *failure {
	e := newError()
	return result(C.mv_advise(v, C.uint64_t(off), C.uint64_t(n), C.uint32_t(advice), &e), &e)
}

// corePrefetch hands the ranges over as they are: a Range is an mv_range.
func corePrefetch(v handle, ranges []Range) *failure {
	e := newError()
	at := (*C.mv_range)(unsafe.Pointer(unsafe.SliceData(ranges)))
	return result(C.mv_prefetch(v, at, C.uint64_t(len(ranges)), &e), &e)
}

func corePrefault(v handle, off, n int64, how Access) *failure {
	e := newError()
	return result(C.mv_prefault(v, C.uint64_t(off), C.uint64_t(n), C.uint32_t(how), &e), &e)
}

func coreProtect(v handle, off, n int64, how Access) *failure {
	e := newError()
	return result(C.mv_protect(v, C.uint64_t(off), C.uint64_t(n), C.uint32_t(how), &e), &e)
}

func coreDiscard(v handle, off, n int64) *failure {
	e := newError()
	return result(C.mv_discard(v, C.uint64_t(off), C.uint64_t(n), &e), &e)
}

func corePin(v handle, off, n int64) *failure {
	e := newError()
	return result(C.mv_pin(v, C.uint64_t(off), C.uint64_t(n), &e), &e)
}

func coreUnpin(v handle, off, n int64) *failure {
	e := newError()
	return result(C.mv_unpin(v, C.uint64_t(off), C.uint64_t(n), &e), &e)
}

func coreFD(v handle) (uintptr, *failure) {
	e := newError()
	fd := C.mv_fd(v, &e)
	return uintptr(fd), result(fd, &e)
}
