package freshness

import (
	"context"
	"maps"
	"slices"

	"vauban/ansible"
	"vauban/ansible/repository"
	"vauban/config"
	"vauban/internal/text"
	"vauban/pipeline/plan"
	"vauban/release"
)

// HostVerdict judges one host.
type HostVerdict struct {
	Name string `json:"name"`
	plan.Verdict
}

// Hosts judges the hosts of a master, in the order of their names. With built,
// they are to be made of the master's latest image, else of the one that its
// current release names. Gone are hosts that the inventory no longer has.
func (j *Judge) Hosts(ctx context.Context, m *config.Master, built bool) (hosts []HostVerdict, gone []string, err error) {
	if m.Conffs == "" {
		return nil, nil, nil
	}
	names, err := j.hostsOf(ctx, m)
	if err != nil {
		return nil, nil, err
	}
	record, _, err := j.Records.Get(ctx, m.Image())
	if err != nil {
		return nil, nil, err
	}
	if record == nil {
		record = &Record{}
	}
	runs, err := j.runs(ctx, m, record, names, built)
	if err != nil {
		return nil, nil, err
	}
	published, err := j.inRelease(ctx, m)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		v := HostVerdict{Name: name}
		if h, ok := record.Hosts[name]; ok {
			v.Why = runs[h.Run].of(name)
		} else {
			v.Why = []string{"never built"}
		}
		if len(v.Why) == 0 && !published(name, record.Hosts[name]) {
			v.Why = []string{"it is not published as it is"}
		}
		hosts = append(hosts, v)
	}
	if anew, err := j.releasedAnew(ctx, m, hosts); err != nil {
		return nil, nil, err
	} else if anew {
		needAll(hosts)
	}
	return hosts, j.gone(m, record, names), nil
}

// gone are the hosts that were built, or that the current release has, and that
// are not among names.
func (j *Judge) gone(m *config.Master, record *Record, names []string) (gone []string) {
	had := slices.Collect(maps.Keys(record.Hosts))
	if current, err := release.Current(j.UploadDir, m.Name); err == nil && !j.neverUploaded(m) {
		had = append(had, slices.Collect(maps.Keys(current.Hosts))...)
	}
	slices.Sort(had)
	for _, name := range slices.Compact(had) {
		if !slices.Contains(names, name) {
			gone = append(gone, name)
		}
	}
	return gone
}

// releasedAnew reports whether something of a master is to be published and this
// machine has no release to take the rest from.
func (j *Judge) releasedAnew(ctx context.Context, m *config.Master, hosts []HostVerdict) (bool, error) {
	if !j.Publishing || j.neverUploaded(m) {
		return false, nil
	}
	if _, missing := release.Current(j.UploadDir, m.Name); missing == nil {
		return false, nil
	}
	if slices.ContainsFunc(hosts, func(h HostVerdict) bool { return !h.Fresh() }) {
		return true, nil
	}
	why, err := j.published(ctx, m)
	return len(why) > 0, err
}

// needAll makes the hosts that are fresh stale: a release lacks what it is not
// given.
func needAll(hosts []HostVerdict) {
	for i := range hosts {
		if hosts[i].Fresh() {
			hosts[i].Why = []string{"no release is here to take it from"}
		}
	}
}

// inRelease shows which hosts the current release has as they were built. It is
// looked at only when the record leaves it open.
func (j *Judge) inRelease(ctx context.Context, m *config.Master) (func(string, HostRecord) bool, error) {
	all := func(string, HostRecord) bool { return true }
	if !j.Publishing {
		return all, nil
	}
	if published, err := j.publishedHosts(ctx, m); err != nil || published {
		return all, err
	}
	current, err := release.Current(j.UploadDir, m.Name)
	if err != nil {
		return func(string, HostRecord) bool { return false }, nil
	}
	return func(name string, h HostRecord) bool { return current.Hosts[name].Image == h.Image }, nil
}

// judgedRun is what has changed since a run, for all of its hosts.
type judgedRun struct {
	HostRun
	why     []string
	changes []*repository.Changes // by stage
}

