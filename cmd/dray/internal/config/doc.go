// Package config reads Dray's YAML file and wires what it describes: sources,
// destinations and an engine.Config.
//
// Every problem is found in one pass and told with file, line, column and a
// hint. The file is untrusted input: its size, its aliases and the files that
// it names are bounded. The package must never start anything, never touch the
// state folder, and never let a secret into an error or a log line.
package config
