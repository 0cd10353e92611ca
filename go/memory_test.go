//go:build cgo

package mapview_test

import (
	"io/fs"
	"os"
	"syscall"
	"testing"

	mapview "example.com/mapview/go"
)

func TestAnonymous(t *testing.T) {
	v, err := mapview.Anonymous(int64(3*page)+1, nil)
	opened(t, v, err)
	if v.Len() != 3*page+1 || v.Name() != "[anonymous]" || v.At(3*page) != 0 {
		t.Errorf("length %d, name %q", v.Len(), v.Name())
	}
	if n, err := v.WriteAt([]byte{9}, int64(3*page)); n != 1 || err != nil || v.At(3*page) != 9 {
		t.Error(n, err)
	}
	_, err = v.File()
	wantError(t, err, syscall.ENODEV)
	wantError(t, v.Resize(10), fs.ErrInvalid)
}

func TestAnonymousEmpty(t *testing.T) {
	v, err := mapview.Anonymous(0, nil)
	opened(t, v, err)
	if v.Len() != 0 {
		t.Errorf("length %d", v.Len())
	}
}

// Memory is taken at first touch, so there may be more of it than there is.
func TestAnonymousIsSparse(t *testing.T) {
	const size = 1 << 40
	before := resident()
	v, err := mapview.Anonymous(size, nil)
	opened(t, v, err)
	v.WriteAt([]byte{1}, 0)
	v.WriteAt([]byte{2}, size-1)
	if v.At(0) != 1 || v.At(size-1) != 2 {
		t.Errorf("bytes %d and %d", v.At(0), v.At(size-1))
	}
	if grown := resident() - before; grown > 16<<20 {
		t.Errorf("%d bytes became resident", grown)
	}
}

func TestNewMemoryGrows(t *testing.T) {
	v, err := mapview.NewMemory(10, &mapview.Options{Reserve: 1 << 30})
	opened(t, v, err)
	if err := v.Resize(1 << 20); err != nil {
		t.Fatal(err)
	}
	if n, err := v.WriteAt([]byte{5}, 1<<20-1); n != 1 || err != nil {
		t.Error(n, err)
	}
	wantError(t, v.Resize(1<<30+1), syscall.ENOMEM)

	// Another view of the same memory, as another process would have it.
	f, err := v.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	other, err := mapview.Map(f, os.O_RDWR, nil)
	opened(t, other, err)
	if other.Len() != 1<<20 || other.At(1<<20-1) != 5 {
		t.Errorf("length %d", other.Len())
	}
}

func TestMemoryRefuses(t *testing.T) {
	for what, opt := range map[string]*mapview.Options{
		"Offset":           {Offset: 1},
		"Length":           {Length: 1},
		"FileSize":         {FileSize: 1},
		"negative Reserve": {Reserve: -1},
		"NoFollow":         {NoFollow: true},
		"Device":           {Device: true},
		"ShareDescription": {ShareDescription: true},
	} {
		_, err := mapview.Anonymous(10, opt)
		wantError(t, err, fs.ErrInvalid)
		_, err = mapview.NewMemory(10, opt)
		if err == nil {
			t.Errorf("NewMemory with %s", what)
		}
	}
	_, err := mapview.Anonymous(10, &mapview.Options{Reserve: 100})
	wantError(t, err, fs.ErrInvalid)
	_, err = mapview.NewMemory(10, &mapview.Options{Private: true})
	wantError(t, err, fs.ErrInvalid)
	for _, make := range []func(int64, *mapview.Options) (*mapview.View, error){mapview.Anonymous, mapview.NewMemory} {
		_, err = make(-1, nil)
		wantError(t, err, fs.ErrInvalid)
		_, err = make(1<<62, nil)
		if err == nil {
			t.Error("more than the address space")
		}
	}
}
