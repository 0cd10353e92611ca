//go:build cgo

// Package dropin asks the packages that go/mmap and go/mmapgo stand in for and
// the drop-ins the same, and compares the answers.
package dropin

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	ours "example.com/mapview/go/mmap"
	theirs "golang.org/x/exp/mmap"
)

// A reader is a ReaderAt of either package.
type reader interface {
	At(i int) byte
	Close() error
	Len() int
	ReadAt(p []byte, off int64) (int, error)
}

func newFile(t *testing.T, size int) string {
	t.Helper()
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i % 251)
	}
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// answers are all that can be heard of a reader.
func answers(r reader) (all []string) {
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	size := r.Len()
	say("Len %d", size)
	for _, i := range []int{-1, 0, 1, size - 1, size, size + 1, -1 << 63, 1<<63 - 1} {
		func() {
			defer func() {
				if p := recover(); p != nil {
					say("At %d panics: %v", i, p)
				}
			}()
			say("At %d: %d", i, r.At(i))
		}()
		for _, n := range []int{0, 1, 7, size, size + 9} {
			p := make([]byte, n)
			got, err := r.ReadAt(p, int64(i))
			say("ReadAt %d at %d: %d, %v, %v, %x", n, i, got, err, err == io.EOF, p)
		}
	}
	return all
}

func TestReaderAtAnswersAlike(t *testing.T) {
	names := []string{filepath.Join(t.TempDir(), "missing"), t.TempDir(), "", "/dev/null", "/proc/self/status"}
	for _, size := range []int{0, 1, 100, os.Getpagesize(), os.Getpagesize() + 5} {
		names = append(names, newFile(t, size))
	}
	opened := 0
	for _, name := range names {
		a, errA := ours.Open(name)
		b, errB := theirs.Open(name)
		var pathA, pathB *fs.PathError
		if (errA == nil) != (errB == nil) || errors.Is(errA, fs.ErrNotExist) != errors.Is(errB, fs.ErrNotExist) ||
			errors.As(errB, &pathB) && !errors.As(errA, &pathA) {
			t.Errorf("Open %q: %v; theirs: %v", name, errA, errB)
		}
		if errA != nil || errB != nil {
			continue
		}
		opened++
		for _, state := range []string{"open", "closed", "closed again"} {
			ofA, ofB := answers(a), answers(b)
			for i := range ofB {
				if ofA[i] != ofB[i] {
					t.Errorf("%q, %s: %.100q; theirs: %.100q", name, state, ofA[i], ofB[i])
				}
			}
			if errA, errB := a.Close(), b.Close(); errA != errB {
				t.Errorf("%q, %s: Close: %v; theirs: %v", name, state, errA, errB)
			}
		}
	}
	if opened != 7 {
		t.Errorf("%d files were open, not 7", opened)
	}
}
