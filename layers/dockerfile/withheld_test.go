package dockerfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/patternmatcher"
)

// secretContext is a context with secrets in it, also under other names, and
// what is withheld.
func secretContext(t *testing.T) (dir string, withheld []Withheld) {
	t.Helper()
	dir = writeFiles(t, map[string]string{
		".secrets.env": "canary", "ansible-ro": "canary", "vault/eu/web01.tar.gpg": "canary", "state/images/conffs.tgz": "canary",
		"app/main.py": "code", "app/config/app.conf": "x", ".dockerignore": "ignored\n", "ignored": "canary",
	})
	outside := writeFiles(t, map[string]string{"apt.auth": "canary", "linked": "canary"})
	in := func(name string) string { return filepath.Join(dir, name) }
	err := errors.Join(
		os.Symlink("../.secrets.env", in("app/link")), os.Symlink(filepath.Join(outside, "apt.auth"), in("app/out")), os.Symlink("vault", in("store")),
		os.Link(in("ansible-ro"), in("app/hard")), os.Link(in("vault/eu/web01.tar.gpg"), in("app/host")),
		os.Link(filepath.Join(outside, "apt.auth"), in("app/auth")), os.Symlink(filepath.Join(outside, "linked"), in("key")),
		os.Mkdir(filepath.Join(outside, "way"), 0o755), os.Symlink(dir, filepath.Join(outside, "way/in")),
	)
	if err != nil {
		t.Fatal(err)
	}
	return dir, []Withheld{
		{Path: in(".secrets.env"), Why: "secrets"}, {Path: filepath.Join(outside, "way/in/ansible-ro"), Why: "a deploy key"}, {Path: in("vault"), Why: "a vault"},
		{Path: in("state"), Why: "the state", Large: true}, {Path: filepath.Join(outside, "apt.auth"), Why: "credentials"}, {Path: in("key"), Why: "a key"},
		{Path: in("app/gone"), Why: "nothing yet"}, {Path: in("ignored"), Why: "ignored"},
	}
}

func TestWithheldIsLeftOut(t *testing.T) {
	dir, withheld := secretContext(t)
	all := map[string]string{"app/main.py": "code", "app/config/app.conf": "x", "app/link": "-> ../.secrets.env", ".dockerignore": "ignored\n", "store": "-> vault"}
	app := map[string]string{"main.py": "code", "config/app.conf": "x", "link": "-> ../.secrets.env"}
	for pattern, want := range map[string]struct {
		files map[string]string
		left  []string
	}{
		".":         {all, []string{".secrets.env (secrets)", "ansible-ro (a deploy key)", "app/auth (credentials)", "app/hard (a deploy key)", "app/host (a vault)", "key (a key)", "state (the state)", "vault (a vault)"}},
		"app":       {app, []string{"app/auth (credentials)", "app/hard (a deploy key)", "app/host (a vault)"}},
		"app/m*":    {map[string]string{"main.py": "code"}, nil},
		"app/[hm]*": {map[string]string{"main.py": "code"}, []string{"app/hard (a deploy key)", "app/host (a vault)"}},
	} {
		t.Run(pattern, func(t *testing.T) {
			left := &leftOut{}
			d := &Step{Name: "Dockerfile", Context: dir, Withheld: withheld}
			c, err := d.openContext(left)
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			names, err := c.match(pattern)
			if err != nil {
				t.Fatal(err)
			}
			to := t.TempDir()
			if err := placeHere(t, c, to+"/", names...); err != nil {
				t.Fatal(err)
			}
			got := tree(t, to)
			delete(got, "app/out") // a link, to nowhere in the image
			delete(got, "out")
			if diff := cmp.Diff(want.files, got); diff != "" {
				t.Error(diff)
			}
			notice := ""
			if len(want.left) > 0 {
				notice = "left out of the build context: " + strings.Join(want.left, ", ")
			}
			if left.notice() != notice {
				t.Errorf("notice %q, want %q", left.notice(), notice)
			}
		})
	}
}

func TestWithheldIsRefusedByName(t *testing.T) {
	dir, withheld := secretContext(t)
	for _, source := range []string{".secrets.env", "/.secrets.env", "./app/../.secrets.env", ".secrets*", "ansible-ro", "vault", "vault/", "vault/eu/web01.tar.gpg", "vault/*",
		"app/hard", "app/host", "app/auth", "app/link", "app/out", "store", "store/eu", "state/images", "key", "app/gone"} {
		for _, line := range []string{"COPY " + source + " /x", "ADD " + source + " /x", "RUN --mount=target=/x,source=" + source + " true"} {
			d := &Step{Name: "Dockerfile", Content: []byte("ARG SOURCE\nFROM ${SOURCE}\n" + line + "\n"), Context: dir, Withheld: withheld}
			if err := d.Check(); !errors.Is(err, errWithheld) || !strings.Contains(err.Error(), "(") {
				t.Errorf("%s: %v", line, err)
			}
			if _, err := d.Key(t.Context(), ""); !errors.Is(err, errWithheld) {
				t.Errorf("the key of %s: %v", line, err)
			}
		}
	}
	for _, context := range []string{"vault", "vault/eu", "state/images", "store"} {
		d := &Step{Name: "Dockerfile", Content: []byte("ARG SOURCE\nFROM ${SOURCE}\nCOPY . /x\n"), Context: filepath.Join(dir, context), Withheld: withheld}
		if err := d.Check(); !errors.Is(err, errWithheld) {
			t.Errorf("a context in %s: %v", context, err)
		}
	}
	// A file that becomes a secret's between the two looks is not read.
	c, err := (&Step{Name: "Dockerfile", Context: dir, Withheld: withheld}).openContext(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	none, err := patternmatcher.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	err = c.walk(t.Context(), "app/main.py", none, func(e treeEntry) error {
		file := filepath.Join(dir, "app/main.py")
		if err := errors.Join(os.Remove(file), os.Link(filepath.Join(dir, ".secrets.env"), file)); err != nil {
			t.Fatal(err)
		}
		_, err := e.digest()
		return err
	})
	if !errors.Is(err, errWithheld) {
		t.Errorf("a file that was replaced: %v", err)
	}
}

// TestKeyIgnoresWithheld: a secret that changes rebuilds nothing.
func TestKeyIgnoresWithheld(t *testing.T) {
	dir, withheld := secretContext(t)
	d := &Step{Name: "Dockerfile", Content: []byte("ARG SOURCE\nFROM ${SOURCE}\nCOPY . /x\n"), Context: dir, Withheld: withheld}
	before := dockerfileKey(t, d, "")
	writeTo(t, dir, ".secrets.env", "another")
	writeTo(t, dir, "vault/new.tar.gpg", "another")
	if after := dockerfileKey(t, d, ""); after != before {
		t.Error("it changes with a secret")
	}
	writeTo(t, dir, "app/main.py", "another")
	if after := dockerfileKey(t, d, ""); after == before {
		t.Error("it does not change with a file that is copied")
	}
}

func TestLeftOutIsBounded(t *testing.T) {
	left := &leftOut{}
	for i := range 30 {
		left.add(strings.Repeat("x", i+1), "secret")
	}
	if text := left.notice(); !strings.HasSuffix(text, ", 20 more") {
		t.Errorf("%q", text)
	}
}
