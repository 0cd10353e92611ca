//go:build cgo

package mapview_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	mapview "example.com/mapview/go"
)

func TestSync(t *testing.T) {
	content := pattern(3 * page)
	name := newFile(t, content)
	v := open(t, name, os.O_RDWR, nil)
	for _, level := range []mapview.Level{mapview.SyncStart, mapview.SyncData, mapview.SyncFull} {
		for _, r := range [][2]int64{{0, mapview.ToEnd}, {int64(page) + 1, 10}, {5, 0}} {
			if _, err := v.WriteAt([]byte{byte(level)}, r[0]); err != nil {
				t.Fatal(err)
			}
			content[r[0]] = byte(level)
			if err := v.SyncRange(r[0], r[1], level); err != nil {
				t.Errorf("level %d of %v: %v", level, r, err)
			}
		}
	}
	if err := v.Sync(); err != nil {
		t.Error(err)
	}
	if err := v.SyncRange(0, mapview.ToEnd, mapview.SyncFull|mapview.SyncForce); err != nil {
		t.Errorf("forced: %v", err)
	}
	if err := v.SyncRange(0, mapview.ToEnd, mapview.SyncForce); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("forced without a level: %v", err)
	}
	wantContent(t, name, content)
}

// That bytes are on the medium cannot be seen from here. That the kernel has no
// more to write can.
func TestSyncCleans(t *testing.T) {
	v := open(t, newFile(t, make([]byte, 8*page)), os.O_RDWR, nil)
	const tmpfs = 0x01021994
	var disk syscall.Statfs_t
	if err := syscall.Statfs(v.Name(), &disk); err != nil || disk.Type == tmpfs {
		t.Skipf("the temporary folder is on a tmpfs, which never writes (%v)", err)
	}
	for _, level := range []mapview.Level{mapview.SyncData, mapview.SyncFull} {
		// Somebody else's sync of the file system may come in between.
		dirty := 0
		for try := 0; try < 20 && dirty == 0; try++ {
			if _, err := v.WriteAt([]byte{byte(level)}, int64(2*page)); err != nil {
				t.Fatal(err)
			}
			dirty = dirtyOf(t, v)
		}
		if dirty == 0 {
			t.Errorf("level %d: nothing is dirty before", level)
		}
		err := v.SyncRange(0, mapview.ToEnd, level)
		if dirty := dirtyOf(t, v); dirty != 0 || err != nil {
			t.Errorf("level %d: %d KiB are still dirty, %v", level, dirty, err)
		}
	}
}

// dirtyOf returns how many KiB of a view's mapping are dirty.
func dirtyOf(t *testing.T, v *mapview.View) int {
	t.Helper()
	sum := 0
	for field, values := range smapsOf(t, v) {
		if strings.HasSuffix(field, "_Dirty") {
			n, err := strconv.Atoi(values[0])
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
	}
	return sum
}

// The first failure stays: the kernel may have dropped the bytes, and would
// report success the next time. Close reports it, too.
func TestSyncFailureStays(t *testing.T) {
	device := failingDevice(t)
	const size = 1 << 20
	v, err := mapview.OpenFile(device, os.O_RDWR, 0, &mapview.Options{Device: true, Length: size})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := v.WriteAt(bytes.Repeat([]byte{1}, size), 0); n != size || err != nil {
		t.Fatal(n, err)
	}
	first := v.Sync()
	wantError(t, first, syscall.EIO)
	wantError(t, v.SyncRange(0, 1, mapview.SyncStart), syscall.EIO)
	wantError(t, v.Sync(), syscall.EIO)
	if n, err := v.ReadAt(make([]byte, 10), 5); n != 10 || err != nil {
		t.Errorf("ReadAt after the failure: %d, %v", n, err)
	}
	wantError(t, v.Close(), syscall.EIO)
	if err := v.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// failingDevice returns a block device that has less room than it says: a loop
// device whose file lies on a small disk.
func failingDevice(t *testing.T) string {
	t.Helper()
	const getFree, setFile, clear = 0x4c82, 0x4c00, 0x4c01 // ioctls, see linux/loop.h
	image := filepath.Join(smallDisk(t, "256k"), "image")
	file, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(4 << 20); err != nil {
		t.Fatal(err)
	}
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no loop devices: %v", err)
	}
	defer control.Close()
	number, _, errno := syscall.Syscall(syscall.SYS_IOCTL, control.Fd(), getFree, 0)
	if errno != 0 {
		t.Skipf("no free loop device: %v", errno)
	}
	name := fmt.Sprint("/dev/loop", number)
	device, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no loop device: %v", err)
	}
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, device.Fd(), setFile, file.Fd()); errno != 0 {
		device.Close()
		t.Skipf("%s takes no file: %v", name, errno)
	}
	t.Cleanup(func() {
		syscall.Syscall(syscall.SYS_IOCTL, device.Fd(), clear, 0)
		device.Close()
	})
	return name
}

// A truncation is asked for each time, and not kept.
func TestSyncAfterTruncation(t *testing.T) {
	v := newCut(t)
	wantError(t, v.Sync(), ErrTruncated)
	if err := v.Refresh(); err != nil {
		t.Fatal(err)
	}
	if err := v.Sync(); err != nil {
		t.Error(err)
	}
}

func TestSyncMemory(t *testing.T) {
	v, err := mapview.NewMemory(int64(page), nil)
	opened(t, v, err)
	if err := v.Sync(); err != nil {
		t.Error(err)
	}
}
