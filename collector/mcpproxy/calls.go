package mcpproxy

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/custody-audit/custody/collector/message"
	"github.com/custody-audit/custody/schemas/event"
)

// call is a request that was passed on, and its event in the making.
type call struct {
	event     *event.Event
	began     time.Time
	key       callKey
	cancelled atomic.Bool
	concluded atomic.Bool
	timer     *time.Timer // ends the wait for an answer on another stream; guarded by calls.mu
}

// callKey finds a call by its answer. A JSON-RPC id is unique in its session only.
type callKey struct{ session, id string }

// maxOpen bounds the calls and the sessions that are remembered. Beyond it an
// answer on another stream, or a client's name, is not found.
const maxOpen = 10_000

// calls remembers the open calls of sessions, and what clients call themselves.
type calls struct {
	wait  time.Duration
	abort func(*call)

	mu      sync.Mutex
	open    map[callKey]*call       // guarded by mu
	clients map[string]message.Info // by session; guarded by mu
}

func newCalls(wait time.Duration, abort func(*call)) *calls {
	return &calls{wait: wait, abort: abort, open: map[callKey]*call{}, clients: map[string]message.Info{}}
}

// add remembers a call of a session.
func (c *calls) add(x *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.key.session != "" && len(c.open) < maxOpen {
		c.open[x.key] = x
	}
}

func (c *calls) remove(x *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.timer != nil {
		x.timer.Stop()
	}
	if c.open[x.key] == x {
		delete(c.open, x.key)
	}
}

// find returns the open call that an answer is for.
func (c *calls) find(session, id string) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open[callKey{session, id}]
}

// await lets a call wait for its answer on another stream. It returns false when
// none can come: it is not remembered.
func (c *calls) await(x *call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[x.key] != x {
		return false
	}
	x.timer = time.AfterFunc(c.wait, func() { c.abort(x) })
	return true
}

// end aborts what is open; of one session, or of all when it is empty.
func (c *calls) end(session string) {
	var open []*call
	c.mu.Lock()
	for key, x := range c.open {
		if session == "" || key.session == session {
			open = append(open, x)
		}
	}
	delete(c.clients, session)
	c.mu.Unlock()
	for _, x := range open {
		c.abort(x)
	}
}

func (c *calls) name(session string, client message.Info) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if session != "" && len(c.clients) < maxOpen {
		c.clients[session] = client
	}
}

func (c *calls) client(session string) message.Info {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clients[session]
}
