select
    portfolio,
    date,
    token,
    wallet_amount,
    allocated_amount,
    price_usd,
    value_usd,
    accrual_usd,
    revaluation_usd,
    fees_usd,
    flows_usd,
    nav_usd,
    realised_day_yield,
    realised_ytd_yield,
    wallet_amount * price_usd as wallet_usd
from {{ source('defiyield', 'daily_ledger') }}
