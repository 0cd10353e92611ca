//go:build cgo

package mapview_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
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

// memoryName returns the name of shared memory of this test, which is removed
// when it ends.
func memoryName(t testing.TB) string {
	name := fmt.Sprintf("/mapview-%d-%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-"))
	t.Cleanup(func() {
		if err := mapview.RemoveMemory(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
	return name
}

func TestOpenMemory(t *testing.T) {
	name := memoryName(t)
	opt := &mapview.Options{FileSize: 100, Reserve: 1 << 20}
	v, err := mapview.OpenMemory(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640, opt)
	opened(t, v, err)
	if v.Len() != 100 || v.Name() != name {
		t.Errorf("length %d, name %q", v.Len(), v.Name())
	}
	info, err := os.Stat("/dev/shm" + name)
	if err != nil || info.Mode() != 0o640 {
		t.Error(info, err)
	}
	_, err = mapview.OpenMemory(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0, opt)
	wantError(t, err, fs.ErrExist)

	reader, err := mapview.OpenMemory(name, os.O_RDONLY, 0, &mapview.Options{Reserve: 1 << 20})
	opened(t, reader, err)
	v.WriteAt([]byte{7}, 99)
	if reader.At(99) != 7 {
		t.Error("another view does not see the byte")
	}
	if err := v.Resize(1 << 20); err != nil {
		t.Error(err)
	}
	if err := reader.Refresh(); err != nil || reader.Len() != 1<<20 {
		t.Error(reader.Len(), err)
	}

	if err := mapview.RemoveMemory(name); err != nil {
		t.Error(err)
	}
	wantError(t, mapview.RemoveMemory(name), fs.ErrNotExist)
	_, err = mapview.OpenMemory(name, os.O_RDONLY, 0, nil)
	wantError(t, err, fs.ErrNotExist)
	if v.At(99) != 7 || reader.At(99) != 7 {
		t.Error("the views have lost their memory")
	}
}

func TestOpenMemoryRefuses(t *testing.T) {
	for what, open := range map[string]func(string) (*mapview.View, error){
		"a size to read": func(name string) (*mapview.View, error) {
			return mapview.OpenMemory(name, os.O_RDONLY|os.O_CREATE, 0, &mapview.Options{FileSize: 1})
		},
		"O_APPEND": func(name string) (*mapview.View, error) {
			return mapview.OpenMemory(name, os.O_RDWR|os.O_APPEND, 0, nil)
		},
		"NoFollow": func(name string) (*mapview.View, error) {
			return mapview.OpenMemory(name, os.O_RDWR, 0, &mapview.Options{NoFollow: true})
		},
		"a bad name": func(name string) (*mapview.View, error) {
			return mapview.OpenMemory(name+"/x", os.O_RDWR, 0, nil)
		},
		"a NUL": func(name string) (*mapview.View, error) {
			return mapview.OpenMemory(name+"\x00x", os.O_RDWR|os.O_CREATE, 0, nil)
		},
	} {
		if _, err := open(memoryName(t)); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	wantError(t, mapview.RemoveMemory("name"), fs.ErrInvalid)
	wantError(t, mapview.RemoveMemory("/a\x00b"), fs.ErrInvalid)
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
