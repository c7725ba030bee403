-- migrate: no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS sessions_sign_on_id_idx ON sessions (sign_on_id)
    WHERE sign_on_id IS NOT NULL;
