//go:build cgo

package mmap_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	mapview "example.com/mapview/go"
	mmap "example.com/mapview/go/mmapgo"
)

// What programs may have written as numbers.
var (
	_ = [1]struct{}{}[mmap.RDONLY]
	_ = [1]struct{}{}[mmap.RDWR-2]
	_ = [1]struct{}{}[mmap.COPY-4]
	_ = [1]struct{}{}[mmap.EXEC-8]
	_ = [1]struct{}{}[mmap.ANON-1]
)

var page = os.Getpagesize()

// pattern is n bytes of which no two neighbouring pages are alike.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

// newFile makes a file that holds content and opens it in the way of flag.
func newFile(t *testing.T, content []byte, flag int) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// mapped is what Map and MapRegion return, unmapped when the test ends.
func mapped(m mmap.MMap, err error) func(t *testing.T) mmap.MMap {
	return func(t *testing.T) mmap.MMap {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		whole := m
		t.Cleanup(func() {
			if err := whole.Unmap(); err != nil && !errors.Is(err, os.ErrClosed) {
				t.Error(err)
			}
		})
		return m
	}
}

func wantContent(t *testing.T, f *os.File, content []byte) {
	t.Helper()
	got, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, content) {
		t.Errorf("the file holds %d bytes that are not the %d expected", len(got), len(content))
	}
}

func wantError(t *testing.T, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("error is %v (%T), not %v", err, err, target)
		}
	}
}

// inView does f, whose accesses to m may fault.
func inView(m mmap.MMap, f func()) error {
	return m.View().Do(func([]byte) error { f(); return nil })
}

//go:noinline
func load(b []byte, i int) byte { return b[i] }

func TestMap(t *testing.T) {
	content := pattern(3*page + 5)
	for _, c := range []struct {
		what            string
		open, prot      int
		stores, reaches bool
	}{
		{"RDONLY", os.O_RDONLY, mmap.RDONLY, false, false},
		{"RDONLY of a file that can be written", os.O_RDWR, mmap.RDONLY, false, false},
		{"RDWR", os.O_RDWR, mmap.RDWR, true, true},
		{"COPY", os.O_RDWR, mmap.COPY, true, false},
		{"COPY of a file that can only be read", os.O_RDONLY, mmap.COPY, true, false},
		{"COPY with RDWR is COPY", os.O_RDWR, mmap.COPY | mmap.RDWR, true, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			f := newFile(t, content, c.open)
			m := mapped(mmap.Map(f, c.prot, 0))(t)
			f.Close()
			if !bytes.Equal(m, content) {
				t.Fatalf("%d bytes that are not the file's", len(m))
			}
			err := inView(m, func() { m[page] = 'X' })
			if c.stores != (err == nil) {
				t.Fatalf("a store: %v", err)
			}
			if !c.stores {
				wantError(t, err, syscall.EACCES)
			}
			if err := m.Flush(); err != nil {
				t.Error(err)
			}
			after := slices.Clone(content)
			if c.reaches {
				after[page] = 'X'
			}
			wantContent(t, f, after)
			if err := m.Unmap(); err != nil || m != nil {
				t.Errorf("%v, and m is %d bytes", err, len(m))
			}
			wantContent(t, f, after)
		})
	}
}

func TestMapRegion(t *testing.T) {
	content := pattern(3*page + 5)
	f := newFile(t, content, os.O_RDWR)
	for _, c := range []struct{ length, offset, want int }{
		{-1, 0, 3*page + 5},
		{-1, page, 2*page + 5},
		{-1, 3 * page, 5},
		{7, 0, 7},
		{page, page, page},
		{page + 1, 2 * page, page + 1},
		{0, page, 0},
	} {
		m := mapped(mmap.MapRegion(f, c.length, mmap.RDWR, 0, int64(c.offset)))(t)
		if m == nil || !bytes.Equal(m, content[c.offset:c.offset+c.want]) {
			t.Errorf("%d bytes from %d: %d bytes that are not the file's", c.length, c.offset, len(m))
		}
		if c.length > 0 && m.View().Len() != c.length {
			t.Errorf("%d bytes from %d: the view has %d", c.length, c.offset, m.View().Len())
		}
	}
}

