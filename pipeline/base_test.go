package pipeline

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"vauban/config"
	"vauban/pipeline/freshness"
	"vauban/pipeline/gate"
	"vauban/progress"
	"vauban/scan"
)

// Passwords in addresses are in no record and in no error, and the gate knows
// them.
func TestURLPasswords(t *testing.T) {
	const canary = "canary-of-a-url"
	b := &config.Base{Name: "b", Source: config.Source{Kind: config.URL, Value: "https://user:" + canary + "@example.com/root.tar"},
		SHA512Sums: "https://user:" + canary + "@example.com/SHA512SUMS"}
	plain := &config.Base{Source: config.Source{Kind: config.URL, Value: "https://example.com/root.tar"}, SHA512Sums: "https://example.com/SHA512SUMS"}
	with, err := json.Marshal(freshness.BaseInputs(b, ""))
	if err != nil {
		t.Fatal(err)
	}
	without, err := json.Marshal(freshness.BaseInputs(plain, ""))
	if err != nil || !bytes.Equal(with, without) {
		t.Errorf("a password changes the record: %s, %s, %v", with, without, err)
	}
	known, err := gate.Learn(t.Context(), gate.Sources{Config: &config.Config{Bases: []*config.Base{b}}, StateDir: t.TempDir(), UploadDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	names, err := scan.New(known.Needles).Find(strings.NewReader("x" + canary + "x"))
	if err != nil || len(names) == 0 || strings.Contains(strings.Join(names, ""), canary) {
		t.Errorf("the gate finds %q, %v", names, err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "another file") }))
	defer server.Close()
	r := &Runner{Options: Options{Config: &config.Config{Path: "config.yml", Dir: t.TempDir()}, StateDir: t.TempDir(),
		Log: slog.New(slog.DiscardHandler), Progress: progress.New(), Timeout: time.Hour}}
	b.SHA512Sums, b.SHA256, b.Source.Value = "", strings.Repeat("0", 64), strings.Replace(server.URL, "//", "//user:"+canary+"@", 1)+"/root.tar?token="+canary
	_, _, err = (&baseTask{r.job(nil), b}).importSource(t.Context())
	want := "config.yml: importing base \"b\" from url " + server.URL + "/root.tar: its digest is sha256:"
	if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), canary) {
		t.Errorf("error %v, want %q", err, want)
	}
}

// A server that sends what it must, and no end, does not hold a run longer than a
// stage may take.
func TestImportTime(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	r := &Runner{Options: Options{Config: &config.Config{Path: "config.yml", Dir: t.TempDir()}, StateDir: t.TempDir(),
		Log: slog.New(slog.DiscardHandler), Progress: progress.New(progress.Plain{W: io.Discard})}}
	b := &config.Base{Source: config.Source{Kind: config.URL, Value: server.URL + "/disk.raw"}, SHA256: strings.Repeat("0", 64)}
	_, _, err := (&baseTask{r.job(nil), b}).importWithin(t.Context(), 100*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "the import took longer than --timeout 100ms") {
		t.Errorf("error %v", err)
	}
}
