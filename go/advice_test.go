//go:build cgo

package mapview_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"

	mapview "example.com/mapview/go"
)

func TestAdvise(t *testing.T) {
	content := pattern(4 * page)
	v := open(t, newFile(t, content), os.O_RDWR, nil)
	for a := mapview.AdviceNormal; a <= mapview.AdviceNoHuge; a++ {
		err := v.Advise(10, int64(page), a)
		if errors.Is(err, errors.ErrUnsupported) {
			t.Logf("advice %d: this kernel does not know it", a)
		} else if err != nil {
			t.Errorf("advice %d: %v", a, err)
		}
		if !bytes.Equal(v.Bytes(), content) {
			t.Errorf("advice %d has changed the view", a)
		}
	}
}

// Prefetch reads what is asked for and nothing else.
func TestPrefetch(t *testing.T) {
	content := pattern(64 * page)
	name := newFile(t, content)
	forget(t, name)
	v := open(t, name, os.O_RDONLY, &mapview.Options{Advice: mapview.AdviceRandom})
	at := func(i int) int64 { return int64(i * page) }
	if isResident(t, v, at(50)) {
		t.Skip("pages cannot be taken out of this file system's cache")
	}
	calls := runtime.NumCgoCall()
	if err := v.Prefetch(mapview.Range{Offset: at(3), Length: 1}, mapview.Range{Offset: at(20) - 1, Length: 2},
		mapview.Range{Offset: at(63), Length: mapview.ToEnd}); err != nil {
		t.Fatal(err)
	}
	if n := runtime.NumCgoCall() - calls; n != 1 {
		t.Errorf("%d calls of C", n)
	}
	for _, i := range []int{3, 19, 20, 63} {
		for wait := 0; !isResident(t, v, at(i)); wait++ {
			if wait == 1000 {
				t.Fatalf("page %d is not in memory after ten seconds", i)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	if isResident(t, v, at(50)) {
		t.Error("page 50 was not asked for")
	}
	if !bytes.Equal(v.Bytes(), content) {
		t.Error("other bytes")
	}
}

func TestPrefetchRefused(t *testing.T) {
	v := open(t, newFile(t, pattern(2*page)), os.O_RDONLY, nil)
	for _, r := range []mapview.Range{{-1, 1}, {0, -2}, {int64(2 * page), 1}, {1, int64(2 * page)}} {
		wantError(t, v.Prefetch(mapview.Range{Offset: 0, Length: 1}, r), fs.ErrInvalid)
	}
	for _, err := range []error{v.Prefetch(), v.Prefetch(mapview.Range{Offset: int64(2 * page), Length: mapview.ToEnd})} {
		if err != nil {
			t.Error(err)
		}
	}
	v.Close()
	wantError(t, v.Prefetch(), os.ErrClosed)
}

// forget takes a file out of memory, as far as its file system can.
func forget(t testing.TB, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	const dontNeed = 4 // POSIX_FADV_DONTNEED
	syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), 0, 0, dontNeed, 0, 0)
}

// isResident tells whether the page of a byte is in memory.
func isResident(t testing.TB, v *mapview.View, off int64) bool {
	t.Helper()
	var vector byte
	_, _, errno := syscall.Syscall(syscall.SYS_MINCORE, addressOf(v.Bytes())+uintptr(off), 1, uintptr(unsafe.Pointer(&vector)))
	if errno != 0 {
		t.Fatal(errno)
	}
	return vector&1 != 0
}

// Prefault gives a hole its blocks, which can be seen.
func TestPrefault(t *testing.T) {
	name := newFile(t, nil)
	if err := os.Truncate(name, int64(64*page)); err != nil {
		t.Fatal(err)
	}
	v := open(t, name, os.O_RDWR, nil)
	if err := v.Prefault(int64(page), int64(page), mapview.AccessWrite); err != nil {
		t.Error(err)
	}
	if err := v.Sync(); err != nil {
		t.Error(err)
	}
	if blocks := blocksOf(t, name); blocks == 0 || blocks >= int64(64*page) {
		t.Errorf("%d bytes have blocks", blocks)
	}
	if err := v.Prefault(0, mapview.ToEnd, mapview.AccessRead); err != nil {
		t.Error(err)
	}
}

func TestDiscard(t *testing.T) {
	content := pattern(4 * page)
	name := newFile(t, content)

	private := open(t, name, os.O_RDWR, &mapview.Options{Private: true})
	private.WriteAt([]byte("mine"), 0)
	if err := private.Discard(0, mapview.ToEnd); err != nil || !bytes.Equal(private.Bytes(), content) {
		t.Errorf("private: %v", err)
	}

	shared := open(t, name, os.O_RDWR, nil)
	err := shared.Discard(int64(page)+1, int64(2*page))
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("the file system of the temporary folder cannot give storage back")
	}
	if err != nil {
		t.Fatal(err)
	}
	clear(content[page+1 : 3*page+1])
	if !bytes.Equal(shared.Bytes(), content) {
		t.Error("shared: other bytes")
	}
	wantContent(t, name, content)
}

func TestPin(t *testing.T) {
	if underASan {
		t.Skip("AddressSanitizer makes mlock do nothing")
	}
	v := open(t, newFile(t, pattern(4*page)), os.O_RDWR, nil)
	locked := func() int64 {
		n, err := status("VmLck")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := locked()
	if err := v.Pin(1, int64(page)); err != nil {
		t.Fatal(err)
	}
	if got := locked() - before; got != int64(2*page) {
		t.Errorf("%d bytes are pinned", got)
	}
	if err := v.Unpin(0, mapview.ToEnd); err != nil {
		t.Fatal(err)
	}
	if got := locked() - before; got != 0 {
		t.Errorf("%d bytes stay pinned", got)
	}
}
