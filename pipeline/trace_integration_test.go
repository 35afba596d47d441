//go:build integration

package pipeline

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"vauban/layers"
	"vauban/pipeline/plan"
	"vauban/pipeline/provenance"
)

// packagesPlaybook removes a package on masters, and changes none on hosts.
const packagesPlaybook = `
- hosts: all
  gather_facts: false
  tasks:
    - name: a package less
      ansible.builtin.command: dpkg --purge --force-depends nftables
      when: not in_conffs_build
    - name: who it is
      ansible.builtin.copy:
        content: "{{ inventory_hostname }}\n"
        dest: /etc/who
`

// TestImagesTellTheirHistory builds a master and a host and reads /imginfo and
// /packages of what was made.
func TestImagesTellTheirHistory(t *testing.T) {
	w := newWorld(t, map[string]string{"playbook_master.yml": packagesPlaybook, "hosts.yml": inventory, "ansible.cfg": "[defaults]\ninventory = hosts.yml\n"})
	request := plan.Request{Names: []string{"master-test"}, Stage: plan.Rootfs}
	r, outcomes, err := w.build(t, Options{NoPublish: true}, request)
	if err != nil {
		t.Fatalf("%v: %v", err, outcomes)
	}
	request.Stage = plan.Conffs
	if _, outcomes, err = w.build(t, Options{NoPublish: true, On: "latest", Limit: "host01"}, request); err != nil {
		t.Fatalf("%v: %v", err, outcomes)
	}
	master := r.images.byName["master-test"]
	want := []provenance.AppliedStage{
		{Hostname: "master-test", Source: "base/iso", SourceDigest: w.base.Digest().String()},
		{Hostname: "host01", Source: "master-test", SourceDigest: master.Digest().String()},
	}
	out, err := exec.CommandContext(t.Context(), "git", "-C", filepath.Join(w.dir, "playbooks"), "rev-parse", "HEAD").Output()
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		want[i].Playbook, want[i].GitBranch, want[i].Tool = "playbook_master.yml", "main", "vauban test"
		want[i].GitSHA1 = strings.TrimSpace(string(out))
	}
	host, err := w.engine.Image(t.Context(), "master-test/host01")
	if err != nil {
		t.Fatal(err)
	}
	got, err := provenance.HistoryOf(t.Context(), w.engine, host)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Stages, cmpopts.IgnoreFields(provenance.AppliedStage{}, "Date")); diff != "" {
		t.Error(diff)
	}
	date := r.time.Format("2006-01-02T15:04:05-07:00")
	if got.ISO != "suite" || got.Date != date || got.Stages[0].Date != got.Date {
		t.Errorf("the base is %q of %s, its stage of %s, want suite of %s", got.ISO, got.Date, got.Stages[0].Date, date)
	}
	if len(got.Packages) != 2 || !strings.HasPrefix(got.Packages[0].Packages, "- nftables/now ") ||
		strings.Count(got.Packages[0].Packages, "\n") != 1 || got.Packages[1] != (provenance.PackageChanges{Playbook: "playbook_master.yml", Hostname: "host01"}) {
		t.Errorf("packages: %+v", got.Packages)
	}
	checkTraceFiles(t, w, master)
	checkHistoryFromLabels(t, w, master)
}

// checkHistoryFromLabels reads the history of an image without the files.
func checkHistoryFromLabels(t *testing.T, w *world, img layers.Image) {
	t.Helper()
	want, err := provenance.HistoryOf(t.Context(), w.engine, img)
	if err != nil {
		t.Fatal(err)
	}
	bare := w.base
	bare.Config.Config.Labels = img.Config.Config.Labels
	got, err := provenance.HistoryOf(t.Context(), w.engine, bare)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, err := provenance.HistoryOf(t.Context(), w.engine, w.base); err == nil {
		t.Errorf("an image of another tool tells %+v", got)
	}
}

// checkTraceFiles looks at the files in the image, and at what a remote reader
// has instead of them.
func checkTraceFiles(t *testing.T, w *world, img layers.Image) {
	t.Helper()
	labels := img.Config.Config.Labels
	err := w.engine.Mount(t.Context(), img, func(root string) error {
		for list, label := range map[string]string{"/imginfo": provenance.LabelImginfo, "/packages": provenance.LabelPackages} {
			path := filepath.Join(root, string(list))
			info, err := os.Lstat(path)
			if err != nil {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if info.Mode() != 0o644 || labels[label] != string(text) || img.Manifest.Annotations[label] != string(text) {
				t.Errorf("%s has mode %v; label %q; annotation %q; text %q", list, info.Mode(), labels[label], img.Manifest.Annotations[label], text)
			}
		}
		left, err := filepath.Glob(filepath.Join(root, ".vauban-*"))
		if len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
