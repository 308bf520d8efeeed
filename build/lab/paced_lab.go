//go:build lab

package main

// paced says whether the engine's pauses can be shortened in this build.
const paced = true
