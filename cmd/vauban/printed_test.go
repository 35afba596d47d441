package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"vauban/drift"
	"vauban/pipeline/provenance"
)

// nasty is what an image can say, and files of it can be called: it would
// set the terminal's title, clear it, and show a line that is not ours.
const nasty = "x\x1b]0;title\x07\x1b[2J\u009b31m\u202etxt\nvauban: all is well\r\x7f"

// obeyed finds what a terminal would obey.
func obeyed(text string) int {
	return strings.IndexFunc(text, func(c rune) bool {
		return unicode.IsControl(c) && c != '\n' && c != '\t' || unicode.Is(unicode.Bidi_Control, c)
	})
}

func TestNothingPrintedIsObeyed(t *testing.T) {
	history := provenance.History{ISO: nasty, Date: nasty,
		Stages:   []provenance.AppliedStage{{Date: nasty, Playbook: nasty, Hostname: nasty, Source: nasty, GitSHA1: nasty, GitBranch: nasty}},
		Packages: []provenance.PackageChanges{{Playbook: nasty, Hostname: nasty, Packages: nasty}},
	}
	changes := []change{{Path: "/" + nasty, Kind: "added", Mode: "-rw", Diff: "+" + nasty + "\n"}}
	drifted := []drift.Change{{Path: "/" + nasty, Kind: drift.Moved, From: nasty, Target: nasty, Diff: "+" + nasty}}
	made := provenance.Made{Master: nasty, Host: nasty, Stage: nasty, Branch: nasty, Commit: nasty}
	for name, print := range map[string]struct {
		text  func(io.Writer) error
		value any
		lines int // of the text that may begin like ours: of a file's content
	}{
		"history": {func(w io.Writer) error { return printHistory(w, history) }, history, 1},
		"diff":    {func(w io.Writer) error { return printChanges(w, "text", changes) }, changes, 1},
		"drift":   {func(w io.Writer) error { return printDrift(w, "text", drifted) }, drifted, 1},
		"which": {func(w io.Writer) error {
			return writer{Path: nasty, By: nasty, Images: []string{nasty}, Made: made}.print(w)
		}, made, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var text, document bytes.Buffer
			if err := errors.Join(print.text(&printed{w: &text}), printJSON(&document, print.value)); err != nil {
				t.Fatal(err)
			}
			for _, out := range []string{text.String(), document.String()} {
				if at := obeyed(out); at >= 0 {
					t.Errorf("the terminal would obey what is at %d of %q", at, out)
				}
			}
			if !strings.Contains(text.String(), "vauban: all is well") || strings.Count("\n"+text.String(), "\nvauban: all is well") > print.lines {
				t.Errorf("a name begins a line: %q", text.String())
			}
			var back any
			if err := json.Unmarshal(document.Bytes(), &back); err != nil || !strings.Contains(document.String(), `\u009b31m\u202etxt`) {
				t.Errorf("%s: %v", document.String(), err)
			}
		})
	}
}

func TestPrintedInPieces(t *testing.T) {
	const text = "日本語 é\ta\x1b[31mb\u009b1mc 語"
	var whole, pieces bytes.Buffer
	if _, err := (&printed{w: &whole}).Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	p := &printed{w: &pieces}
	for i := range len(text) {
		if n, err := p.Write([]byte{text[i]}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if got, want := whole.String(), "日本語 é\tabc 語"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// In pieces the parameters of a sequence stay, as text.
	if got, want := pieces.String(), "日本語 é\ta[31mb1mc 語"; got != want {
		t.Errorf("in pieces: got %q, want %q", got, want)
	}
}

// TestCommandsPrint runs the command line on a root that holds hostile files.
func TestCommandsPrint(t *testing.T) {
	root := t.TempDir()
	quoted, err := json.Marshal(nasty)
	if err != nil {
		t.Fatal(err)
	}
	text := "iso: " + escapeControls(string(quoted)) + "\ndate: x\nstages: []\n"
	if err := os.WriteFile(filepath.Join(root, "imginfo"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"history", root}, {"history", root, "--output", "json"}, {"history", filepath.Join(root, "\x1b[2J", "none")}, {"x\x1b[2J"}} {
		_, out, errs := vauban(t, args...)
		if at := obeyed(out + errs); at >= 0 || out+errs == "" {
			t.Errorf("%q: %q, %q", args, out, errs)
		}
	}
}
