// progress.go tells on standard error how far the run is.

package main

import (
	"fmt"
	"os"
	"time"
)

// A progress overwrites one line on a terminal. Elsewhere it is silent: bench/run
// prints a line for each run.
type progress struct {
	terminal   bool
	run, title string
	last       time.Time
}

func newProgress(run string) *progress {
	info, err := os.Stderr.Stat()
	return &progress{terminal: err == nil && info.Mode()&os.ModeCharDevice != 0, run: run}
}

// round prints ten times a second at most: writing takes time, too.
func (p *progress) round(round, of int) {
	if p.terminal && time.Since(p.last) > 100*time.Millisecond {
		fmt.Fprintf(os.Stderr, "\r\033[K%s%s, round %d of %d", p.run, p.title, round, of)
		p.last = time.Now()
	}
}

func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(os.Stderr, "\r\033[K")
	}
}
