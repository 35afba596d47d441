package pipeline

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"strings"

	"vauban/ansible"
	"vauban/ansible/repository"
	"vauban/config"
	"vauban/layers"
	"vauban/pipeline/freshness"
	"vauban/pipeline/provenance"
	"vauban/pipeline/recipes"
)

// stages makes the steps of a master's stages, for the master itself or for its
// hosts.
type stages struct {
	*job
	master *config.Master
	// conffs is set for the hosts; then hosts are all that the master has.
	conffs bool
	hosts  []string
}

// step makes the step of a stage, and the labels of the image that it makes;
// below names the image below the one of a hostname.
func (s *stages) step(ctx context.Context, stage config.Stage, logName string, below func(hostname string) string) (layers.Step, map[string]string, error) {
	labels := map[string]string{provenance.LabelMaster: s.master.Name, provenance.LabelStage: stage.Raw}
	if stage.Dockerfile != "" {
		step, err := s.dockerfile(stage, logName)
		if err != nil {
			return nil, nil, err
		}
		return s.traced(step, s.master.Base, stage.Raw, labels, below), labels, nil
	}
	revision, err := s.Ansible.Repository.Revision(ctx, stage.RunBranch(s.Branch))
	if err != nil {
		return nil, nil, err
	}
	labels[provenance.LabelBranch], labels[provenance.LabelCommit] = revision.Branch, revision.Commit
	log, err := s.logs.open(logName)
	if err != nil {
		return nil, nil, err
	}
	return s.traced(s.playbook(stage, revision, log), s.master.Base, stage.Playbook, labels, below), labels, nil
}

// dockerfile is the step of a Dockerfile stage.
func (s *stages) dockerfile(stage config.Stage, logName string) (layers.Step, error) {
	step, err := recipes.OfStage(s.Config, stage, s.withheld)
	if err != nil {
		return nil, err
	}
	log, err := s.logs.open(logName)
	if err != nil {
		return nil, err
	}
	step.CacheDir, step.Log = filepath.Join(s.StateDir, "cache"), log
	step.Notice = func(text string) { s.notice("", "%s: %s", stage.Raw, text) }
	return &recipe{log: log, Step: step}, nil
}

// playbook is the step of an Ansible stage.
func (s *stages) playbook(stage config.Stage, revision repository.Revision, log io.WriteCloser) layers.Step {
	o := freshness.PlaybookOptions(s.master, stage, revision, s.conffs, s.hosts)
	o.Timeout = s.Timeout
	o.Output = func(host string) (io.WriteCloser, error) { return s.logs.open(hostLog(s.master, host)) }
	o.Log, o.Progress = log, lines{s.job}
	o.Strict = s.Strict || s.Config.Configuration.Strict
	o.Passed = func(passed []ansible.Passed) { s.noticePassed(stage, passed) }
	o.Notice = func(host, text string) { s.notice(host, "%s: %s", stage.Raw, text) }
	return &logged{s.Ansible.Playbook(o), log}
}

// container are the options of a container of a stage.
func (s *stages) container(stage config.Stage, name string) layers.ContainerOptions {
	return layers.ContainerOptions{Name: name, HostNetwork: s.master.Network == "host", Systemd: stage.Init == "systemd", AptLists: !s.conffs}
}

// traced makes a step that records itself in the images that it makes; below
// names the image below the one of a hostname.
func (j *job) traced(step layers.Step, b *config.Base, playbook string, labels map[string]string, below func(hostname string) string) layers.Step {
	return provenance.Trace(step, provenance.Origin{Base: b.Key, Date: j.time, Playbook: playbook, Tool: strings.TrimSpace("vauban " + j.Version),
		Branch: labels[provenance.LabelBranch], Commit: labels[provenance.LabelCommit], Source: below})
}

// hostLog names the log of a host, or of the master itself.
func hostLog(m *config.Master, host string) string {
	if host == config.MachineName(m.Name) {
		return m.Image()
	}
	return m.HostImage(host)
}

// logged is a step with a log that is open as long as it is used.
type logged struct {
	layers.Step
	log io.Closer
}

// Unwrap is the step without its log.
func (l *logged) Unwrap() layers.Step { return l.Step }

// Close closes the log.
func (l *logged) Close() error { return l.log.Close() }

// lines says each line it gets.
type lines struct{ j *job }

func (l lines) Write(line []byte) (int, error) {
	l.j.say("%s", bytes.TrimSpace(line))
	return len(line), nil
}

// maxNotices bounds how many notices a stage gives about what it left out.
const maxNotices = 100

// noticePassed lists what a stage left out because it needs a running machine.
func (j *job) noticePassed(stage config.Stage, passed []ansible.Passed) {
	for _, n := range passedNotices(passed) {
		j.notice(n.host, "%s: skipped: %s", stage.Raw, n.text)
	}
}
