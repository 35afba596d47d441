package identities

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"vauban/config"
	"vauban/release"
	"vauban/vault"
)

// serve publishes a release of the master web with one host, whose conffs hold
// files.
func serve(t *testing.T, dir, host string, files map[string]string, fromVault bool) *release.Published {
	t.Helper()
	scratch := t.TempDir()
	file := func(name string) string {
		path := filepath.Join(scratch, name)
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	conffs, err := os.Create(filepath.Join(scratch, "conffs"))
	if err != nil {
		t.Fatal(err)
	}
	packed := gzip.NewWriter(conffs)
	archive := tar.NewWriter(packed)
	for name, text := range files {
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := conffs.Close(); err != nil {
		t.Fatal(err)
	}
	master := digest.FromString("master")
	p, err := release.Publish(t.Context(), dir, release.Release{
		Master: "web", Timestamp: "2026-11-20T211348Z", Hosts: []string{host},
		Kernel: &release.BuiltKernel{Version: "6.1.0", Vmlinuz: file("k"), Initramfs: file("i")},
		Rootfs: &release.BuiltRootfs{Path: file("r"), Image: master, Kernels: []string{"6.1.0"}, Identity: fromVault},
		Conffs: map[string]release.BuiltConffs{host: {Path: conffs.Name(), Image: digest.FromString(host), Master: master, Identity: fromVault}},
	}, release.TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// unnoted makes a release one from before its manifest noted identities.
func unnoted(p *release.Published, host string) {
	entry := p.Hosts[host]
	entry.Identity = ""
	p.Hosts[host] = entry
}

const someID = "0123456789abcdef0123456789abcdef"

// A run without the vault does not take away what hosts have.
func TestCheckOfAClosedVault(t *testing.T) {
	hosts := &config.Master{Name: "web", Conffs: "h*"}
	for name, tt := range map[string]struct {
		master    *config.Master
		fromVault bool
		damaged   bool
		ask       string
		kept      []string
		want      string // in the error; "": none
	}{
		"a file of the vault":                {hosts, false, false, "h1", []string{"h0", "h1"}, "the vault next to config.yml has the SSH keys and the machine-id of h1, and VAULTED_SSHD_KEYS_KEY is not set"},
		"a file of another host":             {hosts, false, false, "h1", []string{"h2"}, ""},
		"the release":                        {hosts, true, false, "h1", nil, "release 2026-11-20T211348Z gives h1"},
		"another host of the release":        {hosts, true, false, "h2", nil, ""},
		"a release without":                  {hosts, false, false, "h1", nil, ""},
		"a master without hosts":             {&config.Master{Name: "web"}, true, false, "web", nil, "gives web"},
		"a master without hosts and without": {&config.Master{Name: "web"}, false, false, "web", nil, ""},
		"a damaged release":                  {hosts, true, true, "h1", nil, ""},
		"a damaged release, a file":          {hosts, true, true, "h1", []string{"h1"}, "--no-identities"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			p := serve(t, dir, "h1", map[string]string{"etc/machine-id": derivedMachineID("h1")}, tt.fromVault)
			if tt.damaged {
				if err := os.Remove(filepath.Join(p.Dir, "manifest.json")); err != nil {
					t.Fatal(err)
				}
			}
			kept := func(context.Context) ([]string, error) { return tt.kept, nil }
			err := Closed(kept).Check(t.Context(), dir, nil, tt.master, []string{tt.ask})
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "--no-identities")) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// Of a release from before that was noted, the machine-id tells.
func TestIdentityOfOldRelease(t *testing.T) {
	for id, want := range map[string]bool{someID: true, derivedMachineID("h1"): false, "": false} {
		p := serve(t, t.TempDir(), "h1", map[string]string{"./etc/machine-id": id + "\n", "etc/hostname": "h1\n"}, false)
		unnoted(p, "h1")
		got, err := fromVault(t.Context(), nil, &config.Master{Name: "web", Conffs: "h*"}, p, []string{"h1", "h2"})
		if err != nil || (len(got) == 1) != want {
			t.Errorf("the machine-id %q: %v, %v", id, got, err)
		}
	}
}

// A vault that is set up takes over what hosts have, and makes what they lack.
func TestIdentitiesAreTakenOver(t *testing.T) {
	first := vault.NewLocal(t.TempDir(), "passphrase")
	id, _, err := vault.Ensure(t.Context(), first, "h1")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for path, file := range id.Files() {
		files[strings.TrimPrefix(path, "/")] = string(file.Content())
	}
	derived := map[string]string{"etc/machine-id": derivedMachineID("h1") + "\n", "etc/ssh/ssh_host_ed25519_key": files["etc/ssh/ssh_host_ed25519_key"]}
	for name, tt := range map[string]struct {
		files     map[string]string
		fromVault bool
		others    bool // the vault has other hosts
		keys      bool // those of the release are taken
		machineID string
		notice    string
	}{
		"a machine-id made of the name":       {derived, false, false, false, derivedMachineID("h1"), ""},
		"the same, in a vault with others":    {derived, false, true, false, derivedMachineID("h1"), ""},
		"all, where the vault was lost":       {files, true, false, true, id.MachineID(), ""},
		"nothing, where the vault dropped it": {files, true, true, false, "", "the vault no longer has the identity"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if tt.others {
				if err := os.WriteFile(filepath.Join(dir, "h2.tar.gpg"), []byte("not read"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			store := vault.NewLocal(dir, "passphrase")
			i, notice := In(store), ""
			i.notice = func(_, text string) { notice = text }
			if err := i.Ensure(t.Context(), serve(t, t.TempDir(), "h1", tt.files, tt.fromVault), []string{"h1"}); err != nil {
				t.Fatal(err)
			}
			got, err := store.Get(t.Context(), "h1")
			if err != nil {
				t.Fatal(err)
			}
			if keys := got.Keys()[0].Fingerprint == id.Keys()[0].Fingerprint; keys != tt.keys {
				t.Errorf("the keys are taken: %v, want %v", keys, tt.keys)
			}
			if tt.machineID != "" && got.MachineID() != tt.machineID || tt.machineID == "" && got.MachineID() == id.MachineID() {
				t.Errorf("the machine-id is %s", got.MachineID())
			}
			if len(got.Missing()) > 0 || i.MachineID("h1") != got.MachineID() {
				t.Errorf("it lacks %v", got.Missing())
			}
			if tt.notice != "" != (notice != "") || !strings.Contains(notice, tt.notice) {
				t.Errorf("the notice is %q", notice)
			}
		})
	}
}
