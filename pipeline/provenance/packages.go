package provenance

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"vauban/internal/beneath"
)

// Where dpkg and apt keep what is installed, and what of it was only pulled
// in by something else.
const (
	dpkgStatus        = "/var/lib/dpkg/status"
	aptExtendedStates = "/var/lib/apt/extended_states"
)

// debPackage is an installed package.
type debPackage struct {
	name, version, arch string
	automatic           bool // installed because another one needs it
}

// String is the line that `apt list --installed` prints when it knows of no
// other source than the system itself.
func (p debPackage) String() string {
	state := "installed"
	if p.automatic {
		state += ",automatic"
	}
	return fmt.Sprintf("%s/now %s %s [%s]", p.name, p.version, p.arch, state)
}

// readPackages reads what is installed in the system whose root is this
// thread's. A system without dpkg has no packages.
func readPackages(ctx context.Context) ([]debPackage, error) {
	var files [2][]byte
	for i, path := range []string{dpkgStatus, aptExtendedStates} {
		content, err := beneath.ReadFile(ctx, "/", path, maxStatus)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("listing the installed packages: %w", err)
		}
		files[i] = content
	}
	return parsePackages(files[0], files[1])
}

// parsePackages reads dpkg's status file and apt's extended states.
func parsePackages(status, extended []byte) ([]debPackage, error) {
	automatic := map[string]bool{} // by name:arch; by name alone whatever the arch
	for stanza, err := range stanzas(extended) {
		if err != nil {
			return nil, fmt.Errorf("reading %q: %w", aptExtendedStates, err)
		}
		if stanza["auto-installed"] == "1" {
			automatic[stanza["package"]+":"+stanza["architecture"]] = true
			automatic[stanza["package"]] = true
		}
	}
	var found []debPackage
	for stanza, err := range stanzas(status) {
		if err != nil {
			return nil, fmt.Errorf("reading %q: %w", dpkgStatus, err)
		}
		p := debPackage{name: stanza["package"], version: stanza["version"], arch: stanza["architecture"]}
		if !isInstalled(stanza["status"]) || p.version == "" {
			continue
		}
		for _, word := range []string{p.name, p.version, p.arch} {
			if !printable.MatchString(word) {
				return nil, fmt.Errorf("reading %q: package %q, version %q, architecture %q is not as dpkg writes it", dpkgStatus, p.name, p.version, p.arch)
			}
		}
		// apt takes packages for all architectures as its own's.
		p.automatic = automatic[p.name+":"+p.arch] || automatic[p.name+":"] || p.arch == "all" && automatic[p.name]
		found = append(found, p)
	}
	return found, nil
}

// printable has neither spaces nor anything that ends a line of YAML.
var printable = regexp.MustCompile(`^[!-~]+$`)

// isInstalled reads the Status field, "WANT FLAG STATE": apt counts every
// state in which files of the package are there.
func isInstalled(status string) bool {
	fields := strings.Fields(status)
	return len(fields) == 3 && fields[2] != "not-installed" && fields[2] != "config-files"
}

// stanzas iterates over the paragraphs of a control file, see deb822(5).
// Names of fields are in lower case; a field's further lines are left out.
func stanzas(text []byte) func(yield func(map[string]string, error) bool) {
	return func(yield func(map[string]string, error) bool) {
		stanza := map[string]string{}
		number := 0
		for line := range bytes.Lines(text) {
			number++
			line = bytes.TrimRight(line, "\r\n \t")
			switch {
			case len(line) == 0:
				if len(stanza) > 0 && !yield(stanza, nil) {
					return
				}
				stanza = map[string]string{}
				continue
			case line[0] == ' ' || line[0] == '\t':
				continue
			}
			name, value, ok := bytes.Cut(line, []byte(":"))
			if !ok {
				yield(nil, fmt.Errorf("line %d is not a field: %q", number, line))
				return
			}
			stanza[strings.ToLower(string(name))] = string(bytes.TrimSpace(value))
		}
		if len(stanza) > 0 {
			yield(stanza, nil)
		}
	}
}

// packageChanges lists what became of the packages, sorted by name: "-" what
// went, "+" what came. An upgrade is both.
func packageChanges(before, after []debPackage) []string {
	type change struct {
		debPackage
		came bool
	}
	changes := map[change]bool{}
	for _, p := range after {
		changes[change{p, true}] = true
	}
	for _, p := range before {
		if changes[change{p, true}] {
			delete(changes, change{p, true})
		} else {
			changes[change{p, false}] = true
		}
	}
	sorted := slices.SortedFunc(maps.Keys(changes), func(a, b change) int {
		signs := 0
		if a.came != b.came {
			signs = 1
			if b.came {
				signs = -1
			}
		}
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.arch, b.arch), signs, cmp.Compare(a.String(), b.String()))
	})
	lines := make([]string, 0, len(sorted))
	for _, c := range sorted {
		sign := "- "
		if c.came {
			sign = "+ "
		}
		lines = append(lines, sign+c.String())
	}
	return lines
}
