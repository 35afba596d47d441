package ansible

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vauban/ansible/repository"
	"vauban/layers"
)

// target is a container as ansible sees it.
type target struct {
	name  string
	enter []string // argv prefix of a command inside
	// environment is that of a command inside, NAME=value.
	environment []string
	// passed is the file that the stand-ins write to; "" where the
	// container has none.
	passed string
}

func newTarget(c *layers.Container) target {
	return target{name: c.Name(), enter: c.Enter(), environment: c.Environment(), passed: c.PassedFile()}
}

// description is what the plugins read about a run; see
// ansible_collections/vauban/build/plugins/plugin_utils/run.py.
type description struct {
	Hosts         map[string]map[string]any `json:"hosts"`
	Containers    map[string]container      `json:"containers"`
	Groups        []string                  `json:"groups"`
	Independent   bool                      `json:"independent"`
	Mitogen       bool                      `json:"mitogen"`
	DelegateHosts []string                  `json:"delegate_hosts"`
	Facts         map[string]any            `json:"facts"`
	FactsFrom     string                    `json:"facts_from"`
	// Tree is the working copy; the plugins note what is read of it.
	Tree            string   `json:"tree"`
	PlaybookFolders []string `json:"playbook_folders"`
}

// container is what the plugins know of the inside of one; see
// layers.Container.
type container struct {
	Passed   string   `json:"passed"`
	Bin      string   `json:"bin"`
	StandIns []string `json:"stand_ins"`
	Busy     string   `json:"busy"`
	Units    string   `json:"units"`
	Mounts   []string `json:"mounts"`
}

// keptVariables are those of the container that become methods must not drop.
var keptVariables = []string{"SYSTEMD_OFFLINE", "container", "DEBIAN_FRONTEND", "PYTHONDONTWRITEBYTECODE", "LC_ALL"}

// offline is in the environment where no systemd runs.
const offline = "SYSTEMD_OFFLINE=1"

// variables are those of a built host.
func (t target) variables() map[string]any {
	kept := []string{}
	for _, word := range t.environment {
		name, value, ok := strings.Cut(word, "=")
		if ok && slices.Contains(keptVariables, name) && isPlain(value) {
			kept = append(kept, word)
		}
	}
	variables := map[string]any{
		"ansible_connection":         "vauban.build.enter",
		"ansible_python_interpreter": "/usr/bin/python3",
		// /tmp is not part of the layer
		"ansible_remote_tmp": "/tmp",
		"ansible_async_dir":  "/tmp",
		"vauban_enter":       t.enter,
		"vauban_environment": kept,
	}
	if t.passed != "" {
		variables["vauban_profile"], variables["vauban_path"] = layers.Profile, layers.StandInPath
	}
	return variables
}

// isPlain reports whether a shell takes the value as it is.
func isPlain(value string) bool {
	return strings.Trim(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,:/+-") == ""
}

// runFiles are what one ansible process reads from us.
type runFiles struct{ description, variables, limit string }

func (p *Playbook) writeFiles(wc *repository.Copy, targets []target, mitogen bool) (runFiles, error) {
	d := description{
		Hosts:           map[string]map[string]any{},
		Containers:      map[string]container{},
		Independent:     p.isIndependent(),
		Mitogen:         mitogen,
		DelegateHosts:   p.controller.options.DelegateHosts,
		Facts:           p.options.Facts,
		FactsFrom:       p.controller.options.FactsFrom,
		Tree:            wc.Tree,
		PlaybookFolders: []string{filepath.Dir(filepath.Join(wc.Root, p.options.Path))},
	}
	if !p.options.Conffs {
		d.Groups = p.options.Groups
	}
	var names []string
	for _, t := range targets {
		d.Hosts[t.name] = t.variables()
		if t.passed != "" {
			d.Containers[t.name] = container{t.passed, layers.StandInPath, layers.StandIns(), layers.BusyPath, layers.UnitsPath, layers.MountPoints()}
		}
		names = append(names, t.name)
	}
	dir, err := os.MkdirTemp(wc.Dir, "ansible-")
	if err != nil {
		return runFiles{}, fmt.Errorf("making the folder of an ansible run: %w", err)
	}
	files := runFiles{
		description: filepath.Join(dir, "run.vauban"),
		variables:   filepath.Join(dir, "variables.json"),
		limit:       filepath.Join(dir, "limit"),
	}
	variables := map[string]any{"in_vauban": true, "in_conffs_build": p.options.Conffs}
	err = writeJSON(files.description, d)
	if err == nil {
		err = writeJSON(files.variables, variables)
	}
	if err == nil {
		err = os.WriteFile(files.limit, []byte(strings.Join(names, "\n")+"\n"), 0o600)
	}
	if err != nil {
		return runFiles{}, fmt.Errorf("describing the run to ansible: %w", err)
	}
	return files, nil
}

func writeJSON(path string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}
