-- What the authorization code flow knows of a client, beside the redirect URIs that are there.
ALTER TABLE clients ADD COLUMN post_logout_redirect_uris text[] NOT NULL DEFAULT '{}';
-- Waived for OpenID Connect with a client secret alone.
ALTER TABLE clients ADD COLUMN require_pkce boolean NOT NULL DEFAULT true
    CHECK (require_pkce OR type = 'confidential');
-- Whether the client's users are asked, or the operator has answered for them.
ALTER TABLE clients ADD COLUMN consent text NOT NULL DEFAULT 'ask'
    CHECK (consent IN ('ask', 'skip'));
