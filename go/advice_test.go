//go:build cgo

package mapview_test

import (
	"bytes"
	"errors"
	"os"
	"testing"

	mapview "example.com/mapview/go"
)

func TestAdvise(t *testing.T) {
	content := pattern(4 * page)
	v := open(t, newFile(t, content), os.O_RDWR, nil)
	for a := mapview.AdviceNormal; a <= mapview.AdviceNoHuge; a++ {
		err := v.Advise(10, int64(page), a)
		if errors.Is(err, errors.ErrUnsupported) {
			t.Logf("advice %d: this kernel does not know it", a)
		} else if err != nil {
			t.Errorf("advice %d: %v", a, err)
		}
		if !bytes.Equal(v.Bytes(), content) {
			t.Errorf("advice %d has changed the view", a)
		}
	}
}

// Prefault gives a hole its blocks, which can be seen.
func TestPrefault(t *testing.T) {
	name := newFile(t, nil)
	if err := os.Truncate(name, int64(64*page)); err != nil {
		t.Fatal(err)
	}
	v := open(t, name, os.O_RDWR, nil)
	if err := v.Prefault(int64(page), int64(page), mapview.AccessWrite); err != nil {
		t.Error(err)
	}
	if err := v.Sync(); err != nil {
		t.Error(err)
	}
	if blocks := blocksOf(t, name); blocks == 0 || blocks >= int64(64*page) {
		t.Errorf("%d bytes have blocks", blocks)
	}
	if err := v.Prefault(0, mapview.ToEnd, mapview.AccessRead); err != nil {
		t.Error(err)
	}
}

func TestDiscard(t *testing.T) {
	content := pattern(4 * page)
	name := newFile(t, content)

	private := open(t, name, os.O_RDWR, &mapview.Options{Private: true})
	private.WriteAt([]byte("mine"), 0)
	if err := private.Discard(0, mapview.ToEnd); err != nil || !bytes.Equal(private.Bytes(), content) {
		t.Errorf("private: %v", err)
	}

	shared := open(t, name, os.O_RDWR, nil)
	err := shared.Discard(int64(page)+1, int64(2*page))
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("the file system of the temporary folder cannot give storage back")
	}
	if err != nil {
		t.Fatal(err)
	}
	clear(content[page+1 : 3*page+1])
	if !bytes.Equal(shared.Bytes(), content) {
		t.Error("shared: other bytes")
	}
	wantContent(t, name, content)
}

func TestPin(t *testing.T) {
	if underASan {
		t.Skip("AddressSanitizer makes mlock do nothing")
	}
	v := open(t, newFile(t, pattern(4*page)), os.O_RDWR, nil)
	locked := func() int64 {
		n, err := status("VmLck")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := locked()
	if err := v.Pin(1, int64(page)); err != nil {
		t.Fatal(err)
	}
	if got := locked() - before; got != int64(2*page) {
		t.Errorf("%d bytes are pinned", got)
	}
	if err := v.Unpin(0, mapview.ToEnd); err != nil {
		t.Fatal(err)
	}
	if got := locked() - before; got != 0 {
		t.Errorf("%d bytes stay pinned", got)
	}
}
