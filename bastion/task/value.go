package task

import (
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/bastion"
)

// Type is the type of a parameter. The zero Type is none.
type Type string

// The types.
const (
	Text    = Type(bastion.TextValue)
	Integer = Type(bastion.IntegerValue)
	Number  = Type(bastion.NumberValue)
	Boolean = Type(bastion.BooleanValue)
	Date    = Type(bastion.DateValue)
	OneOf   = Type("one-of") // of its choices, which are texts
)

// Types lists all types.
func Types() []Type { return []Type{Text, Integer, Number, Boolean, Date, OneOf} }

// maxValue is the greatest length of a value, in bytes.
const maxValue = 10_000

// Value is the value of a parameter. Its text is in the one form that its type has,
// so that equal values are equal texts.
type Value struct {
	Name string `json:"name"`
	Type Type   `json:"type"`
	Text string `json:"text"`
}

var numberForm = regexp.MustCompile(`^-?[0-9]{1,60}(\.[0-9]{1,60})?$`)

// read reads a value of the type, without looking at the parameter's bounds.
func (t Type) read(s string) (string, error) {
	switch t {
	case Text, OneOf:
		switch {
		case !utf8.ValidString(s) || strings.ContainsRune(s, 0):
			return "", fmt.Errorf("want valid UTF-8")
		case len(s) > maxValue:
			return "", fmt.Errorf("want at most %d bytes", maxValue)
		}
		return s, nil
	case Integer:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return "", fmt.Errorf("want a whole number, such as 7")
		}
		return strconv.FormatInt(n, 10), nil
	case Number:
		if !numberForm.MatchString(s) {
			return "", fmt.Errorf("want a number, such as 12.50")
		}
		return s, nil
	case Boolean:
		if s != "true" && s != "false" {
			return "", fmt.Errorf("want true or false")
		}
		return s, nil
	case Date:
		d, err := time.Parse(time.DateOnly, s)
		if err != nil || d.Year() < 1 {
			return "", fmt.Errorf("want a date, such as 2026-03-01")
		}
		return d.Format(time.DateOnly), nil
	}
	return "", fmt.Errorf("internal error: no type %q", t)
}

// measure makes of a value and of a bound what can be compared: a number, a day, or
// the length of a text.
func (t Type) measure(s string, bound bool) (*big.Rat, bool) {
	switch t {
	case Integer, Number:
		if !numberForm.MatchString(s) {
			return nil, false
		}
		return new(big.Rat).SetString(s)
	case Date:
		d, err := time.Parse(time.DateOnly, s)
		return new(big.Rat).SetInt64(d.Unix()), err == nil
	case Text:
		if !bound {
			return new(big.Rat).SetInt64(int64(utf8.RuneCountInString(s))), true
		}
		n, err := strconv.ParseUint(s, 10, 31)
		return new(big.Rat).SetInt64(int64(n)), err == nil
	}
	return nil, false
}

// whole is the pattern for all of a text. The pattern is read by itself first: one
// that closes a parenthesis it did not open would hold for a part.
func (p Parameter) whole() (*regexp.Regexp, error) {
	if _, err := regexp.Compile(p.Pattern); err != nil {
		return nil, err
	}
	return regexp.Compile(`^(?:` + p.Pattern + `)$`)
}

