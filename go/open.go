//go:build cgo

package mapview

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// Options say what a View shows and how. A nil *Options is the zero value: the
// whole file, shared with everybody who has it open. Sizes are in bytes. A
// negative number is refused.
type Options struct {
	Offset   int64 // the first byte of the file to show, of any alignment
	Length   int64 // how many bytes to show; 0: up to the end of the file
	FileSize int64 // make the file at least this long and allocate its blocks; 0: leave it
	Reserve  int64 // how large the view may become by Resize and Refresh: addresses, no memory; 0: what is shown

	Private  bool // copy on write: stores never reach the file
	NoFollow bool // refuse a name whose last part is a symbolic link
	Device   bool // the file may be a device; Length must be given

	// ShareDescription lets Map share the open file description of its file
	// where none of the view's own can be had. Somebody else's fsync may then
	// consume the error that a Sync of the view should have returned.
	ShareDescription bool

	// Advice says how the whole view will be used. With AdviceRandom WriteAt of
	// a shared view of a file takes a system call, which makes a Sync write the
	// blocks that were written alone, and not megabytes around each: that pays
	// for updates that are scattered and synced. AdviceRewrite is for
	// [View.Advise] alone.
	Advice Advice

	// Resident says that what is shown is in memory and stays there. ReadAt,
	// WriteAt and At then always access it by themselves, and save looking up
	// whether they have to let the kernel bring it in; where it was not in
	// memory, they keep the goroutine's processor as long as they wait. See
	// the package comment on performance. It changes nothing else.
	Resident bool
}

// Open opens the named file for reading. The view shows the whole file, and
// what others write to it. An empty file is a View of size 0.
func Open(name string) (*View, error) {
	return OpenFile(name, os.O_RDONLY, 0, nil)
}

// OpenFile opens the named file. flag is os.O_RDONLY, or os.O_RDWR for a view
// that can be written, with any of os.O_CREATE, os.O_EXCL and os.O_TRUNC. A
// file that it creates gets the permission bits of perm less the umask; 0
// means 0600. A file that is too long for the address space, a directory, a
// pipe and a socket are refused, and a device is without [Options].Device.
//
// [Options].FileSize gives a new file its size, with real blocks, so that a
// full disk is an error here and not a fault at a later store.
func OpenFile(name string, flag int, perm fs.FileMode, opt *Options) (*View, error) {
	return openNamed(name, flag, perm, opt, coreOpen)
}

func openNamed(name string, flag int, perm fs.FileMode, opt *Options, call func([]byte, *plan) (handle, *failure)) (*View, error) {
	const op = "open"
	if refusal := refuseFlag(flag); refusal != "" {
		return nil, invalid(op, name, "%s", refusal)
	}
	cname, err := nameForC(op, name)
	if err != nil {
		return nil, err
	}
	p, err := newPlan(op, name, flag, opt)
	if err != nil {
		return nil, err
	}
	p.mode = uint32(perm.Perm())
	return open(op, name, opt, p, func() (handle, *failure) { return call(cname, p) })
}

// nameForC returns name with a NUL behind it.
func nameForC(op, name string) ([]byte, error) {
	if strings.IndexByte(name, 0) >= 0 {
		return nil, invalid(op, name, "the name holds a NUL byte")
	}
	return append([]byte(name), 0), nil
}

