//go:build !cgo

package mapview

// Without cgo the build stops here, and this line is all that it prints.
var _ = mapview_needs_cgo__install_a_C_compiler_and_set_CGO_ENABLED_1
