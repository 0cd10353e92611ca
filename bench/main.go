// Command bench reruns the notes' benchmark of mapped files in Go.
//
//	bench -dir DIR -seconds S    measures, with files in DIR, and prints the raw text
//	bench -dir DIR -delayed CTL  measures cold reads alone, with DIR on the fault
//	                             disk that takes commands at CTL
//
// bench/run does all of it: builds, runs both languages, and has report/ print the table.
package main

import (
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
	flag.Parse()
	var err error
	switch {
	case *dir != "" && *delayed != "" && flag.NArg() == 0:
		err = measureDelayed(os.Stdout, *dir, *delayed, newProgress(*run))
	case *dir != "" && flag.NArg() == 0:
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
	p.title = fmt.Sprintf("Go, %s %d", b.name, b.size)
	samples, err := b.measure(budget, p.round)
	if err == nil {
		err = writeSamples(w, b, samples)
	}
	if closed := b.close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.title, err)
	}
	runtime.GC()
	return nil
}
