select
    date,
    pool_id,
    tvl_usd,
    apy,
    apy_base,
    apy_reward,
    valid_at,
    seen_at,
    source
from {{ source('defiyield', 'raw_defillama_pool_history') }}
