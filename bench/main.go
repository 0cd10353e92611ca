// Command bench measures mapview's Go package beside other ways to a file.
//
//	bench -list                            names the rows: NAME, short or full, SECONDS, TITLE, between tabs
//	bench -dir DIR -row NAME -seconds S    measures the row, with files in DIR, and prints its raw text
//	bench -dir DIR -seconds S              measures all rows
//	bench -dir DIR -delayed CTL            measures the row Delayed, with DIR on the
//	                                       fault disk that takes commands at CTL
//
// bench/run does all of it: builds, runs both languages, and has report/ print the table.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
)

func main() {
	var (
		listed  = flag.Bool("list", false, "list the rows")
		dir     = flag.String("dir", "", "folder for the files that are read and written")
		name    = flag.String("row", "", "measure this row alone")
		seconds = flag.Float64("seconds", 20, "about how long to measure")
		run     = flag.String("run", "", "what the progress line begins with")
		delayed = flag.String("delayed", "", "where the fault disk under dir takes commands (see tests/faults/disk.c)")
	)
	flag.Parse()
	budget := time.Duration(*seconds * float64(time.Second))
	s := &scene{dir: *dir, processors: runtime.NumCPU(), delayed: *delayed, largest: 256 << 20, progress: newProgress(*run)}
	if *name == "" && *delayed != "" {
		*name = "Delayed"
	}
	var err error
	switch {
	case *listed && flag.NArg() == 0:
		err = list(os.Stdout)
	case *dir == "" || flag.NArg() > 0:
		flag.Usage()
		os.Exit(2)
	case *name != "":
		err = measureNamed(os.Stdout, *name, s, budget)
	default:
		err = measureAll(os.Stdout, s, budget)
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

// measureAll shares out the budget as the rows need it.
func measureAll(w io.Writer, s *scene, budget time.Duration) error {
	all := 0.0
	for _, r := range rows {
		all += r.seconds
	}
	for i := range rows {
		if err := rows[i].measure(w, s, time.Duration(float64(budget)*rows[i].seconds/all)); err != nil {
			return err
		}
	}
	return nil
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
	samples, err := b.measure(budget, p.round)
	if err == nil {
		err = writeHead(w, b)
	}
	if err == nil {
		err = writeSamples(w, b, samples)
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
