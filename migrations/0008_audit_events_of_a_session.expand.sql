-- migrate: no-transaction
-- Administrators ask for the trail of one session; the index of verdicts knows few of its events.
CREATE INDEX CONCURRENTLY IF NOT EXISTS audit_events_session_id_idx ON audit_events (session_id)
    WHERE session_id IS NOT NULL;
