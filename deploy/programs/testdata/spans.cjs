// An application with OpenTelemetry's SDK for Node.js, which the environment configures (OTEL_EXPORTER_OTLP_...). It makes the
// spans of an agent that calls a tool over MCP, by the semantic conventions, and one that is no call.
const { trace, SpanKind, SpanStatusCode } = require("@opentelemetry/api");
const { NodeSDK } = require("@opentelemetry/sdk-node");

const sdk = new NodeSDK({ instrumentations: [] });
sdk.start();
const tracer = trace.getTracer("planner");
tracer.startActiveSpan("invoke_agent planner", { attributes: { "gen_ai.operation.name": "invoke_agent" } }, (agent) => {
  for (const [tool, failure] of [["merge", ""], ["wipe", "tool_error"]]) {
    const span = tracer.startSpan(`tools/call ${tool}`, {
      kind: SpanKind.CLIENT,
      attributes: {
        "mcp.method.name": "tools/call", "gen_ai.tool.name": tool, "gen_ai.operation.name": "execute_tool", "mcp.protocol.version": "2025-11-25",
        "jsonrpc.request.id": "7", "mcp.session.id": "s-1", "server.address": "github.acme.example", "enduser.id": "alice", "gen_ai.agent.id": "planner",
        "gen_ai.tool.call.arguments": '{"password":"correct horse battery staple"}',
      },
    });
    if (failure) {
      span.setAttribute("error.type", failure);
      span.setStatus({ code: SpanStatusCode.ERROR });
    }
    span.end();
  }
  agent.end();
  console.log(agent.spanContext().traceId);
});
sdk.shutdown().catch((err) => { console.error(err); process.exitCode = 1; });
