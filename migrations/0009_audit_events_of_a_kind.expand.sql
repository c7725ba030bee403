-- migrate: no-transaction
-- Administrators ask for the last events of one kind, which may be rare among millions.
CREATE INDEX CONCURRENTLY IF NOT EXISTS audit_events_event_idx ON audit_events (event, id);
