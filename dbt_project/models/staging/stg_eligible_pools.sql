select
    date,
    ruleset,
    pool_id,
    depositable,
    must_exit,
    reasons,
    notes
from {{ source('defiyield', 'eligible_pools') }}
