// Package task is what a planned change is: steps of statements on targets, who may
// do each of them, what has to happen before, and what became of it.
//
// A [File] is what people write, in YAML; with values for its parameters it makes a
// [Plan], which is what people review and what runs. A file with parameters is a
// runbook. Values are of a type, checked, and never pasted: each is written as one
// constant, where the file's text has a placeholder, and [Fill] proves that nothing
// else of the text has changed.
//
// The package holds what screens and commands need to know. Package ledger keeps
// tasks and runs them.
package task
