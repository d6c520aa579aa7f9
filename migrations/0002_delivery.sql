-- Delivery: what an attempt leaves behind, leases by channel, dead letters that can be redriven,
-- what users want, and jobs that one worker at a time runs.
--
-- A notification that is delivered at once is one row, written once, in its final state. So the row
-- itself tells its last attempt and its ending; earlier attempts and other changes have rows of
-- their own. The two views at the end show both as one.

ALTER TABLE notifications
    ADD COLUMN provider      text,
    ADD COLUMN duration_ms   real,
    -- The ending's place in the order of all events.
    ADD COLUMN event_id      bigint,
    -- Number of the first attempt of this round: a retry by hand begins a new one.
    ADD COLUMN first_attempt integer NOT NULL DEFAULT 1;

-- Rows that wait are looked for by channel, so that a slow channel does not stand before the others.
CREATE INDEX notifications_due_idx ON notifications (channel, next_attempt_at) WHERE next_attempt_at IS NOT NULL;
DROP INDEX notifications_next_attempt_at_idx;

-- Retention looks for old rows. They lie in the order of their creation, so a few pages are enough.
CREATE INDEX notifications_created_at_brin ON notifications USING brin (created_at) WITH (pages_per_range = 32);
CREATE INDEX notifications_event_id_brin ON notifications USING brin (event_id) WITH (pages_per_range = 32);
CREATE INDEX events_created_at_brin ON events USING brin (created_at) WITH (pages_per_range = 32);

ALTER TABLE dead_letters
    ADD COLUMN tenant_id     text,
    ADD COLUMN user_id       text,
    ADD COLUMN channel       text,
    ADD COLUMN attempts      integer NOT NULL DEFAULT 0,
    ADD COLUMN topic         text,
    ADD COLUMN log_partition integer,
    ADD COLUMN log_offset    bigint,
    ADD COLUMN message_key   bytea,
    -- When it goes back on the log (only what could not be decoded), and when it went back.
    ADD COLUMN redrive_at    timestamptz,
    ADD COLUMN redriven_at   timestamptz,
    -- When it was put on the topic of dead letters.
    ADD COLUMN published_at  timestamptz;
UPDATE dead_letters SET published_at = now();
-- A message that comes again after a crash leaves one letter. The digest keeps a topic that was
-- deleted and made anew apart from the old one.
CREATE UNIQUE INDEX dead_letters_log_key ON dead_letters (topic, log_partition, log_offset, md5(raw))
    WHERE topic IS NOT NULL;
CREATE UNIQUE INDEX dead_letters_open_key ON dead_letters (notification_id)
    WHERE notification_id IS NOT NULL AND redriven_at IS NULL;
CREATE INDEX dead_letters_unpublished_idx ON dead_letters (id) WHERE published_at IS NULL;
CREATE INDEX dead_letters_redrive_idx ON dead_letters (redrive_at) WHERE redrive_at IS NOT NULL AND redriven_at IS NULL;

-- What users want. An empty tenant stands for none.
CREATE TABLE preferences (
    tenant_id  text NOT NULL DEFAULT '',
    user_id    text NOT NULL,
    timezone   text NOT NULL DEFAULT 'UTC',
    quiet_from time,
    quiet_to   time,
    muted      jsonb NOT NULL DEFAULT '[]',
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id),
    CHECK ((quiet_from IS NULL) = (quiet_to IS NULL))
);

-- Work that is done once each period, whoever of the workers gets there first.
CREATE TABLE jobs (
    name        text PRIMARY KEY,
    next_run_at timestamptz NOT NULL DEFAULT now(),
    ran_at      timestamptz,
    ran_by      text
);

CREATE VIEW notification_attempts AS
    SELECT notification_id, attempt, provider, outcome, error, duration_ms, started_at
    FROM delivery_attempts
    UNION ALL
    SELECT id, retry_count + 1, provider, status, error_message, duration_ms::double precision,
        coalesce(sent_at, failed_at, updated_at) - make_interval(secs => duration_ms / 1000)
    FROM notifications WHERE provider IS NOT NULL;

-- The first event of a notification is its acceptance; it has no place in the order.
CREATE VIEW notification_events AS
    SELECT id, notification_id, status, detail, created_at FROM events
    UNION ALL
    SELECT event_id, id, status, error_message, coalesce(sent_at, failed_at, updated_at)
    FROM notifications WHERE event_id IS NOT NULL
    UNION ALL
    SELECT 0, id, CASE WHEN scheduled_for > created_at THEN 'SCHEDULED' ELSE 'PENDING' END, NULL, created_at
    FROM notifications;