func TestMapRefuses(t *testing.T) {
	f, reader := newFile(t, pattern(page), os.O_RDWR), newFile(t, pattern(page), os.O_RDONLY)
	closed := newFile(t, nil, os.O_RDWR)
	closed.Close()
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, c := range []struct {
		f                   *os.File
		length, prot, flags int
		offset              int64
		text                string // in the error
		is                  error
	}{
		{f, -1, mmap.RDONLY, 0, 1, "offset parameter must be a multiple of the system's page size", os.ErrInvalid},
		{f, -1, mmap.RDONLY, 0, int64(2 * page), "past the end", os.ErrInvalid},
		{f, -1, mmap.RDONLY, 0, int64(-page), "negative", os.ErrInvalid},
		{nil, 0, mmap.RDWR, mmap.ANON, 0, "anonymous mapping requires non-zero length", os.ErrInvalid},
		{nil, -1, mmap.RDWR, mmap.ANON, 0, "anonymous mapping requires non-zero length", os.ErrInvalid},
		{f, -1, mmap.RDONLY | mmap.EXEC, 0, 0, "EXEC is refused", errors.ErrUnsupported},
		{nil, page, mmap.RDWR | mmap.EXEC, mmap.ANON, 0, "EXEC is refused", errors.ErrUnsupported},
		{reader, -1, mmap.RDWR, 0, 0, reader.Name(), syscall.EACCES},
		{nil, -1, mmap.RDONLY, 0, 0, "invalid", os.ErrInvalid},
		{closed, -1, mmap.RDONLY, 0, 0, "closed", os.ErrClosed},
		{dir, -1, mmap.RDONLY, 0, 0, "directory", syscall.EISDIR},
		{f, 1 << 62, mmap.RDONLY, 0, 0, f.Name(), syscall.ENOMEM},
	} {
		m, err := mmap.MapRegion(c.f, c.length, c.prot, c.flags, c.offset)
		if m != nil || err == nil || !strings.Contains(err.Error(), c.text) || !errors.Is(err, c.is) {
			t.Errorf("%d bytes from %d, prot %d, flags %d: %d bytes, %v; want %q, %v",
				c.length, c.offset, c.prot, c.flags, len(m), err, c.text, c.is)
		}
	}
}

