package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"vauban/internal/beneath"
)

// maxSecretsEnv bounds the file, in bytes.
const maxSecretsEnv = 1 << 20

// secretsEnv is what the file sets, by name.
type secretsEnv struct {
	settings map[string]string
	others   map[string]string // names of other tools, which are secret too
}

// readSecretsEnv returns what the file sets; one that does not exist sets
// nothing. The file must be root's, the running user's or that of the owner of
// configFile, and no other user may read it.
func readSecretsEnv(file, configFile string) (secretsEnv, error) {
	data, err := readPrivate(file, configFile)
	if errors.Is(err, fs.ErrNotExist) {
		return secretsEnv{}, nil
	}
	if err != nil {
		return secretsEnv{}, err
	}
	return parseSecretsEnv(file, string(data))
}

func readPrivate(file, configFile string) ([]byte, error) {
	f, err := beneath.OpenRegular(file)
	if err != nil {
		return nil, fmt.Errorf("reading the secrets: %w", err)
	}
	defer f.Close()
	if err := checkPrivate(f, file, configFile); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSecretsEnv+1))
	if err != nil {
		return nil, fmt.Errorf("reading the secrets: %w", err)
	}
	if len(data) > maxSecretsEnv {
		return nil, fmt.Errorf("reading the secrets: %s has more than %d bytes", file, maxSecretsEnv)
	}
	return data, nil
}

// checkPrivate refuses secrets that other users can read, as APT_AUTH_FILE is
// refused, or that a user wrote who has no say in what is built.
func checkPrivate(f *os.File, file, configFile string) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("reading the secrets: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("reading the secrets: other users can read %s: run `chmod 600 %s`", file, file)
	}
	may := []uint32{0, uint32(os.Geteuid())}
	if info, err := os.Stat(configFile); err == nil {
		may = append(may, info.Sys().(*syscall.Stat_t).Uid)
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; !slices.Contains(may, owner) {
		return fmt.Errorf("reading the secrets: %s belongs to user %d, neither root nor the owner of config.yml: run `chown root: %s`", file, owner, file)
	}
	return nil
}

// parseSecretsEnv understands the assignments that a POSIX shell would make of
// data without running or expanding anything: `[export ]NAME=value`, single
// and double quotes, backslashes, comments. What a shell would expand is an
// error, for to take it literally would be as wrong as to run it. Errors show
// no value.
func parseSecretsEnv(file, data string) (secretsEnv, error) {
	p := &envParser{
		problems: &problems{file: file},
		data:     strings.ReplaceAll(strings.TrimPrefix(data, "\ufeff"), "\r\n", "\n"),
		found:    secretsEnv{settings: map[string]string{}, others: map[string]string{}},
	}
	for p.at < len(p.data) {
		p.line()
	}
	if err := p.err(); err != nil {
		return secretsEnv{}, err
	}
	return p.found, nil
}

type envParser struct {
	*problems
	data  string
	at    int
	found secretsEnv
}

var assignment = regexp.MustCompile(`^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)=`)

// line parses one line, or several when a quoted value goes on, and leaves p
// at the beginning of the next.
func (p *envParser) line() {
	start := p.at
	defer p.skipLine()
	p.skip(" \t")
	if p.at == len(p.data) || strings.IndexByte("\n#", p.data[p.at]) >= 0 {
		return
	}
	match := assignment.FindStringSubmatch(p.data[start:])
	if match == nil {
		p.fail(p.at, Mistake{What: "this is not an assignment", Why: "the file is read, not run",
			Do: "write NAME=value without spaces around the \"=\", or remove the line"})
		return
	}
	name := match[1]
	p.at = start + len(match[0])
	valueAt := p.at
	value, ok := p.word()
	if !ok {
		return
	}
	p.skip(" \t")
	if p.at < len(p.data) && strings.IndexByte("\n#", p.data[p.at]) < 0 {
		p.fail(p.at, Mistake{What: "something follows the value", Why: "a space ends a value that is not in quotes",
			Do: "put the whole value in single quotes"})
		return
	}
	p.assign(start, valueAt, name, value)
}

// assign keeps a value, unless it cannot stand or its name is a slip.
func (p *envParser) assign(start, valueAt int, name, value string) {
	names := settingNames()
	i := slices.Index(names, name)
	if i < 0 {
		if do := didYouMean(name, names); do != "" {
			p.fail(start, Mistake{What: fmt.Sprintf("unknown setting %q", name), Do: do})
		}
		p.found.others[name] = value
		return
	}
	if err := new(Settings).table()[i].check(value); err != nil {
		p.fail(valueAt, naming(name, err))
	}
	p.found.settings[name] = value
}

