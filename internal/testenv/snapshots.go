package testenv

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
)

// Snapshots is a server of archives as they were at a moment: below
// /ARCHIVE/MOMENT/ each has suites with PrivatePackage, signed by the key in
// keyring. What they say expired a week after the moment.
func Snapshots(t testing.TB, moment time.Time, archives, suites []string) (server http.Handler, keyring string) {
	t.Helper()
	dir := t.TempDir()
	packages := addPackage(t, dir, PrivatePackage, "1:1.0", PrivateFile) + "\n" +
		addPackage(t, dir, "ca-certificates", "0", "/usr/share/ca-certificates/none")
	key, err := openpgp.NewEntity("snapshots", "", "snapshots@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	var public bytes.Buffer
	if err := key.Serialize(&public); err != nil {
		t.Fatal(err)
	}
	put := func(path string, text []byte) {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("key.gpg", public.Bytes())
	const index = "main/binary-amd64/Packages"
	for _, suite := range suites {
		put(filepath.Join("dists", suite, index), []byte(packages))
		release := fmt.Sprintf("Suite: %s\nCodename: %[1]s\nComponents: main\nArchitectures: amd64\nDate: %s\nValid-Until: %s\nSHA256:\n %x %d %s\n",
			suite, aptDate(moment), aptDate(moment.AddDate(0, 0, 7)), sha256.Sum256([]byte(packages)), len(packages), index)
		put(filepath.Join("dists", suite, "InRelease"), clearsigned(t, key, release))
	}
	mux := http.NewServeMux()
	for _, archive := range archives {
		below := "/" + archive + "/" + moment.Format("20060102T150405Z") + "/"
		mux.Handle(below, http.StripPrefix(below, http.FileServer(http.Dir(dir))))
	}
	return mux, filepath.Join(dir, "key.gpg")
}

func clearsigned(t testing.TB, key *openpgp.Entity, text string) []byte {
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

// aptDate is a date as apt reads it.
func aptDate(at time.Time) string {
	return strings.Replace(at.UTC().Format(time.RFC1123), "GMT", "UTC", 1)
}
