package progress

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"
	"github.com/tonistiigi/vt100"
	"golang.org/x/sys/unix"
)

// terminal is a real one as the kernel sees it, and what it shows.
type terminal struct {
	master, tty *os.File
	mu          sync.Mutex
	screen      *vt100.VT100
	raw         bytes.Buffer
	read        sync.WaitGroup
}

var unended = regexp.MustCompile(`\x1b(\[[0-9;?]*)?$`)

// wholes is how much of b ends with no sequence or character cut in two, of
// which the emulator would lose a part.
func wholes(b []byte) int {
	if at := unended.FindIndex(b); at != nil {
		return at[0]
	}
	for n := 1; n <= min(3, len(b)); n++ {
		if last := b[len(b)-n:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				return len(b) - n
			}
			break
		}
	}
	return len(b)
}

func newTerminal(t *testing.T, rows, columns int) *terminal {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{master: master, tty: tty, screen: vt100.NewVT100(rows, columns)}
	term.resize(t, rows, columns)
	term.read.Go(func() {
		var pending []byte // a sequence or character that is not whole yet
		for buffer := make([]byte, 4096); ; {
			n, err := master.Read(buffer)
			term.mu.Lock()
			pending = append(pending, buffer[:n]...)
			whole := wholes(pending)
			term.screen.Write(pending[:whole])
			pending = pending[whole:]
			term.raw.Write(buffer[:n])
			term.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	t.Cleanup(func() { tty.Close(); term.read.Wait(); master.Close() })
	return term
}

func (term *terminal) resize(t *testing.T, rows, columns int) {
	t.Helper()
	term.mu.Lock()
	defer term.mu.Unlock()
	term.screen.Resize(rows, columns)
	if err := pty.Setsize(term.master, &pty.Winsize{Rows: uint16(rows), Cols: uint16(columns)}); err != nil {
		t.Fatal(err)
	}
}

// lines are what the terminal shows.
func (term *terminal) lines() []string {
	term.mu.Lock()
	defer term.mu.Unlock()
	var lines []string
	for _, row := range term.screen.Content {
		lines = append(lines, strings.TrimRight(string(row), " "))
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// waitFor waits until the screen is as a test wants it.
func (term *terminal) waitFor(t *testing.T, what string, want func(lines []string) bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !want(term.lines()); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: the terminal shows\n%s", what, strings.Join(term.lines(), "\n"))
		}
	}
}

func has(pattern string) func([]string) bool {
	return func(lines []string) bool { return regexp.MustCompile(pattern).MatchString(strings.Join(lines, "\n")) }
}

func TestLive(t *testing.T) {
	term := newTerminal(t, 24, 80)
	before, err := unix.IoctlGetTermios(int(term.tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	l := NewLive(term.tty, false)
	r := New(l)
	term.waitFor(t, "before the run", has(`^  0:0\d  preparing$`))
	events := run()
	for i := range events {
		events[i].Time = time.Now()
	}
	for _, e := range events[:9] {
		r.Report(e)
	}
	term.waitFor(t, "two tasks run", has(`  0:0\d  rootfs master-12-web  playbook_web.yml: install nginx\n  0:0\d  conffs master-12-db  1/2 hosts\n  0:0\d  0 of 3 tasks done$`))
	r.Report(events[9])
	r.Report(events[10])
	term.waitFor(t, "a host failed", has(`(?s)db02: failed: task.*no\n such service\n.*: second line\n.*: log: .*msg=late\n.*rootfs .*1/2 hosts, 1 failed\n`))
	for _, e := range events[11:] {
		r.Report(e)
	}
	term.waitFor(t, "the end", has(`3 of 3 tasks done, 1 failed$`))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	term.waitFor(t, "the view is gone", has(`run failed after 1m2s: some of the work failed$`))
	if lines := term.lines(); strings.Contains(strings.Join(lines, "\n"), "tasks done") {
		t.Errorf("it left\n%s", strings.Join(lines, "\n"))
	}
	after, err := unix.IoctlGetTermios(int(term.tty.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal's modes: %+v, before %+v: %v", after, before, err)
	}
	onlyMoves(t, term)
}

// onlyMoves checks that the view went up and erased, and used no sequence that
// has to be taken back: no hidden cursor, no other screen, no mode.
func onlyMoves(t *testing.T, term *terminal) {
	t.Helper()
	term.mu.Lock()
	defer term.mu.Unlock()
	for _, sequence := range regexp.MustCompile(`\x1b[^\x1b]?[0-9;?]*.?`).FindAllString(term.raw.String(), -1) {
		if !regexp.MustCompile(`^\x1b\[([0-9]+A|J|[0-9;]*m)$`).MatchString(sequence) {
			t.Errorf("it wrote %q", sequence)
		}
	}
}

// TestLiveOnHardTerminals shows long lines, what a playbook prints to play
// with the terminal, and more tasks than there are lines, while the terminal's
// size changes.
func TestLiveOnHardTerminals(t *testing.T) {
	for _, size := range []struct{ rows, columns int }{{24, 80}, {6, 20}, {3, 12}} {
		t.Run(fmt.Sprintf("%dx%d", size.rows, size.columns), func(t *testing.T) {
			term := newTerminal(t, size.rows, size.columns)
			l := NewLive(term.tty, true)
			r := New(l)
			r.Report(Event{Type: RunStarted, Tasks: make([]Task, 40)})
			for i := range 40 {
				subject := fmt.Sprintf("master-%02d", i)
				r.Report(Event{Type: TaskStarted, Kind: "rootfs", Subject: subject})
				r.Report(Event{Type: Line, Kind: "rootfs", Subject: subject, Text: "\x1b[?25l\x1b[?1049h" + strings.Repeat("日本 long ", 1000)})
			}
			full := strings.Repeat(`  0:\d\d  ro.*…\n`, size.rows-2) + `  0:\d\d  0 .*`
			term.waitFor(t, "as many tasks as there is room for, and the count", has(`(?m)^`+full+`\z`))
			r.Report(Event{Type: Notice, Kind: "rootfs", Subject: "master-00", Text: "look at " + strings.Repeat("x", 5*size.columns)})
			term.resize(t, size.rows+4, size.columns+30)
			term.waitFor(t, "wider", has(`0 of 40 tasks done$`))
			for i := range 38 {
				r.Report(Event{Type: TaskEnded, Kind: "rootfs", Subject: fmt.Sprintf("master-%02d", i), Outcome: Done})
			}
			term.waitFor(t, "nearly all done", has(`(?m)^.*master-38.*\n.*master-39.*\n.*38 of 40 tasks done$`))
			r.Close()
			term.waitFor(t, "closed", has(`master-37: done$`))
			onlyMoves(t, term)
		})
	}
}

// TestLiveLosesItsTerminal goes on when nobody looks any more.
func TestLiveLosesItsTerminal(t *testing.T) {
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	r := New(NewLive(tty, false))
	r.Report(Event{Type: TaskStarted, Kind: "rootfs", Subject: "a"})
	master.Close()
	ended := make(chan error)
	go func() {
		for i := range 20 {
			r.Report(Event{Type: Notice, Text: strings.Repeat("x", 10000)})
			r.Report(Event{Type: TaskStarted, Kind: "rootfs", Subject: fmt.Sprint(i)})
			r.Report(Event{Type: TaskEnded, Kind: "rootfs", Subject: fmt.Sprint(i), Outcome: Done})
			time.Sleep(30 * time.Millisecond)
		}
		ended <- r.Close()
	}()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it hangs")
	}
}
