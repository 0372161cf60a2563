select
    date,
    pool_id,
    model,
    horizon_days,
    apy,
    tvl_usd,
    observed_age_days,
    apy_lower,
    apy_upper,
    risk_adjusted_apy,
    apy_at,
    apy_at_lower,
    apy_at_upper,
    tvl_lower_usd,
    tvl_upper_usd
from {{ source('defiyield', 'pool_forecasts') }}
