-- At 90, sessions of one page that rotate at the same moment (begun together, refreshed on the same
-- beat) at times find no room on it, and such a rotation is not HOT. At 70 none was seen.
ALTER TABLE sessions SET (fillfactor = 70);
