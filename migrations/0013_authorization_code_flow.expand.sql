-- A browser signed on at this server: what its cookie stands for. Dead when the user's credential
-- version is another one.
CREATE TABLE sign_ons (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id),
    secret_digest bytea NOT NULL CHECK (octet_length(secret_digest) = 32),
    credential_version bigint NOT NULL,
    auth_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    amr text[] NOT NULL,
    device text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_used_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    idle_expires_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    ended_reason text
) WITH (fillfactor = 80);
CREATE INDEX sign_ons_user_id_idx ON sign_ons (user_id);
CREATE INDEX sign_ons_expires_at_idx ON sign_ons (expires_at);

-- What a client asked for while somebody signs in or decides, in the words in which it asked.
-- The browser has the handle, and is the one of which browser_digest is.
CREATE TABLE authorization_requests (
    handle_digest bytea PRIMARY KEY CHECK (octet_length(handle_digest) = 32),
    client_id text NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    parameters text NOT NULL,
    browser_digest bytea CHECK (octet_length(browser_digest) = 32),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    answered_at timestamptz
);
CREATE INDEX authorization_requests_expires_at_idx ON authorization_requests (expires_at);

-- An authorization code: used once. A spent one is kept, to know it again and to end its session.
CREATE TABLE authorization_codes (
    digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    client_id text NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    client_epoch bigint NOT NULL,
    user_id uuid NOT NULL REFERENCES users (id),
    credential_version bigint NOT NULL,
    sign_on_id uuid NOT NULL,
    incarnation uuid NOT NULL,
    redirect_uri text NOT NULL,
    scopes text[] NOT NULL,
    audiences text[] NOT NULL,
    nonce text,
    code_challenge text,
    auth_time timestamptz NOT NULL,
    amr text[] NOT NULL,
    device text,
    failures bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    spent_at timestamptz,
    session_id uuid
);
CREATE INDEX authorization_codes_expires_at_idx ON authorization_codes (expires_at);

-- What a user has allowed a client, until the user takes it back.
CREATE TABLE consents (
    user_id uuid NOT NULL REFERENCES users (id),
    client_id text NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    scopes text[] NOT NULL,
    given_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_id, client_id)
);

-- The sign-on that a session came from: signing out ends those that may not outlive it.
ALTER TABLE sessions ADD COLUMN sign_on_id uuid;
