-- Claims: which of the workers that ever held a row may still say what became of it.

ALTER TABLE notifications
    -- How often it was claimed as due. An end carries the number that its worker held the row by: one that comes
    -- after another worker has claimed the row finds another number, and changes nothing.
    ADD COLUMN claims integer NOT NULL DEFAULT 0;
