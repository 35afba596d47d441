package aptpool

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/klauspost/compress/gzip"
	"github.com/pierrec/lz4/v4"
	"golang.org/x/sys/unix"
)

const allLists = prefix + "InRelease " + prefix + "main_binary-amd64_Packages"

// TestSigned: what one container fetched, another is given.
func TestSigned(t *testing.T) {
	key := newKey(t)
	for name, pack := range map[string]func(c container, packages []byte){
		"plain": func(container, []byte) {},
		"lz4": func(c container, packages []byte) {
			var packed bytes.Buffer
			w := lz4.NewWriter(&packed)
			w.Write(packages)
			w.Close()
			repack(t, c, ".lz4", packed.Bytes())
		},
		"gzip": func(c container, packages []byte) {
			var packed bytes.Buffer
			w := gzip.NewWriter(&packed)
			w.Write(packages)
			w.Close()
			repack(t, c, ".gz", packed.Bytes())
		},
		"a detached signature": func(c container, _ []byte) {
			text := recent().text()
			var signature bytes.Buffer
			if err := openpgp.ArmoredDetachSign(&signature, key, strings.NewReader(text), nil); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(c.lists, prefix+"Release"), []byte(text))
			write(t, filepath.Join(c.lists, prefix+"Release.gpg"), signature.Bytes())
			os.Remove(filepath.Join(c.lists, prefix+"InRelease"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, c, r := newPool(t, newKey(t), key), newContainer(t), recent()
			c.fetch(t, key, r)
			pack(c, []byte(r.packages))
			c.keep(t, p)
			archives, lists, complete := given(t, p)
			if archives != helloFile || !strings.HasSuffix(lists, "_Packages") || !complete {
				t.Errorf("given are %q, %q, complete %v", archives, lists, complete)
			}
			// The file is the pool's own.
			write(t, filepath.Join(c.archives, helloFile), []byte("evil"))
			pooled, err := os.ReadFile(filepath.Join(p.archives(), names(t, p.archives())))
			if err != nil || string(pooled) != hello {
				t.Errorf("the pool has %q, %v", pooled, err)
			}
		})
	}
}

func repack(t *testing.T, c container, suffix string, packed []byte) {
	t.Helper()
	list := filepath.Join(c.lists, prefix+"main_binary-amd64_Packages")
	write(t, list+suffix, packed)
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
}

