package vellum

import (
	"os"
	"path/filepath"
	"testing"

	mapview "example.com/mapview/go"
)

func TestMapviewIsUsed(t *testing.T) {
	name := filepath.Join(t.TempDir(), "fst")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := New(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Insert([]byte("key"), 5); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	live := mapview.Live()
	fst, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if n := mapview.Live() - live; n != 1 {
		t.Errorf("an open transducer has %d views", n)
	}
	if err := fst.Close(); err != nil || mapview.Live() != live {
		t.Errorf("closed: %v, %d views", err, mapview.Live()-live)
	}
}
