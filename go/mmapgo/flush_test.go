//go:build cgo

package mmap_test

import (
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"

	mapview "example.com/mapview/go"
	mmap "example.com/mapview/go/mmapgo"
)

// A reader keeps no descriptor, and is not to blame for a file that was replaced.
func TestFlushOfFileWithoutName(t *testing.T) {
	for what, lose := range map[string]func(name string) error{
		"removed": os.Remove,
		"replaced": func(name string) error {
			if err := os.WriteFile(name+".new", nil, 0o600); err != nil {
				return err
			}
			return os.Rename(name+".new", name)
		},
	} {
		f := newFile(t, pattern(5), os.O_RDWR)
		reader := mapped(mmap.Map(f, mmap.RDONLY, 0))(t)
		longer := mapped(mmap.MapRegion(f, 2*page, mmap.RDONLY, 0, 0))(t)
		writer := mapped(mmap.Map(f, mmap.RDWR, 0))(t)
		f.Close()
		if err := lose(f.Name()); err != nil {
			t.Fatal(err)
		}
		if reader.View().Sync() == nil {
			t.Errorf("%s: it is found again", what)
		}
		for _, m := range []mmap.MMap{reader, reader[2:3], longer, writer} {
			if err := m.Flush(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

// What a range is can be seen by which bytes are gone.
func TestFlushPart(t *testing.T) {
	f := newFile(t, pattern(4*page), os.O_RDWR)
	m := mapped(mmap.MapRegion(f, 3*page, mmap.RDWR, 0, int64(page)))(t)
	whole := m
	for _, part := range []mmap.MMap{m[5:9], m[5:9:9], m[page-1 : page+1], m[2*page+7:], m[:0], m[3:3], m[3*page:]} {
		if err := part.Flush(); err != nil {
			t.Error(err)
		}
	}
	if err := f.Truncate(int64(2*page + 100)); err != nil {
		t.Fatal(err)
	}
	for _, part := range []mmap.MMap{m[:page+100], m[5:9], m[page+99 : page+100], m[page+200 : page+200]} {
		if err := part.Flush(); err != nil {
			t.Error(err)
		}
	}
	for _, part := range []mmap.MMap{whole, m[page+100:], m[page+99 : page+101], m[3*page-1:]} {
		wantError(t, part.Flush(), mapview.ErrTruncated)
	}
}

func TestLock(t *testing.T) {
	info, _ := debug.ReadBuildInfo()
	if slices.Contains(info.Settings, debug.BuildSetting{Key: "-asan", Value: "true"}) {
		t.Skip("AddressSanitizer takes memory locks for itself")
	}
	m := mapped(mmap.MapRegion(nil, 8*page, mmap.RDWR, mmap.ANON, 0))(t)
	before := locked(t)
	for _, c := range []struct {
		what  string
		call  func() error
		pages int
	}{
		{"Lock of two bytes in two pages", m[page-1 : page+1].Lock, 2},
		{"Lock of all", m.Lock, 8},
		{"Unlock of a part", m[5*page+7:].Unlock, 5},
		{"Unlock of all", m.Unlock, 0},
		{"Unlock of what is not locked", m.Unlock, 0},
	} {
		if err := c.call(); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if n := locked(t) - before; n != c.pages*page {
			t.Errorf("%s: %d bytes are locked", c.what, n)
		}
	}
}

// Of a map that goes past the end of its file: what was cut off is told, and
// what the file has got since can be flushed, also when that is more than is
// mapped.
func TestFlushLonger(t *testing.T) {
	f := newFile(t, pattern(page), os.O_RDWR)
	m := mapped(mmap.MapRegion(f, 3*page, mmap.RDWR, 0, 0))(t)
	if err := f.Truncate(50); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		wantError(t, m.Flush(), mapview.ErrTruncated)
	}
	for _, size := range []int{page, 2 * page, 20 * page} {
		if err := f.Truncate(int64(size)); err != nil {
			t.Fatal(err)
		}
		if err := m.Flush(); err != nil {
			t.Errorf("file of %d bytes: %v", size, err)
		}
		if size > len(m) {
			continue // what it has got by this jump cannot be locked
		}
		last := m[size-1:]
		if err := last[:1].Lock(); err != nil {
			t.Errorf("file of %d bytes: Lock: %v", size, err)
		}
		if err := last[:1].Unlock(); err != nil {
			t.Errorf("file of %d bytes: Unlock: %v", size, err)
		}
	}
}

// locked returns how many bytes of this process are locked.
func locked(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmLck:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
