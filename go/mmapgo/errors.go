package mmap

import (
	"os"
	"syscall"
)

// A refusal is an error that needs no system call to be found. It is all of is
// to errors.Is.
type refusal struct {
	sentence string
	is       []error
}

func (r *refusal) Error() string   { return r.sentence }
func (r *refusal) Unwrap() []error { return r.is }

// Two of the sentences are those of the package that this one stands in for.
var (
	errOffset = &refusal{
		"offset parameter must be a multiple of the system's page size",
		[]error{syscall.EINVAL, os.ErrInvalid}}
	errLength = &refusal{
		"anonymous mapping requires non-zero length",
		[]error{syscall.EINVAL, os.ErrInvalid}}
	errExec = &refusal{
		"mmap: EXEC is refused: mapview maps no executable memory",
		[]error{syscall.ENOTSUP}}
	errNotMapped = &refusal{
		"mmap: the slice is not mapped: it has been unmapped, or Map did not return it",
		[]error{syscall.EINVAL, os.ErrInvalid, os.ErrClosed}}
	errPart = &refusal{
		"mmap: only the whole slice that Map returned can be unmapped, not a part of it",
		[]error{syscall.EINVAL, os.ErrInvalid}}
)
