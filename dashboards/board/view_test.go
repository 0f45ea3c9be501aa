package board

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The encoding is the standard library's, but for what that leaves out.
func TestPercentEncode(t *testing.T) {
	var all strings.Builder
	for r := rune(1); r < 300; r++ {
		all.WriteRune(r)
	}
	got := percentEncode(all.String())
	if bad := regexp.MustCompile(`[^A-Za-z0-9%_.~-]`).FindString(got); bad != "" {
		t.Errorf("%q is left", bad)
	}
	back, err := url.PathUnescape(got)
	if err != nil || back != all.String() {
		t.Errorf("decoded: %q, %v", back, err)
	}
}

// A statement has no variable and no macro left, whatever a value looks like.
func TestStatement(t *testing.T) {
	at := time.UnixMilli(1_790_000_000_123)
	v := Everything(at.Add(-24*time.Hour), at)
	v.Variables["tenant"] = "${tenant:raw} $__fromTime '"
	raw, err := Expand("SELECT 1 WHERE time > {from:DateTime64(3)} AND tenant = {tenant:String} AND {interval:UInt32} > 1")
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Statement(&Query{RawSQL: raw})
	const want = "SELECT 1 WHERE time > fromUnixTimestamp64Milli(1789913600123) AND tenant = decodeURLComponent('%24%7Btenant%3Araw%7D%20%24__fromTime%20%27') AND 3600 > 1"
	if err != nil || got != want {
		t.Errorf("%v\n%s\n%s", err, got, want)
	}
	delete(v.Variables, "tenant")
	if got, err := v.Statement(&Query{File: "f", RawSQL: raw}); err == nil || !strings.Contains(err.Error(), "${") {
		t.Errorf("a variable without a value: %q, %v", got, err)
	}
}
