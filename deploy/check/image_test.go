package check

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// dockerfile is what BuildKit reads in it.
func dockerfile() ([]instructions.Stage, []instructions.ArgCommand, error) {
	b, err := os.ReadFile(filepath.Join(root, "deploy", "image", "Dockerfile"))
	if err != nil {
		return nil, nil, err
	}
	parsed, err := parser.Parse(bytes.NewReader(b))
	if err != nil {
		return nil, nil, err
	}
	return instructions.Parse(parsed.AST, nil)
}

func TestDockerfile(t *testing.T) {
	stages, args, err := dockerfile()
	if err != nil {
		t.Fatal(err)
	}
	if len(stages) != 2 {
		t.Fatalf("%d stages", len(stages))
	}
	last := stages[1]
	if !strings.Contains(last.BaseName, "distroless/static") || !strings.HasSuffix(last.BaseName, ":nonroot") {
		t.Errorf("base %s", last.BaseName)
	}
	var user, entry, health string
	for _, c := range last.Commands {
		switch c := c.(type) {
		case *instructions.UserCommand:
			user = c.User
		case *instructions.EntrypointCommand:
			entry = strings.Join(c.CmdLine, " ")
			if c.PrependShell {
				t.Error("ENTRYPOINT wants a shell, and there is none")
			}
		case *instructions.HealthCheckCommand:
			health = strings.Join(c.Health.Test[1:], " ")
			if c.Health.Test[0] != "CMD" {
				t.Error("HEALTHCHECK wants a shell, and there is none")
			}
		case *instructions.RunCommand:
			t.Errorf("RUN in an image without a shell: %v", c.CmdLine)
		case *instructions.CopyCommand:
			if c.From != "build" {
				t.Errorf("COPY from %q", c.From)
			}
		}
	}
	// Kubernetes believes runAsNonRoot of numbers only.
	if user != "65532:65532" {
		t.Errorf("USER %q", user)
	}
	accepts(t, strings.Fields(health)[1:])
	if entry != strings.Fields(health)[0] {
		t.Errorf("ENTRYPOINT %s, HEALTHCHECK %s", entry, health)
	}
	if i := slices.IndexFunc(args, func(a instructions.ArgCommand) bool { return a.Args[0].Key == "GO" }); i < 0 || !sameGo(t, *args[i].Args[0].Value) {
		t.Error("the Dockerfile's Go is not one that go.mod accepts")
	}
}

// sameGo tells whether a release of Go is of the line that go.mod names.
func sameGo(t *testing.T, release string) bool {
	b, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if wanted, ok := strings.CutPrefix(strings.TrimSpace(line), "go "); ok {
			return strings.HasPrefix(release, wanted[:strings.LastIndex(wanted, ".")+1])
		}
	}
	return false
}

// accepts asks the program itself whether it takes a command line: cobra reads all
// flags before it answers --help.
func accepts(t *testing.T, args []string, environ ...string) {
	t.Helper()
	cmd := exec.Command(custody(t), append(slices.Clone(args), "--help")...)
	cmd.Dir = t.TempDir()
	cmd.Env = environ
	if out, err := cmd.CombinedOutput(); err != nil || len(args) > 0 && !bytes.Contains(out, []byte("custody "+args[0])) {
		t.Errorf("custody %s: %v: %s", strings.Join(args, " "), err, out)
	}
}
