package aptpool

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

const prefix = "deb.example.com_debian_dists_bookworm_"

var testSources = NewSources("debian12", []byte("deb http://deb.example.com/debian bookworm main"))

func newKey(t testing.TB) *openpgp.Entity {
	t.Helper()
	key, err := openpgp.NewEntity("archive", "", "archive@example.com", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newPool trusts the keys.
func newPool(t testing.TB, keys ...*openpgp.Entity) *Pool {
	t.Helper()
	dir := t.TempDir()
	var files []string
	for i, key := range keys {
		var public bytes.Buffer
		if err := key.Serialize(&public); err != nil {
			t.Fatal(err)
		}
		files = append(files, filepath.Join(dir, fmt.Sprint(i)+".gpg"))
		write(t, files[i], public.Bytes())
	}
	p, err := Open(filepath.Join(dir, "pool"), append(files, filepath.Join(dir, "gone.gpg")), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func write(t testing.TB, path string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// container is what one has written.
type container struct{ lists, archives string }

func newContainer(t testing.TB) container {
	t.Helper()
	dir := t.TempDir()
	c := container{filepath.Join(dir, "lists"), filepath.Join(dir, "archives")}
	for _, sub := range []string{c.lists, c.archives} {
		if err := os.MkdirAll(filepath.Join(sub, "partial"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// keep gives the pool what the container has, as one that was given nothing.
func (c container) keep(t testing.TB, p *Pool) {
	t.Helper()
	err := p.KeepLists(t.Context(), Taken{Sources: testSources, Container: "run-c", Changed: c.lists, Given: t.TempDir(), Since: time.Now().Add(-time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.KeepArchives(t.Context(), testSources, c.archives); err != nil {
		t.Fatal(err)
	}
}

const hello = "content of hello"

// entry is that of a package in an index.
func entry(name, content string) string {
	return fmt.Sprintf("Package: %s\nVersion: 1:2.0\nArchitecture: amd64\nDescription: a\n Package: no\nSize: %d\nSHA256: %x\n\n", name, len(content), sha256.Sum256([]byte(content)))
}

// repository is what a mirror signs.
type repository struct {
	date, until time.Time // zero: no Valid-Until
	suite       string    // "": that of prefix
	packages    string
}

func (r repository) text() string {
	if r.suite == "" {
		r.suite = "bookworm"
	}
	const form = "Mon, 02 Jan 2006 15:04:05 UTC"
	text := fmt.Sprintf("Origin: Debian\nSuite: oldstable\nCodename: %s\nDate: %s\n", r.suite, r.date.UTC().Format(form))
	if !r.until.IsZero() {
		text += "Valid-Until: " + r.until.UTC().Format(form) + "\n"
	}
	return text + fmt.Sprintf("MD5Sum:\n abc 1 main/none\nSHA256:\n %x %d main/binary-amd64/Packages\n", sha256.Sum256([]byte(r.packages)), len(r.packages))
}

func sign(t testing.TB, key *openpgp.Entity, text string) []byte {
	t.Helper()
	var signed bytes.Buffer
	w, err := clearsign.Encode(&signed, key.PrivateKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return signed.Bytes()
}

// recent is a repository of hello.
func recent() repository {
	return repository{date: time.Now().Add(-time.Hour), packages: entry("hello", hello) + entry("other", "another content")}
}

// fetch has a container fetch its lists, and hello.
func (c container) fetch(t testing.TB, key *openpgp.Entity, r repository) {
	t.Helper()
	write(t, filepath.Join(c.lists, prefix+"InRelease"), sign(t, key, r.text()))
	write(t, filepath.Join(c.lists, prefix+"main_binary-amd64_Packages"), []byte(r.packages))
	write(t, filepath.Join(c.archives, helloFile), []byte(hello))
}

const helloFile = "hello_1%3a2.0_amd64.deb"

// names are the files of a folder, "" when it is not there.
func names(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// given is what the next container gets.
func given(t testing.TB, p *Pool) (archives, lists string, complete bool) {
	t.Helper()
	v, err := p.View("run-next", testSources)
	if err != nil {
		t.Fatal(err)
	}
	archives, lists = names(t, v.Archives), names(t, v.Lists)
	if err := p.RemoveViews("run-*"); err != nil {
		t.Fatal(err)
	}
	return archives, lists, v.Complete
}
