select
    date,
    symbol,
    quote_currency,
    open,
    high,
    low,
    close,
    volume_usd,
    market_cap_usd,
    valid_at,
    seen_at,
    source
from {{ source('defiyield', 'raw_coinmarketcap_ohlcv') }}
