// table.go prints the one table, from the raw files alone.

package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A fileRow is what the first column of ratios compares with.
type fileRow struct{ column, row string }

// The rows that stand for the file without a mapping, by block and language.
var fileRows = map[string]fileRow{
	"Published go": {"x os.File", "os.File Read"},
	"Read go":      {"x os.File", "os.File ReadAt"},
	"Write go":     {"x os.File", "os.File WriteAt"},
	"WriteSync go": {"x os.File", "os.File WriteAt+Sync"},
	"Read c":       {"x pread", "libc pread"},
	"Write c":      {"x pwrite", "libc pwrite"},
	"WriteSync c":  {"x pwrite+fsync", "libc pwrite+fsync"},
}

const memoryRow = "memory copy"

// What the raw format cannot hold in a name, since / separates its keys.
var spelling = strings.NewReplacer("exp-mmap", "x/exp/mmap", "mapview-mmap", "mapview go/mmap",
	"ReadAt,Close", "ReadAt+Close", "mv_data+memcpy", "mv_data copy")

func writeTable(w io.Writer, r *report) error {
	writeHead(w, r)
	for _, g := range r.groups {
		if err := writeGroup(w, g); err != nil {
			return err
		}
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
	line("method", "one op is 500 accesses; each variant gets 1.5 ms a round, the order changes, every round's "+
		"bytes are checked; Read and Write of os.File and libc include one seek an op; Do is called "+
		"for each access; Go has one processor")
	line("runs", c["runs"]+" of each language, each a new process with new files and mappings")
	line("columns", "x os.File (in C: x pread, x pwrite) and x memcpy are the time divided by the time of "+
		"os.File.ReadAt or WriteAt and of a copy within ordinary memory, so below 1 is faster; "+
		"median of the rounds' ratios (quartiles); up to 5 % between rows of different code can come "+
		"from where the linker has put it")
}

func writeGroup(w io.Writer, g *group) error {
	fmt.Fprintf(w, "\n%s\n", g.title())
	bytes, allocs, last := "B/op", "allocs", "x memcpy"
	if g.name == "Published" {
		last = "reads with data"
	}
	if g.lang == "c" {
		bytes, allocs = "", ""
	}
	fmt.Fprintf(w, "%-29s%9s%9s%6s%7s%20s%20s\n", "", "us/op", "ns each", bytes, allocs, g.fileRow().column, last)
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
	fmt.Fprintf(w, "noise: %s, opened twice (A/A) %v, %d rounds\n", spelling.Replace(s.String()), noise, len(s.values["ns/op"]))
	return nil
}

func (g *group) title() string {
	lang := map[string]string{"go": "Go", "c": "C"}[g.lang]
	bytes := fmt.Sprintf("%d bytes", g.size)
	if g.size%1024 == 0 {
		bytes = fmt.Sprintf("%d KiB", g.size/1024)
	}
	switch g.name {
	case "Published":
		return lang + ", as published (closed after the first read; the file is read past its end)"
	case "Read":
		return fmt.Sprintf("%s, repaired: 500 reads of %s", lang, bytes)
	case "Write":
		return fmt.Sprintf("%s, with writing: 500 writes of %s, no sync", lang, bytes)
	case "WriteSync":
		return fmt.Sprintf("%s, with writing: 500 writes of %s, then one sync", lang, bytes)
	}
	return lang + ", " + g.name + ", " + bytes
}

func (g *group) fileRow() fileRow { return fileRows[g.name+" "+g.lang] }

func (g *group) row(s *series) (string, error) {
	times := s.values["ns/op"]
	ns := median(times)
	file, err := g.against(s, g.fileRow().row)
	if err != nil {
		return "", err
	}
	memory, err := g.against(s, memoryRow)
	if err != nil {
		return "", err
	}
	if reads := s.values["reads/op"]; reads != nil {
		memory = fmt.Sprintf("%.0f of 500, then %.0f", median(s.values["first-reads"]), median(reads))
	}
	return fmt.Sprintf("%-29s%9.1f%9.1f%6s%7s%20s%20s", spelling.Replace(s.String()), ns/1000, ns/accesses,
		s.typical("B/op"), s.typical("allocs/op"), file, memory), nil
}

// typical is the median of what a C row does not have.
func (s *series) typical(unit string) string {
	if s.values[unit] == nil {
		return ""
	}
	return fmt.Sprintf("%.0f", median(s.values[unit]))
}

// against is the ratio of s to the row of that name, "" if there is none.
func (g *group) against(s *series, name string) (string, error) {
	for _, other := range g.series {
		if other.String() == name && !other.again {
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
// but the limit.
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
		if ours(peer) || peer.again || peer.String() == memoryRow {
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
