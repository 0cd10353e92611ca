// raw.go writes and reads the Go benchmark text format, so that benchstat reads
// the same files as our own table. The C program writes it too.
//
// A line is one variant's part of one round, and the rounds are in order: the
// k-th line of every variant of a block comes from the same round. So whoever
// doubts a ratio of the table can work it out again. Further runs are appended.

package main

import (
	"bufio"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unicode"
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

// A report is what the raw files hold.
type report struct {
	config map[string]string
	groups []*group
	skips  []string
}

// A group is a block as the raw files tell of it.
type group struct {
	name, lang string
	size       int
	series     []*series
}

// A series is one variant: for every unit its values, round by round.
type series struct {
	impl, op string
	again    bool
	values   map[string][]float64
}

func (s *series) String() string { return s.impl + " " + s.op }

func (r *report) read(from io.Reader) error {
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "Benchmark") {
			if err := r.addLine(line); err != nil {
				return fmt.Errorf("%q: %w", line, err)
			}
			continue
		}
		if why, ok := strings.CutPrefix(line, skipLine); ok {
			if !slices.Contains(r.skips, why) { // in each of the runs
				r.skips = append(r.skips, why)
			}
			continue
		}
		key, value, ok := strings.Cut(line, ": ")
		if ok && key != "" && unicode.IsLower(rune(key[0])) && !strings.Contains(key, " ") {
			r.config[key] = value
		}
	}
	return lines.Err()
}

func (r *report) addLine(line string) error {
	fields := strings.Fields(line)
	if len(fields) < 4 || len(fields)%2 != 0 {
		return fmt.Errorf("not a benchmark line")
	}
	keys := nameKeys(fields[0])
	size, err := strconv.Atoi(keys["size"])
	if err != nil {
		return err
	}
	s := r.group(keys["name"], keys["lang"], size).find(keys["impl"], keys["op"], keys["again"] != "")
	for i := 2; i < len(fields); i += 2 {
		value, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return err
		}
		s.values[fields[i+1]] = append(s.values[fields[i+1]], value)
	}
	return nil
}

// nameKeys takes "BenchmarkRead/lang=go/size=4096-1" apart.
func nameKeys(name string) map[string]string {
	if dash := strings.LastIndexByte(name, '-'); dash >= 0 {
		name = name[:dash]
	}
	parts := strings.Split(strings.TrimPrefix(name, "Benchmark"), "/")
	keys := map[string]string{"name": parts[0]}
	for _, part := range parts[1:] {
		key, value, _ := strings.Cut(part, "=")
		keys[key] = value
	}
	return keys
}

func (r *report) group(name, lang string, size int) *group {
	for _, g := range r.groups {
		if g.name == name && g.lang == lang && g.size == size {
			return g
		}
	}
	g := &group{name: name, lang: lang, size: size}
	r.groups = append(r.groups, g)
	return g
}

func (g *group) find(impl, op string, again bool) *series {
	for _, s := range g.series {
		if s.impl == impl && s.op == op && s.again == again {
			return s
		}
	}
	s := &series{impl: impl, op: op, again: again, values: map[string][]float64{}}
	g.series = append(g.series, s)
	return s
}
