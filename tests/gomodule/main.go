// Gomodule makes a folder that the go command takes for a module proxy, with
// one version of the module in a source tree. The zip is made by the package
// that the go command itself checks zips with, so what a real proxy would
// leave out (symbolic links, modules inside) is not in it.
//
//	gomodule TREE MODULE VERSION PROXY
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: gomodule TREE MODULE VERSION PROXY")
	}
	mod := module.Version{Path: os.Args[2], Version: os.Args[3]}
	if err := publish(os.Args[1], mod, os.Args[4]); err != nil {
		log.Fatal(err)
	}
}

// publish writes the four files that a proxy answers with.
func publish(tree string, mod module.Version, proxy string) error {
	path, err := module.EscapePath(mod.Path)
	if err != nil {
		return err
	}
	dir := filepath.Join(proxy, path, "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	gomod, err := os.ReadFile(filepath.Join(tree, "go.mod"))
	if err != nil {
		return err
	}
	info := fmt.Appendf(nil, "{\"Version\":%q}\n", mod.Version)
	for name, text := range map[string][]byte{
		"list":                []byte(mod.Version + "\n"),
		mod.Version + ".info": info,
		mod.Version + ".mod":  gomod,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	f, err := os.Create(filepath.Join(dir, mod.Version+".zip"))
	if err != nil {
		return err
	}
	if err := zip.CreateFromDir(f, mod, tree); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
