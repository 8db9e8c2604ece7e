package main

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// rootStores are where Go looks for the certificates of the public authorities on Linux
// (crypto/x509, root_linux.go): the image must have one of them.
var rootStores = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"}

func TestTheBinaryNeedsNothingAroundIt(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the image is one of Linux")
	}
	root := t.TempDir()
	binary := filepath.Join(root, "usr/bin/heed")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	file, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if libraries, err := file.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("it needs %v, %v", libraries, err)
	}
	if slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Error("it needs a loader")
	}
	if !slices.ContainsFunc(rootStores, func(path string) bool { return strings.Contains(paper(t, "Dockerfile"), path) }) {
		t.Error("the image has no certificates: no provider could be reached")
	}
	if os.Getuid() != 0 {
		t.Skip("only root may start it in a root of its own")
	}
	inEmptyRoot(t, root)
}

// inEmptyRoot runs the binary where nothing else is: no shell, no time zones, no
// certificates, no users, and no variable but those of the image.
func inEmptyRoot(t *testing.T, root string) {
	t.Helper()
	for name, mode := range map[string]os.FileMode{"var/lib/heed": 0o777, "tmp": 0o777} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(root, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	// The user of the image is none of this machine, and comes in through every folder above.
	for dir := root; dir != filepath.Clean(os.TempDir()) && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	listen := freeAddress(t)
	heed := func(args ...string) *exec.Cmd {
		cmd := exec.Command("/usr/bin/heed", args...)
		cmd.Dir = "/var/lib/heed"
		cmd.Env = []string{"HEED_HTTP_LISTEN=" + listen, "HEED_PRACTICE_TIME_ZONE=Pacific/Honolulu"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 10001, Gid: 10001}}
		return cmd
	}
	var log lockedBuffer
	gateway := heed("serve")
	gateway.Stderr = &log
	if err := gateway.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = gateway.Process.Kill() // it has ended where the test went well
		if t.Failed() {
			t.Log(log.String())
		}
	}()
	eventually(t, "it is ready", func() bool { return heed("health", "--ready").Run() == nil })
	if out, err := heed("audit", "verify").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if err := gateway.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := gateway.Wait(); err != nil {
		t.Errorf("it did not end well: %v", err)
	}
	if err := heed("health").Run(); err == nil {
		t.Error("a gateway that has ended is healthy")
	}
}
