package tui

import (
	"github.com/charmbracelet/bubbles/key"
)

// bind makes a binding of keys with its help. One without keys is for the help alone.
func bind(shown, does string, keys ...string) key.Binding {
	if len(keys) == 0 {
		keys = []string{shown} // a binding without keys would count as disabled
	}
	return key.NewBinding(key.WithKeys(keys...), key.WithHelp(shown, does))
}

// keys that mean the same on every screen. Nothing changes them.
var (
	keyHelp  = bind("?", "help", "?")
	keyQueue = bind("a", "approvals", "a")
	keyBack  = bind("esc", "back", "esc")
	keyQuit  = bind("q", "quit", "q")
	keyEnter = bind("enter", "open", "enter")
)
