package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"vauban/internal/text"

	"github.com/spf13/cobra"
)

// formatFlag is a flag that takes one of several words.
type formatFlag struct {
	value string
	all   []string
}

func (f *formatFlag) String() string { return f.value }

func (f *formatFlag) Type() string { return "format" }

// Set refuses what is none of the words.
func (f *formatFlag) Set(value string) error {
	if !slices.Contains(f.all, value) {
		return fmt.Errorf("use %s", text.Or(f.all))
	}
	f.value = value
	return nil
}

// outputFlag adds --output with its formats, the first being the default.
func outputFlag(cmd *cobra.Command, format *formatFlag, formats ...string) {
	*format = formatFlag{value: formats[0], all: formats}
	cmd.Flags().Var(format, "output", "how it is printed: "+text.Or(formats))
}

// printJSON writes v as an indented document.
func printJSON(out io.Writer, v any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(out, escapeControls(text.String()))
	return err
}

// escapeControls escapes in a JSON document what [json] leaves as it is and a
// terminal would obey: DEL, the control characters after it, and those that
// turn the direction of writing. They can only be in strings.
func escapeControls(text string) string {
	var escaped strings.Builder
	for _, c := range text {
		if c != '\n' && (unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c)) {
			fmt.Fprintf(&escaped, "\\u%04x", c)
		} else {
			escaped.WriteRune(c)
		}
	}
	return escaped.String()
}
