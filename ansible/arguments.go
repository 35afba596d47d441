package ansible

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"mvdan.cc/sh/v3/shell"
	"mvdan.cc/sh/v3/syntax"

	"vauban/ansible/repository"
	"vauban/internal/command"
)

// inventoryOptions name the inventories on the command line; ansible.cfg's are
// then not read.
var inventoryOptions = []string{"-i", "--inventory", "--inventory-file"}

// arguments are words for ansible-playbook, ANSIBLE_EXTRA_ARGS.
type arguments []string

// splitArguments splits a line as a shell does: quotes, variables, no commands.
func splitArguments(line string, environ []string) (arguments, error) {
	words, err := shell.Fields(line, func(name string) string { return command.Getenv(environ, name) })
	if err != nil {
		// The error may repeat what is quoted, and that may be a password.
		where := ""
		var parsing syntax.ParseError
		if errors.As(err, &parsing) {
			where = fmt.Sprintf(" at column %d", parsing.Pos.Col())
		}
		return nil, fmt.Errorf("ANSIBLE_EXTRA_ARGS cannot be split into words%s: close its quotes, and write values, not commands", where)
	}
	return words, nil
}

// in gives the arguments for a working copy, with the files of the user's
// folder found.
func (a arguments) in(wc *repository.Copy, files locator) []string {
	options := fileOptions(wc, files)
	args := slices.Clone(a)
	for i, arg := range args {
		if find, ok := options[arg]; ok && i+1 < len(args) {
			args[i+1] = find(args[i+1])
			continue
		}
		for name, find := range options {
			prefix := name
			if strings.HasPrefix(name, "--") {
				prefix += "="
			}
			if value, ok := strings.CutPrefix(arg, prefix); ok && value != "" {
				args[i] = prefix + find(value)
			}
		}
	}
	return args
}

// fileOptions are those of ansible-playbook whose values may be files of the
// user's folder. The function finds the file in such a value.
func fileOptions(wc *repository.Copy, files locator) map[string]func(string) string {
	file := func(value string) string { return files.find(wc, value) }
	// an @ comes before a file, everything else is text
	text := func(value string) string {
		if name, ok := strings.CutPrefix(value, "@"); ok {
			return "@" + file(name)
		}
		return value
	}
	vault := func(value string) string { return files.vaultID(wc, value) }
	inventory := func(value string) string {
		if strings.Contains(value, ",") {
			return value // a list of hosts
		}
		return file(value)
	}
	options := map[string]func(string) string{
		"--vault-password-file": file, "--vault-pass-file": file, "--vault-id": vault,
		"--private-key": file, "--key-file": file, "-e": text, "--extra-vars": text,
	}
	for _, name := range inventoryOptions {
		options[name] = inventory
	}
	return options
}

// files digests the files of the user's folder that
// ANSIBLE_EXTRA_ARGS takes variables or hosts from. Those of the repository
// change with its commits.
func (a arguments) files(dir string) (map[string]digest.Digest, error) {
	found := map[string]digest.Digest{}
	for i, arg := range a {
		before := ""
		if i > 0 {
			before = a[i-1]
		}
		for _, name := range namesIn(arg) {
			if !hasOption([]string{before, arg}, append([]string{"-e", "--extra-vars"}, inventoryOptions...)) {
				continue
			}
			path := name
			if !filepath.IsAbs(path) {
				path = filepath.Join(dir, name)
			}
			if !isFile(path) {
				continue
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("reading a file of ANSIBLE_EXTRA_ARGS: %w", err)
			}
			found[name] = digest.FromBytes(content)
		}
	}
	return found, nil
}

// hasOption reports whether the arguments hold one of the options, in any of the
// ways to write it.
func hasOption(args, names []string) bool {
	return slices.ContainsFunc(args, func(arg string) bool {
		return slices.ContainsFunc(names, func(name string) bool {
			if strings.HasPrefix(name, "--") {
				return arg == name || strings.HasPrefix(arg, name+"=")
			}
			return strings.HasPrefix(arg, name) && !strings.HasPrefix(arg, "--")
		})
	})
}

// inventoriesIn are the values of the options that name inventories.
func inventoriesIn(args []string) (names []string) {
	for i, arg := range args {
		value := ""
		switch {
		case slices.Contains(inventoryOptions, arg) && i+1 < len(args):
			value = args[i+1]
		case hasOption([]string{arg}, inventoryOptions):
			_, value, _ = strings.Cut(arg, "=")
			if !strings.HasPrefix(arg, "--") {
				value = strings.TrimPrefix(arg, "-i")
			}
		default:
			continue
		}
		names = append(names, value)
	}
	return names
}

// namesIn gives what of an argument may name a file: NAME, --option=NAME,
// @NAME, LABEL@NAME.
func namesIn(arg string) []string {
	_, value, _ := strings.Cut(arg, "=")
	names := []string{arg, value}
	for _, text := range []string{arg, value} {
		_, name, _ := strings.Cut(text, "@")
		names = append(names, name)
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" || strings.HasPrefix(name, "-") })
}
