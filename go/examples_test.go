//go:build cgo

package mapview_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// Every exported function, type and method has an example of its own, named
// after it, but for those that another one shows, by whose side they are used,
// and those that need none.
var shownIn = map[string]string{
	"Leak":  "Leaks",
	"Range": "View_Prefetch",

	"Appender.End":      "Appender_Append",
	"Appender.Close":    "Appender",
	"Cursor.Read":       "Cursor",
	"Cursor.ReadByte":   "Cursor",
	"Cursor.Seek":       "Cursor",
	"Cursor.UnreadByte": "Cursor",
	"Cursor.Write":      "Cursor",
	"Cursor.WriteByte":  "Cursor",
	"File.Close":        "File",
	"File.Seek":         "File",
	"Records.At":        "Records",
	"Records.Len":       "NewRecords",
	"View.Len":          "View_Refresh",
	"View.Name":         "OpenFile",
	"View.Size":         "View_Resize",
	"View.Unpin":        "View_Pin",

	"mmap.ReaderAt.Close": "ReaderAt_ReadAt",
	"mmap.ReaderAt.Len":   "Open",

	"mmapgo.MMap.Unlock": "MMap_Lock",
}

var needNoExample = map[string]string{
	"Access": "only its constants are written", "Advice": "only its constants are written", "Level": "only its constants are written",
	"View":              "every example has one",
	"mmap.ReaderAt":     "every example has one",
	"mmapgo.MMap":       "every example has one",
	"Options":           "every second example has them",
	"Appender.Write":    "package fmt calls it",
	"FaultError.Error":  "package fmt calls it",
	"FaultError.Unwrap": "package errors calls it",
	"Leak.String":       "package fmt calls it",
	"File.Read":         "package io calls it",
	"File.ReadAt":       "package io calls it",
	"File.Stat":         "package io/fs calls it",
	"File.WriteTo":      "package io calls it",
}

// mayPrintNothing are examples whose output cannot be known.
var mayPrintNothing = map[string]string{"Leaks": "it is about the whole program"}

func TestEverythingHasAnExample(t *testing.T) {
	seen := map[string]bool{}
	for prefix, dir := range map[string]string{"": ".", "mmap.": "mmap", "mmapgo.": "mmapgo"} {
		exported, examples := packageIn(t, dir)
		for _, full := range exported {
			name := prefix + full
			seen[name] = true
			hasOwn := hasExample(examples, full)
			other, isShown := shownIn[name]
			switch reason := needNoExample[name]; {
			case hasOwn && (isShown || reason != ""):
				t.Errorf("%s has an example and is said to have none", name)
			case isShown && !uses(examples[other], full):
				t.Errorf("Example%s does not show %s", other, name)
			case !hasOwn && !isShown && reason == "":
				t.Errorf("%s has no example", name)
			}
		}
		for name, e := range examples {
			if e.Output == "" && mayPrintNothing[name] == "" {
				t.Errorf("Example%s in %s compares no output", name, dir)
			}
		}
	}
	if len(seen) < 60 {
		t.Errorf("%d exported things are too few", len(seen))
	}
	for name := range shownIn {
		if !seen[name] {
			t.Errorf("%s is not exported any more", name)
		}
	}
	for name := range needNoExample {
		if !seen[name] {
			t.Errorf("%s is not exported any more", name)
		}
	}
}

// hasExample looks for that of a type, function or method, which may have a
// suffix that begins with a small letter.
func hasExample(examples map[string]*doc.Example, full string) bool {
	own := strings.ReplaceAll(full, ".", "_")
	for name := range examples {
		suffix, found := strings.CutPrefix(name, own+"_")
		if name == own || found && suffix != "" && !ast.IsExported(suffix) {
			return true
		}
	}
	return false
}

// uses tells whether an example has the last part of a name in it.
func uses(e *doc.Example, full string) (found bool) {
	if e == nil {
		return false
	}
	ast.Inspect(e.Code, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == full[strings.LastIndexByte(full, '.')+1:] {
			found = true
		}
		return true
	})
	return found
}

// packageIn returns what a package exports, and its examples by name.
func packageIn(t *testing.T, dir string) (exported []string, examples map[string]*doc.Example) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var tests []*ast.File
	for _, name := range names {
		mode := parser.ParseComments | parser.SkipObjectResolution
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, mode)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") {
			tests = append(tests, file)
			continue
		}
		for _, decl := range file.Decls {
			exported = append(exported, exportedBy(decl)...)
		}
	}
	examples = map[string]*doc.Example{}
	for _, e := range doc.Examples(tests...) {
		examples[e.Name] = e
	}
	return exported, examples
}

// exportedBy returns the types, functions and methods that decl exports.
func exportedBy(decl ast.Decl) (names []string) {
	switch d := decl.(type) {
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			if s, ok := spec.(*ast.TypeSpec); ok && s.Name.IsExported() {
				names = append(names, s.Name.Name)
			}
		}
	case *ast.FuncDecl:
		name := d.Name.Name
		if d.Recv != nil {
			of := receiver(d.Recv.List[0].Type)
			if !ast.IsExported(of) {
				return nil
			}
			name = of + "." + name
		}
		if d.Name.IsExported() {
			names = append(names, name)
		}
	}
	return names
}

// receiver returns the name of the type that a method is of.
func receiver(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.StarExpr:
		return receiver(x.X)
	case *ast.IndexExpr: // of a generic type
		return receiver(x.X)
	case *ast.Ident:
		return x.Name
	}
	return ""
}
