-- One row is one line of an access review, as it stood when the review was created. Rows are appended and never changed; what has
-- columns of its own is read from the body, which is what the digest of the review covers.
CREATE TABLE IF NOT EXISTS review_lines
(
    tenant    LowCardinality(String),
    review    UUID,
    number    UInt32 COMMENT 'its place in the review, from 1',
    body      String COMMENT 'JSON' CODEC(ZSTD(3)),
    key       String ALIAS JSONExtractString(body, 'key'),
    kind      String ALIAS JSONExtractString(body, 'kind'),
    owner     String ALIAS JSONExtractString(body, 'owner'),
    identity  String ALIAS JSONExtractString(body, 'identity'),
    server_id String ALIAS JSONExtractString(body, 'server'),
    name      String ALIAS JSONExtractString(body, 'name'),
    state     String ALIAS JSONExtractString(body, 'state')
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant, review, number)
