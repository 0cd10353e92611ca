//go:build early

package main

const early = true
