select
    date,
    pool_id,
    chain,
    protocol,
    symbol,
    pool_meta,
    tokens,
    tvl_usd,
    first_day
from {{ source('defiyield', 'pools') }}
