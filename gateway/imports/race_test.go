//go:build race

package imports_test

// underRace: the race detector makes the pure Go SQLite some twenty times slower.
const underRace = true
