select
    date,
    address,
    transaction_hash,
    kind,
    sequence,
    block_number,
    from_address,
    to_address,
    token,
    token_address,
    amount,
    fee_eth,
    failed,
    valid_at,
    seen_at,
    source
from {{ source('defiyield', 'raw_etherscan_account_transactions') }}
