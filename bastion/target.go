package bastion

import (
	"maps"
	"slices"
)

// Target is a system behind the bastion.
type Target struct {
	Name    string            `json:"name"`
	Kind    string            `json:"kind"` // names the connector
	Address string            `json:"address"`
	Labels  map[string]string `json:"labels,omitempty"`
	// Options are the connector's own settings, such as the database's name.
	Options map[string]string `json:"options,omitempty"`
	// Description is one line for people who choose a target.
	Description string `json:"description,omitempty"`
}

// Environment is the label "env".
func (t Target) Environment() string { return t.Labels["env"] }

func (t Target) clone() Target {
	t.Labels, t.Options = maps.Clone(t.Labels), maps.Clone(t.Options)
	return t
}

// Access tells a person what they may do on a target, before they ask.
type Access struct {
	Connect Effect `json:"connect"`         // what happens when they connect
	Allow   []Verb `json:"allow,omitempty"` // runs at once
	Ask     []Verb `json:"ask,omitempty"`   // needs approval
	Note    string `json:"note,omitempty"`
	// Request: there is access that can be asked for.
	Request bool `json:"request,omitempty"`
}

// Visible reports whether the person may know of the target at all.
func (a Access) Visible() bool { return a.Connect != Deny || a.Request }

// TargetView is a target as one person sees it.
type TargetView struct {
	Target
	Access Access `json:"access"`
}

// Targets is the configured targets by name.
type Targets []Target

// Named returns the target of that name.
func (ts Targets) Named(name string) (Target, bool) {
	i := slices.IndexFunc(ts, func(t Target) bool { return t.Name == name })
	if i < 0 || name == "" {
		return Target{}, false
	}
	return ts[i].clone(), true
}
