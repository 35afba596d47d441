package boot

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func reportLine(state, failed, output string, exit int) string {
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("{\"state\": %q, \"failed\": %q, \"exit\": %d, \"output\": %q}\n",
		state, encode([]byte(failed)), exit, encode([]byte(output)))
}

func TestReadReport(t *testing.T) {
	got, err := readReport(strings.NewReader("\x1bcSeaBIOS {\r\n{\"state\": \"\"}\n\x00" +
		reportLine("degraded", "a.service\nb\\x2d.mount\n", "one\ntwo\n", 3) + "rest"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Report{
		State:  "degraded",
		Failed: []string{"a.service", `b\x2d.mount`},
		Output: []byte("one\ntwo\n"),
		Exit:   3,
	}, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func TestReadReportNone(t *testing.T) {
	if _, err := readReport(strings.NewReader("nothing\n")); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want io.EOF", err)
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add([]byte(reportLine("running", "", "", 0)))
	f.Add([]byte(`{"state": 1}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if report, err := parseReport(line); err == nil && report.State == "" {
			t.Errorf("a report without a state was read from %q", line)
		}
	})
}

func TestStopReason(t *testing.T) {
	for name, test := range map[string]struct{ console, reason, last string }{
		"nothing": {"", "", ""},
		"none":    {"Linux version 6\r\n\r\nlogin: \r\n", "", "login:"},
		"stopped": {"[   29.0] vauban: stopped: no network\r\n[   31.0] reboot: Power down\r\n", "no network", "[   31.0] reboot: Power down"},
	} {
		t.Run(name, func(t *testing.T) {
			reason, last := stopReason(strings.NewReader(test.console))
			if reason != test.reason || last != test.last {
				t.Errorf("got %q, %q; want %q, %q", reason, last, test.reason, test.last)
			}
		})
	}
}
