//go:build integration

package layers_test

import (
	"context"
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
