package chain

import (
	"bufio"
	"fmt"
	"io"
)

// WriteTree writes the chain for a terminal: one line for each hop and call, and
// below it what is wrong with it.
func (c *Chain) WriteTree(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "tenant %s, %s, %s\n", plain(c.Tenant), count(c.Depth, "hop"), missing(c.Missing))
	writeHop(b, c.Root, "", "")
	return b.Flush()
}

func missing(n int) string {
	if n == 0 {
		return "nothing missing"
	}
	return fmt.Sprintf("%d missing", n)
}

func writeHop(w io.Writer, h *Hop, first, rest string) {
	fmt.Fprintf(w, "%s%s\n", first, hopLine(h))
	note := rest + "│    "
	if len(h.Calls)+len(h.Children) == 0 {
		note = rest + "     "
	}
	fmt.Fprintf(w, "%s%s\n", note, tokenLine(h))
	if h.Missing != nil {
		fmt.Fprintf(w, "%sMISSING: %s\n", note, missingLine(h.Missing, h.Join))
	} else if h.Strength == Likely || h.Strength == Weak {
		fmt.Fprintf(w, "%sjoined by %s, %s\n", note, h.Join, h.Strength)
	}
	for _, p := range h.Problems {
		fmt.Fprintf(w, "%s! %s\n", note, plain(p))
	}
	for i := range h.Calls {
		branch, below := branches(i == len(h.Calls)-1 && len(h.Children) == 0)
		writeCall(w, &h.Calls[i], rest+branch, rest+below)
	}
	for i, child := range h.Children {
		branch, below := branches(i == len(h.Children)-1)
		writeHop(w, child, rest+branch, rest+below)
	}
}

func branches(last bool) (branch, below string) {
	if last {
		return "└─ ", "   "
	}
	return "├─ ", "│  "
}

func writeCall(w io.Writer, c *Call, first, rest string) {
	fmt.Fprintf(w, "%s%s\n", first, callLine(c))
	if c.Missing != nil {
		fmt.Fprintf(w, "%sMISSING: %s\n", rest, missingLine(c.Missing, ""))
	}
	for _, p := range c.Problems {
		fmt.Fprintf(w, "%s! %s\n", rest, plain(p))
	}
}
