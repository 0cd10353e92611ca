//go:build cgo

package faults

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// What mounts.sh gives: file systems, the disks under them, and ways to spoil
// both.

const variable = "MAPVIEW_FAULTS"

// A place is a file system by its name.
type place string

var places = []place{"ext4", "xfs", "btrfs", "tmpfs", "overlay"}

// lower is the lower layer of overlay.
func (p place) lower(name string) string {
	return filepath.Join(os.Getenv(variable), string(p)+".lower", name)
}

func (p place) path(name string) string { return filepath.Join(os.Getenv(variable), string(p), name) }

func (p place) control() string { return filepath.Join(os.Getenv(variable), string(p)+".ctl") }

// copiesOnWrite tells whether a store to a block that is there may need another.
func (p place) copiesOnWrite() bool { return p == "btrfs" }

// order gives the disk a command.
func (p place) order(t testing.TB, command string) {
	t.Helper()
	f, err := os.OpenFile(p.control(), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(command + "\n"); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
}

func (p place) filler() string { return p.path("filler") }

// fill takes all the room that there is.
func (p place) fill(t testing.TB) {
	t.Helper()
	f, err := os.OpenFile(p.filler(), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// A file system finds a little more room whenever it has written what it
	// has, and keeps some for files that grow, so again until nothing goes in.
	const farAway, keepSize = 1 << 30, 1
	holes := int64(0)
	for more := true; more; p.flush(t) {
		more = false
		for size := 1 << 20; size >= page; size >>= 2 {
			chunk := make([]byte, size)
			more = untilFull(t, func() (int, error) { return f.Write(chunk) }) || more
		}
		more = untilFull(t, func() (int, error) {
			holes++
			return 0, syscall.Fallocate(int(f.Fd()), keepSize, farAway+2*holes*int64(page), int64(page))
		}) || more
	}
}

// untilFull takes room until there is none, and returns whether it got any.
func untilFull(t testing.TB, take func() (int, error)) (more bool) {
	t.Helper()
	for {
		n, err := take()
		more = more || n > 0 || err == nil
		switch {
		case errors.Is(err, syscall.ENOSPC):
			return more
		case err != nil && !errors.Is(err, syscall.EINTR):
			t.Fatal(err)
		}
	}
}

// free gives it back. The file is emptied first, which takes effect at once.
func (p place) free(t testing.TB) {
	t.Helper()
	if err := errors.Join(os.Truncate(p.filler(), 0), os.Remove(p.filler())); err != nil {
		t.Fatal(err)
	}
	p.flush(t)
}

func (p place) flush(t testing.TB) {
	t.Helper()
	if out, err := exec.Command("sync", "-f", p.path("")).CombinedOutput(); err != nil {
		t.Fatalf("sync: %v: %s", err, out)
	}
}

// forget makes the kernel read a file, which nobody has mapped, anew.
func forget(t testing.TB, name string) {
	t.Helper()
	f := openFile(t, name)
	defer f.Close()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	const dontNeed = 4 // POSIX_FADV_DONTNEED
	if _, _, errno := syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), 0, 0, dontNeed, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
}

// punch makes a hole, as somebody else does it.
func punch(t testing.TB, name string, off, n int) {
	t.Helper()
	const keepSizeAndPunch = 1 | 2
	f := openFile(t, name)
	defer f.Close()
	err := syscall.EINTR
	for err == syscall.EINTR {
		err, _ = syscall.Fallocate(int(f.Fd()), keepSizeAndPunch, int64(off), int64(n)).(syscall.Errno)
	}
	if err != 0 {
		t.Fatal(err)
	}
}

// reflink makes a new file whose blocks are those of another.
func reflink(from, to string) error {
	const ficlone = 0x40049409
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), ficlone, source.Fd()); errno != 0 {
		return errno
	}
	return nil
}

// eachPlace runs a test in each of the places that there are.
func eachPlace(t *testing.T, test func(t *testing.T, p place)) {
	t.Helper()
	if os.Getenv(variable) == "" {
		t.Skipf("%s is not set: this needs the file systems of tests/faults/mounts.sh", variable)
	}
	for _, p := range places {
		t.Run(string(p), func(t *testing.T) {
			if info, err := os.Stat(p.path("")); err != nil || !info.IsDir() {
				t.Skip("this file system could not be made here")
			}
			test(t, p)
		})
	}
}

func openFile(t testing.TB, name string) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// create makes a file that holds content, but for its holes, which are pages
// by number, and that is on the disk.
func create(t testing.TB, name string, content []byte, holes ...int) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(int64(len(content))); err != nil {
		t.Fatal(err)
	}
	isHole := map[int]bool{}
	for _, hole := range holes {
		isHole[hole] = true
	}
	for i := 0; i*page < len(content); i++ {
		if isHole[i] {
			continue
		}
		if _, err := f.WriteAt(content[i*page:min((i+1)*page, len(content))], int64(i*page)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}
