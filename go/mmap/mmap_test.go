//go:build cgo

package mmap_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	mapview "example.com/mapview/go"
	"example.com/mapview/go/mmap"
)

var content = bytes.Repeat([]byte("mapped "), 3000)

func open(t *testing.T, content []byte) *mmap.ReaderAt {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := mmap.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestReaderAtConforms(t *testing.T) {
	r := open(t, content)
	if r.Len() != len(content) || r.At(8) != content[8] {
		t.Errorf("length %d, byte 8 is %q", r.Len(), r.At(8))
	}
	if err := iotest.TestReader(io.NewSectionReader(r, 0, int64(r.Len())), content); err != nil {
		t.Error(err)
	}
}

func TestReadAt(t *testing.T) {
	r, empty, closed := open(t, content), open(t, nil), open(t, content)
	closed.Close()
	end := int64(len(content))
	for _, c := range []struct {
		r    *mmap.ReaderAt
		n    int
		off  int64
		want int
		text string // of the error
		is   error
	}{
		{r, 10, 5, 10, "", nil},
		{r, 10, end - 4, 4, "EOF", io.EOF},
		{r, 10, end, 0, "EOF", io.EOF},
		{r, 0, end, 0, "", nil},
		{r, 0, 0, 0, "", nil},
		{r, 10, end + 1, 0, fmt.Sprint("mmap: invalid ReadAt offset ", end+1), fs.ErrInvalid},
		{r, 0, end + 1, 0, fmt.Sprint("mmap: invalid ReadAt offset ", end+1), fs.ErrInvalid},
		{r, 10, -3, 0, "mmap: invalid ReadAt offset -3", fs.ErrInvalid},
		{empty, 1, 0, 0, "EOF", io.EOF},
		{empty, 0, 0, 0, "", nil},
		{empty, 1, 1, 0, "mmap: invalid ReadAt offset 1", fs.ErrInvalid},
		{closed, 10, 0, 0, "mmap: closed", os.ErrClosed},
		{closed, 0, 0, 0, "mmap: closed", os.ErrClosed},
		{closed, 10, -1, 0, "mmap: closed", os.ErrClosed},
		{new(mmap.ReaderAt), 1, 0, 0, "mmap: closed", os.ErrClosed},
	} {
		p := make([]byte, c.n)
		n, err := c.r.ReadAt(p, c.off)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if n != c.want || text != c.text || !errors.Is(err, c.is) {
			t.Errorf("ReadAt of %d bytes at %d: %d, %v; want %d, %s", c.n, c.off, n, err, c.want, c.text)
		}
		if n > 0 && !bytes.Equal(p[:n], content[c.off:c.off+int64(n)]) {
			t.Errorf("ReadAt of %d bytes at %d: other bytes", c.n, c.off)
		}
	}
}

func TestClose(t *testing.T) {
	for _, r := range []*mmap.ReaderAt{open(t, content), open(t, nil), new(mmap.ReaderAt)} {
		for range 2 {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		if r.Len() != 0 {
			t.Errorf("length %d", r.Len())
		}
		wantIndexPanic(t, r, 0)
	}
}

func TestAtOutOfRange(t *testing.T) {
	r := open(t, content)
	wantIndexPanic(t, r, len(content))
	wantIndexPanic(t, r, -1)
}

func wantIndexPanic(t *testing.T, r *mmap.ReaderAt, i int) {
	t.Helper()
	defer func() {
		err, ok := recover().(runtime.Error)
		if !ok || !strings.Contains(err.Error(), "index out of range") {
			t.Errorf("At(%d) panics with %v", i, err)
		}
	}()
	r.At(i)
}

func TestOpenRefuses(t *testing.T) {
	_, err := mmap.Open(filepath.Join(t.TempDir(), "nothing"))
	var path *fs.PathError
	if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &path) {
		t.Errorf("%v (%T)", err, err)
	}
	_, err = mmap.Open(t.TempDir())
	if !errors.Is(err, syscall.EISDIR) || !errors.As(err, &path) {
		t.Errorf("a folder: %v (%T)", err, err)
	}
}

func TestWithoutLength(t *testing.T) {
	for _, name := range []string{"/dev/null", "/proc/self/status"} {
		r, err := mmap.Open(name)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if n, err := r.ReadAt(make([]byte, 1), 0); r.Len() != 0 || n != 0 || err != io.EOF {
			t.Errorf("%s: %d bytes, %d, %v", name, r.Len(), n, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if _, err := r.ReadAt(nil, 0); err == nil || err.Error() != "mmap: closed" {
			t.Errorf("%s is closed: %v", name, err)
		}
	}
}

// A reader that is closed beside a ReadAt answers as one that was closed before.
func TestCloseBesideReadAt(t *testing.T) {
	content := make([]byte, 1<<20)
	for range 50 {
		r := open(t, content)
		started, done := make(chan bool), make(chan error)
		for range 2 {
			go func() {
				p := make([]byte, len(content))
				_, err := r.ReadAt(p, 0)
				started <- true
				for err == nil {
					_, err = r.ReadAt(p, 0)
				}
				done <- err
			}()
		}
		<-started
		<-started
		r.Close()
		for range 2 {
			if err := <-done; err.Error() != "mmap: closed" || !errors.Is(err, os.ErrClosed) {
				t.Fatal(err)
			}
		}
	}
}

func TestTruncated(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := mmap.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(name, 0); err != nil {
		t.Fatal(err)
	}
	if n, err := r.ReadAt(make([]byte, 10), 5); n != 0 || !errors.Is(err, mapview.ErrTruncated) {
		t.Errorf("%d, %v", n, err)
	}
}

func TestReadAtAllocatesNothing(t *testing.T) {
	info, _ := debug.ReadBuildInfo()
	if slices.Contains(info.Settings, debug.BuildSetting{Key: "-asan", Value: "true"}) {
		t.Skip("AddressSanitizer moves buffers from the stack to the heap")
	}
	r, closed := open(t, content), open(t, content)
	closed.Close()
	p := make([]byte, 64)
	for what, call := range map[string]func(){
		"ReadAt":            func() { r.ReadAt(p, 9) },
		"ReadAt at the end": func() { r.ReadAt(p, int64(len(content))) },
		"ReadAt closed":     func() { closed.ReadAt(p, 0) },
		"At":                func() { r.At(9) },
	} {
		if n := testing.AllocsPerRun(100, call); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}
