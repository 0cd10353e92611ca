//go:build cgo

package mapview_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// What needs no example: an error's own methods, and types of which only the
// constants are written.
var needNoExample = map[string]bool{
	"FaultError.Error": true, "FaultError.Unwrap": true,
	"Access": true, "Advice": true, "Level": true,
}

// TestEverythingHasAnExample looks for each exported function, type and method
// in the examples: by an example of its own, or in what another one does.
func TestEverythingHasAnExample(t *testing.T) {
	has := map[string]bool{} // names of examples, and names that examples use
	exported := map[string]string{}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			if strings.HasSuffix(name, "_test.go") {
				noteExample(decl, has)
			} else {
				noteExported(decl, exported)
			}
		}
	}
	if len(exported) < 50 || len(has) < 50 {
		t.Fatalf("%d exported things and %d names in examples are too few", len(exported), len(has))
	}
	for full, name := range exported {
		if !has[name] && !has["Example"+strings.ReplaceAll(full, ".", "_")] && !needNoExample[full] {
			t.Errorf("no example shows %s", full)
		}
	}
}

// noteExample notes the name of an example, and those that it uses.
func noteExample(decl ast.Decl, has map[string]bool) {
	f, ok := decl.(*ast.FuncDecl)
	if !ok || !strings.HasPrefix(f.Name.Name, "Example") {
		return
	}
	has[f.Name.Name] = true
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			has[s.Sel.Name] = true
		}
		return true
	})
}

// noteExported notes what decl exports, by its full name, with its own.
func noteExported(decl ast.Decl, exported map[string]string) {
	switch d := decl.(type) {
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			if s, ok := spec.(*ast.TypeSpec); ok && s.Name.IsExported() {
				exported[s.Name.Name] = s.Name.Name
			}
		}
	case *ast.FuncDecl:
		full := d.Name.Name
		if d.Recv != nil {
			of := receiver(d.Recv.List[0].Type)
			if !ast.IsExported(of) {
				return
			}
			full = of + "." + full
		}
		if d.Name.IsExported() {
			exported[full] = d.Name.Name
		}
	}
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
