package review

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
)

// writePDF writes the report for print: A4, with a list of contents and the number
// of each page. It is made twice, as the list wants to know the pages.
func (r *Report) writePDF(w io.Writer) error {
	first := newDocument(r, nil)
	first.all()
	second := newDocument(r, first.contents)
	second.all()
	return second.Output(w)
}

// document is a PDF that is being made.
type document struct {
	*fpdf.Fpdf
	r        *Report
	has      func(rune) bool
	known    []entry // the contents, from the pass before
	contents []entry
}

type entry struct {
	title string
	page  int
	link  int
}

// The measures of a page, in mm.
const (
	margin   = 15.0
	textSize = 9.0
	lineStep = 4.4
	width    = 210 - 2*margin
)

func newDocument(r *Report, known []entry) *document {
	d := &document{Fpdf: fpdf.New("P", "mm", "A4", ""), r: r, has: glyphs(), known: known}
	d.SetCatalogSort(true)
	d.SetCreationDate(r.AsOf.UTC())
	d.SetModificationDate(r.AsOf.UTC())
	d.SetTitle(d.clean("Access review "+r.Name), true)
	d.SetProducer("Custody", true)
	d.SetMargins(margin, margin, margin)
	d.SetAutoPageBreak(true, margin+5)
	d.AddUTF8FontFromBytes("go", "", goregular.TTF) // one only: with several the library's bytes differ from time to time
	d.AliasNbPages("{pages}")
	d.SetFooterFunc(func() {
		d.SetY(-margin)
		d.SetFont("go", "", 7)
		d.SetTextColor(90, 90, 90)
		d.CellFormat(width/2, 5, d.clean(fmt.Sprintf("%s, review %.8s, as of %s", r.Scope.Tenant, r.ID, stamp(r.AsOf))), "", 0, "L", false, 0, "")
		d.CellFormat(width/2, 5, fmt.Sprintf("%d of {pages}", d.PageNo()), "", 0, "R", false, 0, "")
		d.SetTextColor(0, 0, 0)
	})
	return d
}

// glyphs tells which characters the font has.
func glyphs() func(rune) bool {
	f, err := sfnt.Parse(goregular.TTF)
	if err != nil {
		panic(err) // it is part of the program
	}
	var b sfnt.Buffer
	return func(c rune) bool {
		i, err := f.GlyphIndex(&b, c)
		return err == nil && i != 0
	}
}

// clean writes what the font does not have, and what is not to be seen, as its
// number: a name that looks like another must not become that.
func (d *document) clean(s string) string {
	var b strings.Builder
	for _, c := range s {
		if c == '\n' || c >= ' ' && d.has(c) {
			b.WriteRune(c)
		} else {
			fmt.Fprintf(&b, "\\u{%04x}", c)
		}
	}
	return b.String()
}

func (d *document) all() {
	d.front()
	d.owners()
	d.progress()
	d.lines()
	d.frameworks()
	d.decisions()
	d.coverage()
	d.list(contents[6], d.r.NotAssessed, "Nothing.")
	d.proof()
	d.samples()
}

// text writes a paragraph.
func (d *document) text(format string, args ...any) {
	d.SetFont("go", "", textSize)
	d.MultiCell(width, lineStep, d.clean(fmt.Sprintf(format, args...)), "", "L", false)
}

// small writes ids and the like, small.
func (d *document) small(s string) {
	d.SetFont("go", "", 7)
	d.SetTextColor(70, 70, 70)
	d.MultiCell(width, 3.4, d.clean(s), "", "L", false)
	d.SetTextColor(0, 0, 0)
}

func (d *document) section(title string) {
	if d.GetY() > 240 {
		d.AddPage()
	}
	d.Ln(5)
	d.SetFont("go", "", 13)
	link := d.AddLink()
	d.SetLink(link, d.GetY(), -1)
	d.Bookmark(title, 0, -1)
	d.contents = append(d.contents, entry{title, d.PageNo(), link})
	d.MultiCell(width, 7, title, "", "L", false)
	d.Ln(1)
}

func (d *document) heading(s string) {
	d.Ln(2)
	d.SetFont("go", "", 10)
	d.MultiCell(width, 5, d.clean(s), "", "L", false)
}

