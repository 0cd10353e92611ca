//go:build cgo

package mapview_test

import (
	"bytes"
	"io"
	"io/fs"
	"math"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	mapview "example.com/mapview/go"
)

// The interfaces that a View is.
var (
	_ io.ReaderAt = (*mapview.View)(nil)
	_ io.WriterAt = (*mapview.View)(nil)
	_ io.Closer   = (*mapview.View)(nil)
)

func TestReadAt(t *testing.T) {
	content := pattern(page + 100)
	v := open(t, newFile(t, content), os.O_RDONLY, nil)
	end := int64(len(content))
	for _, c := range []struct {
		n    int
		off  int64
		want int
		err  error
	}{
		{10, 0, 10, nil},
		{10, 95, 10, nil},
		{page, 100, page, nil},
		{len(content), 0, len(content), nil},
		{len(content) + 1, 0, len(content), io.EOF},
		{10, end - 10, 10, nil},
		{10, end - 9, 9, io.EOF},
		{1, end, 0, io.EOF},
		{1, end + 1, 0, io.EOF},
		{1, math.MaxInt64, 0, io.EOF},
		{0, 0, 0, nil},
		{0, end, 0, nil},
		{0, end + 1, 0, nil},
	} {
		p := make([]byte, c.n)
		n, err := v.ReadAt(p, c.off)
		if n != c.want || err != c.err {
			t.Errorf("ReadAt of %d bytes at %d: %d, %v; want %d, %v", c.n, c.off, n, err, c.want, c.err)
		}
		if n > 0 && !bytes.Equal(p[:n], content[c.off:c.off+int64(n)]) {
			t.Errorf("ReadAt of %d bytes at %d: other bytes", c.n, c.off)
		}
	}
	if n, err := v.ReadAt(nil, 0); n != 0 || err != nil {
		t.Error(n, err)
	}
	for _, p := range [][]byte{nil, make([]byte, 1)} {
		n, err := v.ReadAt(p, -1)
		wantError(t, err, fs.ErrInvalid)
		if n != 0 {
			t.Errorf("%d bytes before the view", n)
		}
	}
}

func TestReaderAtConforms(t *testing.T) {
	content := pattern(page + 100)
	v := open(t, newFile(t, content), os.O_RDONLY, nil)
	if err := iotest.TestReader(io.NewSectionReader(v, 0, v.Size()), content); err != nil {
		t.Error(err)
	}
}

func TestWriteAt(t *testing.T) {
	content := pattern(page + 100)
	end := int64(len(content))
	for _, c := range []struct {
		n    int
		off  int64
		want int
		err  error
	}{
		{10, 0, 10, nil},
		{page, 50, page, nil},
		{len(content), 0, len(content), nil},
		{len(content) + 1, 0, len(content), io.ErrShortWrite},
		{10, end - 10, 10, nil},
		{10, end - 9, 9, io.ErrShortWrite},
		{1, end, 0, io.ErrShortWrite},
		{1, math.MaxInt64, 0, io.ErrShortWrite},
		{0, 0, 0, nil},
		{0, end + 1, 0, nil},
		{1, -1, 0, fs.ErrInvalid},
	} {
		name := newFile(t, content)
		v := open(t, name, os.O_RDWR, nil)
		p := bytes.Repeat([]byte{0xee}, c.n)
		n, err := v.WriteAt(p, c.off)
		if n != c.want || (err == nil) != (c.err == nil) {
			t.Errorf("WriteAt of %d bytes at %d: %d, %v; want %d, %v", c.n, c.off, n, err, c.want, c.err)
		}
		if c.err != nil {
			wantError(t, err, c.err)
			if _, ok := err.(*fs.PathError); !ok && err != io.ErrShortWrite {
				t.Errorf("error is a %T", err)
			}
		}
		want := bytes.Clone(content)
		if n > 0 {
			copy(want[c.off:], p[:n])
		}
		wantContent(t, name, want)
	}
}

func TestWriteAtReadOnly(t *testing.T) {
	content := pattern(page)
	name := newFile(t, content)
	for _, opt := range []*mapview.Options{nil, {Private: true}} {
		v := open(t, name, os.O_RDONLY, opt)
		for _, p := range [][]byte{nil, {1}} {
			n, err := v.WriteAt(p, 0)
			wantError(t, err, fs.ErrPermission)
			if n != 0 {
				t.Errorf("%d bytes written", n)
			}
		}
	}
	wantContent(t, name, content)
}

// What one view stores, another one and package os see at once.
func TestViewsShareBytes(t *testing.T) {
	name := newFile(t, make([]byte, 2*page))
	a, b := open(t, name, os.O_RDWR, nil), open(t, name, os.O_RDONLY, nil)
	if _, err := a.WriteAt([]byte("shared"), int64(page)-3); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 6)
	if _, err := b.ReadAt(got, int64(page)-3); err != nil || string(got) != "shared" {
		t.Errorf("%q, %v", got, err)
	}
	want := make([]byte, 2*page)
	copy(want[page-3:], "shared")
	wantContent(t, name, want)
}

// A buffer may be a part of the view itself.
func TestReadAtIntoItself(t *testing.T) {
	v := open(t, newFile(t, pattern(100)), os.O_RDWR, nil)
	if n, err := v.ReadAt(v.Bytes()[10:20], 0); n != 10 || err != nil {
		t.Fatal(n, err)
	}
	if !bytes.Equal(v.Bytes()[10:20], pattern(10)) {
		t.Errorf("%v", v.Bytes()[10:20])
	}
}

func TestAt(t *testing.T) {
	content := pattern(page + 1)
	v := open(t, newFile(t, content), os.O_RDONLY, nil)
	for _, i := range []int{0, 1, page - 1, page} {
		if v.At(i) != content[i] {
			t.Errorf("At(%d) is %d", i, v.At(i))
		}
	}
	for _, i := range []int{-1, page + 1, math.MaxInt, math.MinInt} {
		wantIndexPanic(t, v, i)
	}
	v.Close()
	wantIndexPanic(t, v, 0)
}

func wantIndexPanic(t *testing.T, v *mapview.View, i int) {
	t.Helper()
	err, ok := panicOf(func() { v.At(i) }).(runtime.Error)
	if !ok || !strings.Contains(err.Error(), "index out of range") {
		t.Errorf("At(%d) panics with %v", i, err)
	}
}

// Files beyond 2 GiB and 4 GiB, without their blocks.
func TestAccessBeyond4GiB(t *testing.T) {
	const size = 5 << 30
	name := newFile(t, nil)
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
	v := open(t, name, os.O_RDWR, nil)
	if v.Size() != size {
		t.Fatalf("size %d", v.Size())
	}
	for _, off := range []int64{1<<31 - 2, 1<<32 - 2, size - 4} {
		if n, err := v.WriteAt([]byte("edge"), off); n != 4 || err != nil {
			t.Errorf("WriteAt at %d: %d, %v", off, n, err)
		}
		got := make([]byte, 4)
		if n, err := v.ReadAt(got, off); n != 4 || err != nil || string(got) != "edge" {
			t.Errorf("ReadAt at %d: %d, %v, %q", off, n, err, got)
		}
	}
	part := open(t, name, os.O_RDONLY, &mapview.Options{Offset: 1<<32 - 2, Length: 4})
	if string(part.Bytes()) != "edge" {
		t.Errorf("a part at 4 GiB holds %q", part.Bytes())
	}
}
