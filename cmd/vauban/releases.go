package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"vauban/internal/text"
	"vauban/release"
)

// releaseLine is one release in a list.
type releaseLine struct {
	Release string `json:"release"`
	Served  bool   `json:"served"`
	// Candidate was built after a rollback and never served.
	Candidate bool `json:"candidate,omitempty"`
	// RolledBack is the release that was rolled back from to this one, until
	// another is deployed.
	RolledBack string   `json:"rolledBackFrom,omitempty"`
	Kernel     string   `json:"kernel"`
	Image      string   `json:"image"` // digest of the rootfs's
	Hosts      []string `json:"hosts"`
	// Missing and Leaving are as in the release's manifest.
	Missing []string `json:"missing,omitempty"`
	Leaving []string `json:"leaving,omitempty"`
	Dir     string   `json:"dir"`
}

func newReleases(a *app) *cobra.Command {
	var format formatFlag
	cmd := &cobra.Command{
		Use:   "releases MASTER",
		Short: "List the published releases of a master, newest first",
		Args:  arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withTree(args[0], func(s *session, master string) error {
				pin, err := release.Pinned(s.tree(), master)
				if err != nil {
					return err
				}
				all, err := release.Releases(s.tree(), master)
				if errors.Is(err, fs.ErrNotExist) && len(all) == 0 {
					return fmt.Errorf("master %q has no release in %q: build and publish it first", master, s.tree())
				}
				return errors.Join(err, printReleases(cmd.OutOrStdout(), format.value, all, pin))
			})
		},
	}
	outputFlag(cmd, &format, "text", "json")
	return cmd
}

// withTree hands fn the name of a master whose releases it works on.
func (a *app) withTree(name string, fn func(s *session, master string) error) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	master, err := s.master(name)
	if err != nil {
		return err
	}
	return fn(s, master.Name)
}

// treeOptions say how this session changes the published tree.
func (s *session) treeOptions() release.TreeOptions {
	return release.TreeOptions{Owner: s.settings.UploadOwner, Log: s.log}
}

func printReleases(out io.Writer, format string, all []*release.Published, pin *release.Pin) error {
	lines := []releaseLine{}
	for _, p := range all {
		line := releaseLine{Release: p.Timestamp, Served: p.Served, Candidate: p.Candidate, Kernel: p.Kernel.Version,
			Image: p.Rootfs.Image.String(), Hosts: slices.Sorted(maps.Keys(p.Hosts)), Missing: p.Missing, Leaving: p.Leaving, Dir: p.Dir}
		if pin != nil && p.Timestamp == pin.Release {
			line.RolledBack = pin.From
		}
		lines = append(lines, line)
	}
	if format == "json" {
		return printJSON(out, lines)
	}
	for _, l := range lines {
		mark := " "
		if l.Served {
			mark = "*"
		}
		fmt.Fprintf(out, "%s %s  kernel %s  %s%s%s\n", mark, l.Release, l.Kernel, text.Count(len(l.Hosts), "host"), named(l.Hosts), l.remarks())
	}
	return nil
}

// remarks are what is special about a release.
func (l releaseLine) remarks() (text string) {
	if l.Candidate {
		text += "  candidate"
	}
	if l.RolledBack != "" {
		text += "  rolled back from " + l.RolledBack
	}
	if len(l.Missing) > 0 {
		text += "  without " + strings.Join(l.Missing, " ")
	}
	if len(l.Leaving) > 0 {
		text += "  leaving: " + strings.Join(l.Leaving, " ")
	}
	return text
}

func named(hosts []string) string {
	if len(hosts) == 0 {
		return ""
	}
	return ": " + strings.Join(hosts, " ")
}