func (d *document) list(title string, items []string, none string) {
	d.section(title)
	if len(items) == 0 {
		d.text("%s", none)
	}
	for _, s := range items {
		d.text("– %s", s)
	}
}

func (d *document) front() {
	r := d.r
	d.AddPage()
	d.SetFont("go", "", 20)
	d.MultiCell(width, 10, d.clean(cmp.Or(r.Name, "Access review")), "", "L", false)
	d.Ln(2)
	d.text("Review %s of tenant %s, %s. Created %s by %s, as of %s.", r.ID, r.Scope.Tenant, r.State, stamp(r.Created), r.CreatedBy, stamp(r.AsOf))
	d.text("Scope: owner %s, server %s, from %s to %s; a privilege counts as unused after %d days.", cmp.Or(r.Scope.Owner, "any"), cmp.Or(r.Scope.Server, "any"),
		stamp(r.Scope.From), stamp(r.Scope.To), r.Scope.WindowDays)
	if r.IsUnwitnessed {
		d.SetFont("go", "", textSize)
		d.MultiCell(width, lineStep, "Unwitnessed: some checkpoint has no signature but the log's own.", "", "L", false)
	}
	d.small("digest " + r.Digest + "\nevent " + r.EventID.String())
	d.Ln(4)
	d.SetFont("go", "", 13)
	d.MultiCell(width, 7, "Contents", "", "L", false)
	for i := range contents {
		title, page := contents[i], ""
		if i < len(d.known) {
			page = fmt.Sprint(d.known[i].page)
		}
		d.SetFont("go", "", textSize)
		link := 0
		if i < len(d.known) {
			link = d.AddLink()
			d.SetLink(link, 0, d.known[i].page)
		}
		d.CellFormat(width-15, 5.5, title, "", 0, "L", false, link, "")
		d.CellFormat(15, 5.5, page, "", 1, "R", false, link, "")
	}
}

// contents are the titles of the sections, in their order.
var contents = []string{"1. Missing owners", "2. Progress by owner", "3. Lines and decisions", "4. By framework and control", "5. Decisions by policy version",
	"6. Coverage and gaps", "7. What could not be assessed", "8. Proof, and what it does not prove", "Appendix: chains drawn by lot"}

func (d *document) owners() {
	d.section(contents[0])
	if len(d.r.Unowned) == 0 {
		d.text("Everybody and everything here has an owner.")
	}
	for _, u := range d.r.Unowned {
		d.text("– %s %s: %d lines", u.Kind, u.Name, u.Lines)
	}
}

// progress draws a bar for each owner: certified, revoked, excepted, open.
func (d *document) progress() {
	d.section(contents[1])
	colours := [][3]int{{46, 125, 50}, {183, 28, 28}, {230, 145, 0}, {189, 189, 189}}
	most := uint64(1)
	for _, p := range d.r.Progress {
		most = max(most, p.Lines)
	}
	for _, p := range d.r.Progress {
		if d.GetY() > 265 {
			d.AddPage()
		}
		d.SetFont("go", "", textSize)
		d.CellFormat(55, 5, d.clean(fmt.Sprintf("%.34s", cmp.Or(p.Owner, "(nobody)"))), "", 0, "L", false, 0, "")
		x, y := d.GetXY()
		for i, n := range []uint64{p.Certified, p.Revoked, p.Excepted, p.Open} {
			w := float64(n) / float64(most) * 70
			d.SetFillColor(colours[i][0], colours[i][1], colours[i][2])
			d.Rect(x, y+0.8, w, 3.4, "F")
			x += w
		}
		d.SetXY(margin+128, y)
		d.SetFont("go", "", 7)
		d.CellFormat(52, 5, fmt.Sprintf("%d: %d certified, %d revoked, %d excepted, %d open", p.Lines, p.Certified, p.Revoked, p.Excepted, p.Open), "", 1, "L", false, 0, "")
	}
}

