package ansible

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

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
	r, o := p.controller, p.options
	plugins, err := digestTree(collection)
	if err != nil {
		return nil, err
	}
	files, err := r.argumentFiles()
	if err != nil {
		return nil, err
	}
	outside, err := r.outsideInventories(ctx, o.Revision.Commit)
	if err != nil {
		return nil, err
	}
	inputs := Inputs{}
	inputs.Add("inventories outside the repository", outside)
	inputs.Add("vauban's ansible plugins", plugins)
	inputs.Add("ANSIBLE_REPO", r.Repository.URL())
	inputs.Add("ANSIBLE_ROOT_DIR", strings.TrimPrefix(r.options.Repository.RootDir, "."))
	inputs.Add("ANSIBLE_EXTRA_ARGS", r.extraArgs)
	inputs.Add("files of ANSIBLE_EXTRA_ARGS", files)
	inputs.Add("HOOK_PRE_ANSIBLE", r.options.HookPre)
	inputs.Add("HOOK_POST_ANSIBLE", r.options.HookPost)
	inputs.Add("facts_from", r.facts)
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

// argumentFiles digests the files of the user's folder that
// ANSIBLE_EXTRA_ARGS takes variables or hosts from. Those of the repository
// change with its commits.
func (r *Controller) argumentFiles() (map[string]digest.Digest, error) {
	found := map[string]digest.Digest{}
	for i, arg := range r.extraArgs {
		before := ""
		if i > 0 {
			before = r.extraArgs[i-1]
		}
		for _, name := range namesIn(arg) {
			if !hasOption([]string{before, arg}, append([]string{"-e", "--extra-vars"}, inventoryOptions...)) {
				continue
			}
			path := name
			if !filepath.IsAbs(path) {
				path = filepath.Join(r.options.Repository.Dir, name)
			}
			if !isFile(path) {
				continue
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("reading a file of ANSIBLE_EXTRA_ARGS: %w", err)
			}
			found[name] = digest.FromBytes(content)
		}
	}
	return found, nil
}
