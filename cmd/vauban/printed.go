package main

import (
	"io"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"vauban/progress"
)

// printed is standard output for people: what an image says, or its files are
// called, never reaches the terminal as something that it would obey.
type printed struct {
	w    io.Writer
	rest []byte // of a character that was not written whole
}

func (p *printed) Write(text []byte) (int, error) {
	all := append(p.rest, text...)
	whole := wholeRunes(all)
	p.rest = append([]byte(nil), all[whole:]...)
	if _, err := io.WriteString(p.w, progress.Printable(string(all[:whole]))); err != nil {
		return 0, err
	}
	return len(text), nil
}

// wholeRunes is the length of text without a character that is cut at its end.
func wholeRunes(text []byte) int {
	for back := 1; back < utf8.UTFMax && back <= len(text); back++ {
		if at := len(text) - back; utf8.RuneStart(text[at]) {
			if !utf8.FullRune(text[at:]) {
				return at
			}
			break
		}
	}
	return len(text)
}

// unprinted is standard output for programs and for those who asked for all
// that a command in an image prints.
func unprinted(cmd *cobra.Command) io.Writer {
	out := cmd.OutOrStdout()
	if p, ok := out.(*printed); ok {
		return p.w
	}
	return out
}
