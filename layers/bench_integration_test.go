//go:build integration

package layers_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"vauban/layers"
)

// BenchmarkInit measures what a stage that does nothing costs under either
// process 1: to start its container, and to stop and commit it.
func BenchmarkInit(b *testing.B) {
	e, base := shared.use(b)
	for name, systemd := range map[string]bool{"default": false, "systemd": true} {
		b.Run(name, func(b *testing.B) {
			to := target("bench", base)
			to.Systemd = systemd
			var starting, ending time.Duration
			for b.Loop() {
				start := time.Now()
				step := &watched{script: script("true")}
				if _, err := e.Apply(b.Context(), step, change, to); err != nil {
					b.Fatal(err)
				}
				starting += step.began.Sub(start)
				ending += time.Since(step.ended)
			}
			b.ReportMetric(float64(starting.Milliseconds())/float64(b.N), "start-ms")
			b.ReportMetric(float64(ending.Milliseconds())/float64(b.N), "commit-ms")
		})
	}
}

// watched is a step that looks at the clock.
type watched struct {
	script
	began, ended time.Time
}

func (m *watched) Run(ctx context.Context, containers []*layers.Container) error {
	m.began = time.Now()
	defer func() { m.ended = time.Now() }()
	return m.script.Run(ctx, containers)
}

// BenchmarkInside measures the processor time of the program inside, in a
// container with 300 services. The bounds are those that a playbook can
// bear: every service_facts lists them, and every service task asks.
func BenchmarkInside(b *testing.B) {
	const services = `cd /usr/lib/systemd/system && i=$(ls -d *.service | wc -l) && while [ $i -lt 300 ]; do
		i=$((i+1)); printf '[Unit]\nDescription=Canary %d\nAfter=network.target\n[Service]\nType=simple\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n' $i >canary$i.service
		[ $((i % 2)) = 0 ] || ln -s /lib/systemd/system/canary$i.service /etc/systemd/system/multi-user.target.wants/; done; ls -d *.service | wc -l`
	e, base := shared.use(b)
	live(b, e, target("inside", base), func(c *layers.Container) {
		if got, err := sh(b, c, services); err != nil || got != "300" {
			b.Fatalf("%s services: %v", got, err)
		}
		for name, test := range map[string]struct {
			command string
			bound   time.Duration
		}{
			"start":     {layers.StandInPath + "/umount /x", 2 * time.Millisecond},
			"units":     {layers.UnitsPath, 100 * time.Millisecond},
			"show":      {layers.StandInPath + "/systemctl show canary299", 15 * time.Millisecond},
			"status":    {layers.StandInPath + "/systemctl status canary299", 15 * time.Millisecond},
			"is-active": {layers.StandInPath + "/systemctl is-active canary299", 15 * time.Millisecond},
		} {
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					used := cpuInside(b, c, test.command)
					b.ReportMetric(float64(used.Microseconds())/1000, "cpu-ms")
					if used > test.bound {
						b.Errorf("%s takes %s of processor time, the bound is %s", test.command, used, test.bound)
					}
				}
			})
		}
	})
}

// cpuInside returns the processor time of a command, the mean of many runs.
func cpuInside(b *testing.B, c *layers.Container, command string) time.Duration {
	b.Helper()
	const runs = 100
	got, err := sh(b, c, fmt.Sprintf(`i=0; while [ $i -lt %d ]; do i=$((i+1)); %s >/dev/null; done; set -- $(cat /proc/$$/stat); echo ${16} ${17}`, runs, command))
	if err != nil {
		b.Fatalf("%v: %s", err, got)
	}
	var ticks time.Duration // of the children, source: proc_pid_stat(5)
	for field := range strings.FieldsSeq(got) {
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * (time.Second / 100) / runs
}
