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
		for k := range round {
			v := &b.variants[k]
			if _, err := fmt.Fprintf(w, "%s\t%s\n", lineName(b, v), b.units(v, &round[k])); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeHead tells what the block is about, and what state it found.
func writeHead(w io.Writer, b *block) error {
	for _, line := range [][2]string{{"Row", b.title}, {"State", b.state}} {
		if line[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s %s\t%s\n", line[0], b.fullName(), line[1]); err != nil {
			return err
		}
	}
	return nil
}

// units returns the ops of a sample and what one of them took.
func (b *block) units(v *variant, s *sample) string {
	if b.cold != nil {
		return s.coldUnits()
	}
	each, moved := 1, accesses*b.size*max(v.goroutines, 1)
	if b.each > 0 {
		each, moved = b.each, b.size
	}
	ops := s.ops * each
	ns := float64(s.time.Nanoseconds()) / float64(ops)
	mbs := float64(moved) / ns * 1000
	extra := ""
	if v.tally != nil { // no byte moved: no speed
		mbs = 0
		extra = fmt.Sprintf("\t%d reads/op\t%d first-reads", s.tally.reads/(s.ops+1), v.tally.first)
	}
	if b.each > 0 {
		extra = fmt.Sprintf("\t%.5f faults/op", float64(s.faults)/float64((s.ops+1)*each))
	}
	if s.deviceBytes > 0 {
		extra += fmt.Sprintf("\t%.0f dev-B/op", s.deviceBytes/float64((s.ops+1)*each))
	}
	return fmt.Sprintf("%d\t%.*f ns/op\t%.2f MB/s\t%d B/op\t%d allocs/op%s",
		ops, digits(b), ns, mbs, s.bytes/uint64(each), s.allocs/uint64(each), extra)
}

func digits(b *block) int {
	if b.each > 0 {
		return 3
	}
	return 1
}

func (s *sample) coldUnits() string {
	text := fmt.Sprintf("%d\t%.1f ns/op\t%.0f touches/s\t%d p99-gap-us", s.ops, float64(s.time.Nanoseconds()),
		accesses/s.time.Seconds(), s.gap.Microseconds())
	for i, q := range quantiles {
		text += fmt.Sprintf("\t%d %s", s.latency[i].Nanoseconds(), q.unit)
	}
	return text
}

// lineName ends in the number of processors used, as testing.B would say.
func lineName(b *block, v *variant) string {
	again := ""
	if v.again {
		again = "/again=1"
	}
	return fmt.Sprintf("Benchmark%s/lang=go/impl=%s/op=%s/size=%d%s%s-%d", b.name, v.impl, v.op, b.size, b.keys, again,
		runtime.GOMAXPROCS(0))
}

// fullName is what the block's lines have in common.
func (b *block) fullName() string {
	return fmt.Sprintf("Benchmark%s/lang=go/size=%d%s", b.name, b.size, b.keys)
}

// skipLine begins the line that tells of a block that was not measured. It is
// nothing to benchstat.
const skipLine = "SKIPPED "
