// Consumer is a program of a user's, in a module of its own: it keeps a
// greeting in a file and reads it back.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	mapview "example.com/mapview/go"
	"example.com/mapview/go/mmap"
)

func main() {
	dir, err := os.MkdirTemp("", "consumer")
	if err != nil {
		log.Fatal(err)
	}
	err = greet(filepath.Join(dir, "greeting"))
	os.RemoveAll(dir)
	if err != nil {
		log.Fatal(err)
	}
}

func greet(name string) error {
	v, err := mapview.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600, &mapview.Options{FileSize: 5})
	if err != nil {
		return err
	}
	defer v.Close()
	if _, err := v.WriteAt([]byte("hello"), 0); err != nil {
		return err
	}
	if err := v.Sync(); err != nil {
		return err
	}

	r, err := mmap.Open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	text := make([]byte, r.Len())
	if _, err := r.ReadAt(text, 0); err != nil {
		return err
	}
	fmt.Printf("%s from %d bytes\n", text, r.Len())
	return nil
}