// check says what is wrong with a parameter.
func (p Parameter) check(c *checker, path string) {
	before := len(c.problems)
	if len(p.Name) > maxName || !parameterForm.MatchString(p.Name) {
		c.add(path, "the name of a parameter: want a small letter, then small letters, digits and _, at most %d of them", maxName)
	}
	c.words(path+".description", p.Description)
	if !slices.Contains(Types(), p.Type) {
		var known []string
		for _, t := range Types() {
			known = append(known, string(t))
		}
		c.add(path+".type", "there is no type %q (known: %s)", p.Type, strings.Join(known, ", "))
		return
	}
	if p.Pattern != "" && p.Type != Text {
		c.add(path+".pattern", "only a text has a pattern")
	} else if _, err := p.whole(); err != nil {
		c.add(path+".pattern", "the pattern is no regular expression")
	}
	var bounds []*big.Rat
	for _, b := range []struct{ what, text string }{{"min", p.Min}, {"max", p.Max}} {
		if b.text == "" {
			continue
		}
		if m, ok := p.Type.measure(b.text, true); ok {
			bounds = append(bounds, m)
		} else {
			c.add(path+"."+b.what, "a %s has no such bound", p.Type)
		}
	}
	if len(bounds) == 2 && bounds[0].Cmp(bounds[1]) > 0 {
		c.add(path+".max", "max is less than min")
	}
	switch {
	case p.Type == OneOf && len(p.Choices) < 2:
		c.add(path, "one-of needs two choices or more")
	case p.Type != OneOf && len(p.Choices) > 0:
		c.add(path+".choices", "only one-of has choices")
	}
	for i, s := range p.Choices {
		if _, err := OneOf.read(s); err != nil || slices.Contains(p.Choices[:i], s) {
			c.add(path+".choices", "choices are different texts")
			break
		}
	}
	if p.Default != nil && len(c.problems) == before {
		if _, err := p.Value(*p.Default); err != nil {
			c.add(path+".default", "the default is not a value of its own parameter: %v", err)
		}
	}
}

// Value makes a value of what somebody wrote. The error says what is wanted.
func (p Parameter) Value(s string) (Value, error) {
	v, err := p.Type.read(s)
	if err != nil {
		return Value{}, err
	}
	m, measured := p.Type.measure(v, false)
	for _, b := range []struct {
		text, word string
		sign       int
	}{{p.Min, "at least", -1}, {p.Max, "at most", 1}} {
		if b.text == "" {
			continue
		}
		limit, ok := p.Type.measure(b.text, true)
		if !ok || !measured || m.Cmp(limit) == b.sign {
			unit := ""
			if p.Type == Text {
				unit = " characters"
			}
			return Value{}, fmt.Errorf("want %s %s%s", b.word, b.text, unit)
		}
	}
	if p.Pattern != "" {
		whole, err := p.whole()
		if err != nil || !whole.MatchString(v) {
			return Value{}, fmt.Errorf("want what matches %s", bastion.VisibleLine(p.Pattern))
		}
	}
	if p.Type == OneOf && !slices.Contains(p.Choices, v) {
		return Value{}, fmt.Errorf("want one of %s", bastion.VisibleLine(strings.Join(p.Choices, ", ")))
	}
	return Value{p.Name, p.Type, v}, nil
}

// ValueError says what is wrong with the value of a parameter. It does not quote the
// value.
type ValueError struct{ Name, Message string }

func (e *ValueError) Error() string {
	return fmt.Sprintf("parameter %s: %s", bastion.VisibleLine(e.Name), e.Message)
}

// FileError says what is wrong with a file, or with the values for its parameters.
type FileError struct{ Err error }

func (e *FileError) Error() string { return e.Err.Error() }

func (e *FileError) Unwrap() error { return e.Err }

// Values makes the values of all parameters, in the order of the file. The error is
// a *ValueError.
func (f File) Values(given map[string]string) ([]Value, error) {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.ContainsFunc(f.Parameters, func(p Parameter) bool { return p.Name == name }) {
			return nil, &ValueError{name, "there is no such parameter"}
		}
	}
	var values []Value
	for _, p := range f.Parameters {
		s, ok := given[p.Name]
		switch {
		case !ok && p.Default == nil:
			what := string(p.Type)
			if p.Description != "" {
				what = p.Description
			}
			return nil, &ValueError{p.Name, "it has no value: " + what}
		case !ok:
			s = *p.Default
		}
		v, err := p.Value(s)
		if err != nil {
			return nil, &ValueError{p.Name, err.Error()}
		}
		values = append(values, v)
	}
	return values, nil
}

// bound is the value as it is bound to a statement.
func (v Value) bound() bastion.Value {
	t := bastion.ValueType(v.Type)
	if v.Type == OneOf {
		t = bastion.TextValue
	}
	return bastion.Value{Type: t, Text: v.Text}
}
