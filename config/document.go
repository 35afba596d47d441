package config

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// parse reads the one YAML document of data as a tree without aliases or
// merges, or records in p why that cannot be and returns nil.
func parse(data string, p *problems) *yaml.Node {
	source := &slowReader{data: data}
	decoder := yaml.NewDecoder(source)
	var doc, second yaml.Node
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF), err == nil && len(doc.Content) == 0:
		p.addAt(Position{1, 1}, Mistake{What: "the file is empty",
			Why: "it must declare at least one base", Do: `write for instance "release: bookworm" below a base's name`})
		return nil
	case err != nil:
		p.addAt(syntaxError(err, data, source.read))
		return nil
	}
	switch err := decoder.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		p.addAt(syntaxError(err, data, source.read))
	default:
		p.add(&second, Mistake{What: "a second YAML document begins here",
			Why: "a configuration is one document", Do: `remove this "---" and what follows, or move it into the first`})
	}
	x := &expander{problems: p, open: map[*yaml.Node]bool{}, budget: maxNodes}
	return x.expand(doc.Content[0])
}

// slowReader hands out one byte at a time, so that the scanner never reads
// far beyond what it understood: where it stopped is the place of an error
// that it reports without one.
type slowReader struct {
	data string
	read int
}

func (s *slowReader) Read(p []byte) (int, error) {
	if s.read == len(s.data) {
		return 0, io.EOF
	}
	n := copy(p[:min(1, len(p))], s.data[s.read:])
	s.read += n
	return n, nil
}

var (
	syntaxLine    = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntaxError makes a Mistake with its place of an error of the YAML library.
// The line that the library names is right when its scanner complains. Its
// parser names where the surrounding block begins, one too low, and its reader
// and its aliases name nothing: there, it is the last line that was read.
func syntaxError(err error, data string, read int) (Position, error) {
	match := syntaxLine.FindStringSubmatch(err.Error())
	what := strings.TrimPrefix(err.Error(), match[0])
	line, _ := strconv.Atoi(match[1])
	line = max(line, 1)
	for _, unplaced := range []string{"did not find expected", "control characters", "UTF-"} {
		if strings.Contains(what, unplaced) {
			line = 1 + strings.Count(strings.TrimRight(data[:read], " \r\n"), "\n")
		}
	}
	if anchor := unknownAnchor.FindStringSubmatch(what); anchor != nil {
		before, _, _ := strings.Cut(data, "*"+anchor[1])
		pos := Position{1 + strings.Count(before, "\n"), len(before) - strings.LastIndex(before, "\n")}
		return pos, Mistake{What: fmt.Sprintf("unknown anchor %q", anchor[1]),
			Why: "an alias repeats what was written before it",
			Do:  fmt.Sprintf(`mark the original with "&%s", above this line, or put a value that begins with "*" in quotes`, anchor[1])}
	}
	return Position{line, firstColumn(data, line)}, Mistake{What: "this is not YAML", Why: what,
		Do: "check the indentation, quotes and brackets here and on the line before"}
}

// firstColumn is where the text of a line begins.
func firstColumn(data string, line int) int {
	lines := strings.Split(data, "\n")
	if line > len(lines) {
		return 1
	}
	text := lines[line-1]
	return 1 + len(text) - len(strings.TrimLeft(text, " \t"))
}

// maxNodes bounds what aliases of aliases may blow a document up to.
const maxNodes = 200_000

// broken stands where a node could not be understood and the reason is
// recorded already: readers pass over it in silence.
const broken yaml.Kind = 0

// expander copies a tree of nodes, replacing aliases and `<<` by what they
// stand for. Copies keep the place of the original.
type expander struct {
	*problems
	open   map[*yaml.Node]bool // the lists and mappings we are inside of
	budget int
}

func (x *expander) expand(n *yaml.Node) *yaml.Node {
	x.budget--
	if x.budget == 0 {
		x.add(n, Mistake{What: fmt.Sprintf("YAML aliases make more than %d values of this file", maxNodes),
			Do: "nest them less"})
	}
	if x.budget <= 0 {
		return &yaml.Node{Kind: broken, Line: n.Line, Column: n.Column}
	}
	switch n.Kind {
	case yaml.AliasNode:
		if x.open[n.Alias] {
			x.add(n, Mistake{What: fmt.Sprintf(`the alias "*%s" is inside the value that it repeats`, n.Value),
				Why: "that would never end", Do: "write out what is meant"})
			return &yaml.Node{Kind: broken, Line: n.Line, Column: n.Column}
		}
		return x.expand(n.Alias)
	case yaml.MappingNode, yaml.SequenceNode:
		x.open[n] = true
		defer delete(x.open, n)
		return x.collection(n)
	default:
		return n
	}
}

func (x *expander) collection(n *yaml.Node) *yaml.Node {
	out := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Line: n.Line, Column: n.Column}
	if n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			out.Content = append(out.Content, x.expand(item))
		}
		return out
	}
	seen := map[string]*yaml.Node{}
	var merged *yaml.Node
	for key, value := range pairs(n) {
		key = x.key(key)
		if key == nil {
			continue
		}
		if first, twice := seen[key.Value]; twice {
			x.add(key, Mistake{What: fmt.Sprintf("%q is given twice", key.Value),
				Why: fmt.Sprintf("line %d has it already", first.Line), Do: "keep one of the two"})
			continue
		}
		seen[key.Value] = key
		if key.ShortTag() == "!!merge" {
			merged = x.expand(value)
			continue
		}
		out.Content = append(out.Content, key, x.expand(value))
	}
	x.merge(out, merged, seen)
	return out
}

// key returns the scalar that a key is, or nil after saying why it is none.
func (x *expander) key(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode {
		x.add(n, Mistake{What: fmt.Sprintf("a key is %s", describe(n)), Why: "a key must be text"})
		return nil
	}
	return n
}

// merge adds to out the keys of from (a mapping, or several in a list of which
// the first wins) that are not in seen.
// Source: https://yaml.org/type/merge.html
func (x *expander) merge(out, from *yaml.Node, seen map[string]*yaml.Node) {
	switch {
	case from == nil || from.Kind == broken:
	case from.Kind == yaml.SequenceNode:
		for _, one := range from.Content {
			x.merge(out, one, seen)
		}
	case from.Kind == yaml.MappingNode:
		for key, value := range pairs(from) {
			if _, given := seen[key.Value]; !given {
				seen[key.Value] = key
				out.Content = append(out.Content, key, value)
			}
		}
	default:
		x.add(from, Mistake{What: fmt.Sprintf(`"<<" is given %s`, describe(from)),
			Why: "it takes the keys of a mapping", Do: `write "<<: *NAME" with the anchor of one`})
	}
}
