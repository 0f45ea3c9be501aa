package review_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The document is the same bytes each time, and a program that did not write it
// finds its pages and its text, if one is there.
func TestPDF(t *testing.T) {
	t.Parallel()
	var first, again bytes.Buffer
	r := sample()
	r.Lines[0].Summary = "planner \u202e holds \u4f60 too much " + strings.Repeat("and more ", 3000)
	for _, b := range []*bytes.Buffer{&first, &again} {
		if err := r.Write(b, "pdf"); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), again.Bytes()) {
		t.Error("the same report is other bytes")
	}
	if !bytes.HasPrefix(first.Bytes(), []byte("%PDF-1.")) || bytes.Count(first.Bytes(), []byte("/Type /Page\n")) < 3 || !bytes.Contains(first.Bytes(), []byte("/Outlines")) {
		t.Errorf("%d pages, %d bytes", bytes.Count(first.Bytes(), []byte("/Type /Page\n")), first.Len())
	}
	reader, err := exec.LookPath("pdftotext")
	if err != nil {
		t.Log("no pdftotext: the text was not read back")
		return
	}
	file := filepath.Join(t.TempDir(), "report.pdf")
	if err := os.WriteFile(file, first.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := exec.Command(reader, "-layout", file, "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Contents", "3. Lines and decisions", `\u{202e}`, `\u{4f60}`, "<script>", "1 of ", "does not prove"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the text lacks %q", want)
		}
	}
}
