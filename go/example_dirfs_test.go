//go:build cgo

package mapview_test

import (
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	mapview "example.com/mapview/go"
)

// A folder is served by HTTP, each file from its mapping.
func ExampleDirFS() {
	dir := exampleFolder()
	defer os.RemoveAll(dir)
	server := httptest.NewServer(http.FileServerFS(mapview.DirFS(dir)))
	defer server.Close()

	request, err := http.NewRequest("GET", server.URL+"/greeting.txt", nil)
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Range", "bytes=7-11")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", response.Status, b)
	// Output: 206 Partial Content: world
}

// A File reads like one of package os, and at any place.
func ExampleFile() {
	dir := exampleFolder()
	defer os.RemoveAll(dir)
	f, err := mapview.DirFS(dir).Open("greeting.txt")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Name(), info.Size())

	file := f.(*mapview.File)
	p := make([]byte, 5)
	n, err := file.ReadAt(p, 7)
	fmt.Printf("%s %v\n", p[:n], err)
	if _, err := file.Seek(5, io.SeekStart); err != nil {
		log.Fatal(err)
	}
	m, err := file.WriteTo(os.Stdout)
	fmt.Println("", m, err)
	// Output:
	// greeting.txt 12
	// world <nil>
	// , world 7 <nil>
}

// The bytes of every file below a folder, in place.
func ExampleFile_View() {
	dir := exampleFolder()
	defer os.RemoveAll(dir)
	fsys := mapview.DirFS(dir)
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		f, err := fsys.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		file, ok := f.(*mapview.File)
		if !ok {
			fmt.Println(name, "is not mapped")
			return nil
		}
		return file.View().Do(func(b []byte) error {
			fmt.Printf("%s begins with %q\n", name, b[0])
			return nil
		})
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// empty is not mapped
	// greeting.txt begins with 'h'
}

func exampleFolder() string {
	dir, err := os.MkdirTemp("", "mapview")
	if err != nil {
		log.Fatal(err)
	}
	for name, content := range map[string]string{"greeting.txt": "hello, world", "empty": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			log.Fatal(err)
		}
	}
	return dir
}
