//go:build cgo

package mapview_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	mapview "example.com/mapview/go"
)

var (
	ErrTruncated = mapview.ErrTruncated
	ErrNoSpace   = mapview.ErrNoSpace
)

func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// newCut returns a view of three pages whose file somebody else has cut to one.
func newCut(t *testing.T) *mapview.View {
	t.Helper()
	name := newFile(t, pattern(3*page))
	v := open(t, name, os.O_RDWR, nil)
	if err := os.Truncate(name, int64(page)); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTruncated(t *testing.T) {
	v := newCut(t)
	content := pattern(page)
	p := make([]byte, 3*page)

	n, err := v.ReadAt(p[:page], 0)
	if n != page || err != nil || !bytes.Equal(p[:page], content) {
		t.Errorf("%d, %v", n, err)
	}
	n, err = v.ReadAt(p, 10)
	wantFault(t, err, page, ErrTruncated)
	if n != page-10 || !bytes.Equal(p[:n], content[10:]) {
		t.Errorf("ReadAt over the end: %d bytes", n)
	}
	n, err = v.ReadAt(p[:5], int64(2*page)+3)
	wantFault(t, err, 2*page+3, ErrTruncated)
	if n != 0 {
		t.Errorf("ReadAt past the end: %d bytes", n)
	}
	n, err = v.WriteAt(p[:3*page-20], 20)
	wantFault(t, err, page, ErrTruncated)
	if n != page-20 {
		t.Errorf("WriteAt over the end: %d bytes", n)
	}
	wantFault(t, v.Do(func(b []byte) error { b[page+7]++; return nil }), page+7, ErrTruncated)
	wantFault(t, v.Prefault(0, mapview.ToEnd, mapview.AccessRead), page, ErrTruncated)
	wantFault(t, v.Probe(100, mapview.ToEnd, mapview.AccessWrite), page, ErrTruncated)
	wantError(t, v.Sync(), ErrTruncated)

	fault, _ := panicOf(func() { v.At(page) }).(error)
	wantFault(t, fault, page, ErrTruncated)
	if v.At(page-1) != p[page-1-20] {
		t.Errorf("the byte before the end is %d", v.At(page-1))
	}

	// The file comes back, and so does the view.
	if err := os.Truncate(v.Name(), int64(3*page)); err != nil {
		t.Fatal(err)
	}
	if n, err := v.ReadAt(p, 0); n != 3*page || err != nil {
		t.Errorf("after growing back: %d, %v", n, err)
	}
}

// A read-only view looks at its file again by name. Where that leads nowhere,
// a fault is still an error.
func TestTruncatedAndRemoved(t *testing.T) {
	name := newFile(t, pattern(2*page))
	v := open(t, name, os.O_RDONLY, nil)
	if err := os.Truncate(name, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	n, err := v.ReadAt(make([]byte, 10), 5)
	wantFault(t, err, 5, syscall.EIO)
	if n != 0 {
		t.Errorf("%d bytes", n)
	}
	wantFault(t, v.Do(func(b []byte) error { load(b, page); return nil }), page, syscall.EIO)
}

// A file that is cut inside a page does not fault there, but is told.
func TestTruncatedInsidePage(t *testing.T) {
	name := newFile(t, pattern(page))
	v := open(t, name, os.O_RDWR, nil)
	if err := os.Truncate(name, 100); err != nil {
		t.Fatal(err)
	}
	if v.At(100) != 0 {
		t.Errorf("byte 100 is %d", v.At(100))
	}
	wantError(t, v.Sync(), ErrTruncated)
	wantFault(t, v.Probe(0, mapview.ToEnd, mapview.AccessRead), 100, ErrTruncated)
	if err := v.Probe(0, 100, mapview.AccessRead); err != nil {
		t.Error(err)
	}
}

// While others cut and grow the file, accesses return data or the truncation.
func TestTruncateStorm(t *testing.T) {
	name := newFile(t, make([]byte, 8*page))
	v := open(t, name, os.O_RDWR, nil)
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			os.Truncate(name, int64(i%9*page))
		}
	}()
	counts := map[bool]int{}
	p := make([]byte, 8*page)
	check := func(err error) {
		counts[err == nil]++
		var fault *mapview.FaultError
		errors.As(err, &fault)
		// EAGAIN of Do: the byte was back before its cause was looked for.
		again := fault != nil && fault.Op == "access" && fault.Err == syscall.EAGAIN
		if err != nil && !again && (fault == nil || fault.Err != ErrTruncated) {
			t.Errorf("%v (%T)", err, err)
		}
	}
	for i := 0; i < 1_000_000 && min(counts[true], counts[false]) < 2000; i++ {
		_, err := v.ReadAt(p, 0)
		check(err)
		_, err = v.WriteAt(p, 0)
		check(err)
		check(v.Do(func(b []byte) error {
			for i := 0; i < len(b); i += page {
				b[i]++
			}
			return nil
		}))
		if value := panicOf(func() { v.At(5 * page) }); value != nil {
			err, _ := value.(error)
			check(err)
		}
	}
	close(stop)
	<-stopped
	if min(counts[true], counts[false]) < 2000 {
		t.Errorf("%d successes and %d faults: too little was tried", counts[true], counts[false])
	}
}

