// Command report prints the table of the raw texts that the benchmark's runners
// have written.
//
//	report FILE...    prints the table
//
// bench/run does all of it: builds, runs, prints.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := printTable(os.Stdout, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func printTable(w io.Writer, names []string) error {
	r := &report{config: map[string]string{}}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = r.read(f)
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	out := bufio.NewWriter(w)
	if err := writeTable(out, r); err != nil {
		return err
	}
	return out.Flush()
}
