-- From which token each was got, and the first of them.
INSERT INTO token_lineage_states (tenant, ref, parent_ref, issued_time, root_ref, root_basis, depth, state, version)
SELECT tenant, exchange_issued_token_ref, exchange_subject_token_ref, time, exchange_subject_token_ref, 'claim', length(chain_sub), 'complete', 1
FROM records
WHERE kind = 'token_exchange'
