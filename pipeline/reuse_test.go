package pipeline

import (
	"archive/tar"
	"bytes"
	"testing"
	"time"
)

func tarOf(t *testing.T, headers ...tar.Header) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := []byte("content of " + h.Name)
		h.Size, h.Format = int64(len(content)), tar.FormatPAX
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

// tarWith is a tar of one file.
func tarWith(t *testing.T, name string, content []byte) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	h := tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}
	if err := w.WriteHeader(&h); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestDigestUndated(t *testing.T) {
	file := tar.Header{Typeflag: tar.TypeReg, Name: "etc/motd", Mode: 0o644, ModTime: time.Unix(1700000000, 0)}
	want, err := digestUndated(tarOf(t, file), inMasters)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*tar.Header)
		same   bool
	}{
		"a date":     {func(h *tar.Header) { h.ModTime = time.Unix(1800000000, 5) }, true},
		"a mode":     {func(h *tar.Header) { h.Mode = 0o600 }, false},
		"an owner":   {func(h *tar.Header) { h.Uid = 7 }, false},
		"a name":     {func(h *tar.Header) { h.Name = "etc/issue" }, false},
		"an xattr":   {func(h *tar.Header) { h.PAXRecords = map[string]string{"SCHILY.xattr.user.a": "b"} }, false},
		"an odd one": {func(h *tar.Header) { h.PAXRecords = map[string]string{"SCHILY.xattr.user.a": "\xff"} }, false},
	} {
		changed := file
		tt.change(&changed)
		got, err := digestUndated(tarOf(t, changed), inMasters)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if (got == want) != tt.same {
			t.Errorf("%s: the same digest is %v, want %v", name, got == want, tt.same)
		}
	}
	if _, err := digestUndated(bytes.NewReader([]byte("no tar")), inMasters); err == nil {
		t.Error("what is no tar has a digest")
	}
}
