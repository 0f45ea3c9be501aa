package review_test

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/custody-audit/custody/evidence/review"
)

func sample() *review.Report {
	at := time.Date(2026, 6, 2, 9, 0, 0, 0, time.UTC)
	r := &review.Review{
		ID: uuid.MustParse("5f0c9a41-0000-4000-8000-000000000001"), Digest: "d1",
		Frozen: review.Frozen{Name: "=cmd|'/c calc'!A1", Scope: review.Scope{Tenant: "acme"}, Created: at},
		Lines: []*review.Line{
			{Key: "k1", Kind: "privilege", Identity: "=HYPERLINK(\"http://evil.example\")", Name: "<script>&", Summary: strings.Repeat("x", 40_000)},
			{Key: "k2", Kind: "privilege", Owner: "@ann", Identity: "planner", Name: "+1"},
			{Key: "k3", Kind: "finding", Owner: "bob", Name: "unused_grant", Evidence: []string{"e1", "e2"}},
		},
		Acts: []*review.Act{{Line: "k2", Action: string(review.Revoke), ActorSub: "ann", Reason: "-1+2", Time: at.Add(time.Hour)}},
	}
	return review.NewReport(r)
}

// The workbook is read by the standard library, which did not write it.
func TestXLSX(t *testing.T) {
	t.Parallel()
	var first, again bytes.Buffer
	for _, b := range []*bytes.Buffer{&first, &again} {
		if err := sample().Write(b, "xlsx"); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), again.Bytes()) {
		t.Error("the same report is other bytes")
	}
	z, err := zip.NewReader(bytes.NewReader(first.Bytes()), int64(first.Len()))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][][]string{}
	for _, f := range z.File {
		if f.ModifiedDate != 0 || f.ModifiedTime != 0 || len(f.Extra) > 0 {
			t.Errorf("%s says when it was written", f.Name)
		}
		if !strings.HasPrefix(f.Name, "xl/worksheets/sheet") {
			continue
		}
		from, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		var s struct {
			Rows []struct {
				Cells []struct {
					Type    string  `xml:"t,attr"`
					Text    string  `xml:"is>t"`
					Formula *string `xml:"f"`
				} `xml:"c"`
			} `xml:"sheetData>row"`
		}
		if err := xml.NewDecoder(from).Decode(&s); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		for _, r := range s.Rows {
			var row []string
			for _, c := range r.Cells {
				if c.Formula != nil || c.Type != "inlineStr" {
					t.Errorf("%s has a cell that is no text: %+v", f.Name, c)
				}
				if c.Text != "" && strings.Contains("=+-@", c.Text[:1]) {
					t.Errorf("%s has %q, which a spreadsheet may take for a formula", f.Name, c.Text)
				}
				row = append(row, c.Text)
			}
			rows[f.Name] = append(rows[f.Name], row)
		}
	}
	lines := rows["xl/worksheets/sheet1.xml"]
	if len(rows) != 4 || len(lines) != 4 || lines[0][0] != "line" || lines[1][6] != "<script>&" || len(lines[1][9]) < 32_000 || lines[2][12] != "revoked" || lines[3][20] != "e1 e2" {
		t.Errorf("%d sheets, lines: %.300q", len(rows), lines)
	}
}
