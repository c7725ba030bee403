-- migrate: no-transaction
-- Who administers must be said at once, however many users there are.
CREATE INDEX CONCURRENTLY IF NOT EXISTS users_administrator_idx ON users (id) WHERE administrator;
