-- An operator asked for the pending key to sign as soon as the verifiers have it.
ALTER TABLE signing_keys ADD COLUMN hastened_at timestamptz;
