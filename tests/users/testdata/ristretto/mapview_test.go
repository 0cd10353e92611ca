package z

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	mapview "example.com/mapview/go"
)

func TestMapviewIsUsed(t *testing.T) {
	live := mapview.Live()
	m, err := OpenMmapFile(filepath.Join(t.TempDir(), "file"), os.O_RDWR|os.O_CREATE, 1<<12)
	if !errors.Is(err, NewFile) {
		t.Fatal(err)
	}
	first := &m.Data[0]
	if err := m.Truncate(1 << 24); err != nil || len(m.Data) != 1<<24 || &m.Data[0] != first {
		t.Errorf("grown: %v, %d bytes", err, len(m.Data))
	}
	if n := mapview.Live() - live; n != 1 {
		t.Errorf("an open file has %d views", n)
	}
	if err := m.Close(-1); err != nil || mapview.Live() != live {
		t.Errorf("closed: %v, %d views", err, mapview.Live()-live)
	}
}
