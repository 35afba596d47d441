//go:build integration

package dockerfile_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vauban/internal/testenv"
	"vauban/layers"
	"vauban/layers/dockerfile"
)

// contextOf makes a context; a content that begins with "-> " is a link's.
func contextOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			err = errors.Join(err, os.Symlink(target, path))
		} else {
			err = errors.Join(err, os.WriteFile(path, []byte(content), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// recipe builds an image from a Dockerfile.
func recipe(t *testing.T, e *layers.Engine, base layers.Image, d *dockerfile.Step) layers.Image {
	t.Helper()
	var log bytes.Buffer
	d.Name, d.Log = "Dockerfile", &log
	results, err := e.Apply(t.Context(), d, changed, targetOf("recipe", base))
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	return results[0].Image
}

func TestDockerfile(t *testing.T) {
	e, base := openBase(t)
	for name, test := range map[string]func(*testing.T, *layers.Engine, layers.Image){
		"instructions": testInstructions, "copies": testCopies, "mounts": testMounts, "failures": testFailures,
	} {
		t.Run(name, func(t *testing.T) { test(t, e, base) })
	}
}

const instructionsRecipe = `ARG SOURCE
FROM ${SOURCE}
ARG GREETING=bye
ENV NAME="the world" SHELL_NAME=none
RUN test "$GREETING $NAME" = "hello the world" && test "$(pwd)" = / && test "$(id -u)" = 0
RUN ["/bin/sh", "-c", "test \"$0\" = '$NAME'", "$NAME"]
SHELL ["/bin/bash", "-c"]
RUN test -n "$BASH_VERSION"
WORKDIR /srv/work
RUN <<EOF
set -e
echo "$GREETING" >greeting
test "$(pwd)" = /srv/work
EOF
RUN cat <<'EOF' >literal
$GREETING
EOF
RUN <<EOF
#!/usr/bin/python3
open("python", "w").write("made by python")
EOF
USER nobody
WORKDIR /srv/nobody
RUN test "$(id -un)" = nobody && touch owned
LABEL a=b
`

func testInstructions(t *testing.T, e *layers.Engine, base layers.Image) {
	img := recipe(t, e, base, &dockerfile.Step{Args: map[string]string{"GREETING": "hello"}, Content: []byte(instructionsRecipe)})
	want := map[string]string{"srv/work/greeting": "hello\n", "srv/work/literal": "$GREETING\n",
		"srv/work/python": "made by python", "srv/nobody/owned": ""}
	got := contents(t, e, img, "srv/work/greeting", "srv/work/literal", "srv/work/python", "srv/nobody/owned")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	config := img.Config.Config
	if config.User != "nobody" || config.WorkingDir != "/srv/nobody" || config.Labels["a"] != "b" {
		t.Errorf("the image's configuration is %+v", config)
	}
	if len(img.Manifest.Layers) != len(base.Manifest.Layers)+1 {
		t.Errorf("there are %d layers on %d; want one more", len(img.Manifest.Layers), len(base.Manifest.Layers))
	}
	for name := range testenv.TopLayer(t, e, img) {
		if !strings.HasPrefix(name, "/srv/") && name != "/etc/hostname" {
			t.Errorf("the layer holds %q", name)
		}
	}
}

const copiesRecipe = `FROM x
RUN ln -s /etc /srv/out && ln -s /srv/escaped /srv/file && chmod 0711 /etc
COPY tree /
COPY --chmod=0755 tool /usr/local/bin/
COPY --chown=www-data:adm tool /srv/chowned
COPY --chown=1234 tool /srv/new/numbered
COPY tool /srv/out/
COPY tool /srv/file
COPY to-tool /srv/followed
COPY . /srv/all/
COPY <<EOF <<"LITERAL" /srv/inline/
home is $HOME_NAME
EOF
$HOME_NAME
LITERAL
RUN test "$(tool)" = "tool ran"
`

func testCopies(t *testing.T, e *layers.Engine, base layers.Image) {
	img := recipe(t, e, base, &dockerfile.Step{Content: []byte(copiesRecipe), Context: contextOf(t, map[string]string{
		".dockerignore": "ignored\n", "ignored": "secret", "tool": "#!/bin/sh\necho tool ran\n", "tree/bin/other": "o",
		"tree/etc/motd": "hello", "tree/link": "-> /etc/shadow", "to-tool": "-> tool",
	})})
	got := testenv.TopLayer(t, e, img)
	for name, want := range map[string]struct {
		uid, gid int
		mode     int64
		link     string
	}{
		"/usr/bin/other":      {0, 0, 0o644, ""},
		"/etc/motd":           {0, 0, 0o644, ""},
		"/link":               {0, 0, 0o777, "/etc/shadow"},
		"/usr/local/bin/tool": {0, 0, 0o755, ""},
		"/srv/chowned":        {33, 4, 0o644, ""},
		"/srv/new/numbered":   {1234, 1234, 0o644, ""},
		"/etc/tool":           {0, 0, 0o644, ""},
		"/srv/file":           {0, 0, 0o644, ""},
		"/srv/followed":       {0, 0, 0o644, ""},
		"/srv/all/tree/link":  {0, 0, 0o777, "/etc/shadow"},
	} {
		h := got[name]
		if h == nil {
			t.Errorf("%s is not in the layer", name)
		} else if h.Uid != want.uid || h.Gid != want.gid || h.Mode != want.mode || h.Linkname != want.link {
			t.Errorf("%s is of %d:%d, mode %o, links to %q; want %+v", name, h.Uid, h.Gid, h.Mode, h.Linkname, want)
		}
	}
	if got["/srv/all/ignored"] != nil || got["/srv/escaped"] != nil {
		t.Error("an ignored file was copied, or a link was written through")
	}
	if _, err := os.Stat("/etc/tool"); err == nil {
		t.Error("a file was copied to the builder")
	}
	files := contents(t, e, img, "srv/inline/EOF", "srv/inline/LITERAL")
	if files["srv/inline/EOF"] != "home is \n" || files["srv/inline/LITERAL"] != "$HOME_NAME\n" {
		t.Errorf("the inline files hold %q", files)
	}
	err := e.Mount(t.Context(), img, func(root string) error {
		info, err := os.Stat(filepath.Join(root, "etc"))
		if err == nil && info.Mode().Perm() != 0o711 {
			t.Errorf("/etc got the mode %v of the context's directory", info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

const mountsRecipe = `FROM x
RUN --mount=type=cache,target=/var/cache/deep/tool,id=tool \
    --mount=type=cache,target=/var/cache/private,sharing=locked,mode=0700,uid=33 \
    echo run >>/var/cache/deep/tool/runs && stat -c '%a %u' /var/cache/private | grep -x '700 33'
RUN --mount=type=secret,id=token,required --mount=type=secret,id=token,target=/srv/new/key,mode=0440,gid=33 \
    test "$(wc -c </run/secrets/token)" = 14 && stat -c '%a %g' /srv/new/key | grep -x '440 33' && \
    ! sh -c 'echo x >/srv/new/key' && cat /run/secrets/token
RUN --mount=type=secret,id=absent test ! -e /run/secrets/absent
RUN --mount=target=/context --mount=type=bind,source=in,target=/opt/in,rw \
    --mount=type=bind,source=script,target=/srv/script \
    test ! -e /context/ignored && ! touch /context/x && echo changed >/opt/in/a && test "$(cat /srv/script)" = "exit 0"
RUN --mount=type=bind,source=in,target=/opt/in test "$(cat /opt/in/a)" = A
RUN --mount=type=tmpfs,target=/scratch,size=1m findmnt -no FSTYPE /scratch | grep -x tmpfs && \
    touch /scratch/x && ! head -c 2000000 /dev/zero >/scratch/big
RUN --mount=type=cache,target=relative cd /relative
RUN test "$(findmnt -l | grep -c -e cache/deep -e secrets -e context -e scratch -e opt/in)" = 0 && \
    ! ls -d /context /scratch /opt/in /srv/new /srv/script /var/cache/deep /run/vauban-* 2>/dev/null && touch /srv/result
`

func testMounts(t *testing.T, e *layers.Engine, base layers.Image) {
	context := contextOf(t, map[string]string{".dockerignore": "ignored\n", "in/a": "A", "ignored": "", "script": "exit 0"})
	d := &dockerfile.Step{
		Content: []byte(mountsRecipe), Context: context, CacheDir: filepath.Join(t.TempDir(), "cache"),
		Secrets: map[string]dockerfile.Secret{"token": func() ([]byte, error) { return []byte("s3cret-canary\n"), nil }},
	}
	for range 2 {
		img := recipe(t, e, base, d)
		for name := range testenv.TopLayer(t, e, img) {
			if name != "/srv/result" && name != "/etc/hostname" {
				t.Errorf("the layer holds %q", name)
			}
		}
		log := d.Log.(*bytes.Buffer).String()
		if !strings.Contains(log, "\n[secret]\n") {
			t.Errorf("the log does not hold the secret's mask:\n%s", log)
		}
		if strings.Contains(log, "canary") {
			t.Errorf("the log holds the secret:\n%s", log)
		}
	}
	if runs, err := os.ReadFile(filepath.Join(d.CacheDir, "tool", "runs")); err != nil || string(runs) != "run\nrun\n" {
		t.Errorf("the cache holds %q after two runs, error %v", runs, err)
	}
	if a, err := os.ReadFile(filepath.Join(context, "in/a")); err != nil || string(a) != "A" {
		t.Errorf("the context's file is %q, error %v: a RUN changed it", a, err)
	}
}

func testFailures(t *testing.T, e *layers.Engine, base layers.Image) {
	t.Run("a failure says where and why", func(t *testing.T) {
		d := &dockerfile.Step{Name: "Dockerfile.bad", CacheDir: t.TempDir(), Content: []byte(
			"FROM x\n\nRUN --mount=type=cache,target=/c echo reason; exit 3\n")}
		_, err := e.Apply(t.Context(), d, changed, targetOf("bad", base))
		for _, want := range []string{"Dockerfile.bad:3: RUN", "exit status 3", "reason"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %v; want %q in it", err, want)
			}
		}
	})
	t.Run("hosts fail on their own", func(t *testing.T) {
		var log bytes.Buffer
		d := &dockerfile.Step{Name: "Dockerfile", CacheDir: t.TempDir(), Log: &log, Content: []byte(`FROM x
RUN --mount=type=cache,target=/c,sharing=locked mkdir /c/alone && hostname && rmdir /c/alone
RUN test "$(hostname)" != bad
`)}
		results, err := e.Apply(t.Context(), d, changed, targetOf("good", base), targetOf("bad", base), targetOf("fine", base))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if (r.Err != nil) != (r.Name == "bad") {
				t.Errorf("%s: %v", r.Name, r.Err)
			}
		}
		if !strings.Contains(log.String(), "good: good\n") || !strings.Contains(log.String(), "fine: fine\n") {
			t.Errorf("the log does not say which host a line is of:\n%s", log.String())
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		d := &dockerfile.Step{Name: "Dockerfile", Log: writerFunc(func(line []byte) {
			if string(line) == "running\n" {
				cancel()
			}
		}), Content: []byte("FROM x\nRUN --mount=type=tmpfs,target=/scratch echo running; sleep 1000\n")}
		if _, err := e.Apply(ctx, d, changed, targetOf("slow", base)); !errors.Is(err, context.Canceled) {
			t.Errorf("the error of a cancelled build is %v", err)
		}
	})
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}
