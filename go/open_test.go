//go:build cgo

package mapview_test

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"

	mapview "example.com/mapview/go"
)

func TestOpen(t *testing.T) {
	content := pattern(3*page + 5)
	name := newFile(t, content)
	v, err := mapview.Open(name)
	opened(t, v, err)
	if v.Name() != name || v.Len() != len(content) || v.Size() != int64(len(content)) {
		t.Errorf("name %q, length %d, size %d", v.Name(), v.Len(), v.Size())
	}
	if b := v.Bytes(); !bytes.Equal(b, content) || cap(b) != len(b) {
		t.Errorf("%d bytes, capacity %d", len(b), cap(b))
	}
}

func TestOpenEmpty(t *testing.T) {
	v := open(t, newFile(t, nil), os.O_RDWR, nil)
	if v.Len() != 0 || v.Bytes() == nil || len(v.Bytes()) != 0 {
		t.Errorf("length %d, bytes %v", v.Len(), v.Bytes())
	}
	if err := v.Do(func(b []byte) error {
		if len(b) != 0 {
			t.Errorf("%d bytes", len(b))
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := v.Sync(); err != nil {
		t.Error(err)
	}
}

func TestOpenPart(t *testing.T) {
	content := pattern(3 * page)
	name := newFile(t, content)
	for _, part := range []struct{ off, n, length int }{
		{0, 0, 3 * page},
		{1, 0, 3*page - 1},
		{page, 10, 10},
		{page + 7, page + 1, page + 1},
		{3*page - 1, 1, 1},
		{3 * page, 0, 0},
	} {
		v := open(t, name, os.O_RDONLY, &mapview.Options{Offset: int64(part.off), Length: int64(part.n)})
		if want := content[part.off : part.off+part.length]; !bytes.Equal(v.Bytes(), want) {
			t.Errorf("%+v: %d bytes that are not the %d expected", part, v.Len(), len(want))
		}
	}
}

func TestOpenCreates(t *testing.T) {
	name := filepath.Join(t.TempDir(), "new")
	opt := &mapview.Options{FileSize: int64(page) + 1}
	v, err := mapview.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640|fs.ModeSetuid, opt)
	opened(t, v, err)
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o640 || info.Size() != opt.FileSize || v.Size() != opt.FileSize {
		t.Errorf("mode %v, file of %d bytes, view of %d", info.Mode(), info.Size(), v.Size())
	}
	if blocks := info.Sys().(*syscall.Stat_t).Blocks * 512; blocks < opt.FileSize {
		t.Errorf("%d bytes have blocks", blocks)
	}
	_, err = mapview.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600, nil)
	wantError(t, err, fs.ErrExist, syscall.EEXIST)
}

func TestOpenCreatesPrivately(t *testing.T) {
	name := filepath.Join(t.TempDir(), "new")
	v, err := mapview.OpenFile(name, os.O_RDWR|os.O_CREATE, 0, nil)
	opened(t, v, err)
	if info, err := os.Stat(name); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestOpenTruncates(t *testing.T) {
	name := newFile(t, pattern(page))
	v := open(t, name, os.O_RDWR|os.O_TRUNC, &mapview.Options{FileSize: 10})
	if v.Len() != 10 {
		t.Errorf("length %d", v.Len())
	}
	wantContent(t, name, make([]byte, 10))
}

func TestOpenPrivate(t *testing.T) {
	content := pattern(page)
	name := newFile(t, content)
	v := open(t, name, os.O_RDWR, &mapview.Options{Private: true})
	if n, err := v.WriteAt([]byte("mine"), 5); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	if string(v.Bytes()[5:9]) != "mine" {
		t.Errorf("the view holds %q", v.Bytes()[5:9])
	}
	wantContent(t, name, content)
	wantError(t, v.Sync(), fs.ErrInvalid)
}

func TestMap(t *testing.T) {
	content := pattern(page)
	f, err := os.OpenFile(newFile(t, content), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range []int{os.O_RDONLY, os.O_RDWR} {
		v, err := mapview.Map(f, flag, nil)
		opened(t, v, err)
		if v.Name() != f.Name() || !bytes.Equal(v.Bytes(), content) {
			t.Errorf("name %q, %d bytes", v.Name(), v.Len())
		}
	}
	v, err := mapview.Map(f, os.O_RDWR, nil)
	opened(t, v, err)
	f.Close()
	if _, err := v.WriteAt([]byte{1}, 0); err != nil {
		t.Error(err)
	}
	if err := v.Sync(); err != nil {
		t.Error(err)
	}
}

// The descriptor of a file that Go polls stays non-blocking: Fd would change
// that.
func TestMapLeavesDescriptorAlone(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	_, err = mapview.Map(r, os.O_RDONLY, nil)
	wantError(t, err, syscall.ENODEV)
	conn, err := r.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	conn.Control(func(fd uintptr) {
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0)
		if errno != 0 || flags&syscall.O_NONBLOCK == 0 {
			t.Errorf("flags %#x, %v", flags, errno)
		}
	})
}

func TestMapRefuses(t *testing.T) {
	_, err := mapview.Map(nil, os.O_RDONLY, nil)
	wantError(t, err, fs.ErrInvalid)

	name := newFile(t, pattern(page))
	openOS := func(flag int) *os.File {
		f, err := os.OpenFile(name, flag, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	closed := openOS(os.O_RDWR)
	closed.Close()
	const oPath = 0x200000
	for _, c := range []struct {
		what string
		f    *os.File
		flag int
		want error
	}{
		{"closed", closed, os.O_RDONLY, os.ErrClosed},
		{"read-only", openOS(os.O_RDONLY), os.O_RDWR, fs.ErrPermission},
		{"write-only", openOS(os.O_WRONLY), os.O_RDONLY, fs.ErrPermission},
		{"appending", openOS(os.O_RDWR | os.O_APPEND), os.O_RDWR, fs.ErrInvalid},
		{"path only", openOS(oPath), os.O_RDONLY, syscall.EBADF},
		{"to be created", openOS(os.O_RDWR), os.O_RDWR | os.O_CREATE, fs.ErrInvalid},
		{"to be written only", openOS(os.O_RDWR), os.O_WRONLY, fs.ErrInvalid},
	} {
		t.Run(c.what, func(t *testing.T) {
			_, err := mapview.Map(c.f, c.flag, nil)
			wantError(t, err, c.want)
		})
	}
}

func TestOpenRefusesArguments(t *testing.T) {
	content := pattern(page)
	name := newFile(t, content)
	for _, c := range []struct {
		what string
		flag int
		opt  *mapview.Options
		want error
	}{
		{"O_WRONLY", os.O_WRONLY, nil, fs.ErrInvalid},
		{"O_WRONLY|O_RDWR", os.O_WRONLY | os.O_RDWR, nil, fs.ErrInvalid},
		{"O_APPEND", os.O_RDWR | os.O_APPEND, nil, fs.ErrInvalid},
		{"O_SYNC", os.O_RDWR | os.O_SYNC, nil, fs.ErrInvalid},
		{"unknown flag", os.O_RDWR | 1<<30, nil, fs.ErrInvalid},
		{"O_TRUNC to read", os.O_RDONLY | os.O_TRUNC, nil, fs.ErrInvalid},
		{"O_EXCL alone", os.O_RDWR | os.O_EXCL, nil, fs.ErrInvalid},
		{"negative Offset", os.O_RDWR, &mapview.Options{Offset: -1}, fs.ErrInvalid},
		{"negative Length", os.O_RDWR, &mapview.Options{Length: -1}, fs.ErrInvalid},
		{"negative FileSize", os.O_RDWR, &mapview.Options{FileSize: -1}, fs.ErrInvalid},
		{"negative Reserve", os.O_RDWR, &mapview.Options{Reserve: -1}, fs.ErrInvalid},
		{"Offset past the end", os.O_RDWR, &mapview.Options{Offset: int64(page) + 1}, fs.ErrInvalid},
		{"Length past the end", os.O_RDWR, &mapview.Options{Length: int64(page) + 1}, fs.ErrInvalid},
		{"overflow", os.O_RDWR, &mapview.Options{Offset: 1 << 62, Length: 1 << 62}, syscall.EOVERFLOW},
		{"too much to reserve", os.O_RDWR, &mapview.Options{Reserve: 1 << 62}, syscall.ENOMEM},
		{"FileSize to read", os.O_RDONLY, &mapview.Options{FileSize: 1}, fs.ErrInvalid},
		{"Device without Length", os.O_RDONLY, &mapview.Options{Device: true}, fs.ErrInvalid},
		{"ShareDescription by name", os.O_RDWR, &mapview.Options{ShareDescription: true}, fs.ErrInvalid},
		{"unknown Advice", os.O_RDWR | os.O_TRUNC, &mapview.Options{Advice: 99}, fs.ErrInvalid},
	} {
		t.Run(c.what, func(t *testing.T) {
			v, err := mapview.OpenFile(name, c.flag, 0, c.opt)
			if v != nil {
				t.Error("a View beside an error")
			}
			wantError(t, err, c.want)
			var path *fs.PathError
			if !errors.As(err, &path) || path.Path != name || path.Err.Error() == "" {
				t.Errorf("%#v", err)
			}
			wantContent(t, name, content)
		})
	}
	_, err := mapview.Open("a\x00b")
	wantError(t, err, fs.ErrInvalid)
	_, err = mapview.Open("")
	wantError(t, err, fs.ErrNotExist)
}

func TestOpenRefusesFiles(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := syscall.Mkfifo(in("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", in("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := os.Symlink(in("nothing"), in("dangling")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		want error
	}{
		{dir, syscall.EISDIR},
		{in("fifo"), syscall.ENODEV},
		{in("socket"), syscall.ENXIO},
		{"/dev/null", syscall.ENODEV},
		{"/proc/self/status", syscall.ENODEV},
		{in("nothing"), fs.ErrNotExist},
		{in("dangling"), fs.ErrNotExist},
	} {
		for _, flag := range []int{os.O_RDONLY, os.O_RDWR} {
			if c.name == "/proc/self/status" && flag == os.O_RDWR {
				continue // open(2) itself refuses
			}
			_, err := mapview.OpenFile(c.name, flag, 0, nil)
			wantError(t, err, c.want)
		}
	}
}

func TestOpenSymlink(t *testing.T) {
	name := newFile(t, []byte("x"))
	link := name + ".link"
	if err := os.Symlink(name, link); err != nil {
		t.Fatal(err)
	}
	if v := open(t, link, os.O_RDWR, nil); v.Len() != 1 {
		t.Errorf("length %d", v.Len())
	}
	_, err := mapview.OpenFile(link, os.O_RDWR, 0, &mapview.Options{NoFollow: true})
	wantError(t, err, syscall.ELOOP)
}

func TestOpenDevice(t *testing.T) {
	v := open(t, "/dev/zero", os.O_RDWR, &mapview.Options{Device: true, Length: int64(page), Private: true})
	if n, err := v.WriteAt([]byte{7}, 3); n != 1 || err != nil {
		t.Error(n, err)
	}
	if v.At(3) != 7 || v.At(4) != 0 {
		t.Errorf("bytes %d and %d", v.At(3), v.At(4))
	}
}

func TestOpenWithoutPermission(t *testing.T) {
	name := newFile(t, []byte("x"))
	if err := os.Chmod(name, 0o400); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		// As nobody, on a thread that ends with this test.
		if err := os.Chmod(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		runtime.LockOSThread()
		if err := syscall.Setfsuid(65534); err != nil {
			t.Fatal(err)
		}
		defer syscall.Setfsuid(0)
	}
	_, err := mapview.OpenFile(name, os.O_RDWR, 0, nil)
	wantError(t, err, fs.ErrPermission, syscall.EACCES)
}

func TestOpenAdvice(t *testing.T) {
	name := newFile(t, pattern(page))
	for a := mapview.AdviceNormal; a <= mapview.AdviceNoHuge; a++ {
		v, err := mapview.OpenFile(name, os.O_RDWR, 0, &mapview.Options{Advice: a})
		if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrInvalid) && a >= mapview.AdviceHuge {
			t.Logf("advice %d: this kernel does not know it: %v", a, err)
			continue
		}
		opened(t, v, err)
		// The kernel's names for two of them.
		for flag, of := range map[string]mapview.Advice{"rr": mapview.AdviceRandom, "sr": mapview.AdviceSequential} {
			if flags := smapsOf(t, v)["VmFlags"]; slices.Contains(flags, flag) != (a == of) {
				t.Errorf("advice %d: flags %v", a, flags)
			}
		}
	}
}
