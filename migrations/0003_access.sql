-- Access: accounts that can be closed, API keys, signing keys, templates, the audit log.

ALTER TABLE users
    -- Since when the account may not sign in; its tokens are refused within a minute.
    ADD COLUMN disabled_at timestamptz;
-- An account without a tenant gets one of its own: what belongs to no tenant is nobody's.
UPDATE users SET tenant_id = id::text WHERE tenant_id IS NULL AND role <> 'ADMIN';

CREATE TABLE api_keys (
    -- The public part of the key.
    id           text PRIMARY KEY,
    name         text NOT NULL,
    -- SHA-256 of the secret part, which is random.
    hash         bytea NOT NULL,
    role         text NOT NULL CHECK (role IN ('USER', 'OPERATOR', 'ADMIN')),
    tenant_id    text,
    created_by   text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);

CREATE TABLE signing_keys (
    kid         text PRIMARY KEY,
    public_key  bytea NOT NULL,
    -- The private key, sealed with one derived from the key file; NULL for the file's own key.
    sealed      bytea,
    created_at  timestamptz NOT NULL DEFAULT now(),
    -- NULL for the file's own key, which signed from the beginning.
    active_from timestamptz,
    revoked_at  timestamptz
);

-- An empty tenant stands for none, so that the primary key holds for it too.
CREATE TABLE templates (
    tenant_id  text NOT NULL DEFAULT '',
    id         text NOT NULL,
    channel    text NOT NULL,
    payload    jsonb NOT NULL,
    version    integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE audit_log (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    actor_id   text NOT NULL,
    actor      text NOT NULL,
    tenant_id  text,
    action     text NOT NULL,
    target     text NOT NULL,
    detail     jsonb NOT NULL DEFAULT '{}'
);
