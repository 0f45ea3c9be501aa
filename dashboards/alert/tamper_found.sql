-- Do stored records differ from what was sealed?
-- Row: one tenant and one kind of alteration that the reconciliation found in the range: it finds it again in each cycle, for as long as it is there.
-- Units: places; one is enough.
-- Not covered: what was stored and is not sealed yet; a reconciliation that does not run.
-- Empty: Everything that was read again is as it was sealed.
SELECT
    if(tenant = '', 'nobody known', toString(tenant)) AS whose,
    kind,
    count() AS places
FROM seal_discrepancies FINAL
WHERE found_time >= {from:DateTime64(3)} AND found_time <= {to:DateTime64(3)}
GROUP BY whose, kind
ORDER BY whose, kind
