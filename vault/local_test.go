package vault

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLocal(t *testing.T) {
	testStore(t, func(t *testing.T) func() Store {
		dir := filepath.Join(t.TempDir(), "vault")
		return func() Store { return NewLocal(dir, "passphrase") }
	})
}

func TestLocalFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "vault")
	id := testIdentity(t)
	if err := NewLocal(dir, "first line\nsecond").Put(t.Context(), "web-1", id); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "web-1.tar.gpg"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("the file's mode is %v", info.Mode())
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
	// Only the first line counts, as for gpg.
	got, err := NewLocal(dir, "first line").Get(t.Context(), "web-1")
	if err != nil || !got.Equal(id) {
		t.Errorf("not what was put: %v", err)
	}
	for name, passphrase := range map[string]string{"no": "", "an empty": "\nsecond", "a wrong": "hunter2"} {
		_, err := NewLocal(dir, passphrase).Get(t.Context(), "web-1")
		if err == nil || !strings.Contains(err.Error(), "VAULTED_SSHD_KEYS_KEY") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("with %s passphrase: %v", name, err)
		}
	}
}

// TestLocalBehindLink has the folder in another checkout.
func TestLocalBehindLink(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "vault")
	if err := os.Symlink(t.TempDir(), dir); err != nil {
		t.Fatal(err)
	}
	store := NewLocal(dir, "passphrase")
	if err := store.Put(t.Context(), "site/web-1", testIdentity(t)); err != nil {
		t.Fatal(err)
	}
	hosts, err := store.List(t.Context())
	if diff := cmp.Diff([]string{"site/web-1"}, hosts); err != nil || diff != "" {
		t.Errorf("the hosts (-want +got), %v:\n%s", err, diff)
	}
}

// TestLocalNotShared copies a host's file for another host, as a hand would.
func TestLocalNotShared(t *testing.T) {
	dir := t.TempDir()
	store := NewLocal(dir, "passphrase")
	if err := store.Put(t.Context(), "web-1", testIdentity(t)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("web-1.tar.gpg", filepath.Join(dir, "web-2.tar.gpg")); err != nil {
		t.Fatal(err)
	}
	_, _, err := Ensure(t.Context(), store, "web-2")
	if err == nil || !strings.Contains(err.Error(), "must not share") {
		t.Errorf("error %v", err)
	}
}

func TestLocalRefuses(t *testing.T) {
	dir := t.TempDir()
	store := NewLocal(dir, "passphrase")
	if err := os.WriteFile(filepath.Join(dir, "large.tar.gpg"), make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "empty.tar.gpg"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"large", "empty", "", ".", "..", "../x", "a/../b", "/a", "a/", "-a", "a\nb", "a b", strings.Repeat("a", 241)} {
		_, _, err := Ensure(t.Context(), store, host)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: error %v", host, err)
		}
	}
	if got, err := store.List(t.Context()); err != nil || !cmp.Equal(got, []string{"empty", "large"}) {
		t.Errorf("List() = %q, %v", got, err)
	}
}

// TestLocalAfterCrash finds what a run left that died before its rename.
func TestLocalAfterCrash(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, ".web-1.tar.gpg.new")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	store := NewLocal(dir, "passphrase")
	if hosts, err := store.List(t.Context()); err != nil || len(hosts) > 0 {
		t.Errorf("List() = %q, %v", hosts, err)
	}
	if err := store.Put(t.Context(), "web-1", testIdentity(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", left, err)
	}
}