// A file that is to grow is often mapped at its later length.
func TestLongerThanFile(t *testing.T) {
	for _, prot := range []int{mmap.RDONLY, mmap.RDWR} {
		f := newFile(t, pattern(5), os.O_RDWR)
		m := mapped(mmap.MapRegion(f, 4*page, prot, 0, 0))(t)
		if len(m) != 4*page || !bytes.Equal(m[:5], pattern(5)) {
			t.Fatalf("%d bytes", len(m))
		}
		wantError(t, inView(m, func() { load(m, page) }), mapview.ErrTruncated)
		wantContent(t, f, pattern(5)) // and is as long as before
		if err := m.Flush(); err != nil {
			t.Error(err)
		}
		if err := m[3*page : 3*page+1].Flush(); err != nil { // there is nothing of it
			t.Error(err)
		}

		content := pattern(3 * page)
		if err := os.WriteFile(f.Name(), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := inView(m, func() {
			if !bytes.Equal(m[:3*page], content) {
				t.Error("not what has come")
			}
		}); err != nil {
			t.Error(err)
		}
		wantError(t, inView(m, func() { load(m, 3*page) }), mapview.ErrTruncated)
		if prot == mmap.RDWR {
			m[2*page] = 'X'
			content[2*page] = 'X'
		}
		if err := m.Flush(); err != nil {
			t.Error(err)
		}
		if m.View().Size() != int64(3*page) {
			t.Errorf("Flush has seen %d bytes", m.View().Size())
		}
		wantContent(t, f, content)
	}
}

func TestEmptyFile(t *testing.T) {
	f := newFile(t, nil, os.O_RDWR)
	for _, prot := range []int{mmap.RDONLY, mmap.RDWR, mmap.COPY} {
		live := mapview.Live()
		m, err := mmap.Map(f, prot, 0)
		other := mapped(mmap.MapRegion(f, 0, prot, 0, 0))(t)
		if err != nil || m == nil || len(m) != 0 || m.View() == other.View() {
			t.Fatalf("prot %d: %v, %d bytes", prot, err, len(m))
		}
		for what, call := range map[string]func() error{"Flush": m.Flush, "Lock": m.Lock, "Unlock": m.Unlock} {
			if err := call(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		again := m
		if err := m.Unmap(); err != nil || m != nil {
			t.Errorf("%v", err)
		}
		wantError(t, again.Flush(), os.ErrClosed)
		wantError(t, again.Unmap(), os.ErrClosed)
		if err := other.Flush(); err != nil || mapview.Live() != live+1 {
			t.Errorf("the other one: %v", err)
		}
	}
}

func TestAnonymous(t *testing.T) {
	for _, prot := range []int{mmap.RDONLY, mmap.RDWR, mmap.COPY} {
		m := mapped(mmap.MapRegion(nil, page+3, prot, mmap.ANON, 0))(t)
		if !bytes.Equal(m, make([]byte, page+3)) {
			t.Fatalf("%d bytes, not all zero", len(m))
		}
		err := inView(m, func() { m[page] = 1 })
		if prot == mmap.RDONLY {
			wantError(t, err, syscall.EACCES)
		} else if err != nil || m[page] != 1 {
			t.Errorf("a store: %v", err)
		}
		if err := m.Flush(); err != nil {
			t.Error(err)
		}
		if err := m.Unmap(); err != nil {
			t.Error(err)
		}
	}
}

func TestUnmapTwice(t *testing.T) {
	f := newFile(t, pattern(page), os.O_RDWR)
	m := mapped(mmap.Map(f, mmap.RDWR, 0))(t)
	again := m
	if err := m.Unmap(); err != nil {
		t.Fatal(err)
	}
	wantError(t, m.Unmap(), syscall.EINVAL, os.ErrClosed) // of nil
	stale := again
	wantError(t, again.Unmap(), syscall.EINVAL, os.ErrClosed, os.ErrInvalid)
	if again != nil {
		t.Error("it is not nil")
	}
	for what, call := range map[string]func() error{
		"Flush": stale.Flush, "Flush of a part": stale[5:6].Flush, "Lock": stale.Lock, "Unlock": stale.Unlock,
		"heap": mmap.MMap(make([]byte, 5)).Flush, "empty": mmap.MMap{}.Flush,
	} {
		if err := call(); !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), "unmapped") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if stale.View() != nil {
		t.Error("it has a view")
	}
	fault := func() (fault any) {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() { fault = recover() }()
		load(stale, 5)
		return nil
	}()
	at, ok := fault.(interface{ Addr() uintptr })
	if !ok || at.Addr() != uintptr(unsafe.Pointer(&stale[5])) {
		t.Errorf("a load from it panics with %v", fault)
	}
}

func TestUnmapPart(t *testing.T) {
	f := newFile(t, pattern(2*page), os.O_RDWR)
	m := mapped(mmap.Map(f, mmap.RDWR, 0))(t)
	for _, part := range []mmap.MMap{m[:5], m[5:], m[page:], m[:0], m[1:1]} {
		err := part.Unmap()
		wantError(t, err, syscall.EINVAL, os.ErrInvalid)
		if errors.Is(err, os.ErrClosed) || part != nil {
			t.Errorf("%v", err)
		}
	}
	m[0] = 'X' // it is still there
	if err := m.Flush(); err != nil {
		t.Error(err)
	}
	limited := m[:len(m):len(m)]
	if err := limited.Unmap(); err != nil {
		t.Errorf("the whole by another name: %v", err)
	}
}

// Another file at the address of an old slice would be found by it.
func TestStaleSliceFindsNoOtherFile(t *testing.T) {
	f := newFile(t, pattern(page), os.O_RDWR)
	other := newFile(t, pattern(page), os.O_RDWR)
	for range 100 {
		m := mapped(mmap.Map(f, mmap.RDWR, 0))(t)
		stale := m
		if err := m.Unmap(); err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		n := mapped(mmap.Map(other, mmap.RDWR, 0))(t)
		wantError(t, stale.Flush(), os.ErrClosed)
		if inView(n, func() { n[0]++ }) != nil || &stale[0] == &n[0] {
			t.Fatal("the address of an unmapped slice is another file's")
		}
	}
}

func TestUnmapByMany(t *testing.T) {
	f := newFile(t, pattern(page), os.O_RDWR)
	for range 200 {
		m := mapped(mmap.Map(f, mmap.RDWR, 0))(t)
		var done atomic.Int32
		var group sync.WaitGroup
		for range 4 {
			group.Add(1)
			go func() {
				defer group.Done()
				own := m
				own[3:].Flush()
				if err := own.Unmap(); err == nil {
					done.Add(1)
				} else if !errors.Is(err, os.ErrClosed) {
					t.Error(err)
				}
			}()
		}
		group.Wait()
		if done.Load() != 1 {
			t.Fatalf("%d have unmapped it", done.Load())
		}
	}
}

// Maps of all sizes come and go in no order, and each is found by its parts.
func TestManyMaps(t *testing.T) {
	f := newFile(t, pattern(16*page), os.O_RDWR)
	live := mapview.Live()
	random := rand.New(rand.NewSource(1))
	var maps []mmap.MMap
	for range 3000 {
		if len(maps) < 300 && random.Intn(3) > 0 {
			length := random.Intn(16 * page)
			m, err := mmap.MapRegion(f, length, mmap.RDONLY, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			maps = append(maps, m)
			continue
		}
		if len(maps) == 0 {
			continue
		}
		i := random.Intn(len(maps))
		m, from := maps[i], random.Intn(len(maps[i])+1)
		part := m[from:]
		if part.View() == nil || part.View() != m.View() || m.View().Len() < len(m) {
			t.Fatalf("byte %d of %d: not its view", from, len(m))
		}
		if err := m.Unmap(); err != nil {
			t.Fatal(err)
		}
		if part.View() != nil {
			t.Fatal("a part of what is unmapped has a view")
		}
		maps = slices.Delete(maps, i, i+1)
	}
	for _, m := range maps {
		if err := m.Unmap(); err != nil {
			t.Fatal(err)
		}
	}
	if mapview.Live() != live {
		t.Errorf("%d are still open", mapview.Live()-live)
	}
}

// The garbage collector sees no slice of a map; so it must not unmap.
func TestForgottenStaysMapped(t *testing.T) {
	f := newFile(t, pattern(page), os.O_RDWR)
	m := mapped(mmap.Map(f, mmap.RDWR, 0))(t)
	live := mapview.Live()
	for range 3 {
		runtime.GC()
	}
	if mapview.Live() != live || m.View() == nil {
		t.Fatal("it is gone")
	}
	m[0] = 'X'
}

func TestFileWithoutName(t *testing.T) {
	f := newFile(t, pattern(page), os.O_RDWR)
	if err := os.Remove(f.Name()); err != nil {
		t.Fatal(err)
	}
	m := mapped(mmap.Map(f, mmap.RDWR, 0))(t)
	wantWritable(t, m, f)
}

// wantWritable checks that a store to m reaches f.
func wantWritable(t *testing.T, m mmap.MMap, f *os.File) {
	t.Helper()
	m[9] = 'X'
	if err := m.Flush(); err != nil {
		t.Error(err)
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], 9); err != nil || b[0] != 'X' {
		t.Errorf("%v, %q", err, b)
	}
}

// A program can have a file open that it could not open again. Root can open
// any, so then it is another process that cannot.
func TestFileWithoutPermission(t *testing.T) {
	const child = "MAPVIEW_TEST_CHILD"
	f := os.NewFile(3, "file")
	if os.Getenv(child) == "" {
		f = newFile(t, pattern(page), os.O_RDWR)
		if err := os.Chmod(f.Name(), 0); err != nil {
			t.Fatal(err)
		}
		if os.Getuid() == 0 {
			cmd := exec.Command("/proc/self/exe", "-test.run=^TestFileWithoutPermission$")
			cmd.Env, cmd.ExtraFiles = append(os.Environ(), child+"=1"), []*os.File{f}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			cmd.Dir = "/"
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			return
		}
	}
	if v, err := mapview.Map(f, os.O_RDWR, nil); err == nil {
		v.Close()
		t.Fatal("it can be opened again")
	}
	m := mapped(mmap.Map(f, mmap.RDWR, 0))(t)
	wantWritable(t, m, f)
}

func TestDevice(t *testing.T) {
	f, err := os.OpenFile("/dev/zero", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	m := mapped(mmap.MapRegion(f, page, mmap.RDWR, 0, 0))(t)
	m[3] = 'X'
	if len(m) != page || m[3] != 'X' {
		t.Errorf("%d bytes", len(m))
	}
	if m, err := mmap.Map(f, mmap.RDWR, 0); err == nil {
		t.Errorf("a device without a length: %d bytes", len(m))
	}
}

func TestSystemErrorsArePathErrors(t *testing.T) {
	f := newFile(t, pattern(page), os.O_RDONLY)
	_, err := mmap.Map(f, mmap.RDWR, 0)
	var path *fs.PathError
	var errno syscall.Errno
	if !errors.As(err, &path) || path.Path != f.Name() || !errors.As(err, &errno) || errno != syscall.EACCES {
		t.Errorf("%v (%T)", err, err)
	}
}
