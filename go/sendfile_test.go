//go:build cgo

package mapview

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// What goes to a unix socket by the kernel, and what does not. These tests are
// inside of the package to see how much send has sent.

const sendSize = 3<<20 + 4321

// newSent makes a file of sendSize bytes in memory, where no file system stands
// in between, and a view of it.
func newSent(t *testing.T, flag int, opt *Options) (*View, []byte) {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "mapview")
	if err != nil {
		t.Skip("there is no /dev/shm: ", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	content := make([]byte, sendSize)
	for i := range content {
		content[i] = byte(i % 251)
	}
	name := filepath.Join(dir, "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := OpenFile(name, flag, 0, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v, content
}

// unixPair returns the two ends of a connection.
func unixPair(t *testing.T, kind int) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, kind|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		conn, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		ends[i] = conn.(*net.UnixConn)
	}
	return ends[0], ends[1]
}

// received returns what comes out of r up to its end.
func received(r io.Reader) <-chan []byte {
	got := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(r)
		got <- b
	}()
	return got
}

func TestSend(t *testing.T) {
	for _, c := range []struct {
		name    string
		flag    int
		opt     *Options
		from    int64
		a, b    int // the part of the file that must arrive
		kernels bool
	}{
		{"to read", os.O_RDONLY, nil, 0, 0, sendSize, true},
		{"to write", os.O_RDWR, nil, 0, 0, sendSize, true},
		{"from a position", os.O_RDONLY, nil, 12345, 12345, sendSize, true},
		{"offset", os.O_RDWR, &Options{Offset: 777}, 5, 782, sendSize, true},
		{"a part", os.O_RDONLY, &Options{Offset: 777, Length: 1 << 20}, 9, 786, 777 + 1<<20, true},
		{"the least", os.O_RDONLY, nil, sendSize - sendLeast, sendSize - sendLeast, sendSize, true},
		{"less", os.O_RDONLY, nil, sendSize - sendLeast + 1, sendSize - sendLeast + 1, sendSize, false},
		{"the end", os.O_RDONLY, nil, sendSize, sendSize, sendSize, false},
		{"past the end", os.O_RDONLY, nil, sendSize + 9, sendSize, sendSize, false},
		{"private", os.O_RDWR, &Options{Private: true}, 0, 0, sendSize, false},
	} {
		for _, how := range []string{"send", "WriteTo", "io.Copy"} {
			v, content := newSent(t, c.flag, c.opt)
			w, r := unixPair(t, syscall.SOCK_STREAM)
			got := received(r)
			cursor := &Cursor{v, c.from}
			n, err := int64(0), error(nil)
			switch how {
			case "send":
				n = cursor.send(w)
			case "WriteTo":
				n, err = cursor.WriteTo(w)
			case "io.Copy":
				n, err = io.Copy(w, cursor)
			}
			w.Close()
			want := content[c.a:c.b]
			if how == "send" && !c.kernels {
				want = nil
			}
			if n != int64(len(want)) || err != nil || !bytes.Equal(<-got, want) || cursor.off != c.from+n {
				t.Errorf("%s, %s: %d, %v; at %d", c.name, how, n, err, cursor.off)
			}
		}
	}
}

// What a private view holds is not what its file holds.
func TestSendPrivate(t *testing.T) {
	v, content := newSent(t, os.O_RDWR, &Options{Private: true})
	v.WriteAt([]byte("mine"), 100_000)
	copy(content[100_000:], "mine")
	w, r := unixPair(t, syscall.SOCK_STREAM)
	got := received(r)
	if n, err := v.Cursor().WriteTo(w); n != sendSize || err != nil {
		t.Error(n, err)
	}
	w.Close()
	if !bytes.Equal(<-got, content) {
		t.Error("other bytes")
	}
}

