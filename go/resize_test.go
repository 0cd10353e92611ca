//go:build cgo

package mapview_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	mapview "example.com/mapview/go"
)

func TestResize(t *testing.T) {
	content := pattern(page + 10)
	name := newFile(t, content)
	v := open(t, name, os.O_RDWR, &mapview.Options{Reserve: 1 << 30})
	first := &v.Bytes()[0]
	for _, size := range []int{3*page + 1, 3*page + 1, page + 10, 5, 0, 2 * page} {
		if err := v.Resize(int64(size)); err != nil {
			t.Fatalf("to %d: %v", size, err)
		}
		content = append(content[:min(size, len(content))], make([]byte, max(size-len(content), 0))...)
		if v.Len() != size || !bytes.Equal(v.Bytes(), content) {
			t.Errorf("to %d: length %d, or other bytes", size, v.Len())
		}
		wantContent(t, name, content)
		if n, err := v.ReadAt(make([]byte, 1), int64(size)); n != 0 || err != io.EOF {
			t.Errorf("at the end %d: %d, %v", size, n, err)
		}
	}
	if &v.Bytes()[0] != first {
		t.Error("the view has moved")
	}
}

// What a failed Resize leaves is what was there.
func TestResizeFails(t *testing.T) {
	content := pattern(2 * page)
	name := newFile(t, content)
	reserve := &mapview.Options{Reserve: int64(4 * page)}
	part := open(t, name, os.O_RDWR, &mapview.Options{Length: int64(page)})
	private := open(t, name, os.O_RDWR, &mapview.Options{Private: true})
	grown := newFile(t, content)
	beside := open(t, grown, os.O_RDWR, reserve)
	if err := os.Truncate(grown, int64(3*page)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		v    *mapview.View
		size int64
		want error
	}{
		{"negative", open(t, name, os.O_RDWR, reserve), -1, fs.ErrInvalid},
		{"over the reservation", open(t, name, os.O_RDWR, reserve), int64(4*page) + 1, syscall.ENOMEM},
		{"read-only", open(t, name, os.O_RDONLY, reserve), int64(3 * page), fs.ErrPermission},
		{"a part", part, 10, fs.ErrInvalid},
		{"private", private, 10, fs.ErrInvalid},
		{"shrink of a file that is longer", beside, int64(page), syscall.EBUSY},
		{"shrink of a cut file", newCut(t), 10, mapview.ErrTruncated},
	} {
		before := c.v.Size()
		info, _ := os.Stat(c.v.Name())
		wantError(t, c.v.Resize(c.size), c.want)
		if c.v.Size() != before {
			t.Errorf("%s: size was %d and is %d", c.what, before, c.v.Size())
		}
		if now, _ := os.Stat(c.v.Name()); now.Size() != info.Size() {
			t.Errorf("%s: file had %d bytes and has %d", c.what, info.Size(), now.Size())
		}
		if n, err := c.v.ReadAt(make([]byte, page), 0); n != page || err != nil {
			t.Errorf("%s: then ReadAt: %d, %v", c.what, n, err)
		}
	}
}

// A Resize that cannot be disturbs nobody while it fails: refused at once, or
// since the file is longer than the view knew.
func TestFailingResizeDisturbsNobody(t *testing.T) {
	name := newFile(t, pattern(page))
	longer := open(t, name, os.O_RDWR, nil)
	readOnly := open(t, name, os.O_RDONLY, nil)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write([]byte("more")); err != nil {
		t.Fatal(err)
	}
	for _, v := range []*mapview.View{readOnly, longer} {
		over := make(chan struct{})
		go func() {
			defer close(over)
			for range 3000 {
				if v.Resize(10) == nil {
					t.Error("a Resize that cannot be was")
				}
			}
		}()
		for running := true; running && !t.Failed(); {
			select {
			case <-over:
				running = false
			default:
			}
			checkWhole(t, v)
		}
		<-over
	}
}

