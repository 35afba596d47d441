package freshness

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/opencontainers/go-digest"

	"vauban/config"
	"vauban/pipeline/plan"
	"vauban/release"
)

// Status is the freshness of a tree.
type Status struct {
	Bases   []BaseStatus   `json:"bases"`
	Masters []MasterStatus `json:"masters"`
	// Uncovered are hosts of the inventory that no master has.
	Uncovered []string `json:"uncovered"`
}

// BaseStatus is the freshness of a base.
type BaseStatus struct {
	Name  string        `json:"name"`
	Fresh bool          `json:"fresh"`
	Image digest.Digest `json:"image,omitempty"`
	Made  *time.Time    `json:"made,omitempty"`
	plan.Verdict
}

// MasterStatus is the freshness of a master, of its hosts and of what is
// published of both.
type MasterStatus struct {
	Name    string        `json:"name"`
	Parent  string        `json:"parent"`
	Fresh   bool          `json:"fresh"`
	Image   digest.Digest `json:"image,omitempty"`
	Made    *time.Time    `json:"made,omitempty"`
	Release plan.Verdict  `json:"release"`
	// Published is what this machine serves. Nil: nothing.
	Published *PublishedStatus `json:"published,omitempty"`
	Hosts     []HostStatus     `json:"hosts,omitempty"`
	// Gone are hosts that were built and that the inventory no longer has.
	Gone []string `json:"gone,omitempty"`
	plan.Verdict
}

// PublishedStatus is what is served of a master.
type PublishedStatus struct {
	Release string `json:"release"`
	// Missing and Leaving are as in the release's manifest.
	Missing []string `json:"missing,omitempty"`
	Leaving []string `json:"leaving,omitempty"`
	// RolledBack is set after a rollback, until a release is deployed.
	RolledBack *release.Pin `json:"rolledBack,omitempty"`
	// Candidates are releases that were built since, newest first.
	Candidates []string `json:"candidates,omitempty"`
}

// HostStatus is the freshness of a host.
type HostStatus struct {
	Name  string `json:"name"`
	Fresh bool   `json:"fresh"`
	plan.Verdict
}

// FreshHosts counts the hosts that are fresh.
func (m MasterStatus) FreshHosts() int {
	n := 0
	for _, h := range m.Hosts {
		if h.Fresh {
			n++
		}
	}
	return n
}

// Fresh reports whether nothing is stale, and nothing is of a host that is gone.
func (s Status) Fresh() bool {
	for _, b := range s.Bases {
		if !b.Fresh {
			return false
		}
	}
	for _, m := range s.Masters {
		if !m.Fresh || !m.Release.Fresh() || m.FreshHosts() < len(m.Hosts) || len(m.Gone) > 0 {
			return false
		}
	}
	return true
}

// Status judges those bases and masters that are wanted; nil is all.
func (j *Judge) Status(ctx context.Context, wanted func(*config.Base, *config.Master) bool) (Status, error) {
	if err := j.Load(ctx); err != nil {
		return Status{}, err
	}
	if wanted == nil {
		wanted = func(*config.Base, *config.Master) bool { return true }
	}
	s := Status{Bases: []BaseStatus{}, Masters: []MasterStatus{}, Uncovered: []string{}}
	for _, b := range j.Config.Bases {
		v, err := j.Base(ctx, b)
		if err != nil {
			return s, fmt.Errorf("judging base %q: %w", b.Name, err)
		}
		image, made, err := j.made(ctx, b.Image())
		if err != nil {
			return s, err
		}
		if wanted(b, nil) {
			s.Bases = append(s.Bases, BaseStatus{b.Name, v.Fresh(), image, made, v})
		}
		if err := j.masters(ctx, &s, b.Masters, b.Name, v, wanted); err != nil {
			return s, err
		}
	}
	uncovered, err := j.Uncovered(ctx)
	s.Uncovered = append(s.Uncovered, uncovered...)
	return s, err
}

func (j *Judge) masters(ctx context.Context, s *Status, masters []*config.Master, parent string, above plan.Verdict, wanted func(*config.Base, *config.Master) bool) error {
	for _, m := range masters {
		v, err := j.Master(ctx, m)
		if err != nil {
			return fmt.Errorf("judging master %q: %w", m.Name, err)
		}
		v.Follow(above, "its parent %s is stale", parent)
		if wanted(nil, m) {
			status, err := j.master(ctx, m, parent, v)
			if err != nil {
				return fmt.Errorf("judging the hosts of %q: %w", m.Name, err)
			}
			s.Masters = append(s.Masters, status)
		}
		if err := j.masters(ctx, s, m.Masters, m.Name, v, wanted); err != nil {
			return err
		}
	}
	return nil
}

func (j *Judge) master(ctx context.Context, m *config.Master, parent string, v plan.Verdict) (status MasterStatus, err error) {
	status = MasterStatus{Name: m.Name, Parent: parent, Fresh: v.Fresh(), Verdict: v}
	if status.Image, status.Made, err = j.made(ctx, m.Image()); err != nil {
		return status, err
	}
	if status.Release, err = j.Release(ctx, m); err != nil {
		return status, err
	}
	hosts, gone, err := j.Hosts(ctx, m, true)
	if err != nil {
		return status, err
	}
	for _, h := range hosts {
		h.Follow(v, "its master is stale")
		status.Hosts = append(status.Hosts, HostStatus{h.Name, h.Fresh(), h.Verdict})
	}
	status.Gone = gone
	status.Published, err = publishedNow(j.UploadDir, m.Name)
	return status, err
}

// publishedNow is nil where nothing is served.
func publishedNow(uploadDir, master string) (*PublishedStatus, error) {
	current, err := release.Current(uploadDir, master)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	s := &PublishedStatus{Release: current.Timestamp, Missing: current.Missing, Leaving: current.Leaving}
	if s.RolledBack, err = release.Pinned(uploadDir, master); err != nil || s.RolledBack == nil {
		return s, err
	}
	all, err := release.Releases(uploadDir, master)
	for _, p := range all {
		if p.Candidate {
			s.Candidates = append(s.Candidates, p.Timestamp)
		}
	}
	return s, err
}

func (j *Judge) made(ctx context.Context, image string) (digest.Digest, *time.Time, error) {
	record, latest, err := j.Records.Get(ctx, image)
	if err != nil || record == nil || record.Made.IsZero() {
		return latest, nil, err
	}
	return latest, &record.Made, nil
}
