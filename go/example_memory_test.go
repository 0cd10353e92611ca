//go:build cgo

package mapview_test

import (
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"sync/atomic"

	mapview "example.com/mapview/go"
)

// Two processes find the same memory by its name. Whoever comes first makes it.
func ExampleOpenMemory() {
	name := fmt.Sprintf("/example-%d", os.Getpid())
	defer mapview.RemoveMemory(name)
	if err := count(name); err != nil {
		log.Fatal(err)
	}
	if err := secondProcess("count", name).Run(); err != nil { // runs childCount
		log.Fatal(err)
	}

	v, err := mapview.OpenMemory(name, os.O_RDONLY, 0, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	fmt.Println("processes:", v.At(0))
	// Output: processes: 2
}

func childCount(args []string) error { return count(args[0]) }

// count adds 1 to the number in the memory of that name.
func count(name string) error {
	opt := &mapview.Options{FileSize: 8}
	v, err := mapview.OpenMemory(name, os.O_RDWR|os.O_CREATE, 0o600, opt)
	if err != nil {
		return err
	}
	defer v.Close()
	number, err := mapview.Ptr[atomic.Uint64](v, 0)
	if err != nil {
		return err
	}
	number.Add(1)
	return nil
}

// The name goes at once, the memory with the last View of it.
func ExampleRemoveMemory() {
	name := fmt.Sprintf("/example-%d", os.Getpid())
	v, err := mapview.OpenMemory(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600, &mapview.Options{FileSize: 8})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	if err := mapview.RemoveMemory(name); err != nil {
		log.Fatal(err)
	}
	n, err := v.WriteAt([]byte("memory"), 0)
	fmt.Println(n, err)
	_, err = mapview.OpenMemory(name, os.O_RDWR, 0, nil)
	fmt.Println(errors.Is(err, fs.ErrNotExist))
	// Output:
	// 6 <nil>
	// true
}
