//go:build !race

package imports_test

const underRace = false
