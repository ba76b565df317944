-- A message whose channel gave no answer: it may have arrived.
ALTER TABLE notification ADD COLUMN in_doubt boolean NOT NULL DEFAULT false;   -- a call for it had no answer
ALTER TABLE notification DROP CONSTRAINT notification_state_check;
ALTER TABLE notification ADD CONSTRAINT notification_state_check
    CHECK (state IN ('pending', 'sent', 'withheld', 'failed', 'uncertain'));
