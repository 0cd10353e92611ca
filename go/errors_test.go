//go:build cgo

package mapview_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	mapview "example.com/mapview/go"
)

func TestFaultErrorText(t *testing.T) {
	v := newCut(t)
	_, err := v.ReadAt(make([]byte, 1), int64(page))
	var fault *mapview.FaultError
	if !errors.As(err, &fault) || fault.Op != "read" || fault.Path != v.Name() || fault.Err != ErrTruncated {
		t.Fatalf("%#v", err)
	}
	for _, part := range []string{"read", v.Name(), "4096", ErrTruncated.Error()} {
		if page == 4096 && !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not hold %q", err, part)
		}
	}
}

// The two errors of package io that say where something ends are compared by ==,
// there and in package os. All that reads or writes returns them so.
func TestEndsAreBareErrors(t *testing.T) {
	v := open(t, newFile(t, pattern(page)), os.O_RDWR, nil)
	end, p := v.Size(), make([]byte, 10)
	atEnd := func() *mapview.Cursor {
		c := v.Cursor()
		if _, err := c.Seek(-5, io.SeekEnd); err != nil {
			t.Fatal(err)
		}
		return c
	}
	for name, call := range map[string]func() (n int64, err error){
		"View.ReadAt":     func() (int64, error) { n, err := v.ReadAt(p, end-5); return int64(n), err },
		"Cursor.Read":     func() (int64, error) { c := atEnd(); c.Read(p[:5]); n, err := c.Read(p); return int64(n) + 5, err },
		"View.WriteAt":    func() (int64, error) { n, err := v.WriteAt(p, end-5); return int64(n), err },
		"Cursor.Write":    func() (int64, error) { n, err := atEnd().Write(p); return int64(n), err },
		"Cursor.ReadFrom": func() (int64, error) { return atEnd().ReadFrom(bytes.NewReader(p)) },
		"OffsetWriter":    func() (int64, error) { n, err := io.NewOffsetWriter(v, end-5).Write(p); return int64(n), err },
	} {
		want := io.ErrShortWrite
		if strings.HasSuffix(name, ".ReadAt") || strings.HasSuffix(name, ".Read") {
			want = io.EOF
		}
		if n, err := call(); n != 5 || err != want {
			t.Errorf("%s: %d, %v (%T)", name, n, err, err)
		}
	}
	for _, off := range []int64{end, end + 1, math.MaxInt64} {
		if n, err := v.WriteAt(p, off); n != 0 || err != io.ErrShortWrite {
			t.Errorf("at %d: %d, %v (%T)", off, n, err, err)
		}
	}
}

func TestPathErrors(t *testing.T) {
	name := filepath.Join(t.TempDir(), "nothing")
	_, err := mapview.Open(name)
	var path *fs.PathError
	var errno syscall.Errno
	if !errors.As(err, &path) || path.Op != "open" || path.Path != name {
		t.Fatalf("%#v", err)
	}
	if !errors.As(path.Err, &errno) || errno != syscall.ENOENT {
		t.Errorf("%v holds errno %d", path.Err, errno)
	}
	if !strings.Contains(err.Error(), name) || len(path.Err.Error()) < 10 {
		t.Errorf("%q says too little", err)
	}
}

// everyCall is each method that returns an error, on a view of two pages.
var everyCall = map[string]func(v *mapview.View) error{
	"ReadAt":     func(v *mapview.View) error { _, err := v.ReadAt(make([]byte, 1), 0); return err },
	"WriteAt":    func(v *mapview.View) error { _, err := v.WriteAt([]byte{1}, 0); return err },
	"empty Read": func(v *mapview.View) error { _, err := v.ReadAt(nil, 0); return err },
	"Do":         func(v *mapview.View) error { return v.Do(func([]byte) error { return nil }) },
	"Sync":       func(v *mapview.View) error { return v.Sync() },
	"SyncRange":  func(v *mapview.View) error { return v.SyncRange(1, 1, mapview.SyncData) },
	"Resize":     func(v *mapview.View) error { return v.Resize(int64(2 * page)) },
	"Refresh":    func(v *mapview.View) error { return v.Refresh() },
	"Advise":     func(v *mapview.View) error { return v.Advise(1, 1, mapview.AdviceWillNeed) },
	"Prefault":   func(v *mapview.View) error { return v.Prefault(1, 1, mapview.AccessRead) },
	"Probe":      func(v *mapview.View) error { return v.Probe(1, 1, mapview.AccessRead) },
	"Discard":    func(v *mapview.View) error { return v.Discard(0, 1) },
	"Pin":        func(v *mapview.View) error { return v.Pin(0, 1) },
	"Unpin":      func(v *mapview.View) error { return v.Unpin(0, 1) },
	"Protect":    func(v *mapview.View) error { return v.Protect(0, 1, mapview.AccessRead|mapview.AccessWrite) },
	"Slice":      func(v *mapview.View) error { _, err := mapview.Slice[byte](v, 0, 1); return err },
	"Ptr":        func(v *mapview.View) error { _, err := mapview.Ptr[int64](v, 0); return err },
	"File": func(v *mapview.View) error {
		f, err := v.File()
		if err == nil {
			f.Close()
		}
		return err
	},
}

