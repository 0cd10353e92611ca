//go:build cgo

package mapview_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"

	mapview "example.com/mapview/go"
)

// To a unix socket the kernel sends the bytes by itself.
func ExampleCursor_WriteTo() {
	name := exampleFile(make([]byte, 1<<20))
	defer os.Remove(name)
	v, err := mapview.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	listener, err := net.Listen("unix", name+".socket")
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.Copy(conn, v.Cursor()); err != nil { // by WriteTo
			log.Fatal(err)
		}
	}()

	conn, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	n, err := io.Copy(io.Discard, conn)
	fmt.Println(n, err)
	// Output: 1048576 <nil>
}

// What is read goes straight into the view, which does not grow for it.
func ExampleCursor_ReadFrom() {
	v, err := mapview.Anonymous(10, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	n, err := v.Cursor().ReadFrom(strings.NewReader("ten bytes!"))
	fmt.Println(n, err)
	n, err = v.Cursor().ReadFrom(strings.NewReader("more than that"))
	fmt.Println(n, err)
	// Output:
	// 10 <nil>
	// 10 short write
}
