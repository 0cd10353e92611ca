//go:build cgo

package mapview_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	mapview "example.com/mapview/go"
)

// The interfaces that a Cursor is.
var (
	_ io.ReadWriteSeeker = (*mapview.Cursor)(nil)
	_ io.ByteScanner     = (*mapview.Cursor)(nil)
	_ io.ByteWriter      = (*mapview.Cursor)(nil)
	_ io.WriterTo        = (*mapview.Cursor)(nil)
	_ io.ReaderFrom      = (*mapview.Cursor)(nil)
)

// position returns where a Cursor stands.
func position(t *testing.T, c *mapview.Cursor) int64 {
	t.Helper()
	at, err := c.Seek(0, io.SeekCurrent)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func wantPosition(t *testing.T, c *mapview.Cursor, want int) {
	t.Helper()
	if at := position(t, c); at != int64(want) {
		t.Errorf("position %d, not %d", at, want)
	}
}

// at returns a new Cursor at byte off of a view.
func at(t *testing.T, v *mapview.View, off int) *mapview.Cursor {
	t.Helper()
	c := v.Cursor()
	if n, err := c.Seek(int64(off), io.SeekStart); n != int64(off) || err != nil {
		t.Fatalf("Seek(%d): %d, %v", off, n, err)
	}
	return c
}

func TestCursorConforms(t *testing.T) {
	for _, size := range []int{0, 1, page, 3*page + 100} {
		content := pattern(size)
		v := open(t, newFile(t, content), os.O_RDONLY, nil)
		if err := iotest.TestReader(v.Cursor(), content); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestCursorRead(t *testing.T) {
	content := pattern(page + 100)
	end := len(content)
	v := open(t, newFile(t, content), os.O_RDONLY, nil)
	for _, c := range []struct {
		off, n, want int
		err          error
	}{
		{0, 10, 10, nil},
		{95, page, page, nil},
		{0, end, end, nil},
		{0, end + 1, end, nil}, // io.EOF comes alone, as from a file
		{end - 9, 10, 9, nil},
		{end, 1, 0, io.EOF},
		{end + 1, 1, 0, io.EOF},
		{math.MaxInt64, 1, 0, io.EOF},
		{end, 0, 0, nil},
	} {
		cursor := at(t, v, c.off)
		p := make([]byte, c.n)
		n, err := cursor.Read(p)
		if n != c.want || err != c.err {
			t.Errorf("Read of %d bytes at %d: %d, %v; want %d, %v", c.n, c.off, n, err, c.want, c.err)
		}
		if n > 0 && !bytes.Equal(p[:n], content[c.off:c.off+n]) {
			t.Errorf("Read of %d bytes at %d: other bytes", c.n, c.off)
		}
		wantPosition(t, cursor, c.off+c.want)
	}
}

// Two Cursors of one view do not move each other.
func TestCursorsAreIndependent(t *testing.T) {
	v := open(t, newFile(t, pattern(100)), os.O_RDWR, nil)
	a, b := v.Cursor(), v.Cursor()
	io.CopyN(io.Discard, a, 10)
	wantPosition(t, a, 10)
	wantPosition(t, b, 0)
	if err := b.WriteByte(77); err != nil || v.At(0) != 77 {
		t.Errorf("%v, the byte is %d", err, v.At(0))
	}
	wantPosition(t, a, 10)
}

func TestCursorWrite(t *testing.T) {
	content := pattern(page + 100)
	end := len(content)
	for _, c := range []struct {
		off, n, want int
		err          error
	}{
		{0, 10, 10, nil},
		{50, page, page, nil},
		{0, end, end, nil},
		{0, end + 1, end, io.ErrShortWrite},
		{end - 9, 10, 9, io.ErrShortWrite},
		{end, 1, 0, io.ErrShortWrite},
		{math.MaxInt64, 1, 0, io.ErrShortWrite},
		{end, 0, 0, nil},
	} {
		name := newFile(t, content)
		cursor := at(t, open(t, name, os.O_RDWR, nil), c.off)
		p := bytes.Repeat([]byte{0xee}, c.n)
		n, err := cursor.Write(p)
		if n != c.want || err != c.err { // alone, too
			t.Errorf("Write of %d bytes at %d: %d, %v; want %d, %v", c.n, c.off, n, err, c.want, c.err)
		}
		wantPosition(t, cursor, c.off+c.want)
		want := bytes.Clone(content)
		if n > 0 {
			copy(want[c.off:], p[:n])
		}
		wantContent(t, name, want)
	}
}

func TestCursorReadOnly(t *testing.T) {
	v := open(t, newFile(t, pattern(page)), os.O_RDONLY, nil)
	c := at(t, v, 5)
	_, err := c.Write([]byte{1})
	wantError(t, err, fs.ErrPermission)
	wantError(t, c.WriteByte(1), fs.ErrPermission)
	source := strings.NewReader("source")
	n, err := c.ReadFrom(source)
	wantError(t, err, fs.ErrPermission)
	if n != 0 || source.Len() != 6 {
		t.Errorf("%d bytes stored, %d left of 6", n, source.Len())
	}
	wantPosition(t, c, 5)
}

func TestCursorBytes(t *testing.T) {
	v := open(t, newFile(t, []byte{10, 11, 12}), os.O_RDWR, nil)
	c := v.Cursor()
	wantError(t, c.UnreadByte(), fs.ErrInvalid)
	for i := range 3 {
		if b, err := c.ReadByte(); b != byte(10+i) || err != nil {
			t.Errorf("byte %d: %d, %v", i, b, err)
		}
	}
	for range 2 {
		if b, err := c.ReadByte(); b != 0 || err != io.EOF {
			t.Errorf("at the end: %d, %v", b, err)
		}
	}
	for i := range 3 {
		if err := c.UnreadByte(); err != nil {
			t.Error(err)
		}
		wantPosition(t, c, 2-i)
	}
	wantError(t, c.UnreadByte(), fs.ErrInvalid)
	for i := range 3 {
		if err := c.WriteByte(byte(20 + i)); err != nil {
			t.Error(err)
		}
	}
	if err := c.WriteByte(23); err != io.ErrShortWrite {
		t.Error(err)
	}
	wantPosition(t, c, 3)
	wantContent(t, v.Name(), []byte{20, 21, 22})
}

func TestCursorSeek(t *testing.T) {
	v := open(t, newFile(t, pattern(100)), os.O_RDONLY, nil)
	for _, c := range []struct {
		from   int
		offset int64
		whence int
		want   int64 // -1: refused
	}{
		{7, 0, io.SeekStart, 0},
		{7, 3, io.SeekStart, 3},
		{7, math.MaxInt64, io.SeekStart, math.MaxInt64},
		{7, -1, io.SeekStart, -1},
		{7, math.MinInt64, io.SeekStart, -1},
		{7, 0, io.SeekCurrent, 7},
		{7, -7, io.SeekCurrent, 0},
		{7, -8, io.SeekCurrent, -1},
		{7, math.MaxInt64 - 7, io.SeekCurrent, math.MaxInt64},
		{7, math.MaxInt64 - 6, io.SeekCurrent, -1},
		{7, 0, io.SeekEnd, 100},
		{7, 5, io.SeekEnd, 105},
		{7, -100, io.SeekEnd, 0},
		{7, -101, io.SeekEnd, -1},
		{7, math.MaxInt64, io.SeekEnd, -1},
		{7, math.MinInt64, io.SeekEnd, -1},
		{7, 0, 3, -1},
		{7, 0, -1, -1},
	} {
		cursor := at(t, v, c.from)
		got, err := cursor.Seek(c.offset, c.whence)
		stands := position(t, cursor)
		if c.want >= 0 {
			if got != c.want || stands != c.want || err != nil {
				t.Errorf("%+v: %d, %v; stands at %d", c, got, err, stands)
			}
			continue
		}
		wantError(t, err, fs.ErrInvalid)
		if got != 0 || stands != int64(c.from) {
			t.Errorf("%+v: %d; stands at %d", c, got, stands)
		}
	}
}

// SeekEnd and Read follow a Resize, in both directions.
func TestCursorFollowsSize(t *testing.T) {
	v := open(t, newFile(t, pattern(100)), os.O_RDWR, &mapview.Options{Reserve: int64(page)})
	c := at(t, v, 90)
	if err := v.Resize(80); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 5)); n != 0 || err != io.EOF {
		t.Errorf("past the new end: %d, %v", n, err)
	}
	wantPosition(t, c, 90)
	if err := v.Resize(200); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 200)); n != 110 || err != nil {
		t.Errorf("after growing: %d, %v", n, err)
	}
	if end, err := c.Seek(0, io.SeekEnd); end != 200 || err != nil {
		t.Errorf("the end is at %d, %v", end, err)
	}
}

