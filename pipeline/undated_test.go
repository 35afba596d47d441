package pipeline

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vauban/config"
)

// inMasters are the rules for masters that leave nothing more out, nor less.
var inMasters = slices.Concat(unshipped, dated)

// TestDigestUndatedOfDatedFiles compares what two runs leave in the files that
// hold dates.
func TestDigestUndatedOfDatedFiles(t *testing.T) {
	code := func(flags, mtime, rest string) string { return "\xa7\x0d\x0d\x0a" + flags + mtime + "size" + rest }
	for name, tt := range map[string]struct {
		path, a, b string
		same       bool
	}{
		"dpkg.log":                {"var/log/dpkg.log", "2026-11-20 21:13:48 install a:all <none> 1\n", "2026-11-21 01:00:00 install a:all <none> 1\n", true},
		"dpkg.log, other version": {"var/log/dpkg.log", "2026-11-20 21:13:48 install a:all <none> 1\n", "2026-11-20 21:13:48 install a:all <none> 2\n", false},
		"dpkg.log elsewhere":      {"srv/dpkg.log", "2026-11-20 21:13:48 a\n", "2026-11-20 21:13:49 a\n", false},
		"apt's history":           {"var/log/apt/history.log", "\nStart-Date: 2026-11-20  21:13:48\nInstall: a\n", "\nStart-Date: 2026-11-20  21:13:52\nInstall: a\n", true},
		"apt's history, more":     {"var/log/apt/history.log", "Install: a\n", "Install: a, b\n", false},
		"alternatives":            {"var/log/alternatives.log", "update-alternatives 2026-11-20 21:13:48: run with --install\n", "update-alternatives 2026-11-20 21:13:49: run with --install\n", true},
		"the day of a password":   {"etc/shadow", "a:$6$x:20412:0:::::\n", "a:$6$x:20413:0:::::\n", true},
		"a password":              {"etc/shadow", "a:$6$x:20412:0:::::\n", "a:$6$y:20412:0:::::\n", false},
		"an expired password":     {"etc/shadow", "a:$6$x:20412:0:::::\n", "a:$6$x:0:0:::::\n", false},
		"no day":                  {"etc/shadow", "a:$6$x:20412:0:::::\n", "a:$6$x::0:::::\n", false},
		"another limit":           {"etc/shadow", "a:$6$x:20412:0:99:::\n", "a:$6$x:20412:0:98:::\n", false},
		"pamd's comment":          {"etc/pam.d/su", "# Updated by Ansible - 2026-11-20T21:13:48.123456\nauth a\n", "# Updated by Ansible - 2026-11-20T21:13:49.1\nauth a\n", true},
		"pamd's text":             {"etc/pam.d/su", "auth 2026-11-20 21:13:48\n", "auth 2026-11-20 21:13:49\n", false},
		"the linker's cache":      {"var/cache/ldconfig/aux-cache", "a", "bcd", true},
		"byte-code":               {"srv/a.pyc", code("\x00\x00\x00\x00", "abcd", "code"), code("\x00\x00\x00\x00", "efgh", "code"), true},
		"byte-code by digest":     {"srv/a.pyc", code("\x01\x00\x00\x00", "abcd", "code"), code("\x01\x00\x00\x00", "efgh", "code"), false},
		"other byte-code":         {"srv/a.pyc", code("\x00\x00\x00\x00", "abcd", "code"), code("\x00\x00\x00\x00", "abcd", "none"), false},
		"not byte-code":           {"srv/a.pyc", "a", "b", false},
		"a package's host key":    {"etc/ssh/ssh_host_rsa_key", "a", "b", true},
		"a certificate":           {"etc/ssh/ssh_host_rsa_key-cert.pub", "a", "b", false},
		"a key of a playbook":     {"etc/ssh/ssh_known_hosts", "a", "b", false},
	} {
		a, errA := digestUndated(tarWith(t, tt.path, []byte(tt.a)), inMasters)
		b, errB := digestUndated(tarWith(t, tt.path, []byte(tt.b)), inMasters)
		if errA != nil || errB != nil {
			t.Errorf("%s: %v, %v", name, errA, errB)
		}
		if (a == b) != tt.same {
			t.Errorf("%s: the same is %v, want %v", name, a == b, tt.same)
		}
	}
}

// TestKeysOfHostsAreCompared: a host's conffs ship what no root filesystem does.
func TestKeysOfHostsAreCompared(t *testing.T) {
	for _, path := range []string{"etc/ssh/ssh_host_ed25519_key", "etc/ssh/ssh_host_ed25519_key.pub", "etc/ssh/ssh_host_ed25519_key-cert.pub",
		"etc/ssl/private/ssl-cert-snakeoil.key", "etc/ssl/certs/ssl-cert-snakeoil.pem",
		"var/lib/systemd/random-seed", "var/lib/systemd/credential.secret"} {
		a, errA := digestUndated(tarWith(t, path, []byte("old")), dated)
		b, errB := digestUndated(tarWith(t, path, []byte("new")), dated)
		if errA != nil || errB != nil || a == b {
			t.Errorf("%s: two contents have digest %s: %v, %v", path, a, errA, errB)
		}
	}
}

