// Package cmdline decides which kernel parameters an image may bring.
package cmdline

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Limits of what an image says. Linux on x86 keeps 2,048 bytes of a command
// line (COMMAND_LINE_SIZE).
const (
	maxLine      = 4096 // bytes of a line
	maxParameter = 256  // bytes of one parameter
)

// Plain are the characters, besides letters and digits, that neither the
// kernel nor iPXE nor GRUB, within quotes, gives a meaning of its own.
const Plain = "-._~:/?@%+,=[]!*&#"

//go:embed allowed.txt
var allowedList string

// Allowed returns the patterns of the parameters that an image may bring
// without being asked: NAME, with * for any characters. The value is free.
func Allowed() []string { return lines(allowedList) }

//go:embed never.txt
var neverList string

// Never returns the patterns of parameters that no image may bring, whatever
// config.yml allows: they decide what is booted, or open a shell.
func Never() []string { return lines(neverList) }

func lines(text string) (patterns []string) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		patterns = append(patterns, strings.Fields(line)...)
	}
	return patterns
}

// Split divides a command line as the kernel does: at blanks outside of double
// quotes, which it keeps. The error is one about a line that is too long.
func Split(line string) ([]string, error) {
	if len(line) > maxLine {
		return nil, fmt.Errorf("the kernel parameters have %d bytes, more than the %d that a machine takes: shorten GRUB_CMDLINE_LINUX in the image's GRUB settings", len(line), maxLine)
	}
	var parameters []string
	quoted, start := false, -1
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case isBlank(c) && !quoted:
			if start >= 0 {
				parameters = append(parameters, line[start:i])
			}
			start = -1
		case start < 0:
			start = i
			quoted = c == '"'
		case c == '"':
			quoted = !quoted
		}
	}
	if start >= 0 {
		parameters = append(parameters, line[start:])
	}
	return parameters, nil
}

func isBlank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// Check refuses a parameter that a boot loader or the kernel would not take as
// it is written.
func Check(parameter string) error {
	if parameter == "" {
		return errors.New("a kernel parameter is empty")
	}
	for _, r := range parameter {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && !strings.ContainsRune(Plain, r) {
			return fmt.Errorf("kernel parameter %q has the character %q, which a boot loader may interpret", shortened(parameter), r)
		}
	}
	return nil
}

// Filter returns the parameters that an image may bring, and for each other
// one the reason why it is left out. Further patterns, of `kernel_parameters:`,
// extend the list: NAME, or NAME=VALUE, with * for any characters.
func Filter(parameters, further []string) (kept []string, refused []error) {
	allowed, never := append(Allowed(), further...), Never()
	for i, p := range parameters {
		if p == "--" {
			// What follows is for process 1, not for the kernel.
			return kept, append(refused, fmt.Errorf("kernel parameter %q ends the parameters and begins the arguments of init: that and the %d after it need --append", p, len(parameters)-i-1))
		}
		switch err := refuse(p, allowed, never); {
		case isMeaningless(p):
		case err != nil:
			refused = append(refused, err)
		default:
			kept = append(kept, p)
		}
	}
	return kept, refused
}

// isMeaningless knows what GRUB adds by itself: a machine whose root is in
// memory has no use for it.
func isMeaningless(p string) bool {
	return p == "ro" || p == "rw" || strings.HasPrefix(p, "BOOT_IMAGE=")
}

func refuse(p string, allowed, never []string) error {
	name, _, _ := strings.Cut(p, "=")
	is := func(pattern string) bool { return matches(pattern, p) }
	switch err := Check(p); {
	case err != nil:
		return err
	case len(p) > maxParameter:
		return fmt.Errorf("kernel parameter %q has %d bytes, more than %d: it needs --append", shortened(p), len(p), maxParameter)
	case slices.ContainsFunc(never, is):
		return fmt.Errorf("kernel parameter %q is never taken from an image: if it is meant, give it to the boot entry with --append", p)
	case slices.ContainsFunc(allowed, is):
		return nil
	}
	return fmt.Errorf("kernel parameter %q is not on the list in docs/boot.md: to allow it, add %q to kernel_parameters in config.yml", p, name)
}

// matches compares names as the kernel and systemd do, for which - and _ are
// the same. Without a value the pattern takes any.
func matches(pattern, parameter string) bool {
	wantName, wantValue, hasValue := strings.Cut(pattern, "=")
	name, value, _ := strings.Cut(parameter, "=")
	return glob(canonical(wantName), canonical(name)) && (!hasValue || glob(wantValue, value))
}

func canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }

// glob knows * alone, which matches any characters.
func glob(pattern, text string) bool {
	star, from := -1, 0 // the last * seen, and where what it matches ends
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, t
			p++
		case p < len(pattern) && pattern[p] == text[t]:
			p, t = p+1, t+1
		case star < 0:
			return false
		default:
			from++
			p, t = star+1, from
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// CheckPattern refuses an entry of `kernel_parameters:` that cannot have an
// effect. The error says why.
func CheckPattern(pattern string) error {
	if err := Check(pattern); err != nil {
		return err
	}
	name, _, _ := strings.Cut(pattern, "=")
	switch {
	case len(pattern) > maxParameter:
		return fmt.Errorf("it has more than %d bytes", maxParameter)
	case strings.Trim(name, "*") == "":
		return errors.New("it would allow every kernel parameter")
	case slices.ContainsFunc(Never(), func(never string) bool { return matches(never, pattern) }):
		return errors.New("an image never brings this one: it needs --append")
	}
	return nil
}

// shortened keeps a message short, whatever an image says.
func shortened(p string) string {
	if len(p) > maxParameter {
		return p[:maxParameter] + "…"
	}
	return p
}
