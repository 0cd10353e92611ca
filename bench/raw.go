// raw.go writes the Go benchmark text format, so that benchstat reads the same
// files as our own table, which report/ prints. The C program writes it too.
//
// A line is one variant's part of one round, and the rounds are in order: the
// k-th line of every variant of a block comes from the same round. So whoever
// doubts a ratio of the table can work it out again. Further runs are appended.

package main

import (
	"fmt"
	"io"
	"runtime"
)

func writeSamples(w io.Writer, b *block, samples [][]sample) error {
	for _, round := range samples {
		for k, s := range round {
			v := &b.variants[k]
			if b.cold != nil {
				_, err := fmt.Fprintf(w, "%s\t%d\t%.1f ns/op\t%d p99-gap-us\n", lineName(b, v), s.ops,
					float64(s.time.Nanoseconds()), s.gap.Microseconds())
				if err != nil {
					return err
				}
				continue
			}
			ns := float64(s.time.Nanoseconds()) / float64(s.ops)
			mbs := float64(accesses*b.size*max(v.goroutines, 1)) / ns * 1000
			extra := ""
			if v.tally != nil { // no byte moved: no speed
				mbs = 0
				extra = fmt.Sprintf("\t%d reads/op\t%d first-reads", s.tally.reads/(s.ops+1), v.tally.first)
			}
			_, err := fmt.Fprintf(w, "%s\t%d\t%.1f ns/op\t%.2f MB/s\t%d B/op\t%d allocs/op%s\n",
				lineName(b, v), s.ops, ns, mbs, s.bytes, s.allocs, extra)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// lineName ends in the number of processors used, as testing.B would say.
func lineName(b *block, v *variant) string {
	again := ""
	if v.again {
		again = "/again=1"
	}
	return fmt.Sprintf("Benchmark%s/lang=go/impl=%s/op=%s/size=%d%s-%d", b.name, v.impl, v.op, b.size, again,
		runtime.GOMAXPROCS(0))
}

// skipLine begins the line that tells of a block that was not measured. It is
// nothing to benchstat.
const skipLine = "SKIPPED "
