//go:build integration

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const chainConfig = `
configuration: {ansible_repo: playbooks}
suite:
  file: base.tar
  name: base/iso
  web:
    stages: [web.yml]
    conffs: "h*"
`

const chainPlaybook = `
- hosts: all
  gather_facts: false
  tasks:
    - copy: {dest: /srv/word, content: "{{ word | default('none') }}"}
`

// TestChain builds rootfs and conffs of a new master one after the other, rolls
// back, builds on and deploys. In between, a run that lacks the passphrase of
// the vault is refused.
func TestChain(t *testing.T) {
	s := newSite(t, map[string]string{"config.yml": chainConfig, "playbooks/web.yml": chainPlaybook,
		"playbooks/hosts": "h1 word=one\nh2 word=one\n", "playbooks/ansible.cfg": "[defaults]\ninventory = hosts\n"})
	const key = "VAULTED_SSHD_KEYS_KEY=no-word-of-any-program"
	run := func(script string, env ...string) string {
		t.Helper()
		out, said, err := s.try(t, script, append(env, key)...)
		if err != nil {
			t.Fatalf("%s %v: %v\n%s\n%s", script, env, err, out, said)
		}
		return out + said
	}
	current := func() string {
		t.Helper()
		target, err := os.Readlink(s.path("pxe/web/current"))
		if err != nil {
			t.Fatal(err)
		}
		return filepath.Base(target)
	}
	word := func(host, want string) {
		t.Helper()
		if got := s.sh(t, "tar -xzOf pxe/web/conffs-"+host+".tgz --wildcards '*srv/word'"); got != want {
			t.Errorf("%s has the word %q, want %q", host, got, want)
		}
	}

	said := run("vauban ci", "name=web", "stage=rootfs", "build_parents=yes")
	if _, err := os.Lstat(s.path("pxe/web/current")); err == nil || !strings.Contains(said, "not published yet") {
		t.Errorf("a rootfs alone is published: %s", said)
	}
	run("vauban ci", "name=web", "stage=conffs")
	first := current()
	word("h1", "one")
	word("h2", "one")
	s.sh(t, "cd pxe/web/current && sha256sum --check --quiet SHA256SUMS && test -s rootfs.squashfs")

	out, said, err := s.try(t, "vauban ci", "name=web", "stage=conffs")
	if err == nil || !strings.Contains(said, "VAULTED_SSHD_KEYS_KEY is not set") || !strings.Contains(said, "--no-identities") || strings.Contains(said, "started") {
		t.Errorf("without the passphrase: %v\n%s\n%s", err, out, said)
	}

	s.write(t, "Dockerfiles/Dockerfile.initramfs", strings.Replace(siteInitramfs, "echo initramfs", "echo another", 1))
	run("vauban ci", "name=web", "stage=initramfs")
	second := current()
	run("vauban rollback web")
	s.sh(t, `cd playbooks && sed -i "s/^h2 word=one/h2 word=two/" hosts &&
		git -c user.name=test -c user.email=test@example.com commit --quiet --all --message=h2`)
	said = run("vauban ci", "name=web", "stage=conffs", "conffs=h2")
	if second == first || current() != first || !strings.Contains(said, "is a candidate") {
		t.Errorf("%s is served after a rollback from %s to %s\n%s", current(), second, first, said)
	}
	word("h2", "one")
	if list := run("vauban releases web"); !strings.Contains(list, "candidate") || !strings.Contains(list, "rolled back from "+second) {
		t.Errorf("the releases are\n%s", list)
	}
	run("vauban deploy web")
	word("h2", "two")
	word("h1", "one")
	if initramfs, err := os.ReadFile(s.path("pxe/web/initramfs.img")); string(initramfs) != "initramfs\n" || err != nil {
		t.Errorf("the candidate has the initramfs %q of the release that was rolled back from: %v", initramfs, err)
	}
}