func (j *Judge) runs(ctx context.Context, m *config.Master, record *Record, names []string, built bool) ([]judgedRun, error) {
	onto, err := j.onto(ctx, m, built)
	if err != nil {
		return nil, err
	}
	var judged []judgedRun
	for _, run := range record.Runs {
		r := judgedRun{HostRun: run}
		if run.Master != onto {
			r.why = append(r.why, "its master was rebuilt")
		}
		r.why = append(r.why, changedInputs("", run.Inputs, HostInputs(j.Config, m, j.Identities || run.Inputs[VaultInput] != ""))...)
		why, changes, err := j.stages(ctx, m, m.HostStages(j.Config), run.Stages, true, names)
		if err != nil {
			return nil, err
		}
		r.why, r.changes = append(r.why, why...), changes
		judged = append(judged, r)
	}
	return judged, nil
}

// of adds what has changed for one host alone: its own variables, and those of
// neighbours that it looked at.
func (r judgedRun) of(host string) []string {
	var paths []string
	for i, changes := range r.changes {
		reads := r.Stages[i].Reads
		if changes == nil || reads.Everything != "" {
			continue
		}
		for _, name := range append([]string{host}, reads.Neighbours[host]...) {
			paths = append(paths, changes.Variables(name)...)
		}
	}
	if len(paths) == 0 {
		return r.why
	}
	slices.Sort(paths)
	return append(slices.Clone(r.why), text.Few(slices.Compact(paths))+" changed")
}

// hostsOf are the hosts of a master today. The first question about a commit
// answers it for all masters that use it.
func (j *Judge) hostsOf(ctx context.Context, m *config.Master) ([]string, error) {
	revision, err := j.revision(ctx, m)
	if err != nil {
		return nil, err
	}
	if err := j.expand(ctx, revision); err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.hosts[revision.Commit][m.Name], nil
}

// CheckLimit refuses what --limit says when it selects none of a plan's hosts.
func (j *Judge) CheckLimit(ctx context.Context, p *plan.Plan, limit string) error {
	var all []Selection
	for _, t := range p.Tasks {
		if t.Kind != plan.MakeConffs {
			continue
		}
		names, err := j.hostsOf(ctx, t.Master)
		if err != nil {
			return err
		}
		s, err := Limited(ctx, j.matching, t.Master, names, limit)
		if err != nil {
			return err
		}
		all = append(all, s)
	}
	return CheckLimit(limit, slices.Values(all))
}

// matching are the hosts of the inventory of a master's branch that a pattern
// matches.
func (j *Judge) matching(ctx context.Context, m *config.Master, pattern string) ([]string, error) {
	revision, err := j.revision(ctx, m)
	if err != nil {
		return nil, err
	}
	return j.Ansible.Hosts(ctx, revision, HostPattern(j.Config, m, pattern))
}

// Uncovered are the hosts of the inventory of a branch, "" for the default
// one, that no master has.
func (j *Judge) Uncovered(ctx context.Context) ([]string, error) {
	if j.Ansible == nil {
		return nil, nil
	}
	revision, err := j.Ansible.Repository.Revision(ctx, j.Branch)
	if err != nil {
		return nil, err
	}
	if err := j.expand(ctx, revision); err != nil {
		return nil, err
	}
	covered := map[string]bool{}
	for _, m := range j.Config.Masters() {
		if m.Conffs == "" {
			continue
		}
		names, err := j.hostsOf(ctx, m)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			covered[name] = true
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(j.others[revision.Commit]), func(name string) bool { return covered[name] }), nil
}

func (j *Judge) expand(ctx context.Context, revision repository.Revision) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, ok := j.hosts[revision.Commit]; ok {
		return nil
	}
	var without []string
	for _, m := range j.Config.Masters() {
		without = append(without, m.Name)
	}
	patterns := []ansible.HostPattern{{Pattern: "all", Without: without}}
	masters := []string{""}
	for _, m := range j.Config.Masters() {
		if m.Conffs == "" {
			continue
		}
		if r, err := j.revision(ctx, m); err == nil && r.Commit == revision.Commit {
			patterns = append(patterns, ansible.HostPattern{Pattern: m.Conffs, Master: m.Name, Without: without})
			masters = append(masters, m.Name)
		}
	}
	lists, err := j.Ansible.Expand(ctx, revision, inventories{j.Records, j.Push}, patterns...)
	if err != nil {
		return err
	}
	if j.hosts == nil {
		j.hosts, j.others = map[string]map[string][]string{}, map[string][]string{}
	}
	found := map[string][]string{}
	for i, name := range masters[1:] {
		found[name] = lists[i+1]
	}
	j.hosts[revision.Commit], j.others[revision.Commit] = found, lists[0]
	return nil
}
