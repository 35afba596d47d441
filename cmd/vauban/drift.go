package main

import (
	"archive/tar"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/spf13/cobra"

	"vauban/config"
	"vauban/drift"
	"vauban/internal/beneath"
	"vauban/internal/durable"
	"vauban/layers"
	"vauban/progress"
	"vauban/release"
)

type driftFlags struct {
	against, out, dir string
	exclude           []string
	diff, exitCode    bool
	format            formatFlag
}

func newDrift(a *app) *cobra.Command {
	f := &driftFlags{}
	cmd := &cobra.Command{
		Use:   "drift DIR | ssh:[USER@]HOST[:PORT]",
		Short: "Show what changed on a running machine since it booted",
		Long: `Show what changed on a running machine since it booted, compared with what the
current release gives it, and keep it in an archive.

DIR is the upper directory of a machine's root, ` + drift.DefaultDir + `, or a copy of it
that kept owners and attributes. A machine is asked by ssh, for the output of
tar; its host keys must be those that the vault keeps, or else known to ssh.
Nothing is written to the machine, and nothing of it goes into an image.

Files that every machine writes by itself, such as logs, are left out.`,
		Example: `  vauban drift ssh:root@web01 --against master-12-web/web01
  vauban drift ssh:admin@web01:2222 --against master-12-web/web01 --diff -o web01.tgz
  vauban drift /live/cow/rw --against master-12-web/web01 --exclude 'srv/uploads/**' --output json`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, err := drift.ParseSource(args[0])
			if err != nil {
				return usage(fmt.Errorf("vauban: %w", err))
			}
			if f.against == "" {
				return usage(errors.New("vauban: --against is missing: name MASTER/HOST, or a master without hosts"))
			}
			if f.dir != "" && source.Host == "" {
				return usage(errors.New("vauban: --dir is for a machine that is reached by ssh"))
			}
			if source.Host == "" {
				if _, err := os.Stat(source.Dir); err != nil {
					return fmt.Errorf("reading the machine's changes: %w", err)
				}
			}
			return a.withEngine(cmd, func(ctx context.Context, s *session) error {
				all, err := f.compare(ctx, s, source)
				if err != nil {
					return err
				}
				if err := printDrift(cmd.OutOrStdout(), f.format.value, all); err != nil {
					return err
				}
				if f.exitCode && len(all) > 0 {
					return errDiffers
				}
				return nil
			})
		},
	}
	outputFlag(cmd, &f.format, "text", "json")
	flags := cmd.Flags()
	flags.StringVar(&f.against, "against", "", "MASTER/HOST, or a master without hosts")
	flags.StringVarP(&f.out, "out", "o", "", "write what was changed to this archive (tar, gzip), for root alone to read")
	flags.StringArrayVar(&f.exclude, "exclude", nil, "leave out paths that match, such as 'srv/uploads/**' (may be repeated)")
	flags.BoolVar(&f.diff, "diff", false, "print the differing lines of texts that are readable by all")
	exitCodeFlag(cmd, &f.exitCode, "the machine changed something")
	flags.StringVar(&f.dir, "dir", "", "where the machine keeps its changes (default "+drift.DefaultDir+")")
	return cmd
}

// compare reads the source and compares it with the image that the release
// was made of.
func (f *driftFlags) compare(ctx context.Context, s *session, source drift.Source) (all []drift.Change, err error) {
	m, host, err := s.masterAndHost(f.against)
	if err != nil {
		return nil, err
	}
	img, timestamp, err := s.booted(ctx, m, host)
	if err != nil {
		return nil, err
	}
	source.Dir = cmp.Or(f.dir, source.Dir)
	source.Exclude = append(drift.DefaultExcludes(), f.exclude...)
	if source.Host != "" {
		if err := s.introduce(ctx, &source, cmp.Or(host, strings.ReplaceAll(m.Name, "/", "-"))); err != nil {
			return nil, err
		}
		s.compareRelease(ctx, source, timestamp)
	}
	upper, err := source.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, upper.Close()) }()
	err = writeArchive(f.out, func(archive *tar.Writer) error {
		return s.engine.Mount(ctx, img, func(dir string) error {
			root, err := beneath.OpenRoot(dir)
			if err != nil {
				return err
			}
			defer root.Close()
			all, err = drift.Compare(ctx, root, upper, drift.Options{Exclude: f.exclude, Diff: f.diff, Archive: archive})
			return err
		})
	})
	return all, err
}

