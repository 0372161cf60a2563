select
    portfolio,
    date,
    run_id,
    pool_id,
    token,
    amount,
    value_usd
from {{ source('defiyield', 'asset_allocations') }}
