//go:build cgo

package faults

import (
	"errors"
	"os"
	"syscall"
	"testing"

	mapview "example.com/mapview/go"
	mmap "example.com/mapview/go/mmapgo"
)

// A Flush that has failed is not forgotten: not by the next one, when the disk
// works again, and not by Unmap, which unmaps all the same.
func TestMmapgoFlushFails(t *testing.T) {
	eachPlace(t, func(t *testing.T, p place) {
		if _, err := os.Stat(p.control()); err != nil {
			t.Log("cannot exist: there is no disk under it")
			return
		}
		name, live := p.path("flushed"), mapview.Live()
		create(t, name, content())
		defer os.Remove(name)
		f := openFile(t, name)
		defer f.Close()
		m, err := mmap.Map(f, mmap.RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		whole := m
		defer whole.Unmap()

		copy(m[2*page+100:], marker)
		p.order(t, "write-error "+marker)
		defer p.order(t, "heal")
		if err := m[2*page+7 : 2*page+9].Flush(); !errors.Is(err, syscall.EIO) {
			t.Errorf("Flush: %v", err)
		}
		p.order(t, "heal")
		if err := m.Flush(); !errors.Is(err, syscall.EIO) {
			t.Errorf("the next Flush: %v", err)
		}
		if err := m.Unmap(); !errors.Is(err, syscall.EIO) || m != nil || mapview.Live() != live {
			t.Errorf("Unmap: %v, %d views", err, mapview.Live()-live)
		}
	})
}
