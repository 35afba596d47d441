//go:build integration

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const stagedConfig = `
configuration:
  ansible_repo: playbooks
  always_apply_stage_in_conffs: [always.yml]
  ignore_stage_in_conffs: [once.yml]
  conffs_exclude: ["srv/not-in-conffs"]
  never_upload: [inner]
suite:
  file: base.tar
  name: base/iso
  stages: [base.yml]
  inner:
    stages: [once.yml, inner.yml]
    branch: other
    outer:
      stages: [outer.yml, "Dockerfile:docker/Dockerfile"]
      conffs: "web*"
      groups: [web]
      facts: {ansible_processor_vcpus: 99, ansible_hostname: "it's"}
      export: {level: "1"}
`

// stagedPlaybook leaves a file that tells what it saw.
const stagedPlaybook = `
- hosts: all
  gather_facts: false
  tasks:
    - copy:
        dest: /srv/NAME
        content: |
          NAME of main for {{ inventory_hostname }} of {{ group_names | join(' ') }}
          {{ ansible_facts.processor_vcpus | default('no cores') }} {{ ansible_facts.hostname | default('no name') }}
    - copy: {dest: /srv/not-in-conffs, content: "{{ inventory_hostname }}"}
`

// TestStageLinesDoTheSame runs `vauban ci` once, and once by the lines that it
// prints: what is published is the same.
func TestStageLinesDoTheSame(t *testing.T) {
	files := map[string]string{
		"config.yml":            stagedConfig,
		"docker/Dockerfile":     "FROM scratch\nCOPY file /srv/from-dockerfile\n",
		"docker/file":           "a file beside config.yml\n",
		"playbooks/inventory":   "[web]\nweb01\nweb02\n",
		"playbooks/ansible.cfg": "[defaults]\ninventory = inventory\n",
	}
	for _, name := range []string{"always", "base", "once", "inner", "outer"} {
		files["playbooks/"+name+".yml"] = strings.ReplaceAll(stagedPlaybook, "NAME", name)
	}
	s := newSite(t, files)
	s.sh(t, `cd playbooks && git checkout --quiet -b other && sed -i "s/of main/of other/" *.yml &&
		git -c user.name=test -c user.email=test@example.com commit --quiet --all --message=other && git checkout --quiet main`)
	s.env = append(s.env, "VAULTED_SSHD_KEYS_KEY=no-word-of-any-program")

	variables := []string{"name=outer", "stage=all", "build_parents=yes"}
	byCI := s.sh(t, "vauban ci", append(variables, "UPLOAD_DIR=pxe-1")...)
	t.Log(byCI)
	lines := s.sh(t, "vauban ci", append(variables, "UPLOAD_DIR=pxe-2", "debug=yes")...)
	t.Log(lines)
	if _, err := os.Stat(s.path("pxe-2")); err == nil {
		t.Error("debug=yes did something")
	}
	byLines := s.sh(t, lines, "UPLOAD_DIR=pxe-2")
	t.Log(byLines)
	// A result that differs from the one before in dates alone is that one.
	if want, got := digests.FindAllString(byCI, -1), digests.FindAllString(byLines, -1); len(want) != 3 || !slices.Equal(want, got) {
		t.Errorf("the images by ci are %v, by its lines %v", want, got)
	}
	want, got := s.published(t, "pxe-1/outer"), s.published(t, "pxe-2/outer")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("by ci (-), by its lines (+):\n%s", diff)
	}
	for file, text := range map[string]string{
		"rootfs/srv/inner":           "inner of other for inner of ungrouped\n",
		"rootfs/srv/outer":           "outer of main for outer of web\n99 it's\n",
		"rootfs/srv/from-dockerfile": "a file beside config.yml",
		"conffs-web01/srv/inner":     "inner of other for web01 of web\n",
		"conffs-web01/srv/always":    "always of main for web01",
	} {
		if !strings.HasPrefix(got[file], text) {
			t.Errorf("%s is %q, want %q", file, got[file], text)
		}
	}
	for _, file := range []string{"conffs-web01/srv/once", "conffs-web01/srv/not-in-conffs"} {
		if text, ok := got[file]; ok {
			t.Errorf("%s is there: %q", file, text)
		}
	}
	if _, err := os.Stat(s.path("pxe-2/inner")); err == nil {
		t.Error("a master that is never uploaded was published")
	}

	// Conffs of one host, on what is published.
	variables = []string{"name=outer", "stage=conffs", "conffs=web02", "branch=other", "UPLOAD_DIR=pxe-2"}
	lines = s.sh(t, "vauban ci", append(variables, "debug=yes")...)
	s.sh(t, lines, "UPLOAD_DIR=pxe-2")
	again := s.published(t, "pxe-2/outer")
	if text := again["conffs-web02/srv/outer"]; !strings.HasPrefix(text, "outer of other for web02") {
		t.Errorf("the limited host has %q\n%s", text, lines)
	}
	delete(again, "conffs-web02/srv/outer")
	for file, text := range got {
		if strings.HasPrefix(file, "conffs-web01/") && again[file] != text {
			t.Errorf("%s of a host that was not asked for was %q and is %q", file, text, again[file])
		}
	}
}

var digests = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// dated are the lines of /imginfo that no two runs have in common.
var dated = regexp.MustCompile(`(?m)^ *(- )?(date|source-digest): .*\n`)

// published is what a master's current release holds in the folders that
// stages write to, and the names of its files.
func (s *site) published(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := t.TempDir()
	s.sh(t, `current=$(readlink -f "$DIR/current"); cd "$OUT"; ls "$current" >names
		unsquashfs -quiet -no-progress -d rootfs "$current/rootfs.squashfs" srv etc/hostname imginfo packages
		for conffs in "$current"/conffs-*.tgz; do
			name=$(basename "$conffs" .tgz); mkdir "$name"; tar -xzf "$conffs" -C "$name"
		done
		readlink "$current/vmlinuz" "$current/initramfs.img" >kernel`, "DIR="+s.path(dir), "OUT="+out)
	files := map[string]string{}
	err := filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(out, path)
		files[name] = dated.ReplaceAllString(string(text), "")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
