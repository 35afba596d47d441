//go:build integration

package pipeline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vauban/pipeline/plan"
)

// BenchmarkMitogen compares the conffs of ten hosts, made of small tasks, with
// and without Mitogen. Debian's knows no services.
func BenchmarkMitogen(b *testing.B) {
	inventory, names := tenHosts()
	playbook, _, _ := strings.Cut(ordinary, "    - name: a service")
	w := newWorld(b, map[string]string{"playbook_master.yml": playbook, "hosts.yml": inventory, "ansible.cfg": "[defaults]\ninventory = hosts.yml\n"})
	if _, outcomes, err := w.build(b, Options{NoPublish: true}, plan.Request{Names: []string{"master-test"}, Stage: plan.Rootfs}); err != nil {
		b.Fatalf("%v: %v", err, outcomes)
	}
	tree, err := os.ReadFile(filepath.Join(w.dir, "config.yml"))
	if err != nil {
		b.Fatal(err)
	}
	took := func(strategy string) time.Duration {
		write(b, filepath.Join(w.dir, "config.yml"), strings.Replace(string(tree), "configuration:\n", "configuration:\n  ansible: {strategy: "+strategy+"}\n", 1))
		r := w.runner(b, Options{}, &plan.Plan{})
		m := r.Config.Masters()[0]
		img, err := r.job(nil).latest(b.Context(), m.Image())
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if err := buildAll(b.Context(), r, m, img, names); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	for b.Loop() {
		plain, mitogen := took("linear"), took("mitogen")
		b.ReportMetric(plain.Seconds(), "plain-s")
		b.ReportMetric(mitogen.Seconds(), "mitogen-s")
		b.ReportMetric(mitogen.Seconds()/plain.Seconds(), "ratio")
	}
}
