// Package guarded is a user's package that calls libmapview from C: beside
// the Go package mapview, or without it.
package guarded

/*
#cgo pkg-config: mapview
#include <mapview.h>

#include <stdlib.h>
#include <unistd.h>

static int load_first(void *at)
{
    return *(volatile unsigned char *)at;
}

static int try_first(mv_view *view, mv_error *err)
{
    return mv_try(view, load_first, mv_data(view), err);
}

static int load_unguarded(mv_view *view)
{
    return load_first(mv_data(view));
}

static mv_error empty_error(void)
{
    mv_error err = MV_ERROR_INIT;
    return err;
}

static mv_view *open_view(const char *path)
{
    mv_options options = MV_OPTIONS_INIT;
    mv_view *view;
    options.flags = MV_OPEN_WRITE;
    return mv_open(path, &options, &view, NULL) == 0 ? view : NULL;
}
*/
import "C"

import (
	"fmt"
	"os"
	"unsafe"
)

// Length is how long a Cut's file was.
const Length = 4 * 65536

// A Cut is a view of a file that was cut to nothing.
type Cut struct{ view *C.mv_view }

// Open makes such a file.
func Open(name string) (*Cut, error) {
	if err := os.WriteFile(name, make([]byte, Length), 0o600); err != nil {
		return nil, err
	}
	path := C.CString(name)
	defer C.free(unsafe.Pointer(path))
	view := C.open_view(path)
	if view == nil {
		return nil, fmt.Errorf("mv_open failed")
	}
	return &Cut{view}, os.Truncate(name, 0)
}

// Fault makes a guarded access of each kind and says which was not refused as
// it must be.
func (c *Cut) Fault() error {
	err := C.empty_error()
	var byte [100]C.char
	var number C.uint64_t
	if r := C.mv_read(c.view, unsafe.Pointer(&byte), 100, 5, &err); r != -C.MV_ETRUNCATED || err.offset != 5 {
		return fmt.Errorf("mv_read: %d at %d", r, err.offset)
	}
	if r := C.mv_write(c.view, unsafe.Pointer(&byte), 100, 65536, nil); r != -C.MV_ETRUNCATED {
		return fmt.Errorf("mv_write: %d", r)
	}
	if r := C.mv_load(c.view, 8, 8, &number, nil); r != -C.MV_ETRUNCATED {
		return fmt.Errorf("mv_load: %d", r)
	}
	if r := C.try_first(c.view, &err); r != -C.MV_ETRUNCATED || err.offset != 0 {
		return fmt.Errorf("mv_try: %d at %d", r, err.offset)
	}
	return nil
}

// FaultUnguarded makes an access that nobody guards.
func (c *Cut) FaultUnguarded() { C.load_unguarded(c.view) }

// Bytes are the view's own, to be accessed from Go.
func (c *Cut) Bytes() []byte { return unsafe.Slice((*byte)(C.mv_data(c.view)), Length) }

// Is tells of the handler: it is there, and in front.
func Is() bool { return C.mv_guard_status() == C.MV_GUARD_INSTALLED }

// IsNot tells that it was never installed.
func IsNot() bool { return C.mv_guard_status() == C.MV_GUARD_NONE }
