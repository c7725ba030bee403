-- The first schema: clients, users, sessions, signing keys, revocations and their feed, audit.
-- What a row's time decides, clock_timestamp() decides: one clock for all pods.

-- Pods that are alive, for contract migrations, roll-outs of master keys and `watchword doctor`.
CREATE TABLE instances (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    release text NOT NULL,
    schema_number bigint NOT NULL,
    wrap_key_ids text[] NOT NULL,
    refresh_key_ids bigint[] NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One life of the database without lost writes. UNLOGGED: PostgreSQL itself empties this table
-- after every crash, promotion and physical restore, and keeps it over a clean restart.
-- table_oid tells a logical restore, which would bring the old row back, from the original.
CREATE UNLOGGED TABLE database_life (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    id uuid NOT NULL,
    system_identifier bigint NOT NULL,
    table_oid oid NOT NULL DEFAULT 'database_life'::regclass::oid,
    began_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What the last life ran on. The same cluster and timeline with no life row means a mere crash,
-- in which no synchronous commit is lost; anything else may have lost the last writes.
CREATE TABLE database_history (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    system_identifier bigint NOT NULL,
    timeline text NOT NULL,
    table_oid oid NOT NULL
);

CREATE TABLE clients (
    id text PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]{3,64}$'),
    name text NOT NULL,
    type text NOT NULL CHECK (type IN ('confidential', 'public')),
    token_endpoint_auth_method text NOT NULL
        CHECK (token_endpoint_auth_method IN ('client_secret_basic', 'client_secret_post', 'none')),
    grant_types text[] NOT NULL,
    redirect_uris text[] NOT NULL DEFAULT '{}',
    audiences text[] NOT NULL DEFAULT '{}',
    scopes text[] NOT NULL DEFAULT '{}',
    default_scopes text[] NOT NULL DEFAULT '{}',
    serves text[] NOT NULL DEFAULT '{}',
    access_token_ttl interval NOT NULL DEFAULT '300 seconds'
        CHECK (access_token_ttl BETWEEN '60 seconds' AND '600 seconds'),
    session_idle_ttl interval NOT NULL DEFAULT '7 days',
    session_absolute_ttl interval NOT NULL DEFAULT '30 days',
    grace interval NOT NULL DEFAULT '30 seconds' CHECK (grace BETWEEN '0 seconds' AND '60 seconds'),
    shadow_until timestamptz,
    first_party boolean NOT NULL DEFAULT false,
    refresh_delivery text NOT NULL DEFAULT 'body' CHECK (refresh_delivery IN ('body', 'cookie')),
    allowed_origins text[] NOT NULL DEFAULT '{}',
    epoch bigint NOT NULL DEFAULT 0,
    enabled boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((type = 'public') = (token_endpoint_auth_method = 'none'))
);

-- Secrets are generated, 256 bits, so SHA-256 is enough at rest. At most two live ones a client.
CREATE TABLE client_secrets (
    client_id text NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    PRIMARY KEY (client_id, digest)
);

CREATE TABLE users (
    id uuid PRIMARY KEY,
    username text,
    email text,
    full_name text,
    avatar_url text,
    roles text[] NOT NULL DEFAULT '{}',
    password_hash text,
    credential_version bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    disabled_at timestamptz,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX users_username_idx ON users (lower(username));
CREATE UNIQUE INDEX users_email_idx ON users (lower(email));

-- A session is ONE row; a rotation is one UPDATE of it in place. fillfactor leaves room on the
-- page, and no index covers a column that a rotation writes, so every rotation is HOT.
CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id),
    client_id text NOT NULL REFERENCES clients (id),
    client_epoch bigint NOT NULL,
    secret_digest bytea NOT NULL CHECK (octet_length(secret_digest) = 32),
    generation bigint NOT NULL DEFAULT 0 CHECK (generation BETWEEN 0 AND 4294967295),
    incarnation uuid NOT NULL,
    scopes text[] NOT NULL,
    audiences text[] NOT NULL,
    roles text[] NOT NULL DEFAULT '{}',
    claims_version bigint NOT NULL DEFAULT 0,
    retried_generations bigint NOT NULL DEFAULT 0,
    dpop_jkt text,
    auth_time timestamptz NOT NULL,
    acr text,
    amr text[] NOT NULL DEFAULT '{}',
    device text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    rotated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    idle_expires_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_reason text
) WITH (fillfactor = 90);
CREATE INDEX sessions_user_id_idx ON sessions (user_id);
CREATE INDEX sessions_client_id_idx ON sessions (client_id);
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

CREATE TABLE signing_keys (
    kid text PRIMARY KEY,
    purpose text NOT NULL CHECK (purpose IN ('token', 'feed')),
    alg text NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'active', 'retiring', 'removed')),
    public_jwk text NOT NULL,
    -- NULL for a key that never leaves its hardware.
    wrapped_private_key bytea,
    wrap_key_id text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    activates_at timestamptz NOT NULL,
    retiring_at timestamptz,
    removed_at timestamptz,
    killed_at timestamptz,
    CHECK ((wrapped_private_key IS NULL) = (wrap_key_id IS NULL))
);
-- Whatever number of pods starts at once, one active and one pending key come of it.
CREATE UNIQUE INDEX signing_keys_active_idx ON signing_keys (purpose, alg) WHERE state = 'active';
CREATE UNIQUE INDEX signing_keys_pending_idx ON signing_keys (purpose, alg)
    WHERE state = 'pending';

-- A revocation is a fact 'tokens matching this are void'. It commits with its cause and without a
-- number; the publisher numbers it. number NULL = not yet in the feed.
CREATE TABLE revocations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('jti', 'sid', 'client', 'kid', 'stale')),
    subject text NOT NULL,
    version bigint NOT NULL DEFAULT 0,
    client_id text,
    reason text NOT NULL,
    actor text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz CHECK ((expires_at IS NULL) = (kind = 'kid')),
    number bigint
);
CREATE UNIQUE INDEX revocations_fact_idx ON revocations (kind, subject, version);
CREATE INDEX revocations_unnumbered_idx ON revocations (id) WHERE number IS NULL;
CREATE INDEX revocations_client_id_idx ON revocations (client_id, expires_at)
    WHERE kind = 'jti';
CREATE INDEX revocations_expires_at_idx ON revocations (expires_at);

-- The one row whose lock orders all publishers: the head of the hash chain.
CREATE TABLE feed (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch uuid NOT NULL,
    head bigint NOT NULL,
    head_digest bytea NOT NULL CHECK (octet_length(head_digest) = 32),
    floor bigint NOT NULL CHECK (floor BETWEEN 1 AND head + 1)
);

CREATE TABLE feed_entries (
    epoch uuid NOT NULL,
    number bigint NOT NULL,
    jws text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (epoch, number)
);

CREATE TABLE audit_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    event text NOT NULL,
    client_id text,
    user_id uuid,
    session_id uuid,
    generation bigint,
    address inet,
    request_id text,
    detail jsonb NOT NULL DEFAULT '{}'
);
-- At most one event per session, generation and verdict, however often a thief tries.
CREATE UNIQUE INDEX audit_events_verdict_idx ON audit_events (session_id, generation, event)
    WHERE session_id IS NOT NULL AND generation IS NOT NULL;
CREATE INDEX audit_events_at_idx ON audit_events (at);
CREATE INDEX audit_events_user_id_idx ON audit_events (user_id);
CREATE INDEX audit_events_client_id_idx ON audit_events (client_id);
