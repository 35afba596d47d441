package scan

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	mathrand "math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func find(t testing.TB, m *Matcher, text string) []string {
	t.Helper()
	names, err := m.Find(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestFindWords(t *testing.T) {
	m := New([]Needle{{Name: "address", Text: "10.0.2.100", Word: true}, {Name: "host", Text: "builder7", Word: true}})
	for text, want := range map[string][]string{
		"10.0.2.100":                     {"address"},
		"listen 10.0.2.100:80;":          {"address"},
		"It is 10.0.2.100.":              {"address"},
		"It is 10.0.2.100. Yes":          {"address"},
		"10.0.2.100/24":                  {"address"},
		"110.0.2.100":                    nil,
		"10.0.2.1001":                    nil,
		"10.0.2.100.5":                   nil,
		"a.10.0.2.100":                   nil,
		"builder7.example.com 10.0.2.10": {"host"},
		"my-builder7":                    nil,
		"builder7_old":                   nil,
		"\x0010.0.2.100":                 nil, // no text
		"x":                              nil,
		"":                               nil,
	} {
		if got := find(t, m, text); !slices.Equal(got, want) {
			t.Errorf("%q holds %v, want %v", text, got, want)
		}
	}
}

// TestFindAcrossChunks puts a needle at every place around a chunk's end.
func TestFindAcrossChunks(t *testing.T) {
	m := New([]Needle{{Name: "secret", Text: "correct horse"}, {Name: "word", Text: "10.0.2.100", Word: true},
		{Name: "value", Text: "admin", Value: true}})
	for offset := -100; offset < 40; offset++ {
		for needle, name := range map[string]string{" password: 'admin' ": "value", " password: administrator": "", " section: admin ": "", "correct horse": "secret", " 10.0.2.100 ": "word", "110.0.2.100 ": "", " 10.0.2.1000 ": ""} {
			text := strings.Repeat("a", m.bufferSize()+offset) + needle + strings.Repeat("b", 100)
			want := []string{name}
			if name == "" {
				want = nil
			}
			if got := find(t, m, text); !slices.Equal(got, want) {
				t.Errorf("%q at %+d of a chunk's end: found %v, want %v", needle, offset, got, want)
			}
		}
	}
}

func TestSecretInAllForms(t *testing.T) {
	const secret = `p@ss/wörd "quoted"+x`
	m := New(Secret("PASSWORD", secret))
	js, err := json.Marshal(map[string]string{"a": secret})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"as it is":        "password: " + secret + "\n",
		"JSON":            string(js),
		"a URL":           "https://u:" + url.PathEscape(secret) + "@example.com",
		"a query":         "?p=" + url.QueryEscape(secret),
		"base64":          base64.StdEncoding.EncodeToString([]byte(secret)),
		"a login":         base64.StdEncoding.EncodeToString([]byte("user:" + secret)),
		"a longer login":  base64.StdEncoding.EncodeToString([]byte("user2:" + secret + "more")),
		"the longest":     base64.StdEncoding.EncodeToString([]byte("user22:" + secret + "more..")),
		"base64 for URLs": base64.URLEncoding.EncodeToString([]byte("a" + secret)),
		"digits":          hex.EncodeToString([]byte(secret)),
	} {
		if got := find(t, m, text); !slices.Equal(got, []string{"PASSWORD"}) {
			t.Errorf("%s: %q: found %v", name, text, got)
		}
	}
	if got := find(t, m, "password: "+secret[:len(secret)-1]); got != nil {
		t.Errorf("a part of it is found: %v", got)
	}
}

// TestShortSecrets: those that ordinary files hold by chance are found where
// they can only be the secret.
func TestShortSecrets(t *testing.T) {
	for secret, texts := range map[string]map[string]bool{
		"abc123": {"abc123": true, "x abc123\n": true, "p='abc123'": true, "abc1234": false, "xabc123": false, "abc-abc123": false, "\x00abc123": false,
			`{"auth":"abc123"}`: true},
		"aBcDe": {"x aBcDe y": true, "abcde": false},
		"admin": {"admin": false, "Section: admin\n": false, "user=admin": false, "password=admin\n": true, "db_password: 'admin'": true,
			`{"token": "admin"}`: true, `"{\"token\": \"admin\"}"`: true, "API_KEY=admin": true, "api_key => 'admin',": true, "password=administrator": false,
			"password=admin.conf": false, "PIN=admin": true, "pin: admin": true, "TAP: admin": false, "password:\nadmin": false, "the password admin": false},
		"123456": {"123456": false, "size: 123456": false, "PASSWORD=123456": true, "PASSWORD=1234567": false},
		"a-b.c":  {"a-b.c": false, "pwd=a-b.c": true},
		"Secret": {"Secret": false, "secret: Secret": true, "secret: secret": false},
		"abc":    {"PASSWORD=abc": false},
	} {
		m := New(Secret("PIN in a file", secret))
		for text, want := range texts {
			if got := find(t, m, text); (got != nil) != want {
				t.Errorf("%s in %q: found %v", secret, text, got)
			}
		}
	}
	if !TooShort(" abc\n") || TooShort("abcd") {
		t.Error("four bytes are enough, three are not")
	}
}