// masterAndHost takes MASTER/HOST apart; a master's name may hold a slash.
func (s *session) masterAndHost(against string) (*config.Master, string, error) {
	if i := strings.LastIndexByte(against, '/'); i > 0 {
		if _, m, err := s.cfg.Find(against[:i]); err == nil && m != nil {
			return m, against[i+1:], nil
		}
	}
	m, err := s.master(against)
	if err == nil && m.Conffs != "" {
		err = usage(fmt.Errorf("vauban: master %q has hosts: name one, as %s/HOST", m.Name, against))
	}
	return m, "", err
}

// booted is the image of what a machine boots: its host's, or its master's.
func (s *session) booted(ctx context.Context, m *config.Master, host string) (layers.Image, string, error) {
	current, err := release.Current(s.tree(), m.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.log.Warn("nothing is published of it: compared with the latest image", "master", m.Name)
		name := m.Image()
		if host != "" {
			name = m.HostImage(host)
		}
		img, err := s.image(ctx, name)
		return img, "", err
	case err != nil:
		return layers.Image{}, "", err
	case host == "":
		img, err := s.images.Digest(ctx, m.Image(), current.Rootfs.Image)
		return img, current.Timestamp, err
	}
	entry, ok := current.Hosts[host]
	if !ok {
		return layers.Image{}, "", fmt.Errorf("release %s of %q has no conffs of host %q", current.Timestamp, m.Name, host)
	}
	img, err := s.images.Digest(ctx, m.HostImage(host), entry.Image)
	return img, current.Timestamp, err
}

// introduce tells ssh the keys that the vault keeps for a machine. Without a
// vault, or when it does not know the machine, ssh's own list counts.
func (s *session) introduce(ctx context.Context, source *drift.Source, name string) error {
	store, err := s.vault()
	if err != nil || store == nil {
		return err
	}
	id, err := store.Get(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		s.log.Info("the vault does not have the machine: ssh must know it", "host", name)
		return nil
	} else if err != nil {
		return err
	}
	source.Alias = name
	for _, key := range id.Keys() {
		source.KnownHosts = append(source.KnownHosts, key.Public)
	}
	return nil
}

// compareRelease warns when the machine booted another release than the one
// it is compared with. A machine that does not tell is none of ours.
func (s *session) compareRelease(ctx context.Context, source drift.Source, timestamp string) {
	text, err := source.Read(ctx, "/run/vauban/release.json")
	if err != nil || timestamp == "" {
		s.log.Debug("asking which release the machine booted", "error", err)
		return
	}
	var booted struct{ Rootfs string }
	if json.Unmarshal(text, &booted) == nil && !slices.Contains(strings.Split(booted.Rootfs, "/"), timestamp) {
		s.log.Warn("the machine booted a release that is not the current one: some differences come from that",
			"machine", booted.Rootfs, "current", timestamp)
	}
}

// writeArchive makes a file of what fn writes; it appears whole or not at all.
func writeArchive(path string, fn func(*tar.Writer) error) error {
	if path == "" {
		return fn(nil)
	}
	return durable.Write(path, 0o600, func(file io.Writer) error {
		zip := gzip.NewWriter(file)
		archive := tar.NewWriter(zip)
		if err := fn(archive); err != nil {
			return err
		}
		return errors.Join(archive.Close(), zip.Close())
	})
}

func printDrift(out io.Writer, format string, all []drift.Change) error {
	if format == "json" {
		return printJSON(out, all)
	}
	for _, c := range all {
		line := fmt.Sprintf("%-8s %s", c.Kind, c.Path)
		if c.Kind != drift.Deleted {
			line += fmt.Sprintf(" %s %s", c.Mode, c.Owner)
		}
		if c.Target != "" {
			line += " -> " + c.Target
		}
		if c.From != "" {
			line += " (was " + c.From + ")"
		}
		if _, err := fmt.Fprintln(out, progress.PrintableLine(line)); err != nil {
			return err
		}
		if c.Diff != "" {
			io.WriteString(out, c.Diff)
		}
	}
	return nil
}
