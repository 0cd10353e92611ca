//go:build cgo

package mapview

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// The causes that errors.Is finds beside those of packages os, io/fs and
// syscall.
var (
	// ErrTruncated means that the file ends before this byte: somebody has
	// cut it since the View was opened.
	ErrTruncated = errors.New("the file ends before this byte")

	// ErrNoSpace means that a store found no room on the device. It is
	// syscall.ENOSPC to errors.Is; a used-up quota, which is syscall.EDQUOT,
	// is an ErrNoSpace too.
	ErrNoSpace error = &sysError{syscall.ENOSPC, "no space is left for this byte"}

	errNoQuota error = &sysError{syscall.EDQUOT, "the disk quota leaves no space for this byte"}
)

// A FaultError is an access to a view's memory that could not be done: what
// would have been a crash through a plain pointer.
type FaultError struct {
	Op     string // "read", "write", "access" (see [View.Do]), "probe" or "prefault"
	Path   string // the Name of the View
	Offset int64  // the first byte of the view that could not be accessed
	Err    error  // the cause: ErrTruncated, ErrNoSpace or a syscall.Errno, such as EIO

	address uintptr // of that byte, in a panic of At, for an outer Do to know it; else 0
}

// Error tells all four fields.
func (e *FaultError) Error() string {
	return fmt.Sprintf("%s %s: at byte %d: %v", e.Op, e.Path, e.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *FaultError) Unwrap() error { return e.Err }

// A sysError is a system error with the sentence that explains it here.
type sysError struct {
	errno    syscall.Errno
	sentence string
}

func (e *sysError) Error() string { return e.sentence }
func (e *sysError) Unwrap() error { return e.errno }

// Is adds what syscall.Errno does not answer for by itself.
func (e *sysError) Is(target error) bool {
	switch e.errno {
	case syscall.EINVAL:
		return target == fs.ErrInvalid
	case syscall.EBADF:
		return target == os.ErrClosed
	case syscall.ENOSPC, syscall.EDQUOT:
		return target == ErrNoSpace
	}
	return false
}

// A truncation outside a fault has a sentence too, but no errno.
type truncation struct{ sentence string }

func (e *truncation) Error() string { return e.sentence }
func (e *truncation) Unwrap() error { return ErrTruncated }

// The errors that need no call of the C core to be found.
var (
	errClosed   = &sysError{syscall.EBADF, "the view is closed"}
	errNegative = &sysError{syscall.EINVAL, "the offset is negative"}
	errReadOnly = &sysError{syscall.EACCES, "the view is read-only"}
	errBefore   = &sysError{syscall.EINVAL, "there is no byte before the first"}
	errOutside  = &sysError{syscall.EINVAL, "the position would be negative or leave 63 bits"}
	errWhence   = &sysError{syscall.EINVAL, "whence is none of io.SeekStart, io.SeekCurrent and io.SeekEnd"}
)

// fixedErrors are the errors of a View's accesses, made when the first is needed,
// so that returning one allocates nothing. Nobody writes to them.
type fixedErrors struct {
	readClosed, readNegative, readBefore      fs.PathError
	writeClosed, writeNegative, writeReadOnly fs.PathError
	seekClosed, seekOutside, seekWhence       fs.PathError
	accessClosed                              fs.PathError
}

func (v *View) errs() *fixedErrors {
	if e := v.fixed.Load(); e != nil {
		return e
	}
	v.fixed.CompareAndSwap(nil, newFixedErrors(v.name))
	return v.fixed.Load()
}

func newFixedErrors(name string) *fixedErrors {
	return &fixedErrors{
		readClosed:    fs.PathError{Op: "read", Path: name, Err: errClosed},
		readNegative:  fs.PathError{Op: "read", Path: name, Err: errNegative},
		readBefore:    fs.PathError{Op: "read", Path: name, Err: errBefore},
		writeClosed:   fs.PathError{Op: "write", Path: name, Err: errClosed},
		writeNegative: fs.PathError{Op: "write", Path: name, Err: errNegative},
		writeReadOnly: fs.PathError{Op: "write", Path: name, Err: errReadOnly},
		seekClosed:    fs.PathError{Op: "seek", Path: name, Err: errClosed},
		seekOutside:   fs.PathError{Op: "seek", Path: name, Err: errOutside},
		seekWhence:    fs.PathError{Op: "seek", Path: name, Err: errWhence},
		accessClosed:  fs.PathError{Op: "access", Path: name, Err: errClosed},
	}
}

// A failure is an mv_error.
type failure struct {
	code   int // a positive errno, or codeTruncated
	offset int64
	done   int
	text   string
}

// isExhaustion tells whether freeing addresses or descriptors may help.
func (f *failure) isExhaustion() bool {
	if f == nil {
		return false
	}
	switch syscall.Errno(f.code) {
	case syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE:
		return true
	}
	return false
}

// err returns the failure as the Err of a PathError.
func (f *failure) err() error {
	if f.code == codeTruncated {
		return &truncation{f.text}
	}
	return &sysError{syscall.Errno(f.code), f.text}
}

// pathError returns nil for a nil failure.
func pathError(op, name string, f *failure) error {
	if f == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: f.err()}
}

// invalid is a bad argument that the C core is not asked about.
func invalid(op, name, format string, args ...any) error {
	return &fs.PathError{Op: op, Path: name, Err: &sysError{syscall.EINVAL, fmt.Sprintf(format, args...)}}
}

// faultCause returns what stops a byte, by the code that the C core has for it,
// or nil for a code that is about something else.
func faultCause(code int) error {
	if code == codeTruncated {
		return ErrTruncated
	}
	switch errno := syscall.Errno(code); errno {
	case syscall.ENOSPC:
		return ErrNoSpace
	case syscall.EDQUOT:
		return errNoQuota
	case syscall.EIO, syscall.EACCES, syscall.EFAULT, syscall.EFBIG, syscall.ENOMEM, syscall.ESTALE,
		syscall.EROFS, syscall.EPERM, syscall.EUCLEAN, syscall.EBADMSG, syscall.ENOTCONN, syscall.EAGAIN:
		return errno // of the page, or of the file system under it
	}
	return nil
}

func (v *View) fault(op string, off int64, cause error) error {
	return &FaultError{Op: op, Path: v.name, Offset: off, Err: cause}
}

// accessError is the error of an access that the C core refused or could not
// finish: a FaultError if bytes are to blame.
func (v *View) accessError(op string, f *failure) error {
	if f == nil {
		return nil
	}
	if cause := faultCause(f.code); cause != nil {
		return v.fault(op, f.offset, cause)
	}
	return pathError(op, v.name, f)
}
