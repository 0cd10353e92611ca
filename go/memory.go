//go:build cgo

package mapview

import "io/fs"

// OpenMemory opens the shared memory of that name, which every process can
// find: what shm_open opens in C. The name is a slash and 1 to 255 bytes that
// are no slash. The memory stays until [RemoveMemory], or until the machine
// stops; closing the View ends nothing.
//
// It is otherwise as [OpenFile]: flag is os.O_RDONLY or os.O_RDWR, with any of
// os.O_CREATE, os.O_EXCL and os.O_TRUNC, and a new memory gets the permission
// bits of perm less the umask; 0 means 0600. [Options].FileSize makes the memory
// at least that long; of processes that open it beside each other with
// os.O_CREATE and a FileSize, each gets all of it. What FileSize and
// [View.Resize] add is taken from the machine then, not at first touch, so that
// it cannot run out at a store. NoFollow, which is implied, Device and
// ShareDescription are refused.
func OpenMemory(name string, flag int, perm fs.FileMode, opt *Options) (*View, error) {
	return openNamed(name, flag, perm, opt, func(cname []byte, p *plan) (handle, *failure) {
		p.heated = false
		return coreMemory(cname, p)
	})
}

// RemoveMemory removes the name of shared memory, as shm_unlink does. Views of
// it stay, and the memory goes with the last of them. If no memory has that name
// the error is fs.ErrNotExist.
func RemoveMemory(name string) error {
	const op = "remove"
	cname, err := nameForC(op, name)
	if err != nil {
		return err
	}
	return pathError(op, name, coreUnlinkMemory(cname))
}
