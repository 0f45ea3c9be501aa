-- A block of records is one file, not two for each of 110 columns, which costs an insert three times as much. Merges make parts of over
-- 128 MiB wide.
ALTER TABLE records MODIFY SETTING min_bytes_for_wide_part = 134217728
