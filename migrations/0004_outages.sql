-- Outages: what the log lost, and how long a destination that is down has held a notification back.

-- Messages that were acknowledged and deleted from the log before a worker read them: offsets from
-- first_offset up to, without, next_offset.
CREATE TABLE log_gaps (
    topic         text NOT NULL,
    log_partition integer NOT NULL,
    first_offset  bigint NOT NULL,
    next_offset   bigint NOT NULL,
    found_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, log_partition, first_offset)
);

ALTER TABLE notifications
    -- Seconds of this round in which it was not tried because its destination was left alone.
    ADD COLUMN held_s real NOT NULL DEFAULT 0;
