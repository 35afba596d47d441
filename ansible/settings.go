package ansible

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"vauban/ansible/repository"
)

// settings are ansible's, by name, as ansible.cfg and the environment give
// them in one working copy. vauban adds to lists instead of replacing them.
type settings map[string]setting

type setting struct {
	Name   string
	Origin string // "default", or where it was set
	Value  any
}

// configurations are ansible's settings, asked for once for each content of
// ansible.cfg.
type configurations struct {
	programs *programs
	mu       sync.Mutex
	dumps    map[string]string // of ansible-config, by digest of ansible.cfg
}

// read gives the settings in a working copy.
func (c *configurations) read(ctx context.Context, wc *repository.Copy) (settings, error) {
	config, err := os.ReadFile(configFile(wc))
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("reading ansible.cfg: %w", err)
	}
	// paths in it are in the working copy, which has another one each time
	key := digest.FromBytes(config).String()
	c.mu.Lock()
	dump, ok := c.dumps[key]
	c.mu.Unlock()
	if !ok {
		out, err := c.programs.ask(ctx, wc, nil, "ansible-config", "dump", "--format", "json")
		if err != nil {
			return nil, fmt.Errorf("reading ansible's configuration: %w", err)
		}
		dump = strings.ReplaceAll(out, wc.Tree, treeMark)
		c.mu.Lock()
		c.dumps[key] = dump
		c.mu.Unlock()
	}
	return parseSettings([]byte(strings.ReplaceAll(dump, treeMark, wc.Tree)))
}

// treeMark takes the place of the working copy's path.
const treeMark = "/\u2400/vauban-working-copy"

func parseSettings(dump []byte) (settings, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(dump, &list); err != nil {
		return nil, fmt.Errorf("reading ansible's configuration: %w", err)
	}
	found := settings{}
	for _, raw := range list {
		var s setting
		// newer versions append other things, such as Galaxy servers
		if json.Unmarshal(raw, &s) == nil && s.Name != "" {
			found[s.Name] = s
		}
	}
	return found, nil
}

// configFile is the configuration of a working copy.
func configFile(wc *repository.Copy) string { return filepath.Join(wc.Root, "ansible.cfg") }

// isSet reports whether the user set it.
func (s settings) isSet(name string) bool {
	origin := s[name].Origin
	return origin != "" && origin != "default"
}

func (s settings) text(name string) string {
	text, _ := s[name].Value.(string)
	return text
}

func (s settings) number(name string) int {
	number, _ := s[name].Value.(float64)
	return int(number)
}

func (s settings) list(name string) []string {
	var words []string
	switch value := s[name].Value.(type) {
	case string:
		words = append(words, value)
	case []any:
		for _, v := range value {
			words = append(words, fmt.Sprint(v))
		}
	}
	return words
}

// with is the list and what vauban adds to it, for an environment variable.
func (s settings) with(name, separator string, more ...string) string {
	words := s.list(name)
	for _, word := range more {
		if word != "" && !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return strings.Join(words, separator)
}
