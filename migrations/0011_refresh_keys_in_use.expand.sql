-- When a pod last named a refresh key as the one for new sessions: an older key can go when no
-- session lives that began until then.
CREATE TABLE refresh_keys (
    id bigint PRIMARY KEY,
    named_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
