package keycloak

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// maxPage bounds what a page may weigh, in bytes.
const maxPage = 64 << 20

// api asks the admin REST API. It is used by one goroutine.
type api struct {
	cfg   *PollConfig
	base  string
	token *oauth2.Token // nil: none, or the last one was refused
	// issuer of the realm's tokens, as Keycloak said when it gave the token above: it
	// may have another address for its users than for us.
	issuer string
}

func newAPI(cfg *PollConfig) *api {
	return &api{cfg: cfg, base: strings.TrimSuffix(cfg.BaseURL, "/"), issuer: cfg.Issuer}
}

// statusError is an answer that is no page. The body is not shown: what is in
// front of Keycloak may repeat a header there.
type statusError struct {
	status int
	hint   string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%d %s%s", e.status, http.StatusText(e.status), e.hint)
}

// page returns one page as Keycloak sorts it, newest first. A token that is
// refused is replaced once: it may have been revoked before its time.
func (a *api) page(ctx context.Context, name string, from, to int64, first int) ([]json.RawMessage, error) {
	fresh := a.token == nil
	page, err := a.ask(ctx, name, from, to, first)
	var status *statusError
	if errors.As(err, &status) && status.status == http.StatusUnauthorized {
		a.token = nil
		if !fresh {
			return a.ask(ctx, name, from, to, first)
		}
	}
	return page, err
}

func (a *api) ask(ctx context.Context, name string, from, to int64, first int) ([]json.RawMessage, error) {
	if err := a.authorise(ctx); err != nil {
		return nil, err
	}
	query := url.Values{"first": {strconv.Itoa(first)}, "max": {strconv.Itoa(a.cfg.PageSize)}}
	query.Set("dateFrom", a.date(from, -1))
	query.Set("dateTo", a.date(to, 1))
	address := a.base + "/admin/realms/" + url.PathEscape(a.cfg.Realm) + "/" + name + "?" + query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+a.token.AccessToken)
	req.Header.Set("Accept", "application/json")
	res, err := a.cfg.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		io.CopyN(io.Discard, res.Body, 64<<10)
		return nil, &statusError{res.StatusCode, hint(res.StatusCode)}
	}
	return decodePage(res.Body)
}

func hint(status int) string {
	switch status {
	case http.StatusForbidden:
		return ": the service account needs the role view-events of realm-management"
	case http.StatusBadRequest:
		return ": a Keycloak that takes dates only needs ByDay"
	}
	return ""
}

func decodePage(body io.Reader) ([]json.RawMessage, error) {
	b, err := io.ReadAll(io.LimitReader(body, maxPage+1))
	if err != nil {
		return nil, fmt.Errorf("read page: %w", err)
	}
	if len(b) > maxPage {
		return nil, fmt.Errorf("a page is larger than %d MiB: want a smaller PageSize", maxPage>>20)
	}
	var page []json.RawMessage
	if err := json.Unmarshal(b, &page); err != nil {
		return nil, fmt.Errorf("page is no JSON array: %w", err)
	}
	for i := range page {
		page[i] = bytes.TrimSpace(page[i])
	}
	return page, nil
}

// date is a limit of the time as Keycloak takes it. Days are those of Keycloak's
// own time zone, which is not known here: one more on each side is asked for.
func (a *api) date(millis int64, days int) string {
	if a.cfg.ByDay {
		return time.UnixMilli(millis).UTC().AddDate(0, 0, days).Format(time.DateOnly)
	}
	return strconv.FormatInt(millis, 10)
}

// authorise gets a token by client credentials when there is none that holds.
func (a *api) authorise(ctx context.Context) error {
	if a.token.Valid() {
		return nil
	}
	secret, err := a.cfg.Secret()
	if err != nil {
		return fmt.Errorf("read the client's secret: %w", err)
	}
	cc := clientcredentials.Config{
		ClientID: a.cfg.ClientID, ClientSecret: secret, AuthStyle: oauth2.AuthStyleInHeader,
		TokenURL: a.base + "/realms/" + url.PathEscape(a.cfg.TokenRealm) + "/protocol/openid-connect/token",
	}
	token, err := cc.Token(context.WithValue(ctx, oauth2.HTTPClient, a.cfg.HTTP))
	if err != nil {
		a.token = nil
		return fmt.Errorf("get a token for client %q: %w", a.cfg.ClientID, tokenError(err))
	}
	if a.cfg.Issuer == "" {
		if a.issuer, err = a.discover(ctx); err != nil {
			return fmt.Errorf("learn the issuer of realm %q, unless it is configured: %w", a.cfg.Realm, err)
		}
	}
	a.token = token
	return nil
}

// discover asks for the issuer of the realm's tokens.
func (a *api) discover(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+"/realms/"+url.PathEscape(a.cfg.Realm)+"/.well-known/openid-configuration", nil)
	if err != nil {
		return "", err
	}
	res, err := a.cfg.HTTP.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var document struct {
		Issuer string `json:"issuer"`
	}
	switch err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&document); {
	case res.StatusCode != http.StatusOK:
		return "", &statusError{status: res.StatusCode}
	case err != nil || document.Issuer == "":
		return "", errors.New("the discovery document names none")
	}
	return document.Issuer, nil
}

// tokenError keeps the answer's body out of what is logged.
func tokenError(err error) error {
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) {
		return err
	}
	code := ""
	if known := answer.ErrorCode; len(known) < 40 && strings.Trim(known, "abcdefghijklmnopqrstuvwxyz_") == "" {
		code = known
	}
	if answer.Response == nil {
		return fmt.Errorf("refused: %s", code)
	}
	return &statusError{answer.Response.StatusCode, " " + code}
}