func TestSendMemory(t *testing.T) {
	v, err := NewMemory(1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	v.WriteAt([]byte("end"), 1<<20-3)
	w, r := unixPair(t, syscall.SOCK_STREAM)
	got := received(r)
	if n := v.Cursor().send(w); n != 1<<20 {
		t.Errorf("%d bytes", n)
	}
	w.Close()
	if b := <-got; len(b) != 1<<20 || string(b[1<<20-3:]) != "end" {
		t.Errorf("%d bytes", len(b))
	}
}

// Each of these must come to the same as a copy does.
func TestSendNot(t *testing.T) {
	v, content := newSent(t, os.O_RDONLY, nil)
	packets, r := unixPair(t, syscall.SOCK_SEQPACKET)
	go io.Copy(io.Discard, r)
	if n := v.Cursor().send(packets); n != 0 {
		t.Errorf("%d bytes as packets", n)
	}

	// A type of its own has a Write of its own.
	conn, r := unixPair(t, syscall.SOCK_STREAM)
	go io.Copy(io.Discard, r)
	counting := &countingConn{UnixConn: conn}
	if n, err := v.Cursor().WriteTo(counting); n != sendSize || counting.n != sendSize || err != nil {
		t.Errorf("%d bytes, %d counted, %v", n, counting.n, err)
	}
	for _, w := range []io.Writer{nil, io.Discard, &bytes.Buffer{}, &UnixConn{}} {
		if n := v.Cursor().send(w); n != 0 {
			t.Errorf("%d bytes to a %T", n, w)
		}
	}

	// A file without a name cannot be opened again.
	os.Remove(v.Name())
	w, r := unixPair(t, syscall.SOCK_STREAM)
	arrived := received(r)
	if n, err := v.Cursor().WriteTo(w); n != sendSize || err != nil {
		t.Error(n, err)
	}
	w.Close()
	if !bytes.Equal(<-arrived, content) {
		t.Error("other bytes of a file without a name")
	}
}

type countingConn struct {
	*net.UnixConn
	n int
}

// A UnixConn of another package has the name only.
type UnixConn struct{ io.Writer }

func (c *countingConn) Write(p []byte) (int, error) {
	c.n += len(p)
	return c.UnixConn.Write(p)
}

// The kernel would send what the view does not let be read.
func TestSendProtected(t *testing.T) {
	v, content := newSent(t, os.O_RDWR, nil)
	page := int64(os.Getpagesize())
	if err := v.Protect(100*page, page, 0); err != nil {
		t.Fatal(err)
	}
	w, r := unixPair(t, syscall.SOCK_STREAM)
	got := received(r)
	n, err := v.Cursor().WriteTo(w)
	w.Close()
	var fault *FaultError
	if n != 100*page || !errors.As(err, &fault) || fault.Offset != 100*page || fault.Err != syscall.EACCES {
		t.Error(n, err)
	}
	if !bytes.Equal(<-got, content[:n]) {
		t.Error("other bytes")
	}
}

// From the new end of a cut file to the end of its page the view shows zeros,
// and so they are sent; then comes the fault.
func TestSendCut(t *testing.T) {
	v, content := newSent(t, os.O_RDONLY, nil)
	page := int64(os.Getpagesize())
	if err := os.Truncate(v.Name(), 200*page+100); err != nil {
		t.Fatal(err)
	}
	w, r := unixPair(t, syscall.SOCK_STREAM)
	got := received(r)
	n, err := v.Cursor().WriteTo(w)
	w.Close()
	var fault *FaultError
	if n != 201*page || !errors.As(err, &fault) || fault.Offset != 201*page || fault.Err != ErrTruncated {
		t.Error(n, err)
	}
	clear(content[200*page+100:])
	if !bytes.Equal(<-got, content[:n]) {
		t.Error("other bytes")
	}
}

// Errors of the socket are those that it has for a Write.
func TestSendErrors(t *testing.T) {
	v, content := newSent(t, os.O_RDONLY, nil)
	w, r := unixPair(t, syscall.SOCK_STREAM)
	if err := w.SetWriteDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	c := v.Cursor()
	n, err := c.WriteTo(w) // nobody reads
	var op *net.OpError
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &op) || op.Op != "write" {
		t.Errorf("%v (%T)", err, err)
	}
	if n <= 0 || n >= sendSize || c.off != n {
		t.Errorf("%d bytes, at %d", n, c.off)
	}
	w.SetWriteDeadline(time.Time{})
	got := received(r)
	if more, err := c.WriteTo(w); n+more != sendSize || err != nil { // and on from there
		t.Errorf("%d and %d bytes, %v", n, more, err)
	}
	w.Close()
	if !bytes.Equal(<-got, content) {
		t.Error("other bytes")
	}

	w, r = unixPair(t, syscall.SOCK_STREAM)
	r.Close()
	n, err = v.Cursor().WriteTo(w)
	if n != 0 || !errors.Is(err, syscall.EPIPE) || !errors.As(err, &op) || op.Op != "write" {
		t.Error(n, err)
	}
	w.Close()
	n, err = v.Cursor().WriteTo(w)
	if n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Error(n, err)
	}
}

// Close and Resize of the view end it between two calls of the kernel.
func TestSendBeside(t *testing.T) {
	v, _ := newSent(t, os.O_RDWR, &Options{Reserve: 64 << 20})
	if err := v.Resize(64 << 20); err != nil {
		t.Fatal(err)
	}
	w, r := unixPair(t, syscall.SOCK_STREAM)
	done := make(chan bool, 2)
	go func() {
		io.CopyN(io.Discard, r, 2<<20)
		if err := v.Resize(32 << 20); err != nil {
			t.Error(err)
		}
		done <- true
		io.CopyN(io.Discard, r, 10<<20)
		v.Close()
		done <- true
		io.Copy(io.Discard, r)
	}()
	before := countDescriptors(t)
	n, err := v.Cursor().WriteTo(w)
	<-done
	<-done
	if n < 12<<20 || n > 16<<20 || !errors.Is(err, os.ErrClosed) {
		t.Error(n, err)
	}
	if after := countDescriptors(t); after != before-1 { // the view has closed its own
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

func countDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
