package main

import (
	"bytes"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"
)

// spent is what something took of this process.
type spent struct {
	cpu  time.Duration
	peak float64 // bytes
}

// cpuTime is what this process has had of the processors so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// spending does something and tells what it took. Linux forgets the highest mark when it is
// asked to (proc(5), clear_refs); elsewhere the mark is that of the whole run.
func spending(do func() error) (spent, error) {
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // where there is no such file, the mark stays
	before := cpuTime()
	err := do()
	return spent{cpu: cpuTime() - before, peak: peakMemory()}, err
}

// peakMemory is the most that this process has held, in bytes.
func peakMemory() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		if _, rest, ok := bytes.Cut(status, []byte("VmHWM:")); ok {
			text, _, _ := bytes.Cut(bytes.TrimSpace(rest), []byte(" "))
			if kb, err := strconv.ParseFloat(string(text), 64); err == nil {
				return kb * 1024
			}
		}
	}
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return float64(u.Maxrss) // bytes there, kilobytes elsewhere
	}
	return float64(u.Maxrss) * 1024
}
