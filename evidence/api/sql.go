package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/custody-audit/custody/evidence/query"
)

type sqlInput struct {
	Tenant
	Body struct {
		Statement string `json:"statement" minLength:"1" maxLength:"60000" doc:"One SELECT in ClickHouse's SQL, over the views events, token_edges, token_use, findings, quarantine and the tables below them"`
		Limit     int    `json:"limit,omitempty" minimum:"1" maximum:"9999" default:"100" doc:"Most rows"`
	}
}

type sqlAnswer struct {
	Columns []query.Column    `json:"columns" nullable:"false"`
	Rows    []json.RawMessage `json:"rows" nullable:"false" doc:"Each an array with a value for each column"`
	Cut     []string          `json:"cut,omitempty" doc:"What is left out"`
}

func (s *Server) sql() {
	ask(s, operation{id: "ask-sql", method: http.MethodPost, path: "/sql", needs: AskSQL, tag: "sql", summary: "Ask in SQL, read only",
		description: "The statement runs as the database user whom ClickHouse shows the tenant's rows only, whatever it says, within limits that it cannot raise."},
		s.askSQL)
}

func (s *Server) askSQL(ctx context.Context, q *question, in *sqlInput) (*sqlAnswer, error) {
	q.asked["body.statement"] = in.Body.Statement
	if in.Body.Limit > s.cfg.Limits.Rows {
		return nil, invalid("body.limit", fmt.Sprintf("want at most %d", s.cfg.Limits.Rows))
	}
	// What is more than the limit is cut and said to be, so ClickHouse is to stop and not to refuse.
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_result_rows": in.Body.Limit + 1, "max_result_bytes": 0, "result_overflow_mode": "break"}))
	table, err := q.reader.SQL(ctx, in.Body.Statement, in.Body.Limit)
	if err != nil {
		return nil, aboutStatement(err)
	}
	out := &sqlAnswer{Columns: list(table.Columns), Rows: []json.RawMessage{}}
	for _, row := range table.Rows {
		text, err := json.Marshal(row)
		if err != nil {
			return nil, invalid("body.statement", "the answer has a value that JSON cannot tell, as nan: make it text with toString")
		}
		out.Rows = append(out.Rows, text)
	}
	q.rows = len(out.Rows)
	if table.Cut != "" {
		q.cut = []string{table.Cut}
	}
	out.Cut = q.cut
	return out, nil
}

// Errors that ClickHouse finds before it looks at a row: their words come from
// the statement. What it says of values it met is not told.
var aboutWords = map[int32]bool{
	16:  true, // no such column in the table
	42:  true, // number of arguments
	43:  true, // type of an argument
	46:  true, // unknown function
	47:  true, // unknown identifier
	53:  true, // type mismatch
	60:  true, // unknown table
	62:  true, // syntax
	81:  true, // unknown database
	164: true, // read only
	184: true, // illegal aggregation
	207: true, // ambiguous identifier
	215: true, // not under an aggregate function
	386: true, // no common type
	452: true, // a setting beyond its constraint
	497: true, // access denied
}

// maxWords bounds what is repeated of ClickHouse's words, in bytes.
const maxWords = 500

func aboutStatement(err error) error {
	if errors.Is(err, query.ErrNotAQuestion) || errors.Is(err, query.ErrUnreadable) {
		return invalid("body.statement", err.Error())
	}
	var e *clickhouse.Exception
	switch {
	case !errors.As(err, &e) || e.Code == codeTimeout || e.Code == codeTooSlow || e.Code == codeMemory:
		return err
	case aboutWords[e.Code]:
		return invalid("body.statement", fmt.Sprintf("%s: %.*s", e.Name, maxWords, e.Message))
	}
	return invalid("body.statement", fmt.Sprintf("ClickHouse refuses it with error %d", e.Code))
}
