-- Studies whose seeds are added while a verdict is open.
ALTER TABLE study ADD COLUMN adaptive TEXT;   -- JSON {"min": .., "max": ..} of their seeds; NULL where seeds are given
