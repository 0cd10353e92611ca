// Command report has the benchmark's runners run and tells what they measured.
//
//	report table RAW...              prints the table of raw texts, or of folders of them
//	report measure ... NAME=RUNNER   runs rows and keeps their raw text: see drive.go
//	report results ... RAW           writes the results page and its charts: see results.go
//	report agree RAW RAW             compares the ratios of two runs: see agree.go
//	report compare ... NAME=OLD,NEW  two builds of the runners in turns: see compare.go
//
// bench/run calls it, after it has built everything.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
)

// A usageError is about the command line.
type usageError string

func (e usageError) Error() string { return string(e) }

func main() {
	out := bufio.NewWriter(os.Stdout)
	err := command(out, os.Args[1:])
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	var usage usageError
	var ended endedBy
	switch {
	case errors.As(err, &ended):
		os.Exit(128 + int(ended))
	case errors.As(err, &usage):
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func command(w io.Writer, args []string) error {
	if len(args) == 0 {
		return usageError("report table|measure|results|agree|compare ...")
	}
	name, args := args[0], args[1:]
	switch {
	case name == "table" && len(args) > 0:
		return printTable(w, args)
	case name == "measure":
		return measureCommand(w, args)
	case name == "results":
		return resultsCommand(w, args)
	case name == "agree" && len(args) == 2:
		return printAgreement(w, args[0], args[1])
	case name == "compare":
		return compareCommand(w, args)
	}
	return usageError(fmt.Sprintf("report does not know %q with %d arguments", name, len(args)))
}
