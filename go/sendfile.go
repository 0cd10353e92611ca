//go:build cgo

package mapview

import (
	"io"
	"os"
	"reflect"
	"syscall"
)

// What is no longer than the least is copied: that is quicker than to open the
// file. The most is sent by one call, so that Close and Resize are seen in
// between.
const sendLeast, sendMost = 64 << 10, 1 << 20

// send lets the kernel send the bytes from the position on to w, as far as that
// can be done, and returns how many went. It moves the position with them.
//
// Whatever ends it is left to be found out by who copies the rest: the end of
// the view, a byte that cannot be read, a deadline or an error of w. So each of
// them is reported as it would be without this.
func (c *Cursor) send(w io.Writer) (sent int64) {
	v := c.v
	if !isUnixConn(w) || v.private || v.unreadable.Load() || v.size.Load()-c.off < sendLeast {
		return 0
	}
	out, err := w.(syscall.Conn).SyscallConn()
	if err != nil || !isStream(out) {
		return 0
	}
	f, err := v.File()
	if err != nil {
		return 0
	}
	defer f.Close()
	if !isSendable(f, v.writable) {
		return 0
	}
	for {
		n, err := c.sendSome(out, int(f.Fd()))
		c.off += int64(n)
		sent += int64(n)
		if n <= 0 || err != nil {
			return sent
		}
	}
}

// sendSome makes one call of sendfile that sends something.
func (c *Cursor) sendSome(out syscall.RawConn, in int) (n int, err error) {
	most := min(c.v.size.Load()-c.off, sendMost)
	if most <= 0 {
		return 0, nil
	}
	refused := out.Write(func(fd uintptr) (done bool) {
		at := c.v.offset + c.off
		n, err = syscall.Sendfile(int(fd), in, &at, int(most))
		for err == syscall.EINTR {
			n, err = syscall.Sendfile(int(fd), in, &at, int(most))
		}
		return err != syscall.EAGAIN // else it waits until the socket has room
	})
	if err == nil {
		err = refused
	}
	return max(n, 0), err
}

// isUnixConn tells whether w is a *net.UnixConn. A type that has one embedded is
// not: its own Write must get the bytes. Package net itself is not imported for
// this, since most programs that map files have no use for it.
func isUnixConn(w io.Writer) bool {
	t := reflect.TypeOf(w)
	return t != nil && t.Kind() == reflect.Pointer && t.Elem().Name() == "UnixConn" && t.Elem().PkgPath() == "net"
}

// isStream tells whether a socket has no packets, which would be of another size
// than those of Write.
func isStream(conn syscall.RawConn) (stream bool) {
	err := conn.Control(func(fd uintptr) {
		kind, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_TYPE)
		stream = err == nil && kind == syscall.SOCK_STREAM
	})
	return err == nil && stream
}

// isSendable tells whether the bytes that the kernel would send from f are sure
// to be those that the view shows. Under overlayfs they need not be where the
// view is read-only: it goes on to show the lower file.
func isSendable(f *os.File, writable bool) bool {
	const overlayfs = 0x794c7630
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	var on syscall.Statfs_t
	return writable || syscall.Fstatfs(int(f.Fd()), &on) == nil && on.Type != overlayfs
}
