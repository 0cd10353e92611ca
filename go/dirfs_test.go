//go:build cgo

package mapview_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/iotest"

	mapview "example.com/mapview/go"
)

// What a file of a DirFS is.
var (
	_ fs.File     = (*mapview.File)(nil)
	_ io.ReaderAt = (*mapview.File)(nil)
	_ io.Seeker   = (*mapview.File)(nil)
	_ io.WriterTo = (*mapview.File)(nil)
)

// newTree makes files under a new folder, which it returns.
func newTree(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// openMapped opens a file of a DirFS that must be mapped.
func openMapped(t *testing.T, fsys fs.FS, name string) *mapview.File {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	mapped, ok := f.(*mapview.File)
	if !ok {
		t.Fatalf("%s is a %T", name, f)
	}
	t.Cleanup(func() { mapped.Close() })
	return mapped
}

func TestDirFS(t *testing.T) {
	dir := newTree(t, map[string][]byte{
		"small":            []byte("x"),
		"large":            pattern(100_000),
		"empty":            nil,
		"folder/page":      pattern(page),
		"folder/deep/file": []byte("deep\n"),
	})
	if err := os.Symlink("small", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	before, live := descriptors(t), mapview.Live()
	fsys := mapview.DirFS(dir)
	names := []string{"small", "large", "empty", "folder/page", "folder/deep/file", "link"}
	if err := fstest.TestFS(fsys, names...); err != nil {
		t.Error(err)
	}
	sub, err := fs.Sub(fsys, "folder")
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(sub, "page", "deep/file"); err != nil {
		t.Error(err)
	}
	if n := mapview.Live(); n != live {
		t.Errorf("%d views are open, %d were", n, live)
	}
	if n := descriptors(t); n != before {
		t.Errorf("%d descriptors, %d before", n, before)
	}
	for _, name := range names {
		plain, err1 := fs.Stat(os.DirFS(dir), name)
		mapped, err2 := fs.Stat(fsys, name)
		if err1 != nil || err2 != nil || !os.SameFile(plain, mapped) || plain.ModTime() != mapped.ModTime() {
			t.Errorf("%s: %v, %v", name, err1, err2)
		}
	}
}

func TestDirFSFile(t *testing.T) {
	content := pattern(3*page + 7)
	dir := newTree(t, map[string][]byte{"file": content})
	fsys := mapview.DirFS(dir)
	before := descriptors(t)
	f := openMapped(t, fsys, "file")
	if n := descriptors(t); n != before {
		t.Errorf("%d descriptors, %d before", n, before)
	}
	info, err := f.Stat()
	if err != nil || info.Size() != int64(len(content)) || info.Name() != "file" {
		t.Error(info, err)
	}
	if err := iotest.TestReader(f, content); err != nil {
		t.Error(err)
	}
	if n, err := f.Seek(5, io.SeekStart); n != 5 || err != nil {
		t.Error(n, err)
	}
	var got bytes.Buffer
	if n, err := f.WriteTo(&got); n != int64(len(content)-5) || err != nil || !bytes.Equal(got.Bytes(), content[5:]) {
		t.Error(n, err)
	}
	if !bytes.Equal(f.View().Bytes(), content) {
		t.Error("other bytes in place")
	}

	// As long as it was at first, also when it grows.
	if err := os.WriteFile(filepath.Join(dir, "file"), append(content, "more"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := f.View().Refresh(); err != nil || f.View().Len() != len(content) {
		t.Error(f.View().Len(), err)
	}
	if err := os.Truncate(filepath.Join(dir, "file"), int64(page)); err != nil {
		t.Fatal(err)
	}
	_, err = f.ReadAt(content, 0)
	wantFault(t, err, page, ErrTruncated)

	for range 2 {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	for what, call := range map[string]func() error{
		"Read":    func() error { _, err := f.Read(content); return err },
		"ReadAt":  func() error { _, err := f.ReadAt(content, 0); return err },
		"Seek":    func() error { _, err := f.Seek(0, io.SeekStart); return err },
		"WriteTo": func() error { _, err := f.WriteTo(io.Discard); return err },
		"Stat":    func() error { _, err := f.Stat(); return err },
	} {
		if err := call(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// ReadFile gives a copy, that nobody else sees and that outlives all.
func TestDirFSReadFile(t *testing.T) {
	dir := newTree(t, map[string][]byte{"file": []byte("content")})
	b, err := fs.ReadFile(mapview.DirFS(dir), "file")
	if err != nil || string(b) != "content" {
		t.Fatal(b, err)
	}
	b[0] = 'X'
	if err := os.Truncate(filepath.Join(dir, "file"), 0); err != nil {
		t.Fatal(err)
	}
	if string(b) != "Xontent" {
		t.Errorf("%q", b)
	}
}

// What cannot be mapped is there all the same.
func TestDirFSUnmapped(t *testing.T) {
	fsys := mapview.DirFS("/proc/self")
	f, err := fsys.Open("status")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if _, ok := f.(*os.File); !ok || err != nil || !bytes.Contains(b, []byte("VmRSS")) {
		t.Errorf("%T, %d bytes, %v", f, len(b), err)
	}
	if b, err := fs.ReadFile(fsys, "status"); err != nil || !bytes.Contains(b, []byte("VmRSS")) {
		t.Errorf("%d bytes, %v", len(b), err)
	}

	// These have a size and yet nothing to map.
	const attribute = "kernel/mm/transparent_hugepage/enabled"
	if info, err := fs.Stat(mapview.DirFS("/sys"), attribute); err == nil && info.Size() > 0 {
		f, err := mapview.DirFS("/sys").Open(attribute)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if b, err := io.ReadAll(f); err != nil || !bytes.Contains(b, []byte("never")) {
			t.Errorf("%T, %q, %v", f, b, err)
		}
	} else {
		t.Log("no attribute of /sys to try: ", err)
	}

	dev, err := mapview.DirFS("/dev").Open("null")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	if n, err := dev.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Error(n, err)
	}
}

func TestDirFSErrors(t *testing.T) {
	dir := newTree(t, map[string][]byte{"a/secret": []byte("secret"), "b/file": []byte("file")})
	fsys := mapview.DirFS(filepath.Join(dir, "b"))
	for name, want := range map[string]error{
		"../a/secret":            fs.ErrInvalid,
		"/file":                  fs.ErrInvalid,
		"./file":                 fs.ErrInvalid,
		"":                       fs.ErrInvalid,
		"file/":                  fs.ErrInvalid,
		"x/../../a/secret":       fs.ErrInvalid,
		"none":                   fs.ErrNotExist,
		"file/none":              syscall.ENOTDIR,
		"fi\x00le":               fs.ErrInvalid,
		strings.Repeat("x", 300): syscall.ENAMETOOLONG,
	} {
		_, err1 := fsys.Open(name)
		_, err2 := fs.Stat(fsys, name)
		_, err3 := fs.ReadFile(fsys, name)
		for _, err := range []error{err1, err2, err3} {
			var path *fs.PathError
			if !errors.Is(err, want) || !errors.As(err, &path) || path.Path != name {
				t.Errorf("%q: %v", name, err)
			}
		}
	}
	if _, err := mapview.DirFS("").Open("file"); err == nil {
		t.Error("an empty root")
	}
}

func TestDirFSLinks(t *testing.T) {
	if _, ok := os.DirFS("/").(interface{ ReadLink(string) (string, error) }); !ok {
		t.Skip("os.DirFS reads no links in ", runtime.Version())
	}
	dir := newTree(t, map[string][]byte{"file": []byte("x")})
	if err := os.Symlink("file", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	fsys := mapview.DirFS(dir).(interface {
		ReadLink(name string) (string, error)
		Lstat(name string) (fs.FileInfo, error)
	})
	if to, err := fsys.ReadLink("link"); to != "file" || err != nil {
		t.Error(to, err)
	}
	if info, err := fsys.Lstat("link"); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Error(info, err)
	}
}

func TestDirFSServed(t *testing.T) {
	content := pattern(300_000)
	dir := newTree(t, map[string][]byte{"file": content, "folder/index.html": []byte("<p>index"), "empty": nil})
	server := httptest.NewServer(http.FileServerFS(mapview.DirFS(dir)))
	defer server.Close()
	live := mapview.Live()
	get := func(path, part string) (*http.Response, []byte) {
		t.Helper()
		request, err := http.NewRequest("GET", server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if part != "" {
			request.Header.Set("Range", "bytes="+part)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		b, err := io.ReadAll(response.Body)
		if err != nil {
			t.Error(path, part, err)
		}
		return response, b
	}
	for _, c := range []struct {
		path, part string
		status     int
		want       []byte
	}{
		{"/file", "", 200, content},
		{"/file", "0-0", 206, content[:1]},
		{"/file", "1000-250000", 206, content[1000:250001]},
		{"/file", "299990-", 206, content[299990:]},
		{"/file", "-5", 206, content[299995:]},
		{"/file", "300000-", 416, nil},
		{"/empty", "", 200, []byte{}},
		{"/folder/", "", 200, []byte("<p>index")},
		{"/none", "", 404, nil},
	} {
		response, b := get(c.path, c.part)
		if response.StatusCode != c.status || c.want != nil && !bytes.Equal(b, c.want) {
			t.Errorf("%s %s: %s, %d bytes", c.path, c.part, response.Status, len(b))
		}
	}
	response, b := get("/file", "0-9,100-109")
	if !strings.HasPrefix(response.Header.Get("Content-Type"), "multipart/byteranges") || !bytes.Contains(b, content[100:110]) {
		t.Errorf("%s, %d bytes", response.Header.Get("Content-Type"), len(b))
	}
	if _, b := get("/", ""); !bytes.Contains(b, []byte(`<a href="file">`)) {
		t.Errorf("%q", b)
	}

	var group sync.WaitGroup
	for i := range 16 {
		group.Add(1)
		go func() {
			defer group.Done()
			if _, b := get("/file", fmt.Sprint(i*1000, "-", 200_000)); !bytes.Equal(b, content[i*1000:200_001]) {
				t.Errorf("request %d: other bytes", i)
			}
		}()
	}
	group.Wait()
	server.Close() // waits for the handlers, which close their files
	if n := mapview.Live(); n != live {
		t.Errorf("%d views are open, %d were", n, live)
	}
}

func TestDirFSOfZip(t *testing.T) {
	files := map[string][]byte{"a": pattern(70_000), "b/c": []byte("stored")}
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	for name, content := range files {
		method := zip.Deflate
		if name == "b/c" {
			method = zip.Store
		}
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		f.Write(content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f := openMapped(t, mapview.DirFS(newTree(t, map[string][]byte{"zip": archive.Bytes()})), "zip")
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for what, source := range map[string]io.ReaderAt{"a File": f, "a View": f.View()} {
		z, err := zip.NewReader(source, info.Size())
		if err != nil {
			t.Fatal(err)
		}
		for name, content := range files {
			if b, err := fs.ReadFile(z, name); err != nil || !bytes.Equal(b, content) {
				t.Errorf("%s of %s: %d bytes, %v", name, what, len(b), err)
			}
		}
	}
}

func TestDirFSOfGzip(t *testing.T) {
	content := pattern(200_000)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	w.Write(content)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	fsys := mapview.DirFS(newTree(t, map[string][]byte{"gz": packed.Bytes()}))
	f := openMapped(t, fsys, "gz")
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, content) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	// And into a view.
	v, err := mapview.Anonymous(int64(len(content)), nil)
	opened(t, v, err)
	f.Seek(0, io.SeekStart)
	if err := r.Reset(f); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(v.Cursor(), r); n != int64(len(content)) || err != nil || !slices.Equal(v.Bytes(), content) {
		t.Error(n, err)
	}
}