// TestHostileLists: none of what a container can make of lists is pooled, nor
// the package that they name.
func TestHostileLists(t *testing.T) {
	key, other := newKey(t), newKey(t)
	evil := entry("hello", hello) + entry("evil", "evil")
	list := func(c container) string { return filepath.Join(c.lists, prefix+"InRelease") }
	packages := func(c container) string { return filepath.Join(c.lists, prefix+"main_binary-amd64_Packages") }
	edit := func(t *testing.T, path string, change func([]byte) []byte) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, change(text))
	}
	hostile := map[string]func(t *testing.T, c container){
		"not signed":            func(t *testing.T, c container) { write(t, list(c), []byte(recent().text())) },
		"signed by another key": func(t *testing.T, c container) { c.fetch(t, other, recent()) },
		"changed after signing": func(t *testing.T, c container) {
			edit(t, list(c), func(b []byte) []byte { return bytes.Replace(b, []byte("Origin"), []byte("0rigin"), 1) })
		},
		"text before": func(t *testing.T, c container) {
			edit(t, list(c), func(b []byte) []byte { return append([]byte("Codename: x\n\n"), b...) })
		},
		"text after": func(t *testing.T, c container) {
			edit(t, list(c), func(b []byte) []byte { return append(b, "SHA256:\n"...) })
		},
		"two messages": func(t *testing.T, c container) { edit(t, list(c), func(b []byte) []byte { return append(b, b...) }) },
		"cut short":    func(t *testing.T, c container) { edit(t, list(c), func(b []byte) []byte { return b[:len(b)/2] }) },
		"expired": func(t *testing.T, c container) {
			r := recent()
			r.until = time.Now().Add(-time.Minute)
			c.fetch(t, key, r)
		},
		"of 2100": func(t *testing.T, c container) {
			r := recent()
			r.date = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
			c.fetch(t, key, r)
		},
		"of another suite": func(t *testing.T, c container) { r := recent(); r.suite = "sid"; c.fetch(t, key, r) },
		"another index":    func(t *testing.T, c container) { write(t, packages(c), []byte(evil)) },
		"an index with more": func(t *testing.T, c container) {
			edit(t, packages(c), func(b []byte) []byte { return append(b, entry("evil", "evil")...) })
		},
		"a link as the release":  func(t *testing.T, c container) { os.Remove(list(c)); os.Symlink("/etc/passwd", list(c)) },
		"a pipe as the release":  func(t *testing.T, c container) { os.Remove(list(c)); unix.Mkfifo(list(c), 0o600) },
		"a pipe as the index":    func(t *testing.T, c container) { os.Remove(packages(c)); unix.Mkfifo(packages(c), 0o600) },
		"a folder as the index":  func(t *testing.T, c container) { os.Remove(packages(c)); os.Mkdir(packages(c), 0o700) },
		"a release of terabytes": func(t *testing.T, c container) { os.Truncate(list(c), 1<<42) },
		"an index of terabytes":  func(t *testing.T, c container) { os.Truncate(packages(c), 1<<42) },
		"a bomb as the index": func(t *testing.T, c container) {
			var packed bytes.Buffer
			w := gzip.NewWriter(&packed)
			w.Write(make([]byte, 64<<20))
			w.Close()
			repack(t, c, ".gz", packed.Bytes())
		},
		"a repository without suites": func(t *testing.T, c container) {
			os.Rename(list(c), filepath.Join(c.lists, "deb.example.com_._InRelease"))
			os.Rename(packages(c), filepath.Join(c.lists, "deb.example.com_._Packages"))
		},
	}
	for name, change := range hostile {
		t.Run(name, func(t *testing.T) {
			p, c := newPool(t, key), newContainer(t)
			c.fetch(t, key, recent())
			change(t, c)
			c.keep(t, p)
			if archives, lists, complete := given(t, p); archives != "" || strings.Contains(lists, "Packages") || complete {
				t.Errorf("given are %q, %q, complete %v", archives, lists, complete)
			}
		})
	}
	t.Logf("hostile lists tried %d", len(hostile))
}

// TestHostileArchives: only what lists name is pooled, whatever lies next to it.
func TestHostileArchives(t *testing.T) {
	key := newKey(t)
	at := func(c container, name string) string { return filepath.Join(c.archives, name) }
	hostile := map[string]func(c container){
		"equal in size":            func(c container) { write(t, at(c, helloFile), []byte(strings.ToUpper(hello))) },
		"longer":                   func(c container) { write(t, at(c, helloFile), []byte(hello+"evil")) },
		"another package's name":   func(c container) { os.Rename(at(c, helloFile), at(c, "other_1%3a2.0_amd64.deb")) },
		"a name of no list":        func(c container) { os.Rename(at(c, helloFile), at(c, "evil_1_all.deb")) },
		"a link to the builder":    func(c container) { os.Remove(at(c, helloFile)); os.Symlink("/etc/passwd", at(c, helloFile)) },
		"a pipe":                   func(c container) { os.Remove(at(c, helloFile)); unix.Mkfifo(at(c, helloFile), 0o600) },
		"a folder":                 func(c container) { os.Remove(at(c, helloFile)); os.Mkdir(at(c, helloFile), 0o700) },
		"sparse terabytes":         func(c container) { os.Truncate(at(c, helloFile), 1<<42) },
		"half of it":               func(c container) { os.Truncate(at(c, helloFile), 3) },
		"a name of the pool's own": func(c container) { os.Rename(at(c, helloFile), at(c, strings.Repeat("0", 64)+"_"+helloFile)) },
	}
	for name, change := range hostile {
		t.Run(name, func(t *testing.T) {
			p, c := newPool(t, key), newContainer(t)
			c.fetch(t, key, recent())
			change(c)
			c.keep(t, p)
			if archives, lists, _ := given(t, p); archives != "" || lists != allLists || names(t, p.archives()) != "" {
				t.Errorf("given are %q, %q; the pool has %q", archives, lists, names(t, p.archives()))
			}
		})
	}
	t.Logf("hostile packages tried %d", len(hostile))
}

