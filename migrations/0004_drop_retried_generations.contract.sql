-- Retries are counted in the audit trail, of which a session's generation has one line each.
ALTER TABLE sessions DROP COLUMN retried_generations;
