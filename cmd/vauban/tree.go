package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"vauban/config"
	"vauban/pipeline/freshness"
)

// node is a base or a master of the tree.
type node struct {
	Name   string   `json:"name"`
	Source string   `json:"source,omitempty"` // of a base
	Stages []string `json:"stages,omitempty"`
	Hosts  string   `json:"hosts,omitempty"` // the pattern of conffs
	// These are set with --fresh.
	Fresh      *bool  `json:"fresh,omitempty"`
	Why        string `json:"why,omitempty"`
	FreshHosts string `json:"fresh_hosts,omitempty"` // "3 of 4"
	Nodes      []node `json:"children,omitempty"`
}

func newTree(a *app) *cobra.Command {
	var format formatFlag
	fresh := false
	cmd := &cobra.Command{
		Use:   "tree",
		Short: "Print the tree of masters; reads only config.yml unless --fresh is given",
		Example: `  vauban tree --output dot | dot -Tsvg >tree.svg
  vauban tree --fresh                           # also show what is stale, see vauban status`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			nodes := nodesOf(cfg)
			if fresh {
				err = a.withJudge(cmd.Context(), "", func(ctx context.Context, j *freshness.Judge) error {
					status, err := j.Status(ctx, nil)
					addFreshness(nodes, status)
					return err
				})
				if err != nil {
					return err
				}
			}
			return printTree(cmd.OutOrStdout(), format.value, nodes)
		},
	}
	cmd.Flags().BoolVar(&fresh, "fresh", false, "show what is stale, and why")
	outputFlag(cmd, &format, "text", "json", "dot", "mermaid")
	return cmd
}

func nodesOf(cfg *config.Config) []node {
	var all []node
	for _, b := range cfg.Bases {
		all = append(all, node{Name: b.Name, Source: b.Source.String(),
			Stages: written(b.Stages), Nodes: mastersOf(b.Masters)})
	}
	return all
}

// addFreshness adds to nodes what their status is.
func addFreshness(nodes []node, s freshness.Status) {
	bases, masters := map[string]freshness.BaseStatus{}, map[string]freshness.MasterStatus{}
	for _, b := range s.Bases {
		bases[b.Name] = b
	}
	for _, m := range s.Masters {
		masters[m.Name] = m
	}
	for i := range nodes {
		b := bases[nodes[i].Name]
		nodes[i].Fresh, nodes[i].Why = &b.Fresh, b.String()
		addMasters(nodes[i].Nodes, masters)
	}
}

func addMasters(nodes []node, masters map[string]freshness.MasterStatus) {
	for i := range nodes {
		m := masters[nodes[i].Name]
		nodes[i].Fresh, nodes[i].Why = &m.Fresh, m.String()
		if len(m.Hosts) > 0 {
			nodes[i].FreshHosts = fmt.Sprintf("%d of %d", m.FreshHosts(), len(m.Hosts))
		}
		addMasters(nodes[i].Nodes, masters)
	}
}

func mastersOf(masters []*config.Master) []node {
	var all []node
	for _, m := range masters {
		all = append(all, node{Name: m.Name, Stages: written(m.Stages), Hosts: m.Conffs, Nodes: mastersOf(m.Masters)})
	}
	return all
}

// written are stages as the configuration spells them.
func written(stages []config.Stage) []string {
	var all []string
	for _, s := range stages {
		all = append(all, s.Raw)
	}
	return all
}

func printTree(out io.Writer, format string, nodes []node) error {
	switch format {
	case "json":
		return printJSON(out, nodes)
	case "dot":
		_, err := fmt.Fprintf(out, "digraph vauban {\n  rankdir=LR\n  node [shape=box]\n%s}\n", graph(nodes, func(id string, n node) string {
			return fmt.Sprintf("  %s [label=%s%s]\n", id, strconv.Quote(n.label()), n.colour(` style=filled fillcolor="%s"`))
		}, "->"))
		return err
	case "mermaid":
		_, err := fmt.Fprintf(out, "graph LR\n%s", graph(nodes, func(id string, n node) string {
			return fmt.Sprintf("  %s[%q]\n%s", id, mermaidEscapes.Replace(n.label()), n.colour("  style "+id+" fill:%s\n"))
		}, "-->"))
		return err
	}
	for _, n := range nodes {
		fmt.Fprintf(out, "%s (%s)%s\n", n.Name, n.Source, n.describe())
		printNodes(out, n.Nodes, "")
	}
	return nil
}

func printNodes(out io.Writer, nodes []node, indent string) {
	for i, n := range nodes {
		branch, below := "├── ", "│   "
		if i == len(nodes)-1 {
			branch, below = "└── ", "    "
		}
		fmt.Fprintf(out, "%s%s%s%s\n", indent, branch, n.Name, n.describe())
		printNodes(out, n.Nodes, indent+below)
	}
}

// describe says what a node adds to its parent.
func (n node) describe() string {
	text := strings.Join(n.Stages, ", ")
	if text != "" {
		text = ": " + text
	}
	if n.Hosts != "" {
		text += fmt.Sprintf(" (hosts %s)", n.Hosts)
	}
	if state := n.state(); state != "" {
		text += " [" + state
		if n.Why != "" {
			text += ": " + n.Why
		}
		text += "]"
	}
	return text
}

// state is what a node says of its freshness, "" when nobody asked.
func (n node) state() string {
	if n.Fresh == nil {
		return ""
	}
	state := "stale"
	if *n.Fresh {
		state = "fresh"
	}
	if n.FreshHosts != "" {
		state += ", " + n.FreshHosts + " hosts fresh"
	}
	return state
}

// colour puts the colour of a node's freshness into a format, if it has one.
func (n node) colour(format string) string {
	if n.Fresh == nil {
		return ""
	}
	colour := "#f4c7a1" // stale
	if *n.Fresh {
		colour = "#c3e6cb"
	}
	return fmt.Sprintf(format, colour)
}

// mermaidEscapes are what Mermaid takes for markup, in its own notation.
var mermaidEscapes = strings.NewReplacer("\n", "<br/>", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "#", "#35;", `\`, "#92;")

// graph draws nodes and the edges between them; box declares one of them.
func graph(nodes []node, box func(id string, n node) string, arrow string) string {
	var b strings.Builder
	count := 0
	var draw func(nodes []node, parent string)
	draw = func(nodes []node, parent string) {
		for _, n := range nodes {
			id := fmt.Sprintf("n%d", count)
			count++
			b.WriteString(box(id, n))
			if parent != "" {
				fmt.Fprintf(&b, "  %s %s %s\n", parent, arrow, id)
			}
			draw(n.Nodes, id)
		}
	}
	draw(nodes, "")
	return b.String()
}

// label is what stands in a node's box, a line for each thing.
func (n node) label() string {
	lines := []string{n.Name}
	if n.Source != "" {
		lines = append(lines, n.Source)
	}
	lines = append(lines, n.Stages...)
	if n.Hosts != "" {
		lines = append(lines, "hosts "+n.Hosts)
	}
	if state := n.state(); state != "" {
		lines = append(lines, state)
	}
	return strings.Join(lines, "\n")
}
