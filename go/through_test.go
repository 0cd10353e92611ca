//go:build cgo

package mapview_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	mapview "example.com/mapview/go"
)

// writeCalls returns how many system calls that write this thread makes in f.
func writeCalls(t *testing.T, f func()) int {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	count := func() int {
		text, err := os.ReadFile("/proc/thread-self/io")
		if err != nil {
			t.Skipf("system calls cannot be counted: %v", err)
		}
		for _, line := range strings.Split(string(text), "\n") {
			if n, ok := strings.CutPrefix(line, "syscw: "); ok {
				calls, err := strconv.Atoi(n)
				if err != nil {
					t.Fatal(err)
				}
				return calls
			}
		}
		t.Skip("system calls cannot be counted: there is no syscw")
		return 0
	}
	before := count()
	f()
	return count() - before
}

// A random view writes by a system call, others by a copy.
func TestRandomWritesGoThroughTheFile(t *testing.T) {
	random := &mapview.Options{Advice: mapview.AdviceRandom}
	memory, err := mapview.NewMemory(int64(page), random)
	for _, c := range []struct {
		name string
		v    *mapview.View
		want int
	}{
		{"random", open(t, newFile(t, pattern(page)), os.O_RDWR, random), 100},
		{"plain", open(t, newFile(t, pattern(page)), os.O_RDWR, nil), 0},
		{"private", open(t, newFile(t, pattern(page)), os.O_RDWR, &mapview.Options{Advice: mapview.AdviceRandom, Private: true}), 0},
		{"memory", opened(t, memory, err), 0},
	} {
		// The runtime may add one, to wake who waits for a timer: the fewest count.
		calls := 1 << 30
		for range 3 {
			calls = min(calls, writeCalls(t, func() {
				for i := range 100 {
					if n, err := c.v.WriteAt([]byte{byte(i)}, int64(i)); n != 1 || err != nil {
						t.Errorf("%s: %d, %v", c.name, n, err)
					}
				}
			}))
		}
		if calls != c.want {
			t.Errorf("%s: %d system calls that write, not %d", c.name, calls, c.want)
		}
		for i, b := range c.v.Bytes()[:100] {
			if int(b) != i {
				t.Fatalf("%s: byte %d is %d", c.name, i, b)
			}
		}
	}
}

func TestRandomWriteAt(t *testing.T) {
	content := pattern(3*page + 100)
	name := newFile(t, content)
	v := open(t, name, os.O_RDWR, &mapview.Options{Advice: mapview.AdviceRandom})
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		p := bytes.Repeat([]byte{byte(random.Int())}, random.IntN(2*page))
		off := random.IntN(len(content) + 10)
		fits := min(len(p), max(len(content)-off, 0))
		n, err := v.WriteAt(p, int64(off))
		if n != fits || (fits < len(p)) != errors.Is(err, io.ErrShortWrite) || fits == len(p) && err != nil {
			t.Fatalf("%d bytes at %d: %d, %v", len(p), off, n, err)
		}
		copy(content[min(off, len(content)):], p)
	}
	if !bytes.Equal(v.Bytes(), content) {
		t.Error("the view shows something else")
	}
	wantContent(t, name, content)

	if err := os.Truncate(name, int64(page)); err != nil {
		t.Fatal(err)
	}
	n, err := v.WriteAt(make([]byte, 2*page), 10)
	wantFault(t, err, page, ErrTruncated)
	if n != page-10 {
		t.Errorf("over a cut: %d bytes", n)
	}
	if info, err := os.Stat(name); err != nil || info.Size() != int64(page) {
		t.Errorf("the file that was cut has %d bytes, %v", info.Size(), err)
	}
	if err := v.Protect(0, mapview.ToEnd, mapview.AccessRead); err != nil {
		t.Fatal(err)
	}
	n, err = v.WriteAt([]byte("x"), 5)
	wantFault(t, err, 5, fs.ErrPermission)
	if n != 0 {
		t.Errorf("protected: %d bytes", n)
	}
	v.Close()
	if n, err := v.WriteAt([]byte("x"), 0); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed: %d, %v", n, err)
	}
}

func TestAdviseRewrite(t *testing.T) {
	content := pattern(100*page + 5)
	v := open(t, newFile(t, content), os.O_RDWR, nil)
	v.Bytes()[3] = 77
	content[3] = 77
	if err := v.Advise(0, mapview.ToEnd, mapview.AdviceRewrite); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this kernel cannot populate pages")
	} else if err != nil {
		t.Error(err)
	}
	if !bytes.Equal(v.Bytes(), content) {
		t.Error("the view has changed")
	}
	private := open(t, newFile(t, content), os.O_RDWR, &mapview.Options{Private: true})
	private.Bytes()[3] = 78
	err := private.Advise(0, mapview.ToEnd, mapview.AdviceRewrite)
	if !errors.Is(err, fs.ErrInvalid) || private.Bytes()[3] != 78 {
		t.Errorf("private: %v, byte 3 is %d", err, private.Bytes()[3])
	}
	wantError(t, open(t, newFile(t, content), os.O_RDONLY, nil).Advise(0, 1, mapview.AdviceRewrite), fs.ErrInvalid)
	for _, flag := range []int{os.O_RDONLY, os.O_RDWR} {
		_, err := mapview.OpenFile(newFile(t, content), flag, 0, &mapview.Options{Advice: mapview.AdviceRewrite})
		wantError(t, err, fs.ErrInvalid)
		if !strings.Contains(err.Error(), "View.Advise") {
			t.Errorf("%q does not say where it can be given", err)
		}
	}
}