// TestKeptKeysAreCompared: a list of a master takes keys back into its root
// filesystem, whoever made them.
func TestKeptKeysAreCompared(t *testing.T) {
	cfg := &config.Config{Dir: t.TempDir()}
	web := &config.Master{Name: "web"}
	cfg.Bases = []*config.Base{{Masters: []*config.Master{web}}}
	ignored := func(list string) bool {
		t.Helper()
		web.Export = map[string]string{"exclude": "list"}
		if err := os.WriteFile(filepath.Join(cfg.Dir, "list"), []byte(list), 0o600); err != nil {
			t.Fatal(err)
		}
		rules := datedInMasters(cfg)
		_, ok := rules.find("etc/ssh/ssh_host_rsa_key")
		if _, other := rules.find("var/lib/systemd/random-seed"); !other {
			t.Errorf("%q: the random seed is compared", list)
		}
		return ok
	}
	for list, want := range map[string]bool{
		"usr/share/doc/*\n": true, "!etc/ssh/ssh_host_*\n": false, "!etc/ssh/ssh_host_rsa_key\n": false,
		"!etc/ssh/ssh_host_r*\n": false, "!etc/ssh/sshd_config\n": true,
	} {
		if got := ignored(list); got != want {
			t.Errorf("%q: a host key is left out of the comparison: %v, want %v", list, got, want)
		}
	}
}

func TestDigestUndatedOfBackups(t *testing.T) {
	one, other := "etc/motd.312.2026-11-20@21:13:48~", "etc/motd.4711.2026-11-21@01:00:00~"
	a, errA := digestUndated(tarWith(t, one, []byte("text")), inMasters)
	b, errB := digestUndated(tarWith(t, other, []byte("text")), inMasters)
	if errA != nil || errB != nil || a != b {
		t.Errorf("two backups of one file differ: %v, %v", errA, errB)
	}
	if c, err := digestUndated(tarWith(t, strings.Replace(one, "motd", "issue", 1), []byte("text")), inMasters); err != nil || c == a {
		t.Errorf("backups of two files are the same: %v", err)
	}
}

// TestDigestUndatedKeepsFilesApart moves content from one file to the next.
func TestDigestUndatedKeepsFilesApart(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{"", "\n", "a\n", "a", "a\na\n"} {
		d, err := digestUndated(tarWith(t, "var/log/dpkg.log", []byte(text)), inMasters)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[d.String()]; ok {
			t.Errorf("%q and %q are the same", other, text)
		}
		seen[d.String()] = text
	}
}

func FuzzDigestUndated(f *testing.F) {
	f.Add("var/log/dpkg.log", []byte("2026-11-20 21:13:48 a\n"))
	f.Add("etc/shadow", []byte("a:b:1:\n"))
	f.Add("a.pyc", []byte("0123\x00\x00\x00\x00abcdefgh"))
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		if name == "" || len(name) > 90 || strings.ContainsAny(name, "\x00") || strings.HasSuffix(name, "/") {
			return
		}
		a, errA := digestUndated(tarWith(t, name, content), inMasters)
		b, errB := digestUndated(tarWith(t, name, content), inMasters)
		if (errA == nil) != (errB == nil) || a != b {
			t.Errorf("%v %v, %s %s", errA, errB, a, b)
		}
	})
}

func TestDigestUndatedOfImginfo(t *testing.T) {
	const before = "stages:\n    - date: 2026-11-20T21:13:48+01:00\n      git-sha1: 6\n      source-digest: sha256:89ab\n"
	again := strings.NewReplacer("2026-11-20T21:13:48+01:00", "2027-01-01T00:00:00Z", "89ab", "0123").Replace(before)
	other := strings.Replace(before, "sha1: 6", "sha1: 7", 1)
	digest := func(name, text string) string {
		d, err := digestUndated(tarWith(t, name, []byte(text)), inMasters)
		if err != nil {
			t.Fatal(err)
		}
		return d.String()
	}
	if digest("imginfo", before) != digest("imginfo", again) {
		t.Error("/imginfo differs by its dates")
	}
	if digest("imginfo", before) == digest("imginfo", other) {
		t.Error("/imginfo does not differ by its commit")
	}
	if digest("etc/imginfo", before) == digest("etc/imginfo", again) {
		t.Error("another file of that name does not differ by dates")
	}
}
