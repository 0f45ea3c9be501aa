package demo

import _ "embed" // the registry

// Registry is a registry file of the estate: who owns its people, agents, servers
// and tools. Of globex it leaves out, as careless companies do, who owns the
// assistant, and the legacy server as a whole.
//
//go:embed registry.yaml
var Registry []byte
