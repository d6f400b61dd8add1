package main

import (
	_ "embed"
	"errors"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"text/template"
)

//go:embed performance.md.tmpl
var document string

// report writes docs/performance.md.
func report(path string, t table) error {
	page, err := template.New("performance").Parse(document)
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(page.Execute(file, map[string]any{
		"CPU": cpu(), "Cores": runtime.NumCPU(), "OS": runtime.GOOS + "/" + runtime.GOARCH, "Go": runtime.Version(),
		"Peers": versions(), "Table": t.markdown(), "Missed": t.missed(),
	}), file.Close())
}

// missed are the measures whose goal was not reached.
func (t table) missed() (names []string) {
	for _, r := range t {
		if r.reached == missed {
			names = append(names, r.measure+": "+r.ours+", beside "+r.beside)
		}
	}
	return names
}

// cpu is the processor's model.
func cpu() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if model := regexp.MustCompile(`(?m)^model name\s*:\s*(.+)$`).FindSubmatch(text); err == nil && model != nil {
		return string(model[1])
	}
	return "unknown processor"
}

// versions are those of what is measured beside.
func versions() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var all []string
	for _, m := range info.Deps {
		if slices.Contains([]string{"golang.org/x/oauth2", "cloud.google.com/go/auth", "github.com/Azure/azure-sdk-for-go/sdk/azcore"}, m.Path) {
			all = append(all, m.Path+" "+m.Version)
		}
	}
	return strings.Join(all, ", ")
}
