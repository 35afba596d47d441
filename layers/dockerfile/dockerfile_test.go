package dockerfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// writeFiles makes a context of files with mode 0644.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func dockerfileKey(t *testing.T, d *Step, host string) digest.Digest {
	t.Helper()
	key, err := d.Key(t.Context(), host)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func secretOf(value string) Secret {
	return func() ([]byte, error) { return []byte(value), nil }
}

func TestDockerfileKey(t *testing.T) {
	for name, test := range map[string]struct {
		change func(t *testing.T, d *Step)
		same   bool
	}{
		"nothing":       {func(*testing.T, *Step) {}, true},
		"an ignored":    {func(t *testing.T, d *Step) { writeTo(t, d.Context, "etc/ignored", "x") }, true},
		"one not read":  {func(t *testing.T, d *Step) { writeTo(t, d.Context, "other", "x") }, true},
		"one read":      {func(t *testing.T, d *Step) { writeTo(t, d.Context, "etc/motd", "x") }, false},
		"one more":      {func(t *testing.T, d *Step) { writeTo(t, d.Context, "etc/new", "") }, false},
		"one bound":     {func(t *testing.T, d *Step) { writeTo(t, d.Context, "scripts/run", "x") }, false},
		"what ignores":  {func(t *testing.T, d *Step) { writeTo(t, d.Context, ".dockerignore", "") }, false},
		"secret":        {func(_ *testing.T, d *Step) { d.Secrets["token"] = secretOf("other") }, true},
		"a secret more": {func(_ *testing.T, d *Step) { d.Secrets["second"] = secretOf("") }, false},
		"argument":      {func(_ *testing.T, d *Step) { d.Args["KERNEL"] = "other" }, false},
		"name":          {func(_ *testing.T, d *Step) { d.Name = "renamed" }, true},
		"time": {func(t *testing.T, d *Step) {
			if err := os.Chtimes(filepath.Join(d.Context, "etc/motd"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		}, true},
		"mode": {func(t *testing.T, d *Step) {
			if err := os.Chmod(filepath.Join(d.Context, "etc/motd"), 0o755); err != nil {
				t.Fatal(err)
			}
		}, false},
		"instruction": {func(_ *testing.T, d *Step) { d.Content = append(d.Content, "RUN true\n"...) }, false},
		"variable": {func(t *testing.T, d *Step) {
			d.Content = append(d.Content, "COPY $KERNEL /\n"...)
			before := dockerfileKey(t, d, "")
			writeTo(t, d.Context, "other", "x")
			if dockerfileKey(t, d, "") == before {
				t.Error("a file that a variable may name is not in the key")
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := &Step{
				Name: "Dockerfile.test",
				Content: []byte("ARG SOURCE\nFROM ${SOURCE}\nARG KERNEL\nCOPY etc/ /etc/\n" +
					"RUN --mount=type=bind,source=scripts,target=/scripts true\n"),
				Args:    map[string]string{"SOURCE": "base", "KERNEL": "linux-image-amd64"},
				Secrets: map[string]Secret{"token": secretOf("value")},
				Context: writeFiles(t, map[string]string{
					".dockerignore": "etc/ignored\n", "etc/motd": "hello", "etc/ignored": "", "other": "", "scripts/run": "",
				}),
			}
			before := dockerfileKey(t, d, "")
			test.change(t, d)
			if after := dockerfileKey(t, d, ""); (before == after) != test.same {
				t.Errorf("the key was %s and is %s; want the same: %v", before, after, test.same)
			}
			if dockerfileKey(t, d, "web01") == dockerfileKey(t, d, "") {
				t.Error("a host's key is that of its master")
			}
		})
	}
}

func writeTo(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDockerfileRefuses(t *testing.T) {
	for content, want := range map[string]string{
		"RUN true":                                             "has no FROM",
		"FROM a\nRUN true\nFROM b":                             "test:3: a second FROM",
		"FROM a\n\nCOPY --from=b / /":                          "test:3: COPY: --from=b",
		"FROM a\nNOTHING x":                                    `unknown instruction "NOTHING"`,
		"FROM a\nCOPY a b /c":                                  `end "/c" with a slash`,
		"FROM a\nCOPY --parents a /b/":                         "--parents is not supported",
		"FROM a\nADD https://example.com/x.git#main /x/":       "clone it in a RUN",
		"FROM a\nRUN --network=none true":                      "--network=none is not supported",
		"FROM a\nRUN --mount=type=ssh true":                    `type "ssh" is not supported`,
		"FROM a\nRUN --mount=type=secret,id=x,required true":   `no secret "x"`,
		"FROM a\nRUN --mount=type=secret,id=token,env=TOKEN x": "read the file",
		"FROM a\nRUN --mount=target=/x,from=b true":            `no option "from"`,
		"FROM a\nCOPY missing /":                               `"missing" is not in the context`,
		"FROM a\nCOPY secret /":                                `"secret" is not in the context`,
		"FROM a\nCOPY ../x /":                                  "outside of the context",
		"FROM a\nCOPY out /":                                   "escapes",
		"FROM a\nRUN <<EOF\nnever ended":                       "unterminated heredoc",
		"FROM a\nRUN --mount=type=cache,target=/a --mount=type=cache,target=/b,id=/a true": "mounted twice",
	} {
		d := &Step{Name: "test", Content: []byte(content), Secrets: map[string]Secret{"token": secretOf("")},
			Context: writeFiles(t, map[string]string{".dockerignore": "secret", "secret": ""})}
		if err := os.Symlink("/etc/passwd", filepath.Join(d.Context, "out")); err != nil {
			t.Fatal(err)
		}
		_, err := d.Key(t.Context(), "")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: the error is %v; want %q", content, err, want)
		}
	}
}

func TestDockerfileWithoutContextReadsNothing(t *testing.T) {
	d := &Step{Name: "test", Content: []byte("FROM a\nCOPY <<EOF /x\nhello\nEOF\nADD https://example.com/x /y\nRUN true")}
	if _, err := d.Key(t.Context(), ""); err != nil {
		t.Errorf("nothing is read of the context, and yet: %v", err)
	}
	d.Content = append(d.Content, "\nCOPY x /"...)
	if _, err := d.Key(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "no context") {
		t.Errorf("the error is %v; want that there is no context", err)
	}
}

func TestEvaluateChangesTheImageConfig(t *testing.T) {
	d := &Step{Name: "test", Args: map[string]string{"PORT": "8080"}, Content: []byte(`FROM a
ARG PORT=80
ARG USERNAME=www-data
ENV MODE=production PORT_COPY=${PORT}
LABEL one="1" two=2
MAINTAINER ops@example.com
WORKDIR /srv
WORKDIR app
USER ${USERNAME}
EXPOSE ${PORT} 53/udp
VOLUME /data
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/app"]
CMD serve --flag
HEALTHCHECK CMD true
`)}
	from := ocispec.ImageConfig{Env: []string{"PATH=/bin", "MODE=test"}, Labels: map[string]string{"zero": "0"}}
	var said strings.Builder
	got, err := d.evaluate(from, &contextReads{}, func(text string) { said.WriteString(text + "\n") })
	if err != nil {
		t.Fatal(err)
	}
	want := &ocispec.ImageConfig{
		User: "www-data", WorkingDir: "/srv/app", StopSignal: "SIGTERM",
		Env:          []string{"PATH=/bin", "MODE=production", "PORT_COPY=8080"},
		Labels:       map[string]string{"zero": "0", "one": "1", "two": "2", ocispec.AnnotationAuthors: "ops@example.com"},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}, "53/udp": {}},
		Volumes:      map[string]struct{}{"/data": {}},
		Entrypoint:   []string{"/usr/bin/app"}, Cmd: []string{"/bin/sh", "-c", "serve --flag"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if from.Env[1] != "MODE=test" || len(from.Labels) != 1 {
		t.Errorf("the parent's configuration was changed: %+v", from)
	}
	if !strings.Contains(said.String(), "no HEALTHCHECK") {
		t.Errorf("nothing tells that HEALTHCHECK is ignored:\n%s", said.String())
	}
}

func TestLineWriterMasksSecrets(t *testing.T) {
	var log strings.Builder
	w := newLineWriter(&sharedLog{w: &log}, "web01: ")
	w.mask([]byte("first-line\nsecond-line\nab\n"))
	for _, chunk := range []string{"token first-", "line ab\nand second-line", "\n", "canary"} {
		if _, err := w.Write([]byte(chunk)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	want := "web01: token [secret] ab\nweb01: and [secret]\nweb01: canary\n"
	if diff := cmp.Diff(want, log.String()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"token [secret] ab", "and [secret]", "canary"}, w.last); diff != "" {
		t.Error(diff)
	}
}

func TestLineWriterReportsAFullDisk(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := newLineWriter(&sharedLog{w: f}, "").Write([]byte("line\n")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the error is %v; want that the disk is full", err)
	}
}
