package review

import (
	"archive/zip"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/xuri/excelize/v2"
)

// sheet is one of a workbook.
type sheet struct {
	name   string
	widths []float64 // of the first columns, in characters
	rows   [][]string
}

// sheets are the tables of a report: the lines to work with, and what they come to.
func (r *Report) sheets() []sheet {
	decided := r.Decided()
	lines := sheet{name: "Lines", widths: []float64{12, 24, 18, 28, 28, 22, 28, 16, 10, 60}, rows: [][]string{lineColumns}}
	for _, l := range r.Lines {
		lines.rows = append(lines.rows, r.row(l, decided[l.Key]))
	}
	progress := sheet{name: "Progress", widths: []float64{32}, rows: [][]string{{"owner", "lines", "open", "certified", "revoked", "excepted"}}}
	for _, p := range r.Progress {
		progress.rows = append(progress.rows, harmless(append([]string{cmp.Or(p.Owner, "(nobody)")}, p.cells()...)...))
	}
	controls := sheet{name: "Controls", widths: []float64{26, 18, 18}, rows: [][]string{{"framework", "control", "also called", "assessed", "lines", "open", "certified", "revoked", "excepted"}}}
	for _, f := range r.Frameworks {
		for _, c := range f.Controls {
			row := []string{f.Name, c.ID, fmt.Sprint(c.Aliases), fmt.Sprint(c.Assessed)}
			controls.rows = append(controls.rows, harmless(append(row, c.cells()...)...))
		}
	}
	about := sheet{name: "About", widths: []float64{20, 100}, rows: [][]string{
		{"review", r.ID.String()}, {"name", r.Name}, {"tenant", r.Scope.Tenant}, {"state", r.State}, {"as of", stamp(r.AsOf)}, {"digest", r.Digest}, {"witnesses", witnessed(r.IsUnwitnessed)},
	}}
	for _, n := range r.NotProven {
		about.rows = append(about.rows, []string{"not proven", n})
	}
	for i := range about.rows {
		about.rows[i] = harmless(about.rows[i]...)
	}
	return []sheet{lines, progress, controls, about}
}

func (c *Counts) cells() []string {
	return []string{fmt.Sprint(c.Lines), fmt.Sprint(c.Open), fmt.Sprint(c.Certified), fmt.Sprint(c.Revoked), fmt.Sprint(c.Excepted)}
}

func witnessed(not bool) string {
	if not {
		return "unwitnessed: nobody but the log itself signed the checkpoints"
	}
	return "cosigned"
}

// mostCell is how many characters a cell of a workbook holds.
const mostCell = 32_767

// writeXLSX writes a workbook, ISO/IEC 29500. All cells are text.
func (r *Report) writeXLSX(w io.Writer) error {
	f := excelize.NewFile()
	defer f.Close()
	bold, err := f.NewStyle(&excelize.Style{Font: &excelize.Font{Bold: true}})
	if err != nil {
		return err
	}
	for i, s := range r.sheets() {
		if i == 0 {
			err = f.SetSheetName("Sheet1", s.name)
		} else {
			_, err = f.NewSheet(s.name)
		}
		if err != nil {
			return err
		}
		if err := s.write(f, bold); err != nil {
			return fmt.Errorf("sheet %s: %w", s.name, err)
		}
	}
	at := stamp(r.AsOf)
	if err := f.SetDocProps(&excelize.DocProperties{Creator: "Custody", Title: "Access review " + r.ID.String(), Created: at, Modified: at}); err != nil {
		return err
	}
	b, err := f.WriteToBuffer()
	if err != nil {
		return err
	}
	return repack(w, b.Bytes())
}

func (s *sheet) write(f *excelize.File, header int) error {
	to, err := f.NewStreamWriter(s.name)
	if err != nil {
		return err
	}
	for i, width := range s.widths {
		if err := to.SetColWidth(i+1, i+1, width); err != nil {
			return err
		}
	}
	if err := to.SetPanes(&excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"}); err != nil {
		return err
	}
	for i, row := range s.rows {
		cells := make([]any, len(row))
		for j, text := range row {
			if runes := []rune(text); len(runes) > mostCell {
				text = string(runes[:mostCell-1]) + "…"
			}
			cells[j] = excelize.Cell{Value: text}
			if i == 0 {
				cells[j] = excelize.Cell{Value: text, StyleID: header}
			}
		}
		if err := to.SetRow(fmt.Sprint("A", i+1), cells); err != nil {
			return err
		}
	}
	return to.Flush()
}

// repack writes a zip anew with its files in order and without times: the library
// puts them in as they come.
func repack(w io.Writer, b []byte) error {
	in, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return err
	}
	slices.SortFunc(in.File, func(a, b *zip.File) int {
		first := func(f *zip.File) bool { return f.Name != "[Content_Types].xml" } // readers expect it there
		if first(a) != first(b) {
			if first(b) {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	out := zip.NewWriter(w)
	for _, f := range in.File {
		to, err := out.CreateHeader(&zip.FileHeader{Name: f.Name, Method: zip.Deflate})
		if err != nil {
			return err
		}
		from, err := f.Open()
		if err != nil {
			return err
		}
		if _, err := io.Copy(to, from); err != nil {
			return err
		}
		if err := from.Close(); err != nil {
			return err
		}
	}
	return out.Close()
}
