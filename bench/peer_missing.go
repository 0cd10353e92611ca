//go:build !mmapfile

package main

// Said wherever the peers are measured.
const mmapfileMissing = "peer mmapfile: go.dw1.io/mmapfile is not built in; peer_mmapfile.go says how"

func init() { missing = append(missing, mmapfileMissing) }
