//go:build cgo

package mapview_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	mapview "example.com/mapview/go"
)

var _ io.WriteCloser = (*mapview.Appender)(nil)

// newAppender returns an Appender at the end of a new file that may grow.
func newAppender(t *testing.T, content []byte, reserve int64) (*mapview.View, *mapview.Appender) {
	t.Helper()
	v := open(t, newFile(t, content), os.O_RDWR, &mapview.Options{Reserve: reserve})
	return v, newAppenderAt(t, v, v.Size())
}

func newAppenderAt(t *testing.T, v *mapview.View, off int64) *mapview.Appender {
	t.Helper()
	a, err := mapview.NewAppender(v, off)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAppender(t *testing.T) {
	v, a := newAppender(t, []byte("head"), 16<<20)
	want := []byte("head")
	var places []int64
	first := v.Bytes()[:4]
	for i := range 300 {
		record := bytes.Repeat([]byte{byte(i)}, i*13%5000)
		off, err := a.Append(record)
		if err != nil || off != int64(len(want)) {
			t.Fatalf("record %d at %d, %v", i, off, err)
		}
		places = append(places, off)
		want = append(want, record...)
		if a.End() != int64(len(want)) {
			t.Fatalf("the end is at %d, not %d", a.End(), len(want))
		}
	}
	if n, err := a.Write([]byte("tail")); n != 4 || err != nil {
		t.Error(n, err)
	}
	want = append(want, "tail"...)
	// Everything is where it was handed out, and the rest is zeros.
	b := v.Bytes()
	if &b[0] != &first[0] || string(first) != "head" || !bytes.Equal(b[:len(want)], want) {
		t.Error("other bytes")
	}
	if b[places[7]] != 7 || bytes.Count(b[len(want):], []byte{0}) != len(b)-len(want) {
		t.Error("other bytes behind the end")
	}
	if len(b) < len(want) {
		t.Errorf("the view has %d bytes", len(b))
	}
	for range 2 {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	if v.Len() != len(want) {
		t.Errorf("%d bytes after Close, not %d", v.Len(), len(want))
	}
	wantContent(t, v.Name(), want)
	if _, err := a.Write([]byte("more")); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	if err := a.Sync(); err != nil || a.End() != int64(len(want)) {
		t.Error(a.End(), err)
	}

	// And on, over what is left of the last record.
	a = newAppenderAt(t, v, v.Size()-4)
	a.Write([]byte("new"))
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	wantContent(t, v.Name(), append(want[:len(want)-4], "new"...))
}

// The view grows in steps, not with every record.
func TestAppenderGrowsInSteps(t *testing.T) {
	v, a := newAppender(t, nil, 1<<30)
	last, grew := v.Len(), []int{}
	for range 3000 {
		if _, err := a.Append(pattern(1000)); err != nil {
			t.Fatal(err)
		}
		if v.Len() != last {
			grew = append(grew, v.Len())
			last = v.Len()
		}
	}
	want := []int{64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20}
	if fmt.Sprint(grew) != fmt.Sprint(want) {
		t.Errorf("sizes %v, not %v", grew, want)
	}
	if err := v.Resize(200 << 20); err != nil { // within a step's doubling
		t.Fatal(err)
	}
	a = newAppenderAt(t, v, v.Size())
	a.Append([]byte{1})
	if v.Len() != 264<<20 {
		t.Errorf("a step to %d", v.Len())
	}
	a.Append(make([]byte, 100<<20)) // a record longer than a step
	if v.Size() != 328<<20 || a.End() != 300<<20+1 {
		t.Errorf("%d bytes, the end is at %d", v.Size(), a.End())
	}
	if err := v.Resize(0); err != nil {
		t.Error(err)
	}
}

// The last step is shorter, and all of the reservation can be used.
func TestAppenderOutOfReserve(t *testing.T) {
	reserve := int64(25 * page)
	v, a := newAppender(t, []byte{9}, reserve)
	n := int64(0)
	for ; ; n++ {
		if _, err := a.Append(pattern(1000)); err != nil {
			wantError(t, err, syscall.ENOMEM)
			if !strings.Contains(err.Error(), "reserve") {
				t.Error(err)
			}
			break
		}
	}
	if n != (reserve-1)/1000 || a.End() != 1+n*1000 {
		t.Errorf("%d records, the end is at %d", n, a.End())
	}
	left := reserve - a.End()
	if _, err := a.Append(make([]byte, left+1)); !errors.Is(err, syscall.ENOMEM) {
		t.Error(err)
	}
	if _, err := a.Append(make([]byte, left)); err != nil || a.End() != reserve {
		t.Error(a.End(), err)
	}
	if _, err := a.Append(nil); err != nil {
		t.Error(err)
	}
	if n, err := a.Write([]byte{1}); n != 0 || !errors.Is(err, syscall.ENOMEM) {
		t.Error(n, err)
	}
	if err := errors.Join(a.Sync(), a.Close()); err != nil || v.Size() != reserve {
		t.Error(v.Size(), err)
	}
}

// Where a step finds no room, the record alone still may.
func TestAppenderOnSmallFileSystem(t *testing.T) {
	size := 40 * page
	dir := smallDisk(t, fmt.Sprint(size))
	opt := &mapview.Options{Reserve: 1 << 30}
	v := open(t, filepath.Join(dir, "log"), os.O_RDWR|os.O_CREATE, opt)
	a := newAppenderAt(t, v, 0)
	n := 0
	for ; ; n++ {
		if _, err := a.Append(pattern(page)); err != nil {
			wantError(t, err, mapview.ErrNoSpace)
			break
		}
	}
	if n != 40 || a.End() != int64(size) {
		t.Errorf("%d records, the end is at %d", n, a.End())
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	wantContent(t, v.Name(), bytes.Repeat(pattern(page), 40))
}

// A record that cannot be written as a whole is not there.
func TestAppenderFault(t *testing.T) {
	v, a := newAppender(t, nil, 1<<20)
	a.Append([]byte("first"))
	if err := os.Truncate(v.Name(), int64(page)); err != nil {
		t.Fatal(err)
	}
	n, err := a.Write(pattern(2 * page))
	wantFault(t, err, page, ErrTruncated)
	if n != 0 || a.End() != 5 {
		t.Errorf("%d bytes, the end is at %d", n, a.End())
	}
	if off, err := a.Append([]byte("second")); off != 5 || err != nil {
		t.Error(off, err)
	}
	wantError(t, a.Close(), ErrTruncated) // of Resize, which tells what has happened
	if err := v.Refresh(); err != nil {
		t.Error(err)
	}
	wantError(t, a.Close(), nil)
	if b := v.Bytes(); string(b[:11]) != "firstsecond" || b[11] != pattern(page)[6] {
		t.Errorf("%q", b[:20])
	}
}

func TestAppenderBehindCutView(t *testing.T) {
	v, a := newAppender(t, nil, 1<<20)
	a.Append(pattern(1000))
	if err := v.Resize(999); err != nil {
		t.Fatal(err)
	}
	_, err := a.Append([]byte{1})
	wantError(t, err, ErrTruncated)
	wantError(t, a.Sync(), ErrTruncated)
	wantError(t, a.Close(), ErrTruncated)
	if v.Len() != 999 {
		t.Errorf("%d bytes", v.Len())
	}
}

func TestAppenderAfterClose(t *testing.T) {
	v, a := newAppender(t, nil, 1<<20)
	a.Append([]byte("x"))
	v.Close()
	_, err := a.Append([]byte("y"))
	wantError(t, err, os.ErrClosed)
	wantError(t, a.Sync(), os.ErrClosed)
	wantError(t, a.Close(), os.ErrClosed)
	_, err = mapview.NewAppender(v, 0)
	wantError(t, err, os.ErrClosed)
}

func TestAppenderRefuses(t *testing.T) {
	name := newFile(t, pattern(100))
	for _, c := range []struct {
		flag int
		opt  mapview.Options
		off  int64
		err  error
	}{
		{os.O_RDONLY, mapview.Options{}, 100, fs.ErrPermission},
		{os.O_RDWR, mapview.Options{Private: true}, 100, fs.ErrInvalid},
		{os.O_RDWR, mapview.Options{Length: 50}, 50, fs.ErrInvalid},
		{os.O_RDWR, mapview.Options{}, -1, fs.ErrInvalid},
		{os.O_RDWR, mapview.Options{}, 101, fs.ErrInvalid},
	} {
		a, err := mapview.NewAppender(open(t, name, c.flag, &c.opt), c.off)
		if a != nil || !errors.Is(err, c.err) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Records of many goroutines do not mix, beside Sync and readers.
func TestAppenderTogether(t *testing.T) {
	const writers, each, n = 8, 200, 700
	v, a := newAppender(t, nil, 64<<20)
	var group sync.WaitGroup
	for w := range writers {
		group.Add(1)
		go func() {
			defer group.Done()
			p := make([]byte, n)
			for i := range each {
				off, err := a.Append(bytes.Repeat([]byte{byte(1 + w)}, n))
				if err != nil {
					t.Error(err)
					return
				}
				if i%50 == 0 {
					if err := a.Sync(); err != nil {
						t.Error(err)
					}
				}
				if _, err := v.ReadAt(p, off); err != nil || bytes.Count(p, []byte{byte(1 + w)}) != n {
					t.Errorf("at %d: %v, %v...", off, err, p[:8])
					return
				}
			}
		}()
	}
	group.Wait()
	if err := a.Close(); err != nil || v.Len() != writers*each*n {
		t.Error(v.Len(), err)
	}
	counts := map[byte]int{}
	for b := v.Bytes(); len(b) > 0; b = b[n:] {
		if bytes.Count(b[:n], b[:1]) != n {
			t.Fatal("records are mixed")
		}
		counts[b[0]]++
	}
	for w := range writers {
		if counts[byte(1+w)] != each {
			t.Errorf("writer %d has %d records", w, counts[byte(1+w)])
		}
	}
}

func TestAppenderInMemory(t *testing.T) {
	v, err := mapview.NewMemory(0, &mapview.Options{Reserve: 1 << 20})
	opened(t, v, err)
	a := newAppenderAt(t, v, 0)
	if n, err := io.Copy(a, bytes.NewReader(pattern(100_000))); n != 100_000 || err != nil {
		t.Error(n, err)
	}
	if err := errors.Join(a.Sync(), a.Close()); err != nil || !bytes.Equal(v.Bytes(), pattern(100_000)) {
		t.Error(err)
	}
}

// To begin to append takes nothing away from a view that grows meanwhile.
func TestNewAppenderBesideGrowth(t *testing.T) {
	v := open(t, newFile(t, pattern(page)), os.O_RDWR, &mapview.Options{Reserve: 256 << 20})
	over := make(chan struct{})
	go func() {
		defer close(over)
		for size := int64(page); size < 64<<20 && !t.Failed(); size += int64(4 * page) {
			if err := v.Resize(size); err != nil || v.Size() != size {
				t.Errorf("grown to %d it has %d bytes, %v", size, v.Size(), err)
			}
		}
	}()
	for running := true; running; {
		select {
		case <-over:
			running = false
		default:
		}
		if _, err := mapview.NewAppender(v, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// A Sync tells of records that were cut off, also with none to write.
func TestAppenderSyncAfterCut(t *testing.T) {
	name := newFile(t, nil)
	v := open(t, name, os.O_RDWR, &mapview.Options{Reserve: 1 << 20})
	a, err := mapview.NewAppender(v, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Append(pattern(100)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(name, 10); err != nil {
		t.Fatal(err)
	}
	wantError(t, a.Sync(), mapview.ErrTruncated)
}
