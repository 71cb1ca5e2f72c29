package tui

import (
	"strings"
	"unicode"
)

// Bounds of a history: texts, and bytes of them together.
const (
	historyTexts = 300
	historyBytes = 2 << 20
)

// history is the texts that a person ran, oldest first.
type history struct {
	texts []string
	bytes int
	at    int    // the text that the editor shows; len(texts) is what was being typed
	draft string // what was being typed
}

// load puts texts of earlier sessions before those of this one.
func (h *history) load(texts []string) {
	mine := h.texts
	h.texts, h.bytes = nil, 0
	for _, t := range texts {
		h.add(recalled(t))
	}
	for _, t := range mine {
		h.add(t)
	}
}

// recalled is a text as the editor wants it back: an operation is recorded
// without the semicolon that ends it at the prompt.
func recalled(text string) string {
	text = strings.TrimRightFunc(text, unicode.IsSpace)
	if text == "" || strings.HasPrefix(text, `\`) || completeText(text) {
		return text
	}
	// A comment at the end would swallow the semicolon.
	for _, t := range lex(text) {
		if t.open && t.kind == lexComment {
			return text + "\n;"
		}
	}
	return text + ";"
}

// add makes a text the newest one. An older copy of it goes.
func (h *history) add(text string) {
	if text == "" || len(text) > historyBytes/4 {
		h.at = len(h.texts)
		return
	}
	for i, t := range h.texts {
		if t == text {
			h.texts = append(h.texts[:i:i], h.texts[i+1:]...)
			h.bytes -= len(t)
			break
		}
	}
	h.texts = append(h.texts, text)
	h.bytes += len(text)
	for len(h.texts) > historyTexts || h.bytes > historyBytes {
		h.bytes -= len(h.texts[0])
		h.texts = h.texts[1:]
	}
	h.at, h.draft = len(h.texts), ""
}

// older returns the text before the one that is shown. now is what the editor holds.
func (h *history) older(now string) (string, bool) {
	if h.at == 0 {
		return "", false
	}
	if h.at == len(h.texts) {
		h.draft = now
	}
	h.at--
	return h.texts[h.at], true
}

// newer returns the text after the one that is shown; after the newest comes what
// was being typed.
func (h *history) newer() (string, bool) {
	if h.at >= len(h.texts) {
		return "", false
	}
	h.at++
	if h.at == len(h.texts) {
		return h.draft, true
	}
	return h.texts[h.at], true
}

// find returns the newest text before an index that holds the words, whatever
// their case.
func (h *history) find(words string, before int) (int, bool) {
	words = strings.ToLower(words)
	for i := min(before, len(h.texts)) - 1; i >= 0 && words != ""; i-- {
		if strings.Contains(strings.ToLower(h.texts[i]), words) {
			return i, true
		}
	}
	return 0, false
}

// search is a search through the history while it is typed.
type search struct {
	in    input
	at    int  // the text that was found
	found bool // whether one was
}

// narrow looks again, for what is now typed, from the newest text on.
func (s *search) narrow(h *history) { s.at, s.found = h.find(string(s.in.text), len(h.texts)) }

// again goes on to the next older text.
func (s *search) again(h *history) {
	if i, ok := h.find(string(s.in.text), s.at); ok && s.found {
		s.at = i
	}
}