func TestKeyInAllForms(t *testing.T) {
	body := []string{strings.Repeat("Ab3", 23) + "x", strings.Repeat("Zz9", 23) + "y", "tail+/=="}
	pem := "-----BEGIN OPENSSH PRIVATE KEY-----\n" + strings.Join(body, "\n") + "\n-----END OPENSSH PRIVATE KEY-----\n"
	m := New(Key("KEY", pem))
	for name, text := range map[string]string{
		"as it is":      "x\n" + pem,
		"in one line":   strings.Join(body, ""),
		"for Windows":   strings.ReplaceAll(pem, "\n", "\r\n"),
		"JSON":          `"` + strings.ReplaceAll(pem, "\n", `\n`) + `"`,
		"in base64":     base64.StdEncoding.EncodeToString([]byte(pem)),
		"without frame": strings.Join(body, "\n"),
	} {
		if got := find(t, m, text); !slices.Equal(got, []string{"KEY"}) {
			t.Errorf("%s: found %v", name, got)
		}
	}
	if got := find(t, m, body[0]); got != nil {
		t.Error("one line of a key, which may be all public, is taken for it")
	}
}

func layer(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(text)), Mode: 0o644, Format: tar.FormatPAX}
		if name == "attribute" {
			h.PAXRecords = map[string]string{"SCHILY.xattr.user.a": text}
		}
		if name == "link" {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, text, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			io.WriteString(w, text)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTar(t *testing.T) {
	m := New(append(Secret("PASSWORD", "correct horse"), Needle{Name: "address", Text: "10.0.2.100", Word: true}))
	data := layer(t, map[string]string{
		"./etc/a": "correct horse", "etc/b": "10.0.2.100\n", "etc/c": "nothing", "etc/correct horse": "x",
		"link": "/correct horse", "attribute": "correct horse",
	})
	got, err := m.Tar(iotest.HalfReader(bytes.NewReader(data)))
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b Finding) int { return strings.Compare(a.Path, b.Path) })
	want := []Finding{{"attribute", "PASSWORD"}, {"etc/a", "PASSWORD"}, {"etc/b", "address"}, {"etc/correct horse", "PASSWORD"}, {"link", "PASSWORD"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := m.Tar(bytes.NewReader(data[:300])); err == nil {
		t.Error("a tar that ends early is no error")
	}
	if got, err := New(nil).Tar(bytes.NewReader(data)); err != nil || got != nil {
		t.Errorf("without needles: %v, %v", got, err)
	}
}

// TestMatcherAgreesWithContains compares with the obvious way.
func TestMatcherAgreesWithContains(t *testing.T) {
	random := mathrand.New(mathrand.NewPCG(1, 2))
	word := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "ab"[random.IntN(2)]
		}
		return string(b)
	}
	for range 2000 {
		var needles []Needle
		for range 1 + random.IntN(5) {
			text := word(MinText + random.IntN(6))
			needles = append(needles, Needle{Name: text, Text: text})
		}
		text := word(random.IntN(60))
		var want []string
		for _, n := range needles {
			if strings.Contains(text, n.Text) && !slices.Contains(want, n.Name) {
				want = append(want, n.Name)
			}
		}
		slices.Sort(want)
		if got := find(t, New(needles), text); !slices.Equal(got, want) {
			t.Fatalf("%v in %q: %v, want %v", needles, text, got, want)
		}
	}
}

func FuzzTar(f *testing.F) {
	f.Add(layer(f, map[string]string{"a": "correct horse", "link": "x"}))
	m := New(Secret("PASSWORD", "correct horse"))
	f.Fuzz(func(t *testing.T, data []byte) {
		findings, err := m.Tar(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, found := range findings {
			if found.Name != "PASSWORD" || strings.HasPrefix(found.Path, "/") || strings.HasPrefix(found.Path, "../") {
				t.Errorf("found %+v", found)
			}
		}
	})
}

// BenchmarkTar compares hashing a layer with hashing and searching it.
func BenchmarkTar(b *testing.B) {
	content := make([]byte, 16<<20)
	rand.Read(content)
	for i := range content { // half of it as texts are
		if i < len(content)/2 {
			content[i] = 'a' + content[i]%26
		}
	}
	data := layer(b, map[string]string{"file": string(content)})
	var needles []Needle
	for i := range 20 {
		needles = append(needles, Secret("S", rand.Text()[:8+i%12])...)
	}
	m := New(append(needles, Needle{Name: "address", Text: "10.0.2.100", Word: true}))
	b.Run("hash", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			sha256.Sum256(data)
		}
	})
	b.Run("search", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := m.Tar(bytes.NewReader(data)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
