select
    date,
    address,
    token,
    token_address,
    amount,
    valid_at,
    seen_at,
    source
from {{ source('defiyield', 'raw_etherscan_account_balances') }}
