-- What a client's tokens are signed with.
ALTER TABLE clients ADD COLUMN signing_alg text NOT NULL DEFAULT 'RS256'
    CHECK (signing_alg IN ('RS256', 'ES256'));
-- Who may use /admin: a client that is marked, and its user too where there is one.
ALTER TABLE clients ADD COLUMN administrator boolean NOT NULL DEFAULT false;
ALTER TABLE users ADD COLUMN administrator boolean NOT NULL DEFAULT false;
