// residence.go looks at what the page cache holds of a file, so that a row can
// state it.

package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

const pageSize = 4096

// residentPages counts the pages of f's first n bytes that are in memory.
func residentPages(f *os.File, n int) (int, error) {
	m, err := unix.Mmap(int(f.Fd()), 0, n, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, os.NewSyscallError("mmap", err)
	}
	defer unix.Munmap(m)
	resident := make([]byte, (n+pageSize-1)/pageSize)
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)),
		uintptr(unsafe.Pointer(&resident[0])))
	if errno != 0 {
		return 0, os.NewSyscallError("mincore", errno)
	}
	return len(resident) - bytes.Count(resident, []byte{0}), nil
}

// folioKiB tells how large the folios of f's first n bytes are, by how many faults
// it takes to make all of it writable: one each, if the folio lies within one table
// of pages. So the mapping begins at a multiple of 2 MiB. What that dirties is
// synced.
func folioKiB(f *os.File, n int) (int, error) {
	all, at, err := reserve(n)
	if err != nil {
		return 0, err
	}
	defer unix.Munmap(all)
	_, _, errno := unix.Syscall6(unix.SYS_MMAP, addressOf(at), uintptr(n), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_SHARED|unix.MAP_FIXED, f.Fd(), 0)
	if errno != 0 {
		return 0, os.NewSyscallError("mmap", errno)
	}
	runtime.LockOSThread() // the runtime faults, too, on other threads
	defer runtime.UnlockOSThread()
	before := faultsOf(unix.RUSAGE_THREAD)
	if err := unix.Madvise(at[:n], unix.MADV_POPULATE_WRITE); err != nil {
		return 0, os.NewSyscallError("madvise(MADV_POPULATE_WRITE)", err)
	}
	took := faultsOf(unix.RUSAGE_THREAD) - before
	return (n + pageSize - 1) / pageSize * pageSize / 1024 / int(max(took, 1)), f.Sync()
}

// reserve maps memory with n bytes in it that begin at a multiple of a huge page.
func reserve(n int) (all, at []byte, err error) {
	n = (n + hugePage - 1) &^ (hugePage - 1)
	all, err = unix.Mmap(-1, 0, n+hugePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	skip := -int(addressOf(all)) & (hugePage - 1)
	return all, all[skip : skip+n], nil
}

// smapsKiB adds up a field of /proc/self/smaps over the mappings that hold a part
// of m.
func smapsKiB(m []byte, fields ...string) (int, error) {
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return 0, err
	}
	from := uintptr(unsafe.Pointer(&m[0]))
	to := from + uintptr(len(m))
	sum, inside := 0, false
	for _, line := range strings.Split(string(text), "\n") {
		var first, end uintptr
		if n, _ := fmt.Sscanf(line, "%x-%x ", &first, &end); n == 2 {
			inside = first < to && from < end
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !inside {
			continue
		}
		for _, field := range fields {
			if name == field {
				kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
				if err != nil {
					return 0, fmt.Errorf("smaps: %q: %w", line, err)
				}
				sum += kib
			}
		}
	}
	return sum, nil
}

// fileState states what is in memory of the file, and how large its folios are.
func fileState(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	n := int(info.Size())
	resident, err := residentPages(f, n)
	if err != nil {
		return "", err
	}
	state := fmt.Sprintf("%d of %d pages in memory, by mincore", resident, (n+pageSize-1)/pageSize)
	folio, err := folioKiB(f, n)
	if err != nil {
		return state + "; folios not known: " + err.Error(), nil
	}
	return fmt.Sprintf("%s; folios of %d KiB, by the faults of MADV_POPULATE_WRITE; synced", state, folio), nil
}

func addressOf(m []byte) uintptr { return uintptr(unsafe.Pointer(&m[0])) }
