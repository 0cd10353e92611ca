// Command bench measures mapview's Go package beside other ways to a file.
//
//	bench -list                            names the rows: NAME, short or full, SECONDS, TITLE, between tabs
//	bench -dir DIR -row NAME -seconds S    measures the row, with files in DIR, and prints its raw text
//	      -delayed CTL                     with DIR on the fault disk that takes commands at CTL: for the row Delayed
//	      -run TEXT                        what the progress line begins with
//
// bench/run does all of it: builds, runs all languages, and has report/ print the table.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	var (
		listed  = flag.Bool("list", false, "list the rows")
		dir     = flag.String("dir", "", "folder for the files that are read and written")
		name    = flag.String("row", "", "the row to measure")
		seconds = flag.Float64("seconds", 20, "about how long to measure")
		run     = flag.String("run", "", "what the progress line begins with")
		delayed = flag.String("delayed", "", "where the fault disk under dir takes commands (see tests/faults/disk.c)")
	)
	flag.Parse()
	s := &scene{dir: *dir, processors: runtime.NumCPU(), delayed: *delayed, largest: 256 << 20, progress: newProgress(*run)}
	var err error
	switch {
	case *listed && flag.NArg() == 0:
		err = list(os.Stdout)
	case *dir == "" || *name == "" || flag.NArg() > 0:
		flag.Usage()
		os.Exit(2)
	default:
		err = measureNamed(os.Stdout, *name, s, time.Duration(*seconds*float64(time.Second)))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func measureNamed(w io.Writer, name string, s *scene, budget time.Duration) error {
	r, err := rowNamed(name)
	if err != nil {
		return err
	}
	return r.measure(w, s, budget)
}

// isWanted tells whether a block is to be measured. With BENCH_ONLY=FILE that are
// those whose names stand in the file, a line each, as "Read/lang=go/size=4096".
func isWanted(name string) (bool, error) {
	file := os.Getenv("BENCH_ONLY")
	if file == "" {
		return true, nil
	}
	text, err := os.ReadFile(file)
	return slices.Contains(strings.Split(string(text), "\n"), strings.TrimPrefix(name, "Benchmark")), err
}

func measureOne(w io.Writer, open func() (*block, error), budget time.Duration, p *progress) error {
	b, err := open()
	var why skip
	if errors.As(err, &why) {
		_, err := fmt.Fprintf(w, "%s%s\n", skipLine, string(why))
		return err
	}
	if err != nil {
		return err
	}
	title := fmt.Sprintf("Go, %s %d%s", b.name, b.size, b.keys)
	p.title = title
	wanted, err := isWanted(b.fullName())
	if wanted && err == nil {
		err = b.print(w, budget, p)
	}
	if closed := b.close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("%s: %w", title, err)
	}
	runtime.GC()
	return nil
}

func (b *block) print(w io.Writer, budget time.Duration, p *progress) error {
	samples, err := b.measure(budget, p.round)
	if err == nil {
		err = writeHead(w, b)
	}
	if err == nil {
		err = writeSamples(w, b, samples)
	}
	return err
}
