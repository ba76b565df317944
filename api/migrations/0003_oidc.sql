-- Log-ins that are on their way through an OpenID Connect provider: each is there until it comes back, once.
CREATE TABLE oidc_attempt (
    state_sha256 text PRIMARY KEY,                  -- of the state that the provider hands back
    browser_sha256 text NOT NULL,                   -- of the cookie that the browser was given for it
    nonce text NOT NULL,
    code_verifier text NOT NULL,                    -- PKCE
    redirect_uri text NOT NULL,
    destination text NOT NULL,                      -- path of the page to go to; empty: where one begins
    expires_at timestamptz NOT NULL
);
CREATE INDEX oidc_attempt_expires ON oidc_attempt (expires_at);

-- Who is whom at a provider. Names there may change hands, subjects do not.
CREATE TABLE person_link (
    issuer text NOT NULL,
    subject text NOT NULL,
    person_id integer NOT NULL REFERENCES person ON DELETE CASCADE,
    linked_at timestamptz NOT NULL,
    PRIMARY KEY (issuer, subject),
    UNIQUE (person_id, issuer)
);
