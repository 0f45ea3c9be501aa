package embedded

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// engineVersion names the cache folder; it is the version in the lock file.
const engineVersion = "26.7.3-stable.1"

//go:embed engine/package.json engine/package-lock.json
var lockFiles embed.FS

// EnsureEngine returns the path of the engine: the file named by
// CUSTODY_ENGINE, a clickhouse on PATH, or the shared library that npm installs
// into a cache folder (CUSTODY_ENGINE_DIR, else the user's cache) with the
// integrity that the committed lock file pins. Several processes may call it at
// the same time; a half install is never taken for a whole one.
func EnsureEngine(ctx context.Context) (string, error) {
	if path := os.Getenv("CUSTODY_ENGINE"); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("CUSTODY_ENGINE: %w", err)
		}
		return path, nil
	}
	if path, err := exec.LookPath("clickhouse"); err == nil {
		return path, nil
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "", fmt.Errorf("no ClickHouse engine is packaged for %s/%s: install ClickHouse 26.7 so that \"clickhouse\" is on PATH", runtime.GOOS, runtime.GOARCH)
	}
	dir, err := engineDir()
	if err != nil {
		return "", err
	}
	library := filepath.Join(dir, "node_modules", "@chdb", "lib-linux-x64-gnu", "libchdb.so")
	release, err := lockFolder(ctx, dir)
	if err != nil {
		return "", err
	}
	defer release()
	done := filepath.Join(dir, "installed")
	if _, err := os.Stat(done); err == nil {
		return library, nil
	}
	if err := install(ctx, dir); err != nil {
		return "", err
	}
	if _, err := os.Stat(library); err != nil {
		return "", fmt.Errorf("install the engine: npm left no library: %w", err)
	}
	return library, os.WriteFile(done, []byte(engineVersion+"\n"), 0o644)
}

func engineDir() (string, error) {
	base := os.Getenv("CUSTODY_ENGINE_DIR")
	if base == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find a cache folder (set CUSTODY_ENGINE_DIR): %w", err)
		}
		base = filepath.Join(cache, "custody", "engine")
	}
	dir := filepath.Join(base, engineVersion)
	return dir, os.MkdirAll(dir, 0o755)
}

func install(ctx context.Context, dir string) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return errors.New("the ClickHouse engine is not installed and npm is missing: install Node.js with npm, or ClickHouse 26.7 so that \"clickhouse\" is on PATH")
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		b, err := lockFiles.ReadFile("engine/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return fmt.Errorf("install the engine: %w", err)
		}
	}
	cmd := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("install the engine: npm ci in %s: %w: %.500s", dir, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// lockFolder waits for an exclusive lock of dir.
func lockFolder(_ context.Context, dir string) (release func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}
