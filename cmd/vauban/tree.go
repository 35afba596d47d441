package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"vauban/config"
)

func newTree(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "tree",
		Short: "Print the tree of masters; reads only config.yml",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			for _, b := range cfg.Bases {
				fmt.Fprintf(cmd.OutOrStdout(), "%s (%s %s)\n", b.Name, b.Source.Kind, b.Source.Value)
				printMasters(cmd.OutOrStdout(), b.Masters, "")
			}
			return nil
		},
	}
}

func printMasters(out io.Writer, masters []*config.Master, indent string) {
	for i, m := range masters {
		branch, below := "├── ", "│   "
		if i == len(masters)-1 {
			branch, below = "└── ", "    "
		}
		fmt.Fprintf(out, "%s%s%s%s\n", indent, branch, m.Name, describe(m))
		printMasters(out, m.Masters, indent+below)
	}
}

// describe says what a master adds to its parent.
func describe(m *config.Master) string {
	var parts []string
	for _, s := range m.Stages {
		parts = append(parts, s.Raw)
	}
	text := strings.Join(parts, ", ")
	if text != "" {
		text = ": " + text
	}
	if m.Conffs != "" {
		text += fmt.Sprintf(" (hosts %s)", m.Conffs)
	}
	return text
}