// Each succeeds on an open view, so that its failure below means something.
func TestEveryCallSucceeds(t *testing.T) {
	for what, call := range everyCall {
		v := open(t, newFile(t, pattern(2*page)), os.O_RDWR, nil)
		if err := call(v); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestEveryCallAfterClose(t *testing.T) {
	v := open(t, newFile(t, pattern(2*page)), os.O_RDWR, nil)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	for what, call := range everyCall {
		err := call(v)
		var path *fs.PathError
		if !errors.Is(err, os.ErrClosed) || !errors.Is(err, syscall.EBADF) || !errors.As(err, &path) {
			t.Errorf("%s: %v (%T)", what, err, err)
			continue
		}
		if path.Path != v.Name() {
			t.Errorf("%s: %v", what, err)
		}
	}
	if v.Len() != 0 || v.Size() != 0 || v.Bytes() != nil {
		t.Errorf("length %d, size %d, bytes %v", v.Len(), v.Size(), v.Bytes())
	}
	if err := v.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// rangedCalls are those that take an offset and a length.
var rangedCalls = map[string]func(v *mapview.View, off, n int64) error{
	"SyncRange": func(v *mapview.View, off, n int64) error { return v.SyncRange(off, n, mapview.SyncData) },
	"Advise":    func(v *mapview.View, off, n int64) error { return v.Advise(off, n, mapview.AdviceNormal) },
	"Prefault":  func(v *mapview.View, off, n int64) error { return v.Prefault(off, n, mapview.AccessWrite) },
	"Probe":     func(v *mapview.View, off, n int64) error { return v.Probe(off, n, mapview.AccessRead) },
	"Discard":   func(v *mapview.View, off, n int64) error { return v.Discard(off, n) },
	"Pin":       func(v *mapview.View, off, n int64) error { return v.Pin(off, n) },
	"Unpin":     func(v *mapview.View, off, n int64) error { return v.Unpin(off, n) },
	"Protect": func(v *mapview.View, off, n int64) error {
		return v.Protect(off, n, mapview.AccessRead|mapview.AccessWrite)
	},
}

func TestRanges(t *testing.T) {
	v := open(t, newFile(t, pattern(2*page)), os.O_RDWR, nil)
	end := v.Size()
	for what, call := range rangedCalls {
		for _, r := range [][2]int64{{0, end}, {0, mapview.ToEnd}, {3, 5}, {end, 0}, {end, mapview.ToEnd}, {7, 0}} {
			if err := call(v, r[0], r[1]); err != nil {
				t.Errorf("%s of %v: %v", what, r, err)
			}
		}
		for _, r := range [][2]int64{{-1, 1}, {0, -2}, {0, end + 1}, {end + 1, 0}, {end, 1}, {1, 1<<63 - 1}, {-1 << 63, 1}} {
			if err := call(v, r[0], r[1]); !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%s of %v: %v", what, r, err)
			}
		}
		for _, r := range [][2]int64{{-1, 1}, {0, -2}} {
			if err := call(v, r[0], r[1]); err == nil || !strings.Contains(err.Error(), "negative") {
				t.Errorf("%s of %v: %v does not say why", what, r, err)
			}
		}
	}
}

func TestUnknownKinds(t *testing.T) {
	v := open(t, newFile(t, pattern(page)), os.O_RDWR, nil)
	for _, err := range []error{
		v.SyncRange(0, 1, 0),
		v.SyncRange(0, 1, 4),
		v.Advise(0, 1, mapview.AdviceRewrite+1),
		v.Prefault(0, 1, 0),
		v.Prefault(0, 1, 4),
		v.Probe(0, 1, 0),
		v.Protect(0, 1, 4),
	} {
		wantError(t, err, fs.ErrInvalid)
		if err != nil && strings.Contains(err.Error(), "MV_") {
			t.Errorf("%v: a name of C", err)
		}
	}
}

func TestReadOnlyView(t *testing.T) {
	v := open(t, newFile(t, pattern(page)), os.O_RDONLY, nil)
	both := mapview.AccessRead | mapview.AccessWrite
	wantError(t, v.Prefault(0, 1, both), fs.ErrPermission)
	wantError(t, v.Probe(0, 1, both), fs.ErrPermission)
	wantError(t, v.Protect(0, 1, both), fs.ErrPermission)
	wantError(t, v.Discard(0, 1), fs.ErrPermission)
	wantError(t, v.Resize(1), fs.ErrPermission)
	if err := v.Sync(); err != nil {
		t.Error(err)
	}
}
