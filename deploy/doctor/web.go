package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Issuer asks an OpenID issuer for its configuration, as a login does.
func Issuer(setting, issuer string) Check {
	return func(ctx context.Context) []Finding {
		if issuer == "" {
			return nil
		}
		next := "correct " + setting + ", or let this machine reach it"
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", nil)
		if err != nil {
			return []Finding{failed(setting, err.Error(), next)}
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return []Finding{failed(setting, err.Error(), next)}
		}
		defer res.Body.Close()
		var said struct {
			Issuer string `json:"issuer"`
			JWKS   string `json:"jwks_uri"`
		}
		if res.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&said) != nil {
			return []Finding{failed(setting, fmt.Sprintf("%s answers %s and no OpenID configuration", req.URL, res.Status), next)}
		}
		if said.Issuer != issuer {
			return []Finding{failed(setting, fmt.Sprintf("it calls itself %q, not %q: no token of it would be accepted", said.Issuer, issuer), "write it as the issuer does, to the last slash")}
		}
		if at, err := http.ParseTime(res.Header.Get("Date")); err == nil && time.Since(at).Abs() > skew+time.Second {
			return []Finding{warning(setting, fmt.Sprintf("its clock and this one are %s apart", time.Since(at).Abs().Round(time.Second)), "run NTP: tokens are refused before and after their time")}
		}
		return []Finding{ok(setting, "answers, keys at "+said.JWKS)}
	}
}

// Reaches connects to the host of a URL or to an address, and says nothing to it.
func Reaches(setting, address string) Check {
	return func(ctx context.Context) []Finding {
		if address == "" {
			return nil
		}
		host := address
		if u, err := url.Parse(address); err == nil && u.Host != "" {
			if host = u.Host; u.Port() == "" {
				host = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
			}
		}
		c, err := new(net.Dialer).DialContext(ctx, "tcp", host)
		if err != nil {
			return []Finding{failed(setting, err.Error(), "start what listens there, or correct "+setting)}
		}
		c.Close()
		return []Finding{ok(setting, host+" can be reached")}
	}
}

// Free looks whether an address can still be listened on.
func Free(setting, address string) Check {
	return func(ctx context.Context) []Finding {
		if address == "" {
			return nil
		}
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return []Finding{warning(setting, err.Error(), "fine if the service runs already; else stop what listens there, or change "+setting)}
		}
		l.Close()
		return []Finding{ok(setting, address+" is free to listen on")}
	}
}
