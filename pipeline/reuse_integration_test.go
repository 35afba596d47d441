//go:build integration

package pipeline

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"vauban/pipeline/freshness"
	"vauban/pipeline/identities"
	"vauban/pipeline/plan"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"vauban/vault"
)

// dating leaves dates wherever a playbook usually does.
const dating = `
- hosts: all
  gather_facts: false
  tasks:
    - name: a package less
      ansible.builtin.command: dpkg --purge --force-depends nftables
    - name: an account, with the day of its password
      ansible.builtin.user: {name: app, system: true}
    - name: a copy with process id and time in its name
      ansible.builtin.lineinfile: {path: /etc/adduser.conf, line: "# changed", backup: true}
    - name: the linker's cache
      ansible.builtin.command: ldconfig
    - name: an alternative
      ansible.builtin.command: update-alternatives --install /usr/bin/thing thing /bin/true 10
    - name: byte-code of a file that is new
      ansible.builtin.shell: "echo 'a = 1' >/srv/a.py && env -u PYTHONDONTWRITEBYTECODE python3 -m compileall -q /srv"
    - name: keys as openssh-server's package makes them
      ansible.builtin.shell: "mkdir -p /etc/ssh && head -c 40 /dev/urandom >/etc/ssh/ssh_host_rsa_key"
    - name: what only some change
      ansible.builtin.copy: {content: "{{ lookup('env', 'CHANGE') }}\n", dest: /etc/changed}
`

const more = `
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.copy: {content: "{{ inventory_hostname }}\n", dest: /etc/who}
`

const childConfig = `
configuration:
  ansible_repo: playbooks
  never_upload: [master-test, master-child]
suite:
  release: bookworm
  name: base/iso
  master-test:
    stages: [playbook_master.yml, playbook_more.yml]
    master-child:
      stages: [playbook_more.yml]
      conffs: "host01"
`

// TestUnchangedMaster builds masters again that differ in nothing but dates:
// no digest, no tag and no file may change, in the children and hosts neither.
func TestUnchangedMaster(t *testing.T) {
	w := newWorld(t, map[string]string{"playbook_master.yml": dating, "playbook_more.yml": more, "hosts.yml": inventory, "ansible.cfg": "[defaults]\ninventory = hosts.yml\n"})
	write(t, filepath.Join(w.dir, "config.yml"), childConfig)
	all := plan.Request{Names: []string{"master-test"}, Stage: plan.Rootfs, Children: true}
	hosts := plan.Request{Names: []string{"master-child"}, Stage: plan.Conffs}
	build := func(requests ...plan.Request) map[string]digest.Digest {
		made := map[string]digest.Digest{}
		for _, request := range requests {
			options := Options{NoPublish: true}
			if request.Stage == plan.Conffs {
				// Its keys take the place of those that the playbook makes.
				options.On, options.Identities = "latest", identities.In(vault.NewLocal(filepath.Join(w.dir, "vault"), "a passphrase"))
			}
			r, outcomes, err := w.build(t, options, request)
			if err != nil {
				t.Fatalf("%v: %v", err, outcomes)
			}
			for name, img := range r.images.byName {
				made[name] = img.Digest()
			}
			for host, archive := range digests(outcomes) {
				made["conffs of "+host] = archive
			}
		}
		return made
	}
	first := build(all, hosts)
	if first["conffs of host01"] == "" || first["master-child/host01"] == "" {
		t.Fatalf("made: %v", first)
	}
	stored, named := w.stored(t), w.names(t)
	if diff := cmp.Diff(first, build(all, hosts)); diff != "" {
		t.Errorf("images have changed:\n%s", diff)
	}
	if diff := cmp.Diff(stored, w.stored(t)); diff != "" {
		t.Errorf("the registry has changed:\n%s", diff)
	}
	if diff := cmp.Diff(named, w.names(t)); diff != "" {
		t.Errorf("names in containerd have changed:\n%s", diff)
	}

	t.Setenv("CHANGE", "yes")
	third := build(all)
	for _, name := range []string{"master-test", "master-test/playbook_master.yml", "master-child"} {
		if third[name] == first[name] {
			t.Errorf("%s stayed although a file in it has changed", name)
		}
	}
}

// stored lists the files of the embedded registry, with their sizes, but for
// the records of when images were last found to be as they are.
func (w *world) stored(t *testing.T) map[string]int64 {
	t.Helper()
	root := filepath.Join(w.dir, "state", "registry")
	records := w.recordDigests(t, root)
	files := map[string]int64{}
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		of := filepath.Base(filepath.Dir(path)) // a digest's folder
		if records[of] || strings.Contains(path, "/tags/"+freshness.RecordTag+"/") {
			return nil
		}
		info, err := d.Info()
		if err == nil {
			files[path] = info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// recordDigests are those of the manifests and blobs of records, in hex.
func (w *world) recordDigests(t *testing.T, root string) map[string]bool {
	t.Helper()
	manifests, err := filepath.Glob(filepath.Join(root, "docker/registry/v2/repositories/*/_manifests/tags", freshness.RecordTag, "index/sha256/*"))
	if err != nil || len(manifests) == 0 {
		t.Fatalf("no records in the registry: %v", err)
	}
	digests := map[string]bool{}
	for _, path := range manifests {
		hex := filepath.Base(path)
		data, err := os.ReadFile(filepath.Join(root, "docker/registry/v2/blobs/sha256", hex[:2], hex, "data"))
		if err != nil {
			t.Fatal(err)
		}
		var manifest ocispec.Manifest
		if err := json.Unmarshal(data, &manifest); err != nil {
			t.Fatal(err)
		}
		digests[hex] = true
		for _, blob := range append(manifest.Layers, manifest.Config) {
			digests[blob.Digest.Encoded()] = true
		}
	}
	return digests
}

// names lists the names that containerd has, and what they stand for.
func (w *world) names(t *testing.T) map[string]string {
	t.Helper()
	records, err := w.engine.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, r := range records {
		names[r.Name] = r.Target.Digest.String()
	}
	return names
}
