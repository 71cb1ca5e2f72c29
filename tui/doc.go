// Package tui is what a person sees who comes with a terminal: Bubble Tea
// screens over one [bastion.Session].
//
// A screen is a small state machine: messages in, text out. All work happens in
// commands with a context that the screen can cancel; what comes back carries
// the question that it answers. Text that is not ours passes [bastion.Visible]
// on its way to a screen.
package tui