// checkWhole finds all of a view of one page, in every way there is.
func checkWhole(t *testing.T, v *mapview.View) {
	t.Helper()
	var two [2]byte
	if n, err := v.ReadAt(two[:], int64(page-1)); n != 1 || err != io.EOF {
		t.Errorf("ReadAt: %d, %v", n, err)
	}
	if x := v.At(page - 1); x != pattern(page)[page-1] {
		t.Errorf("At: %d", x)
	}
	if err := v.Do(func(b []byte) error {
		if len(b) != page {
			t.Errorf("Do: %d bytes", len(b))
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if n := len(v.Bytes()); n != page {
		t.Errorf("Bytes: %d", n)
	}
	if _, err := mapview.Slice[byte](v, int64(page-1), 1); err != nil {
		t.Error(err)
	}
	if r, err := mapview.NewRecords[byte](v, 0); err != nil || r.Len() != page {
		t.Errorf("Records: %v", err)
	}
	if at, err := v.Cursor().Seek(0, io.SeekEnd); at != int64(page) || err != nil {
		t.Errorf("Seek: %d, %v", at, err)
	}
}

// A WriteAt across the end says so, whatever Resize runs beside it.
func TestWriteAcrossTheEndBesideResize(t *testing.T) {
	name := newFile(t, pattern(2*page))
	v := open(t, name, os.O_RDWR, &mapview.Options{Reserve: int64(4 * page)})
	var stop atomic.Bool
	over := make(chan struct{})
	go func() {
		defer close(over)
		for i := 0; !stop.Load(); i++ {
			if err := v.Resize(int64((1 + i%3) * page)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	p := make([]byte, 3*page)
	for range 20000 {
		n, err := v.WriteAt(p, 10)
		if n < len(p) && err == nil {
			t.Errorf("%d of %d bytes and no error", n, len(p))
			break
		}
	}
	stop.Store(true)
	<-over
}

// What a read beside it returns is the file's, up to one end or the other: no
// zeros that lie behind the new end.
func TestShrinkShowsNoZeros(t *testing.T) {
	content := pattern(64 * page)
	name := newFile(t, content)
	for range 200 {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		v := open(t, name, os.O_RDWR, nil)
		reading, over := make(chan bool), make(chan bool)
		go func() {
			defer close(over)
			buf := make([]byte, len(content))
			for first := true; ; first = false {
				n, err := v.ReadAt(buf, 0)
				if !bytes.Equal(buf[:n], content[:n]) {
					t.Errorf("%d bytes, %v, and they are not the file's", n, err)
				}
				if first {
					close(reading)
				}
				if n < len(content) {
					return
				}
			}
		}()
		<-reading
		if err := v.Resize(int64(63*page + 100)); err != nil {
			t.Fatal(err)
		}
		<-over
		v.Close()
	}
}

// An old slice faults past the new end, and Do says that it does not exist.
func TestResizeShrinksUnderDo(t *testing.T) {
	v := open(t, newFile(t, pattern(3*page)), os.O_RDWR, nil)
	err := v.Do(func(b []byte) error {
		if err := v.Resize(int64(page)); err != nil {
			return err
		}
		load(b, page-1)
		load(b, 2*page)
		return nil
	})
	wantFault(t, err, 2*page, ErrTruncated)
}

func TestRefresh(t *testing.T) {
	content := pattern(page)
	name := newFile(t, content)
	v := open(t, name, os.O_RDONLY, &mapview.Options{Reserve: int64(8 * page)})
	part := open(t, name, os.O_RDONLY, &mapview.Options{Offset: 10, Length: 100})
	for _, c := range []struct{ file, whole, part int }{
		{2 * page, 2 * page, 100}, {8 * page, 8 * page, 100}, {50, 50, 40}, {0, 0, 0}, {page, page, 100},
	} {
		if err := os.Truncate(name, int64(c.file)); err != nil {
			t.Fatal(err)
		}
		for v, want := range map[*mapview.View]int{v: c.whole, part: c.part} {
			if err := v.Refresh(); err != nil || v.Len() != want {
				t.Errorf("file of %d bytes: length %d, want %d, %v", c.file, v.Len(), want, err)
			}
		}
	}
	if err := os.Truncate(name, int64(9*page)); err != nil {
		t.Fatal(err)
	}
	if err := v.Refresh(); !errors.Is(err, syscall.ENOMEM) || v.Len() != page {
		t.Errorf("beyond the reservation: %v, length %d", err, v.Len())
	}
}

// A read-only view finds its file by name, and says so if another is there.
func TestRefreshAfterReplacement(t *testing.T) {
	name := newFile(t, pattern(page))
	v := open(t, name, os.O_RDONLY, nil)
	if err := os.Rename(newFile(t, pattern(2*page)), name); err != nil {
		t.Fatal(err)
	}
	wantError(t, v.Refresh(), syscall.ESTALE)
	if v.Len() != page {
		t.Errorf("length %d", v.Len())
	}
}

// Accesses beside a view that grows and shrinks see data or its end, or, if it
// has grown again before they ask, that it was shorter.
func TestResizeStorm(t *testing.T) {
	v := open(t, newFile(t, pattern(page)), os.O_RDWR, &mapview.Options{Reserve: int64(64 * page)})
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 4 {
		group.Add(1)
		go func() {
			defer group.Done()
			p := make([]byte, 64*page)
			for {
				select {
				case <-stop:
					return
				default:
				}
				n, err := v.ReadAt(p, 0)
				if n < len(p) && err != io.EOF && !errors.Is(err, ErrTruncated) {
					t.Errorf("ReadAt: %d, %v", n, err)
				}
				n, err = v.WriteAt(p, 7)
				if n < len(p) && !errors.Is(err, io.ErrShortWrite) && !errors.Is(err, ErrTruncated) {
					t.Errorf("WriteAt: %d, %v", n, err)
				}
			}
		}()
	}
	for i := range 500 {
		if err := v.Resize(int64(1 + i*37%64*page)); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	group.Wait()
}
