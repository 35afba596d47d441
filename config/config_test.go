package config

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/*/want anew")

// TestLoad compares what each configuration of testdata makes, a tree or
// mistakes, with the file want next to it.
func TestLoad(t *testing.T) {
	cases, err := filepath.Glob("testdata/*/config.yml")
	if err != nil || len(cases) == 0 {
		t.Fatalf("looking for cases: %v, %d found", err, len(cases))
	}
	for _, file := range cases {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Chdir(dir)
			c, err := Load("config.yml")
			got := dump(c)
			if err != nil {
				got = err.Error() + "\n"
			}
			if *update {
				if err := os.WriteFile("want", []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile("want")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

// dump writes the fields that a tree has set, one per line.
func dump(c *Config) string {
	var b strings.Builder
	if c == nil {
		return ""
	}
	dumpFields(&b, "", c.Configuration)
	var masters func(indent string, all []*Master)
	masters = func(indent string, all []*Master) {
		for _, m := range all {
			fmt.Fprintf(&b, "%smaster %s (%s)\n", indent, m.Name, m.Image())
			dumpFields(&b, indent+"  ", *m)
			for i := range m.Stages {
				fmt.Fprintf(&b, "%s  stage image: %s\n", indent, m.StageImage(i))
			}
			masters(indent+"  ", m.Masters)
		}
	}
	for _, base := range c.Bases {
		fmt.Fprintf(&b, "base %s (%s, %s)\n", base.Key, base.RawImage(), base.Image())
		dumpFields(&b, "  ", *base)
		masters("  ", base.Masters)
	}
	return b.String()
}

func dumpFields(b *strings.Builder, indent string, v any) {
	value := reflect.ValueOf(v)
	for i := range value.NumField() {
		name, field := value.Type().Field(i).Name, value.Field(i)
		switch {
		case field.IsZero() || field.Kind() == reflect.Map && field.Len() == 0:
		case name == "Base" || name == "Parent" || name == "Masters" || name == "Key" || name == "Pos" || name == "Written":
		case strings.Contains(field.Type().String(), "[]config.Stage"):
			for _, s := range field.Interface().([]Stage) {
				fmt.Fprintf(b, "%s%s: %+v\n", indent, name, s)
			}
		default:
			fmt.Fprintf(b, "%s%s: %#v\n", indent, name, field.Interface())
		}
	}
}

func TestLoadErrors(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "config.yml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of a missing file = %v, want fs.ErrNotExist", err)
	}
	_, err := Load("testdata/twice/config.yml")
	var all Errors
	if !errors.As(err, &all) || len(all) < 2 {
		t.Fatalf("Load = %v, want several Errors", err)
	}
	for i := range all[1:] {
		if all[i].Pos.Line > all[i+1].Pos.Line {
			t.Errorf("mistake %d is after the next: %v, %v", i, all[i], all[i+1])
		}
	}
}

func TestFind(t *testing.T) {
	c, err := Load("testdata/everything/config.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bookworm", "debian/12"} {
		if b, m, err := c.Find(name); err != nil || m != nil || b != c.Bases[0] {
			t.Errorf("Find(%q) = %v, %v, %v", name, b, m, err)
		}
	}
	b, m, err := c.Find("db")
	if err != nil || b != nil || m == nil || m.Name != "db" {
		t.Fatalf("Find(db) = %v, %v, %v", b, m, err)
	}
	var line []string
	for _, ancestor := range m.Ancestry() {
		line = append(line, ancestor.Name)
	}
	if diff := cmp.Diff([]string{"web", "db"}, line); diff != "" {
		t.Errorf("Ancestry: want (-), got (+):\n%s", diff)
	}
	for name, want := range map[string]string{
		"bokworm": `did you mean "bookworm"?`,
		"bd":      `did you mean "db"?`,
		"nothing": "it declares bookworm, db, debian/12, jammy.qcow2, noble, registry, remote or web",
	} {
		if _, _, err := c.Find(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Find(%q): error %v, want %q", name, err, want)
		}
	}
}

func TestResolve(t *testing.T) {
	c := &Config{Dir: "/srv/images"}
	if got := c.Resolve("a.raw"); got != "/srv/images/a.raw" {
		t.Errorf("Resolve(a.raw) = %q", got)
	}
	if got := c.Resolve("/a.raw"); got != "/a.raw" {
		t.Errorf("Resolve(/a.raw) = %q", got)
	}
}

// FuzzLoad looks for documents that break reading rather than being refused.
func FuzzLoad(f *testing.F) {
	cases, _ := filepath.Glob("testdata/*/config.yml")
	for _, file := range cases {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, data string) {
		c, err := read("config.yml", data)
		if err == nil {
			images := map[string]bool{}
			for image := range c.images() {
				if images[image] {
					t.Errorf("two images are called %q", image)
				}
				images[image] = true
			}
			return
		}
		for _, one := range err.(Errors) {
			if one.Pos.Line < 1 || one.Pos.Column < 1 || one.What == "" {
				t.Errorf("a mistake without a place or words: %+v", one)
			}
		}
	})
}
