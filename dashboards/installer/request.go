package installer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxAnswer bounds what is read of an answer; our dashboards are some 100 KB.
const maxAnswer = 16 << 20

// get reads an object into answer, unless that is nil, and says whether it exists.
func (i *Installer) get(ctx context.Context, answer any, path ...string) (bool, error) {
	status, body, err := i.send(ctx, http.MethodGet, nil, path)
	switch {
	case err != nil:
		return false, err
	case status == http.StatusNotFound:
		return false, nil
	case status != http.StatusOK:
		return false, refusal(http.MethodGet, path, status, body)
	case answer == nil:
		return true, nil
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return false, fmt.Errorf("read grafana's answer to GET %s: %w", i.base.JoinPath(path...).Path, err)
	}
	return true, nil
}

func (i *Installer) post(ctx context.Context, request any, path ...string) error {
	return i.write(ctx, http.MethodPost, request, path)
}

func (i *Installer) write(ctx context.Context, method string, request any, path []string) error {
	text, err := json.Marshal(request)
	if err != nil {
		return err
	}
	status, body, err := i.send(ctx, method, text, path)
	if err == nil && status != http.StatusOK {
		err = refusal(method, path, status, body)
	}
	return err
}

func (i *Installer) send(ctx context.Context, method string, text []byte, path []string) (int, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, i.base.JoinPath(path...).String(), bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+i.cfg.Token)
	r.Header.Set("Accept", "application/json")
	if text != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if method == http.MethodPut {
		r.Header.Set("X-Disable-Provenance", "true") // people may pause a rule in Grafana
	}
	answer, err := i.cfg.Client.Do(r)
	if err != nil {
		return 0, nil, fmt.Errorf("ask grafana: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return 0, nil, fmt.Errorf("read grafana's answer: %w", err)
	}
	return answer.StatusCode, body, nil
}

// refusal is an answer other than the one wanted, with what Grafana says of it.
func refusal(method string, path []string, status int, body []byte) error {
	var said struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &said) != nil || said.Message == "" {
		said.Message = http.StatusText(status)
	}
	return fmt.Errorf("grafana answers %s /%s with %d: %.300s", method, strings.Join(path, "/"), status, said.Message)
}
