package dockerfile

import (
	"encoding/csv"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/openshift/imagebuilder"
)

type mountKind string

const (
	mountBind   mountKind = "bind"
	mountCache  mountKind = "cache"
	mountTmpfs  mountKind = "tmpfs"
	mountSecret mountKind = "secret"
)

// runMount is one RUN --mount.
// Source: https://docs.docker.com/reference/dockerfile/#run---mount
type runMount struct {
	kind     mountKind
	id       string // of a cache or secret
	source   string // of a bind mount: in the context
	target   string // absolute, or relative to WORKDIR
	readOnly bool
	locked   bool // one RUN at a time uses the cache
	required bool // without the secret there is no RUN
	mode     uint32
	owner    fileOwner
	size     int64 // of a tmpfs, in bytes; 0: half of the memory
}

// parseRunMounts reads the mounts of a RUN and refuses what it cannot have.
func parseRunMounts(run imagebuilder.Run, secrets map[string]Secret) ([]runMount, error) {
	if run.Network != "" && run.Network != "default" {
		return nil, fmt.Errorf("--network=%s is not supported: set network: for the whole master", run.Network)
	}
	var mounts []runMount
	seen := map[string]bool{}
	for _, text := range run.Mounts {
		m, err := parseRunMount(text)
		if err != nil {
			return nil, fmt.Errorf("--mount=%s: %w", text, err)
		}
		if m.kind == mountSecret && secrets[m.id] == nil {
			if m.required {
				return nil, fmt.Errorf("--mount=%s: there is no secret %q", text, m.id)
			}
			continue
		}
		if m.kind == mountCache && seen[m.id] {
			return nil, fmt.Errorf("--mount=%s: the cache %q is mounted twice: give one of them an id", text, m.id)
		}
		seen[m.id] = m.kind == mountCache
		mounts = append(mounts, m)
	}
	return mounts, nil
}

func parseRunMount(text string) (runMount, error) {
	fields, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return runMount{}, err
	}
	m := runMount{kind: mountBind}
	for _, field := range fields {
		if name, value, _ := strings.Cut(field, "="); name == "type" {
			m.kind = mountKind(value)
		}
	}
	switch m.kind {
	case mountBind:
		m.readOnly, m.source = true, "."
	case mountCache:
		m.mode = 0o755
	case mountTmpfs:
		m.mode = 0o1777
	case mountSecret:
		m.mode = 0o400
	default:
		return m, fmt.Errorf("type %q is not supported: it must be bind, cache, secret or tmpfs", m.kind)
	}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, "=")
		if err := m.set(strings.ToLower(name), value); err != nil {
			return m, err
		}
	}
	return m, m.complete()
}

// set sets one option. Those of other kinds of mounts are mistakes.
func (m *runMount) set(name, value string) (err error) {
	switch {
	case name == "type":
	case name == "target" || name == "dst" || name == "destination":
		m.target = value
	case name == "readonly" || name == "ro":
		m.readOnly, err = parseFlag(value)
	case name == "readwrite" || name == "rw":
		m.readOnly, err = parseFlag(value)
		m.readOnly = !m.readOnly
	case name == "id" && (m.kind == mountCache || m.kind == mountSecret):
		m.id = value
	case (name == "source" || name == "src") && m.kind == mountBind:
		m.source = value
	case name == "required" && m.kind == mountSecret:
		m.required, err = parseFlag(value)
	case name == "sharing" && m.kind == mountCache:
		err = m.share(value)
	case name == "size" && m.kind == mountTmpfs:
		m.size, err = parseSize(value)
	case m.kind == mountBind:
		err = fmt.Errorf("a bind mount has no option %q here", name)
	case name == "mode" && m.kind != mountBind:
		var mode uint64
		mode, err = strconv.ParseUint(value, 8, 12)
		m.mode = uint32(mode)
	case name == "uid" || name == "gid":
		err = m.own(name, value)
	case name == "env":
		err = errors.New("a secret as a variable is not supported, as others could read it in the list of processes: read the file")
	default:
		err = fmt.Errorf("a mount of type %s has no option %q here", m.kind, name)
	}
	return err
}

func (m *runMount) share(how string) error {
	switch how {
	case "shared":
		m.locked = false
	case "locked", "private": // private may be had by waiting, too
		m.locked = true
	default:
		return fmt.Errorf("sharing is %q: it must be shared, private or locked", how)
	}
	return nil
}

func (m *runMount) own(name, value string) error {
	id, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return fmt.Errorf("%s is %q: it must be a number", name, value)
	}
	if name == "uid" {
		m.owner.uid = int(id)
	} else {
		m.owner.gid = int(id)
	}
	return nil
}

func parseFlag(value string) (bool, error) {
	if value == "" {
		return true, nil
	}
	return strconv.ParseBool(value)
}

// parseSize reads a number of bytes, or of k, m or g.
func parseSize(value string) (int64, error) {
	number := strings.TrimRight(strings.ToLower(value), "kmgb")
	n, err := strconv.ParseInt(number, 10, 40)
	shift, ok := map[string]uint{"": 0, "b": 0, "k": 10, "kb": 10, "m": 20, "mb": 20, "g": 30, "gb": 30}[strings.ToLower(value)[len(number):]]
	if err != nil || !ok || n < 0 || n > 1<<62>>shift {
		return 0, fmt.Errorf("size is %q: it must be like 500m", value)
	}
	return n << shift, nil
}

// complete fills in what follows from the rest.
func (m *runMount) complete() error {
	switch {
	case m.kind == mountSecret && m.id == "" && m.target != "":
		m.id = path.Base(m.target)
	case m.kind == mountSecret && m.target == "" && m.id != "":
		m.target = path.Join("/run/secrets", path.Base(m.id))
	case m.target == "":
		return errors.New("it has no target")
	case m.kind == mountCache && m.id == "":
		m.id = path.Clean(m.target)
	}
	if path.Clean("/"+m.target) == "/" {
		return errors.New("nothing can be mounted over the root directory")
	}
	return nil
}
