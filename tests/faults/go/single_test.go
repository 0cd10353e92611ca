//go:build cgo

package faults

import (
	"bytes"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"

	mapview "example.com/mapview/go"
)

// What is no cell of the matrix: faults that a longer file has, or that one
// file system has alone.

// The kernel reads ahead, and takes what it has read at once as one: then the
// pages before the bad one are out of reach, too, in the file as in the view.
// An access ends where pread ends, and says why.
func TestReadErrorInReadAhead(t *testing.T) {
	const all, bad = 256, 101
	eachPlace(t, func(t *testing.T, p place) {
		if _, err := os.Stat(p.control()); err != nil {
			t.Log("cannot exist: there is no disk under it")
			return
		}
		name := p.path("long")
		t.Cleanup(func() { os.Remove(name) })
		want := bytes.Repeat(content(), all/pages)
		copy(want[bad*page+100:], marker)
		for _, c := range columns {
			if c.store {
				continue
			}
			if err := os.WriteFile(name, want, 0o600); err != nil {
				t.Fatal(err)
			}
			forget(t, name)
			p.order(t, "read-error "+marker)
			v, err := mapview.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(want))
			n, err := c.move(v, got, 0, nil)
			if n > bad*page || n < (bad-64)*page || n%page != 0 || !bytes.Equal(got[:n], want[:n]) {
				t.Errorf("%s: it ended at byte %d, or with other bytes", c.name, n)
			}
			if offset := offsetOf(err); offset != int64(n) || c.op != "" && !errors.Is(err, syscall.EIO) {
				t.Errorf("%s: after %d bytes: %v", c.name, n, err)
			}
			if m := readableBytes(t, name); n != m {
				t.Errorf("%s: %d bytes of the view can be read, and %d of the file", c.name, n, m)
			}
			p.order(t, "heal")
			if n, err := c.move(v, got, 0, nil); n != len(got) || err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: afterwards %d bytes, %v", c.name, n, err)
			}
			v.Close()
		}
	})
}

// readableBytes returns where pread first fails.
func readableBytes(t *testing.T, name string) int {
	t.Helper()
	f := openFile(t, name)
	defer f.Close()
	one := make([]byte, page)
	for n := 0; ; n += page {
		if _, err := f.ReadAt(one, int64(n)); err == io.EOF {
			return n
		} else if err != nil {
			return n
		}
	}
}

// Under overlayfs a read-only view goes on to show the lower file when somebody
// has written to the upper one; what the lower one has not is ESTALE.
func TestCopiedUp(t *testing.T) {
	eachPlace(t, func(t *testing.T, p place) {
		if p != "overlay" {
			t.Log("cannot exist: only overlayfs has layers")
			return
		}
		for i, c := range columns {
			if c.store {
				continue
			}
			base := "layered" + string(rune('a'+i))
			create(t, p.lower(base), content())
			name := p.path(base)
			v, err := mapview.OpenFile(name, os.O_RDONLY, 0, &mapview.Options{Reserve: 2 * pages * int64(page)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.ReadAt(make([]byte, 10), 0); err != nil {
				t.Error(err)
			}
			upper := openFile(t, name)
			if _, err := upper.WriteAt(append(others(), others()...), 0); err != nil {
				t.Fatal(err)
			}
			upper.Close()
			got := make([]byte, pages*page)
			if n, err := c.move(v, got, 0, nil); n != len(got) || err != nil || !bytes.Equal(got, content()) {
				t.Errorf("%s: the lower file: %d bytes, %v", c.name, n, err)
			}
			if err := v.Refresh(); err != nil {
				t.Fatal(err)
			}
			n, err := c.move(v, got, 2*page, nil)
			if n != 2*page || offsetOf(err) != pages*int64(page) {
				t.Errorf("%s: past the lower file: %d bytes, %v", c.name, n, err)
			}
			if c.op != "" && !errors.Is(err, syscall.ESTALE) {
				t.Errorf("%s: %v is not ESTALE", c.name, err)
			}
			v.Close()
			os.Remove(name)
		}
	})
}
