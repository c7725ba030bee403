-- How far each verifier has followed the feed, by its own word. UNLOGGED: what a crash takes is
-- back within ten seconds. Rows are written each second and more: room for that, and no index on
-- what a receipt changes.
CREATE UNLOGGED TABLE feed_receipts (
    client_id text NOT NULL,
    name text NOT NULL CHECK (octet_length(name) <= 128),
    epoch uuid NOT NULL,
    number bigint NOT NULL,
    kids text[] NOT NULL,
    reported_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (client_id, name)
) WITH (fillfactor = 50);

-- When the oldest fact of an entry was written, if that was just now: what the way to the
-- verifiers is measured from.
ALTER TABLE feed_entries ADD COLUMN written_at timestamptz;