func TestCursorWriteTo(t *testing.T) {
	for _, size := range []int{0, 1, 100, 32 << 10, 32<<10 + 1, 100_000} {
		content := pattern(size)
		v := open(t, newFile(t, content), os.O_RDONLY, nil)
		for _, off := range []int{0, 1, size, size + 5} {
			c := at(t, v, off)
			var got bytes.Buffer
			n, err := c.WriteTo(&got)
			want := content[min(off, size):]
			if n != int64(len(want)) || err != nil || !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%d bytes from %d: %d, %v", size, off, n, err)
			}
			wantPosition(t, c, max(off, size))
		}
	}
}

// Under overlayfs a read-only view shows the lower file for good, and its name
// leads to another one once somebody has written to that. What the view shows is
// sent, not what the file opened anew holds.
func TestCursorWriteToUnderOverlay(t *testing.T) {
	dir := smallDisk(t, "4m")
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	content := pattern(300_000)
	if err := os.WriteFile(filepath.Join(dir, "lower/file"), content, 0o644); err != nil {
		t.Fatal(err)
	}
	merged := filepath.Join(dir, "merged")
	layers := "lowerdir=" + dir + "/lower,upperdir=" + dir + "/upper,workdir=" + dir + "/work"
	if err := syscall.Mount("overlay", merged, "overlay", 0, layers); err != nil {
		t.Skip("no overlayfs of its own: ", err)
	}
	defer syscall.Unmount(merged, syscall.MNT_DETACH)
	name := filepath.Join(merged, "file")
	v := open(t, name, os.O_RDONLY, nil)
	if err := os.WriteFile(name, bytes.Repeat([]byte{'n'}, len(content)), 0o644); err != nil {
		t.Fatal(err)
	}
	server, client := unixPair(t)
	done := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(client)
		done <- b
	}()
	n, err := v.Cursor().WriteTo(server)
	server.Close()
	if n != int64(len(content)) || err != nil || !bytes.Equal(<-done, content) {
		t.Error(n, err)
	}
}

