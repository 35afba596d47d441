package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"vauban/internal/remedy"

	"gopkg.in/yaml.v3"
)

// Position is a place in a file. Both numbers count from 1, and columns count
// characters; the zero Position is not a place at all.
type Position struct {
	Line, Column int
}

// Mistake is one thing that a user wrote and that is wrong, in words for
// that user. Why and Do may be empty.
type Mistake struct {
	What string // what was found, quoting it unless it is secret
	Why  string // the rule that it breaks
	Do   string // the way out
}

// Error is "what (why): what to do".
func (m Mistake) Error() string { return remedy.Text(m.What, m.Why, m.Do) }

// Error is a [Mistake] and its place.
type Error struct {
	File string // as it was named to Load; "environment" for a variable
	Pos  Position
	Mistake
}

// Error is `FILE:LINE:COLUMN: what (why): what to do`.
func (e Error) Error() string {
	if e.Pos == (Position{}) {
		return fmt.Sprintf("%s: %s", e.File, e.Mistake.Error())
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Pos.Line, e.Pos.Column, e.Mistake.Error())
}

// Errors is every mistake of one configuration, sorted by place.
type Errors []Error

// Error has one line for each mistake.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// problems collects the mistakes of one file.
type problems struct {
	file string
	list Errors
}

// add records err, found at n. An error that is not a [Mistake] is its own text.
func (p *problems) add(n *yaml.Node, err error) {
	p.addAt(Position{n.Line, n.Column}, err)
}

func (p *problems) addAt(pos Position, err error) {
	mistake := Mistake{What: err.Error()}
	errors.As(err, &mistake)
	p.list = append(p.list, Error{File: p.file, Pos: pos, Mistake: mistake})
}

// err returns the mistakes sorted, or nil when there is none. One that YAML
// aliases repeat is reported once.
func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	return slices.Compact(p.list)
}
