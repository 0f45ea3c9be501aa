package mcpaudit_test

import (
	"context"
	"log"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/custody-audit/custody/collector/emitter"
	"github.com/custody-audit/custody/collector/mcpaudit"
	"github.com/custody-audit/custody/collector/token"
	"github.com/custody-audit/custody/schemas/event"
)

// A server whose tokens are verified and whose calls are recorded.
func Example() {
	out, err := emitter.New(emitter.Config{URL: "https://custody.example:4319", Key: os.Getenv("CUSTODY_SOURCE_KEY"), Logger: slog.Default()})
	if err != nil {
		log.Fatal(err)
	}
	audit, err := mcpaudit.New(mcpaudit.Config{
		Server: event.Server{ID: "files", URI: "https://files.example/mcp"}, Emitter: out, Logger: slog.Default(),
	})
	if err != nil {
		log.Fatal(err)
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "files", Version: "1.0.0"}, nil)
	server.AddReceivingMiddleware(audit.Middleware)

	tokens, err := token.NewVerifier(token.Config{
		Issuer: "https://sts.example", JWKSURL: "https://sts.example/keys", Audience: "https://files.example/mcp",
	})
	if err != nil {
		log.Fatal(err)
	}
	guard := auth.RequireBearerToken(audit.Verifier(tokens.Verify), nil)
	endpoint := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil)
	if err := http.ListenAndServe("127.0.0.1:8080", audit.Handler(guard(endpoint))); err != nil {
		log.Print(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := out.Close(ctx); err != nil { // sends what is queued
		log.Print(err)
	}
}
