package bbolt

import (
	"path/filepath"
	"testing"

	mapview "example.com/mapview/go"
)

func TestMapviewIsUsed(t *testing.T) {
	live := mapview.Live()
	db, err := Open(filepath.Join(t.TempDir(), "db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := mapview.Live() - live; n != 1 {
		t.Errorf("an open database has %d views", n)
	}
	if err := db.Close(); err != nil || mapview.Live() != live {
		t.Errorf("closed: %v, %d views", err, mapview.Live()-live)
	}
}
