// Package csource carries the C sources of mapview. It is not the API: import
// example.com/mapview/go, whose package name is mapview.
//
// The Go package compiles the C core from folders beside its own, which the go
// command does not see by itself: "go mod vendor" would leave them out
// (golang/go#26366), and the build cache would not notice a change in them
// (golang/go#24355). It does see embedded files, so they are embedded here, in
// a blank variable: none of the text gets into a program.
package csource

import "embed"

//go:embed c/*.c c/*.h include/*.h
var _ embed.FS
