// Package message reads the JSON-RPC messages of the Model Context Protocol as
// they pass by, for those collectors that stand beside or in front of a server.
//
// It reads what a record needs and no more: which method was called by what name,
// how it ended, and what joins it to other records. What it cannot read it leaves
// out: a message is the business of the two who exchange it. Nothing here keeps
// the values of arguments or results.
package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// Message is a request, a notification or a response (JSON-RPC 2.0 sections 4
// and 5).
type Message struct {
	// ID as it was sent; empty for a notification.
	ID     json.RawMessage
	Method string
	Params Params
	Result json.RawMessage // as it was sent
	Error  *Error
	// Ambiguous says that a member came twice: another reader may read another
	// message.
	Ambiguous bool
}

// Params are what matters of a request's parameters.
type Params struct {
	// Name of the tool or the prompt, URI of the resource.
	Name, URI string
	Arguments json.RawMessage
	// ClientInfo of "initialize", else of "_meta" (MCP 2026-07-28).
	ClientInfo Info
	// RequestID of "notifications/cancelled".
	RequestID json.RawMessage
	// Traceparent of "_meta".
	Traceparent string
}

// Info is an implementation as it describes itself.
type Info struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Error is a response's error.
type Error struct{ Code int64 }

// Result is what matters of a result.
type Result struct {
	IsError bool
	// InputRequired says that the request is not done: the server wants an answer
	// from the client first, who then sends it again (MCP 2026-07-28).
	InputRequired bool
	Tools         []string // names, of tools/list
}

// Read returns the messages of a body: one, or a batch (MCP 2025-03-26). What is
// no message is left out.
func Read(body []byte) []Message {
	body = bytes.TrimSpace(body)
	var parts []json.RawMessage
	if len(body) == 0 {
		return nil
	}
	if body[0] != '[' {
		parts = append(parts, body)
	} else if json.Unmarshal(body, &parts) != nil {
		return nil
	}
	var all []Message
	for _, part := range parts {
		if m, ok := one(part); ok {
			all = append(all, m)
		}
	}
	return all
}

func one(text []byte) (m Message, ok bool) {
	top, twice, err := members(text)
	if err != nil {
		return m, false
	}
	m = Message{ID: top["id"], Method: textOf(top["method"]), Result: top["result"], Ambiguous: twice}
	if failure := top["error"]; len(failure) > 0 && string(failure) != "null" {
		m.Error = &Error{}
		inner, _, _ := members(failure)
		_ = json.Unmarshal(inner["code"], &m.Error.Code) // 0 when it is no whole number
	}
	params, twice, _ := members(top["params"])
	meta, _, _ := members(params["_meta"])
	m.Ambiguous = m.Ambiguous || twice
	m.Params = Params{
		Name: textOf(params["name"]), URI: textOf(params["uri"]), Arguments: params["arguments"], RequestID: params["requestId"],
		ClientInfo: infoOf(params["clientInfo"]), Traceparent: textOf(meta["traceparent"]),
	}
	if m.Params.ClientInfo.Name == "" {
		m.Params.ClientInfo = infoOf(meta["io.modelcontextprotocol/clientInfo"])
	}
	return m, true
}

// members returns the members of an object by their exact names, which
// encoding/json's structs do not look at: to them "Method" is "method", and a
// caller could hide a call behind it. twice tells that a name came again; the
// last counts, as in JavaScript.
func members(text []byte) (all map[string]json.RawMessage, twice bool, err error) {
	if len(text) == 0 {
		return nil, false, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, false, errors.New("not an object")
	}
	all = map[string]json.RawMessage{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, false, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, false, err
		}
		_, known := all[name.(string)] // the decoder takes no other
		twice = twice || known
		all[name.(string)] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, false, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, false, errors.New("more than one value")
	}
	return all, twice, nil
}

// textOf is a JSON text; empty for anything else.
func textOf(raw json.RawMessage) (s string) {
	_ = json.Unmarshal(raw, &s)
	return s
}

func infoOf(raw json.RawMessage) (i Info) {
	_ = json.Unmarshal(raw, &i)
	return i
}

// TypeOf is the event type of a method: lower case with dots.
func TypeOf(method string) string {
	switch method {
	case "tools/call":
		return event.TypeToolCall
	case "tools/list":
		return event.TypeToolList
	case "resources/list", "resources/read", "resources/subscribe", "resources/unsubscribe", "resources/templates/list", "prompts/list", "prompts/get":
		return "mcp." + strings.ReplaceAll(method, "/", ".")
	}
	return "mcp.other" // a method that the caller made up is not part of a name
}

// Label is the id as events have it, without the quotes of a text; empty when
// there is none.
func Label(id json.RawMessage) string {
	var text string
	if json.Unmarshal(id, &text) == nil {
		return text
	}
	if string(id) == "null" {
		return ""
	}
	return string(id)
}

// Request tells whether the message wants an answer.
func (m *Message) Request() bool { return m.Method != "" && Label(m.ID) != "" }

// Response tells whether the message is one.
func (m *Message) Response() bool {
	return m.Method == "" && len(m.ID) > 0 && (m.Error != nil || m.Result != nil)
}

// Outcome reads the result; what cannot be read is left out.
func (m *Message) Outcome() (r Result) {
	result, _, _ := members(m.Result)
	_ = json.Unmarshal(result["isError"], &r.IsError)
	r.InputRequired = textOf(result["resultType"]) == "input_required"
	var tools []struct {
		Name string `json:"name"`
	}
	_ = json.Unmarshal(result["tools"], &tools)
	for _, t := range tools {
		r.Tools = append(r.Tools, t.Name)
	}
	return r
}

// Bearer returns the token of an Authorization header; empty when there is none.
func Bearer(header string) string {
	scheme, raw, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(raw)
}
