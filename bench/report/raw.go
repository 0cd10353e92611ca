// raw.go reads the Go benchmark text format, which the runners write: so benchstat
// reads the same files as our own table.
//
// A line is one variant's part of one round, and the rounds are in order: the
// k-th line of every variant of a block comes from the same round. So whoever
// doubts a ratio of the table can work it out again. Further runs are appended.

package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

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