// word parses a value to where a blank, a comment or the line ends it.
func (p *envParser) word() (value string, ok bool) {
	var b strings.Builder
	for start := p.at; p.at < len(p.data); {
		c := p.data[p.at]
		switch {
		case c == '\n' || c == ' ' || c == '\t':
			return b.String(), true
		case c == '\'':
			ok = p.singleQuoted(&b)
		case c == '"':
			ok = p.doubleQuoted(&b)
		case c == '~' && (p.at == start || p.data[p.at-1] == ':'):
			p.fail(p.at, Mistake{What: "a shell would expand this ~", Do: "write the folder's path, or quote the ~"})
			return "", false
		case strings.IndexByte("&;|<>()", c) >= 0:
			p.fail(p.at, Mistake{What: fmt.Sprintf("%q is special to a shell", c), Do: "put the whole value in single quotes"})
			return "", false
		case c == '\\':
			ok = p.escaped(&b, "")
		default:
			ok = p.literal(&b)
		}
		if !ok {
			return "", false
		}
	}
	return b.String(), true
}

// literal takes one character that must not ask a shell to expand anything.
func (p *envParser) literal(b *strings.Builder) bool {
	c := p.data[p.at]
	switch {
	case strings.HasPrefix(p.data[p.at:], "$("), c == '`':
		p.fail(p.at, Mistake{What: "the value contains a command", Why: "the file is read, not run",
			Do: "write what the command prints, or put the value in single quotes"})
		return false
	case c == '$':
		p.fail(p.at, Mistake{What: `"$" would be expanded by a shell`, Why: "the file is read, not run",
			Do: `put the value in single quotes, or write "\$"`})
		return false
	case c == 0:
		p.fail(p.at, Mistake{What: "the value contains a NUL byte", Do: "remove it"})
		return false
	}
	b.WriteByte(c)
	p.at++
	return true
}

// escaped takes a backslash and what follows. Only a character of special (any
// when that is empty) loses its backslash; with a line's end, both go.
func (p *envParser) escaped(b *strings.Builder, special string) bool {
	p.at++
	if p.at == len(p.data) {
		p.fail(p.at-1, Mistake{What: "nothing follows the backslash", Do: "put the value in single quotes"})
		return false
	}
	c := p.data[p.at]
	switch {
	case c == '\n':
		p.at++
		return true
	case special != "" && strings.IndexByte(special, c) < 0:
		b.WriteByte('\\')
		return true // c is parsed as if alone
	case c == 0:
		return p.literal(b)
	}
	b.WriteByte(c)
	p.at++
	return true
}

func (p *envParser) singleQuoted(b *strings.Builder) bool {
	open := p.at
	for p.at++; p.at < len(p.data); p.at++ {
		switch c := p.data[p.at]; {
		case c == '\'':
			p.at++
			return true
		case c == 0:
			return p.literal(b)
		case p.leftOpen():
			return p.open(open)
		default:
			b.WriteByte(c)
		}
	}
	return p.open(open)
}

func (p *envParser) doubleQuoted(b *strings.Builder) bool {
	open := p.at
	for p.at++; p.at < len(p.data); {
		ok := true
		switch c := p.data[p.at]; {
		case c == '"':
			p.at++
			return true
		case p.leftOpen():
			return p.open(open)
		case c == '\\':
			ok = p.escaped(b, "$`\"\\\n")
		default:
			ok = p.literal(b)
		}
		if !ok {
			return false
		}
	}
	return p.open(open)
}

// leftOpen reports whether the line's end at p is where a quote was forgotten:
// the next line sets something. Values of several lines are rare, forgotten
// quotes are not, and would swallow the lines up to the next quote.
func (p *envParser) leftOpen() bool {
	if p.data[p.at] != '\n' {
		return false
	}
	next := p.data[p.at+1:]
	match := assignment.FindStringSubmatch(next)
	return match != nil && (strings.Contains(match[0], "export") || slices.Contains(settingNames(), match[1]))
}

// open records a quote that is never closed, and goes back to its line, so
// that the lines after it are read too.
func (p *envParser) open(at int) bool {
	p.at = at
	p.fail(at, Mistake{What: "this quote is never closed", Why: "a value ends with the quote it begins with",
		Do: "close it, or write '\\'' for a single quote in single quotes"})
	return false
}

func (p *envParser) skip(chars string) {
	p.at = len(p.data) - len(strings.TrimLeft(p.data[p.at:], chars))
}

// skipLine goes to the beginning of the next line.
func (p *envParser) skipLine() {
	_, rest, _ := strings.Cut(p.data[p.at:], "\n")
	p.at = len(p.data) - len(rest)
}

// fail records a mistake at an offset of the data.
func (p *envParser) fail(at int, mistake error) {
	before := p.data[:at]
	column := 1 + len([]rune(before[strings.LastIndexByte(before, '\n')+1:]))
	p.addAt(Position{1 + strings.Count(before, "\n"), column}, mistake)
}
