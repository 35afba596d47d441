package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"

	"vauban/progress"
)

func TestRenderer(t *testing.T) {
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer tty.Close()
	go func() { // a terminal that nobody reads fills up
		for buffer := make([]byte, 1024); ; {
			if _, err := master.Read(buffer); err != nil {
				return
			}
		}
	}()
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, test := range []struct {
		flag     string
		terminal bool
		env      string
		want     string
	}{
		{"auto", true, "TERM=xterm", "*progress.Live"},
		{"auto", true, "TERM=dumb", "progress.Plain"},
		{"auto", true, "GITLAB_CI=true", "*progress.Sections"},
		{"auto", false, "TERM=xterm", "progress.Plain"},
		{"auto", false, "GITHUB_ACTIONS=true", "*progress.Sections"},
		{"plain", true, "TERM=xterm", "progress.Plain"},
		{"plain", false, "GITLAB_CI=true", "*progress.Sections"},
		{"live", true, "GITLAB_CI=true", "*progress.Live"},
		{"live", false, "TERM=xterm", "<nil>"},
		{"json", true, "GITLAB_CI=true", "progress.JSON"},
		{"quiet", true, "TERM=xterm", "progress.Quiet"},
	} {
		t.Run(fmt.Sprintf("%s %t %s", test.flag, test.terminal, test.env), func(t *testing.T) {
			f := &reportFlags{progress: formatFlag{value: test.flag}}
			stderr := file
			if test.terminal {
				stderr = tty
			}
			name, value, _ := strings.Cut(test.env, "=")
			r, err := f.renderer(stderr, func(asked string) string {
				if asked == name {
					return value
				}
				return ""
			})
			if got := fmt.Sprintf("%T", r); got != test.want || (err == nil) != (got != "<nil>") {
				t.Errorf("got %s, %v; want %s", got, err, test.want)
			}
			if r != nil {
				r.Close()
			}
		})
	}
}

func TestConsoleIsLent(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c := &console{file: file}
	var lent bytes.Buffer
	fmt.Fprintln(c, "before")
	c.lend(&lent)
	fmt.Fprintln(c, "meanwhile")
	c.lend(nil)
	fmt.Fprintln(c, "after")
	said, err := os.ReadFile(file.Name())
	if err != nil || string(said) != "before\nafter\n" || lent.String() != "meanwhile\n" {
		t.Errorf("it said %q, and %q to who had it: %v", said, &lent, err)
	}
}

// TestJSONToTheEnd: who reads objects gets the errors after a run as such too.
func TestJSONToTheEnd(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c := &console{file: file}
	f := &reportFlags{progress: formatFlag{value: "json"}}
	r, err := f.reporter(c)
	if err != nil {
		t.Fatal(err)
	}
	r.Report(progress.Event{Type: progress.RunStarted})
	fmt.Fprintln(c, "vauban: interrupted")
	r.Close()
	f.release(c)
	fmt.Fprintln(c, "vauban: some of the work failed")
	said, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(said)), "\n")
	if len(lines) != 3 || !strings.Contains(lines[1], `"text":"vauban: interrupted"`) || !strings.Contains(lines[2], `"level":"ERROR"`) {
		t.Errorf("it said %s", said)
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, `{"time":`) {
			t.Errorf("%q is no object", line)
		}
	}
}
