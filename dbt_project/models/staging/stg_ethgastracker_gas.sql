select
    date,
    base_fee_gwei,
    priority_fee_gwei,
    eth_usd,
    valid_at,
    seen_at,
    source,
    base_fee_gwei + priority_fee_gwei as gas_price_gwei
from {{ source('defiyield', 'raw_ethgastracker_hourly_gas_data') }}
