package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/user"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/schemas/dial"
)

// apiConfig is how verbs that change something reach the API.
type apiConfig struct {
	URL     string `koanf:"url" help:"address of the HTTP API, as https://custody.example, for verbs that change something; empty: that of the installation in data_dir"`
	KeyFile string `koanf:"key_file" help:"file with an API key for it"`
	CAFile  string `koanf:"ca_file" help:"authorities of its certificate, PEM; empty: those of the system"`
}

func (c *apiConfig) validate() error {
	if c.URL == "" {
		return nil
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("api.url: want https://HOST, got %q", c.URL)
	case u.Scheme == "http" && !loopback(u.Host):
		return fmt.Errorf("api.url: %q is beyond this machine: want https, or the key could be read on the way", c.URL)
	case c.KeyFile == "":
		return errors.New("api.key_file: want a file with an API key for api.url")
	}
	return nil
}

// apiClient speaks to the API.
type apiClient struct {
	url, key, agent string
	http            *http.Client
}

// apiClient is a client of the configured API, or of that of the data folder.
func (a *app) apiClient() (*apiClient, error) {
	c := &apiClient{agent: "custody", http: &http.Client{Timeout: time.Minute}}
	if u, err := user.Current(); err == nil {
		c.agent += " (" + u.Username + ")" // a local key is nobody's; the record of what was done has this too
	}
	if a.config.API.URL == "" {
		var local endpoint
		err := a.config.localAs(func(e *endpoint) (string, string) {
			local = *e
			return e.User, e.Password
		})
		switch {
		case err != nil:
			return nil, err
		case local.API == "":
			return nil, errors.New("the installation serves no API: set serve.address there, or api.url here")
		}
		c.url, c.key = local.API, local.APIKey
		return c, nil
	}
	var err error
	c.url = strings.TrimSuffix(a.config.API.URL, "/")
	if c.key, err = dial.Secret("api.key_file", a.config.API.KeyFile); err != nil {
		return nil, err
	}
	c.http.Transport = &http.Transport{DialTLSContext: dial.TLS{Enabled: true, CAFile: a.config.API.CAFile}.Dialer("api")}
	return c, nil
}

// do asks until there is an answer, three times at most; what is repeated is one
// request to the API.
func (c *apiClient) do(ctx context.Context, method, path, revision string, body, answer any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	once := uuid.NewString()
	for try := 1; ; try++ {
		again, err := c.try(ctx, method, path, http.Header{"Idempotency-Key": {once}, "If-Match": quoted(revision)}, b, answer)
		if err == nil || !again || try == 3 {
			return err
		}
		if err := pause(ctx, time.Duration(try)*time.Second); err != nil {
			return err
		}
	}
}

func quoted(revision string) []string {
	if revision == "" {
		return nil
	}
	return []string{`"` + strings.Trim(revision, `"`) + `"`}
}

// try asks once, and says whether it is worth asking again.
func (c *apiClient) try(ctx context.Context, method, path string, header http.Header, body []byte, answer any) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, method, c.url+api.Prefix+path, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header = header
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", c.agent)
	res, err := c.http.Do(req)
	if err != nil {
		return true, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return true, err
	}
	if res.StatusCode == http.StatusOK {
		return false, json.Unmarshal(b, answer)
	}
	var told api.Problem
	if err := json.Unmarshal(b, &told); err != nil || told.Detail == "" {
		return res.StatusCode >= 502, fmt.Errorf("the API answers %s", res.Status)
	}
	return res.StatusCode == http.StatusServiceUnavailable, errors.New(told.Detail)
}
