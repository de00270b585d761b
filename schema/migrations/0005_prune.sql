-- Studies that give up exploratory arms.
ALTER TABLE study ADD COLUMN prune TEXT;   -- JSON {"after": seeds, "behind": units of the primary metric}; NULL where every arm gets all seeds
