package postgres

import (
	"context"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

// Adopt takes a connection over from the driver, as a native client's session does.
func Adopt(ctx context.Context, c *pgconn.PgConn) (net.Conn, error) {
	s := &stream{reading: reading{source: &source{}}}
	if err := s.adopt(ctx, c); err != nil {
		return nil, err
	}
	return s.conn, nil
}
