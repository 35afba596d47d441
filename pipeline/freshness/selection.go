package freshness

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"vauban/ansible"
	"vauban/config"
)

// Selection are the hosts of a master, and those of them that are asked for.
type Selection struct{ All, Wanted []string }

// Limited are a master's hosts and those of them that a limit selects.
func Limited(ctx context.Context, hosts func(context.Context, *config.Master, string) ([]string, error), m *config.Master, all []string, limit string) (Selection, error) {
	if limit == "" {
		return Selection{all, all}, nil
	}
	selected, err := hosts(ctx, m, limit)
	if err != nil && !errors.Is(err, ansible.ErrNoHosts) {
		return Selection{All: all}, err
	}
	wanted := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return !slices.Contains(selected, name) })
	return Selection{all, wanted}, nil
}

// CheckLimit refuses a limit that selects nobody. Of several masters some may
// have none of the hosts that it selects: theirs stay as they are.
func CheckLimit(limit string, of iter.Seq[Selection]) error {
	var known []string
	for s := range of {
		if len(s.Wanted) > 0 {
			return nil
		}
		known = append(known, s.All...)
	}
	if limit == "" || len(known) == 0 {
		return nil
	}
	slices.Sort(known)
	return fmt.Errorf("--limit %q selects none of the hosts, which are %s", limit, strings.Join(slices.Compact(known), ", "))
}

// HostPattern is a pattern less the masters, which are not machines.
func HostPattern(cfg *config.Config, m *config.Master, pattern string) ansible.HostPattern {
	var masters []string
	for _, master := range cfg.Masters() {
		masters = append(masters, master.Name)
	}
	return ansible.HostPattern{Pattern: pattern, Master: m.Name, Without: masters}
}
