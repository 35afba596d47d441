package enter

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Options are what a caller says of one command. Their words come between the
// name of the Spec's file and the command.
type Options struct {
	// Env is added to the container's environment.
	Env []string
	// Dir is the working directory inside. Empty: /.
	Dir string
	// User is nil for root.
	User *User
	// Group leaves the command in the caller's session and process group,
	// with the caller's terminal. Else it has a session of its own.
	Group bool
	// NoNewPrivileges keeps setuid programs, as su and sudo, from working.
	NoNewPrivileges bool
}

// User is whom a command runs as.
type User struct {
	UID, GID uint32
	Groups   []uint32
}

// Words are the options as the program reads them.
func (o Options) Words() []string {
	var words []string
	for _, word := range o.Env {
		words = append(words, "-e", word)
	}
	if o.Dir != "" {
		words = append(words, "-C", o.Dir)
	}
	if o.User != nil {
		ids := make([]string, 0, 2+len(o.User.Groups))
		for _, id := range append([]uint32{o.User.UID, o.User.GID}, o.User.Groups...) {
			ids = append(ids, strconv.FormatUint(uint64(id), 10))
		}
		words = append(words, "-u", strings.Join(ids, ","))
	}
	if o.Group {
		words = append(words, "-g")
	}
	if o.NoNewPrivileges {
		words = append(words, "-n")
	}
	return append(words, "--")
}

// ParseOptions takes the options from the front of args and returns the
// command.
func ParseOptions(args []string) (o Options, command []string, err error) {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		word := args[0]
		args = args[1:]
		switch word {
		case "--":
			return o, args, missing(args)
		case "-g":
			o.Group = true
			continue
		case "-n":
			o.NoNewPrivileges = true
			continue
		}
		if len(args) == 0 {
			return o, nil, fmt.Errorf("option %q lacks its argument", word)
		}
		if err := o.set(word, args[0]); err != nil {
			return o, nil, err
		}
		args = args[1:]
	}
	return o, args, missing(args)
}

func missing(command []string) error {
	if len(command) == 0 {
		return errors.New("missing argument COMMAND")
	}
	return nil
}

func (o *Options) set(word, value string) error {
	switch word {
	case "-e":
		if !strings.Contains(value, "=") {
			return fmt.Errorf("option -e: %q is not NAME=value", value)
		}
		o.Env = append(o.Env, value)
	case "-C":
		o.Dir = value
	case "-u":
		var ids []uint32
		for _, field := range strings.Split(value, ",") {
			id, err := strconv.ParseUint(field, 10, 32)
			if err != nil {
				return fmt.Errorf("option -u: %q is not a number", field)
			}
			ids = append(ids, uint32(id))
		}
		if len(ids) < 2 {
			return fmt.Errorf("option -u: %q lacks a group", value)
		}
		o.User = &User{ids[0], ids[1], ids[2:]}
	default:
		return fmt.Errorf("unknown option %q", word)
	}
	return nil
}

// merge lays the second environment over the first.
func merge(env, more []string) []string {
	merged := append([]string(nil), env...)
	for _, word := range more {
		name, _, _ := strings.Cut(word, "=")
		at := len(merged)
		for i, have := range merged {
			if strings.HasPrefix(have, name+"=") {
				at = i
			}
		}
		if at == len(merged) {
			merged = append(merged, word)
		}
		merged[at] = word
	}
	return merged
}

// candidates are the files that a command's name may mean, see execvp(3).
func candidates(name string, env []string) []string {
	if strings.Contains(name, "/") || name == "" {
		return []string{name}
	}
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, word := range env {
		if value, ok := strings.CutPrefix(word, "PATH="); ok {
			path = value
		}
	}
	var files []string
	for _, dir := range strings.Split(path, ":") {
		if dir == "" {
			dir = "."
		}
		files = append(files, dir+"/"+name)
	}
	return files
}
