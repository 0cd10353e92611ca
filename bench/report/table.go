// table.go prints the one table, from the raw files alone.

package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A column of ratios divides the time of each row by that of another one. A
// column without a title stays empty.
type column struct {
	title string
	row   func(*series) string // by whose time
}

func by(title, row string) column {
	return column{title, func(*series) string { return row }}
}

// What stands for the file without a mapping, by block and language.
var fileColumns = map[string]column{
	"Published go": by("x os.File", "os.File Read"),
	"Read go":      by("x os.File", "os.File ReadAt"),
	"Write go":     by("x os.File", "os.File WriteAt"),
	"WriteSync go": by("x os.File", "os.File WriteAt+Sync"),
	"Read c":       by("x pread", "libc pread"),
	"Write c":      by("x pwrite", "libc pwrite"),
	"WriteSync c":  by("x pwrite+fsync", "libc pwrite+fsync"),
	"Guard c":      by("x pread", "libc pread"),
	"GuardWrite c": by("x pwrite", "libc pwrite"),
	"Hot go":       by("x x/exp/mmap", "exp-mmap ReadAt"),
	"Cold go":      by("x x/exp/mmap", "exp-mmap ReadAt"),
	"Delayed go":   by("x x/exp/mmap", "exp-mmap ReadAt"),
	"OpenClose go": {"x x/exp/mmap", func(s *series) string { return "exp-mmap " + s.op }},
	"Together go":  {"x unguarded", func(s *series) string { return "unguarded copy," + s.goroutines() }},
}

const memoryRow = "memory copy"

// columns returns what stands for the file, and the limit.
func (g *group) columns() (file, limit column) {
	limit = by("x memcpy", memoryRow)
	switch {
	case g.name == "Published":
		limit = column{"reads with data", nil}
	case g.cold():
		limit = column{"p99 of the clock", nil}
	case g.name == "Hot":
		limit = by("x resident", "mapview ReadAt,resident")
	case g.name == "OpenClose":
		limit = column{"x os.File", func(s *series) string { return "os.File " + s.op }}
	case g.name == "Together":
		limit = column{"x one alone", func(s *series) string { return strings.TrimSuffix(s.String(), s.goroutines()) + "one" }}
	case g.guard() && g.lang == "c":
		limit = by("x unguarded", "unguarded memcpy")
	case g.guard():
		limit = by("x unguarded", "unguarded copy")
	}
	return fileColumns[g.name+" "+g.lang], limit
}

func (g *group) cold() bool { return g.name == "Cold" || g.name == "Delayed" }

// guard tells whether all rows of the group use one view.
func (g *group) guard() bool {
	return g.name == "Guard" || g.name == "GuardWrite" || g.name == "Together"
}

// goroutines returns how many of them a row of Together has, "" for others.
func (s *series) goroutines() string {
	if _, n, ok := strings.Cut(s.op, ","); ok && (n == "one" || n == "two") {
		return n
	}
	return ""
}

// What the raw format cannot hold in a name, since / separates its keys.
var spelling = strings.NewReplacer("exp-mmap", "x/exp/mmap", "mapview-mmap", "mapview go/mmap",
	"ReadAt,Close", "ReadAt+Close", "mv_data+memcpy", "mv_data copy", ",no-handler", " NO_HANDLER", "rep-movsb", "rep movsb",
	",resident", " Resident", ",one", ", one", ",two", ", two", ",ahead", " AHEAD", ",alone", " alone",
	",mounted", ", mounted for this")

func writeTable(w io.Writer, r *report) error {
	writeHead(w, r)
	for _, g := range r.groups {
		write := func() error { return writeGroup(w, g) }
		if b, ok := g.goalBlock(); ok {
			write = func() error { return writeGoalGroup(w, g, b) }
		}
		if err := write(); err != nil {
			return err
		}
	}
	for _, why := range r.skips {
		fmt.Fprintf(w, "\nSKIPPED: %s\n", why)
	}
	if err := writeGoals(w, r); err != nil {
		return err
	}
	return writeLosses(w, r)
}

