//go:build cgo

package mapview_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	mapview "example.com/mapview/go"
)

// FuzzOperations does what the input says to a file and a view of it: opens it
// in every way, reads, writes, resizes, cuts and extends the file from outside,
// closes, and goes on after that. Every call must return what the model of
// fuzz_model_test.go returns, and after each of them view and file must hold what
// it holds.
func FuzzOperations(f *testing.F) {
	f.Fuzz(func(t *testing.T, input []byte) {
		r := newRun(t, input)
		defer r.end()
		for n := 0; n < mostOperations && len(r.input) > 0; n++ {
			r.step()
			if t.Failed() {
				t.Fatalf("after operation %d: %s", n, r.last)
			}
		}
	})
}

const mostOperations = 100

// A place is at most that many bytes from the beginning of the file.
var largestPlace = 6*page + 127

// A run is an input, and what has come of it so far.
type run struct {
	t     *testing.T
	input []byte
	last  string // the operation, for a person

	m      *model
	name   string
	f      *os.File // how others have the file open
	v      *mapview.View
	cursor *mapview.Cursor
}

// newRun makes the file, on tmpfs or on what the tests use else: they differ in
// what they do with a page that holds the end.
func newRun(t *testing.T, input []byte) *run {
	r := &run{t: t, input: input, m: newModel()}
	dir := ""
	if r.byte()%4 != 0 {
		dir = "/dev/shm"
	}
	dir, err := os.MkdirTemp(dir, "mapview")
	if err != nil {
		t.Skip(err)
	}
	r.name = filepath.Join(dir, "file")
	if r.f, err = os.OpenFile(r.name, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *run) end() {
	if r.v != nil {
		r.v.Close()
	}
	r.f.Close()
	os.RemoveAll(filepath.Dir(r.name))
}

// byte takes the next byte of the input: zeros once it is at its end.
func (r *run) byte() byte {
	if len(r.input) == 0 {
		return 0
	}
	b := r.input[0]
	r.input = r.input[1:]
	return b
}

// place takes a number of bytes near a page boundary, where things happen. It may
// be negative.
func (r *run) place() int {
	pages := int(r.byte() % 7)
	return pages*page + int(int8(r.byte()))
}

// bytes takes a place and returns that many bytes of a pattern of its own.
func (r *run) bytes() []byte {
	n := max(r.place(), 0)
	return patterns[int(r.byte())+1:][:n]
}

// patterns begins in another way wherever one starts.
var patterns = pattern(largestPlace + 257)

// note says what is being done.
func (r *run) note(format string, args ...any) { r.last = fmt.Sprintf(format, args...) }

// want compares an error with that of the model, which has no more than Offset
// and Err of a fault.
func (r *run) want(got, want error) {
	r.t.Helper()
	fault, ok := want.(*mapview.FaultError)
	switch {
	case want == nil || want == io.EOF:
		if got != want {
			r.t.Errorf("%s: error %v, not %v", r.last, got, want)
		}
	case ok:
		var is *mapview.FaultError
		if !errors.As(got, &is) || is.Offset != fault.Offset || !errors.Is(is.Err, fault.Err) {
			r.t.Errorf("%s: error %v, not a fault at %d because %v", r.last, got, fault.Offset, fault.Err)
		}
	case !errors.Is(got, want):
		r.t.Errorf("%s: error %v, not %v", r.last, got, want)
	}
}

// wantCount compares a count and an error.
func (r *run) wantCount(n, want int, err, wantErr error) {
	r.t.Helper()
	if n != want {
		r.t.Errorf("%s: %d bytes, not %d (%v)", r.last, n, want, err)
	}
	r.want(err, wantErr)
}

// wantBytes compares bytes with those of the view from off on.
func (r *run) wantBytes(p []byte, off int) {
	r.t.Helper()
	if len(p) == 0 {
		return
	}
	want := r.m.bytes(off, len(p))
	if i := want.differs(p); i >= 0 {
		r.t.Errorf("%s: byte %d is %d, not %d", r.last, off+i, p[i], want.data[i])
	}
}

// firstOnRanges is the first number of the operations on ranges: it is that high
// so that inputs of before could be kept.
const firstOnRanges = 216

// step does the next operation and looks at everything.
func (r *run) step() {
	foreign := []func(){r.truncate, r.writeFile, r.truncate}
	ours := []func(){
		r.readAt, r.writeAt, r.at, r.do, r.resize, r.refresh, r.sync, r.probe, r.seek, r.read, r.write,
		r.readByte, r.writeByte, r.unreadByte, r.writeTo, r.readFrom, r.resize, r.writeAt, r.refresh, r.close,
	}
	onRanges := []func(){
		r.advise, r.prefetch, r.prefault, r.protect, r.discard, r.slice, r.records, r.appendRecords,
	}
	n := int(r.byte())
	switch all := len(foreign) + len(ours); {
	case r.m.state == neverOpened || n < firstOnRanges && n%(all+1) == all:
		r.open()
	case n >= firstOnRanges:
		onRanges[n%len(onRanges)]()
	case n%(all+1) < len(foreign):
		foreign[n%(all+1)]()
	default:
		ours[n%(all+1)-len(foreign)]()
	}
	r.look()
}

// look compares the sizes, the file and the view with the model.
func (r *run) look() {
	r.last = "after " + r.last
	info, err := r.f.Stat()
	if err != nil {
		r.t.Fatal(err)
	}
	if info.Size() != int64(r.m.length) {
		r.t.Fatalf("%s: the file has %d bytes, not %d", r.last, info.Size(), r.m.length)
	}
	p := make([]byte, r.m.length)
	if _, err := r.f.ReadAt(p, 0); err != nil {
		r.t.Fatal(err)
	}
	if i := r.m.file.differs(p); i >= 0 {
		r.t.Fatalf("%s: byte %d of the file is %d, not %d", r.last, i, p[i], r.m.file.data[i])
	}
	if r.m.state != isOpen {
		return
	}
	if r.v.Len() != r.m.size {
		r.t.Fatalf("%s: the view has %d bytes, not %d", r.last, r.v.Len(), r.m.size)
	}
	p = make([]byte, r.m.size)
	n, err := r.v.ReadAt(p, 0)
	want, wantErr := r.m.readAt(0, r.m.size)
	r.wantCount(n, want, err, wantErr)
	r.wantBytes(p[:n], 0)
	if at := r.m.position; at != standsAt(r.cursor) {
		r.t.Errorf("%s: the Cursor stands at %d, not %d", r.last, standsAt(r.cursor), at)
	}
}

func standsAt(c *mapview.Cursor) int {
	at, _ := c.Seek(0, io.SeekCurrent)
	return int(at)
}

// ---- what others do ----

func (r *run) truncate() {
	length := max(r.place(), 0)
	r.note("Truncate(%d)", length)
	r.want(os.Truncate(r.name, int64(length)), nil)
	r.m.truncate(length)
}

// writeFile writes to the file, or appends to it.
func (r *run) writeFile() {
	p := r.bytes()
	off := min(max(r.place(), 0), r.m.length)
	p = p[:min(len(p), largestPlace-off+page)]
	r.note("write %d bytes at %d of the file", len(p), off)
	_, err := r.f.WriteAt(p, int64(off))
	r.want(err, nil)
	r.m.write(p, off)
}

// ---- open and close ----

func (r *run) open() {
	how := r.byte()
	flag := []int{os.O_RDONLY, os.O_RDWR, os.O_RDWR, os.O_RDWR}[how%4]
	opt := &mapview.Options{Private: how&0x0c == 0x0c}
	for bit, f := range map[byte]int{0x10: os.O_CREATE, 0x20: os.O_EXCL, 0x40: os.O_TRUNC} {
		if how&bit != 0 && r.byte()%4 == 0 {
			flag |= f
		}
	}
	if how&0x80 != 0 {
		for _, field := range []*int64{&opt.Offset, &opt.Length, &opt.FileSize, &opt.Reserve} {
			if r.byte()%2 == 0 {
				*field = int64(r.place())
			}
		}
	}
	if r.m.state == isOpen {
		r.note("Close before an open")
		r.want(r.v.Close(), nil)
	}
	r.note("OpenFile(%#x, %+v)", flag, *opt)
	v, err := mapview.OpenFile(r.name, flag, 0o600, opt)
	want := r.m.open(flag, opt)
	r.want(err, want)
	switch {
	case err == nil && want == nil:
		r.v, r.cursor = v, v.Cursor()
	case r.m.state == isOpen: // the earlier one is closed
		r.m.state = isClosed
	}
}

func (r *run) close() {
	r.note("Close()")
	r.want(r.v.Close(), nil)
	r.m.state, r.m.size = isClosed, 0
}

// ---- access ----

func (r *run) readAt() {
	p, off := make([]byte, max(r.place(), 0)), r.place()
	r.note("ReadAt(%d bytes, %d)", len(p), off)
	n, err := r.v.ReadAt(p, int64(off))
	want, wantErr := r.m.readAt(off, len(p))
	r.wantCount(n, want, err, wantErr)
	r.wantBytes(p[:want], off)
}

func (r *run) writeAt() {
	p, off := r.bytes(), r.place()
	r.note("WriteAt(%d bytes, %d)", len(p), off)
	n, err := r.v.WriteAt(p, int64(off))
	want, wantErr := r.m.writeAt(p, off)
	r.wantCount(n, want, err, wantErr)
}

func (r *run) at() {
	i := r.place()
	r.note("At(%d)", i)
	var b byte
	value := panicOf(func() { b = r.v.At(i) })
	n, want := r.m.readAt(i, 1)
	switch {
	case n == 1:
		if value != nil {
			r.t.Errorf("%s: panic %v", r.last, value)
		}
		r.wantBytes([]byte{b}, i)
	case r.m.state == isOpen && i >= 0 && i < r.m.size:
		err, _ := value.(error)
		r.want(err, want)
	default:
		if _, ok := value.(runtime.Error); !ok || isFault(value) {
			r.t.Errorf("%s: panic %v (%T)", r.last, value, value)
		}
	}
}

// do loads a byte in place, and stores one there.
func (r *run) do() {
	i, store, b := r.place(), r.byte()%2 == 0, r.byte()
	if i < 0 || r.m.state == isOpen && i >= r.m.size {
		i = 0
	}
	r.note("Do, byte %d, stores %v", i, store)
	var loaded []byte
	err := r.v.Do(func(view []byte) error {
		if len(view) != r.m.size {
			r.t.Errorf("%s: the slice has %d bytes", r.last, len(view))
		}
		if len(view) == 0 {
			return nil
		}
		loaded = append(loaded, load(view, i))
		if store {
			view[i] = b
		}
		return nil
	})
	switch {
	case r.m.state == isClosed:
		r.want(err, os.ErrClosed)
	case r.m.size == 0:
		r.want(err, nil)
	default:
		r.wantInPlace(err, loaded, i, store, []byte{b})
	}
}

// wantInPlace is for a load in place at off, and a store after it, if any.
func (r *run) wantInPlace(err error, loaded []byte, off int, store bool, stored []byte) {
	switch {
	case off >= r.m.reach(), store && !r.m.writable && off >= r.m.lost(): // here both stop it
		r.want(err, modelFault(off, mapview.ErrTruncated))
	case store && !r.m.writable:
		r.want(err, modelFault(off, fs.ErrPermission))
	default:
		r.want(err, nil)
		r.wantBytes(loaded, off)
		if store {
			r.m.store(stored, off)
		}
	}
}

// ---- size and medium ----

func (r *run) resize() {
	size := r.place()
	r.note("Resize(%d)", size)
	r.want(r.v.Resize(int64(size)), r.m.resize(size))
}

func (r *run) refresh() {
	r.note("Refresh()")
	r.want(r.v.Refresh(), r.m.refresh())
}

func (r *run) sync() {
	r.note("Sync()")
	r.want(r.v.Sync(), r.m.sync())
}

func (r *run) probe() {
	off, n := r.place(), max(r.place(), 0)
	r.note("Probe(%d, %d)", off, n)
	r.want(r.v.Probe(int64(off), int64(n), mapview.AccessRead), r.m.probe(off, n))
}

// ---- the Cursor ----

func (r *run) seek() {
	offset, whence := r.place(), int(r.byte()%4)
	r.note("Seek(%d, %d)", offset, whence)
	at, err := r.cursor.Seek(int64(offset), whence)
	want, wantErr := r.m.seek(offset, whence)
	r.wantCount(int(at), want, err, wantErr)
}

func (r *run) read() {
	p := make([]byte, max(r.place(), 0))
	r.note("Read(%d bytes) at %d", len(p), r.m.position)
	n, err := r.cursor.Read(p)
	want, wantErr := r.m.readAt(r.m.position, len(p))
	if want > 0 && wantErr == io.EOF {
		wantErr = nil
	}
	r.wantCount(n, want, err, wantErr)
	r.wantBytes(p[:want], r.m.position)
	r.m.position += want
}

func (r *run) write() {
	p := r.bytes()
	r.note("Write(%d bytes) at %d", len(p), r.m.position)
	n, err := r.cursor.Write(p)
	want, wantErr := r.m.writeAt(p, r.m.position)
	r.wantCount(n, want, err, wantErr)
	r.m.position += want
}

func (r *run) readByte() {
	r.note("ReadByte() at %d", r.m.position)
	b, err := r.cursor.ReadByte()
	n, wantErr := r.m.readAt(r.m.position, 1)
	r.want(err, wantErr)
	if n == 1 {
		r.wantBytes([]byte{b}, r.m.position)
	}
	r.m.position += n
}

func (r *run) writeByte() {
	b := r.byte()
	r.note("WriteByte(%d) at %d", b, r.m.position)
	err := r.cursor.WriteByte(b)
	n, wantErr := r.m.writeAt([]byte{b}, r.m.position)
	r.want(err, wantErr)
	r.m.position += n
}

func (r *run) unreadByte() {
	r.note("UnreadByte() at %d", r.m.position)
	err := r.cursor.UnreadByte()
	switch {
	case r.m.state == isClosed:
		r.want(err, os.ErrClosed)
	case r.m.position == 0:
		r.want(err, fs.ErrInvalid)
	default:
		r.want(err, nil)
		r.m.position--
	}
}

func (r *run) writeTo() {
	r.note("WriteTo at %d", r.m.position)
	var got bytes.Buffer
	n, err := r.cursor.WriteTo(&got)
	want, wantErr := r.m.readAt(r.m.position, max(r.m.size-r.m.position, 1))
	if wantErr == io.EOF {
		wantErr = nil
	}
	r.wantCount(int(n), want, err, wantErr)
	r.wantBytes(got.Bytes(), r.m.position)
	r.m.position += want
}

func (r *run) readFrom() {
	p := r.bytes()
	r.note("ReadFrom(%d bytes) at %d", len(p), r.m.position)
	n, err := r.cursor.ReadFrom(bytes.NewReader(p))
	want, wantErr := r.m.writeAt(p, r.m.position)
	r.wantCount(int(n), want, err, wantErr)
	r.m.position += want
}
