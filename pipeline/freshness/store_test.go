package freshness

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"vauban/registry"
)

// recordsOf are the records of a machine with that state directory.
func recordsOf(t testing.TB, reg *registry.Registry, stateDir string) *Records {
	t.Helper()
	return NewRecords(reg, stateDir, slog.New(slog.NewTextHandler(t.Output(), nil)))
}

// tagged makes an image of a text the latest one of a name.
func tagged(t testing.TB, reg *registry.Registry, name, text string) digest.Digest {
	t.Helper()
	pushed, err := reg.PushArtifact(t.Context(), name, registry.Latest, "text/plain", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return pushed.Digest
}

func TestRecords(t *testing.T) {
	reg, err := registry.Open(t.Context(), registry.Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close()
	here, elsewhere := t.TempDir(), t.TempDir()
	update := func(stateDir string, push bool, image digest.Digest) {
		t.Helper()
		err := recordsOf(t, reg, stateDir).Update(t.Context(), "web/app", push, func(r *Record) { r.Image = image })
		if err != nil {
			t.Fatal(err)
		}
	}
	see := func(stateDir string, record, latest digest.Digest) {
		t.Helper()
		r, gotLatest, err := recordsOf(t, reg, stateDir).Get(t.Context(), "web/app")
		var got digest.Digest
		if r != nil {
			got = r.Image
		}
		if err != nil || got != record || gotLatest != latest {
			t.Errorf("record of %s, latest %s (%v); want %s and %s", got, gotLatest, err, record, latest)
		}
	}
	see(here, "", "")
	first := tagged(t, reg, "web/app", "1")
	see(here, "", first)
	update(here, true, first)
	see(here, first, first)
	see(elsewhere, first, first)

	second := tagged(t, reg, "web/app", "2")
	see(here, first, second) // the run was killed before it recorded
	update(elsewhere, true, second)
	see(here, second, second)

	damaged := recordsOf(t, reg, here).path("web/app")
	text, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)-9] ^= 1
	if err := os.WriteFile(damaged, text, 0o600); err != nil {
		t.Fatal(err)
	}
	see(here, second, second) // it is fetched again

	local := digest.FromString("built with --no-push")
	update(here, false, local)
	see(here, local, local)
	see(elsewhere, second, second)
	third := tagged(t, reg, "web/app", "3")
	update(elsewhere, true, third)
	see(here, third, third)

	// What cannot be read is as good as nothing.
	if _, err := reg.PushArtifact(t.Context(), "web/app", RecordTag, recordMediaType, []byte("not gzip")); err != nil {
		t.Fatal(err)
	}
	see(here, "", third)
	update(here, true, third)
	see(here, third, third)
	copies, err := filepath.Glob(filepath.Join(here, "freshness", "embedded", "web@app"))
	if err != nil || len(copies) != 1 {
		t.Fatalf("copies: %q (%v)", copies, err)
	}
	if err := os.WriteFile(copies[0], []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	see(here, third, third)
}
