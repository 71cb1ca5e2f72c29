// Package task is what a planned change is: steps of statements on targets, who may
// do each of them, what has to happen before, and what became of it.
//
// A [File] is what people write, in YAML; with values for its parameters it makes a
// [Plan], which is what people review and what runs. A file with parameters is a
// runbook. Values are of a type, checked, and never a part of any text: where the file
// has a placeholder the statement has a parameter, to which the target binds the value.
//
// The package holds what screens and commands need to know. Package ledger keeps
// tasks and runs them.
package task
