package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"

	"vauban/ansible"
	"vauban/ansible/repository"
	"vauban/config"
	"vauban/layers"
	"vauban/pipeline/freshness"
)

// playbook makes the step of an Ansible stage.
func (r *Runner) playbook(ctx context.Context, m *config.Master, stage config.Stage, revision repository.Revision, conffs bool, log io.WriteCloser) layers.Step {
	o := freshness.PlaybookOptions(m, stage, revision, conffs, r.partsOf(m).allHosts)
	o.Timeout = r.Timeout
	o.Output = func(host string) (io.WriteCloser, error) { return r.logFile(hostLog(m, host)) }
	o.Log, o.Progress = log, lines{r, ctx}
	o.Strict = r.Strict || r.Config.Configuration.Strict
	o.Passed = func(passed []ansible.Passed) { r.noticePassed(ctx, stage, passed) }
	o.Notice = func(host, text string) { r.notice(ctx, host, "%s: %s", stage.Raw, text) }
	return &logged{r.Ansible.Playbook(o), log}
}

// maxNotices bounds how many notices a stage gives about what it left out.
const maxNotices = 100

// noticePassed lists what a stage left out because it needs a running machine.
func (r *Runner) noticePassed(ctx context.Context, stage config.Stage, passed []ansible.Passed) {
	for _, n := range passedNotices(passed) {
		r.notice(ctx, n.host, "%s: skipped: %s", stage.Raw, n.text)
	}
}

type passedNotice struct{ host, text string }

// passedNotices says each thing once, however many hosts it is about.
func passedNotices(passed []ansible.Passed) (all []passedNotice) {
	hosts := map[ansible.Passed][]string{}
	var order []ansible.Passed
	more := 0
	for _, p := range passed {
		host := p.Host
		p.Host = ""
		switch {
		case p.More > 0:
			more += p.More
			continue
		case hosts[p] == nil && len(order) == maxNotices:
			more++
			continue
		case hosts[p] == nil:
			order = append(order, p)
		}
		hosts[p] = append(hosts[p], host)
	}
	for _, p := range order {
		if on := hosts[p]; len(on) == 1 {
			all = append(all, passedNotice{on[0], fmt.Sprintf("task %s", p)})
		} else {
			all = append(all, passedNotice{"", fmt.Sprintf("task %s, on %d hosts", p, len(on))})
		}
	}
	if more > 0 {
		all = append(all, passedNotice{"", fmt.Sprintf("and %d more", more)})
	}
	return all
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

// lines tells each line it gets as one of ctx's task.
type lines struct {
	r   *Runner
	ctx context.Context
}

func (l lines) Write(line []byte) (int, error) {
	l.r.say(l.ctx, "%s", bytes.TrimSpace(line))
	return len(line), nil
}

// hosts expands a pattern, less the masters, which are no machines.
func (r *Runner) hosts(ctx context.Context, m *config.Master, pattern string) ([]string, error) {
	revision, err := r.Ansible.Repository.Revision(ctx, cmp.Or(r.Branch, m.Branch))
	if err != nil {
		return nil, err
	}
	return r.Ansible.Hosts(ctx, revision, freshness.HostPattern(r.Config, m, pattern))
}
