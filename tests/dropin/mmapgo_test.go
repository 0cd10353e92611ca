//go:build cgo

package dropin

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	ours "example.com/mapview/go/mmapgo"
	theirs "github.com/edsrzf/mmap-go"
)

// A mapping is an MMap of either package, whose type is only a name.
type mapping interface {
	Flush() error
	Lock() error
	Unlock() error
}

// same tells whether two errors say the same: the errno or else the sentence.
func same(a, b error) bool {
	var errnoA, errnoB syscall.Errno
	switch {
	case a == nil || b == nil:
		return a == nil && b == nil
	case errors.As(b, &errnoB):
		return errors.As(a, &errnoA) && errnoA == errnoB
	}
	return a.Error() == b.Error() || errors.Is(a, os.ErrInvalid) && errors.Is(b, os.ErrInvalid)
}

// mmapgoDiffers are the cases in which mmap-go fails, or gives a slice that is
// longer than the file, and the drop-in says in its documentation that it does
// not.
func mmapgoDiffers(size, length, prot, flags, offset int) string {
	switch {
	case prot&theirs.EXEC != 0 && offset%os.Getpagesize() == 0:
		return "EXEC"
	case flags&theirs.ANON == 0 && (length == 0 || length < 0 && size == 0):
		return "empty"
	case flags&theirs.ANON == 0 && offset%os.Getpagesize() == 0 && (offset > size || length < 0 && offset > 0):
		return "from an offset"
	}
	return ""
}

func TestMapAnswersAlike(t *testing.T) {
	page := os.Getpagesize()
	compared, mapped := 0, 0
	for _, size := range []int{0, 5, page, 2*page + 5} {
		for _, open := range []int{os.O_RDONLY, os.O_RDWR, os.O_WRONLY} {
			for _, length := range []int{-1, 0, 3, page, 2*page + 5, 4 * page} {
				for _, prot := range []int{ours.RDONLY, 1, ours.RDWR, ours.COPY, ours.COPY | ours.RDWR, ours.EXEC} {
					for _, flags := range []int{0, ours.ANON, 2} {
						for _, offset := range []int{0, 1, page, 4 * page} {
							if mmapgoDiffers(size, length, prot, flags, offset) != "" {
								continue
							}
							compared++
							what := fmt.Sprintf("file of %d opened %d, length %d, prot %d, flags %d, offset %d",
								size, open, length, prot, flags, offset)
							if compareMaps(t, what, size, open, length, prot, flags, offset) {
								mapped++
							}
						}
					}
				}
			}
		}
	}
	t.Logf("%d cases, of which %d are mapped", compared, mapped)
	if mapped < 100 || compared-mapped < 100 {
		t.Error("too few")
	}
}

// compareMaps makes one map in each package, of files that are alike, and
// returns whether there is one.
func compareMaps(t *testing.T, what string, size, open, length, prot, flags, offset int) bool {
	t.Helper()
	nameA, nameB := newFile(t, size), newFile(t, size)
	fA, errA := os.OpenFile(nameA, open, 0)
	fB, errB := os.OpenFile(nameB, open, 0)
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	defer fA.Close()
	defer fB.Close()
	a, errA := ours.MapRegion(fA, length, prot, flags, int64(offset))
	b, errB := theirs.MapRegion(fB, length, prot, flags, int64(offset))
	if !same(errA, errB) || len(a) != len(b) || (a == nil) != (b == nil) {
		t.Errorf("%s: %d bytes, %v; theirs: %d, %v", what, len(a), errA, len(b), errB)
		return false
	}
	if errA != nil {
		return false
	}
	// What of it is there; the rest would end both programs.
	there := len(a)
	if flags&ours.ANON == 0 {
		there = min(there, size-offset)
	}
	if there > 0 && prot&(ours.RDWR|ours.COPY) != 0 {
		a[there-1], b[there-1] = 'X', 'X'
	}
	if !bytes.Equal(a[:there], b[:there]) {
		t.Errorf("%s: other bytes", what)
	}
	for name, call := range map[string]func(mapping) error{
		"Flush": mapping.Flush, "Lock": mapping.Lock, "Unlock": mapping.Unlock,
	} {
		if there < len(a) && name != "Flush" {
			continue
		}
		if errA, errB := call(a), call(b); !same(errA, errB) {
			t.Errorf("%s: %s: %v; theirs: %v", what, name, errA, errB)
		}
	}
	for range 2 {
		errA, errB := a.Unmap(), b.Unmap()
		if !same(errA, errB) || a != nil || b != nil {
			t.Errorf("%s: Unmap: %v; theirs: %v", what, errA, errB)
		}
	}
	wantSameFiles(t, what, nameA, nameB)
	return true
}

func wantSameFiles(t *testing.T, what, nameA, nameB string) {
	t.Helper()
	contentA, errA := os.ReadFile(nameA)
	contentB, errB := os.ReadFile(nameB)
	if errA != nil || errB != nil || !bytes.Equal(contentA, contentB) {
		t.Errorf("%s: the files differ: %v, %v", what, errA, errB)
	}
}