func writeHead(w io.Writer, r *report) {
	c := r.config
	line := func(name, text string) {
		for _, part := range wrap(text, 88) {
			fmt.Fprintf(w, "%-12s%s\n", name, part)
			name = ""
		}
	}
	line("machine", fmt.Sprintf("%s, %s cores, %s", c["cpu"], c["cores"], c["kernel"]))
	line("file", fmt.Sprintf("%s, on %s", c["file"], c["filesystem"]))
	line("compilers", fmt.Sprintf("%s; %s", c["go"], c["cc"]))
	line("date", c["date"])
	line("page cache", "the files were written, synced and read before; every page of a mapping was touched")
	line("method", "one op is 500 accesses, or as many as the file holds; each variant gets 1.5 ms a round, the "+
		"order changes, every round's bytes are checked; Read and Write of os.File and libc include one "+
		"seek an op; Do and mv_try are called for each access; Go has one processor, but for the rows of "+
		"two goroutines: each has one of its own, and the time is from the first one's start to the last "+
		"one's end")
	line("guard", "in the blocks of this name all rows use the same pages of one view, but for NO_HANDLER "+
		"(MV_OPEN_NO_HANDLER: the kernel copies), pread and pwrite; unguarded is the plain copy, which a "+
		"fault ends with a signal")
	line("goals", "the blocks of writing with a sync, and of bulk, are by another C program: a file of its own, each "+
		"way once a round, its state prepared and verified before, its bytes checked after; dev KiB is what the "+
		"device's counter (/sys/dev/block) moved on by, whoever wrote; faults by getrusage; a goal is judged by the "+
		"median of the rounds' ratios (quartiles), where above 1 is faster")
	line("cold", "64 goroutines read pages that were taken out of memory, all told that accesses are random; a "+
		"read is looked at byte by byte; another goroutine looks at the clock every millisecond: 99 in a hundred of the "+
		"times between are shorter than p99; resident is Options.Resident: no look at what is in memory")
	line("runs", c["runs"]+" of each language, each a new process with new files and mappings")
	line("columns", "x os.File (in C: x pread, x pwrite) and x memcpy are the time divided by the time of "+
		"os.File.ReadAt or WriteAt and of a copy within ordinary memory, x unguarded by that of the copy "+
		"without a guard, x one alone by that of one goroutine; so below 1 is faster; "+
		"median of the rounds' ratios (quartiles); up to 5 % between rows of different code can come "+
		"from where the linker has put it")
}

func writeGroup(w io.Writer, g *group) error {
	fmt.Fprintf(w, "\n%s\n", g.title())
	bytes, allocs := "B/op", "allocs"
	if g.lang == "c" {
		bytes, allocs = "", ""
	}
	file, limit := g.columns()
	fmt.Fprintf(w, "%-29s%9s%9s%6s%7s%20s%20s\n", "", "us/op", "ns each", bytes, allocs, file.title, limit.title)
	for _, s := range g.series {
		if s.again {
			continue
		}
		text, err := g.row(s)
		if err != nil {
			return fmt.Errorf("%s, %v: %w", g.title(), s, err)
		}
		fmt.Fprintln(w, text)
	}
	noise, s, err := g.noise()
	if err != nil {
		return err
	}
	how := "opened"
	if g.guard() {
		how = "measured"
	}
	fmt.Fprintf(w, "noise: %s, %s twice (A/A) %v, %d rounds\n", spelling.Replace(s.String()), how, noise, len(s.values["ns/op"]))
	return nil
}

func (g *group) title() string {
	lang := map[string]string{"go": "Go", "c": "C"}[g.lang]
	what := fmt.Sprintf("%s of %s", g.verb(), bytesText(g.size))
	switch g.name {
	case "Published":
		return lang + ", as published (closed after the first read; the file is read past its end)"
	case "Read":
		return fmt.Sprintf("%s, repaired: %s", lang, what)
	case "Write":
		return fmt.Sprintf("%s, with writing: %s, no sync", lang, what)
	case "WriteSync":
		return fmt.Sprintf("%s, with writing: %s, then one sync", lang, what)
	case "Guard", "GuardWrite":
		return fmt.Sprintf("%s, what the guard costs: %s", lang, what)
	case "Together":
		return fmt.Sprintf("%s, what the guard costs: %s by each of two goroutines at once", lang, what)
	}
	switch g.name {
	case "Hot":
		return fmt.Sprintf("%s, what it costs to know what is in memory: %s that is", lang, what)
	case "Cold":
		return fmt.Sprintf("%s, cold: %s by 64 goroutines, at random, on this disk", lang, what)
	case "Delayed":
		return fmt.Sprintf("%s, cold: %s by 64 goroutines, at random, on a disk where each takes 1 ms more", lang, what)
	case "OpenClose":
		return fmt.Sprintf("%s, 500 files opened and closed, the collector's work counted; %s read, where any", lang, bytesText(g.size))
	}
	return lang + ", " + g.name + ", " + bytesText(g.size)
}

// verb is "500 reads" or "500 writes".
func (g *group) verb() string {
	if strings.Contains(g.name, "Write") {
		return fmt.Sprintf("%d writes", accessesOf(g.size))
	}
	return fmt.Sprintf("%d reads", accessesOf(g.size))
}

// accessesOf returns how many accesses of that size are one op of the notes'
// blocks: as many as they have, or what the file of them holds of so large ones.
func accessesOf(size int) int { return min(500, 500*4096/size) }

