package ansible

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
)

// Key covers the commit rather than the branch, and the plugins of this
// package. Under [Together] it covers all hosts of the master.
func (p *Playbook) Key(ctx context.Context, host string) (digest.Digest, error) {
	inputs, err := p.Inputs(ctx)
	if err != nil {
		return "", err
	}
	key, err := json.Marshal(map[string]any{"inputs": inputs, "commit": p.options.Revision.Commit, "host": cmp.Or(host, p.options.Master)})
	if err != nil {
		return "", fmt.Errorf("digesting the playbook %q: %w", p.options.Path, err)
	}
	return digest.FromBytes(key), nil
}

// Inputs are digests of everything besides the commit and the host that the
// result depends on, by the name that a user knows each by. An input that is
// not set is not there.
func (p *Playbook) Inputs(ctx context.Context) (Inputs, error) {
	o := p.options
	inputs, err := p.controller.inputs(ctx, o.Revision.Commit)
	if err != nil {
		return nil, err
	}
	inputs.Add("facts", o.Facts)
	inputs.Add("init", o.Init)
	inputs.Add("playbook", o.Path)
	if !o.Conffs {
		inputs.Add("groups", o.Groups)
		return inputs, nil
	}
	inputs.Add("conffs", true)
	inputs.Add("ansible_run", o.Mode)
	if o.Mode == Together {
		inputs.Add("hosts built together", slices.Sorted(slices.Values(o.Hosts)))
	}
	return inputs, nil
}

// Inputs are short digests of values by name.
type Inputs map[string]string

// Add digests a value, unless it is empty.
func (i Inputs) Add(name string, value any) {
	data, err := json.Marshal(value) // maps are sorted
	if err != nil {
		data = fmt.Append(nil, value)
	}
	switch string(data) {
	case `""`, "null", "[]", "{}", "false", "0":
		return
	}
	i[name] = digest.FromBytes(data).Encoded()[:16]
}