func (d *document) lines() {
	d.section(contents[2])
	decided := d.r.Decided()
	for i, l := range d.r.Lines {
		if i == 0 || d.r.Lines[i-1].Owner != l.Owner {
			d.heading(cmp.Or(l.Owner, "Nobody answers for these"))
		}
		d.Ln(1)
		d.text("%s %s%s%s, %s%s: %s", l.Kind, l.Name, prefixed(" of ", l.Identity), prefixed(" at ", l.Server), cmp.Or(l.State, "no state"), prefixed(", ", l.Severity), l.Summary)
		if l.NotAssessed != "" {
			d.text("Not assessed: %s", l.NotAssessed)
		}
		if a := decided[l.Key]; a == nil {
			d.text("Open. Suggested: %s", l.Suggest)
		} else {
			until := ""
			if !a.Until.IsZero() {
				until = " until " + stamp(a.Until)
			}
			d.text("%s%s by %s on %s: %s", strings.ToUpper(a.Action[:1])+a.Action[1:], until, a.ActorSub, stamp(a.Time), a.Reason)
		}
		d.small(fmt.Sprintf("line %.12s%s%s", l.Key, prefixed("; evidence ", strings.Join(l.Evidence, " ")), prefixed("; decided in ", sealedIn(decided[l.Key]))))
	}
}

func sealedIn(a *Act) string {
	if a == nil {
		return ""
	}
	return a.EventID.String()
}

func prefixed(before, s string) string {
	if s == "" {
		return ""
	}
	return before + s
}

func (d *document) frameworks() {
	d.section(contents[3])
	for _, f := range d.r.Frameworks {
		d.heading(f.Name)
		var none []string
		for _, c := range f.Controls {
			if !c.Assessed {
				none = append(none, c.ID)
				continue
			}
			d.text("%s%s: %d lines (%d certified, %d revoked, %d excepted, %d open), %d gaps", c.ID, prefixed(", also ", strings.Join(c.Aliases, ", ")),
				c.Lines, c.Certified, c.Revoked, c.Excepted, c.Open, len(c.Gaps))
			var short []string
			for _, k := range c.LineKeys {
				short = append(short, fmt.Sprintf("%.12s", k))
			}
			d.small(strings.Join(short, " "))
		}
		if len(none) > 0 {
			d.text("Not assessed, as nothing here is about it: %s", strings.Join(none, ", "))
		}
	}
}

func (d *document) decisions() {
	d.section(contents[4])
	if len(d.r.Decisions) == 0 {
		d.text("None in the period.")
	}
	for _, x := range d.r.Decisions {
		d.text("– %s %s %s: %s %d times, %s to %s", x.Engine, x.Policy, cmp.Or(x.Version, "(no version)"), x.Effect, x.Count, stamp(x.First), stamp(x.Last))
		d.small(strings.Join(x.Evidence, " "))
	}
}

func (d *document) coverage() {
	d.section(contents[5])
	for _, c := range d.r.Coverage {
		d.text("– %s of %s%s%s: %s to %s, %d hours with an event", c.Kind, c.Source, prefixed(" about ", c.Server), prefixed(" of ", c.Issuer), stamp(c.First), stamp(c.Last), c.Hours)
	}
	d.heading("Gaps")
	if len(d.r.Gaps) == 0 {
		d.text("None was noticed.")
	}
	for _, g := range d.r.Gaps {
		d.text("– %s, %s, %s: %s", g.Kind, g.Status, stamp(g.Time), g.Summary)
		d.small(strings.Join(g.Evidence, " "))
	}
}

func (d *document) proof() {
	d.list(contents[7], d.r.NotProven, "")
	d.heading("Checkpoints")
	for _, c := range d.r.Checkpoints {
		d.text("%s, %d records, %s", c.Origin, c.Size, cmp.Or(prefixed("witnessed by ", strings.Join(c.Witnesses, ", ")), "unwitnessed"))
		d.small(c.Note)
	}
}

func (d *document) samples() {
	d.section(contents[8])
	if len(d.r.Samples) == 0 {
		d.text("No call was in the period.")
	}
	for _, s := range d.r.Samples {
		d.heading("Call " + s.Event)
		d.text("%d hops, %d missing", s.Depth, s.Missing)
		d.small(s.Tree)
	}
}
