package check

import (
	"bytes"
	"debug/elf"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// root is the repository.
var root = filepath.Join("..", "..")

const builtVersion = "v0.0.0-check"

// build runs the Dockerfile's own command, once for all tests, on what the
// Dockerfile would be given: files that are left out of it are not there.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "custody-image")
	if err != nil {
		return "", err
	}
	builtIn = dir
	if err := copyContext(filepath.Join(dir, "src")); err != nil {
		return "", err
	}
	command, err := buildCommand()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "custody")
	cmd := exec.Command("sh", "-ec", strings.ReplaceAll(command, "/out/custody", binary))
	cmd.Dir = filepath.Join(dir, "src")
	cmd.Env = append(os.Environ(), "TARGETOS=linux", "TARGETARCH=amd64", "VERSION="+builtVersion, "GOWORK=off")
	cmd.Stderr = os.Stderr
	return binary, cmd.Run()
})

var builtIn string // folder of the build; empty before

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(builtIn)
	os.Exit(code)
}

func custody(t *testing.T) string {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatalf("build as the Dockerfile does: %v", err)
	}
	return binary
}

// copyContext copies what "docker build" would send: everything but what
// Dockerfile.dockerignore names, and what is not in the repository.
func copyContext(to string) error {
	f, err := os.Open(filepath.Join(root, "deploy", "image", "Dockerfile.dockerignore"))
	if err != nil {
		return err
	}
	defer f.Close()
	patterns, err := ignorefile.ReadAll(f)
	if err != nil {
		return err
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil || name == "." {
			return err
		}
		if skip, err := ignored.MatchesOrParentMatches(name); skip || err != nil {
			if d.IsDir() && err == nil {
				return fs.SkipDir // no pattern takes anything back
			}
			return err
		}
		if d.IsDir() || !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), b, 0o644)
	})
}

// buildCommand is the RUN of the Dockerfile that compiles.
func buildCommand() (string, error) {
	stages, _, err := dockerfile()
	if err != nil {
		return "", err
	}
	command := ""
	for _, c := range stages[0].Commands {
		if run, ok := c.(*instructions.RunCommand); ok && strings.Contains(strings.Join(run.CmdLine, " "), "go build") {
			command = strings.Join(run.CmdLine, " ")
		}
	}
	return command, nil
}

// The image has no C library and no loader: the program must need neither.
func TestStatic(t *testing.T) {
	binary := custody(t)
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("not static: a segment %v", p.Type)
		}
	}
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%.1f MB", float64(info.Size())/1e6)
	if info.Size() > 150e6 {
		t.Errorf("%d bytes: what makes it so large?", info.Size())
	}
	if out, err := exec.Command(binary, "--version").CombinedOutput(); err != nil || !bytes.Contains(out, []byte(builtVersion)) {
		t.Errorf("%s, %v", out, err)
	}
}

// It says how to get an engine rather than crash.
func TestNoEngine(t *testing.T) {
	cmd := exec.Command(custody(t), "run")
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "CUSTODY_ENGINE=/dev/null.so", "CUSTODY_ENGINE_CHILD=/somewhere/libchdb.so")
	out, err := cmd.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte(`install ClickHouse so that "clickhouse" is on PATH`)) {
		t.Errorf("%s, %v", out, err)
	}
}
