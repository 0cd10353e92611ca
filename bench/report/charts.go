// charts.go draws the charts, by gnuplot, from tables that it writes beside them.

package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A chart is lines over x, or bars where x is words.
type chart struct {
	name, title    string // "once": once.tsv and once.svg
	xTitle, yTitle string
	words          []string // of the bars
	lines          []chartLine
	logX, logY     bool
	marks          []chartMark
	percentiles    bool
	caption        string // what to see in it
}

type chartLine struct {
	title  string
	points [][2]float64
}

// A chartMark is an upright line at x with a word.
type chartMark struct {
	x    float64
	text string
}

func sortedBySize(groups []*group) []*group {
	groups = slices.Clone(groups)
	slices.SortStableFunc(groups, func(a, b *group) int { return cmp.Compare(a.size, b.size) })
	return groups
}

// A curve is what a line of a chart over size shows.
type curve struct{ title, pattern string }

// overSize makes lines of the blocks, one point a size; value is from a variant.
func overSize(r *report, blocks string, curves []curve, value func(*group, *series) float64) ([]chartLine, error) {
	groups := sortedBySize(r.blocks(blocks))
	if len(groups) < 2 {
		return nil, missing("the run has not two sizes of " + blocks)
	}
	var lines []chartLine
	for _, c := range curves {
		line := chartLine{title: c.title}
		for _, g := range groups {
			if s, err := g.pick(c.pattern); err == nil {
				line.points = append(line.points, [2]float64{float64(g.size), value(g, s)})
			}
		}
		if len(line.points) > 0 {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

func nsOf(_ *group, s *series) float64 { return s.ns() }

// speedOf is in MB/s.
func speedOf(g *group, s *series) float64 {
	if s.values["MB/s"] != nil {
		return median(s.values["MB/s"])
	}
	return float64(g.size) / s.ns() * 1000
}

// charts makes all that the run has rows for; the others are told as missing.
func charts(r *report) (made []chart, lacks []error, err error) {
	for _, make := range []func(*report) (chart, error){limitChart, copyChart, onceChart, speedChart, coldChart} {
		c, err := make(r)
		if err != nil {
			if _, ok := err.(missing); !ok {
				return nil, nil, err
			}
			lacks = append(lacks, err)
			continue
		}
		made = append(made, c)
	}
	return made, lacks, nil
}

// limitChart has bars: time divided by the limit's.
func limitChart(r *report) (chart, error) {
	c := chart{name: "limit", title: "Time divided by that of the physical limit (1 is a copy within memory)", yTitle: "times the limit", logY: true,
		caption: "Bars that end at 1 are as fast as the memory is. A mapping is, at every size; a system call for each access is not."}
	curves := []curve{{"mapview", "mapview mv_read|mapview mv_write"}, {"mmap by hand", "mmap memcpy"}, {"pread, pwrite", "libc pread|libc pwrite"}}
	c.lines = make([]chartLine, len(curves))
	for _, access := range []string{"read", "write"} {
		for _, size := range []int{64, 4096, 65536, 1 << 20} {
			g, err := r.block(fmt.Sprintf("Copy/lang=c/size=%d/access=%s/pattern=rand", size, access))
			if err != nil {
				return c, err
			}
			limit, err := g.pick("memory *")
			if err != nil {
				return c, err
			}
			c.words = append(c.words, access+" "+bytesText(size))
			for i, curve := range curves {
				s, err := g.pick(curve.pattern)
				if err != nil {
					return c, err
				}
				x, err := g.ratio(s, limit)
				if err != nil {
					return c, err
				}
				c.lines[i].title = curve.title
				c.lines[i].points = append(c.lines[i].points, [2]float64{float64(len(c.words) - 1), x.middle})
			}
		}
	}
	return c, nil
}

func copyChart(r *report) (chart, error) {
	c := chart{name: "copy", title: "Reading at random from 64 MiB that are in memory", xTitle: "bytes of one access", yTitle: "MB/s", logX: true, logY: true,
		caption: "A mapping moves bytes as fast as memory does. A system call costs a fixed time, so read comes near it only with large accesses; " +
			"POSIX aio has a thread behind it, io_uring a ring."}
	var err error
	c.lines, err = overSize(r, "Copy/lang=c/access=read/pattern=rand", []curve{{"mapview mv\\_read", "mapview mv_read"}, {"mmap by hand", "mmap memcpy"},
		{"memory (the limit)", "memory memcpy"}, {"pread", "libc pread"}, {"io\\_uring, 32 at once", "uring submit+wait,32"}, {"POSIX aio", "aio aio_read+aio_suspend"}}, speedOf)
	return c, err
}

func onceChart(r *report) (chart, error) {
	const blocks = "Once/lang=c"
	c := chart{name: "once", title: "A file in memory: opened, added up, closed", xTitle: "bytes of the file", yTitle: "ns", logX: true, logY: true,
		caption: "For a file that is used once, read is faster while the file is small: a mapping pays for being made, for the first touch of its pages, and for being unmade. A view that is kept pays nothing of that."}
	var err error
	if c.lines, err = overSize(r, blocks, []curve{{"mapview, opened each time", "mapview mv_open+sum"}, {"mmap by hand, each time", "mmap open+mmap+sum"},
		{"read", "libc open+read*"}, {"mapview, kept open", "mapview kept+sum"}}, nsOf); err != nil {
		return c, err
	}
	for _, way := range []curve{{"mapview", "mapview mv_open+sum"}, {"mmap", "mmap open+mmap+sum"}} {
		size, ok, err := crossover(r, blocks, way.pattern, "libc open+read*")
		if err != nil {
			return c, err
		}
		if ok {
			c.marks = append(c.marks, chartMark{float64(size), way.title + " passes read: " + bytesText(size)})
		}
	}
	return c, nil
}

func speedChart(r *report) (chart, error) {
	c := chart{name: "speed", title: "Writing records to a fresh file, one sync at the end", xTitle: "bytes of one record", yTitle: "MB/s", logX: true, logY: true,
		caption: "The notes' order, disk : mapped : memory, is that of small records, and is about the price of a call. With large records the order is another one."}
	var err error
	c.lines, err = overSize(r, "Speed/lang=c/cache=fresh/sync=end", []curve{{"memory (the limit)", "memory store"}, {"mmap by hand", "mmap store"},
		{"mapview mv\\_write", "mapview mv_write"}, {"the same, SEQUENTIAL", "mapview mv_write,SEQUENTIAL"}, {"write", "libc write"}}, speedOf)
	return c, err
}

func coldChart(r *report) (chart, error) {
	c := chart{name: "cold", title: "One read of 4 KiB at random that is not in memory: how long the slow ones take", xTitle: "of all reads, this share is faster",
		yTitle: "us", logY: true, percentiles: true,
		caption: "Without MADV_RANDOM a mapping reads far more than it was asked for. Known places that are prefetched in one call wait together."}
	g, err := r.block("Cold/lang=c/pattern=rand")
	if err != nil {
		return c, err
	}
	for _, way := range []curve{{"mapview mv\\_read, RANDOM", "mapview mv_read,RANDOM"}, {"mapview after mv\\_prefetch", "mapview mv_prefetch+mv_read"}, {"mmap by hand", "mmap memcpy"},
		{"mmap by hand, RANDOM", "mmap memcpy,RANDOM"}, {"pread", "libc pread"}, {"io\\_uring", "uring submit+wait"}} {
		s, err := g.pick(way.pattern)
		if err != nil {
			continue
		}
		line := chartLine{title: way.title}
		for i, unit := range []string{"p50-ns", "p90-ns", "p99-ns", "p99.9-ns"} {
			if s.values[unit] == nil {
				return c, missing(g.id + " has no " + unit)
			}
			line.points = append(line.points, [2]float64{float64(i), median(s.values[unit]) / 1000})
		}
		c.lines = append(c.lines, line)
	}
	return c, nil
}

// draw writes the chart's table and picture. A gnuplot that is not there is an error.
func (c *chart) draw(dir string) error {
	table := filepath.Join(dir, c.name+".tsv")
	if err := os.WriteFile(table, []byte(c.table()), 0o644); err != nil {
		return err
	}
	cmd := exec.Command("gnuplot")
	cmd.Stdin = strings.NewReader(c.script(table, filepath.Join(dir, c.name+".svg")))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("gnuplot (package gnuplot-nox), chart %s: %w: %s", c.name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// table has a line for each x and a column for each line of the chart; what is not
// there is a ?.
func (c *chart) table() string {
	var b strings.Builder
	var xs []float64
	b.WriteString("x")
	for _, l := range c.lines {
		b.WriteString("\t" + strings.ReplaceAll(l.title, "\\", ""))
		for _, p := range l.points {
			if !slices.Contains(xs, p[0]) {
				xs = append(xs, p[0])
			}
		}
	}
	slices.Sort(xs)
	for _, x := range xs {
		switch {
		case c.words != nil:
			b.WriteString("\n" + c.words[int(x)])
		case c.percentiles:
			b.WriteString("\n" + []string{"50 %", "90 %", "99 %", "99.9 %"}[int(x)])
		default:
			fmt.Fprintf(&b, "\n%.0f", x)
		}
		for _, l := range c.lines {
			text := "?"
			for _, p := range l.points {
				if p[0] == x {
					text = fmt.Sprintf("%.5g", p[1])
				}
			}
			b.WriteString("\t" + text)
		}
	}
	return b.String() + "\n"
}

// Colours that can be told apart on white, also by who sees no red. The ground is
// white in a dark theme, too.
var colours = []string{"#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#000000"}

func (c *chart) script(table, svg string) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("set terminal svg size 820,460 dynamic font 'sans-serif,14' background '#ffffff'")
	say("set output '%s'", svg)
	say("set datafile separator '\\t'\nset datafile missing '?'")
	say("set title \"%s\"\nset xlabel '%s'\nset ylabel '%s'", c.title, c.xTitle, c.yTitle)
	say("set grid ytics lc rgb '#dddddd'\nset border 3\nset tics nomirror\nset key outside right top Left reverse")
	if c.logX {
		say("set logscale x 2\nset xtics (%s)", c.sizeTics())
	}
	if c.logY {
		say("set logscale y\nset format y '%%g'")
	}
	for i, m := range c.marks {
		say("set arrow from %g, graph 0 to %g, graph 1 nohead dt 2 lc rgb '#666666'", m.x, m.x)
		say("set label \"%s\" at %g, graph %g right offset -1,0 tc rgb '#444444'", m.text, m.x, 0.94-0.08*float64(i))
	}
	with := "with linespoints lw 2 pt 7 ps 0.6"
	x := "1"
	if c.words != nil {
		say("set style data histograms\nset style fill solid 0.9\nset boxwidth 0.9\nset xtics rotate by -25\nset key outside top center horizontal")
		with = ""
	}
	var plots []string
	for i := range c.lines {
		using := fmt.Sprintf("using %s:%d", x, i+2)
		switch {
		case c.words != nil:
			using = fmt.Sprintf("using %d:xtic(1)", i+2)
		case c.percentiles:
			using = fmt.Sprintf("using 0:%d:xtic(1)", i+2)
		}
		plots = append(plots, fmt.Sprintf("'%s' skip 1 %s %s lc rgb '%s' title \"%s\"", table, using, with, colours[i%len(colours)],
			strings.ReplaceAll(c.lines[i].title, "\\", "\\\\")))
	}
	say("plot %s", strings.Join(plots, ", \\\n  "))
	return b.String()
}

// sizeTics names every second size.
func (c *chart) sizeTics() string {
	var xs []float64
	for _, l := range c.lines {
		for _, p := range l.points {
			if !slices.Contains(xs, p[0]) {
				xs = append(xs, p[0])
			}
		}
	}
	slices.Sort(xs)
	var tics []string
	for i, x := range xs {
		if i%2 == 0 || len(xs) < 8 {
			tics = append(tics, fmt.Sprintf("'%s' %g", strings.NewReplacer(" bytes", "", " KiB", " Ki", " MiB", " Mi").Replace(bytesText(int(x))), x))
		}
	}
	return strings.Join(tics, ", ")
}