// TestListsAreNotOlder: signed lists of last year do not replace newer ones,
// and no date of a container's makes lists newer than the container.
func TestListsAreNotOlder(t *testing.T) {
	key := newKey(t)
	p, c := newPool(t, key), newContainer(t)
	c.fetch(t, key, recent())
	future := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, path := range []string{c.lists, filepath.Join(c.lists, prefix+"InRelease")} {
		if err := os.Chtimes(path, future, future); err != nil {
			t.Fatal(err)
		}
	}
	c.keep(t, p)
	info, err := os.Stat(p.sources(testSources.key))
	if err != nil || info.ModTime().After(time.Now()) {
		t.Errorf("the lists are dated %v, %v", info, err)
	}
	old, r := newContainer(t), recent()
	r.date, r.packages = r.date.AddDate(-1, 0, 0), entry("hello", "an old one")
	old.fetch(t, key, r)
	old.keep(t, p)
	if text, err := os.ReadFile(filepath.Join(p.sources(testSources.key), "lists", prefix+"main_binary-amd64_Packages")); err != nil || string(text) != recent().packages {
		t.Errorf("the pool has %q, %v", text, err)
	}
	// Lists of yesterday, and of tomorrow, are fetched again.
	for _, date := range []time.Time{time.Now().Add(-maxAge - time.Minute), future} {
		if err := os.Chtimes(p.sources(testSources.key), date, date); err != nil {
			t.Fatal(err)
		}
		if archives, lists, complete := given(t, p); archives != helloFile || lists != "" || complete {
			t.Errorf("lists of %v: given are %q, %q, complete %v", date, archives, lists, complete)
		}
	}
}

// TestExpiry: lists are given until they expire; where the sources say that
// it does not matter, as those of a snapshot do, for ever.
func TestExpiry(t *testing.T) {
	key := newKey(t)
	p, c, r := newPool(t, key), newContainer(t), recent()
	r.until = time.Now().Add(time.Hour)
	c.fetch(t, key, r)
	c.keep(t, p)
	if _, lists, _ := given(t, p); lists != allLists {
		t.Errorf("given are %q", lists)
	}
	write(t, filepath.Join(p.sources(testSources.key), "until"), []byte(time.Now().Add(-time.Hour).Format(time.RFC3339)))
	if _, lists, _ := given(t, p); lists != "" {
		t.Errorf("given are %q, which expired", lists)
	}
	for text, want := range map[string]bool{"deb [check-valid-until=no] http://a b c": true, "Check-Valid-Until: no": true, "deb http://a b c": false} {
		if got := NewSources("debian12", []byte(text)).everValid; got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TestThirdParty: lists whose key is not trusted stay with their container,
// those next to them are given, and are not all.
func TestThirdParty(t *testing.T) {
	key := newKey(t)
	p, c := newPool(t, key), newContainer(t)
	c.fetch(t, key, recent())
	third := "example.org_dists_bookworm_"
	write(t, filepath.Join(c.lists, third+"InRelease"), sign(t, newKey(t), recent().text()))
	write(t, filepath.Join(c.lists, third+"main_binary-amd64_Packages"), []byte(recent().packages))
	c.keep(t, p)
	if archives, lists, complete := given(t, p); archives != helloFile || lists != allLists || complete {
		t.Errorf("given are %q, %q, complete %v", archives, lists, complete)
	}
}

// TestOtherSources: sources of which no lists are known get the packages of
// others of the same release, and of no other.
func TestOtherSources(t *testing.T) {
	key := newKey(t)
	p, c := newPool(t, key), newContainer(t)
	c.fetch(t, key, recent())
	c.keep(t, p)
	for release, want := range map[string]string{"debian12": helloFile, "ubuntu24.04": "", "": ""} {
		v, err := p.View("run-other", NewSources(release, []byte("deb http://other bookworm main")))
		if err != nil {
			t.Fatal(err)
		}
		if got := names(t, v.Archives); got != want {
			t.Errorf("%q is given %q, want %q", release, got, want)
		}
		if err := p.RemoveViews("run-other"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAmbiguous: a name that lists give to two packages is given to none.
func TestAmbiguous(t *testing.T) {
	key := newKey(t)
	p, c, r := newPool(t, key), newContainer(t), recent()
	r.packages += entry("hello", strings.ToUpper(hello))
	c.fetch(t, key, r)
	c.keep(t, p)
	if archives, _, _ := given(t, p); archives != "" || names(t, p.archives()) == "" {
		t.Errorf("given are %q; the pool has %q", archives, names(t, p.archives()))
	}
}
