package boot

import (
	"bufio"
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

//go:embed probe
var probeFiles embed.FS

// Report is what a booted machine says of itself.
type Report struct {
	// State is what `systemctl is-system-running` printed when all jobs of
	// the boot were done.
	State string
	// Failed are the units that failed.
	Failed []string
	// Output is what Options.Probe printed on stdout and stderr, and Exit
	// its exit code.
	Output []byte
	Exit   int
}

// Up reports whether the machine came up, possibly with failed units.
func (r Report) Up() bool { return r.State == "running" || r.State == "degraded" }

// readReport waits for the line that probe/report.sh writes; others, such as
// what firmware or kernel put on the port, are skipped.
func readReport(r io.Reader) (Report, error) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return Report{}, err
		}
		start := bytes.IndexByte(line, '{')
		if start < 0 {
			continue
		}
		report, err := parseReport(line[start:])
		if err == nil {
			return report, nil
		}
	}
}

func parseReport(line []byte) (Report, error) {
	var wire struct {
		State          string
		Failed, Output []byte // base64
		Exit           int
	}
	if err := json.Unmarshal(line, &wire); err != nil {
		return Report{}, fmt.Errorf("reading the guest's report: %w", err)
	}
	if wire.State == "" {
		return Report{}, fmt.Errorf("reading the guest's report: no state in %q", line)
	}
	return Report{
		State:  wire.State,
		Failed: strings.Fields(string(wire.Failed)),
		Output: wire.Output,
		Exit:   wire.Exit,
	}, nil
}

// writeProbe writes an archive that, appended to an initramfs, makes the booted
// system report and run the script probe. Nothing of it is in the image.
func writeProbe(w io.Writer, probe string) error {
	script := func(name string) []byte {
		data, err := probeFiles.ReadFile("probe/" + name)
		if err != nil {
			panic(err) // the names below are embedded
		}
		return data
	}
	// /lib is a link to usr/lib in the initramfs, which the kernel follows.
	const hooks = "lib/dracut/hooks/pre-pivot"
	return writeCPIO(w, []cpioFile{
		{name: "vauban-report", mode: cpioDir},
		{name: "vauban-report/probe.sh", mode: cpioRegular, data: []byte(probe)},
		{name: "vauban-report/report.sh", mode: cpioRegular, data: script("report.sh")},
		{name: "vauban-report/vauban-report.service", mode: cpioRegular, data: script("vauban-report.service")},
		{name: hooks + "/90-vauban-report.sh", mode: cpioProgram, data: script("hook.sh")},
	})
}
