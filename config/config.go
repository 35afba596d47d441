package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Config is what one config.yml declares.
type Config struct {
	Path string // as it was given to Load
	Dir  string // the folder of Path, which paths in the file are relative to
	// Configuration is the file's `configuration:`, with defaults.
	Configuration Configuration
	Bases         []*Base // in the order of the file
}

// Load reads the configuration at path. The error is [Errors], holding every
// mistake of the file, unless the file itself could not be read.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return read(path, string(data))
}

// Parse reads a configuration that stands in no file: mistakes and what is
// built of it name the source instead, and no place. Paths in it are relative
// to dir.
func Parse(source, dir, text string) (*Config, error) {
	c, err := parseIn(source, dir, text)
	var mistakes Errors
	if errors.As(err, &mistakes) {
		for i := range mistakes {
			mistakes[i].Pos = Position{}
		}
		return nil, mistakes
	}
	if err == nil {
		c.unplace()
	}
	return c, err
}

// unplace forgets where in its text everything stands.
func (c *Config) unplace() {
	unplace := func(stages []Stage) {
		for i := range stages {
			stages[i].Pos = Position{}
		}
	}
	unplace(c.Configuration.AlwaysApplyStageInConffs)
	unplace(c.Configuration.IgnoreStageInConffs)
	for _, b := range c.Bases {
		b.Pos = Position{}
		unplace(b.Stages)
	}
	for _, m := range c.Masters() {
		m.Pos = Position{}
		unplace(m.Stages)
	}
}

func read(path, data string) (*Config, error) { return parseIn(path, filepath.Dir(path), data) }

func parseIn(path, dir, data string) (*Config, error) {
	c := &Config{Path: path, Dir: dir, Configuration: defaultConfiguration()}
	r := newReader(path)
	if root := parse(data, r.problems); root != nil {
		r.readRoot(c, root)
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// Resolve makes a path that config.yml holds relative to the current folder,
// or absolute where Path is.
func (c *Config) Resolve(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.Dir, path)
}

// Place is where something of the configuration is written, FILE:LINE:COLUMN,
// or where the configuration comes from when it is in no file.
func (c *Config) Place(pos Position) string {
	if pos == (Position{}) {
		return c.Path
	}
	return fmt.Sprintf("%s:%d:%d", c.Path, pos.Line, pos.Column)
}

// MachineName is the inventory's name of a master or a base, and the host name
// of its container: a machine's name has no slash.
func MachineName(name string) string { return strings.ReplaceAll(name, "/", "-") }

// VaultDir is where the local engine keeps hosts' identities.
func (c *Config) VaultDir() string { return filepath.Join(c.Dir, "vault") }

// Masters returns every master, each before its children, in the order of the
// file.
func (c *Config) Masters() []*Master {
	var all []*Master
	var add func(masters []*Master)
	add = func(masters []*Master) {
		for _, m := range masters {
			all = append(all, m)
			add(m.Masters)
		}
	}
	for _, b := range c.Bases {
		add(b.Masters)
	}
	return all
}

// Find returns the base or the master that name means: a base's key or its
// `name:`, or a master's key. The other of the two is nil.
func (c *Config) Find(name string) (*Base, *Master, error) {
	var known []string
	for _, b := range c.Bases {
		if name == b.Key || name == b.Name {
			return b, nil, nil
		}
		known = append(known, b.Key, b.Name)
	}
	for _, m := range c.Masters() {
		if name == m.Name {
			return nil, m, nil
		}
		known = append(known, m.Name)
	}
	do := didYouMean(name, known)
	if do == "" {
		known = slices.Compact(slices.Sorted(slices.Values(known)))
		do = "it declares " + list(known)
	}
	return nil, nil, Mistake{What: fmt.Sprintf("%s declares no base or master %q", c.Path, name), Do: do}
}

// stages returns the stages of every base and master.
func (c *Config) stages() []Stage {
	var all []Stage
	for _, b := range c.Bases {
		all = append(all, b.Stages...)
	}
	for _, m := range c.Masters() {
		all = append(all, m.Stages...)
	}
	return all
}
