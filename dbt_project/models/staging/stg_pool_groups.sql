select
    date,
    pool_id,
    pool_group,
    reason
from {{ source('defiyield', 'pool_groups') }}
