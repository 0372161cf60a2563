select
    portfolio,
    date,
    run_id,
    seq,
    type,
    from_location,
    to_location,
    token,
    to_token,
    amount,
    amount_usd,
    gas_cost_usd,
    conversion_cost_usd,
    total_cost_usd,
    fee_token
from {{ source('defiyield', 'allocation_transactions') }}