// unixPair returns the two ends of a connection.
func unixPair(t *testing.T) (server, client net.Conn) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err = net.Dial("unix", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close(); client.Close() })
	return server, client
}

// A writerFunc is a Writer that is a function, and a readerFunc a Reader.
type (
	writerFunc func(p []byte) (int, error)
	readerFunc func(p []byte) (int, error)
)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
func (f readerFunc) Read(p []byte) (int, error)  { return f(p) }

func TestCursorWriteToRefusedPart(t *testing.T) {
	mine := errors.New("mine")
	v := open(t, newFile(t, pattern(100)), os.O_RDONLY, nil)
	for _, w := range []struct {
		taken      int
		err, want  error
		impossible bool
	}{
		{7, mine, mine, false},
		{7, nil, io.ErrShortWrite, false},
		{0, nil, io.ErrShortWrite, false},
		{90, mine, mine, false},
		{-1, nil, nil, true},
		{91, nil, nil, true},
	} {
		c := at(t, v, 10)
		n, err := c.WriteTo(writerFunc(func(p []byte) (int, error) { return w.taken, w.err }))
		if w.impossible {
			if n != 0 || err == nil {
				t.Errorf("%+v: %d, %v", w, n, err)
			}
			wantPosition(t, c, 10)
			continue
		}
		if n != int64(w.taken) || err != w.want {
			t.Errorf("%+v: %d, %v", w, n, err)
		}
		wantPosition(t, c, 10+w.taken)
	}
}

func TestCursorReadFrom(t *testing.T) {
	const size = 100_000
	for _, from := range []struct {
		off, n int // of the source
		want   int
		err    error
	}{
		{0, 0, 0, nil},
		{0, 10, 10, nil},
		{5, 70_000, 70_000, nil},
		{0, size, size, nil}, // fits exactly: no error
		{0, size + 1, size, io.ErrShortWrite},
		{0, size + 50_000, size, io.ErrShortWrite},
		{size - 3, 3, 3, nil},
		{size - 3, 4, 3, io.ErrShortWrite},
		{size, 0, 0, nil},
		{size, 1, 0, io.ErrShortWrite},
		{size + 9, 10, 0, io.ErrShortWrite},
	} {
		source := bytes.Repeat([]byte{0xee}, from.n)
		for what, wrap := range map[string]func(io.Reader) io.Reader{
			"at once":      func(r io.Reader) io.Reader { return r },
			"half":         iotest.HalfReader,
			"end and data": iotest.DataErrReader,
		} {
			plain := bytes.NewReader(source)
			r := wrap(plain)
			v := open(t, newFile(t, make([]byte, size)), os.O_RDWR, nil)
			c := at(t, v, from.off)
			n, err := c.ReadFrom(r)
			if n != int64(from.want) || err != from.err {
				t.Errorf("%+v, %s: %d, %v", from, what, n, err)
			}
			if taken := from.n - plain.Len(); what == "at once" && taken > from.want+1 {
				t.Errorf("%+v: %d bytes were taken from the source", from, taken)
			}
			wantPosition(t, c, from.off+from.want)
			want := make([]byte, size)
			if from.want > 0 {
				copy(want[from.off:], source[:from.want])
			}
			wantContent(t, v.Name(), want)
		}
	}
}