func TestProtected(t *testing.T) {
	v := open(t, newFile(t, pattern(3*page)), os.O_RDWR, nil)
	if err := v.Protect(int64(page), int64(page), mapview.AccessRead); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 3*page)
	if n, err := v.ReadAt(p, 0); n != 3*page || err != nil {
		t.Errorf("ReadAt: %d, %v", n, err)
	}
	n, err := v.WriteAt(p, 0)
	wantFault(t, err, page, fs.ErrPermission)
	if n != page {
		t.Errorf("WriteAt: %d", n)
	}
	wantFault(t, v.Do(func(b []byte) error { b[page] = 1; return nil }), page, fs.ErrPermission)
	if err := v.Protect(int64(page), int64(page), 0); err != nil {
		t.Fatal(err)
	}
	n, err = v.ReadAt(p, 0)
	wantFault(t, err, page, syscall.EACCES)
	if n != page {
		t.Errorf("ReadAt: %d", n)
	}
	if err := v.Protect(0, mapview.ToEnd, mapview.AccessRead|mapview.AccessWrite); err != nil {
		t.Fatal(err)
	}
	if n, err := v.WriteAt(p, 0); n != 3*page || err != nil {
		t.Errorf("WriteAt: %d, %v", n, err)
	}
}

func TestDoReadOnly(t *testing.T) {
	content := pattern(page)
	name := newFile(t, content)
	v := open(t, name, os.O_RDONLY, nil)
	wantFault(t, v.Do(func(b []byte) error { b[9] = 1; return nil }), 9, fs.ErrPermission)
	wantContent(t, name, content)
}

// smallDisk mounts a tmpfs of size bytes that only this test sees, on a thread
// that ends with it.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
		t.Skipf("no mount namespace of its own: %v", err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Skipf("no private mounts: %v", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("no tmpfs of its own: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

func TestDiskFull(t *testing.T) {
	dir := smallDisk(t, "256k")
	const room = 256 << 10

	name := filepath.Join(dir, "allocated")
	_, err := mapview.OpenFile(name, os.O_RDWR|os.O_CREATE, 0, &mapview.Options{FileSize: 2 * room})
	wantError(t, err, syscall.ENOSPC, ErrNoSpace)
	os.Remove(name)

	name = filepath.Join(dir, "sparse")
	v := open(t, name, os.O_RDWR|os.O_CREATE, nil)
	if err := os.Truncate(name, 2*room); err != nil {
		t.Fatal(err)
	}
	if err := v.Refresh(); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("Refresh beyond the reservation: %v", err)
	}
	v = open(t, name, os.O_RDWR, nil)
	n, err := v.WriteAt(bytes.Repeat([]byte{1}, 2*room), 0)
	if n == 0 || n >= 2*room {
		t.Errorf("%d bytes on a disk of %d", n, room)
	}
	wantFault(t, err, n, ErrNoSpace)
	wantError(t, err, syscall.ENOSPC)
	wantFault(t, v.Do(func(b []byte) error { b[2*room-1] = 1; return nil }), 2*room-1, ErrNoSpace)
	if got, err := v.ReadAt(make([]byte, n), 0); got != n || err != nil {
		t.Errorf("what was written: %d, %v", got, err)
	}
	if err := v.Sync(); err != nil {
		t.Error(err)
	}
}
