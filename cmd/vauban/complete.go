package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"vauban/boot"
	"vauban/config"
	"vauban/pipeline/plan"
)

// completions teach the shell what arguments and flags take: names from
// config.yml, hosts of a published release, the words of a flag.
func (a *app) completions(root *cobra.Command) {
	bases, several := []string{"build", "plan", "history", "pull", "shell", "which"}, []string{"build", "plan", "status", "prune"}
	for _, cmd := range commands(root) {
		name := cmd.Name()
		if strings.Contains(cmd.Use, "MASTER") || strings.Contains(cmd.Use, "IMAGE") {
			cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
				if len(args) > 0 && !slices.Contains(several, name) {
					return nil, cobra.ShellCompDirectiveDefault
				}
				names := a.names(slices.Contains(bases, name))
				return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(args, name) }), cobra.ShellCompDirectiveNoFileComp
			}
		}
		cmd.Flags().VisitAll(func(flag *pflag.Flag) {
			if fn := a.flagCompletion(flag); fn != nil {
				// It fails only for a flag that is not there.
				_ = cmd.RegisterFlagCompletionFunc(flag.Name, fn)
			}
		})
	}
}

// flagCompletion is nil for a flag that takes anything.
func (a *app) flagCompletion(flag *pflag.Flag) cobra.CompletionFunc {
	if format, ok := flag.Value.(*formatFlag); ok {
		return cobra.FixedCompletions(format.all, cobra.ShellCompDirectiveNoFileComp)
	}
	switch flag.Name {
	case "stage":
		return cobra.FixedCompletions(stageWords, cobra.ShellCompDirectiveNoFileComp)
	case "build-parents":
		return cobra.FixedCompletions([]string{"yes", "no", "1", "2"}, cobra.ShellCompDirectiveNoFileComp)
	case "host", "limit":
		return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return a.releasedHosts(args), cobra.ShellCompDirectiveNoFileComp
		}
	}
	return nil
}

// stageWords are what --stage and the variable `stage` take.
var stageWords = []string{string(plan.Rootfs), string(plan.Conffs), string(plan.Initramfs), string(plan.All)}

func commands(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, child := range cmd.Commands() {
		all = append(all, commands(child)...)
	}
	return all
}

// names are those of the masters, and of the bases too where they are wanted;
// none where config.yml cannot be read.
func (a *app) names(bases bool) (names []string) {
	cfg, err := config.Load(a.configFile)
	if err != nil {
		return nil
	}
	if bases {
		for _, b := range cfg.Bases {
			names = append(names, b.Name)
		}
	}
	for _, m := range cfg.Masters() {
		names = append(names, m.Name)
	}
	return names
}

// releasedHosts are those of the masters' current releases.
func (a *app) releasedHosts(masters []string) (hosts []string) {
	s, err := a.session()
	if err != nil {
		return nil
	}
	for _, master := range masters {
		if r, err := boot.OpenRelease(s.tree(), master, ""); err == nil {
			hosts = append(hosts, r.Hosts...)
		}
	}
	return hosts
}
