//go:build integration

// Package integration_test drives the built program and real Python workers from
// outside, as a user would. It needs the interpreter of `make setup`, or the one
// that SNAKEPIT_TEST_PYTHON names.
package integration_test
