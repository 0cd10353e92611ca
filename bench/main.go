// Command bench reruns the notes' benchmark of mapped files in Go.
//
//	bench -dir DIR -seconds S    measures, with files in DIR, and prints the raw text
//	bench -dir DIR -delayed CTL  measures cold reads alone, with DIR on the fault
//	                             disk that takes commands at CTL
//	bench -table FILE...         prints the table of raw texts, of Go and of C
//
// bench/run does all of it: builds, runs both languages, prints the table.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

func main() {
	dir := flag.String("dir", "", "folder for the files that are read and written")
	seconds := flag.Float64("seconds", 20, "about how long to measure")
	run := flag.String("run", "", "what the progress line begins with")
	delayed := flag.String("delayed", "", "where the fault disk under dir takes commands (see tests/faults/disk.c)")
	table := flag.Bool("table", false, "print the table of the raw texts named")
	flag.Parse()
	var err error
	switch {
	case *table && flag.NArg() > 0:
		err = printTable(os.Stdout, flag.Args())
	case !*table && *dir != "" && *delayed != "" && flag.NArg() == 0:
		err = measureDelayed(os.Stdout, *dir, *delayed, newProgress(*run))
	case !*table && *dir != "" && flag.NArg() == 0:
		err = measureAll(os.Stdout, *dir, time.Duration(*seconds*float64(time.Second)), newProgress(*run))
	default:
		flag.Usage()
		os.Exit(2)
	}
	if err != nil {
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

// plan opens the blocks in the order of the table. Reading and writing have a
// file each, so that what is read stays what makeFile returned.
func plan(readPath, writePath string, content []byte, processors int) []func() (*block, error) {
	return []func() (*block, error){
		func() (*block, error) { return openPublished(readPath) },
		func() (*block, error) { return openRead(readPath, content, 4096) },
		func() (*block, error) { return openRead(readPath, content, 1024) },
		func() (*block, error) { return openWrite(writePath, 4096) },
		func() (*block, error) { return openWrite(writePath, 1024) },
		func() (*block, error) { return openWriteSync(writePath, 4096) },
		func() (*block, error) { return openGuard(readPath, content, 1) },
		func() (*block, error) { return openGuard(readPath, content, 64) },
		func() (*block, error) { return openGuard(readPath, content, 1024) },
		func() (*block, error) { return openGuard(readPath, content, 4096) },
		func() (*block, error) { return openHot(readPath, content, 64) },
		func() (*block, error) { return openHot(readPath, content, 4096) },
		func() (*block, error) { return openOpenClose(readPath, content, 64) },
		func() (*block, error) { return openCold("Cold", filepath.Dir(readPath), 256<<20, processors, nil) },
		func() (*block, error) { return openTogether(readPath, content, 64, processors) },
		func() (*block, error) { return openTogether(readPath, content, 4096, processors) },
	}
}

func measureAll(w io.Writer, dir string, budget time.Duration, p *progress) error {
	runtime.GOMAXPROCS(1) // what the collector does is the variant's own time
	readPath, writePath := filepath.Join(dir, "go-read"), filepath.Join(dir, "go-write")
	content, err := makeFile(readPath, 1)
	if err != nil {
		return err
	}
	if _, err := makeFile(writePath, 2); err != nil {
		return err
	}
	blocks := plan(readPath, writePath, content, runtime.NumCPU())
	defer p.clear()
	for _, open := range blocks {
		if err := measureOne(w, open, budget/time.Duration(len(blocks)), p); err != nil {
			return err
		}
	}
	return nil
}

// measureDelayed has a disk of which every read takes a millisecond more.
func measureDelayed(w io.Writer, dir, ctl string, p *progress) error {
	defer p.clear()
	return measureOne(w, func() (*block, error) {
		return openCold("Delayed", dir, 24<<20, runtime.NumCPU(), func() error {
			return os.WriteFile(ctl, []byte("delay 1000\n"), 0)
		})
	}, 3*time.Second, p)
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
	g := group{name: b.name, lang: "go", size: b.size}
	p.title = fmt.Sprintf("Go, %s %d", b.name, b.size)
	samples, err := b.measure(budget, p.round)
	if err == nil {
		err = writeSamples(w, b, samples)
	}
	if closed := b.close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("%s: %w", g.title(), err)
	}
	runtime.GC()
	return nil
}
