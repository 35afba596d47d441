//go:build integration

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"vauban/ansible"
	"vauban/ansible/repository"
	"vauban/config"
	"vauban/internal/testenv"
	"vauban/layers"
	"vauban/pipeline/plan"
)

// ordinary is what a stage for hosts mostly is: small files and links.
const ordinary = `
- hosts: all
  tasks:
    - name: a directory
      ansible.builtin.file: {path: /srv/app, state: directory, mode: "0755"}
    - name: files
      ansible.builtin.copy:
        content: "{{ item }} {{ inventory_hostname }}\n"
        dest: /srv/app/{{ item }}
      loop: [a, b, c]
    - name: a line
      ansible.builtin.lineinfile: {path: /etc/environment, line: "HOST={{ inventory_hostname }}", create: true}
    - name: a link
      ansible.builtin.file: {src: /srv/app/a, dest: /srv/current, state: link}
    - name: a user
      ansible.builtin.user: {name: app, system: true}
    - name: a service
      ansible.builtin.service: {name: systemd-timesyncd, enabled: false}
      failed_when: false
`

func tenHosts() (inventory string, names []string) {
	inventory = "all:\n  hosts:\n"
	for i := range 10 {
		name := fmt.Sprintf("host%02d", i)
		inventory += "    " + name + ":\n"
		names = append(names, name)
	}
	return inventory, names
}

// BenchmarkTenHosts compares the conffs of ten hosts in one run of ansible
// with ten runs at once, a container each.
func BenchmarkTenHosts(b *testing.B) {
	inventory, names := tenHosts()
	w := newWorld(b, map[string]string{"playbook_master.yml": ordinary, "hosts.yml": inventory, "ansible.cfg": "[defaults]\ninventory = hosts.yml\n"})
	if _, outcomes, err := w.build(b, Options{NoPublish: true}, plan.Request{Names: []string{"master-test"}, Stage: plan.Rootfs}); err != nil {
		b.Fatalf("%v: %v", err, outcomes)
	}
	for b.Loop() {
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
		together := time.Since(start)

		start = time.Now()
		var runs errgroup.Group
		for _, name := range names {
			runs.Go(func() error { return buildAll(b.Context(), r, m, img, []string{name}) })
		}
		if err := runs.Wait(); err != nil {
			b.Fatal(err)
		}
		separate := time.Since(start)
		b.ReportMetric(together.Seconds(), "together-s")
		b.ReportMetric(separate.Seconds(), "separate-s")
		b.ReportMetric(together.Seconds()/separate.Seconds(), "ratio")
	}
}

func buildAll(ctx context.Context, r *Runner, m *config.Master, img layers.Image, names []string) error {
	t := &conffsTask{stages: stages{job: r.job(nil), master: m, conffs: true, hosts: names}, image: img, wanted: names}
	hosts, err := t.build(ctx, names)
	for _, h := range hosts {
		if h.Failed != "" {
			return errors.New(h.Failed)
		}
	}
	return err
}

// timed measures a step from within the engine.
type timed struct {
	layers.Step
	began, ended time.Time
}

func (s *timed) Key(ctx context.Context, host string) (digest.Digest, error) {
	return s.Step.Key(ctx, host)
}

func (s *timed) Run(ctx context.Context, c []*layers.Container) error {
	s.began = time.Now()
	defer func() { s.ended = time.Now() }()
	return s.Step.Run(ctx, c)
}

// stopwatch is an ansible-playbook that writes down how long it took, in
// nanoseconds; its siblings are the real ones.
func stopwatch(b *testing.B) (program, record string) {
	b.Helper()
	dir := b.TempDir()
	record = filepath.Join(dir, "took")
	for _, name := range []string{"ansible-galaxy", "ansible-config", "ansible", "ansible-inventory", "ansible-playbook"} {
		path, err := exec.LookPath(name)
		if err != nil {
			b.Fatal(err)
		}
		if name != "ansible-playbook" {
			if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
				b.Fatal(err)
			}
			continue
		}
		script := fmt.Sprintf("#!/bin/bash\nstart=$(date +%%s%%N)\n%s \"$@\"\nstatus=$?\necho $(($(date +%%s%%N) - start)) >>%s\nexit $status\n", path, record)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			b.Fatal(err)
		}
	}
	return filepath.Join(dir, "ansible-playbook"), record
}

// BenchmarkStage measures what a stage costs beyond ansible itself and the
// start of its container.
func BenchmarkStage(b *testing.B) {
	w := newWorld(b, map[string]string{"playbook_master.yml": ordinary})
	program, record := stopwatch(b)
	controller, err := ansible.Open(b.Context(), ansible.Options{
		Repository: repository.Options{Repo: filepath.Join(w.dir, "playbooks"), StateDir: filepath.Join(w.dir, "state"), Environ: os.Environ(), Log: testenv.Log(b)},
		Program:    program,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer controller.Close()
	revision, err := controller.Repository.Revision(b.Context(), "")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		os.Remove(record)
		step := &timed{Step: controller.Playbook(ansible.PlaybookOptions{Revision: revision, Path: "playbook_master.yml", Master: "master-test"})}
		start := time.Now()
		results, err := w.engine.Apply(b.Context(), step, layers.Change{Created: start}, layers.Target{Parent: w.base, ContainerOptions: layers.ContainerOptions{Name: "master-test"}})
		if err != nil || results[0].Err != nil {
			b.Fatal(err, results)
		}
		total := time.Since(start)
		text, err := os.ReadFile(record)
		if err != nil {
			b.Fatal(err)
		}
		ns, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		starting, ansible := step.began.Sub(start), time.Duration(ns)
		b.ReportMetric(float64(starting.Milliseconds()), "start-ms")
		b.ReportMetric(float64(ansible.Milliseconds()), "ansible-ms")
		b.ReportMetric(float64((total - starting - ansible).Milliseconds()), "added-ms")
		b.ReportMetric(float64(time.Since(step.ended).Milliseconds()), "commit-ms")
	}
}