func bytesText(n int) string {
	switch {
	case n == 1:
		return "1 byte"
	case n%1024 == 0:
		return fmt.Sprintf("%d KiB", n/1024)
	}
	return fmt.Sprintf("%d bytes", n)
}

func (g *group) row(s *series) (string, error) {
	times := s.values["ns/op"]
	ns := median(times)
	file, limit := g.columns()
	first, err := g.against(s, file)
	if err != nil {
		return "", err
	}
	last, err := g.against(s, limit)
	if err != nil {
		return "", err
	}
	if reads := s.values["reads/op"]; reads != nil {
		last = fmt.Sprintf("%.0f of 500, then %.0f", median(s.values["first-reads"]), median(reads))
	}
	if gaps := s.values["p99-gap-us"]; gaps != nil {
		last = fmt.Sprintf("%.1f ms", median(gaps)/1000)
	}
	return fmt.Sprintf("%-29s%9.1f%9.1f%6s%7s%20s%20s", spelling.Replace(s.String()), ns/1000,
		ns/float64(accessesOf(g.size)), s.typical("B/op"), s.typical("allocs/op"), first, last), nil
}

// typical is the median of what a C row does not have.
func (s *series) typical(unit string) string {
	if s.values[unit] == nil {
		return ""
	}
	return fmt.Sprintf("%.0f", median(s.values[unit]))
}

// against is the ratio of s to the row of the column, "" if there is none.
func (g *group) against(s *series, c column) (string, error) {
	if c.row == nil {
		return "", nil
	}
	for _, other := range g.series {
		if other.String() == c.row(s) && !other.again {
			r, err := ratioOf(s.values["ns/op"], other.values["ns/op"])
			if other == s {
				return "1", err
			}
			return r.String(), err
		}
	}
	return "", nil
}

// noise compares the A/A pair.
func (g *group) noise() (ratio, *series, error) {
	for _, s := range g.series {
		if s.again {
			first := g.find(s.impl, s.op, false)
			r, err := ratioOf(s.values["ns/op"], first.values["ns/op"])
			return r, s, err
		}
	}
	return ratio{}, nil, fmt.Errorf("%s: no A/A pair", g.title())
}

// losses tells, for each row of mapview, which peers were faster: by more than
// the noise, and in three quarters of the rounds. The copy in memory is no peer
// but the limit; the one without a guard is, since it is what a program has
// without mapview.
func (g *group) losses() ([]string, error) {
	noise, _, err := g.noise()
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, s := range g.series {
		if !ours(s) || s.again {
			continue
		}
		lost, err := g.lostBy(s, noise)
		if err != nil {
			return nil, err
		}
		if len(lost) > 0 {
			lines = append(lines, fmt.Sprintf("%v: %s", s, strings.Join(lost, ", ")))
		}
	}
	return lines, nil
}

// lostBy names the peers that s loses to, the worst loss first.
func (g *group) lostBy(s *series, noise ratio) ([]string, error) {
	lost := map[string]ratio{}
	var peers []string
	for _, peer := range g.series {
		if g.name == "OpenClose" && peer.op != s.op {
			continue // other work
		}
		if ours(peer) || peer.again || peer.String() == memoryRow || peer.goroutines() != s.goroutines() {
			continue
		}
		r, err := ratioOf(s.values["ns/op"], peer.values["ns/op"])
		if err != nil {
			return nil, err
		}
		if r.low > 1 && r.median-1 > noise.spread() {
			lost[peer.String()] = r
			peers = append(peers, peer.String())
		}
	}
	slices.SortStableFunc(peers, func(a, b string) int { return cmp.Compare(lost[b].median, lost[a].median) })
	for i, peer := range peers {
		peers[i] = short3(lost[peer].median) + "x " + peer
	}
	return peers, nil
}

func ours(s *series) bool { return strings.HasPrefix(s.impl, "mapview") }

func writeLosses(w io.Writer, r *report) error {
	fmt.Fprintln(w, "\nmapview loses (a peer was faster by more than the noise, in three quarters of the rounds):")
	any := false
	for _, g := range r.groups {
		if _, ok := g.goalBlock(); ok { // that has verdicts of its own
			continue
		}
		losses, err := g.losses()
		if err != nil {
			return err
		}
		if len(losses) > 0 {
			fmt.Fprintf(w, "  %s\n", g.title())
		}
		for _, loss := range losses {
			any = true
			fmt.Fprintf(w, "    %s\n", strings.Join(wrap(spelling.Replace(loss), 90), "\n      "))
		}
	}
	if !any {
		fmt.Fprintln(w, "  nowhere in this run")
	}
	return nil
}

// wrap breaks text at spaces into lines of at most width bytes.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