// Map opens the file that f has open. flag is os.O_RDONLY, or os.O_RDWR for a
// view that can be written; f must have been opened for that. f stays the
// caller's, who may close it at once. It is used neither for its position nor
// its blocking mode.
func Map(f *os.File, flag int, opt *Options) (*View, error) {
	const op = "map"
	if f == nil {
		return nil, invalid(op, "", "the file is nil")
	}
	name := f.Name()
	if flag != os.O_RDONLY && flag != os.O_RDWR {
		return nil, invalid(op, name, "Map takes os.O_RDONLY or os.O_RDWR and nothing else")
	}
	p, err := newPlan(op, name, flag, opt)
	if err != nil {
		return nil, err
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return open(op, name, opt, p, func() (c handle, failed *failure) {
		// Control keeps the descriptor from being closed, and its number from
		// becoming another file's, while it is used.
		err := conn.Control(func(fd uintptr) { c, failed = coreOpenFD(fd, p) })
		if err != nil {
			return nil, &failure{code: int(syscall.EBADF), text: "the file is closed"}
		}
		return c, failed
	})
}

// Anonymous returns size bytes of zeros outside of Go's heap, which only this
// process sees. Memory is taken at first touch. Of the options it takes Advice
// and refuses the others.
func Anonymous(size int64, opt *Options) (*View, error) {
	return memory("[anonymous]", size, openPrivate, opt)
}

// NewMemory returns size bytes of zeros that can be passed to another process,
// by [View.File] and exec.Cmd.ExtraFiles, which maps them with [Map]. Memory
// is taken at first touch. Of the options it takes Advice and Reserve, which
// lets the memory grow to that size, and refuses the others.
func NewMemory(size int64, opt *Options) (*View, error) {
	const name = "[memory]"
	if opt != nil && opt.Private {
		return nil, invalid("open", name, "memory to pass on cannot be private; see Anonymous")
	}
	return memory(name, size, 0, opt)
}

func memory(name string, size int64, flags uint64, opt *Options) (*View, error) {
	const op = "open"
	if size < 0 {
		return nil, invalid(op, name, "the size is negative")
	}
	p, err := newPlan(op, name, os.O_RDWR, opt)
	if err != nil {
		return nil, err
	}
	p.flags |= flags
	p.heated = false
	return open(op, name, opt, p, func() (handle, *failure) { return coreAnonymous(size, p) })
}

// open calls the C core, again if addresses ran out that garbage may hold.
func open(op, name string, opt *Options, p *plan, call func() (handle, *failure)) (*View, error) {
	c, f := call()
	if f.isExhaustion() {
		collect()
		c, f = call()
	}
	if f.isExhaustion() && empty() {
		c, f = call()
	}
	if f != nil {
		return nil, pathError(op, name, f)
	}
	v := newView(name, c, p)
	v.life.opened.record()
	if opt == nil || isOpenFlag(opt.Advice) {
		return v, nil
	}
	// A hint that the kernel does not know changes nothing.
	if err := v.Advise(0, ToEnd, opt.Advice); err != nil && !errors.Is(err, syscall.EOPNOTSUPP) {
		v.Close()
		return nil, err
	}
	return v, nil
}

// refuseFlag returns why flag is refused, or "".
func refuseFlag(flag int) string {
	const known = os.O_RDWR | os.O_CREATE | os.O_EXCL | os.O_TRUNC
	switch {
	case flag&os.O_WRONLY != 0:
		return "memory cannot be only written: use os.O_RDWR instead of os.O_WRONLY"
	case flag&os.O_APPEND != 0:
		return "memory has no end to append to: leave os.O_APPEND out, and see View.Resize"
	case flag&^known != 0:
		return "a view takes os.O_RDONLY or os.O_RDWR, with os.O_CREATE, os.O_EXCL and os.O_TRUNC, and nothing else"
	}
	return ""
}

// newPlan translates what OpenFile, Map and memory have in common.
func newPlan(op, name string, flag int, opt *Options) (*plan, error) {
	if opt == nil {
		opt = &Options{}
	}
	for _, n := range [...]struct {
		field string
		value int64
	}{
		{"Offset", opt.Offset}, {"Length", opt.Length}, {"FileSize", opt.FileSize}, {"Reserve", opt.Reserve},
	} {
		if n.value < 0 {
			return nil, invalid(op, name, "Options.%s is negative", n.field)
		}
	}
	switch { // now: the file may be emptied later
	case opt.Advice == AdviceRewrite:
		return nil, invalid(op, name, "Options.Advice is AdviceRewrite, which is for View.Advise alone")
	case opt.Advice > AdviceRewrite:
		return nil, invalid(op, name, "Options.Advice is %d, which is none", opt.Advice)
	}
	p := &plan{offset: opt.Offset, length: opt.Length, fileSize: opt.FileSize, reserve: opt.Reserve}
	p.heated = !opt.Resident && !opt.Device
	p.flags = openNoHandler // faults are caught in Go: see View.copy and Do
	for _, b := range [...]struct {
		asked bool
		flag  uint64
	}{
		{flag&os.O_RDWR != 0, openWrite},
		{flag&os.O_CREATE != 0, openCreate},
		{flag&os.O_EXCL != 0, openExclusive},
		{flag&os.O_TRUNC != 0, openTruncate},
		{opt.Private, openPrivate},
		{opt.NoFollow, openNoFollow},
		{opt.Device, openDevice},
		{opt.ShareDescription, openShareDescription},
		{opt.Advice == AdviceRandom, openRandom},
		{opt.Advice == AdviceSequential, openSequential},
	} {
		if b.asked {
			p.flags |= b.flag
		}
	}
	return p, nil
}

// isOpenFlag tells whether the advice was given as a flag when opening.
func isOpenFlag(a Advice) bool {
	return a == AdviceNormal || a == AdviceRandom || a == AdviceSequential
}
