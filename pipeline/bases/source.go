// Package bases opens the root filesystem that a base is made from: a suite of
// Debian packages, a file, a URL, an image in a registry, a disk image.
package bases

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"vauban/config"
	"vauban/internal/beneath"
	"vauban/internal/command"
	"vauban/layers"
)

// Opener opens what the bases of a configuration are made of.
type Opener struct {
	Config   *config.Config
	Settings config.Settings
	Engine   *layers.Engine
	// StateDir holds the cache of downloads, WorkDir what is removed after
	// the run.
	StateDir, WorkDir string
	Log               *slog.Logger
	// Say reports what the opener is doing.
	Say func(format string, args ...any)
}

// Root opens the tar of a base's root filesystem. From is the digest of the
// file that it is in, if config.yml or a list has one.
func (o *Opener) Root(ctx context.Context, b *config.Base) (root io.ReadCloser, from digest.Digest, err error) {
	if b.Source.Kind == config.Release {
		root, err = o.bootstrap(ctx, b)
		return root, "", err
	}
	digests, err := o.digests(ctx, b)
	if err != nil {
		return nil, "", err
	}
	if len(digests) > 0 {
		from = digests[len(digests)-1]
	}
	if b.Source.Kind == config.URL {
		root, err = o.fetched(ctx, b, digests)
	} else {
		root, err = o.file(ctx, b, digests)
	}
	return root, from, err
}

// bootstrap makes a minimal system of a suite's packages with mmdebstrap(1).
func (o *Opener) bootstrap(ctx context.Context, b *config.Base) (io.ReadCloser, error) {
	keyring, err := o.keyring(ctx, b)
	if err != nil {
		return nil, err
	}
	root, err := o.mmdebstrap(ctx, b, keyring)
	switch {
	case keyring == "":
		return root, err
	case err != nil:
		return nil, errors.Join(err, os.RemoveAll(filepath.Dir(keyring)))
	}
	return &removing{root, filepath.Dir(keyring)}, nil
}

// maxKeyring bounds a base's keys, in bytes. Debian's have some 60 KiB.
const maxKeyring = 16 << 20

// keyring is a copy of the base's keys, alone in its folder: apt reads them as a
// user of its own, who may not come to where config.yml is. "" for no keys.
func (o *Opener) keyring(ctx context.Context, b *config.Base) (path string, err error) {
	if b.Keyring == "" {
		return "", nil
	}
	keys, err := beneath.ReadRegular(ctx, o.Config.Resolve(b.Keyring), maxKeyring)
	if err != nil {
		return "", fmt.Errorf("reading `keyring`: %w", err)
	}
	dir, err := os.MkdirTemp("", "vauban-keyring-")
	if err != nil {
		return "", err
	}
	// apt tells by the name how it is written.
	path = filepath.Join(dir, strings.TrimSuffix(filepath.Base(b.Keyring), filepath.Ext(b.Keyring)))
	if strings.HasPrefix(string(keys), "-----BEGIN") {
		path += ".asc"
	} else {
		path += ".gpg"
	}
	// Whatever the umask is.
	if err := errors.Join(os.WriteFile(path, keys, 0o644), os.Chmod(path, 0o644), os.Chmod(dir, 0o755)); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return path, nil
}

func (o *Opener) mmdebstrap(ctx context.Context, b *config.Base, keyring string) (io.ReadCloser, error) {
	variant := b.Variant
	if variant == "" {
		variant = "minbase"
	}
	args := []string{"--format=tar", "--mode=root", "--variant=" + variant}
	for _, list := range []struct {
		flag   string
		values []string
	}{
		{"--include=", append([]string{"ca-certificates"}, b.Include...)},
		{"--components=", b.Components},
	} {
		if len(list.values) > 0 {
			args = append(args, list.flag+strings.Join(list.values, ","))
		}
	}
	if keyring != "" {
		// The image's stages ask the same mirror.
		args = append(args, "--keyring="+keyring, fmt.Sprintf(`--setup-hook=install -D -m 644 %s "$1/etc/apt/trusted.gpg.d/vauban-"%s`,
			shellQuote(keyring), shellQuote(filepath.Base(keyring))))
	}
	if b.Arch != "" {
		args = append(args, "--architectures="+b.Arch)
	}
	if file := o.Settings.AptAuthFile; file != "" {
		last := "customize"
		if variant == "extract" {
			last = "extract" // no others are run then
		}
		// A hook is a shell's, with the system's folder as its $1.
		args = append(args,
			fmt.Sprintf(`--setup-hook=install -D -m 600 %s "$1%s"`, shellQuote(file), aptAuth),
			fmt.Sprintf(`--%s-hook=rm -f "$1%s"`, last, aptAuth))
	}
	args = append(args, b.Source.Value, "-")
	var env []string
	if at, ok := b.SnapshotTime(); ok {
		args = append(args, snapshotSources(b)...)
		// Nothing in it is newer: the same moment gives the same tar.
		env = append(env, fmt.Sprintf("SOURCE_DATE_EPOCH=%d", at.Unix()))
	} else if b.Mirror != "" {
		args = append(args, b.Mirror)
	}
	if proxy := o.Settings.DebianAptGetProxy; proxy != "" {
		// --aptopt would leave it in the base.
		env = append(env, "http_proxy="+proxy, "https_proxy="+proxy)
	}
	return start(ctx, env, "mmdebstrap", args...)
}

// aptAuth is where mmdebstrap's apt finds credentials, while it works.
const aptAuth = "/etc/apt/auth.conf.d/zz-vauban.conf"

func shellQuote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// start starts a program; its failure is the reader's.
func start(ctx context.Context, env []string, program string, args ...string) (io.ReadCloser, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(config.WithoutSecrets(os.Environ()), env...) // packages' scripts see it
	var said strings.Builder
	cmd.Stderr = &said
	out, err := command.Start(cmd, func(err error) error {
		return fmt.Errorf("running %s: %w: %s", program, err, reasons(said.String()))
	})
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	return out, nil
}

// reasons are the errors and warnings among what apt and mmdebstrap say, and
// the end of what others do.
func reasons(said string) string {
	const most = 20
	lines := strings.Split(strings.TrimSpace(said), "\n")
	marked := slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		return !strings.HasPrefix(line, "E: ") && !strings.HasPrefix(line, "W: ")
	})
	if len(marked) > 0 {
		lines = marked
	}
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}
