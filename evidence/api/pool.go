package api

import (
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Connect opens a bounded pool of connections as the database user who sees one
// tenant, or with "" as the user who sees all. ErrNoUser says that the tenant has
// no such user.
type Connect func(tenant string) (driver.Conn, error)

// ErrNoUser says that a tenant has no database user of its own. It is asked for
// nothing then: the second wall between tenants would be missing.
var ErrNoUser = errors.New("the tenant has no database user of its own")

// pools are the connections by tenant. A pool that nobody uses holds none open.
type pools struct {
	connect Connect

	mu       sync.Mutex
	byTenant map[string]driver.Conn // guarded by mu
}

func (p *pools) get(tenant string) (driver.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if conn := p.byTenant[tenant]; conn != nil {
		return conn, nil
	}
	conn, err := p.connect(tenant)
	if errors.Is(err, ErrNoUser) {
		return nil, &refusal{http.StatusServiceUnavailable, "no_user", ErrNoUser.Error() + ": docs/api.md says how it gets one"}
	}
	if err != nil {
		return nil, fmt.Errorf("connect to clickhouse for tenant %q: %w", tenant, err)
	}
	if p.byTenant == nil {
		p.byTenant = map[string]driver.Conn{}
	}
	p.byTenant[tenant] = conn
	return conn, nil
}

func (p *pools) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, conn := range p.byTenant {
		errs = append(errs, conn.Close())
	}
	clear(p.byTenant)
	return errors.Join(errs...)
}
