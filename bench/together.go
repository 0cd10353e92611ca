// together.go does the passes of a variant on several goroutines at once.

package main

import (
	"sync/atomic"
	"time"
)

// A part is what one of the goroutines did.
type part struct {
	start, end time.Time
	err        error
}

// together does ops passes on a goroutine for each buffer, which has a processor
// of its own. The time is from the first one's start to the last one's end.
func together(pass func([]byte, int) error, bufs [][]byte, stride, ops int) (sample, error) {
	var ready atomic.Int32
	gate := make(chan struct{}) // nobody allocates before that is counted
	ended := make(chan part, len(bufs))
	for i, buf := range bufs {
		go func() {
			<-gate
			var p part
			err := onProcessor(i, func() {
				p.err = pass(buf, stride)
				for ready.Add(1); int(ready.Load()) < len(bufs); {
				}
				p.run(pass, buf, stride, ops)
			})
			if err != nil { // and the others must not wait
				ready.Add(1)
				p.err = err
			}
			ended <- p
		}()
	}
	was := allocated()
	close(gate)
	took, err := span(ended, len(bufs))
	s := sample{ops: ops, time: took}
	s.allocatedSince(was, (ops+1)*len(bufs))
	return s, err
}

// run is what is timed. Before it, each has made a pass, which brings back the
// caches of its processor, and has waited for the others.
func (p *part) run(pass func([]byte, int) error, buf []byte, stride, ops int) {
	p.start = time.Now()
	for i := 0; i < ops && p.err == nil; i++ {
		p.err = pass(buf, stride)
	}
	p.end = time.Now()
}

// span waits for n parts and returns the time that they took together.
func span(ended <-chan part, n int) (time.Duration, error) {
	all := <-ended
	for range n - 1 {
		p := <-ended
		if p.start.Before(all.start) {
			all.start = p.start
		}
		if p.end.After(all.end) {
			all.end = p.end
		}
		if all.err == nil {
			all.err = p.err
		}
	}
	return all.end.Sub(all.start), all.err
}
