// Package nearest finds the name that someone who mistyped one most likely meant.
package nearest
