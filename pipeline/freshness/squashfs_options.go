package freshness

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"

	"vauban/config"
	"vauban/export"
)

// PackingOptions read what `export:` of a master says of its squashfs:
// compression, level, and exclude, a file of patterns.
func PackingOptions(cfg *config.Config, m *config.Master, log *slog.Logger) (export.RootfsOptions, error) {
	o := export.RootfsOptions{Log: log, KernelParameters: cfg.KernelParameters(m)}
	for _, name := range slices.Sorted(maps.Keys(m.Export)) {
		var err error
		switch value := m.Export[name]; name {
		case "compression":
			o.Compression = value
		case "level":
			if o.Level, err = strconv.Atoi(value); err != nil {
				err = fmt.Errorf("level %q is not a number", value)
			}
		case "exclude":
			o.Exclude, err = exclusions(cfg.Resolve(value))
		}
		if err != nil {
			return o, fmt.Errorf("%s: `export:` of master %q: %w", cfg.Place(m.Pos), m.Name, err)
		}
	}
	return o, nil
}

func exclusions(path string) (export.Exclusions, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return export.ParseExclusions(path, f)
}
