-- Sender identities: in whose name a tenant may send. An empty tenant stands for none.

CREATE TABLE sender_identities (
    id              uuid PRIMARY KEY,
    tenant_id       text NOT NULL DEFAULT '',
    channel         text NOT NULL,
    -- As it is compared: in lower case.
    sender          text NOT NULL,
    -- SHA-256 of id and code; none where an administrator vouches for it.
    code_hash       bytea,
    code_expires_at timestamptz,
    code_attempts   integer NOT NULL DEFAULT 0,
    verified_at     timestamptz,
    created_by      text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, channel, sender)
);
