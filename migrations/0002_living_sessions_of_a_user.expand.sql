-- migrate: no-transaction
-- A user may end thousands of sessions in a life, kept until they are purged; what counts at a
-- login is those that live. No rotation writes a column of this index.
CREATE INDEX CONCURRENTLY IF NOT EXISTS sessions_living_idx ON sessions (user_id)
    WHERE revoked_at IS NULL;