func TestCursorReadFromBadReader(t *testing.T) {
	mine := errors.New("mine")
	v := open(t, newFile(t, make([]byte, 100)), os.O_RDWR, nil)
	calls := 0
	for what, r := range map[string]struct {
		read readerFunc
		n    int64
		err  error
	}{
		"an error":            {func(p []byte) (int, error) { return 0, mine }, 0, mine},
		"data and an error":   {func(p []byte) (int, error) { return 3, mine }, 3, mine},
		"nothing for ever":    {func(p []byte) (int, error) { return 0, nil }, 0, io.ErrNoProgress},
		"a negative count":    {func(p []byte) (int, error) { return -1, nil }, 0, nil},
		"more than there was": {func(p []byte) (int, error) { return len(p) + 1, nil }, 0, nil},
		"nothing at times": {func(p []byte) (int, error) {
			if calls++; calls%99 != 0 {
				return 0, nil
			} else if calls > 400 {
				return 0, io.EOF
			}
			return 1, nil
		}, 4, nil},
	} {
		c := v.Cursor()
		n, err := c.ReadFrom(r.read)
		if n != r.n || (r.err != nil && err != r.err) {
			t.Errorf("%s: %d, %v; want %d, %v", what, n, err, r.n, r.err)
		}
		if (err == nil) != (what == "nothing at times") {
			t.Errorf("%s: %v", what, err)
		}
		wantPosition(t, c, int(r.n))
	}
}

func TestCursorAfterClose(t *testing.T) {
	v := open(t, newFile(t, pattern(100)), os.O_RDWR, nil)
	c := at(t, v, 10)
	v.Close()
	p := make([]byte, 1)
	for what, call := range map[string]func() error{
		"Read":       func() error { _, err := c.Read(p); return err },
		"empty Read": func() error { _, err := c.Read(nil); return err },
		"ReadByte":   func() error { _, err := c.ReadByte(); return err },
		"UnreadByte": func() error { return c.UnreadByte() },
		"Write":      func() error { _, err := c.Write(p); return err },
		"WriteByte":  func() error { return c.WriteByte(1) },
		"Seek":       func() error { _, err := c.Seek(0, io.SeekStart); return err },
		"WriteTo":    func() error { _, err := c.WriteTo(io.Discard); return err },
		"ReadFrom":   func() error { _, err := c.ReadFrom(strings.NewReader("x")); return err },
	} {
		err := call()
		var path *fs.PathError
		if !errors.Is(err, os.ErrClosed) || !errors.As(err, &path) || path.Path != v.Name() {
			t.Errorf("%s: %v (%T)", what, err, err)
		}
	}
}

// Close ends a copy that is running, between two calls of the other side.
func TestCursorCloseBesideCopy(t *testing.T) {
	v := open(t, newFile(t, pattern(200_000)), os.O_RDWR, nil)
	c := v.Cursor()
	n, err := c.WriteTo(writerFunc(func(p []byte) (int, error) { v.Close(); return len(p), nil }))
	wantError(t, err, os.ErrClosed)
	if n == 0 || n >= 200_000 {
		t.Errorf("%d bytes", n)
	}

	v = open(t, newFile(t, pattern(200_000)), os.O_RDWR, nil)
	n, err = v.Cursor().ReadFrom(readerFunc(func(p []byte) (int, error) { v.Close(); return len(p), nil }))
	wantError(t, err, os.ErrClosed)
	if n != 0 {
		t.Errorf("%d bytes", n)
	}
}

// Through io.Copy, as a program uses it: one file to another, and a part.
func TestCursorCopies(t *testing.T) {
	content := pattern(100_000)
	from := open(t, newFile(t, content), os.O_RDONLY, nil)
	to := open(t, newFile(t, make([]byte, len(content))), os.O_RDWR, nil)
	if n, err := io.Copy(to.Cursor(), from.Cursor()); n != int64(len(content)) || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	wantContent(t, to.Name(), content)
	c := to.Cursor()
	if n, err := io.CopyN(c, at(t, from, 50), 10); n != 10 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	wantPosition(t, c, 10)
	if !bytes.Equal(to.Bytes()[:10], content[50:60]) || to.At(10) != content[10] {
		t.Error("other bytes")
	}
}
