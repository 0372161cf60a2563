select
    date,
    pool_id,
    model,
    horizon_days,
    apy,
    tvl_usd,
    observed_age_days
from {{ source('defiyield', 'pool_forecasts') }}
